"""`data-assets list`: the datasets with a line each, or the days of them that failed last.

Here: listing, from what is recorded and which files are there; nothing is asked of a vendor, and no file is opened.
Not here: how states are read (`day_states`), and the days of a dataset one by one (`status`).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import dagster as dg
from rich.markup import escape

from data_assets.cli.arguments import Asked
from data_assets.cli.documents import FailedDay, ListedDataset, write_document
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection
from data_assets.cli.status import overview_table, summarize
from data_assets.counts import count_of
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import (
    DayState,
    Found,
    states_of,
    to_reconcile,
    unrecorded_text,
    why_not_stored,
)
from data_assets.orchestration.partitions import contiguous_ranges
from data_assets.wiring import open_lake

Why = tuple[str, str]
BROKE_OFF: Why = ("Failed", "its run broke off; the UI's Runs page says why")
"""Of a day whose run left nothing but its own failure."""


def list_datasets(asked: Asked, as_json: bool) -> None:
    """Print the list, or what failed, and end with 1 if a day has failed."""
    selection = Selection.of(asked)
    enter_project()
    selected = selection.days_to_look_at()
    lake = open_lake()
    with open_instance() as instance:
        seen = {dataset: Found() for dataset in selected}
        states = states_of(instance, selected, lake, seen)
        failed = {
            dataset: _failed(instance, dataset, of_days) for dataset, of_days in states.items() if selection.failed
        }
        unrecorded = [
            unrecorded_text(dataset, found)
            for dataset, of_days in states.items()
            if not (as_json or selection.failed)
            and (found := to_reconcile(instance, dataset, of_days, lake, seen[dataset]))
        ]
    overview = {dataset.name: summarize(dataset, of_days) for dataset, of_days in states.items()}
    if as_json:
        write_document(
            {
                dataset.name: ListedDataset(
                    **vars(overview[dataset.name]),
                    failed_days=_documents(dataset, failed[dataset]) if selection.failed else None,
                )
                for dataset in states
            }
        )
    elif selection.failed:
        _print_failed(failed, selection)
    else:
        console = Screen()
        console.print(overview_table(overview))
        for text in unrecorded:
            console.print(text, markup=False)
    sys.exit(selection.exit_code(holds=not any(each.failed for each in overview.values())))


def _failed(instance: dg.DagsterInstance, dataset: MarketDataset, states: Mapping[str, DayState]) -> dict[str, Why]:
    """The failed days, newest first, each with the outcome and the reason of its newest try."""
    red = [day for day, state in states.items() if state is DayState.FAILED]
    return {day: why_not_stored(instance, dataset.asset_key, day) or BROKE_OFF for day in reversed(red)}


def _documents(dataset: MarketDataset, failed: Mapping[str, Why]) -> list[FailedDay]:
    return [FailedDay(dataset.label(day), outcome, reason) for day, (outcome, reason) in failed.items()]


def _print_failed(failed: Mapping[MarketDataset, Mapping[str, Why]], selection: Selection) -> None:
    console = Screen()
    for dataset, days in failed.items():
        if not days:
            continue
        console.print(f"[bold]{dataset.name}[/bold]  failed: {count_of(len(days), dataset.day)}")
        for (outcome, reason), alike in groupby(days, key=days.__getitem__):
            for text in _stretches(dataset, list(alike)):
                console.print(f"  [red]{text}[/red]  {outcome}: {escape(reason)}")
    if any(failed.values()):
        again = shlex.join(["data-assets", "retry", *selection.keys, *selection.bounds])
        console.print(f"ask for all of them again with: {again}", markup=False)
    else:
        console.print("no day has failed")


def _stretches(dataset: MarketDataset, days: Sequence[str]) -> Iterator[str]:
    """Days as people write them, newest first; those that lie side by side in one."""
    for first, last in contiguous_ranges(days, None, dataset.partitions):
        count = sum(first <= day <= last for day in days)
        yield (
            dataset.label(last)
            if count == 1
            else (f"{dataset.label(first)} to {dataset.label(last)} ({count_of(count, dataset.day)})")
        )
