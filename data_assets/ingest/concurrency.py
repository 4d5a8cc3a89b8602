"""How many days may be fetched at once: a limit that adapts, and the gate that holds requests to it.

Here: the limit as a state machine without I/O, and the gate. Not here: how attempts end (`engine` reports it).

The limit starts at three, or at the vendor's own cap if that is less. If an account that may lack the data is to be
asked only once, it starts at one, and is three from the vendor's first byte on. It is judged in rounds: a round is as
many fetched days as the limit admits. A round with 5 % more throughput than the one before raises the limit by one, and
so does the first round after a start or a halving, which has nothing to be compared with. Rounds without growth leave
it as it is; after three of them it is raised by one, because the vendor may have become faster. It is halved when the
vendor asks for fewer requests, when more than a fifth of the recent attempts failed, and when memory runs short.
Reports in the ten seconds after a halving are ignored: they come from requests sent under the old limit, and one burst
must halve it only once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

START = 3
GROWTH = 1.05
FLAT_ROUNDS = 3
RECENT_TRIES = 20
FEWEST_TRIES = 5
ERROR_SHARE = 0.2
MEMORY_SHARE = 0.85
COOL_DOWN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Throughput:
    bytes_per_second: float
    days_per_second: float

    def grew_from(self, before: _Throughput) -> bool:
        """Compare bytes where bytes came in; a vendor that answers `no data` for a while is compared by its answers."""
        if self.bytes_per_second and before.bytes_per_second:
            return self.bytes_per_second > GROWTH * before.bytes_per_second
        return self.days_per_second > GROWTH * before.days_per_second


class ConcurrencyLimit:
    """The number of requests that may be in flight, between 1 and `cap`.

    Attributes:
        cap: what the vendor's plan allows; never exceeded.
        current: the limit now.
    """

    def __init__(self, cap: int, clock: Callable[[], float], *, first_alone: bool = False) -> None:
        if cap < 1:
            raise ValueError(f"at least one request must be allowed at once, not {cap}")
        self.cap = cap
        self._first_alone = first_alone
        self.current = 1 if first_alone else min(START, cap)
        self._clock = clock
        self._cool_until = float("-inf")
        self._recent_failed: deque[bool] = deque(maxlen=RECENT_TRIES)
        self._before: _Throughput | None = None
        self._flat_rounds = 0
        self._begin_round(clock())

    def receives(self) -> None:
        """Data begins to come in: the vendor has some for this account, and the first day is no longer alone."""
        if self._first_alone:
            self._first_alone = False
            if not self._cooling():
                self.current = max(self.current, min(START, self.cap))
                self._begin_round(self._clock())

    def answered(self, received: int) -> None:
        """A day was answered, with data or without; `received` bytes came for it."""
        if self._cooling():
            return
        self._recent_failed.append(False)
        self._round_days += 1
        self._round_bytes += received
        if self._round_days >= self.current:
            self._end_round()

    def failed(self) -> None:
        """Record that an attempt failed."""
        if self._cooling():
            return
        self._recent_failed.append(True)
        tries = len(self._recent_failed)
        if tries >= FEWEST_TRIES and sum(self._recent_failed) > ERROR_SHARE * tries:
            self._halve()

    def throttled(self) -> None:
        """The vendor asked for less."""
        self._halve()

    def memory(self, share: float) -> None:
        """The share of memory in use is `share`, 0 to 1."""
        if share > MEMORY_SHARE:
            self._halve()

    def _cooling(self) -> bool:
        return self._clock() < self._cool_until

    def _halve(self) -> None:
        if self._cooling():
            return
        self.current = max(1, self.current // 2)
        self._cool_until = self._clock() + COOL_DOWN_SECONDS
        self._recent_failed.clear()
        self._before = None
        self._flat_rounds = 0
        self._begin_round(self._cool_until)

    def _begin_round(self, now: float) -> None:
        self._round_began = now
        self._round_days = 0
        self._round_bytes = 0

    def _end_round(self) -> None:
        now = self._clock()
        seconds = max(now - self._round_began, 1e-9)
        throughput = _Throughput(self._round_bytes / seconds, self._round_days / seconds)
        if self._before is None or self._flat_rounds >= FLAT_ROUNDS or throughput.grew_from(self._before):
            self.current = min(self.cap, self.current + 1)
            self._flat_rounds = 0
        else:
            self._flat_rounds += 1
        self._before = throughput
        self._begin_round(now)


class Gate:
    """Lets at most `limit.current` requests through at once.

    A lowered limit holds back the next request, never a running one; a raised one is noticed as the next request ends.
    """

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self._limit = limit
        self._in_flight = 0
        self._waiting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it inside the context."""
        while self._in_flight >= self._limit.current:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            finally:
                self._waiting.remove(turn)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            # All of them look again: the limit may have risen, and one that was cancelled meanwhile takes no turn.
            for turn in self._waiting:
                if not turn.done():
                    turn.set_result(None)
