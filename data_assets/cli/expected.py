"""What a backfill is expected to take, as `plan`, `backfill --dry-run` and `backfill` itself show it.

Here: showing it, and asking whether to go on. Not here: the estimate (`orchestration.backfill_cost`).

Judgements: a backfill asks where it is expected to take more than an hour, or more than half of what is free on a disk.
Without a terminal nobody can answer: it says the same and goes on, as one that cron starts has to. Nothing is at stake
that could not be taken back: it can be interrupted at any time, and no day is begun on a disk without room for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import click
import dagster as dg
from rich.console import Console

from data_assets.cli.display import open_console
from data_assets.cli.documents import Disk, PlannedBackfill, PlannedDataset
from data_assets.cli.project import datasets
from data_assets.cli.screen import FittingTable, Heading
from data_assets.counts import count_of
from data_assets.ingest.progress import bytes_text, duration
from data_assets.lake.lake import Lake
from data_assets.orchestration.backfill_cost import ExpectedCost, Room, expected_costs, rooms
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, Found, names_text, states_of, to_reconcile, unrecorded_text

LONG_SECONDS = 3600
LARGE_SHARE = 0.5
"""Of the bytes that are free on a disk."""


@dataclass(frozen=True)
class Expected:
    """What a backfill is expected to take.

    Attributes:
        costs: of each dataset that has days to download, in the order of the work.
        rooms: on each disk that gets some of it.
        needless: what is said of days to download whose file is there, so that it is enough to record them.
    """

    costs: Sequence[ExpectedCost]
    rooms: Sequence[Room]
    needless: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def fits(self) -> bool:
        """Whether there is room for all of it."""
        return all(room.needed <= room.free for room in self.rooms)

    @property
    def is_large(self) -> bool:
        """Whether it is worth a question."""
        return self.seconds > LONG_SECONDS or any(room.needed > LARGE_SHARE * room.free for room in self.rooms)

    def document(self) -> PlannedBackfill:
        """It as `--json` prints it."""
        planned = [
            PlannedDataset(
                dataset=cost.dataset.name,
                days=len(cost.days),
                first=cost.dataset.label(cost.days[0]),
                last=cost.dataset.label(cost.days[-1]),
                requests=cost.requests,
                rows=cost.rows,
                received_bytes=cost.received,
                stored_bytes=cost.stored,
                minutes=round(cost.seconds / 60, 2),
                sampled_days=cost.sampled,
            )
            for cost in self.costs
        ]
        disks = [Disk(room.folder, room.needed, room.free) for room in self.rooms]
        return PlannedBackfill(planned, disks, round(self.seconds / 60, 2), self.fits)

    def line(self) -> str:
        """It in one line."""
        asked = {"day": 0, "month": 0}
        for cost in self.costs:
            asked[cost.dataset.day] += len(cost.days)
        requests = sum(cost.requests for cost in self.costs)
        parts = [
            " and ".join(count_of(count, unit) for unit, count in asked.items() if count),
            f"{_count(requests)} request{'s' * (requests != 1)}",
            f"{_count(sum(cost.rows for cost in self.costs))} rows",
            f"{bytes_text(sum(cost.received for cost in self.costs))} to download",
            f"{bytes_text(sum(cost.stored for cost in self.costs))} on disk{self._free()}",
            duration(self.seconds),
        ]
        return "expected: " + ", ".join(parts)

    def _free(self) -> str:
        return f" ({', '.join(bytes_text(room.free) for room in self.rooms)} free)" if self.rooms else ""

    def _sources(self) -> dict[str, list[str]]:
        """What the numbers of the datasets are taken from, with their names."""
        found: dict[str, list[str]] = {}
        for cost in self.costs:
            stored = f"the {count_of(cost.sampled, cost.dataset.day)} stored last" if cost.sampled else ""
            found.setdefault(stored or "the vendor's usual day", []).append(cost.dataset.name)
        return found

    def print(self, console: Console) -> None:
        """It as a table, a row for each dataset."""
        if not self.costs:
            console.print("nothing is missing: a backfill would ask for nothing")
            return
        numbers = ("days", "requests", "rows", "download", "on disk", "time")
        headings = (
            Heading("dataset"),
            *(Heading(name, is_number=True) for name in numbers),
            Heading("first and last day", is_clear=True),
        )
        rows = [
            (
                cost.dataset.name,
                f"{len(cost.days):,}",
                _count(cost.requests),
                _count(cost.rows),
                bytes_text(cost.received),
                bytes_text(cost.stored),
                duration(cost.seconds),
                f"{cost.dataset.label(cost.days[0])} to {cost.dataset.label(cost.days[-1])}",
            )
            for cost in self.costs
        ]
        console.print(FittingTable(headings, rows))
        for source, names in self._sources().items():
            console.print(f"taken from {source}: {names_text(names)}", markup=False)
        for room in self.rooms:
            text = f"{room.folder}: {bytes_text(room.needed)} needed, {bytes_text(room.free)} free"
            short = room.needed > room.free
            console.print(text + (": make room, or ask for fewer days" if short else ""), markup=False)
        self.print_needless(console)
        console.print(self.line())

    def print_needless(self, console: Console) -> None:
        """What need not be downloaded, a line for each dataset."""
        for text in self.needless:
            console.print(text, markup=False)


def expect(
    instance: dg.DagsterInstance,
    lake: Lake,
    selected: Mapping[MarketDataset, list[str]],
    wanted: Iterable[DayState],
) -> Expected:
    """What a backfill of those of the selected days takes whose state is wanted.

    Args:
        instance: where days are recorded.
        lake: where they go.
        selected: the keys of each dataset, those that others are made from first.
        wanted: the states.
    """
    wanted = frozenset(wanted)
    seen = {dataset: Found() for dataset in selected}
    asked = {
        dataset: {day: state for day, state in states.items() if state in wanted}
        for dataset, states in states_of(instance, selected, lake, seen).items()
    }
    needless = [
        unrecorded_text(dataset, found)
        for dataset, states in asked.items()
        if (found := to_reconcile(instance, dataset, states, lake, seen[dataset]))
    ]
    costs = expected_costs(instance, {dataset: list(states) for dataset, states in asked.items()}, datasets())
    return Expected(costs, rooms(lake, costs), needless)


def agreed(expected: Expected, *, yes: bool) -> bool:
    """Show what is expected, and ask whether to go on where that is worth it and somebody can answer."""
    if not expected.costs:
        return True
    if yes or not expected.is_large:
        with open_console() as console:
            expected.print_needless(console)
            console.print(expected.line(), style="dim")
        return True
    with open_console() as console:
        expected.print(console)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return click.confirm("go on?", err=True)


def _count(number: int) -> str:
    for word, factor in (("billion", 1e9), ("million", 1e6)):
        if number >= factor:
            return f"{number / factor:,.1f} {word}"
    return f"{number:,}"
