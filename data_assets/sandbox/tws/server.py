"""The simulated TWS: its clients, the requests it serves, its limits, its outages and its faults.

Here: who is connected, what is open, and what each request is answered with. Not here: one connection's bytes
(``tws.connection``), the data (``tws.history``, ``tws.stocks``), the limits' counters (``tws.pacing``), and the thread
that serves it (``tws.serving``).

Sources: IBKR Campus "TWS API Documentation" for the codes and texts. What TWS does with a request that is open when
its connection to IB is lost is not documented; here it is answered once the connection is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime

from data_assets.sandbox.fault_schedule import FaultSchedule
from data_assets.sandbox.faults import (
    IB_CONTRACT_DETAILS,
    IB_HEAD_TIMESTAMP,
    IB_HISTORICAL_DATA,
    Fault,
    FaultKind,
)
from data_assets.sandbox.loopback import HOST
from data_assets.sandbox.tws.connection import SYSTEM, Connection
from data_assets.sandbox.tws.history import TwsHistory, bar_fields, days, no_data, no_head, spoiled
from data_assets.sandbox.tws.pacing import Clock, HistoryPacing, MessageRate, PacingRules
from data_assets.sandbox.tws.requests import (
    HMDS,
    SCHEDULE,
    DetailsRequest,
    HeadRequest,
    HistoryRequest,
    Refused,
    Span,
    check_head,
    parse_details,
    parse_head,
    parse_history,
    span,
)
from data_assets.sandbox.tws.stocks import Listings, Stock, described, no_contract
from data_assets.sandbox.tws.wire import Field
from data_assets.trading_calendar import NEW_YORK

ANSWERED = 0

Message = tuple[Field, ...]
Answer = list[Message]

_FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefnj"),
)
_OUTAGES: dict[FaultKind, tuple[tuple[int, str], tuple[int, str]]] = {
    "connection_lost": (
        (1100, "Connectivity between IBKR and Trader Workstation has been lost."),
        (
            1102,
            "Connectivity between IBKR and Trader Workstation has been restored - data maintained. "
            "All data farms are connected: usfarm; ushmds; secdefnj.",
        ),
    ),
    "farm_lost": ((2105, "HMDS data farm connection is broken:ushmds"), _FARMS[1]),
}
_BROKEN = (
    2110,
    "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
)
_HMDS_LOST = "Historical Market Data Service query message:HMDS server disconnect occurred.  Attempting reconnection..."
_PROCESSING = "Error processing request.-'bN' : cause - "
_PACING = f"{HMDS}Historical data request pacing violation"
_NO_ZONE = (
    "Warning: You submitted request with date-time attributes without explicit time zone. Please switch to "
    "yyyymmdd-hh:mm:ss in UTC or use the instrument's time zone, like US/Eastern."
)
_WITHOUT_ANSWER = {
    *("14", "15", "59", "63", "64", "77"),  # log level, binding of orders, data type, ends of account subscriptions
}


@dataclass(slots=True)
class TwsRequest:
    """One message that a client has sent.

    Attributes:
        client_id: who.
        number: the message's, such as 20 for historical data.
        at: seconds on the server's clock.
        asked: what, where it is a request for data.
        days: the sessions that historical bars were asked for.
        code: what it was answered with: ``ANSWERED``, or the number of an error; None while there is no answer.
    """

    client_id: int
    number: int
    at: float
    asked: DetailsRequest | HeadRequest | HistoryRequest | None = None
    days: tuple[date, ...] = ()
    code: int | None = None


@dataclass(slots=True)
class _Open:
    """A request that TWS has not closed yet, and what works on its answer."""

    record: TwsRequest
    task: asyncio.Task[None]

    @property
    def historical(self) -> bool:
        """Whether it counts against the limit of open historical requests."""
        return not isinstance(self.record.asked, DetailsRequest)


class TwsServer:
    """Everything behind the sockets of one simulated TWS.

    Attributes:
        requests: every message so far, in order of arrival.
        most_open: the highest number of historical requests that were open at one time.
    """

    def __init__(
        self,
        *,
        listings: Listings,
        history: TwsHistory,
        schedule: FaultSchedule,
        rules: PacingRules,
        clock: Clock,
        now: Callable[[], datetime],
        account: str,
    ) -> None:
        self.requests: list[TwsRequest] = []
        self.most_open = 0
        self._listings = listings
        self._history = history
        self._schedule = schedule
        self._rules = rules
        self._clock = clock
        self._now = now
        self._account = account
        self._pacing = HistoryPacing(rules, clock)
        self._connections: set[Connection] = set()
        self._clients: dict[Connection, dict[int, _Open]] = {}
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._lost: FaultKind | None = None
        self._online = asyncio.Event()
        self._online.set()
        self._mute = False
        self._disturbances: list[asyncio.Task[None]] = []

    async def serve(self, port: int, started: Callable[[int], None], stop: asyncio.Event) -> None:
        """Serve clients until ``stop`` is set, as ``ServerThread`` wants it."""
        self._port = port
        await self._listen()
        async with asyncio.TaskGroup() as self._tasks:
            try:
                started(self._port)
                await stop.wait()
            finally:
                for task in self._disturbances:
                    task.cancel()
                self._hang_up()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connection, HOST, self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _connection(self) -> Connection:
        connection = Connection(self)
        self._connections.add(connection)
        return connection

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for connection in self._connections:
            connection.drop()

    def clients(self) -> list[int]:
        """The numbers of the clients that are connected now."""
        return [client.client_id for client in tuple(self._clients) if client.client_id is not None]

    # What the connections call.

    def server_time(self) -> str:
        """The time as the handshake shows it."""
        return f"{self._now().astimezone(NEW_YORK):%Y%m%d %H:%M:%S %Z}"

    def new_rate(self) -> MessageRate:
        """The counter of a new client's messages."""
        return MessageRate(self._rules, self._clock)

    def joined(self, connection: Connection) -> bool:
        """Greet a client, unless another one has its number."""
        if any(client.client_id == connection.client_id for client in self._clients):
            return False
        self._clients[connection] = {}
        connection.send(15, 1, self._account)
        connection.send(9, 1, 1)
        for code, text in self._state_of_farms():
            connection.error(SYSTEM, code, text)
        return True

    def left(self, connection: Connection) -> None:
        """Forget a connection and what it has asked for."""
        self._connections.discard(connection)
        for open_request in self._clients.pop(connection, {}).values():
            open_request.task.cancel()

    def received(self, connection: Connection, message: list[str]) -> None:
        """Answer a message, at once or by and by."""
        record = TwsRequest(connection.client_id or 0, _whole(message[0]), self._clock())
        self.requests.append(record)
        if self._mute:
            return
        req_id = SYSTEM
        try:
            match message[0]:
                case "20":
                    req_id = _whole(_at(message, 1))
                    self._take_history(connection, record, parse_history(message))
                case "87":
                    req_id = _whole(_at(message, 1))
                    self._take_head(connection, record, parse_head(message))
                case "9":
                    req_id = _whole(_at(message, 2))
                    self._take_details(connection, record, parse_details(message))
                case "25":
                    self._cancel_history(connection, _whole(_at(message, 2)))
                case "90":
                    self._cancel_head(connection, _whole(_at(message, 1)))
                case _:
                    record.code = self._answer_at_once(connection, message)
        except Refused as refused:
            _refuse(connection, record, req_id, refused)

    # Requests for data.

    def _take_history(self, connection: Connection, record: TwsRequest, request: HistoryRequest) -> None:
        record.asked = request
        asked = span(request, self._now())
        stock = self._listings.one(request.contract)
        if asked.zone_implied:
            connection.error(request.req_id, 2174, _NO_ZONE)
        self._check_limits(connection, stock, request)
        if request.shows == SCHEDULE:
            self._open(
                connection, record, request.req_id, None, lambda: [self._history.schedule(stock, request, asked)]
            )
            return
        record.days = tuple(days(asked))
        first, last = (record.days[0], record.days[-1]) if record.days else (None, None)
        fault = self._schedule.strike(IB_HISTORICAL_DATA, first, last, symbol=stock.symbol)
        _refuse_by(fault, stock, no_data(stock, request))
        self._open(connection, record, request.req_id, fault, lambda: [self._bars(stock, request, asked, fault)])

    def _take_head(self, connection: Connection, record: TwsRequest, request: HeadRequest) -> None:
        record.asked = request
        check_head(request)
        stock = self._listings.one(request.contract)
        self._check_limits(connection, stock, request)
        fault = self._schedule.strike(IB_HEAD_TIMESTAMP, symbol=stock.symbol)
        _refuse_by(fault, stock, no_head())
        self._open(connection, record, request.req_id, fault, lambda: [self._history.head(stock, request)])

    def _take_details(self, connection: Connection, record: TwsRequest, request: DetailsRequest) -> None:
        record.asked = request
        found = self._listings.matching(request.contract)
        fault = self._schedule.strike(IB_CONTRACT_DETAILS, symbol=found[0].symbol)
        _refuse_by(fault, found[0], no_contract())
        exchange, now = request.contract.exchange, self._now()
        answer = [described(stock, request.req_id, exchange, now) for stock in found]
        self._open(connection, record, request.req_id, fault, lambda: [*answer, (52, 1, request.req_id)])

    def _check_limits(self, connection: Connection, stock: Stock, request: HistoryRequest | HeadRequest) -> None:
        if request.req_id in self._clients[connection]:
            raise Refused(322, f"{_PROCESSING}Duplicate ticker ID for API historical data query")
        if self._historical_now() >= self._rules.open_requests:
            allowed = self._rules.open_requests
            raise Refused(322, f"{_PROCESSING}Only {allowed} simultaneous API historical data requests allowed")
        if isinstance(request, HeadRequest) or request.small_bars or self._rules.minute_bars:
            contract = (stock.con_id, request.contract.exchange, request.shows)
            if not self._pacing.admits(replace(request, req_id=0), contract, 2 if request.shows == "BID_ASK" else 1):
                raise Refused(162, _PACING)

    def _historical_now(self) -> int:
        return sum(each.historical for client in self._clients.values() for each in client.values())

    def _bars(self, stock: Stock, request: HistoryRequest, asked: Span, fault: Fault | None) -> Message:
        kind = fault.kind if fault is not None else None
        of_before = kind == "wrong_session"
        find = self._history.bars_of_the_session_before if of_before else self._history.bars
        bars = find(stock, request, asked)
        if kind is not None:
            bars = spoiled(bars, kind)
        return bar_fields(request, asked, bars, bars.height + (kind == "wrong_count"))

    def _open(
        self, connection: Connection, record: TwsRequest, req_id: int, fault: Fault | None, find: Callable[[], Answer]
    ) -> None:
        """Answer by and by with what ``find`` returns, and keep the request open until then.

        A request for a head timestamp stays open until it is cancelled, as TWS documents it.
        """
        task = self._tasks.create_task(self._answer(connection, record, req_id, fault, find))
        self._clients[connection][req_id] = _Open(record, task)
        self.most_open = max(self.most_open, self._historical_now())

    async def _answer(
        self, connection: Connection, record: TwsRequest, req_id: int, fault: Fault | None, find: Callable[[], Answer]
    ) -> None:
        try:
            if fault is not None:
                await self._disturb(connection, req_id, fault)
            await self._online.wait()
            answer = await asyncio.to_thread(find)
        except Refused as refused:
            self._clients[connection].pop(req_id)
            _refuse(connection, record, req_id, refused)
            return
        if not isinstance(record.asked, HeadRequest):
            self._clients[connection].pop(req_id)
        record.code = ANSWERED
        for message in answer:
            if fault is not None and fault.kind in ("half_frame", "half_frame_reset"):
                connection.break_off(*message, reset=fault.kind == "half_frame_reset")
                return
            if fault is not None and fault.kind == "endless_frame":
                connection.begin_endless(*message)
                return
            connection.send(*message)

    async def _disturb(self, connection: Connection, req_id: int, fault: Fault) -> None:
        """Do what a fault does before there is an answer; a request that will have none waits until it is cancelled.

        Raises:
            Refused: the request is refused while IB's servers are away.
        """
        if fault.kind == "hmds_disconnect":
            connection.error(req_id, 165, _HMDS_LOST)
        if fault.kind in ("advisory", "notice") and fault.code is not None:
            connection.error(SYSTEM if fault.kind == "notice" else req_id, fault.code, fault.text)
        if fault.kind in _OUTAGES and self._online.is_set():
            self._begin_outage(fault.kind)
            self._disturb_for(fault.seconds, lambda: self._end_outage(fault.kind))
        if fault.kind in _OUTAGES and fault.code is not None:
            raise Refused(fault.code, fault.text)
        if fault.kind == "handshake_only":
            self._mute = True
            self._disturb_for(fault.seconds, self._speak)
        if fault.kind == "restart":
            self._disturbances.append(self._tasks.create_task(self._restart(fault.seconds)))
        if fault.silent or fault.kind in ("hmds_disconnect", "silence", "restart", "handshake_only"):
            await asyncio.Event().wait()

    def _cancel_history(self, connection: Connection, req_id: int) -> None:
        cancelled = self._clients[connection].pop(req_id, None)
        if cancelled is None:
            raise Refused(366, f"No historical data query found for ticker id:{req_id}")
        cancelled.task.cancel()
        _refuse(
            connection,
            cancelled.record,
            req_id,
            Refused(162, f"{HMDS}API historical data query cancelled: {req_id}"),
        )

    def _cancel_head(self, connection: Connection, req_id: int) -> None:
        cancelled = self._clients[connection].pop(req_id, None)
        if cancelled is None:
            raise Refused(300, f"Can't find EId with tickerId:{req_id}")
        cancelled.task.cancel()

    # Outages.

    def _disturb_for(self, seconds: float, end: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            end()

        self._disturbances.append(self._tasks.create_task(wait()))

    def _begin_outage(self, kind: FaultKind) -> None:
        self._lost = kind
        self._online.clear()
        self._announce(*_OUTAGES[kind][0])

    def _end_outage(self, kind: FaultKind) -> None:
        self._lost = None
        self._online.set()
        self._announce(*_OUTAGES[kind][1])

    def _speak(self) -> None:
        self._mute = False

    async def _restart(self, seconds: float) -> None:
        self._hang_up()
        await asyncio.sleep(seconds)
        await self._listen()

    def _announce(self, code: int, text: str) -> None:
        for connection in self._clients:
            connection.error(SYSTEM, code, text)

    def _state_of_farms(self) -> tuple[tuple[int, str], ...]:
        if self._lost == "connection_lost":
            return (_BROKEN,)
        if self._lost == "farm_lost":
            return (_FARMS[0], _OUTAGES["farm_lost"][0], _FARMS[2])
        return _FARMS

    # What needs no data.

    def _answer_at_once(self, connection: Connection, message: list[str]) -> int | None:
        """Answer what clients ask at their start and from time to time; nothing is traded here, so all lists are empty.

        Raises:
            Refused: 320, the message is of a kind that is not served.
        """
        number, account, req_id = message[0], self._account, _at(message, 2)
        answers: dict[str, Message] = {
            "5": (53, 1),  # open orders
            "6": (54, 1, account),  # account updates
            "7": (55, 1, req_id),  # executions
            "8": (9, 1, 1),  # next valid id
            "16": (53, 1),  # all open orders
            "17": (15, 1, account),  # managed accounts
            "49": (49, 1, int(self._now().timestamp())),  # current time
            "61": (62, 1),  # positions
            "62": (64, 1, req_id),  # account summary
            "76": (74, 1, req_id),  # account updates of one model
            "99": (102,),  # completed orders
        }
        if number in answers:
            connection.send(*answers[number])
            return ANSWERED
        if number not in _WITHOUT_ANSWER:
            raise Refused(320, f"Error reading request. The sandbox does not serve message {number}")
        return None


def _refuse(connection: Connection, record: TwsRequest, req_id: int, refused: Refused) -> None:
    record.code = refused.code
    connection.error(req_id, refused.code, refused.text)


def _refuse_by(fault: Fault | None, stock: Stock, nothing: Refused) -> None:
    """Refuse a request where its fault does."""
    if fault is None:
        return
    if fault.kind == "no_data":
        raise nothing
    if fault.kind == "pacing":
        raise Refused(162, _PACING)
    if fault.kind == "permissions":
        raise Refused(162, f"{HMDS}No market data permissions for {stock.primary_exchange} STK")
    if fault.kind == "tws_error" and fault.code is not None:
        raise Refused(fault.code, fault.text)


def _at(message: list[str], place: int) -> str:
    return message[place] if place < len(message) else ""


def _whole(text: str) -> int:
    """The number that a field holds; ``SYSTEM`` where it holds none."""
    return int(text) if text.isdecimal() else SYSTEM
