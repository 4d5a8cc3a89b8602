"""The way to TWS: connected, watched, and renewed when it is lost.

Here: when to connect, when to wait and for how long, and what answers are not to be believed. Not here: a single
socket (``tws_session``), and what is asked (``client``).

A connection that TWS has lost to IB's servers (1100, 2105, 2110) is waited for, and never torn down: the socket to TWS
survives it, and whoever reconnects finds his client id still taken. While IB resets its servers, timeouts has no end
but the reset's.

No "no" is final that TWS says while IB is away from it: a contract that it does not know, a permission that it does not
find, no data. Whatever came between the loss of a connection and a while after its return, or in a reset, is asked
again; only data is taken.

A gateway can shake hands and then answer nothing, so a handshake proves nothing: TWS is there when it has answered a
question. One that does not is connected anew, and given up like one that is not there.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data_assets.ingest.outcome import IngestError, RunEnded, Throttled, VendorDown
from data_assets.ingest.waiting import waiting
from data_assets.trading_calendar import NEW_YORK
from data_assets.vendors.ib.timeouts import Timeouts
from data_assets.vendors.ib.tws_session import Address, Endless, Request, SocketLost, TooLate, TurnedAway, TwsSession

SYNTHETIC_ACCOUNTS = "DUSANDBOX"  # as the sandbox begins its accounts; vendors know nothing else of it

OPENS_SECONDS = 1.0
"""A connection that takes longer is told as waited for."""

_LOST_IB = frozenset({1100, 2110})
_LOST_HISTORY, _LOST_CONTRACTS = 2105, 2157
_DATA_LOST = 1101
_RESTORED = frozenset({_DATA_LOST, 1102})
_ON_DEMAND = 2107  # inactive, which is neither broken nor a sign that IB can be reached
_FARM_BACK = frozenset({2106, _ON_DEMAND, 2158})
_PORT_CHANGED = 1300

_IB, _ANY_FARM = "IB", ""
_FARM = re.compile(r"(?:[:.])\s*(\w+(?:\.\w+)*)\W*$")
_START = (
    "start TWS or IB Gateway and log in, allow API connections in its settings, and set IB_HOST and IB_PORT to it: "
    "TWS listens on 7496 (live) or 7497 (paper), Gateway on 4001 (live) or 4002 (paper)"
)
_LOOK = (
    "look whether it shows a dialog or a login, and whether its API settings trust this machine's address (Trusted "
    "IPs), restart it, then run again"
)


class _Mute(Exception):
    """TWS shook hands and answers nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What TWS answered.

    Attributes:
        value: as `TwsSession.ask` returns it.
        doubt: why a "no" in it would not be final: words for a sentence; empty where it is.
    """

    value: Any
    doubt: str


class Connection:
    """One client of one TWS, for one event loop."""

    def __init__(
        self,
        address: Address,
        *,
        real_data_only: bool,
        timeouts: Timeouts,
        now: Callable[[], datetime],
        resets: Callable[[datetime], datetime | None],
        say: Callable[[str], object],
    ) -> None:
        """Prepare; nothing is sent before `open`.

        Args:
            address: where TWS is.
            real_data_only: refuse a server that simulates.
            timeouts: how long to wait for what.
            now: the current instant, aware.
            resets: the end of the reset of IB's servers that is under way at an instant, or None.
            say: told, in one line each, of what makes the run wait.
        """
        self._address = address
        self._real_data_only = real_data_only
        self._timeouts = timeouts
        self._now = now
        self._resets = resets
        self._say = say
        self._session: TwsSession | None = None
        self._account = ""
        self._server_version = 0
        self._answered_at = float("-inf")
        self._readying = asyncio.Lock()
        self._served = asyncio.Event()
        self._served.set()
        self._lost = ""
        self._lost_until: float | None = None
        self._away: dict[str, str] = {}
        self._losses = 0
        self._back_at = float("-inf")
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
        with waiting(
            f"TWS or IB Gateway at {self._address} to take the connection",
            f"it answers, or {self._timeouts.attempts} attempts have failed",
            OPENS_SECONDS,
        ):
            await self._open()

    async def _open(self) -> None:
        for attempt in range(1, self._timeouts.attempts + 1):
            last = attempt == self._timeouts.attempts
            try:
                await self._connect()
                if not self.serves or await self._alive():
                    return
                raise _Mute
            except (TimeoutError, TurnedAway, _Mute) as error:
                if last:
                    raise RunEnded(self._why_no_session(error)) from None
            except OSError as error:
                raise RunEnded(self._why_no_session(error)) from error
            await self._back_off(attempt)

    async def close(self) -> None:
        """Disconnect, and leave TWS a moment to notice."""
        if self._session is not None:
            self._session.disconnect()
            self._session = None
            await asyncio.sleep(self._timeouts.goodbye)

    async def ready(self) -> None:
        """Return when there is a connection that serves history: reconnect, wait for IB's servers.

        Raises:
            RunEnded: the outage lasts too long, or TWS has said something that waiting does not mend.
        """
        async with self._readying:  # days that wait share one reconnection
            with ExitStack() as said:
                await self._become_ready(said)

    async def _become_ready(self, said: ExitStack) -> None:
        down_since, attempt, told = self._loop_time(), 0, ""
        while True:
            if self._fatal is not None:
                raise self._fatal
            if (reset := self._reset_end()) is not None:
                down_since = self._loop_time()
            left = down_since + self._timeouts.outage - self._loop_time()
            if not self.serves and told != (what := self._what_is_away(reset)):
                told = what
                said.close()
                said.enter_context(waiting(what, (reset - self._now()).total_seconds() if reset else left))
            if self._connected and not self._served.is_set():
                await self._wait_until_served(left)
            elif self._connected:
                if await self._alive():
                    return
                if left <= 0:
                    raise self._given_up(self._why_no_session(_Mute()))
            else:
                attempt += 1
                await self._reconnect(attempt, left)

    def _what_is_away(self, reset: datetime | None) -> str:
        if reset is not None:
            return f"IB's servers, which are being reset, behind TWS or IB Gateway at {self._address}"
        return f"{'IB behind ' if self._connected else ''}TWS or IB Gateway at {self._address} to be back"

    async def request(self, request: Request, *, finish: bool = False) -> Answer:
        """Ask one question and wait for the answer; see `TwsSession.ask`.

        Args:
            request: the question.
            finish: take the answer in, if it comes soon, even when this task is cancelled meanwhile.

        Raises:
            IngestError: what TWS said instead. `VendorDown` where that is not final, or nothing came, because IB's
                servers are away.
        """
        if self._session is None:
            raise SocketLost(
                f"there is no connection to TWS at {self._address} - {request.asked}", cause="IB connection lost"
            )
        doubt, losses = self._doubt(), self._losses
        try:
            value = await self._session.ask(request, finish_seconds=self._timeouts.finish if finish else 0.0)
        except IngestError as error:
            raise self._weighed(error, doubt or self._doubt(losses)) from error
        self._held_since = None
        self._answered_at = self._loop_time()
        return Answer(value, doubt or self._doubt(losses))

    def disbelieved(self, said: object, doubt: str) -> VendorDown:
        """An answer that is not final: asks nothing until one can be, and returns what to raise.

        Args:
            said: what it said, and of what.
            doubt: of the `Answer`.
        """
        if (end := self._reset_end()) is not None:
            self._lose(self._reset_words(), (end - self._now()).total_seconds())
        elif self.serves and self._away:
            self._hold(f"{said}; {doubt}")
        elif self.serves and (left := self._back_at + self._timeouts.settle - self._loop_time()) > 0:
            self._lose("IB's servers are just back", left)
        return VendorDown(f"{said}; {doubt}, so this is not believed", cause="IB away")

    def _weighed(self, error: IngestError, doubt: str) -> IngestError:
        """The error as it counts: not for good, where IB's servers are away or being reset."""
        if isinstance(error, TooLate):
            self._answered_at = float("-inf")  # a sign of life is wanted before anything else
        if isinstance(error, SocketLost | Endless):
            return error
        if isinstance(error, Throttled):
            self._held_since = None
            return error
        if isinstance(error, VendorDown):
            self._hold(str(error))
            return error
        if doubt:
            return self.disbelieved(error, doubt)
        self._held_since = None
        return error

    def doubt(self) -> str:
        """Why a "no" would not be final now, words for a sentence; empty where it would be."""
        return self._doubt()

    def _doubt(self, losses: int | None = None) -> str:
        """Why a "no" is not final now; empty where it is.

        Args:
            losses: `_losses` when it was asked for: IB may have been away and back since.
        """
        if reset := self._reset_words():
            return reset
        if self._away or not self.serves or losses not in (None, self._losses):
            lost = next(iter(self._away.values()), "") or self._lost
            return "said while IB's servers are away" + (f" ({lost})" if lost else "")
        if self._loop_time() < self._back_at + self._timeouts.settle:
            return f"said within {self._timeouts.settle:.0f} s after IB's servers were back"
        return ""

    def _reset_words(self) -> str:
        end = self._reset_end()
        return f"IB resets its servers until {end.astimezone(NEW_YORK):%a %H:%M} New York" if end is not None else ""

    def _hold(self, why: str) -> None:
        """Ask nothing for a while; give up where that has not helped for long."""
        if self._held_since is None:
            self._held_since = self._loop_time()
        if self._loop_time() - self._held_since > self._timeouts.outage:
            self._fatal = self._given_up(self._look(why))
        self._lose(why, self._timeouts.hold)

    @property
    def _connected(self) -> bool:
        return self._session is not None and self._session.connected

    def _reset_end(self) -> datetime | None:
        return self._resets(self._now())

    async def _connect(self) -> None:
        session = TwsSession(
            self._address, lambda code, text: self._noticed(session, code, text), self._timeouts.linger
        )
        again = self._session is not None
        self._session = session  # before it is up: TWS begins with what it has lost
        self._away.clear()
        self._regain()
        self._answered_at = float("-inf")  # it has yet to answer a question
        await session.connect(self._timeouts.connect)
        if again:
            self._back_at = self._loop_time()
        self._account, self._server_version = session.account, session.server_version
        if self._real_data_only and self.account_kind == "sandbox":
            await self.close()
            raise RunEnded(
                f"the server at {self._address} is the sandbox, whose data is synthetic, and DATA_ASSETS_PROFILE is "
                f"live: stop it and {_START}"
            )

    def _noticed(self, session: TwsSession, code: int, text: str) -> None:
        if session is not self._session:
            return
        if code in _LOST_IB:
            self._went_away(_IB, f"TWS has lost IB's servers ({code}: {text})")
            self._lose(self._away[_IB], None)
        elif code == _LOST_HISTORY:
            farm = _farm(text)
            self._went_away(farm, f"IB's history service is away ({code}: {text})")
            self._lose(self._away[farm], self._timeouts.farm)
        elif code == _LOST_CONTRACTS:
            self._went_away(_farm(text), f"IB's contract service is away ({code}: {text})")
        elif code in _RESTORED:
            self._away.clear()
            self._are_back()
            if code == _DATA_LOST:
                session.drop_pending(f"TWS lost its requests with its connection to IB ({code}: {text})")
        elif code in _FARM_BACK:
            farm = _farm(text)
            back = {_IB} if code != _ON_DEMAND else set()
            self._came_back(back | (set(self._away) - {_IB} if farm == _ANY_FARM else {farm, _ANY_FARM}))
        elif code == _PORT_CHANGED:
            self._fatal = RunEnded(f"IB Error {code}: {text}: set IB_PORT to the new port, then run again")

    def _went_away(self, who: str, why: str) -> None:
        self._away[who] = why
        self._losses += 1

    def _came_back(self, who: set[str]) -> None:
        """Take in that TWS has these again; with the last of them it serves."""
        found = [self._away.pop(each) for each in who if each in self._away]
        if found and not self._away:
            self._are_back()

    def _are_back(self) -> None:
        self._back_at = self._loop_time()
        self._regain()

    def _lose(self, why: str, seconds: float | None) -> None:
        """Ask nothing until TWS says that it is restored, or at most for so many seconds."""
        if seconds is not None and _IB in self._away:
            return  # TWS will say when
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
        session = self._session
        assert session is not None
        if self._loop_time() - self._answered_at < self._timeouts.idle:
            return True
        if await session.alive(self._timeouts.heartbeat):
            self._answered_at = self._loop_time()
            return True
        self._say(f"TWS at {self._address} does not answer")
        session.disconnect()
        await asyncio.sleep(self._timeouts.goodbye)
        return False

    async def _reconnect(self, attempt: int, left: float) -> None:
        if attempt == 1:
            end = self._reset_end()
            until = f"; IB resets its servers until {end.astimezone(NEW_YORK):%a %H:%M} New York" if end else ""
            self._say(f"the connection to TWS at {self._address} is lost: reconnecting{until}")
        else:
            await self._back_off(attempt - 1)
        try:
            await self._connect()
        except (OSError, TurnedAway) as error:
            if left <= 0:
                raise self._given_up(self._why_no_session(error)) from None

    async def _back_off(self, attempt: int) -> None:
        ceiling = min(self._timeouts.backoff_cap, self._timeouts.backoff * 2.0 ** (attempt - 1))
        await asyncio.sleep(random.uniform(ceiling / 2, ceiling))

    def _why_no_session(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"TWS or IB Gateway at {self._address} accepts connections but does not answer within "
                f"{self._timeouts.connect:.0f} s: {_LOOK}"
            )
        if isinstance(error, _Mute):
            return f"TWS or IB Gateway at {self._address} accepts the connection and then answers nothing: {_LOOK}"
        if isinstance(error, OSError):
            why = os.strerror(error.errno) if error.errno else error  # asyncio's own words repeat the address
            return f"nothing listens at {self._address} ({why}): {_START}"
        return str(error)

    def _given_up(self, why: str) -> RunEnded:
        return RunEnded(f"no history from IB for {self._timeouts.outage:.0f} s: {why}")

    def _look(self, why: str) -> str:
        return f"{why}; look at the window of TWS or IB Gateway at {self._address}, then run again"

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()


def _farm(text: str) -> str:
    """The data farm that a notice is about, such as ``ushmds``; ``_ANY_FARM`` where it names none."""
    found = _FARM.search(text)
    return found[1] if found is not None else _ANY_FARM
