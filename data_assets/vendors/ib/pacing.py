"""When the next request for IB's history may be sent: the account's budget, across processes and restarts.

Here: the budget, and the file in which every process of this machine remembers what was asked. Not here: sending.

Source: IBKR Campus "TWS API Documentation", Historical Data Limitations: no identical request within 15 seconds, no
more than 60 requests in any ten minutes. IB states them for bars of 30 seconds or less and for head timestamps whatever
the bars; for bars of a minute and more it slows down whom it finds too hasty, and names no number. `STRICT` keeps the
stated limits for everything; `RELAXED` is for bars of a minute and more, and head timestamps stay under `STRICT`.

Times are the wall clock's, the one clock that survives a restart. A clock set back makes some of what is remembered lie
in the future; that counts as asked just now. What a past cannot be known from is taken for a busy one: a missing file
for one request just sent, a damaged or a foreign one for a whole window's, just sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_assets.ingest.waiting import waiting
from data_assets.vendors.ib.state_file import Damaged, Sleep, StateFile

MARGIN = 1.01
"""Times are kept longer by so much: what leaves here on time may arrive late, and what follows it then too early."""

_FORMAT = "data_assets ib pacing 1"
_PENALTIES_IN_WINDOW = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be asked.

    Attributes:
        seconds_between: between two requests, at least; below 0.4 a single ticker can break IB's limit of six requests
            for one contract in two seconds.
        max_per_window: requests in any window, at most.
        window_seconds: the window; IB's is ten minutes.
        identical_seconds: between two identical requests, at least; IB's number is 15.
    """

    seconds_between: float = 10.0
    max_per_window: int = 60
    window_seconds: float = 600.0
    identical_seconds: float = 15.0

    def scaled(self, scale: float) -> Budget:
        """The same budget with every stretch of time multiplied, for a simulator whose limits are scaled too."""
        return replace(
            self,
            seconds_between=self.seconds_between * scale,
            window_seconds=self.window_seconds * scale,
            identical_seconds=self.identical_seconds * scale,
        )

    def wait(self, times: Sequence[float], now: float) -> float:
        """Seconds until one more request keeps the budget, after those sent at `times`, in their order."""
        if not times:
            return 0.0
        after_last = times[-1] + self.seconds_between - now
        if len(times) < self.max_per_window:
            return after_last
        return max(after_last, times[-self.max_per_window] + self.window_seconds * MARGIN - now)


STRICT = Budget()
"""IB's stated limits, evenly used."""

RELAXED = Budget(seconds_between=0.5, max_per_window=1000)
"""For bars of a minute and more, for which IB states no number: what others run with."""


@dataclass(slots=True)
class _Past:
    """What was asked, oldest first.

    Attributes:
        requests: when, whether for a head timestamp, and what exactly, for as long as that may not be repeated.
        refused: when IB called a request too many.
    """

    requests: list[tuple[float, bool, str]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def up_to(self, now: float, oldest: float, identical_since: float) -> _Past:
        """Without what no longer matters; what lies in the future, by a clock that was set back, happened now."""
        requests = [(min(at, now), head, key) for at, head, key in self.requests if at > oldest]
        return _Past(
            [(at, head, key if at > identical_since else "") for at, head, key in requests],
            [min(at, now) for at in self.refused if at > oldest],
        )


class RequestPacing:
    """Gives out turns to ask; the same for every object and process that is given the same file."""

    def __init__(
        self,
        path: Path,
        budget: Budget = STRICT,
        *,
        head_budget: Budget = STRICT,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Nothing is read or written before the first turn.

        Args:
            path: the file; one per IB account.
            budget: what all requests together keep.
            head_budget: what those for head timestamps keep besides.
            clock: seconds since 1970.
            sleep: waits for so many seconds of `clock`.
        """
        self._file = StateFile(path, sleep)
        self._budget = budget
        self._head_budget = head_budget
        self._clock = clock
        self._sleep = sleep
        self._queue = asyncio.Lock()

    async def turn(self, key: str, *, head: bool = False) -> None:
        """Return when the request may be sent, which from then on counts as sent; first come, first served.

        Args:
            key: what is asked, the same for identical requests.
            head: whether it is for a head timestamp.

        Raises:
            RunEnded: the file cannot be read or written.
        """
        async with self._queue:
            while (wait := await self._take(key, head=head)) > 0:
                with waiting("the next turn to ask IB, whose limits on requests are kept", wait):
                    await self._sleep(wait)

    async def refused(self) -> float:
        """Take in that IB called a request too many, and say for how many seconds nobody asks now.

        A tenth of the window, a minute, the first time; twice as long each further time within the window.
        """
        async with self._file.locked():
            now = self._clock()
            past = self._read(now)
            past.refused.append(now)
            self._write(past)
            return self._penalty(past, now)

    async def _take(self, key: str, *, head: bool) -> float:
        async with self._file.locked():
            now = self._clock()
            past = self._read(now)
            wait = self._wait(past, key, now, head=head)
            if wait <= 0:
                past.requests.append((now, head, key))
            self._write(past)  # also where nothing was taken: a past moved by a clock set back has to age from now on
            return wait

    def _wait(self, past: _Past, key: str, now: float, *, head: bool) -> float:
        waits = [self._penalty(past, now), self._budget.wait([at for at, _, _ in past.requests], now)]
        if head:
            waits.append(self._head_budget.wait([at for at, of_head, _ in past.requests if of_head], now))
        identical = max((at for at, _, asked in past.requests if asked == key), default=None)
        if identical is not None:
            waits.append(identical + self._budget.identical_seconds * MARGIN - now)
        return max(waits)

    def _penalty(self, past: _Past, now: float) -> float:
        if not past.refused:
            return 0.0
        window = self._budget.window_seconds
        seconds = min(window, window / _PENALTIES_IN_WINDOW * 2.0 ** (len(past.refused) - 1))
        return past.refused[-1] + seconds - now

    def _read(self, now: float) -> _Past:
        past = self._known(now)
        window = max(self._budget.window_seconds, self._head_budget.window_seconds) * MARGIN
        return past.up_to(now, now - window, now - self._budget.identical_seconds * MARGIN)

    def _known(self, now: float) -> _Past:
        try:
            found = self._file.read()
            if found is None:
                return _Past([(now, True, "")])
            return _parse(found)
        except (Damaged, LookupError, TypeError, ValueError):
            logger.warning(
                "%s: is not what was written there; asking IB nothing for %.0f s, because what was asked is not known",
                self._file.path,
                self._budget.window_seconds,
            )
            most = max(self._budget.max_per_window, self._head_budget.max_per_window)
            return _Past([(now, True, "")] * most)

    def _write(self, past: _Past) -> None:
        self._file.write({"format": _FORMAT, "requests": past.requests, "refused": past.refused})


def _parse(found: Any) -> _Past:
    if found["format"] != _FORMAT:
        raise ValueError(found["format"])
    requests = [(_instant(at), bool(head), str(key)) for at, head, key in found["requests"]]
    return _Past(sorted(requests), sorted(_instant(at) for at in found["refused"]))


def _instant(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(value)
    return number
