"""Rows put in the order of the file a stretch at a time, by compiled code.

Vendors send whole contracts or tickers. A stretch is of rows one after another that agree in all sort columns but the
last, the time, which does not go back in them, and in all texts. There are hundreds of rows to one, so that sorting the
stretches instead of the rows costs next to nothing, and each is copied as it lies: once, from the frame in which it
came to the frame that is encoded.

Here: which rows are taken, their order, and copying them. Not here: rows of any other form (``row_order``, with
Polars); the loops over the rows (``stretches.c``).

Rows are taken if no column holds nulls or is in several pieces, the last sort column is of 64-bit integers, as
instants are, and a stretch has `_FEW` rows or more on average. Whoever calls must be able to put all others in order
in another way, to the same rows.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.column_memory import ColumnMemory, NewColumns, as_it_lies
from data_assets.compiled import functions

_FEW = 4

_Columns: TypeAlias = "dict[str, ColumnMemory]"


class _Column(ctypes.Structure):
    _fields_ = (("values", ctypes.c_void_p), ("size", ctypes.c_int64))


class _Moved(ctypes.Structure):
    _fields_ = (("frames", ctypes.POINTER(ctypes.c_void_p)), ("to", ctypes.c_void_p), ("size", ctypes.c_int64))


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    found.find_stretches.argtypes = (
        *(ctypes.POINTER(_Column), ctypes.c_int64),
        *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p),
    )
    found.find_stretches.restype = ctypes.c_int64
    found.copy_ranges.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(_Moved), ctypes.c_int64)
    found.copy_ranges.restype = None
    return found


_FUNCTIONS = functions(__file__, _declared)


class Stretches:
    """Rows in the order of the file; nothing is copied before it is asked for."""

    def __init__(
        self, columns: pl.Schema, frames: Sequence[_Columns], contracts: pl.DataFrame, ranges: npt.NDArray[np.int64]
    ) -> None:
        """Made by `stretches`.

        Args:
            columns: of the rows.
            frames: the rows as they lie.
            contracts: what the rows of each stretch agree in, the first sort column first, in the order of the file.
            ranges: its frame, its first row there, and its number of rows.
        """
        self._columns, self._frames, self._contracts, self._ranges = columns, frames, contracts, ranges
        self._ends = np.cumsum(ranges[:, 2])

    def groups(self) -> tuple[pl.Series, pl.Series]:
        """Values of the first sort column, and how many rows of each lie together."""
        group = self._contracts.to_series()
        first = np.append(0, np.flatnonzero(group[1:] != group[:-1]) + 1)
        return group[first], pl.Series(np.add.reduceat(self._ranges[:, 2], first))

    def batches(self, rows: int) -> Iterator[pl.DataFrame]:
        """The rows, so many at a time, each column in one piece."""
        total = int(self._ends[-1])
        for start in range(0, total, rows):
            end = min(start + rows, total)
            first, last = np.searchsorted(self._ends, (start, end - 1), side="right")
            ranges = self._ranges[first : last + 1].copy()
            passed = start - (self._ends[first] - ranges[0, 2])
            ranges[-1, 2] -= self._ends[last] - end
            ranges[0, 1:] += passed, -passed
            yield self._copied(self._contracts[first : last + 1], ranges, end - start)

    def _copied(self, contracts: pl.DataFrame, ranges: npt.NDArray[np.int64], rows: int) -> pl.DataFrame:
        assert _FUNCTIONS is not None
        copied = NewColumns(self._columns, rows)
        moved = (_Moved * len(copied.addresses))()
        for each, (name, to) in zip(moved, copied.addresses.items(), strict=True):
            starts = (ctypes.c_void_p * len(self._frames))(*(frame[name].address for frame in self._frames))
            each.frames, each.to, each.size = starts, to, copied.widths[name]
        _FUNCTIONS.copy_ranges(ranges.ctypes.data, len(ranges), moved, len(moved))
        columns = copied.written()
        stretch = np.repeat(np.arange(len(ranges)), ranges[:, 2])
        return pl.DataFrame(
            {name: columns[name] if name in columns else contracts.get_column(name)[stretch] for name in self._columns}
        )


def stretches(frames: Sequence[pl.DataFrame], sort_by: Sequence[str]) -> Stretches | None:
    """Put the rows of frames, one frame after another, in order; rows that are equal in it keep theirs.

    Args:
        frames: of the same columns, none of them empty.
        sort_by: the sort columns.

    Returns:
        None if the rows are not taken, or if the stretches of a contract lie across one another.
    """
    *fixed, last = sort_by
    if _FUNCTIONS is None or not fixed:
        return None
    contract = [*fixed, *(name for name, dtype in frames[0].schema.items() if dtype == pl.String and name not in fixed)]
    found, contracts, times, ranges = [], [], [], []
    left = sum(frame.height for frame in frames) // _FEW
    for number, frame in enumerate(frames):
        if (columns := _lying(frame)) is None or not _is_time(columns[last].dtype):
            return None
        if (starts := _starts(columns, contract, last, left)) is None:
            return None
        left -= len(starts)
        ends = np.append(starts[1:], frame.height)
        time = columns[last].held.view(np.int64)
        found.append(columns)
        contracts.append(pl.DataFrame({name: frame.get_column(name)[starts] for name in contract}))
        times.append(np.column_stack((time[starts], time[ends - 1])))
        ranges.append(np.column_stack((np.full_like(starts, number), starts, ends - starts)))
    arrived = pl.concat(contracts)
    time = np.concatenate(times)
    order = arrived.select(pl.arg_sort_by(*fixed, pl.Series(time[:, 0]), maintain_order=True)).to_series().to_numpy()
    in_order, time = arrived[order], time[order]
    neighbours = (in_order.get_column(name) for name in fixed)
    same = reduce(operator.and_, (each[1:] == each[:-1] for each in neighbours)).to_numpy()
    later = time[1:, 0] > time[:-1, 1]
    touching = (time[1:, 0] == time[:-1, 1]) & (order[1:] > order[:-1])
    if (same & ~later & ~touching).any():
        return None
    return Stretches(frames[0].schema, found, in_order, np.concatenate(ranges)[order])


def _lying(frame: pl.DataFrame) -> _Columns | None:
    """The columns as they lie in memory; None if one has values that are neither texts nor a number of bytes each."""
    columns = {}
    for name in frame.columns:
        if (memory := as_it_lies(frame.get_column(name))) is None:
            return None
        columns[name] = memory
    return columns


def _starts(columns: _Columns, contract: Sequence[str], last: str, most: int) -> npt.NDArray[np.int64] | None:
    """The first row of each stretch; None if there are more than ``most``."""
    assert _FUNCTIONS is not None
    compared = (_Column * len(contract))(*(_Column(columns[name].address, columns[name].width) for name in contract))
    rows = columns[last].rows
    starts = np.empty(min(rows, most), np.int64)
    count = _FUNCTIONS.find_stretches(
        compared, len(compared), columns[last].address, rows, len(starts), starts.ctypes.data
    )
    return None if count < 0 else starts[:count]


def _is_time(dtype: pl.DataType) -> bool:
    return dtype == pl.Int64 or isinstance(dtype, pl.Datetime)
