"""What the answers for newer days say of the older ones: where the vendor's data, or the account's reach, begins.

Here: the two conclusions that spare a run from asking for years of nothing, for every vendor. Not here: asking
(`engine`).

Days are known by their position in the run, newest first. A conclusion holds for days older than those it rests on, and
only as long as no older day (one that was in flight already) proves it wrong by having data.

- Twenty `NoData` in a row, by position and not by the order of arrival: the vendor's data begins after them. Any other
  outcome in between, a `Failed` one too, breaks the row: a timeout is never an empty day.
- One `NotEntitled`: plans reach back to a date, or do not hold the dataset at all; either way no older day can be had.
  A vendor whose plan excludes only the newest days says `NotPublished` for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from data_assets.ingest.outcome import NoData, NotEntitled, NotStored, Outcome, Rejected, Stored

BOUNDARY_DAYS = 20


@dataclass(frozen=True, slots=True)
class DataBoundary:
    """Where the vendor's data begins, as far as this run's days tell.

    Attributes:
        data_from: the oldest day that had data; None when no newer day of the run had any.
        empty_from: the newest of the twenty empty days in a row.
        empty_to: the oldest of them.
    """

    data_from: date | None
    empty_from: date
    empty_to: date


class RunOutcomes:
    """What is known so far of a run's days, given newest first; `unit` and `label` are how texts call and write one."""

    def __init__(self, days: Sequence[date], unit: str = "day", label: Callable[[date], str] = str) -> None:
        self._days, self._unit, self._label = days, unit, label
        self._empty: set[int] = set()
        self._refused: dict[int, str] = {}
        self._oldest_with_data = -1
        self._row_starts: set[int] = set()

    def ended(self, position: int, outcome: Outcome) -> None:
        """Take in how the day at `position` ended."""
        match outcome:
            case Stored() | Rejected():
                self._oldest_with_data = max(self._oldest_with_data, position)
            case NotEntitled():
                self._refused[position] = outcome.reason
            case NoData():
                self._empty.add(position)
                self._look_for_row(position)

    def _look_for_row(self, position: int) -> None:
        start = end = position
        while start - 1 in self._empty:
            start -= 1
        while end + 1 in self._empty:
            end += 1
        if end - start + 1 >= BOUNDARY_DAYS:
            self._row_starts.add(start)

    def boundary(self) -> DataBoundary | None:
        """Where the data begins, if twenty empty days in a row say so and no older day says otherwise."""
        start = self._first_beyond_data(self._row_starts)
        if start is None:
            return None
        return DataBoundary(
            data_from=self._days[self._oldest_with_data] if self._oldest_with_data >= 0 else None,
            empty_from=self._days[start],
            empty_to=self._days[start + BOUNDARY_DAYS - 1],
        )

    def verdict(self, position: int) -> NotStored | None:
        """How the day at `position` ends without being asked for; None while it is worth asking for."""
        if (boundary := self.boundary()) and position > self._days.index(boundary.empty_to):
            known = (
                f"the vendor has data from {self._label(boundary.data_from)} on"
                if boundary.data_from
                else f"no newer {self._unit} of this run had data either"
            )
            return NoData(
                f"not asked: {BOUNDARY_DAYS} {self._unit}s in a row, {self._label(boundary.empty_from)} back to "
                f"{self._label(boundary.empty_to)}, have no data; {known}",
                tried=False,
            )
        refused = self._first_beyond_data(self._refused)
        if refused is None or position <= refused:
            return None
        return NotEntitled(
            f"not asked: the vendor refused the newer {self._unit} {self._label(self._days[refused])}: "
            f"{self._refused[refused]}",
            tried=False,
        )

    def _first_beyond_data(self, positions: Iterable[int]) -> int | None:
        return min((position for position in positions if position > self._oldest_with_data), default=None)
