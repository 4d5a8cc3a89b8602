"""What the formats that write numbers by themselves share: a day's option quotes, and counting what they round.

Here: reading and counting. Not here: bars (`frame`), and any format.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from data_assets.export.frame import TIME
from data_assets.lake.lake import Lake

INDEX_ROOTS = frozenset(
    {"SPX", "SPXW", "XSP", "NDX", "NDXP", "XND", "RUT", "RUTW", "MRUT", "VIX", "VIXW", "DJX", "OEX", "XEO"}
)
"""Roots of options on an index."""

_QUOTE_COLUMNS = ["symbol", "expiration", "strike", "right", TIME, "bid", "bid_size", "ask", "ask_size"]
_EXACT = 1e-4  # of the last digit: far above what doubles lose, far below any digit of a price


def quotes_of_day(lake: Lake, dataset: str, day: date) -> pl.LazyFrame:
    """The quotes of a day, once the whole file is found whole: contract, time, bid, ask and their sizes.

    Raises:
        Corrupt: the file is damaged.
        LakeError: it cannot be read.
    """
    lake.audit(dataset, day)
    return lake.scan(dataset, day, day, columns=_QUOTE_COLUMNS)


def rounded_values(rows: pl.DataFrame, digits: Mapping[str, int]) -> dict[str, int]:
    """How many values of each column have more digits than the format gives them.

    Args:
        rows: with these columns, numbers.
        digits: column -> how many digits behind the point it is written with.
    """
    scaled = {name: pl.col(name).cast(pl.Float64) * 10**count for name, count in digits.items()}
    counts = rows.select(((each - each.round()).abs() > _EXACT).sum().alias(name) for name, each in scaled.items())
    return dict(zip(scaled, counts.row(0), strict=True))
