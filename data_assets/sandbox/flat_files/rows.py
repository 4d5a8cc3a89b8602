"""The rows of one synthetic flat file: the shared bars as the stock vendor shows them.

Here: the columns, the fractional volumes, the bars without volume, and what a second version of a file changes.
Not here: the text of a file (`flat_files.text`), and faults (`flat_files.damage`).

What is drawn for a row depends on its ticker, its minute and what it is drawn for: a file of few tickers is a part of
the file of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.sandbox.market.market import Floats, uniform
from data_assets.sandbox.market.minute_bars import bar_columns

FRACTIONAL_FROM = date(2026, 2, 23)
"""The first day on which trades of less than a share were reported as such (Nasdaq, "Fractional Share Reporting")."""

NANOSECONDS_PER_MINUTE = 60_000_000_000

_WITHOUT_VOLUME = 0.005  # of the minutes after which a ticker pauses
_WHOLE_SHARES = 0.05
_REMOVED, _ALTERED, _ADDED = 0.05, 0.01, 0.01

Columns = dict[str, npt.NDArray[Any]]


def rows(tickers: Sequence[str], day: date, *, fractional: bool, revision: int = 0) -> pl.DataFrame:
    """The rows of ``tickers`` on ``day``, ticker by ticker in the order given, each ticker's in order of time.

    Args:
        tickers: each once.
        day: a trading day.
        fractional: whether volumes have fractions of a share; their whole shares are those of `minute_bars`.
        revision: 0 for the file as first published; each further number is another version of it.

    Returns:
        The vendor's columns in the vendor's order: ticker String; volume Float64 (shares, at most six decimals); open,
        close, high, low Float64 (dollars, not adjusted); window_start Int64 (nanoseconds, UTC, of the minute's start);
        transactions Int64. A few rows have neither volume nor transactions: the vendor shows a minute, too, in which
        only prices were corrected.

    Raises:
        NotASession: ``day`` is no trading day.
    """
    bars = [bar_columns(ticker, day) for ticker in tickers]
    counts = [len(columns["timestamp"]) for columns in bars]
    owner = np.repeat(np.arange(len(tickers)), counts)
    seed = np.array([_seed(ticker) for ticker in tickers], dtype=np.uint64)
    together = {name: np.concatenate([columns[name] for columns in bars]) for name in bars[0]}
    minute = together["timestamp"].astype("datetime64[m]").astype(np.int64)
    columns: Columns = {
        "owner": owner,
        "volume": together["volume"].astype(np.float64),
        **{name: together[name] for name in ("open", "close", "high", "low")},
        "minute": minute,
        "transactions": together["trades"],
    }
    columns = _fill_pauses(columns, seed, "no volume", _WITHOUT_VOLUME, volume=0, transactions=0)
    if revision:
        columns = _revised(columns, seed, revision)
    if fractional:
        fraction = _draw("fraction", seed, columns)
        small = np.floor((fraction - _WHOLE_SHARES) / (1 - _WHOLE_SHARES) * 1e6)
        small[(fraction < _WHOLE_SHARES) | (columns["transactions"] == 0)] = 0
        columns["volume"] = (columns["volume"] * 1e6 + small) / 1e6
    ticker = pl.Series(list(tickers), dtype=pl.String).gather(columns.pop("owner"))
    window_start = columns.pop("minute") * NANOSECONDS_PER_MINUTE
    transactions = columns.pop("transactions")
    return pl.DataFrame({"ticker": ticker, **columns, "window_start": window_start, "transactions": transactions})


def _revised(columns: Columns, seed: npt.NDArray[np.uint64], revision: int) -> Columns:
    """Another version: some single trades cancelled, some bars with late trades, and some new bars."""
    cancelled = (columns["transactions"] == 1) & (_draw(f"removed {revision}", seed, columns) < _REMOVED)
    columns = {name: values[~cancelled] for name, values in columns.items()}
    draw = _draw(f"altered {revision}", seed, columns)
    late = (draw < _ALTERED) & (columns["transactions"] > 0)
    cents = np.rint(columns["high"] * 100) + np.where(late, 1 + np.floor(draw / _ALTERED * 20), 0)
    columns["high"] = cents / 100
    columns["volume"] = columns["volume"] + 100 * late
    columns["transactions"] = columns["transactions"] + late
    return _fill_pauses(columns, seed, f"added {revision}", _ADDED, volume=100, transactions=1)


def _fill_pauses(
    columns: Columns, seed: npt.NDArray[np.uint64], purpose: str, share: float, *, volume: int, transactions: int
) -> Columns:
    """Add a flat bar after ``share`` of the bars that no bar of the same ticker follows at once."""
    owner, minute = columns["owner"], columns["minute"]
    pause = np.zeros(len(owner), dtype=bool)
    pause[:-1] = (owner[1:] == owner[:-1]) & (minute[1:] > minute[:-1] + 1)
    at = np.flatnonzero(pause & (_draw(purpose, seed, columns) < share))
    close = columns["close"][at]
    new: Columns = {
        "owner": owner[at],
        "volume": np.full(len(at), volume),
        **dict.fromkeys(("open", "close", "high", "low"), close),
        "minute": minute[at] + 1,
        "transactions": np.full(len(at), transactions),
    }
    return {name: np.insert(values, at + 1, new[name]) for name, values in columns.items()}


@lru_cache(maxsize=32768)
def _seed(ticker: str) -> int:
    return int(uniform("flat file", ticker) * 2**48)


def _draw(purpose: str, seed: npt.NDArray[np.uint64], columns: Columns) -> Floats:
    """A number in [0, 1) for each row, by SplitMix64: from the ticker's seed, the minute and ``purpose`` alone."""
    key = np.uint64(int(uniform("flat file draw", purpose) * 2**48) << 16)
    mixed = (seed[columns["owner"]] << np.uint64(8)) + columns["minute"].astype(np.uint64) * np.uint64(
        0x9E3779B97F4A7C15
    )
    mixed ^= key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53
