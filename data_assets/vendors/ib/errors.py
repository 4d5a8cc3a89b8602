"""What TWS's error codes and texts mean for a day.

Here: one outcome per code, and per text where a code alone says nothing. Not here: who receives them (``connection``),
and what is done about them (``client``, the engine).

Sources: IBKR Campus "TWS API Documentation", Error Codes; for the texts behind 162 and 165, which IB does not list,
what programs in public report of them. Code 162 is an umbrella: "no data", a pacing violation and a missing permission
are the same code, so its text decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    IngestError,
    NoData,
    NotEntitled,
    RunEnded,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.lake.errors import one_line

_LENGTH = 240

_NO_DATA = ("returned no data", "no historical market data for", "no head time stamp")
_PERMISSION = ("no market data permissions", "not subscribed", "market data is not allowed")
_ELSEWHERE = ("different ip address", "competing live session")
_OUR_MISTAKE = ("invalid step", "starting time must occur before ending time")
_DEFECT = "this is a defect of data_assets, or a newer TWS that it does not know: report it with this text"


class SessionElsewhere(VendorDown):
    """The account is logged in at another place, which takes the data away from this one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was for, as messages name it.

    Attributes:
        symbol: the ticker's.
        where: the ticker's row in its file.
        day: the session, where it was for bars.
    """

    symbol: str
    where: str
    day: date | None = None

    def __str__(self) -> str:
        return f"Symbol: {self.symbol}" + (f", Date: {self.day}" if self.day else "")


def ib_error(code: int, message: str, asked: Asked) -> str:
    """``IB Error 162: ... - Symbol: AAPL, Date: 2024-01-03``, on one line."""
    return f"IB Error {code}: {one_line(message, _LENGTH)} - {asked}"


def error_of(code: int, message: str, asked: Asked) -> IngestError | None:
    """The one error that an answer to a request means.

    Args:
        code: TWS's number.
        message: TWS's words.
        asked: what was asked, for the reason.

    Returns:
        None where the message only informs, and the request is still being answered.
    """
    said = ib_error(code, message, asked)
    text = message.lower()
    match code:
        case 162:
            return _of_history_service(said, text)
        case 165:
            recovering = "successful" in text
            return None if recovering else VendorDown(said)
        case 100 | 320 | 322:
            return Throttled(said)
        case 203 | 354 | 10089 | 10090 | 10187:
            return _not_entitled(said)
        case 420:
            return _not_entitled(said) if _any(_PERMISSION, text) else Throttled(said)
        case 10197:
            return _elsewhere(said)
        case 166:
            return DayEnded(Failed(f"{said}; IB keeps no history of expired or delisted contracts"))
        case 200:
            return RunEnded(f"{said}; correct symbol, exchange, currency or primaryExchange in {asked.where}")
        case 321 | 386 | 10295 | 10299 | 10314 | 10339:
            return RunEnded(f"{said}; TWS refuses the request itself: {_DEFECT}")
        case 326:
            return RunEnded(
                f"{said}; another program uses this client id: set IB_CLIENT_ID to another number, or end that program"
            )
        case 1300:
            return RunEnded(f"{said}; set IB_PORT to the port that TWS names here")
        case 502 | 503 | 504 | 507 | 1100 | 2105 | 2110:
            return VendorDown(said)
        case _ if 2100 <= code < 2200:
            return None
        case _:
            return Transient(said)


def _of_history_service(said: str, text: str) -> IngestError:
    if "pacing violation" in text:
        return Throttled(f"{said}; raise IB_SECONDS_BETWEEN_REQUESTS if this goes on")
    if _any(_NO_DATA, text):
        return DayEnded(NoData(said))
    if _any(_PERMISSION, text):
        return _not_entitled(said)
    if _any(_ELSEWHERE, text):
        return _elsewhere(said)
    if _any(_OUR_MISTAKE, text):
        return RunEnded(f"{said}; {_DEFECT}")
    return Transient(said)


def _not_entitled(said: str) -> IngestError:
    return DayEnded(NotEntitled(f"{said}; the account lacks this market data subscription or API permission"))


def _elsewhere(said: str) -> IngestError:
    return SessionElsewhere(
        f"{said}; the account is logged in elsewhere (mobile app, web, another TWS): log out there, or use another user"
    )


def _any(texts: tuple[str, ...], text: str) -> bool:
    return any(known in text for known in texts)
