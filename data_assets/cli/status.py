"""`data-assets status`: how complete and how healthy each dataset is.

Here: the tables. Not here: what they are read from (`day_states`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from rich.markup import escape

from data_assets.cli.arguments import Asked
from data_assets.cli.documents import DatasetStatus, DayCounts, write_document
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import FittingTable, Heading, Screen
from data_assets.cli.selection import Selection
from data_assets.counts import count_of
from data_assets.ingest.outcome import Scalar
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_requests import left_text, left_to_you
from data_assets.orchestration.day_states import (
    DayHealth,
    DayState,
    day_health,
    to_reconcile,
    unrecorded_text,
)
from data_assets.wiring import open_lake

NEWEST_DAYS = 20

COLOURS = {
    DayState.STORED: "green",
    DayState.LACKING: "yellow",
    DayState.STALE: "yellow",
    DayState.HOLE: "magenta",
    DayState.FAILED: "red",
    DayState.IN_PROGRESS: "blue",
    DayState.MISSING: "yellow",
}


def status(asked: Asked, as_json: bool) -> None:
    """Print the tables, or one document, and end with 1 if a day shown is red, fails a check or cannot be seen."""
    selection = Selection.of(asked)
    enter_project()
    days = selection.days_to_look_at()
    lake = open_lake()
    with open_instance() as instance:
        selected = selection.states(instance, lake, days)
        left = {dataset: left_to_you(instance, dataset, states) for dataset, states in selected.states.items()}
        overview = {dataset.name: summarize(dataset, states) for dataset, states in selected.states.items()}
        unrecorded = {
            dataset: found
            for dataset, states in selected.states.items()
            if (found := to_reconcile(instance, dataset, states, lake, selected.found[dataset]))
        }
        days_shown = {
            dataset: day_health(instance, dataset, list(states)[0 if selection.bounds else -NEWEST_DAYS :], lake)
            for dataset, states in selected.states.items()
            if selection.keys or selection.failed
        }
    if as_json:
        write_document(
            {
                dataset.name: DatasetStatus(
                    **vars(overview[dataset.name]),
                    unrecorded=len(unrecorded.get(dataset, ())),
                    unreadable=len(selected.closed[dataset]),
                    left_to_you=left[dataset],
                    days=_labelled(dataset, days_shown[dataset]) if dataset in days_shown else None,
                )
                for dataset in selected.states
            }
        )
    else:
        console = Screen()
        if selection.failed:  # a dataset without a failed day is none with no stored day
            overview = {name: row for name, row in overview.items() if row.failed}
        if overview:
            console.print(overview_table(overview))
        else:
            console.print("no day has failed")
        for dataset, rows in days_shown.items():
            if not rows:
                continue
            console.print(days_table(dataset, rows))
            for text in reasons(dataset, rows):
                console.print(text, markup=False)
            for text in found_by_checks(dataset, rows):
                console.print(text, markup=False)
        for dataset, given_up in left.items():
            if given_up:
                text = f"{dataset.name}: {left_text(dataset, given_up)}"
                console.print(text, markup=False)
        for dataset, found in unrecorded.items():
            console.print(unrecorded_text(dataset, found), markup=False)
        for text in selected.closed_texts:
            console.print(text, markup=False)
        console.print(f"lake: {lake.url}", style="dim")
    red = any(each.failed for each in overview.values()) or any(
        row.failed_checks for rows in days_shown.values() for row in rows
    )
    whole = not red and not any(selected.closed.values())
    sys.exit(selection.exit_code(holds=whole))


def summarize(dataset: MarketDataset, states: dict[str, DayState]) -> DayCounts:
    """Counts by state, and the first and last stored day."""
    counts = Counter(states.values())
    there = (DayState.STORED, DayState.LACKING)
    stored = [dataset.label(day) for day, state in states.items() if state in there]
    return DayCounts(
        sessions=len(states),
        **{state.value.replace(" ", "_"): counts[state] for state in DayState},
        first_stored=stored[0] if stored else None,
        last_stored=stored[-1] if stored else None,
    )


def _labelled(dataset: MarketDataset, rows: list[DayHealth]) -> list[DayHealth]:
    return [replace(row, day=dataset.label(row.day)) for row in rows]


def overview_table(overview: Mapping[str, DayCounts]) -> FittingTable:
    """One row per dataset."""
    headings = (
        Heading("dataset"),
        Heading("stored", is_number=True),
        Heading("failed", is_number=True),
        Heading("missing", is_number=True),
        Heading("stored days"),
    )
    rows = []
    for name, row in overview.items():
        at_work = f" +{row.in_progress:,} at work" if row.in_progress else ""
        lacking = f" +{row.lacking:,} lacking" if row.lacking else ""
        stale = f" +{row.stale:,} stale" if row.stale else ""
        holes = f" +{row.hole:,} hole{'s' if row.hole != 1 else ''}" if row.hole else ""
        rows.append(
            (
                name,
                f"[green]{row.stored:,}[/green]{lacking}{stale}{at_work}{holes}",
                f"[red]{row.failed:,}[/red]" if row.failed else "0",
                f"[yellow]{row.missing:,}[/yellow]" if row.missing else "0",
                f"{row.first_stored} to {row.last_stored}" if row.first_stored else "-",
            )
        )
    return FittingTable(headings, rows)


def days_table(dataset: MarketDataset, rows: list[DayHealth]) -> FittingTable:
    """One row per day, newest first."""
    numbers = ("rows", "MB", *dataset.shown.values(), "attempts")
    headings = (
        Heading(dataset.day),
        Heading("state", is_clear=True),
        *(Heading(name, is_number=True) for name in numbers),
        Heading("checks"),
    )
    shown = [
        (
            dataset.label(row.day),
            f"[{COLOURS[row.state]}]{row.state}[/{COLOURS[row.state]}]",
            f"{row.rows:,}" if row.rows is not None else "-",
            f"{row.size / 1e6:,.2f}" if row.size is not None else "-",
            *(_shown(row.shown.get(name)) for name in dataset.shown),
            str(row.attempts) if row.attempts else "-",
            _checks(row),
        )
        for row in reversed(rows)
    ]
    return FittingTable(headings, shown, title=dataset.name, rule=True)


def reasons(dataset: MarketDataset, rows: list[DayHealth]) -> list[str]:
    """Why days are not stored, or what they lack, newest first: a line for each stretch of days with one reason.

    Not in the table: the longest reason would make every row as wide.
    """
    lines = []
    for (outcome, reason), same in groupby(reversed(rows), key=lambda row: (row.outcome, row.reason)):
        if outcome is None:
            continue
        newest, *older = [dataset.label(row.day) for row in same]
        days = f"{older[-1]} to {newest} ({count_of(1 + len(older), dataset.day)})" if older else newest
        lines.append(f"{days}  {outcome}: {reason}")
    return lines


def _shown(value: Scalar | None) -> str:
    """A value of a day; of an instant the time, since its day stands in the row."""
    if value is None:
        return "-"
    with suppress(ValueError):
        return f"{datetime.fromisoformat(str(value)):%H:%M %Z}"
    return escape(str(value))


def found_by_checks(dataset: MarketDataset, rows: list[DayHealth]) -> list[str]:
    """What checks that did not pass have found, a line for each: of the newest such day."""
    lines = []
    for word, found in (("failed", _failed_checks), ("warns", _warned)):
        days: dict[str, list[DayHealth]] = {}
        for row in reversed(rows):
            for name in found(row) if row.state is not DayState.FAILED else ():  # why it has failed was said
                days.setdefault(name, []).append(row)
        for name, (newest, *older) in sorted(days.items()):
            others = f" and {count_of(len(older), f'older {dataset.day}')}" if older else ""
            lines.append(f"{dataset.label(newest.day)}{others}  {name} {word}: {found(newest)[name]}")
    return lines


_failed_checks, _warned = attrgetter("failed_checks"), attrgetter("warned")


def _checks(row: DayHealth) -> str:
    if not row.checks:
        return "-"
    parts = [f"[red]failed {', '.join(row.failed_checks)}[/red]"] if row.failed_checks else []
    parts += [f"[yellow]warning: {', '.join(row.warned)}[/yellow]"] if row.warned else []
    return "  ".join(parts) or f"[green]all {len(row.checks)} pass[/green]"
