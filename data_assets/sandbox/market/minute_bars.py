"""The synthetic market as one-minute bars, which the simulated stock vendors share.

Here: the bars of one symbol and day, extended hours included. Not here: a vendor's file or protocol, and its quirks.

A bar follows the path of `market`: it opens at the price of its minute and closes at that of the next one, so that the
regular session's last close is the day's. Every vendor that shows a (symbol, minute) shows the same bar.
"""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.sandbox.market.market import (
    FIRST_MINUTE,
    LAST_MINUTE,
    Floats,
    generator,
    minute_of_day,
    prices,
    uniform,
)
from data_assets.trading_calendar import session

LIQUID = ("AAPL", "AMZN", "GOOGL", "IWM", "META", "MSFT", "NVDA", "QQQ", "SPY", "TSLA")
"""The symbols that trade in every regular minute."""

_EARLY_CLOSE, _EARLY_LAST_MINUTE = 13 * 60, 17 * 60
_LIQUID_TRADES = 200.0
_FEWEST_TRADES, _RARELY_TO_OFTEN = 0.01, 720.0
_SHARES_PER_TRADE = 40.0
# Trades against those of a mean regular minute: before 07:00, to the open, and after the close.
_EARLY_SHARE, _PREMARKET_SHARE, _LATE_SHARE = 0.008, 0.03, 0.015
_SEVEN = 7 * 60


def minute_bars(symbol: str, day: date) -> pl.DataFrame:
    """The bars of ``symbol`` on ``day``: one row per minute with trades, oldest first.

    A bar with a single trade is flat at the minute's opening price.

    Returns:
        timestamp Datetime("us", "UTC"), the start of the minute; open, high, low, close Float64, dollars and cents;
        volume Int64, whole shares; vwap Float64, dollars; trades Int64. Minutes lie from 04:00 to 20:00 in New York,
        to 17:00 on days that close at 13:00. The liquid names have a row for every regular minute, others for fewer.

    Raises:
        NotASession: ``day`` is no trading day.
    """
    frame = pl.DataFrame(bar_columns(symbol, day))
    return frame.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


def bar_columns(symbol: str, day: date) -> dict[str, npt.NDArray[Any]]:
    """The columns of `minute_bars` as arrays, timestamps as ``datetime64[us]`` in UTC: cheaper for many symbols.

    Raises:
        NotASession: ``day`` is no trading day.
    """
    hours = session(day)
    opened, closed = minute_of_day(hours.open), minute_of_day(hours.close)
    end = last_minute(day)
    path = np.rint(prices(symbol, day, FIRST_MINUTE, end) * 100).astype(np.int64)
    minutes = np.arange(FIRST_MINUTE, end)
    random = generator("bars", symbol, day)

    liquid = symbol in LIQUID
    busy = (_LIQUID_TRADES if liquid else _usual_trades(symbol)) * _share_of_trades(minutes, opened, closed)
    trades = random.poisson(busy * np.exp(0.7 * random.standard_normal(len(minutes))))
    if liquid:
        trades[(minutes >= opened) & (minutes < closed)] += 2  # the least that can open and close apart

    at = np.flatnonzero(trades)
    trades, opens = trades[at], path[at]
    closes = np.where(trades > 1, path[at + 1], opens)
    spread = np.where(trades > 2, opens * 0.0003, 0.0)  # a third trade may be the high or the low
    above, below = (np.rint(spread * random.exponential(size=len(at))).astype(np.int64) for _ in range(2))
    high = np.maximum(opens, closes) + above
    low = np.maximum(np.minimum(opens, closes) - below, 1)
    vwap = np.round((low + (high - low) * random.uniform(0.2, 0.8, len(at))) / 100, 4)
    shares = _SHARES_PER_TRADE * np.exp(0.8 * random.standard_normal(len(at)))
    midnight = np.datetime64(hours.open.astimezone(UTC).replace(tzinfo=None), "us") - np.timedelta64(opened, "m")
    return {
        "timestamp": midnight + minutes[at].astype("timedelta64[m]"),
        "open": opens / 100,
        "high": high / 100,
        "low": low / 100,
        "close": closes / 100,
        "volume": trades * np.maximum(np.rint(shares), 1).astype(np.int64),
        "vwap": np.clip(vwap, low / 100, high / 100),
        "trades": trades.astype(np.int64),
    }


def last_minute(day: date) -> int:
    """Minutes after midnight in New York when trading after hours ends on ``day``: 1200, or 1020 on 13:00 closes.

    Raises:
        NotASession: ``day`` is no trading day.
    """
    return _EARLY_LAST_MINUTE if minute_of_day(session(day).close) == _EARLY_CLOSE else LAST_MINUTE


def _usual_trades(symbol: str) -> float:
    """Trades of ``symbol`` in a mean regular minute: spread evenly over the orders of magnitude."""
    return _FEWEST_TRADES * _RARELY_TO_OFTEN ** uniform("trades", symbol)


def _share_of_trades(minutes: npt.NDArray[np.int64], opened: int, closed: int) -> Floats:
    """How busy each minute is against a mean regular one: most after the open and before the close."""
    progress = (minutes - opened) / (closed - opened)
    regular = 0.7 + 0.9 * (2 * progress - 1) ** 2
    return np.select(
        [minutes < min(_SEVEN, opened), minutes < opened, minutes >= closed],
        [_EARLY_SHARE, _PREMARKET_SHARE, _LATE_SHARE],
        regular,
    )
