"""`data-assets demo`: a synthetic lake that fills itself, with one gap to close, then the UI.

Here: the walk. Not here: anything that is not also reachable by the other commands.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from data_assets.cli.project import enter_project
from data_assets.orchestration.partitions import partition_keys
from data_assets.settings import settings
from data_assets.trading_calendar import NEW_YORK

if TYPE_CHECKING:
    import dagster as dg

    from data_assets.cli.backfill import BackfillResult
    from data_assets.lake.lake import Lake
    from data_assets.orchestration.dataset import MarketDataset

WITH_THE_GAP = "theta/option_quotes/QQQ"
OTHERS = (
    "theta/option_quotes/SPX",
    "theta/option_greeks/SPX",
    "polygon/minute_aggs",
    "polygon/minute_aggs_monthly",
    "ib/bars_1m/AAPL",
    "ib/bars_1m/MSFT",
)
NEWEST = 10
BEYOND_THE_GAP = 2
UI_PORT = 3000


def demo(serve: bool) -> None:
    """Fill the lake, show it, and become `dagster dev` if the UI is wanted."""
    folder = enter_project()
    # Set, not unset: what is unset would be read from `.env`, and synthetic days never go where the live ones are.
    os.environ["DATA_ASSETS_PROFILE"] = "sandbox"
    os.environ["DATA_ASSETS_LAKE"] = str(folder / "lake" / "sandbox")
    settings.cache_clear()  # to enter the project, they were read as they stand in `.env`
    days, gap = choose_days([key for key in partition_keys() if _is_published(date.fromisoformat(key))])
    os.environ["DATA_ASSETS_SANDBOX_FAULTS"] = json.dumps([{"kind": "cut", "day": gap}])
    _fill(days, gap, folder)
    if serve:
        os.environ["DATA_ASSETS_SANDBOX_FAULTS"] = "[]"
        os.environ["PYTHONWARNINGS"] = "ignore:Function"  # `dagster dev` warns of its own successor, a developer's tool
        dagster = Path(sys.executable).with_name("dagster")
        os.execv(dagster, [str(dagster), "dev", "--port", str(UI_PORT)])


def choose_days(sessions: list[str]) -> tuple[list[str], str]:
    """The days to fill, and the one of them to spoil: older than the newest ten, with older days behind it.

    Its neighbours are those of the calendar: beside a weekend the UI's partition bar (Dagster 1.13) can paint a day in
    its neighbour's colour.
    """
    place = len(sessions) - NEWEST - 1
    while not _amid_the_week(*sessions[place - 1 : place + 2]):
        place -= 1
    return sessions[place - BEYOND_THE_GAP :], sessions[place]


def _is_published(day: date) -> bool:
    """Whether every vendor has the day: flat files come last, at 11:00 New York on the next day."""
    return datetime.now(NEW_YORK) > datetime.combine(day + timedelta(days=1), time(11), NEW_YORK)


def _amid_the_week(before: str, day: str, after: str) -> bool:
    one = timedelta(days=1)
    return date.fromisoformat(before) + one == date.fromisoformat(day) == date.fromisoformat(after) - one


def _fill(days: list[str], gap: str, folder: Path) -> None:
    # After the environment is set: these read the settings.
    from data_assets.cli.project import datasets, find_dataset, open_instance
    from data_assets.cli.screen import Screen
    from data_assets.cli.status import days_table, overview_table, reasons, summarize
    from data_assets.orchestration.day_states import day_health, states_on_disk
    from data_assets.wiring import open_lake

    console, quotes, lake = Screen(), find_dataset(WITH_THE_GAP), open_lake()
    unexpected: list[str] = []
    with open_instance() as instance:
        results: list[BackfillResult] = []
        for name in (WITH_THE_GAP, *OTHERS):
            dataset = find_dataset(name)
            newest = days if dataset is quotes else days[-NEWEST:]
            start, end = date.fromisoformat(newest[0]), date.fromisoformat(newest[-1])
            keys = partition_keys(start, end, partitions=dataset.partitions)
            results.append(_backfill(instance, dataset, keys, lake))
            if results[-1].interrupted:
                sys.exit(1)
            unexpected += [f"{name} {day}" for day in results[-1].not_stored if (dataset, day) != (quotes, gap)]
        states = {
            name: states_on_disk(instance, dataset, partition_keys(partitions=dataset.partitions), lake)
            for name, dataset in datasets().items()
        }
        console.print(overview_table({name: summarize(find_dataset(name), each) for name, each in states.items()}))
        rows = day_health(instance, quotes, days, lake)
        console.print(days_table(quotes, rows))
        for line in reasons(quotes, rows):
            console.print(line, markup=False)
    console.print(f"files:  {lake.url}")
    if gap in results[0].not_stored:
        console.print(
            f"{gap} was cut short on purpose. Close it with: {_command(folder)} backfill {WITH_THE_GAP} "
            f"--from {gap} --to {gap}\n"
            f"or in the UI: http://localhost:{UI_PORT}/assets/{WITH_THE_GAP} > Materialize > select {gap}",
        )
    if unexpected:
        sys.exit(f"not stored: {', '.join(unexpected)}; folder {folder}")


def _command(folder: Path) -> Path:
    """This command as it can be given in the project's folder, whether or not its environment is activated."""
    command = Path(sys.executable).with_name("data-assets")
    return command.relative_to(folder) if command.is_relative_to(folder) else command


def _backfill(instance: dg.DagsterInstance, dataset: MarketDataset, keys: list[str], lake: Lake) -> BackfillResult:
    from data_assets.cli.backfill import run_backfill
    from data_assets.cli.display import open_display
    from data_assets.orchestration.day_states import NOT_DONE, states_on_disk

    missing = [key for key, state in states_on_disk(instance, dataset, keys, lake).items() if state in NOT_DONE]
    with open_display(dataset.name, len(missing), dataset.day, dataset.label) as display:
        return run_backfill(instance, dataset, missing, display, lake)
