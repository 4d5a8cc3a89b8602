"""`data-assets accept-hole`: call days that the vendor will never have holes, with a reason; list them, take them back.

Here: which days are meant. Not here: how a hole is recorded (`holes`).

Judgements: days that were named one by one have to be open, or holes, each in one of the datasets at least, or nothing
is done: a person has looked at each of them. Of a range, such days are meant, and others are passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import click
import dagster as dg

from data_assets.cli.arguments import Asked, DaysNamed
from data_assets.cli.display import Display
from data_assets.cli.documents import write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection, days_between
from data_assets.cli.verify import record_verdicts
from data_assets.counts import count_of
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, names_text
from data_assets.orchestration.holes import accept_hole as record_hole
from data_assets.orchestration.holes import hole_reasons, take_back
from data_assets.wiring import open_lake

OPEN = frozenset({DayState.MISSING, DayState.FAILED})
HOLES = frozenset({DayState.HOLE})

DaysOf = dict[MarketDataset, list[str]]


@dataclass(frozen=True)
class Wanted:
    """Which days can be meant.

    Attributes:
        states: theirs.
        text: what they are, and what to do if a day is not.
    """

    states: Collection[DayState]
    text: str


def accept_hole(asked: Asked, named: Sequence[DaysNamed], reason: str, as_json: bool) -> None:
    """Record those days as holes that are missing or failed."""
    enter_project()
    selection = Selection.of(asked)
    days = _days(selection, named)
    lake = open_lake()
    with open_instance() as instance:
        if lake.is_there():
            for dataset in days:
                lake.check_dataset(dataset.name)  # a day behind a link to nowhere may well be stored
        wanted = Wanted(OPEN, "missing or failed; only such a day can be a hole")
        meant = _meant(instance, lake, selection, days, named, wanted)
        for dataset, of_dataset in meant.items():
            for day in of_dataset:
                record_hole(instance, dataset, day, reason)
            say(f"{dataset.name} {_listed(of_dataset)}: accepted as a hole ({reason})", err=True)
    if as_json:
        write_document({dataset.name: dict.fromkeys(days, reason) for dataset, days in meant.items()})


def take_holes_back(asked: Asked, named: Sequence[DaysNamed], as_json: bool) -> None:
    """Let holes be what they were before they were accepted."""
    enter_project()
    selection = Selection.of(asked)
    days = _days(selection, named)
    lake = open_lake()
    reasons: dict[str, dict[str, str]] = {}
    with open_instance() as instance:
        wanted = Wanted(HOLES, "accepted as a hole; those that are: data-assets accept-hole --list")
        meant = _meant(instance, lake, selection, days, named, wanted)
        for dataset, of_dataset in meant.items():
            reasons[dataset.name] = hole_reasons(instance, dataset, of_dataset)
            take_back(instance, dataset, of_dataset)
            record_verdicts(instance, dataset, of_dataset, Display(dataset.name, len(of_dataset), Screen(stderr=True)))
            say(f"{dataset.name} {_listed(of_dataset)}: no longer a hole", err=True)
    if as_json:
        write_document(reasons)


def list_holes(asked: Asked, named: Sequence[DaysNamed], as_json: bool) -> None:
    """Print the accepted holes with their reasons, the newest first."""
    enter_project()
    selection = Selection.of(asked)
    lake = open_lake()
    days = _days(selection, named) if named or asked.bounds else selection.days()
    with open_instance() as instance:
        states = selection.states(instance, lake, days).states
        holes = {dataset.name: _holes(instance, dataset, of_days) for dataset, of_days in states.items()}
    if as_json:
        named_alone = (selection.keys or ("",))[0] if selection.is_one_dataset else ""
        write_document({name: found for name, found in holes.items() if found or name == named_alone})
    else:
        for name, reasons in holes.items():
            for day, reason in reversed(reasons.items()):
                say(f"{name} {day}  {reason}")
        if not any(holes.values()):
            say("no day is accepted as a hole")


def _holes(instance: dg.DagsterInstance, dataset: MarketDataset, states: Mapping[str, DayState]) -> dict[str, str]:
    return hole_reasons(instance, dataset, [day for day, state in states.items() if state in HOLES])


def _days(selection: Selection, named: Sequence[DaysNamed]) -> DaysOf:
    """The days of each dataset between the bounds, or those that were named one by one, whatever their state.

    Raises:
        click.UsageError: there is none of them, or all datasets are made from stored days; one line.
    """
    datasets = selection.datasets()
    if all(dataset.monthly for dataset in datasets):
        raise click.UsageError(f"{datasets[0].name} is made from stored days, so it has no holes of its own")
    datasets = [dataset for dataset in datasets if not dataset.monthly]
    if not named:
        return {dataset: days for dataset, days in selection.days().items() if dataset in datasets}
    found = [days_between(datasets, each, each) for each in named]
    return {dataset: sorted({day for of_day in found for day in of_day[dataset]}) for dataset in datasets}


def _meant(
    instance: dg.DagsterInstance,
    lake: Lake,
    selection: Selection,
    days: DaysOf,
    named: Sequence[DaysNamed],
    wanted: Wanted,
) -> DaysOf:
    """Those of the days that are of the wanted states; datasets without any are left out.

    Raises:
        click.UsageError: there is none, or one that was named is of another state wherever it is; what they are.
    """
    states = selection.states(instance, lake, days).states
    meant = {
        dataset: [day for day, state in of_days.items() if state in wanted.states]
        for dataset, of_days in states.items()
    }
    found = {day for of_days in meant.values() for day in of_days}
    one_by_one = [each.text for each in named if each.first == each.last]
    if wrong := [day for day in one_by_one if day not in found]:
        said = [
            f"{dataset.name} {names_text(are)}"
            for dataset, of_days in states.items()
            if (are := [f"{day} is {of_days[day]}" for day in wrong if day in of_days])
        ]
        raise click.UsageError(f"{'; '.join(said)}, and not {wanted.text}")
    if not found:
        names = names_text([dataset.name for dataset in states])
        raise click.UsageError(f"{names}: none of these days is {wanted.text}")
    return {dataset: of_days for dataset, of_days in meant.items() if of_days}


def _listed(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{count_of(len(days), 'day')} ({names_text(days)})"
