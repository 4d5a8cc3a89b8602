"""Days of minute bars of several tickers, as the rules read them."""

from datetime import date, datetime, timedelta

import polars as pl

from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.trading_calendar import session

DAY = date(2024, 1, 3)
HALF_DAY = date(2024, 11, 29)
HOURS, HALF_HOURS = session(DAY), session(HALF_DAY)
MINUTE = timedelta(minutes=1)


def market(*tickers: str, day: date = DAY) -> pl.DataFrame:
    """The synthetic bars of some tickers, extended hours included, in the order of the file."""
    frames = [minute_bars(ticker, day).with_columns(ticker=pl.lit(ticker)) for ticker in sorted(tickers)]
    bars = pl.concat(frames)
    return bars.select("ticker", *(column for column in bars.columns if column != "ticker"))


def alone(ticker: str = "AAPL", day: date = DAY) -> pl.DataFrame:
    """The regular session of one security, without its ticker."""
    hours = session(day)
    return minute_bars(ticker, day).filter(pl.col("timestamp").is_between(hours.open, hours.close, closed="left"))


def at(bars: pl.DataFrame, rows: list[int], **values) -> pl.DataFrame:
    """The bars with these rows' values replaced."""
    hit = pl.int_range(pl.len()).is_in(rows)
    return bars.with_columns(
        pl.when(hit).then(pl.lit(value)).otherwise(pl.col(column)).cast(bars.schema[column]).alias(column)
        for column, value in values.items()
    )


def without(bars: pl.DataFrame, first: datetime, minutes: int, *tickers: str) -> pl.DataFrame:
    """The bars without some minutes, of these tickers or of all."""
    gone = pl.col("timestamp").is_between(first, first + minutes * MINUTE, closed="left")
    return bars.filter(~(gone & pl.col("ticker").is_in(tickers)) if tickers else ~gone)
