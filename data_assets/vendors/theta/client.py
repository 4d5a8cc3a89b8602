"""The client of a Theta Terminal's v3 HTTP API, and what its status codes mean.

Here: requests, the limit of requests at once, timeouts, and one error per status. Not here: what the bodies hold
(``schema``), and what makes a day complete (``day``).

Sources: Theta v3 OpenAPI for paths and parameters; the vendor's "Error Codes" and "Concurrent Requests" pages for
statuses and limits. The terminal queues requests beyond the tier's limit, and answers 429 when its queue is full, even
for its status page, so a status probe takes one of the same slots as a download.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import TracebackType
from typing import ClassVar, Self

import httpx
import polars as pl

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
from data_assets.quality.contract_summary import CONTRACT
from data_assets.vendors.theta import schema
from data_assets.vendors.theta.words import NO_DATA, refuse_words, table

LIST_BYTES = 256_000_000
"""The most that a list may take; the longest, the contracts of a day, has a few megabytes."""

CONNECT_SECONDS = 10.0
STALL_SECONDS = 60.0
POLL_SECONDS = 2.0

LIST_CONTRACTS = "option/list/contracts/quote"
LIST_DATES = "option/list/dates/quote"
LIST_EXPIRATIONS = "option/list/expirations"
STATUS = "terminal/mdds/status"

INTERVALS = {
    "1s": timedelta(seconds=1),
    "5s": timedelta(seconds=5),
    "10s": timedelta(seconds=10),
    "15s": timedelta(seconds=15),
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "10m": timedelta(minutes=10),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
}
"""The vendor's intervals of at least a second; the shorter ones, and ticks, do not make a grid that can be checked."""

_CONNECTED = "CONNECTED"
_SYNTHETIC_SERVER = "data_assets-sandbox"  # as the sandbox spells it; vendors know nothing else of it
_REASON_LENGTH = 200
_ERROR_BODY_SIZE = 4096
_SERVER_ERRORS = 500
_START = "start it with `java -jar ThetaTerminalv3.jar` (Java 21), or set THETA_BASE_URL to where it runs"
_TIERS = "options Value reaches back to 2020-01-01, Standard to 2016-01-01, Pro to 2012-06-01"


class LargeRequest(Transient):
    """Status 570: the vendor wants the same data in smaller requests."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One request for a history of the options of one root on one day.

    Attributes:
        endpoint: the path of the call.
        what: the kind of data, for messages.
        symbol: option root, such as QQQ or SPXW.
        day: the New York date.
        expiration: YYYY-MM-DD, or ``*`` for all where the endpoint accepts it.
        right: call, put or both.
    """

    endpoint: ClassVar[str]
    what: ClassVar[str]
    symbol: str
    day: date
    expiration: str = field(default="*", kw_only=True)
    right: str = field(default="both", kw_only=True)

    def params(self) -> dict[str, str]:
        """Return the query. No parameter is left to its default: without ``interval`` the vendor sends seconds."""
        chain = {"symbol": self.symbol, "expiration": self.expiration, "right": self.right}
        return {**chain, **self._of_the_day(), "format": "csv"}

    def _of_the_day(self) -> dict[str, str]:
        return {"date": f"{self.day:%Y%m%d}"}

    def asked(self) -> schema.Asked:
        """Return what the rows of the response must match."""
        expiration = None if self.expiration == "*" else date.fromisoformat(self.expiration)
        return schema.Asked(self.symbol, self.day, expiration, None if self.right == "both" else self.right.upper())

    def __str__(self) -> str:
        which = "" if self.expiration == "*" else f" {self.expiration}"
        right = "" if self.right == "both" else f" {self.right}"
        return f"{self.symbol}{which}{right} {self.what} of {self.day}"


@dataclass(frozen=True, slots=True)
class GridRequest(HistoryRequest):
    """A request for snapshots at the points of a grid.

    Attributes:
        interval: the vendor's spelling, such as 1m.
        start_time: first snapshot, New York wall clock, HH:MM:SS.
        end_time: last snapshot, included; the vendor's own default stops at 16:00:00.
    """

    interval: str
    start_time: str
    end_time: str

    def _of_the_day(self) -> dict[str, str]:
        times = {"interval": self.interval, "start_time": self.start_time, "end_time": self.end_time}
        return {"date": f"{self.day:%Y%m%d}", **times}


@dataclass(frozen=True, slots=True)
class QuoteRequest(GridRequest):
    """`option/history/quote`: the best bid and offer; with ``*`` one day per request."""

    endpoint: ClassVar[str] = "option/history/quote"
    what: ClassVar[str] = "option quotes"


@dataclass(frozen=True, slots=True)
class GreeksRequest(GridRequest):
    """`option/history/greeks/first_order`; refuses ``*``."""

    endpoint: ClassVar[str] = "option/history/greeks/first_order"
    what: ClassVar[str] = "option greeks"


@dataclass(frozen=True, slots=True)
class OpenInterestRequest(HistoryRequest):
    """`option/history/open_interest`: as OPRA sent it on the morning of the day."""

    endpoint: ClassVar[str] = "option/history/open_interest"
    what: ClassVar[str] = "option open interest"


@dataclass(frozen=True, slots=True)
class EodRequest(HistoryRequest):
    """`option/history/eod`: the reports made at the end of the day."""

    endpoint: ClassVar[str] = "option/history/eod"
    what: ClassVar[str] = "option end-of-day reports"

    def _of_the_day(self) -> dict[str, str]:
        return {"start_date": f"{self.day:%Y%m%d}", "end_date": f"{self.day:%Y%m%d}"}


class ThetaClient:
    """One terminal. An async context manager; every coroutine raises the errors of ``ingest.outcome``."""

    def __init__(
        self,
        base_url: str,
        *,
        max_concurrent: int,
        real_data_only: bool = False,
        stall_seconds: float = STALL_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: such as http://127.0.0.1:25503/v3.
            max_concurrent: requests in flight at once, probes included; at most the tier's limit.
            real_data_only: refuse a server that says that its data is synthetic.
            stall_seconds: how long a response may bring no byte. There is no limit on its whole time.
            poll_seconds: pause between status probes while the vendor is down.
        """
        # Not at the top: it brings in aiohttp, which no process needs that only loads the definitions.
        from data_assets.vendors.theta.transport import LargeBodies

        self._base_url = httpx.URL(base_url.rstrip("/"))
        self._max_concurrent = max_concurrent
        self._slots = asyncio.Semaphore(max_concurrent)
        self._real_data_only = real_data_only
        self._stall_seconds = stall_seconds
        self._poll_seconds = poll_seconds
        self._has_answered = False
        self._http = httpx.AsyncClient(
            transport=LargeBodies(),  # the environment's proxy is not meant for a terminal on this machine or beside it
            timeout=httpx.Timeout(stall_seconds, connect=CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def max_concurrent(self) -> int:
        """How many requests may be in flight at once."""
        return self._max_concurrent

    def url(self, request: HistoryRequest) -> str:
        """Return the request as a URL without user or password, for provenance and messages."""
        return str(self._url(request.endpoint).copy_with(userinfo=b"", params=request.params()))

    @asynccontextmanager
    async def history(self, request: HistoryRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the response to a request as CSV; hold one slot until the context is left.

        Yields:
            The body's bytes as they arrive. A content length, where given, is checked by the HTTP layer.

        Raises:
            LargeRequest: the vendor wants it split.
            DayEnded: no data, or not entitled.
            Transient: also from the iterator, when the body stalls or breaks off.
            RunEnded: see ``error_of``.
        """
        async with self._get(request.endpoint, request.params(), str(request)) as response:
            yield await table(response.aiter_raw(), str(request))

    async def listed_contracts(self, symbols: Sequence[str], day: date) -> pl.DataFrame | None:
        """Return the vendor's list of contracts quoted on ``day``, in the columns of ``contract_summary.CONTRACT``.

        Args:
            symbols: option roots; one call for all of them.
            day: the New York date.

        Returns:
            No rows if the vendor has no list for the day; None if the account's tier does not include the call.
        """
        params = {"symbol": ",".join(symbols), "date": f"{day:%Y%m%d}", "format": "csv"}
        try:
            body = await self._table(LIST_CONTRACTS, params, f"the list of {', '.join(symbols)} contracts of {day}")
        except DayEnded as ended:
            if isinstance(ended.outcome, NotEntitled):
                return None
            if isinstance(ended.outcome, NoData):
                return pl.DataFrame(schema={name: schema.QUOTES.schema[name] for name in CONTRACT})
            raise
        return schema.read_contracts(body, symbols)

    async def expirations(self, symbols: Sequence[str]) -> dict[str, list[date]]:
        """Return every expiration of each root that the vendor knows, sorted."""
        params = {"symbol": ",".join(symbols), "format": "csv"}
        body = await self._table(LIST_EXPIRATIONS, params, f"{', '.join(symbols)} expirations")
        return schema.read_expirations(body, symbols)

    async def quoted_days(self, symbol: str, expiration: date) -> list[date]:
        """Return the days for which the vendor has quotes of an expiration; none if it does not tell.

        Nothing depends on this call alone, so a response that would otherwise end the run does not end it here.
        """
        params = {"symbol": symbol, "expiration": f"{expiration:%Y%m%d}", "format": "csv"}
        try:
            body = await self._table(LIST_DATES, params, f"the days of {symbol} {expiration}")
            return schema.read_dates(body)
        except Transient:
            raise
        except IngestError:
            return []

    async def status(self) -> str:
        """Return the state of the terminal's connection: CONNECTED, UNVERIFIED, DISCONNECTED or ERROR."""
        async with self._get(STATUS, {}, "the terminal's status") as response:
            return (await _whole(response, "the terminal's status")).decode("utf-8", errors="replace").strip().upper()

    async def wait_until_up(self, symbol: str, *, seconds: float) -> None:
        """Wait until the terminal is connected and serves data; connected alone does not mean ready.

        Args:
            symbol: a root whose expirations are requested, a cheap call, to see that data is served.
            seconds: how long to wait at most.

        Raises:
            RunEnded: it did not come back in that time; or the terminal was never there.
        """
        said = "nothing"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        said = await self.status()
                        if said == _CONNECTED:
                            await self.expirations([symbol])
                            return
                    except DayEnded as ended:
                        if isinstance(ended.outcome, NoData):  # of a root that does not exist; the data is served
                            return
                        said = str(ended)
                    except Transient as error:
                        said = str(error)
                    await asyncio.sleep(self._poll_seconds)
        except TimeoutError:
            raise RunEnded(
                f"the Theta Terminal at {self._shown} is not back after {seconds:.0f} s (last response: {said}): "
                "look at its window and at thetadata.statuspage.io, then run again"
            ) from None

    async def _table(self, path: str, params: dict[str, str], asked: str) -> bytes:
        async with self._get(path, params, asked) as response:
            body = await _whole(response, asked)
        refuse_words(body, asked)
        if not body:
            raise Transient(f"the response to {asked} is empty")
        if not body.endswith(b"\n"):
            raise Transient(f"the response to {asked} stopped short, inside its last line")
        return body

    @asynccontextmanager
    async def _get(self, path: str, params: dict[str, str], asked: str) -> AsyncIterator[httpx.Response]:
        async with self._slots:
            try:
                async with self._http.stream("GET", self._url(path), params=params) as response:
                    self._has_answered = True
                    if self._real_data_only and response.headers.get("Server") == _SYNTHETIC_SERVER:
                        raise RunEnded(
                            f"the server at {self._shown} is the sandbox, whose data is synthetic, and "
                            "DATA_ASSETS_PROFILE is live: stop it and start the Theta Terminal, or set THETA_BASE_URL"
                        )
                    if response.status_code != httpx.codes.OK:
                        raise error_of(response.status_code, await _error_text(response), asked, self._shown)
                    if packed := _packed(response):
                        # httpx would undo it, and end without a word after the first member of a gzip body.
                        raise RunEnded(
                            f"the response to {asked} came compressed ({packed}), which was not asked for: let what "
                            f"stands before the Theta Terminal at {self._shown} pass its responses on as they are"
                        )
                    yield response
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise self._unreachable(error) from error
            except httpx.TimeoutException as error:
                raise Transient(f"{asked}: no byte for {self._stall_seconds:.0f} s") from error
            except httpx.TransportError as error:
                raise Transient(f"{asked}: the body stopped short: {one_line(error, _REASON_LENGTH)}") from error

    def _url(self, path: str) -> httpx.URL:
        return self._base_url.copy_with(path=f"{self._base_url.path.rstrip('/')}/{path}")

    @property
    def _shown(self) -> str:
        return str(self._base_url.copy_with(userinfo=b""))

    def _unreachable(self, error: Exception) -> IngestError:
        if self._has_answered:
            return VendorDown(f"the Theta Terminal at {self._shown} stopped answering; it may be restarting")
        why = one_line(error, _REASON_LENGTH) or f"no connection within {CONNECT_SECONDS:.0f} s"
        return RunEnded(f"the Theta Terminal is not running at {self._shown} ({why}): {_START}")


def error_of(status: int, text: str, asked: str, base_url: str) -> IngestError:
    """Return the error that a status of the terminal means.

    Only a status that is known to concern the account or the address ends the run. If the vendor refuses one day, that
    day fails with the vendor's words: v3 answers 400 with plain text to a wrong date or value. An unknown status fails
    the day too, one of 5xx after some attempts. If the same comes day after day, its ``cause`` lets the engine end the
    run.

    Args:
        status: the HTTP status, one of the vendor's own codes or a standard one.
        text: the vendor's words, shown in the reason.
        asked: what was requested, for the reason.
        base_url: the address, without user or password.
    """
    said = f"{status}: {one_line(text, _REASON_LENGTH)}" if text.strip() else str(status)
    match status:
        case 404 if NO_DATA.search(text):  # what NOT_FOUND is to the vendor's own client, which speaks gRPC
            return DayEnded(NoData(f"Theta holds no data for {asked} ({said})"))
        case 472:
            return DayEnded(NoData(f"Theta holds no data for {asked} ({said})"))
        case 403 | 471:
            return DayEnded(NotEntitled(f"the account's tier does not reach {asked} ({said}); {_TIERS}"))
        case 570:
            return LargeRequest(f"{asked}: too large for one request ({said})")
        case 429:
            return Throttled(f"{asked}: the terminal's queue is full ({said}); lower THETA_MAX_CONCURRENT_REQUESTS")
        case 474 | 571:
            return VendorDown(f"{asked}: the terminal has lost Theta's servers or is starting ({said})")
        case 404:
            todo = f"update the terminal, or correct THETA_BASE_URL, now {base_url}; it ends in /v3"
            return RunEnded(f"the terminal does not know this call ({said}): {todo}")
        case 410 if not base_url.rstrip("/").endswith("/v3"):
            todo = f"THETA_BASE_URL, now {base_url}, must end in /v3"
            return RunEnded(f"this is a path of Theta's v2 API, and the terminal speaks v3 ({said}): {todo}")
        case 476:
            todo = f"use one spelling everywhere, 127.0.0.1 or localhost, in THETA_BASE_URL (now {base_url}) too"
            return RunEnded(f"an earlier request spelt the terminal's host differently ({said}): {todo}")
        case 478:
            todo = "stop the other one (an account has one session), restart this one, then run again"
            return RunEnded(f"a second Theta Terminal is running on this account ({said}): {todo}")
        case 410:
            todo = "the address is that of v3, so update and restart the terminal, or what stands before it"
            reason = f"{asked}: refused as a call of Theta's v2 API ({said}): {todo}"
            return DayEnded(Failed(reason, cause=_cause(status, text)))
        case 400 | 473:
            todo = (
                "if other days succeed, the fault is in this one; if not, check symbol, roots, interval and end_time "
            )
            todo += "in defs.yaml, and update the terminal"
            reason = f"the terminal refuses the parameters of {asked} ({said}): {todo}"
            return DayEnded(Failed(reason, cause=_cause(status, text)))
        case 470 | 475 | 477 | 572 | 500 | 502 | 503 | 504:
            return Transient(f"{asked}: the terminal failed ({said})")
        case _ if status >= _SERVER_ERRORS:
            return Transient(f"{asked}: a response unknown for a Theta Terminal ({said})", cause=_cause(status, text))
        case _:
            todo = f"if every day ends like this, check that a Theta Terminal answers at THETA_BASE_URL, now {base_url}"
            reason = f"{asked}: a response unknown for a Theta Terminal ({said}): {todo}"
            return DayEnded(Failed(reason, cause=_cause(status, text)))


def _cause(status: int, text: str) -> str:
    """Return what the same response for different days has in common: its words may name the day, or count."""
    return f"{status}: {re.sub(r'[0-9]+', '0', one_line(text, _REASON_LENGTH))}"


async def _whole(response: httpx.Response, asked: str) -> bytes:
    """Read the body of a small response into memory."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LIST_BYTES:
            raise Transient(f"the response to {asked} is too large for a list: more than {LIST_BYTES / 1e6:,.0f} MB")
    return bytes(body)


def _packed(response: httpx.Response) -> str:
    """Return how the body is compressed; empty if it is as it was asked for."""
    packed = response.headers.get("Content-Encoding", "")
    return "" if packed.lower() == "identity" else one_line(packed, _REASON_LENGTH)


async def _error_text(response: httpx.Response) -> str:
    """Read the start of an error's body; only the status matters, so one that breaks off does no harm."""
    if packed := _packed(response):
        return f"words compressed as {packed}"
    body = b""
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) >= _ERROR_BODY_SIZE:
                break
    except httpx.TransportError:
        pass
    return body[:_ERROR_BODY_SIZE].decode("utf-8", errors="replace")
