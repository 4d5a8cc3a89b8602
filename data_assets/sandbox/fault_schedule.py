"""Which request a fault strikes.

Here: the decision, reproducible from a seed. Not here: what a fault is (``faults``), and how a server carries it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.market.market import uniform


class Turns:
    """Decides whether a fault takes its turn at a request that it matches. Not for use from several threads.

    Args:
        seed: with the fault's place and the number of its matches so far, all that the decision depends on.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._matched: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()

    def take(self, place: int, rate: float, times: int | None, skip: int = 0) -> bool:
        """Whether the fault at ``place`` strikes now: with probability ``rate``, and ``times`` times at most.

        Not at the first ``skip`` requests.
        """
        number = self._matched[place]
        self._matched[place] += 1
        spent = times is not None and self._struck[place] >= times
        if number < skip or spent or uniform("fault", self._seed, place, number) >= rate:
            return False
        self._struck[place] += 1
        return True


class FaultSchedule:
    """Decides, request by request, which fault strikes.

    Whether the n-th request that a fault matches is struck depends on the seed, the fault's place and n alone. Not for
    use from several threads.
    """

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self._faults = tuple(faults)
        self._turns = Turns(seed)

    def strike(
        self,
        endpoint: str,
        first: date | None = None,
        last: date | None = None,
        rows: int = 0,
        symbol: str | None = None,
    ) -> Fault | None:
        """The first fault that strikes this request, if one does.

        Args:
            endpoint: path after ``/v3/``, or the name of a request of IB.
            first: first day asked for; None where the request has no day.
            last: last day asked for.
            rows: rows of the whole answer.
            symbol: the ticker asked for, where faults can be narrowed to one.
        """
        for place, fault in enumerate(self._faults):
            if _matches(fault, endpoint, first, last, rows, symbol) and self._turns.take(
                place, fault.rate, fault.times, fault.skip
            ):
                return fault
        return None


def _matches(fault: Fault, endpoint: str, first: date | None, last: date | None, rows: int, symbol: str | None) -> bool:
    if fault.endpoint != endpoint or (fault.kind == "large_request" and rows <= fault.rows):
        return False
    if fault.symbol is not None and fault.symbol != symbol:
        return False
    if fault.day is None:
        return True
    return first is not None and last is not None and first <= fault.day <= last
