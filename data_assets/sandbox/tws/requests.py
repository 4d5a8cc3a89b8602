"""What a client asks of TWS: messages turned into values, and the checks TWS makes before it looks at any data.

Here: layouts of requests at server version 178, and what is refused for its form, in TWS's order. Not here: the frames
(``tws.wire``), whether there is such a stock (``tws.stocks``), and the data (``tws.history``).

Sources: the message layouts as ib_async 2.1 writes them; IBKR Campus "TWS API Documentation" for the error codes, bar
sizes and durations. TWS looks at the end date first (10314) and at the rest after it (321); the two letters in its
texts for 321 vary and mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NoReturn, cast
from zoneinfo import ZoneInfo

from data_assets.trading_calendar import NEW_YORK

HMDS = "Historical Market Data Service error message:"
"""What every text of code 162 begins with; only what follows says what has happened."""

SCHEDULE = "SCHEDULE"

_SMALL_BARS = ("1 secs", "5 secs", "10 secs", "15 secs", "30 secs")
_DAILY = "1 day"
_BAR_SIZES = (
    *_SMALL_BARS,
    *("1 min", "2 mins", "3 mins", "5 mins", "10 mins", "15 mins", "20 mins", "30 mins"),
    *("1 hour", "2 hours", "3 hours", "4 hours", "8 hours"),
    *(_DAILY, "1W", "1 week", "1M", "1 month"),
)
_SHOWN = (
    *("TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST", "AGGTRADES"),
    *("HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE", SCHEDULE),
)
_LONGEST = {"D": 365, "W": 52, "M": 12, "Y": 68}

_END = re.compile(r"(\d{8})([- ])(\d\d:\d\d:\d\d)(?: (\S+))?", re.ASCII)
_DURATION = re.compile(r"(\d{1,9})(?: ([SDWMY]))?", re.ASCII)
_INVALID_END = (
    "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx, "
    "or yyyymmdd-hh:mm:ss for UTC."
)
_SECONDS_AT_LEAST, _SECONDS_AT_MOST = 30, 86_400

Unit = Literal["S", "D", "W", "M", "Y"]


class Refused(Exception):
    """TWS answers with this error instead of data."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class ContractQuery:
    """The twelve fields by which a client says which contract it means; empty ones match anything."""

    con_id: int
    symbol: str
    sec_type: str
    last_trade_date: str
    strike: str
    right: str
    multiplier: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str


@dataclass(frozen=True, slots=True)
class DetailsRequest:
    """Message 9: what is this contract?"""

    req_id: int
    contract: ContractQuery


@dataclass(frozen=True, slots=True)
class HeadRequest:
    """Message 87: how far back does the data of this contract go?"""

    req_id: int
    contract: ContractQuery
    use_rth: bool
    shows: str
    format_date: int


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """Message 20: bars, or the schedule of sessions."""

    req_id: int
    contract: ContractQuery
    end: str
    bar_size: str
    duration: str
    use_rth: bool
    shows: str
    format_date: int
    keep_up_to_date: bool

    @property
    def small_bars(self) -> bool:
        """Whether the bars are of 30 seconds or less, for which alone IB documents its pacing rules."""
        return self.bar_size in _SMALL_BARS


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time that a request for history means.

    Attributes:
        end: UTC; nothing from it on is asked for.
        amount: so many of ``unit``.
        unit: seconds, days, weeks, months or years.
        zone_implied: the end came without a time zone, of which TWS warns (2174).
    """

    end: datetime
    amount: int
    unit: Unit
    zone_implied: bool = False


def parse_details(message: list[str]) -> DetailsRequest:
    """Read message 9.

    Raises:
        Refused: 320, the message is not laid out as it should be.
    """
    rest = iter(message[2:])
    return DetailsRequest(_number(rest), _contract(rest))


def parse_head(message: list[str]) -> HeadRequest:
    """Read message 87.

    Raises:
        Refused: 320, the message is not laid out as it should be.
    """
    rest = iter(message[1:])
    req_id, contract, _expired = _number(rest), _contract(rest), _text(rest)
    return HeadRequest(req_id, contract, _flag(rest), _text(rest), _number(rest))


def parse_history(message: list[str]) -> HistoryRequest:
    """Read message 20.

    Raises:
        Refused: 320, the message is not laid out as it should be.
    """
    rest = iter(message[1:])
    req_id, contract, _expired = _number(rest), _contract(rest), _text(rest)
    end, bar_size, duration = _text(rest), _text(rest), _text(rest)
    use_rth, shows, format_date = _flag(rest), _text(rest), _number(rest)
    last = list(rest)  # the legs of a combination, whether to keep the bars up to date, and options
    if len(last) < 2:
        raise Refused(320, "Error reading request. The message ends too early")
    return HistoryRequest(
        req_id, contract, end, bar_size, duration, use_rth, shows, format_date, _flag(iter(last[-2:]))
    )


def span(request: HistoryRequest, now: datetime) -> Span:
    """Check a request for history as TWS does, and say which stretch of time it means.

    Args:
        request: what was asked.
        now: aware; the end of a request that names none.

    Raises:
        Refused: 10314 for the end, 321 for everything else, 10295 for a schedule of other than daily bars.
    """
    end, zone_implied = (now, False) if not request.end else _end(request.end)
    amount, unit = _duration(request.duration)
    if request.bar_size not in _BAR_SIZES:
        _invalid(f"Historical data bar size setting is invalid. Legal ones are: {', '.join(_BAR_SIZES)}")
    _check_shown(request.shows, request.format_date)
    if request.shows == SCHEDULE and request.bar_size != _DAILY:
        raise Refused(10295, "Only daily resolution supported for Schedule requests")
    return Span(end, amount, unit, zone_implied)


def check_head(request: HeadRequest) -> None:
    """Check a request for a head timestamp as TWS does.

    Raises:
        Refused: 321.
    """
    _check_shown(request.shows, request.format_date)


def _check_shown(shows: str, format_date: int) -> None:
    if shows not in _SHOWN:
        _invalid(f"The data type {shows!r} is invalid. Legal ones are: {', '.join(_SHOWN)}")
    if format_date not in (1, 2, 3):
        _invalid(f"The date format {format_date} is invalid. Legal ones are: 1, 2, 3")


def _end(text: str) -> tuple[datetime, bool]:
    match = _END.fullmatch(text)
    if match is None:
        raise Refused(10314, _INVALID_END)
    day, separator, clock, zone = match.groups()
    try:
        moment = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007  the zone follows
    except ValueError:
        raise Refused(10314, _INVALID_END) from None
    if separator == "-":
        if zone is not None:
            raise Refused(10314, _INVALID_END)
        return moment.replace(tzinfo=UTC), False
    return moment.replace(tzinfo=_zone(zone) if zone else NEW_YORK).astimezone(UTC), zone is None


def _zone(name: str) -> ZoneInfo:
    """Full names and UTC alone: TWS refuses abbreviations such as GMT or EST."""
    try:
        if "/" in name or name == "UTC":
            return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        pass
    raise Refused(10314, _INVALID_END)


def _duration(text: str) -> tuple[int, Unit]:
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        _invalid(f"The duration {text!r} is invalid. Legal is a number, a space and one of S, D, W, M, Y")
    amount, unit = int(match[1]), cast(Unit, match[2] or "S")
    if unit == "S" and amount < _SECONDS_AT_LEAST:
        _invalid(f"A duration of less than {_SECONDS_AT_LEAST} seconds is invalid")
    if unit == "S" and amount > _SECONDS_AT_MOST:
        _invalid(f"Historical data request for greater than {_SECONDS_AT_MOST} seconds rejected.")
    if amount > _LONGEST.get(unit, amount):
        _invalid("Historical data requests for durations longer than 365 days must be made in years.")
    return amount, unit


def _invalid(cause: str) -> NoReturn:
    raise Refused(321, f"Error validating request.-'bN' : cause - {cause}")


def _contract(rest: Iterator[str]) -> ContractQuery:
    return ContractQuery(_number(rest), *(_text(rest) for _ in range(11)))


def _text(rest: Iterator[str]) -> str:
    text = next(rest, None)
    if text is None:
        raise Refused(320, "Error reading request. The message ends too early")
    return text


def _number(rest: Iterator[str]) -> int:
    text = _text(rest)
    try:
        return int(text or 0)
    except ValueError:
        raise Refused(320, f"Error reading request. {text!r} stands where a whole number belongs") from None


def _flag(rest: Iterator[str]) -> bool:
    return _number(rest) != 0
