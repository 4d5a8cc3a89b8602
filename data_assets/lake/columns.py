"""What a stored column says, for people and for the UI.

Here: the one value. Not here: any dataset's columns (the vendors' ``schema``).
"""

from __future__ import annotations

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
