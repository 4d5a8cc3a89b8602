"""The way to TWS: connected, watched, and renewed when it is lost.

Here: when to connect, when to wait and for how long, and what answers are not to be believed. Not here: a single
socket (``line``), and what is asked (``client``).

A connection that TWS has lost to IB's servers (1100, 2105, 2110) is waited for, and never torn down: the socket to TWS
survives it, and whoever reconnects finds his client id still taken. While IB resets its servers, patience has no end
but the reset's, and an answer without data is not believed.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from data_assets.ingest.outcome import (
    DayEnded,
    IngestError,
    NoData,
    RunEnded,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.trading_calendar import NEW_YORK
from data_assets.vendors.ib.line import Address, Line, Request, SocketLost, TooLate, TurnedAway
from data_assets.vendors.ib.patience import Patience

SYNTHETIC_ACCOUNTS = "DUSANDBOX"  # as the sandbox begins its accounts; vendors know nothing else of it

_LOST_IB = frozenset({1100, 2110})
_LOST_HISTORY = 2105
_DATA_LOST = 1101
_RESTORED = frozenset({_DATA_LOST, 1102, 2106})
_PORT_CHANGED = 1300
_START = (
    "start TWS or IB Gateway and log in, allow API connections in its settings, and set IB_HOST and IB_PORT to it: "
    "TWS listens on 7496 (live) or 7497 (paper), Gateway on 4001 (live) or 4002 (paper)"
)


class Connection:
    """One client of one TWS, for one event loop."""

    def __init__(
        self,
        address: Address,
        *,
        real_data_only: bool,
        patience: Patience,
        now: Callable[[], datetime],
        resets: Callable[[datetime], datetime | None],
        say: Callable[[str], object],
    ) -> None:
        """Prepare; nothing is sent before `open`.

        Args:
            address: where TWS is.
            real_data_only: refuse a server that simulates.
            patience: how long to wait for what.
            now: the current instant, aware.
            resets: the end of the reset of IB's servers that is under way at an instant, or None.
            say: told, in one line each, of what makes the run wait.
        """
        self._address = address
        self._real_data_only = real_data_only
        self._patience = patience
        self._now = now
        self._resets = resets
        self._say = say
        self._line: Line | None = None
        self._account = ""
        self._server_version = 0
        self._answered_at = 0.0
        self._readying = asyncio.Lock()
        self._served = asyncio.Event()
        self._served.set()
        self._lost = ""
        self._lost_until: float | None = None
        self._held_since: float | None = None
        self._fatal: RunEnded | None = None

    @property
    def account_kind(self) -> str:
        """What kind of account is behind TWS: ``sandbox``, ``paper`` or ``live``; its number is nobody's business."""
        if self._account.startswith(SYNTHETIC_ACCOUNTS):
            return "sandbox"
        return "paper" if self._account.startswith("D") else "live"

    @property
    def server_version(self) -> int:
        """The version of the protocol that TWS and this client agreed on."""
        return self._server_version

    @property
    def serves(self) -> bool:
        """Whether there is a session, and TWS has not said that IB's servers are away from it."""
        return self._connected and self._served.is_set()

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            RunEnded: nobody listens, nobody answers, the client id is taken, or the server simulates.
        """
        for attempt in range(1, self._patience.attempts + 1):
            last = attempt == self._patience.attempts
            try:
                return await self._connect()
            except (TimeoutError, TurnedAway) as error:
                if last:
                    raise RunEnded(self._why_no_session(error)) from None
            except OSError as error:
                raise RunEnded(self._why_no_session(error)) from error
            await self._back_off(attempt)

    async def close(self) -> None:
        """Disconnect, and leave TWS a moment to notice."""
        if self._line is not None:
            self._line.disconnect()
            self._line = None
            await asyncio.sleep(self._patience.goodbye)

    async def ready(self) -> None:
        """Return when there is a connection that serves history: reconnect, wait for IB's servers.

        Raises:
            RunEnded: the outage lasts too long, or TWS has said something that waiting does not mend.
        """
        async with self._readying:  # days that wait share one reconnection
            down_since, attempt = self._loop_time(), 0
            while True:
                if self._fatal is not None:
                    raise self._fatal
                if self._reset_end() is not None:
                    down_since = self._loop_time()
                left = down_since + self._patience.outage - self._loop_time()
                if self._connected and not self._served.is_set():
                    await self._wait_until_served(left)
                elif self._connected and await self._alive():
                    return
                else:
                    attempt += 1
                    await self._reconnect(attempt, left)

    async def request(self, request: Request, *, finish: bool = False) -> Any:
        """Ask one question and wait for the answer; see `Line.ask`.

        Args:
            request: the question.
            finish: take the answer in, if it comes soon, even when this task is cancelled meanwhile.

        Raises:
            IngestError: what TWS said instead. `VendorDown` where it cannot be believed, or nothing came, because IB's
                servers are away.
        """
        if self._line is None:
            raise SocketLost(f"there is no connection to TWS at {self._address} - {request.asked}")
        try:
            answer = await self._line.ask(request, finish_seconds=self._patience.finish if finish else 0.0)
        except IngestError as error:
            raise self._weighed(error) from error
        self._held_since = None
        self._answered_at = self._loop_time()
        return answer

    def _weighed(self, error: IngestError) -> IngestError:
        """The error as it counts: not the day's, where IB's servers are away or being reset."""
        if isinstance(error, TooLate):
            self._answered_at = float("-inf")  # a sign of life is wanted before anything else
        if isinstance(error, SocketLost):
            return error
        of_servers = isinstance(error, Transient) and not isinstance(error, Throttled)
        if of_servers or (isinstance(error, DayEnded) and isinstance(error.outcome, NoData)):
            if (end := self._reset_end()) is not None:
                until = f"IB resets its servers until {end.astimezone(NEW_YORK):%a %H:%M} New York"
                self._lose(until, (end - self._now()).total_seconds())
                return VendorDown(f"{error}; {until}, so this is not believed")
            if not self.serves:
                return VendorDown(f"{error}; said while IB's servers are away, so it is not believed")
        if isinstance(error, VendorDown):
            self._hold(str(error))
        else:
            self._held_since = None
        return error

    def _hold(self, why: str) -> None:
        """Ask nothing for a while; give up where that has not helped for long."""
        if self._held_since is None:
            self._held_since = self._loop_time()
        if self._loop_time() - self._held_since > self._patience.outage:
            self._fatal = self._given_up(self._look(why))
        self._lose(why, self._patience.hold)

    @property
    def _connected(self) -> bool:
        return self._line is not None and self._line.connected

    def _reset_end(self) -> datetime | None:
        return self._resets(self._now())

    async def _connect(self) -> None:
        line = Line(self._address, lambda code, text: self._noticed(line, code, text))
        self._line = line  # before it is up: TWS begins with what it has lost
        self._regain()
        await line.connect(self._patience.connect)
        self._answered_at = self._loop_time()
        self._account, self._server_version = line.account, line.server_version
        if self._real_data_only and self.account_kind == "sandbox":
            await self.close()
            raise RunEnded(
                f"the server at {self._address} is the sandbox, whose data is synthetic, and DATA_ASSETS_PROFILE is "
                f"live: stop it and {_START}"
            )

    def _noticed(self, line: Line, code: int, text: str) -> None:
        if line is not self._line:
            return
        if code in _LOST_IB:
            self._lose(f"TWS has lost IB's servers ({code}: {text})", None)
        elif code == _LOST_HISTORY:
            self._lose(f"IB's history service is away ({code}: {text})", self._patience.farm)
        elif code in _RESTORED:
            self._regain()
            if code == _DATA_LOST:
                line.drop_pending(f"TWS lost its requests with its connection to IB ({code}: {text})")
        elif code == _PORT_CHANGED:
            self._fatal = RunEnded(f"IB Error {code}: {text}: set IB_PORT to the new port, then run again")

    def _lose(self, why: str, seconds: float | None) -> None:
        """Ask nothing until TWS says that it is restored, or at most for so many seconds."""
        self._lost = why
        self._lost_until = None if seconds is None else self._loop_time() + seconds
        self._served.clear()

    def _regain(self) -> None:
        self._lost, self._lost_until = "", None
        self._served.set()

    async def _wait_until_served(self, left: float) -> None:
        if left <= 0:
            raise self._given_up(self._look(self._lost))
        if self._lost_until is not None:
            left = self._lost_until - self._loop_time()
        if left > 0:
            self._say(f"waiting, {left:.0f} s at most: {self._lost}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._served.wait(), left)
        if self._lost_until is not None and self._loop_time() >= self._lost_until:
            self._regain()

    async def _alive(self) -> bool:
        """Whether TWS still answers, asked for only after a silence."""
        line = self._line
        assert line is not None
        if self._loop_time() - self._answered_at < self._patience.idle:
            return True
        if await line.alive(self._patience.heartbeat):
            self._answered_at = self._loop_time()
            return True
        self._say(f"TWS at {self._address} gives no sign of life")
        line.disconnect()
        await asyncio.sleep(self._patience.goodbye)
        return False

    async def _reconnect(self, attempt: int, left: float) -> None:
        if attempt == 1:
            end = self._reset_end()
            until = f"; IB resets its servers until {end.astimezone(NEW_YORK):%a %H:%M} New York" if end else ""
            self._say(f"the connection to TWS at {self._address} is lost: connecting anew{until}")
        else:
            await self._back_off(attempt - 1)
        try:
            await self._connect()
        except (OSError, TurnedAway) as error:
            if left <= 0:
                raise self._given_up(self._why_no_session(error)) from None

    async def _back_off(self, attempt: int) -> None:
        ceiling = min(self._patience.backoff_cap, self._patience.backoff * 2.0 ** (attempt - 1))
        await asyncio.sleep(random.uniform(ceiling / 2, ceiling))

    def _why_no_session(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"TWS or IB Gateway at {self._address} takes connections and does not answer them within "
                f"{self._patience.connect:.0f} s: look whether it shows a dialog or a login, restart it, then run again"
            )
        if isinstance(error, OSError):
            why = os.strerror(error.errno) if error.errno else error  # asyncio's own words repeat the address
            return f"nobody listens at {self._address} ({why}): {_START}"
        return str(error)

    def _given_up(self, why: str) -> RunEnded:
        return RunEnded(f"no history from IB for {self._patience.outage:.0f} s: {why}")

    def _look(self, why: str) -> str:
        return f"{why}; look at the window of TWS or IB Gateway at {self._address}, then run again"

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()
