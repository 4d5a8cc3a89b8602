"""The simulated TWS as a server that a test, a run or a person starts.

Here: plain values in, a running server out. Not here: what it answers (``tws.server``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, datetime

from data_assets.sandbox.fault_schedule import FaultSchedule
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.loopback import HOST, ServerThread
from data_assets.sandbox.tws.history import TwsHistory
from data_assets.sandbox.tws.pacing import IB_PACING, Clock, PacingRules
from data_assets.sandbox.tws.server import TwsRequest, TwsServer
from data_assets.sandbox.tws.stocks import STOCKS, Listings, Stock
from data_assets.trading_calendar import utc_now

SYNTHETIC_ACCOUNT = "DUSANDBOX"
"""The managed account of a simulated TWS, by which a client that wants real data knows to refuse it.

A real account is letters and digits, such as DU1234567 for paper trading; none is letters alone.
"""

_PAPER_ACCOUNT = "DU1234567"


class SandboxTws:
    """A TWS-compatible server on loopback, in its own thread, while its context is open.

    Args:
        stocks: the contracts there are.
        first_day: there is no data before it.
        faults: what goes wrong, and when.
        fault_seed: decides which requests a fault with a rate strikes.
        pacing: IB's limits on requests.
        pacing_scale: what their times are multiplied by, so that a demonstration takes seconds; 0 lifts the limits on
            historical data. A client that shall keep them needs a scale of its own that is larger: what it sends at the
            right moment may arrive a little late, and what follows on time is then too early.
        clock: seconds that never go back, by which the limits are kept and requests are recorded.
        now: the current time, aware; what is later does not exist yet.
        port: 0 for any free one.
        says_synthetic: whether its account says that it is no real one, which the live profile refuses. Only a test of
            the live profile has a reason to hide it.

    Raises:
        PortTaken: on entering, when something else listens on ``port``.
    """

    def __init__(
        self,
        *,
        stocks: Sequence[Stock] = STOCKS,
        first_day: date = date(2016, 1, 4),
        faults: Sequence[Fault] = (),
        fault_seed: int = 0,
        pacing: PacingRules = IB_PACING,
        pacing_scale: float = 1.0,
        clock: Clock = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        port: int = 0,
        says_synthetic: bool = True,
    ) -> None:
        self._tws = TwsServer(
            listings=Listings(stocks),
            history=TwsHistory(first_day=first_day, now=now),
            schedule=FaultSchedule(faults, fault_seed),
            rules=pacing.scaled(pacing_scale),
            clock=clock,
            now=now,
            account=SYNTHETIC_ACCOUNT if says_synthetic else _PAPER_ACCOUNT,
        )
        self._server = ServerThread(self._tws.serve, port)

    def __enter__(self) -> SandboxTws:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def host(self) -> str:
        """Where it listens: loopback, and nowhere else."""
        return HOST

    @property
    def port(self) -> int:
        """The port it listens on, known while the context is open."""
        return self._server.port

    @property
    def requests(self) -> list[TwsRequest]:
        """Every message of every client so far, in order of arrival."""
        return list(self._tws.requests)

    @property
    def clients(self) -> list[int]:
        """The numbers of the clients that are connected now."""
        return self._tws.clients()

    @property
    def most_open(self) -> int:
        """The highest number of historical requests that were open at one time."""
        return self._tws.most_open
