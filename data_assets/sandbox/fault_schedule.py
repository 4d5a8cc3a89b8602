"""Which request a fault strikes.

Here: the decision, reproducible from a seed. Not here: what a fault is (``faults``), and how a server carries it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.market import uniform


class FaultSchedule:
    """Decides, request by request, which fault strikes.

    Whether the n-th request that a fault matches is struck depends on the seed, the fault's place and n alone. Not for
    use from several threads.
    """

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._matched: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()

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
            if not _matches(fault, endpoint, first, last, rows, symbol):
                continue
            number = self._matched[place]
            self._matched[place] += 1
            spent = fault.times is not None and self._struck[place] >= fault.times
            if spent or uniform("fault", self._seed, place, number) >= fault.rate:
                continue
            self._struck[place] += 1
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
