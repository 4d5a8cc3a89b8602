"""What a stored column says, for people and for the UI.

Here: the one value. Not here: any dataset's columns (the vendors' ``schema``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column.

    Attributes:
        dtype: its Polars type.
        unit: what its numbers count.
        meaning: what it says, with what to know before using it.
    """

    dtype: pl.DataType
    unit: str
    meaning: str


def documented(columns: Mapping[str, Column]) -> dict[str, tuple[str, str]]:
    """Each column's type and meaning as a person reads them: `Enum: CALL, PUT`, `Datetime, UTC`, `... [shares]`."""
    return {name: (_type_name(column.dtype), _meaning(column)) for name, column in columns.items()}


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Enum):
        return f"Enum: {', '.join(dtype.categories)}"
    return f"Datetime, {dtype.time_zone}" if isinstance(dtype, pl.Datetime) else str(dtype)


def _meaning(column: Column) -> str:
    """What a column says, and what its numbers count where they count something."""
    counts = column.dtype.is_numeric() and column.unit != "code"
    return f"{column.meaning} [{column.unit}]" if counts else column.meaning
