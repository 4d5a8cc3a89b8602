"""The order of a day's rows: where each lies in the file, found before any is moved.

Here: rows of any kind, by Polars; rows that come as whole contracts go by ``stretches``, which is several times
cheaper. Not here: which rows are put in order together (``writer``).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Protocol

import polars as pl

from data_assets.lake.stretches import stretches


class Ordered(Protocol):
    """Rows in the order of the file, which have not been moved yet."""

    def groups(self) -> tuple[pl.Series, pl.Series]:
        """Values of the first sort column, and how many rows of each lie together."""

    def batches(self, rows: int) -> Iterator[pl.DataFrame]:
        """The rows, so many at a time."""


def in_order(frames: list[pl.DataFrame], sort_by: Sequence[str]) -> Ordered:
    """Put the rows of frames, one frame after another, in order; rows that are equal in it keep theirs.

    Args:
        frames: of the same columns; one or more, none of them empty. The list is empty afterwards, so that rows that
            had to be joined are not held twice.
        sort_by: the sort columns, by which nulls and NaN lie where Polars puts them.
    """
    ordered = stretches(frames, sort_by) or _Gathered(pl.concat(frames, rechunk=True), sort_by)
    frames.clear()
    return ordered


class _Gathered:
    def __init__(self, rows: pl.DataFrame, sort_by: Sequence[str]) -> None:
        self._rows = rows
        self._group = sort_by[0]
        self._order = _order(rows, sort_by)

    def groups(self) -> tuple[pl.Series, pl.Series]:
        group = self._rows[self._group]
        lengths = (group if self._order is None else group.gather(self._order)).rle().struct
        return lengths.field("value"), lengths.field("len").cast(pl.Int64)

    def batches(self, rows: int) -> Iterator[pl.DataFrame]:
        for start in range(0, self._rows.height, rows):
            if self._order is None:
                yield self._rows.slice(start, rows)
            else:  # gathered a batch at a time: a whole group is never held twice for it
                yield self._rows[self._order.slice(start, rows)]


def _order(rows: pl.DataFrame, sort_by: Sequence[str]) -> pl.Series | None:
    """Where the rows of the sorted frame lie in ``rows``; None where it is sorted as it is.

    Vendors send whole contracts: stretches of rows in which all but the last column, the time, stay the same. Where
    time only goes forward in each, looking at the first row of each tells whether the frame is sorted, without a key
    made of every row; and where none comes twice, sorting them is enough. Both are many times cheaper.
    """
    *fixed, last = sort_by
    if not fixed or rows[last].has_nulls():
        return None if rows.is_sorted(sort_by) else _stable_order(rows, sort_by)
    begins = reduce(operator.or_, (rows[name].slice(1).ne_missing(rows[name].head(-1)) for name in fixed))
    back = rows[last].slice(1) < rows[last].head(-1)
    if (back & ~begins).any():
        return _stable_order(rows, sort_by)
    start = pl.Series([True]).append(begins).arg_true()
    stretches = rows.select(fixed)[start]
    if stretches.is_sorted(fixed):
        return None
    if not stretches.is_unique().all():
        return _stable_order(rows, sort_by)
    ranges = pl.DataFrame({"start": start, "end": start.shift(-1, fill_value=rows.height)})
    in_order = ranges[_stable_order(stretches, fixed)]
    return in_order.select(pl.int_ranges("start", "end", dtype=pl.UInt32).explode()).to_series()


def _stable_order(rows: pl.DataFrame, sort_by: Sequence[str]) -> pl.Series:
    return rows.select(pl.arg_sort_by(sort_by, maintain_order=True)).to_series()
