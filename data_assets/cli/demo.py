"""`data-assets demo`: a synthetic lake that fills itself, with one gap to close, then the UI.

Here: the walk. Not here: anything that is not also reachable by the other commands.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console

from data_assets.cli.project import enter_project
from data_assets.partitions import partition_keys

DATASET = "theta/option_quotes/QQQ"
NEWEST = 10
BEYOND_THE_GAP = 2
UI_PORT = 3000


@click.command(short_help="Fill a synthetic lake with some days and open the UI.")
@click.option("--serve/--no-serve", default=True, help="Serve the UI afterwards, until Ctrl-C.")
def demo(serve: bool) -> None:
    """Backfill the newest ten trading days and two older ones in the sandbox; the day between them is cut short.

    The vendor simulator cuts that one day's download, so that the grid shows what a failed day looks like and there is
    a gap to close. Needs no subscription.
    """
    folder = enter_project()
    os.environ["DATA_ASSETS_PROFILE"] = "sandbox"  # synthetic days never go where the live ones are
    os.environ.pop("DATA_ASSETS_LAKE", None)
    days = partition_keys()[-(NEWEST + 1 + BEYOND_THE_GAP) :]
    gap = days[BEYOND_THE_GAP]
    os.environ["DATA_ASSETS_SANDBOX_FAULTS"] = json.dumps([{"kind": "cut", "day": gap}])
    _fill(days, gap, folder)
    if serve:
        os.environ.pop("DATA_ASSETS_SANDBOX_FAULTS")
        os.environ["PYTHONWARNINGS"] = "ignore:Function"  # `dagster dev` warns of its own successor, a developer's tool
        dagster = Path(sys.executable).with_name("dagster")
        os.execv(dagster, [str(dagster), "dev", "--port", str(UI_PORT)])


def _fill(days: list[str], gap: str, folder: Path) -> None:
    # After the environment is set: these read the settings.
    from data_assets.cli.backfill import BY_DEFAULT, run_backfill
    from data_assets.cli.display import open_display
    from data_assets.cli.project import check_names, find_dataset, open_instance
    from data_assets.cli.status import days_table, overview_table, summarize
    from data_assets.ingest.dagster_health import day_health, day_states
    from data_assets.wiring import open_lake

    console, key = Console(), find_dataset(DATASET)
    with open_instance() as instance:
        missing = [day for day, state in day_states(instance, key, days).items() if state in BY_DEFAULT]
        with open_display(DATASET, len(missing)) as display:
            result = run_backfill(instance, key, missing, display)
        if result.interrupted:
            sys.exit(1)
        console.print(overview_table({DATASET: summarize(day_states(instance, key, partition_keys()))}))
        console.print(days_table(DATASET, day_health(instance, key, check_names(key), days)))
    console.print(f"files:  {open_lake().url}", highlight=False, soft_wrap=True)
    if gap in result.not_stored:
        console.print(
            f"{gap} was cut short on purpose. Close it with: .venv/bin/data-assets backfill {DATASET} --only failed\n"
            f"or in the UI: http://localhost:{UI_PORT}/assets/{DATASET} > Materialize > select {gap}",
            highlight=False,
            soft_wrap=True,
        )
    unexpected = sorted(set(result.not_stored) - {gap})
    if unexpected:
        sys.exit(f"not stored: {', '.join(unexpected)}; folder {folder}")
