"""Whether the values of a row group lie within the bounds that its footer says, by which readers skip row groups.

No checksum covers these bounds, so all rows are looked at: those of the lake's usual columns quickly, and whatever that
look does not see to be within them by Polars.

Here: comparing. Not here: reading the rows (``parquet_file``).
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from data_assets.column_memory import as_it_lies

_AS_STORED = (pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Date, pl.Datetime)


def outside_bounds(said: pq.RowGroupMetaData, rows: pl.DataFrame) -> str | None:
    """The first column with a value below or above what the footer says."""
    for place, name in enumerate(rows.columns):
        bounds, values = said.column(place).statistics, rows[name]
        if bounds is None or not bounds.has_min_max:
            continue
        if not _seen_within(values, bounds) and not _within(values, bounds):
            return name
    return None


def _seen_within(values: pl.Series, bounds: pq.Statistics) -> bool:
    """Whether a quick look at numbers, times or an enum sees them all within the bounds; they may be without that."""
    if not isinstance(values.dtype, (*_AS_STORED, pl.Enum)):
        return False
    memory = as_it_lies(values)
    if memory is None or not memory.rows:
        return False
    if isinstance(values.dtype, pl.Enum):
        indices, categories = memory.held, values.dtype.categories
        # Not by the array's own `to_numpy`, which imports pandas.
        places = np.frombuffer(indices.buffers()[1], f"u{memory.width}", memory.rows, indices.offset * memory.width)
        return bool(bounds.min <= categories[int(places.min())] and categories[int(places.max())] <= bounds.max)
    numbers = memory.held.view(np.int64) if isinstance(values.dtype, pl.Datetime) else memory.held
    return bool(bounds.min_raw <= numbers.min() and numbers.max() <= bounds.max_raw)  # NaN is within nothing


def _within(values: pl.Series, bounds: pq.Statistics) -> bool:
    if values.null_count() == len(values):
        return True
    if isinstance(values.dtype, pl.String) and bounds.min == bounds.max:
        return bool((values == bounds.min).all())
    if isinstance(values.dtype, pl.Datetime):  # as stored: pyarrow would import pandas to say an instant
        values, lowest, highest = values.to_physical(), bounds.min_raw, bounds.max_raw
    else:
        lowest, highest = bounds.min, bounds.max
    return bool(lowest <= values.min() and values.max() <= highest)
