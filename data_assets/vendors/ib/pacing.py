"""When the next request for IB's history may be sent: the account's budget, across processes, machines and restarts.

Here: the budget, and what every process remembers of what was asked. Not here: sending, and where that is remembered:
in a file, or where several machines work in the database of their run history (`ingest.shared_state`).

Source: IBKR Campus "TWS API Documentation", Historical Data Limitations: no identical request within 15 seconds, no
more than 60 requests in any ten minutes. IB states these limits for bars of 30 seconds or less, and for head timestamps
whatever the bars. For bars of a minute and more it slows down clients that ask too fast and names no number, so there
the budget is the user's (`IB_SECONDS_BETWEEN_REQUESTS`, `IB_MAX_REQUESTS_PER_10_MIN`); head timestamps stay under
`STRICT`.

Times are those of the wall clock of where it is remembered, the only clock that survives a restart and that machines
have in common. If it is set back, remembered requests may lie in the future; they count as sent just now. An unknown
past counts as a busy one: none at all as one request just sent, a damaged or foreign one as a full window of requests
just sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from data_assets.ingest.shared_state import DAMAGED, SharedState
from data_assets.ingest.state_file import Sleep
from data_assets.ingest.waiting import waiting

MARGIN = 1.01
"""Factor on IB's stretches of time, as a request may be late on the wire and the next one too close behind it."""

_FORMAT = "data_assets ib pacing 1"
_PENALTIES_IN_WINDOW = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many requests may be sent.

    Attributes:
        seconds_between: least time between two requests; below 0.4 a single ticker can break IB's limit of six requests
            for one contract in two seconds.
        max_per_window: most requests in any window.
        window_seconds: length of the window; IB's is ten minutes.
        identical_seconds: least time between two identical requests; IB's number is 15.
    """

    seconds_between: float = 10.0
    max_per_window: int = 60
    window_seconds: float = 600.0
    identical_seconds: float = 15.0

    def scaled(self, scale: float) -> Budget:
        """Multiply every stretch of time, for a simulator whose limits are scaled too."""
        return replace(
            self,
            seconds_between=self.seconds_between * scale,
            window_seconds=self.window_seconds * scale,
            identical_seconds=self.identical_seconds * scale,
        )

    def wait(self, times: Sequence[float], now: float) -> float:
        """Return the seconds until one more request keeps the budget, after those sent at `times`, oldest first."""
        if not times:
            return 0.0
        after_last = times[-1] + self.seconds_between - now
        if len(times) < self.max_per_window:
            return after_last
        return max(after_last, times[-self.max_per_window] + self.window_seconds * MARGIN - now)


STRICT = Budget()
"""IB's stated limits, with the requests spread evenly."""


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
    """Gives out turns to send a request; all objects, processes and machines with the same memory share one budget."""

    def __init__(
        self,
        asked: SharedState,
        budget: Budget = STRICT,
        *,
        head_budget: Budget = STRICT,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Nothing is read or written before the first turn.

        Args:
            asked: what was asked of the account; one per IB account.
            budget: the budget of all requests together.
            head_budget: a further budget, of the requests for head timestamps alone.
            sleep: waits for a number of seconds.
        """
        self._asked = asked
        self._budget = budget
        self._head_budget = head_budget
        self._sleep = sleep
        self._queue = asyncio.Lock()

    async def turn(self, key: str, *, head: bool = False) -> None:
        """Wait until the request may be sent, then count it as sent; first come, first served.

        Args:
            key: the same for identical requests.
            head: whether the request is for a head timestamp.

        Raises:
            RunEnded: what was asked cannot be read or written.
        """
        async with self._queue:
            while (wait := await self._take(key, head=head)) > 0:
                with waiting("the next request that IB's limits allow", wait):
                    await self._sleep(wait)

    async def refused(self) -> float:
        """Record that IB reported a pacing violation, and return the seconds for which no request is sent.

        The first time it is a tenth of the window, a minute; each further time within the window doubles it.
        """

        def refuse(found: Any, now: float) -> tuple[Any, float]:
            past = self._read(found, now)
            past.refused.append(now)
            return _written(past), self._penalty(past, now)

        return await self._asked.change(refuse)

    async def _take(self, key: str, *, head: bool) -> float:
        def take(found: Any, now: float) -> tuple[Any, float]:
            past = self._read(found, now)
            wait = self._wait(past, key, now, head=head)
            if wait <= 0:
                past.requests.append((now, head, key))
            return _written(past), wait  # also where nothing was taken: a past moved by a clock set back ages from now

        return await self._asked.change(take)

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

    def _read(self, found: Any, now: float) -> _Past:
        past = self._known(found, now)
        window = max(self._budget.window_seconds, self._head_budget.window_seconds) * MARGIN
        return past.up_to(now, now - window, now - self._budget.identical_seconds * MARGIN)

    def _known(self, found: Any, now: float) -> _Past:
        if found is None:
            return _Past([(now, True, "")])
        try:
            return _parse(found)
        except (LookupError, TypeError, ValueError):
            logger.warning(
                "%s: is damaged; sending IB no request for %.0f s, because the requests before are not known",
                self._asked.name,
                self._budget.window_seconds,
            )
            most = max(self._budget.max_per_window, self._head_budget.max_per_window)
            return _Past([(now, True, "")] * most)


def _written(past: _Past) -> dict[str, Any]:
    return {"format": _FORMAT, "requests": past.requests, "refused": past.refused}


def _parse(found: Any) -> _Past:
    if found is DAMAGED:
        raise ValueError(found)
    if found["format"] != _FORMAT:
        raise ValueError(found["format"])
    requests = [(_instant(at), bool(head), str(key)) for at, head, key in found["requests"]]
    return _Past(sorted(requests), sorted(_instant(at) for at in found["refused"]))


def _instant(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(value)
    return number
