"""Theta's query parameters: which each endpoint takes, and what they may say.

Here: from a query string to a typed query, or a refusal in the vendor's terms. Not here: answering it.

Source: Theta v3 OpenAPI. Where the terminal's reaction is not documented (an unknown parameter), the sandbox refuses,
so that a misspelt parameter is found in the sandbox and not on an invoice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from data_assets.sandbox.faults import (
    EOD_ENDPOINT,
    GREEKS_ENDPOINT,
    OPEN_INTEREST_ENDPOINT,
    QUOTE_ENDPOINT,
    THETA_HISTORIES,
)

INVALID_PARAMS = 473

_INTERVALS = {"1m": 1, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60}
_FINE_INTERVALS = ("tick", "10ms", "100ms", "500ms", "1s", "5s", "10s", "15s", "30s")
_RIGHTS: dict[str, Literal["CALL", "PUT"] | None] = {
    "call": "CALL",
    "c": "CALL",
    "put": "PUT",
    "p": "PUT",
    "both": None,
}
_LONGEST_RANGE = timedelta(days=31)

_MODEL = ("annual_dividend", "rate_type", "rate_value", "version")


@dataclass(frozen=True, slots=True)
class Accepts:
    """What one endpoint accepts.

    Attributes:
        required: parameters that must be given.
        optional: parameters that may be given, besides ``format``.
        several: whether ``symbol`` may be a list with commas, or ``*``.
        wildcard: whether ``expiration`` may be ``*``.
    """

    required: frozenset[str]
    optional: frozenset[str]
    several: bool = False
    wildcard: bool = False


def _accepts(required: str, optional: str = "", *, several: bool = False, wildcard: bool = False) -> Accepts:
    return Accepts(frozenset(required.split()), frozenset(optional.split()), several, wildcard)


_DAYS = "date start_date end_date"
_FILTERS = "strike right strike_range"
_TIMES = "interval start_time end_time"
ENDPOINTS: dict[str, Accepts] = {
    QUOTE_ENDPOINT: _accepts("symbol expiration", f"{_DAYS} {_FILTERS} {_TIMES} max_dte", wildcard=True),
    GREEKS_ENDPOINT: _accepts("symbol expiration", f"{_DAYS} {_FILTERS} {_TIMES} {' '.join(_MODEL)}"),
    OPEN_INTEREST_ENDPOINT: _accepts("symbol expiration", f"{_DAYS} {_FILTERS} max_dte", wildcard=True),
    EOD_ENDPOINT: _accepts("symbol expiration start_date end_date", f"{_FILTERS} max_dte", wildcard=True),
    "option/list/symbols": _accepts(""),
    "option/list/expirations": _accepts("symbol", several=True),
    "option/list/strikes": _accepts("symbol expiration", several=True),
    "option/list/dates/quote": _accepts("symbol expiration", "strike right"),
    "option/list/dates/trade": _accepts("symbol expiration", "strike right"),
    "option/list/contracts/quote": _accepts("date", "symbol max_dte", several=True),
    "option/list/contracts/trade": _accepts("date", "symbol max_dte", several=True),
}


class Refused(Exception):
    """The request gets this status and text instead of data."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a request asks for.

    Attributes:
        endpoint: one of ``ENDPOINTS``.
        symbols: option roots; None for all there are.
        expiration: one expiration; None for all.
        first: first day; None where the endpoint has no day.
        last: last day, included.
        strike: dollars; None for all.
        right: None for both.
        start: seconds after midnight in New York of the first row.
        end: the same of the last row, included.
        every: minutes from row to row.
        max_dte: most calendar days to expiration.
        strike_range: strikes on either side of the one at the money; None for all.
    """

    endpoint: str
    symbols: tuple[str, ...] | None
    expiration: date | None
    first: date | None
    last: date | None
    strike: float | None
    right: Literal["CALL", "PUT"] | None
    start: float
    end: float
    every: int
    max_dte: int | None
    strike_range: int | None


def parse(endpoint: str, given: Mapping[str, str]) -> Query:
    """Read the parameters of one of ``ENDPOINTS``.

    Raises:
        Refused: 473, with a text that names the parameter.
    """
    accepts = ENDPOINTS[endpoint]
    for name in sorted(accepts.required - given.keys()):
        raise Refused(INVALID_PARAMS, f"Missing required parameter: {name}")
    for name in sorted(given.keys() - accepts.required - accepts.optional - {"format"}):
        raise Refused(INVALID_PARAMS, f"Unknown parameter: {name}")
    if given.get("format", "csv") != "csv":
        raise _invalid("format", given["format"], "the sandbox serves csv only")
    for name in sorted(given.keys() & _MODEL):
        raise _invalid(name, given[name], "the sandbox knows no interest, no dividends and one method: leave it out")
    first, last = _days(given)
    query = Query(
        endpoint=endpoint,
        symbols=_symbols(given, accepts.several),
        expiration=_expiration(given, accepts.wildcard),
        first=first,
        last=last,
        strike=_strike(given),
        right=_right(given),
        start=_seconds(given, "start_time", "09:30:00"),
        end=_seconds(given, "end_time", "16:00:00"),
        every=_interval(given) if "interval" in accepts.optional else 1,
        max_dte=_at_least(given, "max_dte", 0),
        strike_range=_at_least(given, "strike_range", 1),
    )
    if endpoint in THETA_HISTORIES:
        _check_days(query)
    return query


def _check_days(query: Query) -> None:
    if query.first is None or query.last is None:
        raise Refused(INVALID_PARAMS, "Missing required parameter: date, or start_date and end_date")
    if query.last < query.first or query.last - query.first > _LONGEST_RANGE:
        raise Refused(INVALID_PARAMS, "Multi-day requests are limited to 1 month of data")
    if query.last != query.first and query.expiration is None:
        raise Refused(INVALID_PARAMS, "Multi-day requests must specify an expiration")
    if query.end < query.start:
        raise Refused(INVALID_PARAMS, "end_time lies before start_time")


def _days(given: Mapping[str, str]) -> tuple[date | None, date | None]:
    if "date" in given:
        day = _date("date", given["date"])
        return day, day
    if ("start_date" in given) != ("end_date" in given):
        raise Refused(INVALID_PARAMS, "start_date and end_date belong together")
    if "start_date" not in given:
        return None, None
    return _date("start_date", given["start_date"]), _date("end_date", given["end_date"])


def _symbols(given: Mapping[str, str], several: bool) -> tuple[str, ...] | None:
    text = given.get("symbol")
    if text is None or (text == "*" and several):
        return None
    names = tuple(text.split(","))
    if not all(name.isalnum() for name in names) or (len(names) > 1 and not several):
        raise _invalid("symbol", text, "one symbol" + (", several with commas, or *" if several else ""))
    return names


def _expiration(given: Mapping[str, str], wildcard: bool) -> date | None:
    text = given.get("expiration")
    if text is None or (text == "*" and wildcard):
        return None
    return _date("expiration", text)


def _date(name: str, text: str) -> date:
    for pattern in ("%Y%m%d", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, pattern).date()  # noqa: DTZ007 - a calendar day has no zone
        except ValueError:
            continue
    raise _invalid(name, text, "YYYYMMDD or YYYY-MM-DD")


def _strike(given: Mapping[str, str]) -> float | None:
    text = given.get("strike", "*")
    if text == "*":
        return None
    try:
        return float(text)
    except ValueError:
        raise _invalid("strike", text, "dollars, such as 220.000, or *") from None


def _right(given: Mapping[str, str]) -> Literal["CALL", "PUT"] | None:
    text = given.get("right", "both")
    if text.lower() not in _RIGHTS:
        raise _invalid("right", text, "call, put or both")
    return _RIGHTS[text.lower()]


def _interval(given: Mapping[str, str]) -> int:
    text = given.get("interval", "1s")
    if text in _FINE_INTERVALS:
        raise _invalid("interval", text, "the sandbox serves 1m and above; the default is 1s")
    if text not in _INTERVALS:
        raise _invalid("interval", text, ", ".join((*_FINE_INTERVALS, *_INTERVALS)))
    return _INTERVALS[text]


def _seconds(given: Mapping[str, str], name: str, default: str) -> float:
    text = given.get(name, default)
    for pattern in ("%H:%M:%S", "%H:%M:%S.%f"):
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - a time of day on New York's wall clock
        except ValueError:
            continue
        return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    raise _invalid(name, text, "HH:MM:SS or HH:MM:SS.SSS")


def _at_least(given: Mapping[str, str], name: str, least: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise _invalid(name, text, f"a whole number from {least} on")
    return int(text)


def _invalid(name: str, text: str, accepted: str) -> Refused:
    return Refused(INVALID_PARAMS, f"Invalid parameter {name}={text}: {accepted}")
