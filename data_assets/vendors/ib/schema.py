"""IB's minute bars: columns, units and meaning, and bars from ib_async turned into rows.

Here: the stored form of a day of bars. Not here: fetching them (``client``), and whether a day is whole (``day``).

Sources: IBKR Campus "TWS API Documentation", Historical Bar Data. TRADES are adjusted for splits and not for dividends;
IB leaves out trades far from the quote (combinations, blocks, derivatives), so that volumes are below the consolidated
tape's, and may revise a bar later.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Protocol

import polars as pl
import pyarrow as pa

from data_assets.lake.columns import Column

SCHEMA_VERSION = 1

VOLUME_UNIT = (
    "shares; round lots of 100 where TWS is set to send market data in lots for US stocks, which the API does not tell"
)

COLUMNS: dict[str, Column] = {
    "timestamp": Column(pl.Datetime("us", "UTC"), "instant, UTC", "start of the minute"),
    "open": Column(pl.Float64(), "US dollars", "first price of the minute, adjusted for splits"),
    "high": Column(pl.Float64(), "US dollars", "highest price of the minute"),
    "low": Column(pl.Float64(), "US dollars", "lowest price of the minute"),
    "close": Column(pl.Float64(), "US dollars", "last price of the minute"),
    "volume": Column(
        pl.Float64(), VOLUME_UNIT, "volume without trades far from the quote, below the consolidated tape's"
    ),
    "average": Column(pl.Float64(), "US dollars", "average price of the minute's trades, weighted by volume"),
    "bar_count": Column(pl.Int64(), "trades", "how many trades the bar is made of"),
}
SCHEMA = pl.Schema({name: column.dtype for name, column in COLUMNS.items()})
ARROW_SCHEMA: pa.Schema = SCHEMA.to_frame().to_arrow().schema
SORT_BY = ("timestamp",)

VolumeUnit = Literal["lots", "unknown"]


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


def as_rules_read(bars: pl.DataFrame) -> pl.DataFrame:
    """The columns by the names that the rules for minute bars of every vendor know."""
    return bars.rename({"average": "vwap", "bar_count": "trades"})


def volume_unit(bars: pl.DataFrame) -> VolumeUnit:
    """What a day's volumes are in, as far as they tell: fractions, or fewer than trades, are lots; else it is open."""
    volume = pl.col("volume")
    lots = bars.select(((volume != volume.floor()) | (volume < pl.col("bar_count"))).any()).item()
    return "lots" if lots else "unknown"
