"""Which days may be exported: those that are stored, and on which no check is red.

Here: what is known of a day, and the refusal. Not here: reading it from the event log (`orchestration.export_days`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from data_assets.dataset_names import nearest
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
        asked: of a day without the ticker, whether the project keeps it, so that a backfill would bring it.
    """

    day: date
    state: str
    has_file: bool
    red: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    asked: bool = True

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
        replace(each, state=LACKING, has_file=False, asked=each.state == LACKING)
        if each.day in said and not said[each.day].keeps(ticker)
        else each
        for each in found
    ]


def nearest_kept(lake: Lake, dataset: str, ticker: str) -> str | None:
    """The ticker of the newest stored day that is spelt nearest to one, if any is near."""
    newest = lake.held_days(dataset)[-1:]
    kept = next((said.wanted for said in lake.statements(dataset, newest).values()), None)
    if not isinstance(kept, frozenset):
        rows = lake.scan(dataset, newest[0], newest[0], ["ticker"]) if newest else None
        kept = frozenset() if rows is None else frozenset(rows.unique().collect()["ticker"])
    return nearest(sorted(kept - {ticker}), ticker)


def not_kept_text(lake: Lake, dataset: str, ticker: str) -> str:
    """What is to be done about a ticker that nobody asked to keep: a backfill alone would change nothing."""
    near = nearest_kept(lake, dataset, ticker)
    meant = f"ask for {near} if you meant that, or " if near else ""
    if lake.as_of is not None:
        return f"{meant}export without the snapshot {lake.as_of.name}, which has them as they were"
    return f"{meant}have {ticker} kept; run: data-assets add {dataset.partition('/')[0]} {shlex.quote(ticker)}"


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
    not_kept: Callable[[], str] | None = None,
) -> None:
    """Go on only if nothing speaks against the days but what is allowed of each.

    Args:
        dataset: whose days.
        found: what is known of them.
        allow: of each day what is tolerated.
        snapshot: the name of the one that they are read as of, in which fetching them again changes nothing.
        not_kept: says what to do about days that nobody asked to keep the ticker.

    Raises:
        DaysRefused: something does; the text names the days, and what to do.
    """
    refused: dict[Fault, list[FoundDay]] = {}
    found = list(found)
    for each in found:
        for fault in each.faults:
            if fault not in allow[each.day]:
                refused.setdefault(fault, []).append(each)
    if not refused:
        return
    told = "; ".join(f"{_said(fault)}: {_named(fault, days)}" for fault, days in refused.items())
    tolerated = " ".join(f"--allow {fault}" for fault in refused)
    every = {each.day: each for days in refused.values() for each in days}
    if not_kept is not None and not all(each.asked for each in every.values()):
        otherwise = not_kept()
    else:
        again = " --only all" if {Fault.HOLE, Fault.CHECK} & refused.keys() else ""
        otherwise = f"fetch them with: data-assets backfill {dataset} --from {min(every)} --to {max(every)}{again}"
    if snapshot is not None:
        otherwise = f"export without the snapshot {snapshot}, which has them as they were"
    raise DaysRefused(
        f"{dataset}: not exported, {told}; tolerate them with {tolerated}{_left_out(found, every)}, or {otherwise}",
        {fault: [each.day for each in days] for fault, days in refused.items()},
    )


def _left_out(found: Iterable[FoundDay], refused: Collection[date]) -> str:
    """The bounds that leave refused days out, if none of them lies between the others."""
    others = [each.day for each in found if each.has_file and each.day not in refused]
    if not others or any(min(others) < day < max(others) for day in refused):
        return ""
    start = f" --from {min(others)}" if min(refused) < min(others) else ""
    end = f" --to {max(others)}" if max(refused) > max(others) else ""
    return f", leave them out with{start}{end}"


def _said(fault: Fault) -> str:
    return "red on a check" if fault is Fault.CHECK else fault.value


def _named(fault: Fault, days: Sequence[FoundDay]) -> str:
    names = [f"{each.day}" + (f" ({words})" if (words := each.faults[fault]) else "") for each in days]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
