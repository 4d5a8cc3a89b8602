"""What changed between two revisions of a day, by their rows.

Here: the comparison. Not here: which revisions are compared, and what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

MEASURES = ("rows_added", "rows_removed", "rows_altered", "largest_price_change")
"""What is recorded of a difference, by the names of its attributes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How a day's rows differ from those before.

    Attributes:
        rows_before: how many there were.
        rows_added: keys that are new.
        rows_removed: keys that are gone.
        rows_altered: keys of which any value differs.
        largest_price_change: of all prices of altered rows, as a share of the price before; 0 where none differs.
        usual_price_ratio: the median of the first price after to that before, if most rows were altered; else 1.
    """

    rows_before: int
    rows_added: int
    rows_removed: int
    rows_altered: int
    largest_price_change: float
    usual_price_ratio: float = 1.0

    @property
    def is_none(self) -> bool:
        """Whether both have the same rows."""
        return not (self.rows_added or self.rows_removed or self.rows_altered)

    @property
    def metadata(self) -> dict[str, int | float]:
        """What a day's record says of it."""
        return {name: getattr(self, name) for name in MEASURES}


def difference(
    before: Iterable[pl.DataFrame], after: Iterable[pl.DataFrame], keys: Sequence[str], prices: Sequence[str]
) -> Difference:
    """Compare two revisions of a day; memory is bounded by the largest stretch of rows with one first key.

    Args:
        before: the rows in order of the first key, at least one, in frames of any length.
        after: the same of the later revision, with the same columns.
        keys: the columns that tell rows apart; each combination comes once.
        prices: the columns whose change is measured.
    """
    rows = common = added = removed = altered = 0
    largest, ratios = 0.0, []
    for old, new in _aligned(iter(before), iter(after), keys[0]):
        rows += old.height
        if old.equals(new):
            common += old.height
            continue
        both = new.join(old, on=list(keys), suffix=_BEFORE)
        values = [name for name in new.columns if name in old.columns and name not in keys]
        changed = both.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name + _BEFORE)) for name in values))
        common, altered = common + both.height, altered + changed.height
        added, removed = added + new.height - both.height, removed + old.height - both.height
        moved = [(pl.col(name) / pl.col(name + _BEFORE)).filter(pl.col(name + _BEFORE) > 0) for name in prices]
        change = changed.select(pl.max_horizontal((each - 1).abs().max() for each in moved)).item()
        largest = max(largest, change or 0.0)
        ratios.append(changed.select(moved[0]).to_series())
    usual = pl.concat(ratios).median() if 2 * altered > common else None
    return Difference(rows, added, removed, altered, largest, usual if isinstance(usual, float) else 1.0)


_BEFORE = "_before"


def _aligned(
    left: Iterator[pl.DataFrame], right: Iterator[pl.DataFrame], group: str
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of both sides in stretches of whole groups: those of a stretch are in no other one of either side."""
    sides = (_Side(left), _Side(right))
    while True:
        last = [side.rows[group][-1] for side in sides if not side.ended]
        bound = min(last, default=None)
        whole = [side.take(group, bound) for side in sides]
        if any(rows.height for rows in whole):
            yield whole[0], whole[1]
        elif not last:
            return
        for side in sides:  # the last group that was read may go on
            if not side.ended and (side.rows.is_empty() or side.rows[group][-1] == bound):
                side.read()


class _Side:
    """One revision, as far as it has been read and not taken."""

    def __init__(self, frames: Iterator[pl.DataFrame]) -> None:
        self._frames = frames
        self.rows = next(frames)
        self.ended = False

    def read(self) -> None:
        frame = next((each for each in self._frames if each.height), None)
        self.ended = frame is None
        if frame is not None:
            self.rows = pl.concat([self.rows, frame])

    def take(self, group: str, below: Any) -> pl.DataFrame:
        """Return the rows whose group lies below another, all of them if that is None; the others stay."""
        inside = self.rows if below is None else self.rows.filter(pl.col(group) < below)
        self.rows = self.rows.slice(inside.height)
        return inside
