"""Columns of a frame as they lie in memory, for compiled code, which is given addresses.

What Arrow is asked for gives Python's lock away several times a column, and waits for it again wherever other threads
are at work. So numbers, dates and instants are looked at through NumPy, which does not, and Arrow is asked for others.

Here: which columns are given, where their values begin, and columns made of what was written. Not here: the compiled
code (``compiled``), and what a module takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa

_AS_STORED = pl.CompatLevel.newest()
_VIEW_BYTES = 16  # of a text, as Arrow calls what says where it lies: the same where the texts are the same

_NUMBERS = frozenset(
    {pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64}
)


@dataclass(frozen=True, slots=True)
class ColumnMemory:
    """A column's values, one after another.

    Attributes:
        address: where the first one lies.
        width: how many bytes each has; of a text those of its view, of an enum those of its category's place.
        rows: how many they are.
        dtype: the type of the column.
        held: what the memory belongs to, to be kept as long as the address is used: NumPy's view of numbers, dates
            and instants, Arrow's of the rest.
    """

    address: int
    width: int
    rows: int
    dtype: pl.DataType
    held: Any


def as_it_lies(column: pl.Series) -> ColumnMemory | None:
    """A column without a copy; None if it holds nulls, is in pieces, or has values that are no number of bytes each."""
    if column.n_chunks() != 1 or column.null_count():
        return None
    dtype = column.dtype
    if dtype in _NUMBERS or isinstance(dtype, pl.Datetime | pl.Date):
        # NumPy knows dates of 64 bits alone.
        numbers = (column.cast(pl.Int32) if isinstance(dtype, pl.Date) else column).to_numpy(allow_copy=False)
        address, _ = numbers.__array_interface__["data"]
        return ColumnMemory(address, numbers.itemsize, len(numbers), dtype, numbers)
    array = column.to_arrow(compat_level=_AS_STORED)
    if isinstance(dtype, pl.Enum):
        array = array.indices
    kind = array.type
    if not pa.types.is_string_view(kind) and not (pa.types.is_primitive(kind) and kind.bit_width % 8 == 0):
        return None
    return ColumnMemory(first_address(array), value_bytes(kind), len(array), dtype, array)


def first_address(array: pa.Array) -> int:
    """Where the first value lies; the array must be kept as long as that is used."""
    return int(array.buffers()[1].address) + array.offset * value_bytes(array.type)


def value_bytes(kind: pa.DataType) -> int:
    """How many bytes each value has; of a text those of its view."""
    return _VIEW_BYTES if pa.types.is_string_view(kind) else kind.bit_width // 8


class NewColumns:
    """Columns whose values compiled code is about to write; texts are not among them.

    Attributes:
        addresses: where the first value of each is to be.
        widths: how many bytes each value has; of an enum those of its category's place.
    """

    def __init__(self, columns: Mapping[str, pl.DataType], rows: int) -> None:
        """Make room for so many rows of those of the columns that are no texts."""
        self._rows = rows
        self._columns = {name: dtype for name, dtype in columns.items() if dtype != pl.String}
        self._kinds = {name: _stored_type(dtype) for name, dtype in self._columns.items()}
        self.widths = {name: value_bytes(kind) for name, kind in self._kinds.items()}
        # Each for itself: what is larger than 8 MB, jemalloc gives back to the system at once and asks for anew.
        self._memory = {name: pa.allocate_buffer(rows * width) for name, width in self.widths.items()}
        self.addresses = {name: memory.address for name, memory in self._memory.items()}

    def written(self) -> dict[str, pl.Series]:
        """The columns, without a copy, once every value has been written."""
        arrays = [
            pa.Array.from_buffers(kind, self._rows, [None, self._memory[name]]) for name, kind in self._kinds.items()
        ]
        frame = pl.DataFrame(pa.RecordBatch.from_arrays(arrays, list(self._kinds)))
        return {
            name: column.cat.to(dtype) if isinstance(dtype := self._columns[name], pl.Enum) else column
            for name, column in zip(self._columns, frame.get_columns(), strict=True)
        }


@lru_cache
def _stored_type(dtype: pl.DataType) -> pa.DataType:
    kind = pl.Series([], dtype=dtype).to_arrow(compat_level=_AS_STORED).type
    return kind.index_type if pa.types.is_dictionary(kind) else kind
