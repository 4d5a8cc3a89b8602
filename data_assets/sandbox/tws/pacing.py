"""IB's limits on how often and how much may be asked, as its servers enforce them.

Here: the limits and their counters, on a clock that is given. Not here: what a client that breaks one is told.

Source: IBKR Campus "TWS API Documentation", the sections on historical data and on pacing. IB documents the limits on
historical data for bars of 30 seconds or less, and for head timestamps whatever the bars; for bars of a minute and more
it speaks of a soft slow-down without numbers. Here they hold for all bars unless that is switched off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingRules:
    """The limits.

    Attributes:
        identical_seconds: an identical request may follow after so long; 0 switches the rule off.
        burst_seconds: within so long ...
        burst_requests: ... so many requests for one contract, exchange and data type are a violation.
        window_seconds: within so long ...
        window_requests: ... no more than so many requests of any kind. Bids and asks together count twice.
        minute_bars: whether bars of a minute and more are under these rules too.
        open_requests: historical requests that may be open at one time.
        messages_per_second: messages that one client may send in a second.
        rate_violations: the client is thrown out at this violation of ``messages_per_second``.
    """

    identical_seconds: float = 15.0
    burst_seconds: float = 2.0
    burst_requests: int = 6
    window_seconds: float = 600.0
    window_requests: int = 60
    minute_bars: bool = True
    open_requests: int = 50
    messages_per_second: int = 50
    rate_violations: int = 3

    def scaled(self, scale: float) -> PacingRules:
        """The same limits with every stretch of time for historical data multiplied by ``scale``; 0 lifts them."""
        return replace(
            self,
            identical_seconds=self.identical_seconds * scale,
            burst_seconds=self.burst_seconds * scale,
            window_seconds=self.window_seconds * scale,
        )


IB_PACING = PacingRules()
"""The limits as IB documents them."""


class HistoryPacing:
    """Counts the requests for historical data of all clients.

    A request that is refused counts like any other: who asks again at once stays locked out.
    """

    def __init__(self, rules: PacingRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._window: deque[tuple[float, int]] = deque()
        self._bursts: dict[Hashable, deque[float]] = {}
        self._last: dict[Hashable, float] = {}

    def admits(self, request: Hashable, contract: Hashable, weight: int = 1) -> bool:
        """Count a request, and say whether it keeps all rules.

        Args:
            request: equal for identical requests.
            contract: equal for requests of one contract, exchange and data type.
            weight: how often it counts in the long window.
        """
        now = self._clock()
        rules = self._rules
        last = self._last.get(request)
        self._last[request] = now
        repeated = last is not None and now - last < rules.identical_seconds

        burst = self._bursts.setdefault(contract, deque(maxlen=rules.burst_requests))
        burst.append(now)
        bursting = len(burst) == rules.burst_requests and now - burst[0] < rules.burst_seconds

        self._window.append((now, weight))
        while now - self._window[0][0] >= rules.window_seconds and len(self._window) > 1:
            self._window.popleft()
        crowded = rules.window_seconds > 0 and sum(each for _, each in self._window) > rules.window_requests
        return not (repeated or bursting or crowded)


class MessageRate:
    """Counts the messages of one client, and how often there were too many in a second.

    Attributes:
        violations: messages so far that came too soon.
    """

    def __init__(self, rules: PacingRules, clock: Clock) -> None:
        self.violations = 0
        self._clock = clock
        self._times: deque[float] = deque(maxlen=rules.messages_per_second)
        self._rules = rules

    @property
    def broken_too_often(self) -> bool:
        """Whether the client is to be thrown out."""
        return self.violations >= self._rules.rate_violations

    def admits(self) -> bool:
        """Count a message, and say whether it keeps the limit; one that does not is not counted in the second."""
        now = self._clock()
        if len(self._times) == self._rules.messages_per_second and now - self._times[0] < 1.0:
            self.violations += 1
            return False
        self._times.append(now)
        return True
