"""What changed between two revisions of a day.

Here: the comparison of two frames of bars. Not here: which revisions are compared, and where they lie (``day``).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from data_assets.quality.minute_bars import PRICES
from data_assets.vendors.polygon.schema import SORT_BY


@dataclass(frozen=True, slots=True)
class Difference:
    """How a day's bars differ from those that they replace.

    Attributes:
        rows_added: (ticker, minute) pairs that are new.
        rows_removed: pairs that are gone.
        rows_altered: pairs of which any value differs.
        largest_price_change: of all prices of altered rows, as a share of the price before; 0 where none differs.
    """

    rows_added: int
    rows_removed: int
    rows_altered: int
    largest_price_change: float


def difference(before: pl.DataFrame, after: pl.DataFrame) -> Difference:
    """Compare two revisions, each with unique (ticker, window_start) in the columns of ``schema.SCHEMA``."""
    keys = list(SORT_BY)
    values = [name for name in after.columns if name not in keys]
    both = after.join(before, on=keys, suffix="_before")
    altered = both.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_before") for name in values))
    change = altered.select(
        pl.max_horizontal(
            ((pl.col(name) / pl.col(f"{name}_before")) - 1).abs().filter(pl.col(f"{name}_before") > 0).max()
            for name in PRICES
        )
    ).item()
    return Difference(
        rows_added=after.height - both.height,
        rows_removed=before.height - both.height,
        rows_altered=altered.height,
        largest_price_change=float(change or 0),
    )
