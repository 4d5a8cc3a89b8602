"""Theta's v3 HTTP API: one handler for every path, with the terminal's limits, refusals and faults.

Here: status codes, tiers, the queue, and how a body goes over the wire. Not here: the data (``theta.history``), its
text (``theta.text``), the parameters (``theta.params``), and the thread that serves it (``serving``).

Sources: Theta v3 OpenAPI for paths and parameters, the "Error-Codes" page for the statuses, "Concurrent-Requests" and
"Subscriptions" for the tiers. Bodies of refusals are text/plain.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

import polars as pl
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from data_assets.sandbox.admission import Admission, QueueFull
from data_assets.sandbox.fault_schedule import FaultSchedule
from data_assets.sandbox.faults import (
    GREEKS_ENDPOINT,
    OPEN_INTEREST_ENDPOINT,
    QUOTE_ENDPOINT,
    THETA_HISTORIES,
    Fault,
)
from data_assets.sandbox.market.option_chain import Listing
from data_assets.sandbox.theta.history import ThetaHistory
from data_assets.sandbox.theta.params import ENDPOINTS, Query, Refused, parse
from data_assets.sandbox.theta.text import CsvText
from data_assets.sandbox.theta.unusual import UNUSUAL_ROWS, last_contract_with_one_row

T = TypeVar("T")

TierName = Literal["free", "value", "standard", "pro"]
Framing = Literal["chunked", "content-length"]

QUEUE_LENGTH = 16

_TEXTS = {
    403: "Your subscription does not include this data",
    404: "No such endpoint",
    410: "The v2 API is gone: use /v3",
    429: "Too many requests: the request queue is full",
    470: "General error",
    471: "Your account does not have permission for this data",
    472: "No data found for your request",
    473: "Invalid parameters",
    474: "Connection to the Theta Data servers was lost",
    475: "The request could not be parsed",
    476: "Wrong IP: the terminal is pinned to the address of its first caller",
    477: "No page found",
    478: "Invalid session: another terminal is connected with this account",
    570: "The request is too large: split it",
    571: "The server is starting",
    572: "Uncaught error",
}
_RENAMED = {"bid": "bid_price", "open_interest": "interest"}
_STATUS_ENDPOINTS = {"terminal/mdds/status", "terminal/fpss/status"}
_CSV = "text/csv"
_BLOCK = 256 * 1024
_FILE_BLOCK = 4 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Tier:
    """What a subscription allows: requests in service at once, and the first day of its history."""

    at_once: int
    first_day: date


TIERS: dict[TierName, Tier] = {
    "free": Tier(1, date(2023, 6, 1)),
    "value": Tier(2, date(2020, 1, 1)),
    "standard": Tier(4, date(2016, 1, 1)),
    "pro": Tier(8, date(2012, 6, 1)),
}
_RANKS = list(TIERS)
_NEEDS: dict[str, TierName] = {
    QUOTE_ENDPOINT: "value",
    OPEN_INTEREST_ENDPOINT: "value",
    "option/list/contracts/quote": "value",
    "option/list/contracts/trade": "value",
    GREEKS_ENDPOINT: "standard",
}
"""The least tier of each endpoint that is not free (``x-min-subscription`` in the OpenAPI)."""


@dataclass(slots=True)
class RequestRecord:
    """One request that the server has seen.

    Attributes:
        path: without host and parameters, such as ``/v3/option/history/quote``.
        params: as they came.
        start: seconds on the process's monotonic clock when it arrived.
        end: the same when its answer was over, or its client gone; None before.
        status: of the answer; None before it is known.
    """

    path: str
    params: dict[str, str]
    start: float
    end: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a body goes over the wire.

    Attributes:
        framing: ``chunked`` as it is generated, or ``content-length`` once it is whole.
        bytes_per_second: pace of each answer; None for as fast as it goes.
        body_file: a CSV file that is every quote request's body, as it is; or a folder of them, ``YYYY-MM-DD.csv``.
    """

    framing: Framing
    bytes_per_second: float | None
    body_file: Path | None


class ThetaServer:
    """Answers the terminal's requests and keeps count of them.

    Attributes:
        requests: every request so far, in order of arrival.
        admission: the tier's limit, with its gauges.
    """

    def __init__(
        self, history: ThetaHistory, tier: TierName, schedule: FaultSchedule, text: CsvText, delivery: Delivery
    ) -> None:
        self.requests: list[RequestRecord] = []
        self.admission = Admission(TIERS[tier].at_once, QUEUE_LENGTH)
        self._history = history
        self._tier = tier
        self._schedule = schedule
        self._text = text
        self._delivery = delivery
        self._pinned_host: str | None = None
        self._connected_from = 0.0
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sandbox-market")

    def close(self) -> None:
        """Stop generating."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever its path."""
        record = RequestRecord(request.path, dict(request.query), time.monotonic())
        self.requests.append(record)
        try:
            return await self._route(request, record)
        except Refused as refused:
            record.status = refused.status
            return web.Response(status=refused.status, text=refused.text)
        except ConnectionResetError:  # the client left in the middle of a block; nothing reads this answer
            return web.Response()
        finally:
            record.end = time.monotonic()

    async def _route(self, request: web.Request, record: RequestRecord) -> web.StreamResponse:
        self._check_host(request)
        version, _, endpoint = request.path.strip("/").partition("/")
        if version == "v2":
            _refuse(410)
        if version != "v3" or endpoint not in ENDPOINTS.keys() | _STATUS_ENDPOINTS:
            _refuse(404)
        if endpoint in _STATUS_ENDPOINTS:
            return self._status(endpoint, record)
        query = parse(endpoint, request.query)
        try:
            async with self.admission.place():
                return await self._data(request, record, query)
        except QueueFull:
            _refuse(429)

    def _check_host(self, request: web.Request) -> None:
        host = request.host.rpartition(":")[0] or request.host
        self._pinned_host = self._pinned_host or host
        if host != self._pinned_host:
            _refuse(476, f"{_TEXTS[476]} ({self._pinned_host})")

    def _status(self, endpoint: str, record: RequestRecord) -> web.Response:
        """Answered without a place in the queue, but turned away like the rest when it is full."""
        fault = self._schedule.strike(endpoint)
        if fault is not None:
            self._strike_before_data(fault)
        if self.admission.full:
            _refuse(429)
        record.status = 200
        lost = endpoint == "terminal/mdds/status" and not self._connected
        return web.Response(text="DISCONNECTED" if lost else "CONNECTED")

    @property
    def _connected(self) -> bool:
        return time.monotonic() >= self._connected_from

    async def _data(self, request: web.Request, record: RequestRecord, query: Query) -> web.StreamResponse:
        if not self._connected:
            _refuse(474)
        file = self._delivery.body_file if query.endpoint == QUOTE_ENDPOINT else None
        if file is not None and file.is_dir():
            file /= f"{query.first}.csv"
        is_history = query.endpoint in THETA_HISTORIES
        listings, rows = await self._in_pool(lambda: self._measured(query)) if is_history and not file else ([], 0)
        fault = self._schedule.strike(query.endpoint, query.first, query.last, rows)
        if fault is not None:
            self._strike_before_data(fault)
        self._check_tier(query)
        if fault is not None and fault.kind == "words":
            record.status = 200
            return web.Response(text=fault.text or _TEXTS[472])
        if file is not None:
            return await self._send_file(request, record, file, fault)
        body = self._rows(query, listings, fault) if is_history else self._list(query, fault)
        return await self._send(request, record, body, fault)

    def _measured(self, query: Query) -> tuple[list[Listing], int]:
        listings = self._history.listings(query)
        return listings, self._history.rows(query, listings)

    def _strike_before_data(self, fault: Fault) -> None:
        if fault.kind == "status" and fault.status is not None:
            _refuse(fault.status, fault.text)
        if fault.kind == "disconnected":
            self._connected_from = time.monotonic() + fault.seconds
            _refuse(474)
        if fault.kind == "large_request":
            _refuse(570)

    def _check_tier(self, query: Query) -> None:
        needed = _NEEDS.get(query.endpoint, "free")
        if _RANKS.index(self._tier) < _RANKS.index(needed):
            _refuse(403, f"{_TEXTS[403]}: {query.endpoint} needs the {needed} tier")
        first_day = TIERS[self._tier].first_day
        if query.first is not None and query.first < first_day:
            _refuse(403, f"{_TEXTS[403]}: the {self._tier} tier begins on {first_day}")

    def _rows(self, query: Query, listings: list[Listing], fault: Fault | None) -> Iterator[bytes]:
        """The body piece by piece, none where there are no rows. Runs in the pool, as it is work for the processor."""
        kind = fault.kind if fault is not None else None
        if kind == "empty_expiration":
            listings = self._history.without_the_farthest(listings)
        frames = self._history.frames(query, listings, leave_out=kind == "missing_contract")
        if kind == "one_row":
            frames = last_contract_with_one_row(frames)
        unusual = UNUSUAL_ROWS.get(kind)
        for number, usual in enumerate(frames):
            frame = usual if unusual is None else unusual(usual)
            names = frame.rename(_RENAMED, strict=False).columns if kind == "renamed_column" else frame.columns
            yield (self._text.header(names) if number == 0 else b"") + self._text.rows(frame)
            if number == 0 and kind == "replayed":
                yield self._text.rows(frame)

    def _list(self, query: Query, fault: Fault | None) -> Iterator[bytes]:
        frame = self._history.listed(query)
        if fault is not None and fault.kind == "settled_listed":
            frame = pl.concat([each for each in (self._history.settled(query), frame) if each.height])
        if frame.height:
            yield self._text.header(frame.columns) + self._text.rows(frame)

    async def _send_file(
        self, request: web.Request, record: RequestRecord, path: Path, fault: Fault | None
    ) -> web.StreamResponse:
        if self._delivery.framing == "chunked" or self._delivery.bytes_per_second is not None or fault is not None:
            size = await self._in_pool(lambda: path.stat().st_size)
            return await self._send(request, record, _file_blocks(path), fault, size)
        record.status = 200
        response = _FileSentOnce(path, headers={"Content-Type": _CSV})
        await response.prepare(request)  # sends the file from the kernel, while the place is still held
        return response

    async def _send(
        self,
        request: web.Request,
        record: RequestRecord,
        body: Iterator[bytes],
        fault: Fault | None,
        size: int | None = None,
    ) -> web.StreamResponse:
        """Send ``body`` as it is generated where that can be: its framing needs no length, or its ``size`` is known."""
        async with aclosing(self._ahead(body)) as pieces:
            first = await anext(pieces, b"")
            if not first:
                _refuse(472)
            record.status = 200
            breaks = fault is not None and fault.kind in ("cut", "stall", "reset")
            response = web.StreamResponse(headers={"Content-Type": _CSV})
            if not breaks and (self._delivery.framing == "chunked" or size is not None):
                response.content_length = size if self._delivery.framing == "content-length" else None
                await response.prepare(request)
                pace = _Pace(response, self._delivery.bytes_per_second)
                await pace.write(first)
                async for piece in pieces:
                    await pace.write(piece)
                return response
            whole = b"".join([first, *[piece async for piece in pieces]])

        sent = whole if not breaks else _first_half(whole)
        if self._delivery.framing == "content-length":
            response.content_length = len(sent) if fault is not None and fault.kind == "cut" else len(whole)
        await response.prepare(request)
        await _Pace(response, self._delivery.bytes_per_second).write(sent)
        if fault is not None and fault.kind == "reset":
            _reset(request)
        if fault is not None and fault.kind in ("stall", "reset"):
            await asyncio.Event().wait()  # until the client has gone, which cancels this handler
        return response

    async def _ahead(self, body: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The pieces of ``body``, each generated in the pool while the one before it is on its way."""
        upcoming = asyncio.create_task(self._in_pool(lambda: next(body, None)))
        try:
            while (piece := await upcoming) is not None:
                upcoming = asyncio.create_task(self._in_pool(lambda: next(body, None)))
                yield piece
        finally:
            upcoming.cancel()

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class _FileSentOnce(web.FileResponse):
    """A file that a handler may send before it returns: aiohttp prepares what is returned, and would send it again."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None if self.prepared else await super().prepare(request)


class _Pace:
    """Writes a response in blocks, no faster than it may."""

    def __init__(self, response: web.StreamResponse, bytes_per_second: float | None) -> None:
        self._response = response
        self._rate = bytes_per_second
        self._block = _BLOCK if bytes_per_second is None else max(1, min(_BLOCK, int(bytes_per_second / 50)))
        self._start = time.monotonic()
        self._sent = 0

    async def write(self, piece: bytes) -> None:
        view = memoryview(piece)
        for low in range(0, len(view), self._block):
            block = view[low : low + self._block]
            await self._response.write(block)
            self._sent += len(block)
            if self._rate is not None:
                await asyncio.sleep(max(0.0, self._start + self._sent / self._rate - time.monotonic()))


def _refuse(status: int, text: str | None = None) -> NoReturn:
    raise Refused(status, text or _TEXTS.get(status, f"Error {status}"))


def _first_half(whole: bytes) -> bytes:
    """The first half of a CSV body, ending in the middle of a row."""
    row = whole.rfind(b"\n", 0, len(whole) // 2) + 1
    end = whole.find(b"\n", row)
    return whole[: (row + end) // 2]


def _file_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_FILE_BLOCK):
            yield block


def _reset(request: web.Request) -> None:
    """Close the connection with a RST: a close without lingering throws away what the peer has not acknowledged."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
