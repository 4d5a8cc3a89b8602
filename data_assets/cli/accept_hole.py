"""`data-assets accept-hole`: call days that the vendor will never have holes, with a reason; list them, take them back.

Here: the command. Not here: how a hole is recorded (`holes`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import click
import dagster as dg
from rich.console import Console

from data_assets.cli.display import Display
from data_assets.cli.documents import write_document
from data_assets.cli.project import EXIT_OK, enter_project, find_dataset, json_option, open_instance
from data_assets.cli.selection import DayOrMonth, DaysNamed, Selection, complete_keys, days_between
from data_assets.cli.verify import record_verdicts
from data_assets.ingest.progress import count_of
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, names_text, states_on_disk
from data_assets.orchestration.holes import accept_hole as record_hole
from data_assets.orchestration.holes import hole_reasons, take_back
from data_assets.wiring import open_lake

OPEN = (DayState.MISSING, DayState.FAILED)


@click.command()
@click.argument("key", required=False, shell_complete=complete_keys)
@click.argument("first", metavar="[DAY]", required=False, type=DayOrMonth())
@click.argument("last", metavar="[LAST]", required=False, type=DayOrMonth())
@click.option("--reason", help="Why no data will ever come, such as the vendor's own words.")
@click.option("--undo", is_flag=True, help="Take holes back: the next backfill asks for these days again.")
@click.option("--list", "listing", is_flag=True, help="Show the accepted holes of KEY (default: of all datasets).")
@json_option
def accept_hole(
    key: str | None,
    first: DaysNamed | None,
    last: DaysNamed | None,
    reason: str | None,
    undo: bool,
    listing: bool,
    as_json: bool,
) -> None:
    """Record that the vendor will never have DAY of the dataset KEY: it counts as done, with zero rows and your reason.

    DAY may be a month; with LAST, all missing and failed days from DAY to LAST are meant. `backfill --only all` asks
    for holes all the same, and what then arrives takes their place.
    """
    if listing + undo + (reason is not None) > 1:
        raise click.UsageError("--list, --undo and --reason contradict each other")
    if as_json and not listing:
        raise click.UsageError("--json goes with --list")
    text = " ".join((reason or "").split())
    if not (listing or undo or text):
        raise click.UsageError("--reason is empty: say why no data will ever come")
    if not listing and (key is None or first is None):
        raise click.UsageError("name a dataset and a day: data-assets accept-hole KEY DAY [LAST]")
    enter_project()
    if listing:
        _list(Selection((key,) if key else (), start=first, end=last or first), as_json)
    dataset = find_dataset(key or "")
    if dataset.monthly:
        raise click.UsageError(f"{dataset.name} is made from stored days, so it has no holes of its own")
    days = days_between([dataset], first, last or first)[dataset]
    lake = open_lake()
    with open_instance() as instance:
        states = states_on_disk(instance, dataset, days, lake)
        if undo:
            meant = _of_states(dataset, states, (DayState.HOLE,), "is no accepted hole: data-assets accept-hole --list")
            take_back(instance, dataset, meant)
            record_verdicts(instance, dataset, meant, Display(dataset.name, len(meant), Console(stderr=True)))
        else:
            meant = _of_states(dataset, states, OPEN, "is {}: only a missing or failed day can be a hole")
            for day in meant:
                record_hole(instance, dataset, day, text)
    what = "no longer a hole" if undo else f"accepted as a hole ({text})"
    click.echo(f"{dataset.name} {_named(meant)}: {what}", err=True)


def _of_states(
    dataset: MarketDataset, states: Mapping[str, DayState], wanted: Sequence[DayState], otherwise: str
) -> list[str]:
    """The days of these states.

    Raises:
        click.UsageError: there is none; the text says what the newest of them is instead.
    """
    meant = [day for day, state in states.items() if state in wanted]
    if not meant:
        day, state = list(states.items())[-1] if states else ("", DayState.MISSING)
        raise click.UsageError(f"{dataset.name} {day} {otherwise.format(state.value)}")
    return meant


def _named(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{count_of(len(days), 'day')} ({names_text(days)})"


def _list(selection: Selection, as_json: bool) -> None:
    lake = open_lake()
    with open_instance() as instance:
        holes = {
            dataset.name: found
            for dataset, days in selection.days().items()
            if (found := _holes(instance, dataset, days, lake)) or dataset.name == (selection.keys or ("",))[0]
        }
    if as_json:
        write_document(holes)
    else:
        for name, reasons in holes.items():
            for day, reason in reversed(reasons.items()):
                click.echo(f"{name} {day}  {reason}")
        if not any(holes.values()):
            click.echo("no day is accepted as a hole")
    sys.exit(EXIT_OK)


def _holes(instance: dg.DagsterInstance, dataset: MarketDataset, days: list[str], lake: Lake) -> dict[str, str]:
    states = states_on_disk(instance, dataset, days, lake)
    return hole_reasons(instance, dataset, [day for day, state in states.items() if state is DayState.HOLE])
