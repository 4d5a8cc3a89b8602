"""Columns of a frame as they lie in memory, for compiled code, which is given addresses.

Here: which columns are given, where their values begin, and a column made of what was written. Not here: the compiled
code (``compiled``), and what a module takes.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

_AS_STORED = pl.CompatLevel.newest()
_VIEW_BYTES = 16  # of a text, as Arrow calls what says where it lies: the same where the texts are the same


def as_it_lies(column: pl.Series) -> pa.Array | None:
    """A column without a copy, an enum as the places of its categories; None if it holds nulls or is in pieces."""
    if column.n_chunks() != 1 or column.null_count():
        return None
    array = column.to_arrow(compat_level=_AS_STORED)
    return array.indices if isinstance(array, pa.DictionaryArray) else array


def first_address(array: pa.Array) -> int:
    """Where the first value lies; the array must be kept as long as that is used."""
    return int(array.buffers()[1].address) + array.offset * value_bytes(array.type)


def value_bytes(kind: pa.DataType) -> int:
    """How many bytes each value has; of a text those of its view."""
    return _VIEW_BYTES if pa.types.is_string_view(kind) else kind.bit_width // 8


def column_of(array: pa.Array, dtype: pl.DataType) -> pl.Series:
    """A column of an array without a copy; of an enum it holds the places of the categories."""
    values = pl.Series(array)
    return values.cat.to(dtype) if isinstance(dtype, pl.Enum) else values
