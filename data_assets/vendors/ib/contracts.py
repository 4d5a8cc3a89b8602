"""The tickers that are wanted: a `tickers.csv` read into values.

Here: the file's columns, and what a row may say. Not here: whether TWS knows such a contract (``client``).

A stock of a US exchange is the only kind of security so far. A future or an option needs more columns (expiry,
multiplier; strike and right), other hours than the stock exchange's, and a place for them in the dataset's key:
`_FIELDS_OF` and `Ticker` are where such a kind begins.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

SecType = Literal["STK"]
Completeness = Literal["strict", "lenient"]

REQUIRED = ("symbol", "secType", "exchange", "currency")
OPTIONAL = ("primaryExchange", "completeness")

_FIELDS_OF: Mapping[SecType, tuple[str, ...]] = {"STK": REQUIRED}
_NOT_YET = {"FUT": "futures", "OPT": "options", "FOP": "options on futures", "IND": "indices", "CASH": "currencies"}
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
    """

    symbol: str
    sec_type: SecType = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    primary_exchange: str = ""
    completeness: Completeness = "strict"
    where: str = "tickers.csv"

    @property
    def dataset(self) -> str:
        """The dataset's key in the lake: ``ib/bars_1m/AAPL``; a space in the symbol becomes a dot there."""
        return f"ib/bars_1m/{self.symbol.replace(' ', '.')}"


def read_tickers(path: Path) -> tuple[Ticker, ...]:
    """The rows of the file, in its order; empty lines and spaces around values do not count.

    Raises:
        ValueError: the file, a row or a column is wrong; one line that names the file, the row and the column.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); it lists the tickers, one a row") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text; save it again as UTF-8") from None
    rows = [(number, _cells(line)) for number, line in enumerate(lines, start=1) if line.strip(" ,\t")]
    if not rows:
        raise ValueError(f"{path}: is empty; its first row is {','.join(REQUIRED)}, and each other one a ticker")
    (_, header), *data = rows
    _check_header(path, header)
    tickers = [_ticker(f"{path.name} row {number}", header, cells) for number, cells in data]
    if not tickers:
        raise ValueError(f"{path}: names no ticker; below the header each row is one")
    _refuse_repeats(tickers)
    return tuple(tickers)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))]


def _check_header(path: Path, header: Sequence[str]) -> None:
    expected = f"{','.join(REQUIRED)}, and perhaps {' and '.join(OPTIONAL)}"
    for name in REQUIRED:
        if name not in header:
            raise ValueError(f"{path.name} row 1: the column {name} is missing; the columns are {expected}")
    for name in header:
        if name not in (*REQUIRED, *OPTIONAL):
            raise ValueError(
                f"{path.name} row 1: the column {name or '(without a name)'} is unknown; they are {expected}"
            )
        if header.count(name) > 1:
            raise ValueError(f"{path.name} row 1: the column {name} is there twice")


def _ticker(where: str, header: Sequence[str], cells: Sequence[str]) -> Ticker:
    if len(cells) != len(header):
        raise ValueError(f"{where}: has {len(cells)} values for {len(header)} columns ({','.join(header)})")
    row = dict(zip(header, cells, strict=True))
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
    )


def _sec_type(where: str, text: str) -> SecType:
    if text == "STK":
        return "STK"
    if text in _NOT_YET:
        raise ValueError(f"{where}, column secType: {text}, {_NOT_YET[text]}, is not supported yet; STK is, for stocks")
    raise ValueError(f"{where}, column secType: {text!r} is no security type that is supported; STK is, for stocks")


def _completeness(where: str, text: str) -> Completeness:
    if text == "strict":
        return "strict"
    if text == "lenient":
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
