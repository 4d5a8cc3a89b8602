"""One socket to TWS or IB Gateway, from its handshake to its end, and the requests on it.

Here: the real ib_async inside the running event loop; each request's deadline, cancel and answer. Not here:
what is asked (``client``), what a code means (``errors``), and when to connect again (``connection``).

What ib_async 2.1 leaves to its caller, tried out against it: it takes 165 and 321 for warnings, so that a request they
end waits for ever; it takes 10090 and its like for ends, so that the data which follows them is lost; a request whose
answer does not parse waits for ever too; a client id that is taken shows as a timeout; its own timeout for bars returns
an empty list. So every request has its own future, its own deadline and its own cancel here, and what TWS says of a
request is read here and not by ib_async.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ib_async import IB, Contract, StartupFetchNONE
from ib_async.client import Client

from data_assets.ingest.outcome import DayEnded, Rejected, Transient, VendorDown
from data_assets.ingest.waiting import waiting_for_an_answer
from data_assets.lake.errors import one_line
from data_assets.vendors.ib.errors import Asked, Unknown, advice, error_of

logging.getLogger("ib_async").addHandler(logging.NullHandler())  # what it prints by itself is an outcome here

_ERROR_MESSAGE, _BARS_MESSAGE = 4, 17
_ID_TAKEN = 326
_LEFT_OPEN = 165
"""After it TWS may still answer, when its history service is back."""

_ALL_IS_WELL = frozenset({2104, 2106, 2158})
_FARM_OF_HISTORY = frozenset({2105, 2106, 2107})
LONGEST_MESSAGE = 16_000_000
"""Bytes; a judgement: the bars of a day are some 40 kB, and no message that is asked for here is much longer."""

_LENGTH_BYTES, _HEAD_BYTES = 4, 32
_NO_TWS = "check what listens there, and restart TWS or IB Gateway, then run again"
_KEPT, _QUOTED, _QUOTE_LENGTH = 20, 3, 160

Said = tuple[int, str]
"""What TWS said: its code and its words."""


class TurnedAway(Exception):
    """TWS was reached, and there is no session with it."""


class SocketLost(VendorDown):
    """The connection to TWS has ended."""


class Endless(DayEnded):
    """The answer is far longer than any day; that says nothing of whether IB's servers are there."""


class TooLate(Transient):
    """The deadline of an answer has passed."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where TWS is, and who we are to it."""

    host: str
    port: int
    client_id: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Received(list[Any]):
    """What ib_async decodes an answer into, with the size and the digest of the message it came in.

    Attributes:
        size: bytes of the message.
        sha256: hexadecimal digest of those bytes.
        said: what TWS said of the request before it answered, ``10167: Requested market data ...``.
    """

    size = 0
    sha256 = ""
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        asked: what it is, for messages.
        contract: what it is about.
        send: puts it on the wire under a request id.
        cancel: takes it back; None where TWS knows no such thing.
        seconds: the deadline of its answer.
        stays_open: whether TWS keeps it open after the answer, until it is cancelled.
    """

    asked: Asked
    contract: Contract
    send: Callable[[Client, int], None]
    cancel: Callable[[Client, int], None] | None
    seconds: float
    stays_open: bool = False


@dataclass(slots=True)
class _Pending:
    """A request without its answer yet.

    Attributes:
        asked: what it is.
        answer: ib_async's future, and ours where ib_async would leave it waiting.
        into: what its rows are decoded into.
        ended: whether it has ended for TWS too, so that there is nothing to cancel.
        of_it: what TWS said of it.
        meanwhile: what TWS said of itself since it was sent.
        perhaps: the error that it ends with if nothing more comes.
        deadline: when it is given up, once it is waited for.
    """

    asked: Asked
    answer: asyncio.Future[Any]
    into: Received
    ended: bool = False
    of_it: list[Said] = field(default_factory=list)
    meanwhile: list[Said] = field(default_factory=list)
    perhaps: Unknown | None = None
    deadline: asyncio.Timeout | None = None


class TwsSession:
    """One session with TWS, for one event loop: ib_async hangs without a word when another one uses it."""

    def __init__(self, address: Address, notice: Callable[[int, str], None], linger: float) -> None:
        """Prepare; nothing is sent before `connect`.

        Args:
            address: where TWS is.
            notice: told, by code and text, what TWS says of itself rather than of a request.
            linger: seconds for an answer after a code that is not known.
        """
        self._address = address
        self._notice = notice
        self._linger = linger
        self._said: deque[Said] = deque(maxlen=_KEPT)
        self._history_farm: list[Said] = []
        self._hung_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._too_old: int | None = None
        self._pending: dict[int, _Pending] = {}
        self._ib = IB()
        self._ib.errorEvent += self._on_notice
        self._ib.client.conn.disconnected += self._on_end
        self._ib.client.apiError += self._on_refused
        self._read_errors_ourselves()
        self._read_bars_ourselves()
        self._refuse_endless_messages()

    @property
    def connected(self) -> bool:
        """Whether the session is up, as far as the socket tells."""
        return self._ib.isConnected()

    @property
    def account(self) -> str:
        """The first account that TWS manages."""
        return next(iter(self._ib.client.getAccounts()), "")

    @property
    def server_version(self) -> int:
        """The version of the protocol that both ends agreed on."""
        return self._ib.client.serverVersion()

    async def connect(self, seconds: float) -> None:
        """Shake hands.

        Raises:
            OSError: nobody is there, or (`TimeoutError`) nobody answers.
            TurnedAway: TWS ended the conversation; says why.
        """
        attempt = asyncio.ensure_future(
            self._ib.connectAsync(
                self._address.host,
                self._address.port,
                clientId=self._address.client_id,
                timeout=seconds,
                readonly=True,
                fetchFields=StartupFetchNONE,
            )
        )
        try:
            # Who is turned away would be told so by ib_async only when the time is up.
            await asyncio.wait({attempt, self._hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done():
                raise TurnedAway(self._why_turned_away(self._hung_up.result()))
            await attempt
        except ConnectionError as error:
            if error.errno is None:  # ib_async's own words: the operating system has no complaint
                raise TurnedAway(self._why_turned_away(str(error))) from error
            raise
        finally:
            attempt.cancel()
            # It may have failed in the instant in which this task was cancelled: nobody else learns of that.
            await asyncio.gather(attempt, return_exceptions=True)

    def disconnect(self) -> None:
        """End the session; the socket closes when the loop gets to it."""
        self._ib.disconnect()

    async def alive(self, seconds: float) -> bool:
        """Whether TWS tells the time within so many seconds; one asks at a time."""
        try:
            async with asyncio.timeout(seconds):
                await self._ib.reqCurrentTimeAsync()
        except (TimeoutError, ConnectionError):
            return False
        return True

    async def ask(self, request: Request, *, finish_seconds: float = 0.0) -> Any:
        """Send a request and wait for its answer.

        Args:
            request: what.
            finish_seconds: take the answer in even if this task is cancelled meanwhile, when it comes within so many
                seconds: a request that a budget has paid for is not thrown away. Anything but data lets the
                cancellation through.

        Returns:
            The `Received` list that ib_async has filled, or the one value that the answer is.

        Raises:
            IngestError: what TWS said instead, or its kinds above; `Transient` where the answer does not parse.
        """
        client = self._ib.client
        if not self.connected:
            raise SocketLost(
                f"the connection to TWS at {self._address} is lost - {request.asked}", cause="IB connection lost"
            )
        req_id, into = client.getReqId(), Received()
        answer = self._ib.wrapper.startReq(req_id, request.contract, into)
        pending = self._pending[req_id] = _Pending(request.asked, answer, into)
        try:
            request.send(client, req_id)
            result = await self._answer(request, pending, finish_seconds)
            pending.ended = not request.stays_open
            into.said = tuple(f"{code}: {one_line(text)}" for code, text in pending.of_it)
            return result
        finally:
            del self._pending[req_id]
            if not pending.ended and request.cancel is not None and self.connected:
                request.cancel(client, req_id)

    async def _answer(self, request: Request, pending: _Pending, finish_seconds: float) -> Any:
        try:
            with waiting_for_an_answer(f"TWS or IB Gateway at {self._address}", request.seconds):
                async with asyncio.timeout(request.seconds) as pending.deadline:
                    return await asyncio.shield(pending.answer)
        except TimeoutError:
            pending.answer.cancel()
            raise pending.perhaps or self._too_late(request, pending) from None
        except asyncio.CancelledError:
            if finish_seconds:
                with suppress(Exception):
                    async with asyncio.timeout(finish_seconds) as pending.deadline:
                        result = await pending.answer
                    if (task := asyncio.current_task()) is not None:
                        task.uncancel()
                    return result
            pending.answer.cancel()
            raise
        except ConnectionError:
            raise SocketLost(
                f"the connection to TWS at {self._address} broke off - {request.asked}", cause="IB connection lost"
            ) from None
        except ValueError as error:
            pending.ended = True
            raise Transient(f"the response of TWS does not parse ({error}) - {request.asked}") from None

    def drop_pending(self, why: str) -> None:
        """Let every request fail that has no answer yet."""
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(VendorDown(f"{why} - {pending.asked}"))

    def _too_late(self, request: Request, pending: _Pending) -> TooLate:
        """What is raised where the deadline has passed: quotes what TWS said, the words on this very request last."""
        heard = [*self._history_farm, *pending.meanwhile, *pending.of_it]
        quotes = list(dict.fromkeys(f"{code}: {one_line(text, _QUOTE_LENGTH)}" for code, text in heard))[-_QUOTED:]
        after = f" after it said {'; '.join(quotes)}" if quotes else ""
        return TooLate(
            f"TWS did not answer within {request.seconds:.0f} s{after} - {request.asked}; "
            f"{advice({code for code, _ in pending.of_it}, self._address)}",
            cause="IB silence",
        )

    def _on_notice(self, req_id: int, code: int, text: str, _contract: object) -> None:
        """What TWS says of itself, or of a request that is over."""
        self._said.append((code, text))
        if code in _FARM_OF_HISTORY:
            self._history_farm = [] if code in _ALL_IS_WELL else [(code, text)]
        if req_id <= 0 and code not in _ALL_IS_WELL:
            for pending in self._pending.values():
                pending.meanwhile = [*pending.meanwhile, (code, text)][-_KEPT:]
        self._notice(code, text)

    def _on_word(self, pending: _Pending, code: int, text: str) -> None:
        """What TWS says of a request: its end, or something about an answer that is on its way."""
        self._said.append((code, text))
        pending.of_it = [*pending.of_it, (code, text)][-_KEPT:]
        error = error_of(code, text, pending.asked)
        if error is None or pending.answer.done():
            return
        if isinstance(error, Unknown):
            pending.perhaps = error
            self._wait_no_longer_than(self._linger, pending)
        else:
            pending.ended = code != _LEFT_OPEN
            pending.answer.set_exception(error)

    @staticmethod
    def _wait_no_longer_than(seconds: float, pending: _Pending) -> None:
        if pending.deadline is not None and (end := pending.deadline.when()) is not None:
            with suppress(RuntimeError):  # the deadline has passed in this very instant
                pending.deadline.reschedule(min(end, asyncio.get_running_loop().time() + seconds))

    def _on_end(self, text: str) -> None:
        if not self._hung_up.done():
            self._hung_up.set_result(text)

    def _on_refused(self, _text: str) -> None:
        """ib_async has given up. Of a TWS that is too old it says so here alone, and waits until its time is up."""
        if 0 < (version := self._ib.client.serverVersion()) < Client.MinClientVersion:
            self._too_old = version
            self._on_end("")

    def _why_turned_away(self, otherwise: str) -> str:
        if self._too_old is not None:
            return (
                f"TWS or IB Gateway at {self._address} speaks version {self._too_old} of its protocol, and at least "
                f"{Client.MinClientVersion} is needed: update it, then run again"
            )
        for code, text in self._said:
            if code == _ID_TAKEN:
                return (
                    f"IB Error {code}: {text} TWS at {self._address} has another client with the id "
                    f"{self._address.client_id}: set IB_CLIENT_ID to another number, or end that program"
                )
        said = "; ".join(f"{code}: {text}" for code, text in self._said) or otherwise or "without a word"
        return (
            f"TWS at {self._address} accepted the connection and ended it ({said}): see that TWS or IB Gateway is what "
            "listens there, that its API settings trust this machine's address (Trusted IPs, localhost only), and that "
            f"no other program has the client id {self._address.client_id} (IB_CLIENT_ID); restart it, then run again"
        )

    def _read_errors_ourselves(self) -> None:
        """Stand between the wire and ib_async's decoder of errors, for those that are about a request of ours."""
        handlers = self._ib.client.decoder.handlers
        decode = handlers[_ERROR_MESSAGE]

        def read(fields: list[str]) -> None:
            pending = self._pending.get(int(fields[2]))
            if pending is None:
                decode(fields)
            else:
                self._on_word(pending, int(fields[3]), fields[4])

        handlers[_ERROR_MESSAGE] = read

    def _read_bars_ourselves(self) -> None:
        """Stand between the wire and ib_async's decoder of bars.

        It logs an answer that does not parse, with all of its fields, and leaves the request waiting. Here the request
        learns of it, and of the size and digest of its message, which ib_async does not keep.
        """
        handlers = self._ib.client.decoder.handlers
        decode = handlers[_BARS_MESSAGE]

        def read(fields: list[str]) -> None:
            pending = self._pending.get(int(fields[1]))
            if pending is None:  # an answer that came too late
                return
            message = "".join(f"{text}\0" for text in fields).encode()
            pending.into.size, pending.into.sha256 = len(message), hashlib.sha256(message).hexdigest()
            try:
                decode(fields)
            except (ValueError, StopIteration) as error:
                if not pending.answer.done():
                    pending.answer.set_exception(ValueError(str(error) or "it ends before its last bar"))

        handlers[_BARS_MESSAGE] = read

    def _refuse_endless_messages(self) -> None:
        """Stand between the socket and ib_async, which keeps whatever arrives until a message is whole.

        A message begins with its length, which may be given as four gigabytes. One that is longer than any answer can
        be is not waited for: the request that it answers learns of it, and the session ends, since nothing after such
        a message can be made out.
        """
        client = self._ib.client
        take = client._onSocketHasData  # there is no public place to look at a message that is not whole yet

        def look(data: bytes) -> None:
            take(data)
            begun: bytes = client._data
            size = int.from_bytes(begun[:_LENGTH_BYTES], "big")
            if len(begun) >= _LENGTH_BYTES + _HEAD_BYTES and size > LONGEST_MESSAGE:
                kind, req_id, *_ = (*begun[_LENGTH_BYTES : _LENGTH_BYTES + _HEAD_BYTES].split(b"\0"), b"")
                pending = self._pending.get(int(req_id)) if req_id.isdigit() else None
                if kind == b"%d" % _BARS_MESSAGE and pending is not None and not pending.answer.done():
                    pending.ended = True
                    why = f"the response cannot be a day: TWS began one of {size / 1e6:,.0f} MB, a day has some 40 kB"
                    pending.answer.set_exception(Endless(Rejected(f"{why} - {pending.asked}; {_NO_TWS}")))
                client.conn.disconnect()

        client.conn.hasData -= take
        client.conn.hasData += look
