"""Which days may be exported: those that are stored, and on which no check is red.

Here: what is known of a day, and the refusal. Not here: reading it from the event log (`orchestration.export_days`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from data_assets.lake.lake import Lake

NAMED = 8
"""Days that a refusal names of each kind; the others are counted."""


LACKING = "lacking"


class Fault(StrEnum):
    """What keeps a day from being exported, until it is allowed by this name."""

    MISSING = "missing"
    FAILED = "failed"
    HOLE = "hole"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class FoundDay:
    """What is known of a day.

    Attributes:
        day: the day.
        state: as `data-assets status` shows it: stored, failed, hole, missing, in progress, lacking.
        has_file: whether the lake holds a file of it, with the ticker in it; that of a failed day is the one before.
        red: the checks that failed as errors.
        warned: the checks that failed as warnings, which stop nothing.
    """

    day: date
    state: str
    has_file: bool
    red: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()

    @property
    def faults(self) -> dict[Fault, str]:
        """What speaks against it, each with the words for it."""
        found: dict[Fault, str] = {}
        if self.state in (Fault.FAILED, Fault.HOLE):
            found[Fault(self.state)] = ""
        elif self.state == "in progress":
            found[Fault.MISSING] = "being downloaded now"
        elif not self.has_file:
            found[Fault.MISSING] = "stored without the ticker" if self.state == LACKING else ""
        if self.red:
            found[Fault.CHECK] = ", ".join(self.red)
        return found


def that_keep(lake: Lake, dataset: str, ticker: str, found: Iterable[FoundDay]) -> list[FoundDay]:
    """The same days, where those that were stored without being asked to keep a ticker have no file of it."""
    found = list(found)
    said = lake.statements(dataset, [each.day for each in found if each.has_file])
    return [
        replace(each, state=LACKING, has_file=False) if each.day in said and not said[each.day].keeps(ticker) else each
        for each in found
    ]


class DaysRefused(Exception):
    """Days speak against an export; the text names them, one line.

    Attributes:
        refused: the days of each fault.
    """

    def __init__(self, text: str, refused: Mapping[Fault, Sequence[date]]) -> None:
        super().__init__(text)
        self.refused = refused


def check_days(
    dataset: str,
    found: Iterable[FoundDay],
    allow: Mapping[date, Collection[Fault]],
    *,
    snapshot: str | None = None,
) -> None:
    """Go on only if nothing speaks against the days but what is allowed of each.

    Args:
        dataset: whose days.
        found: what is known of them.
        allow: of each day what is tolerated.
        snapshot: the name of the one that they are read as of, in which fetching them again changes nothing.

    Raises:
        DaysRefused: something does; the text names the days, and what to do.
    """
    refused: dict[Fault, list[FoundDay]] = {}
    for each in found:
        for fault in each.faults:
            if fault not in allow[each.day]:
                refused.setdefault(fault, []).append(each)
    if not refused:
        return
    told = "; ".join(f"{_said(fault)}: {_named(fault, days)}" for fault, days in refused.items())
    every = sorted({each.day for days in refused.values() for each in days})
    again = " --only all" if {Fault.HOLE, Fault.CHECK} & refused.keys() else ""
    tolerated = " ".join(f"--allow {fault}" for fault in refused)
    otherwise = f"fetch them with: data-assets backfill {dataset} --from {every[0]} --to {every[-1]}{again}"
    if snapshot is not None:
        otherwise = f"export without the snapshot {snapshot}, which has them as they were"
    raise DaysRefused(
        f"{dataset}: not exported, {told}; tolerate them with {tolerated}, or {otherwise}",
        {fault: [each.day for each in days] for fault, days in refused.items()},
    )


def _said(fault: Fault) -> str:
    return "red on a check" if fault is Fault.CHECK else fault.value


def _named(fault: Fault, days: Sequence[FoundDay]) -> str:
    names = [f"{each.day}" + (f" ({words})" if (words := each.faults[fault]) else "") for each in days]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
