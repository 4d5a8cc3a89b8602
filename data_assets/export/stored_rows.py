"""What the formats that write numbers by themselves share: a day's option quotes, and counting what they round.

Here: reading, counting, and what belongs to a day. Not here: bars (`frame`), and any format.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from data_assets.export.frame import TIME
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import NEW_YORK

INDEX_ROOTS = frozenset(
    {"SPX", "SPXW", "XSP", "NDX", "NDXP", "XND", "RUT", "RUTW", "MRUT", "VIX", "VIXW", "DJX", "OEX", "XEO"}
)
"""Roots of options on an index."""

EVENING_BEFORE = "of the evening before, as the day is dated by trade date"
"""Why bars are left out where files are days from midnight to midnight."""

NO_NUMBER = "a price or volume that is no number, or too large for one"

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


def that_are_numbers(rows: pl.DataFrame, digits: Mapping[str, int]) -> pl.DataFrame:
    """The rows whose values can be whole numbers of a format; what is red on a check may hold others, once allowed.

    Args:
        rows: with these columns.
        digits: as for `rounded_values`.
    """
    scaled = (pl.col(name).cast(pl.Float64) * 10**count for name, count in digits.items())
    return rows.filter(pl.all_horizontal(each.is_finite() & (each.abs() < 2.0**63) for each in scaled))


def usable_bars(
    day: date, bars: pl.DataFrame, digits: Mapping[str, int], lasts: timedelta = timedelta()
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The bars of a day that a format can hold whose files are days from midnight to midnight in New York.

    A bar of a day that is dated by trade date may begin in the evening before.

    Args:
        day: the day.
        bars: with ``timestamp``, aware.
        digits: as for `rounded_values`.
        lasts: how long before its label a bar begins.

    Returns:
        The bars, and for each reason how many are left out.
    """
    of_date = bars.filter((pl.col(TIME) - lasts).dt.convert_time_zone(NEW_YORK.key).dt.date() == day)
    usable = that_are_numbers(of_date, digits)
    return usable, {EVENING_BEFORE: bars.height - of_date.height, NO_NUMBER: of_date.height - usable.height}


def rounded_values(rows: pl.DataFrame, digits: Mapping[str, int]) -> dict[str, int]:
    """How many values of each column have more digits than the format gives them.

    Args:
        rows: with these columns, numbers.
        digits: column -> how many digits behind the point it is written with.
    """
    scaled = {name: pl.col(name).cast(pl.Float64) * 10**count for name, count in digits.items()}
    counts = rows.select(((each - each.round()).abs() > _EXACT).sum().alias(name) for name, each in scaled.items())
    return dict(zip(scaled, counts.row(0), strict=True))
