"""IB's minute bars: columns, units and meaning, and bars from ib_async turned into rows.

Here: the stored form of a day of bars. Not here: fetching them (``client``), and whether a day is whole (``day``).

Sources: IBKR Campus "TWS API Documentation", Historical Bar Data. TRADES are adjusted for splits and not for dividends;
IB leaves out trades far from the quote (combinations, blocks, derivatives), so that volumes are below the consolidated
tape's, and may revise a bar later.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal, Protocol

import polars as pl
import pyarrow as pa

from data_assets.lake.columns import Column
from data_assets.trading_calendar import NEW_YORK

SCHEMA_VERSION = 1

VOLUME_UNIT = (
    "shares, adjusted for splits; round lots of 100 if TWS is set to send market data in lots for US stocks, a setting "
    "that the API does not report"
)

COLUMNS: dict[str, Column] = {
    "timestamp": Column(pl.Datetime("us", "UTC"), "instant, UTC", "start of the minute"),
    "open": Column(pl.Float64(), "US dollars", "first price of the minute, adjusted for splits"),
    "high": Column(pl.Float64(), "US dollars", "highest price of the minute"),
    "low": Column(pl.Float64(), "US dollars", "lowest price of the minute"),
    "close": Column(pl.Float64(), "US dollars", "last price of the minute"),
    "volume": Column(
        pl.Float64(), VOLUME_UNIT, "volume without trades far from the quote, so it is below the consolidated tape's"
    ),
    "average": Column(pl.Float64(), "US dollars", "volume-weighted average price of the minute's trades"),
    "bar_count": Column(pl.Int64(), "trades", "number of trades in the minute"),
}
SCHEMA = pl.Schema({name: column.dtype for name, column in COLUMNS.items()})
ARROW_SCHEMA: pa.Schema = SCHEMA.to_frame().to_arrow().schema
SORT_BY = ("timestamp",)

VolumeUnit = Literal["lots", "unknown"]

_SHARES_IN_A_LOT = 100
_EXACT = 1e-6
_MOST = 0.5


class Bar(Protocol):
    """What ib_async's `BarData` holds, with `formatDate=2`: its date is an instant in UTC."""

    date: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    barCount: int


def frame_of(bars: Iterable[Bar]) -> pl.DataFrame:
    """Bars as rows of ``SCHEMA``, in the order they came."""
    rows = [(bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.barCount) for bar in bars]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def volume_unit(bars: pl.DataFrame, *, fetched_on: date) -> VolumeUnit:
    """What a day's volumes are in, where that is known.

    Fractions alone prove nothing, and neither do volumes below the number of trades: lots have them, shares divided by
    a later reverse split do, and fractions of a share are traded too. What is known: on the evening of the session
    itself no later split has changed it yet. Hundredths in every bar, and a fraction in most, are round lots then.

    Args:
        bars: rows of ``SCHEMA``, of one session.
        fetched_on: the New York date on which the bars came.
    """
    hundredths = pl.col("volume") * _SHARES_IN_A_LOT
    first = bars["timestamp"].min()
    assert isinstance(first, datetime), "bars of a session"
    if first.astimezone(NEW_YORK).date() < fetched_on:
        return "unknown"
    traded = bars.filter(bars["volume"] > 0)
    if traded.is_empty():
        return "unknown"
    in_hundredths, with_fraction = traded.select(
        ((hundredths - hundredths.round()).abs() < _EXACT).all().alias("in_hundredths"),
        (pl.col("volume") != pl.col("volume").floor()).mean().alias("with_fraction"),
    ).row(0)
    return "lots" if in_hundredths and with_fraction > _MOST else "unknown"
