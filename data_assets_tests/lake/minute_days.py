"""Days and months of minute bars of a few tickers, and how the tests store them."""

from calendar import monthrange
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from data_assets.lake.lake import Lake
from data_assets.lake.monthly import MonthProvenance
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StoredFile
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.trading_calendar import session, sessions
from data_assets.vendors.ib import schema as ib
from data_assets.vendors.ib.contracts import Ticker

DAILY = "polygon/minute_aggs"
MONTHLY = "polygon/minute_aggs_monthly"
TIME = "window_start"
COLUMNS = {
    "ticker": pl.String(),
    "volume": pl.Float64(),
    "open": pl.Float64(),
    "close": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "window_start": pl.Datetime("us", "UTC"),
    "transactions": pl.Int64(),
    "test_ticker": pl.Boolean(),
}
SCHEMA = pl.DataFrame(schema=COLUMNS).to_arrow().schema
BUILT_AT = datetime(2024, 6, 1, tzinfo=UTC)


def day_bars(day: date, *tickers: str, revision: int = 0) -> pl.DataFrame:
    """The synthetic bars of some tickers on a day, as stored; a revision has other volumes."""
    frames = [
        minute_bars(ticker, day).select(
            ticker=pl.lit(ticker),
            volume=pl.col("volume") + revision,
            open="open",
            close="close",
            high="high",
            low="low",
            window_start="timestamp",
            transactions="trades",
            test_ticker=pl.lit(value=False),
        )
        for ticker in sorted(tickers)
    ]
    return pl.concat(frames).cast(COLUMNS)


def as_read(bars: pl.DataFrame) -> pl.DataFrame:
    """Stored bars as `Lake.bars` returns them."""
    return bars.select(
        *("ticker", pl.col("window_start").alias("timestamp"), "open", "high", "low", "close", "volume"),
        *(pl.col("transactions").alias("trades"), "test_ticker"),
        time_new_york=pl.col("window_start").dt.convert_time_zone("America/New_York"),
    )


def provenance_of(lake: Lake, dataset: str, day: date, details: dict[str, Any]) -> Provenance:
    return Provenance(
        dataset=dataset,
        day=day,
        source=f"us_stocks_sip/minute_aggs_v1/{day:%Y/%m}/{day}.csv.gz",
        fetched_at=BUILT_AT,
        schema_version=1,
        raw_sha256="ab" * 32,
        raw_size=1234,
        synthetic=lake.synthetic,
        details=details,
    )


def store_day(lake: Lake, day: date, bars: pl.DataFrame, **details: Any) -> StoredFile:
    with lake.writer(DAILY, day, SCHEMA, ("ticker", TIME), whole_groups=True) as writer:
        writer.write(bars)
        return writer.finish(provenance_of(lake, DAILY, day, details)).publish()


def ib_bars(ticker: str, day: date) -> pl.DataFrame:
    """The synthetic bars of a ticker's regular hours, as they are stored of IB."""
    hours = session(day)
    bars = minute_bars(ticker, day).filter(pl.col("timestamp").is_between(hours.open, hours.close, closed="left"))
    return bars.rename({"vwap": "average", "trades": "bar_count"}).select(ib.SCHEMA.names()).cast(ib.SCHEMA)


def store_ib_day(lake: Lake, ticker: str, day: date, bars: pl.DataFrame | None = None) -> StoredFile:
    dataset = Ticker(ticker).dataset
    with lake.writer(dataset, day, ib.ARROW_SCHEMA, ib.SORT_BY) as writer:
        writer.write(ib_bars(ticker, day) if bars is None else bars)
        return writer.finish(provenance_of(lake, dataset, day, {})).publish()


def month_of(lake: Lake, ticker: str, month: date) -> tuple[MonthProvenance, pl.DataFrame]:
    """What a file of this month would be, were it built now."""
    days = sessions(month, month.replace(day=monthrange(month.year, month.month)[1]))
    versions = lake.day_versions(DAILY, days)
    provenance = MonthProvenance(
        dataset=MONTHLY,
        ticker=ticker,
        month=month,
        source=DAILY,
        days=versions,
        lacking=tuple(day for day in days if day not in versions),
        built_at=BUILT_AT,
        schema_version=1,
        synthetic=lake.synthetic,
    )
    return provenance, lake.scan(DAILY, days[0], days[-1]).filter(pl.col("ticker") == ticker).collect()


def store_month(lake: Lake, ticker: str, month: date) -> StoredFile:
    return lake.write_month(*month_of(lake, ticker, month), TIME)
