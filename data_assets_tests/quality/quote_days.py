"""Made-up days of option quotes for the tests of the rules: 2024-01-03, in New York 5 hours behind UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from data_assets.quality.contract_summary import contract_pieces, contract_summary

DAY = date(2024, 1, 3)
OPEN = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)
CLOSE = datetime(2024, 1, 3, 21, 0, tzinfo=UTC)
OPTION_CLOSE = datetime(2024, 1, 3, 21, 15, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

SCHEMA = {
    "symbol": pl.String(),
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "right": pl.Enum(["CALL", "PUT"]),
    "timestamp": pl.Datetime("us", "UTC"),
    "bid_size": pl.Int64(),
    "bid_exchange": pl.Int16(),
    "bid": pl.Float64(),
    "bid_condition": pl.Int16(),
    "ask_size": pl.Int64(),
    "ask_exchange": pl.Int16(),
    "ask": pl.Float64(),
    "ask_condition": pl.Int16(),
}


@dataclass(frozen=True)
class Contract:
    """One contract and the part of the grid that its rows cover."""

    expiration: date = date(2024, 1, 19)
    strike: float = 400.0
    right: str = "CALL"
    start: datetime = OPEN
    end: datetime = OPTION_CLOSE
    symbol: str = "QQQ"


def quotes_of(*contracts: Contract) -> pl.DataFrame:
    """A good day of these contracts, one after the other, a row a minute, empty at the open."""
    rows = [
        (c.symbol, c.expiration, c.strike, c.right, stamp, *_quote(stamp))
        for c in contracts
        for stamp in (c.start + n * MINUTE for n in range((c.end - c.start) // MINUTE + 1))
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def chain(expirations: Sequence[date] = (DAY, date(2024, 1, 5), date(2024, 1, 19)), strikes: int = 3) -> list[Contract]:
    """Calls and puts in the order of the file; what expires on the day ends at 16:00, all else at 16:15."""
    return [
        Contract(expiration, 400.0 + strike, right, end=CLOSE if expiration == DAY else OPTION_CLOSE)
        for expiration in expirations
        for strike in range(strikes)
        for right in ("CALL", "PUT")
    ]


def summary_of(quotes: pl.DataFrame, close: datetime = OPTION_CLOSE) -> pl.DataFrame:
    """The summary with this day's session and a grid of minutes."""
    return contract_summary(quotes, open_=OPEN, close=close, interval=MINUTE)


def pieces_of(quotes: pl.DataFrame, close: datetime = OPTION_CLOSE) -> pl.DataFrame:
    """The same in pieces, for `merge_summaries`."""
    return contract_pieces(quotes, open_=OPEN, close=close, interval=MINUTE)


def _quote(stamp: datetime) -> tuple[int, int, float, int, int, int, float, int]:
    return (0, 42, 0.0, 50, 0, 42, 0.0, 50) if stamp == OPEN else (10, 5, 1.0, 50, 20, 9, 1.05, 50)
