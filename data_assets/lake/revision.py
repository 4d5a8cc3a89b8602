"""What changed between two revisions of a day, by their rows.

Here: the comparison. Not here: which revisions are compared, and what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from data_assets.counts import count_of
from data_assets.trading_calendar import NEW_YORK

COUNTS = ("rows_added", "rows_removed", "rows_altered")
CHANGE = ("largest_price_change", "largest_price_change_in", "largest_price_change_of")
MEASURES = (*COUNTS, *CHANGE)
"""What is recorded of a difference."""

SHARE, DOLLARS, CONTRACTS = "share", "dollars", "contracts"


@dataclass(frozen=True, slots=True)
class PriceChange:
    """The largest change of a price between two revisions.

    Attributes:
        unit: ``share`` of the price before, as of bars; of options ``dollars``, as a quote of a cent that becomes two
            has doubled and means nothing; of open interest ``contracts``.
        column: which price.
        before: what it was, US dollars.
        after: what it is, likewise.
        row: the keys of its row.
    """

    unit: str
    column: str
    before: float
    after: float
    row: Mapping[str, Any]

    @property
    def size(self) -> float:
        """How large it is, in its unit."""
        return abs(self.after / self.before - 1) if self.unit == SHARE else abs(self.after - self.before)

    @property
    def size_text(self) -> str:
        """The same for people."""
        if self.unit == SHARE:
            return f"{self.size:.2%}"
        return f"${self.size:,.4g}" if self.unit == DOLLARS else count_of(round(self.size), "contract")

    @property
    def of(self) -> str:
        """Whose it is, when, and from what to what, such as ``AAPL 2024-01-03 10:31, close 100 to 125``."""
        words = " ".join(_word(value) for value in self.row.values())
        return f"{words}, {self.column} {self.before:.10g} to {self.after:.10g}"


def _word(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(NEW_YORK):%Y-%m-%d %H:%M}"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Difference:
    """How a day's rows differ from those before.

    Attributes:
        rows_before: how many there were.
        rows_added: keys that are new.
        rows_removed: keys that are gone.
        rows_altered: keys of which any value differs.
        largest: the largest change of all prices of altered rows; None where none differs.
        usual_price_ratio: the median of the first price after to that before, if most rows were altered; else 1.
    """

    rows_before: int
    rows_added: int
    rows_removed: int
    rows_altered: int
    largest: PriceChange | None
    usual_price_ratio: float = 1.0

    @property
    def is_none(self) -> bool:
        """Whether both have the same rows."""
        return not (self.rows_added or self.rows_removed or self.rows_altered)

    @property
    def metadata(self) -> dict[str, int | float | str]:
        """What a day's record says of it, by the names of `MEASURES`; where no price differs, that change is 0."""
        counts: dict[str, int | float | str] = {name: getattr(self, name) for name in COUNTS}
        if self.largest is None:
            return counts | {CHANGE[0]: 0.0}
        return counts | dict(zip(CHANGE, (self.largest.size, self.largest.unit, self.largest.of), strict=True))

    @property
    def text(self) -> str:
        """The same in words."""
        rows = f"{self.rows_added:,} added, {self.rows_removed:,} removed, {self.rows_altered:,} altered"
        if self.largest is None:
            return f"of {count_of(self.rows_before, 'row')} {rows}"
        change = f"largest price change {self.largest.size_text}: {self.largest.of}"
        return f"of {count_of(self.rows_before, 'row')} {rows}; {change}"


def difference(
    before: Iterable[pl.DataFrame], after: Iterable[pl.DataFrame], keys: Sequence[str], prices: Sequence[str]
) -> Difference:
    """Compare two revisions of a day; memory is bounded by the largest stretch of rows with one first key.

    Args:
        before: the rows in order of the first key, at least one, in frames of any length.
        after: the same of the later revision, with the same columns.
        keys: the columns that tell rows apart; each combination comes once.
        prices: the columns whose change is measured: of options, which have a strike among their keys, in dollars,
            otherwise as a share.
    """
    rows = common = added = removed = altered = 0
    largest: PriceChange | None = None
    ratios = []
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
        for name in prices:
            largest = _larger(largest, changed, keys, name)
        first = pl.col(prices[0] + _BEFORE)
        ratios.append(changed.select((pl.col(prices[0]) / first).filter(first > 0)).to_series())
    usual = pl.concat(ratios).median() if 2 * altered > common else None
    return Difference(rows, added, removed, altered, largest, usual if isinstance(usual, float) else 1.0)


_BEFORE = "_before"


def _larger(largest: PriceChange | None, changed: pl.DataFrame, keys: Sequence[str], name: str) -> PriceChange | None:
    """The largest change of one price, if it is larger than one that is known; else that one."""
    unit = (CONTRACTS if name == "open_interest" else DOLLARS) if "strike" in keys else SHARE
    before, after = pl.col(name + _BEFORE), pl.col(name)
    size = pl.when(before > 0).then((after / before - 1).abs()) if unit == SHARE else (after - before).abs()
    sizes = changed.select(size.cast(pl.Float64).fill_nan(None)).to_series()
    at = sizes.arg_max()
    if at is None or sizes[at] is None or sizes[at] <= (largest.size if largest else 0):
        return largest
    row = changed.row(at, named=True)
    named = [*(each for each in ("symbol",) if each in row and each not in keys), *keys]
    return PriceChange(unit, name, row[name + _BEFORE], row[name], {each: row[each] for each in named})


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
