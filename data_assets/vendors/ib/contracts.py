"""The tickers of a `tickers.csv`, as values.

Here: the file's columns, the values that a row may have, and which contracts the calendar covers. Not here: the file's
text (``tickers_file``), and whether TWS knows such a contract (``client``).

A stock of a US exchange is the only kind of security so far: partitions and sessions are those of one calendar, and a
contract of any other exchange is refused before its first day (`foreign`). A future or an option needs more columns
(expiry, multiplier; strike and right), other hours than the stock exchange's, and a place for them in the dataset's
key: `_FIELDS_OF` and `Ticker` are where such a kind begins.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from data_assets.lake.bar_columns import IB_BARS, dataset_of
from data_assets.span import Span, read_span
from data_assets.trading_calendar import NEW_YORK
from data_assets.vendors.ib.tickers_file import read_rows

SecType = Literal["STK"]
Completeness = Literal["strict", "lenient"]

REQUIRED = ("symbol", "secType", "exchange", "currency")
OPTIONAL = ("primaryExchange", "completeness", "first_day", "last_day")

_FIELDS_OF: Mapping[SecType, tuple[str, ...]] = {"STK": REQUIRED}
_NOT_YET = {"FUT": "futures", "OPT": "options", "FOP": "options on futures", "IND": "indices", "CASH": "currencies"}

_US_EXCHANGES = frozenset(
    ("NYSE", "NASDAQ", "ISLAND", "ARCA", "AMEX", "BATS", "IEX", "NYSENAT", "CHX", "MEMX", "LTSE", "PINK", "OTCLNKECN")
)
"""As IB spells them. Toronto keeps New York's hours but not its days, so the zone alone does not tell; a new US
exchange needs no place here, since its stocks trade on some of these too."""

_SYMBOL = re.compile(r"[A-Z0-9]+([ .][A-Z0-9]+)*")
_EXCHANGE = re.compile(r"[A-Z0-9.]+")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Ticker:
    """One row of the file.

    Attributes:
        symbol: IB's spelling, such as AAPL or BRK B.
        sec_type: IB's kind of security.
        exchange: where requests are routed, such as SMART.
        currency: three letters.
        primary_exchange: the listing exchange, where symbol and currency alone are ambiguous; else empty.
        completeness: ``strict`` stores only days with a bar in every minute; ``lenient`` accepts absent minutes, for
            thinly traded tickers.
        where: file and row, for messages.
        first_day: the first day that is wanted, YYYY-MM-DD; empty for that of the list.
        last_day: the last one, where the symbol was renamed or delisted; else empty.
    """

    symbol: str
    sec_type: SecType = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    primary_exchange: str = ""
    completeness: Completeness = "strict"
    where: str = "tickers.csv"
    first_day: str = ""
    last_day: str = ""

    @property
    def dataset(self) -> str:
        """The dataset's key in the lake: ``ib/bars_1m/AAPL``; a space in the symbol becomes a dot there."""
        return dataset_of(IB_BARS, self.symbol)

    def span(self, usual: Span) -> Span:
        """From which day to which its bars are wanted; ``usual`` holds where the row says nothing.

        Raises:
            ValueError: the row's days are none; the text names the row and the column.
        """
        try:
            return read_span(self.first_day, self.last_day, usual)
        except ValueError as error:
            raise ValueError(f"{self.where}, column {error}") from None


def read_tickers(path: Path) -> tuple[Ticker, ...]:
    """The rows of the file, in its order.

    Raises:
        ValueError: the file, a row or a column is wrong; one line that names the file, the row (as an editor counts
            lines) and the column.
    """
    tickers = [
        _ticker(f"{path.name} row {row.line}", row.cells)
        for row in read_rows(path, required=REQUIRED, optional=OPTIONAL)
    ]
    if not tickers:
        raise ValueError(f"{path}: names no ticker; write one per row below the header")
    _refuse_repeats(tickers)
    return tuple(tickers)


def foreign(ticker: Ticker, *, zone: str, exchanges: Collection[str]) -> str | None:
    """Why a contract's sessions are not those of the calendar here, or None; dollars say nothing of the exchange.

    The row is not named.

    Args:
        ticker: the row.
        zone: the contract's time zone, as TWS names it (``US/Eastern``, ``GB-Eire``); empty where it says none.
        exchanges: its primary exchange and those on which it can be traded, as TWS spells them. SMART is none; without
            any other the zone decides alone.
    """
    places = sorted({name.split(".")[0] for name in exchanges} - {"", "SMART"})
    us_exchange = not places or not _US_EXCHANGES.isdisjoint(places)
    if us_exchange and _new_yorks(zone):
        return None
    return (
        f"{ticker.symbol} in {ticker.currency} is a contract of {', '.join(places) or 'no exchange'}, "
        f"time zone {zone or 'not said'}; only stocks of US exchanges are supported, whose days and hours are the "
        "calendar here"
    )


def _new_yorks(zone: str) -> bool:
    """Whether a zone's winter time is New York's, as that of IB's older name EST is; an unknown one counts as it."""
    try:
        theirs = ZoneInfo(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return True
    winter = datetime(2024, 1, 15, tzinfo=NEW_YORK)
    return winter.astimezone(theirs).utcoffset() == winter.utcoffset()


def _ticker(where: str, row: Mapping[str, str]) -> Ticker:
    sec_type = _sec_type(where, row["secType"])
    for name in _FIELDS_OF[sec_type]:
        if not row[name]:
            raise ValueError(f"{where}, column {name}: is empty; a {sec_type} needs it")
    _check(where, row, "symbol", _SYMBOL, "IB's symbol in capitals, such as AAPL or BRK B")
    _check(where, row, "exchange", _EXCHANGE, "an exchange as IB spells it, SMART for nearly every stock")
    _check(where, row, "currency", _CURRENCY, "three capital letters, such as USD")
    if row["currency"] != "USD":
        raise ValueError(
            f"{where}, column currency: {row['currency']} is not supported yet; USD is, for stocks of US exchanges, "
            "whose days and hours are the calendar here"
        )
    if row.get("primaryExchange"):
        _check(where, row, "primaryExchange", _EXCHANGE, "a listing exchange as IB spells it, such as NASDAQ or ARCA")
    return Ticker(
        symbol=row["symbol"],
        sec_type=sec_type,
        exchange=row["exchange"],
        currency=row["currency"],
        primary_exchange=row.get("primaryExchange", ""),
        completeness=_completeness(where, row.get("completeness") or "strict"),
        where=where,
        first_day=row.get("first_day", ""),
        last_day=row.get("last_day", ""),
    )


def _sec_type(where: str, text: str) -> SecType:
    if text == "STK":
        return "STK"
    if text in _NOT_YET:
        raise ValueError(
            f"{where}, column secType: {text}, {_NOT_YET[text]}, is not supported yet; use STK, for stocks"
        )
    raise ValueError(f"{where}, column secType: {text!r} is not a supported security type; use STK, for stocks")


def _completeness(where: str, text: str) -> Completeness:
    if text.casefold() == "strict":
        return "strict"
    if text.casefold() == "lenient":
        return "lenient"
    raise ValueError(f"{where}, column completeness: {text!r} must be {' or '.join(get_args(Completeness))}")


def _check(where: str, row: Mapping[str, str], column: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(row[column]):
        raise ValueError(f"{where}, column {column}: {row[column]!r} must be {expected}")


def _refuse_repeats(tickers: Sequence[Ticker]) -> None:
    first: dict[str, Ticker] = {}
    for ticker in tickers:
        before = first.setdefault(ticker.dataset, ticker)
        if before is not ticker:
            raise ValueError(f"{ticker.where}, column symbol: {ticker.symbol} is in {before.where} already")
