"""`data-assets gaps`: list the days that are missing, failed, lacking or stale.

Here: listing. Not here: closing them (`backfill`).
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import dagster as dg
from rich.markup import escape

from data_assets.cli.arguments import Asked
from data_assets.cli.documents import DatasetGaps, GapCounts, GapStretches, Stretch, write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection
from data_assets.counts import count_of
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import (
    DayState,
    Found,
    days_by_state,
    names_text,
    to_reconcile,
    unrecorded_text,
    what_lacks,
)
from data_assets.orchestration.partitions import contiguous_ranges
from data_assets.wiring import open_lake


@dataclass(frozen=True)
class Gaps:
    """Open days by what is wrong with them; those that lack something with what.

    Of the missing and failed ones, those are named once more whose file is there: to record it is all they need.
    """

    missing: list[str]
    failed: list[str]
    lacking: dict[str, list[str]]
    unrecorded: list[str]
    holes: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.failed or self.lacking)


def gaps(asked: Asked, as_json: bool) -> None:
    """Print them, as a table or as one document, and end with 1 if there are any."""
    selection = Selection.of(asked)
    enter_project()
    days = selection.days_to_look_at()
    lake = open_lake()
    with open_instance() as instance:
        selected = selection.states(instance, lake, days)
        found = {
            dataset.name: _gaps(instance, dataset, states, lake, selected.found[dataset])
            for dataset, states in selected.states.items()
        }
    for text in selected.closed_texts:
        say(text, err=True)
    if as_json:
        write_document(
            {each.name: _document(each, found[each.name], len(states)) for each, states in selected.states.items()}
        )
    else:
        for dataset, states in selected.states.items():
            if states:
                _print(dataset, found[dataset.name], len(states))
        if not any(selected.states.values()):
            say("no day has failed")
    sys.exit(selection.exit_code(holds=not any((*found.values(), *selected.closed.values()))))


def _gaps(
    instance: dg.DagsterInstance, dataset: MarketDataset, states: Mapping[str, DayState], lake: Lake, found: Found
) -> Gaps:
    of = days_by_state(states)
    return Gaps(
        # A day in progress has no file yet, so it is missing until its event says otherwise.
        missing=sorted(of[DayState.MISSING] + of[DayState.IN_PROGRESS]),
        failed=of[DayState.FAILED],
        lacking=what_lacks(dataset, of, lake),
        unrecorded=to_reconcile(instance, dataset, states, lake, found),
        holes=len(of[DayState.HOLE]),
    )


def _document(dataset: MarketDataset, gaps: Gaps, asked: int) -> DatasetGaps:
    return DatasetGaps(
        missing=dataset.labels(gaps.missing),
        failed=dataset.labels(gaps.failed),
        lacking={dataset.label(day): names for day, names in gaps.lacking.items()},
        unrecorded=dataset.labels(gaps.unrecorded),
        counts=GapCounts(asked, len(gaps.missing), len(gaps.failed), len(gaps.lacking)),
        ranges=GapStretches(
            missing=_stretches(dataset, gaps.missing),
            failed=_stretches(dataset, gaps.failed),
            lacking=_stretches(dataset, gaps.lacking),
        ),
    )


def _stretches(dataset: MarketDataset, days: Collection[str]) -> list[Stretch]:
    """Days that lie side by side, oldest first."""
    return [
        Stretch(dataset.label(first), dataset.label(last), count)
        for first, last, count in reversed(_counted_ranges(dataset, days))
    ]


def _counted_ranges(dataset: MarketDataset, days: Collection[str]) -> list[tuple[str, str, int]]:
    """The oldest and the newest day of each stretch of days, and how many it holds, newest first."""
    ordered = sorted(days)
    return [
        (first, last, bisect_right(ordered, last) - bisect_left(ordered, first))
        for first, last in contiguous_ranges(days, None, dataset.partitions)
    ]


def _print(dataset: MarketDataset, gaps: Gaps, total: int) -> None:
    console = Screen()
    others = len(gaps.failed) + len(gaps.missing) + len(gaps.lacking) + gaps.holes
    holes = f", {count_of(gaps.holes, 'hole')}" if gaps.holes else ""
    console.print(f"[bold]{dataset.name}[/bold]  {total - others:,} of {total:,} {dataset.unit}s stored{holes}")
    _print_ranges(console, dataset, "[red]failed  [/red]", gaps.failed)
    _print_ranges(console, dataset, "[yellow]missing [/yellow]", gaps.missing)
    of_same: dict[str, list[str]] = {}
    for day, names in sorted(gaps.lacking.items(), reverse=True):
        of_same.setdefault(names_text(names), []).append(day)
    for what, days in of_same.items():
        _print_ranges(console, dataset, "[yellow]lacking [/yellow]", days, what)
    if gaps.unrecorded:
        console.print(unrecorded_text(dataset, gaps.unrecorded), markup=False)


def _print_ranges(console: Screen, dataset: MarketDataset, state: str, days: list[str], what: str = "") -> None:
    for first, last, count in _counted_ranges(dataset, days):
        bounds = f"{dataset.label(first)} to {dataset.label(last)}  ({count_of(count, dataset.unit)})"
        text = dataset.label(first) if first == last else bounds
        console.print(f"  {state} {text}" + (f"  {escape(what)}" if what else ""))
