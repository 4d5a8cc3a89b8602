"""`data-assets accept-hole`: call days that the vendor will never have holes, with a reason; list them, take them back.

Here: which days are meant. Not here: how a hole is recorded (`holes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
import dagster as dg

from data_assets.cli.arguments import Asked, DaysNamed
from data_assets.cli.display import Display
from data_assets.cli.documents import write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.project import enter_project, find_dataset, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection, days_between
from data_assets.cli.verify import record_verdicts
from data_assets.ingest.progress import count_of
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, names_text, states_on_disk
from data_assets.orchestration.holes import accept_hole as record_hole
from data_assets.orchestration.holes import hole_reasons, take_back
from data_assets.wiring import open_lake

OPEN = (DayState.MISSING, DayState.FAILED)


def accept_hole(key: str, first: DaysNamed, last: DaysNamed, reason: str, as_json: bool) -> None:
    """Record the missing and failed days of the range as holes."""
    dataset, days = _days(key, first, last)
    lake = open_lake()
    with open_instance() as instance:
        if lake.is_there():
            lake.check_dataset(dataset.name)  # a day behind a link to nowhere may well be stored
        states = states_on_disk(instance, dataset, days, lake)
        meant = _of_states(dataset, states, OPEN, "is {}: only a missing or failed day can be a hole")
        for day in meant:
            record_hole(instance, dataset, day, reason)
    say(f"{dataset.name} {_named(meant)}: accepted as a hole ({reason})", err=True)
    if as_json:
        write_document({dataset.name: dict.fromkeys(meant, reason)})


def take_holes_back(key: str, first: DaysNamed, last: DaysNamed, as_json: bool) -> None:
    """Let the holes of the range be missing days again."""
    dataset, days = _days(key, first, last)
    lake = open_lake()
    with open_instance() as instance:
        states = states_on_disk(instance, dataset, days, lake)
        meant = _of_states(dataset, states, (DayState.HOLE,), "is no accepted hole: data-assets accept-hole --list")
        reasons = hole_reasons(instance, dataset, meant)
        take_back(instance, dataset, meant)
        record_verdicts(instance, dataset, meant, Display(dataset.name, len(meant), Screen(stderr=True)))
    say(f"{dataset.name} {_named(meant)}: no longer a hole", err=True)
    if as_json:
        write_document({dataset.name: reasons})


def _days(key: str, first: DaysNamed, last: DaysNamed) -> tuple[MarketDataset, list[str]]:
    enter_project()
    dataset = find_dataset(key)
    if dataset.monthly:
        raise click.UsageError(f"{dataset.name} is made from stored days, so it has no holes of its own")
    return dataset, days_between([dataset], first, last)[dataset]


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


def list_holes(asked: Asked, as_json: bool) -> None:
    """Print the accepted holes with their reasons, the newest first."""
    enter_project()
    selection = Selection.of(asked)
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
                say(f"{name} {day}  {reason}")
        if not any(holes.values()):
            say("no day is accepted as a hole")


def _holes(instance: dg.DagsterInstance, dataset: MarketDataset, days: list[str], lake: Lake) -> dict[str, str]:
    states = states_on_disk(instance, dataset, days, lake)
    return hole_reasons(instance, dataset, [day for day, state in states.items() if state is DayState.HOLE])
