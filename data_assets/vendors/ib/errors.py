"""What TWS's error codes and texts mean for a day.

Here: one outcome per code, and per text if the code alone does not tell. Not here: receiving them (``connection``), and
what is done about them (``client``, the engine).

Sources: IBKR Campus "TWS API Documentation", Error Codes; for the texts of 162 and 165, which IB does not list, what
public programs report. Code 162 covers "no data", a pacing violation and a missing permission, so its text decides. A
TWS that is set to another language translates that text; then names in it that are never translated decide
(`_by_form`, a judgement), if there are any.

Some codes only advise: TWS says that a part is not subscribed or is delayed, and then sends what was requested. They do
not end a request. An unknown code may be of this kind, so it ends a request only if nothing follows.
"""

from __future__ import annotations

import re
from collections.abc import Collection
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

_ENGLISH_162 = "historical market data service"
_ENGLISH_321 = "error validating request"
_NO_DATA = ("returned no data", "no historical market data for", "no head time stamp")
_PERMISSION = ("no market data permissions", "not subscribed", "market data is not allowed")
_ELSEWHERE = ("different ip address", "competing live session")
_OUR_MISTAKE = ("invalid step", "starting time must occur before ending time")
_PASSING = ("query failed", "timed out", "query cancelled", "tws exited")
_FARM_LOST = ("disconnect", "connection attempt failed", "attempting", "broken", "lost")
_READ_ONLY = ("read-only", "read only")
_REACH = ("backfill years", "earlier than", "year(s) rejected")
_REFUSED_TO_ACCOUNT = (
    *("permission", "not allowed", "not permitted", "not authori", "not subscribed", "not entitled", "not eligible"),
    "additional subscription",
)
_OF_ACCOUNT = ("account", "log in", "login", "logged", "agreement", "trusted")
_DEFECT = "this is a defect of data_assets, or a newer TWS that it does not know: report it with this text"
_ENGLISH = (
    "TWS speaks another language: set it to English, or have its API messages in English (Global Configuration, API, "
    "Settings)"
)
_SERVICE_AWAY = "IB's history service dropped the request: if this goes on, restart TWS or IB Gateway, then run again"
_IB_162 = "IB Error 162"
_LACKS = "the account lacks this market data subscription or API permission"

_ADVISORIES = frozenset({10089, 10090, 10091, 10167})
"""Codes that come before data if the account is subscribed to a part of it, or to delayed data."""


class SessionElsewhere(VendorDown):
    """The account is logged in elsewhere, so that no data comes here."""


class Unreadable(VendorDown):
    """TWS says in another language what happened to a request; it may be a pacing violation."""


class Unknown(Transient):
    """An unknown code; the response may follow it, or it was the response."""


class WrongRow(RunEnded):
    """A ticker's row does not name one contract of which bars can be kept.

    Attributes:
        found: what is wrong with the contract, without the row.
        column: the one that has to be filled or corrected; empty where that cannot be told.
    """

    def __init__(self, text: str, *, found: str, column: str = "") -> None:
        super().__init__(text)
        self.found = found
        self.column = column


@dataclass(frozen=True, slots=True)
class Asked:
    """What was requested, for messages.

    Attributes:
        symbol: the ticker's symbol.
        where: the ticker's row in its file.
        day: the session, if bars were requested.
        contract_id: IB's number of the contract; None if TWS has not confirmed it in this run.
    """

    symbol: str
    where: str
    day: date | None = None
    contract_id: int | None = None

    def __str__(self) -> str:
        return f"Symbol: {self.symbol}" + (f", Date: {self.day}" if self.day else "")


def ib_error(code: int, message: str, asked: Asked) -> str:
    """Write ``IB Error 162: ... - Symbol: AAPL, Date: 2024-01-03``, on one line."""
    return f"IB Error {code}: {one_line(message, _LENGTH)} - {asked}"


def error_of(code: int, message: str, asked: Asked) -> IngestError | None:
    """Return the error that a message about a request means.

    Args:
        code: TWS's number.
        message: TWS's words.
        asked: what was requested, for the reason.

    Returns:
        None if the message only informs, and the response is still to come.
    """
    said = ib_error(code, message, asked)
    text = message.lower()
    match code:
        case 162:
            return _of_history_service(said, message, asked)
        case 165:
            return VendorDown(said) if _any(_FARM_LOST, text) and "successful" not in text else None
        case 100 | 320 | 322:
            return Throttled(said)
        case 203 | 354 | 10168 | 10186 | 10187:
            return _not_entitled(said)
        case 420:
            return _not_entitled(said) if _any(_PERMISSION, text) else Throttled(said)
        case 10197:
            return _elsewhere(said)
        case 166:
            return DayEnded(Failed(f"{said}; IB keeps no history of expired or delisted contracts"))
        case 200:
            return _of_contract(said, text, asked)
        case 321:
            return _of_validation(said, text, asked)
        case 386 | 10295 | 10299 | 10314 | 10339:
            return RunEnded(f"{said}; TWS refuses the request itself: {_DEFECT}")
        case 326:
            return RunEnded(
                f"{said}; another program uses this client id: set IB_CLIENT_ID to another number, or end that program"
            )
        case 1300:
            return RunEnded(f"{said}; set IB_PORT to the port that TWS names here")
        case 502 | 503 | 504 | 507 | 1100 | 2105 | 2110:
            return VendorDown(said)
        case 300 | 366:
            return Transient(f"{said}; {_SERVICE_AWAY}", cause=f"IB Error {code}")
        case _ if 2100 <= code < 2200 or code in _ADVISORIES:
            return None
        case _:
            return Unknown(said, cause=f"IB Error {code}")


def advice(codes: Collection[int], place: object) -> str:
    """Say what to do if no response came after these codes.

    Args:
        codes: TWS's numbers; none if it said nothing.
        place: the address of TWS.
    """
    if not _ADVISORIES.isdisjoint(codes):
        return _LACKS
    return (
        f"if this goes on, check whether TWS or IB Gateway at {place} shows a dialog or a login and whether its API "
        "settings trust this machine's address, and restart it"
    )


def _of_contract(said: str, text: str, asked: Asked) -> IngestError:
    ambiguous = "ambiguous" in text
    if asked.contract_id is not None:
        column = "; name the listing exchange in the column primaryExchange there" if ambiguous else ""
        return Transient(
            f"{said}; TWS has confirmed {asked.where} as contract {asked.contract_id}, so the row is not to blame: it "
            f"says this while it has lost IB's servers{column}",
            cause="IB Error 200",
        )
    if ambiguous:
        text = (
            f"{said}; more than one contract fits {asked.where}: name the listing exchange in its column "
            "primaryExchange, such as NASDAQ, NYSE or ARCA"
        )
        return WrongRow(text, found=said, column="primaryExchange")
    return WrongRow(f"{said}; correct symbol, exchange, currency or primaryExchange in {asked.where}", found=said)


def _of_validation(said: str, text: str, asked: Asked) -> IngestError:
    if _any(_READ_ONLY, text):
        return RunEnded(f"{said}; take the tick off Read-Only API in the API settings of TWS or IB Gateway")
    if _any(_ELSEWHERE, text):
        return _elsewhere(said)
    if _any(_REACH, text):
        return _too_far_back(said)
    if _any(_REFUSED_TO_ACCOUNT, text):
        return _not_entitled(said)
    if _any(_OF_ACCOUNT, text):
        return RunEnded(f"{said}; it concerns the account or the login: mend it in TWS, then run again")
    if "please enter" in text:  # what is missing or unknown is a part of the contract, which a person wrote
        return WrongRow(f"{said}; correct it in {asked.where}, then run again", found=said)
    if not text.startswith(_ENGLISH_321):
        return RunEnded(f"{said}; TWS refuses the request itself, and {_ENGLISH}, then run again for the reason")
    return RunEnded(f"{said}; TWS refuses the request itself: {_DEFECT}")


def _of_history_service(said: str, message: str, asked: Asked) -> IngestError:
    text = message.lower()
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
    if _any(_REACH, text):
        return _too_far_back(said)
    if _any(_PASSING, text):
        return Transient(f"{said}; {_SERVICE_AWAY}", cause=_IB_162)
    if text.startswith(_ENGLISH_162):
        return Transient(said, cause=_IB_162)
    return _by_form(said, message, asked)


def _by_form(said: str, message: str, asked: Asked) -> IngestError:
    """Tell what a 162 in another language means, by the names in it that IB does not translate.

    Only the text of "returned no data" names the query, as ``AAPL@SMART Trades`` or ``AAPL/STK@SMART``, and only that
    of a missing permission ends with an exchange and a kind of security, as ``ISLAND STK``. The others, a pacing
    violation among them, hold no such name: no request is sent for a while.
    """
    symbol = re.escape(asked.symbol)
    if re.search(rf"(?<!\w){symbol}(/[A-Z]+)?@[A-Z]+", message):
        return DayEnded(NoData(f"{said}; {_ENGLISH}: read as no data, because it names the query"))
    if re.search(r"\b[A-Z]{3,} STK\W*$", message):
        return DayEnded(
            NotEntitled(f"{said}; {_ENGLISH}: read as a missing permission, because it names an exchange and STK")
        )
    return Unreadable(f"{said}; {_ENGLISH}, so that the reason can be read", cause="IB Error 162, not in English")


def _not_entitled(said: str) -> IngestError:
    return DayEnded(NotEntitled(f"{said}; {_LACKS}"))


def _too_far_back(said: str) -> IngestError:
    return DayEnded(NotEntitled(f"{said}; the account's history reaches no further back"))


def _elsewhere(said: str) -> IngestError:
    return SessionElsewhere(
        f"{said}; the account is logged in elsewhere (mobile app, web, another TWS): log out there, or use another user"
    )


def _any(texts: tuple[str, ...], text: str) -> bool:
    return any(known in text for known in texts)
