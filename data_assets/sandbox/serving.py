"""The simulated vendors as servers that a test, a run or a person starts.

Here: plain values in, a running server out. Not here: what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from data_assets.sandbox.fault_schedule import FaultSchedule
from data_assets.sandbox.faults import HISTORIES_ONLY, QUOTE_ENDPOINT, Fault
from data_assets.sandbox.loopback import HOST, LoopbackServer
from data_assets.sandbox.theta.history import ThetaHistory
from data_assets.sandbox.theta.server import Delivery, Framing, RequestRecord, ThetaServer, TierName
from data_assets.sandbox.theta.text import CsvText
from data_assets.trading_calendar import utc_now

THETA_SYMBOLS = (
    "AAPL",
    "AMD",
    "AMZN",
    "DIA",
    "GME",
    "GME1",
    "IWM",
    "MSFT",
    "NDX",
    "NDXP",
    "NVDA",
    "QQQ",
    "SPX",
    "SPXW",
    "SPY",
    "TSLA",
)


class SandboxTheta:
    """A Theta-compatible server on loopback, in its own thread, while its context is open.

    Args:
        contracts: option contracts per symbol and day; 250 make about 100,000 rows, 6,000 about 2.4 million, and 12,400
            for each of SPX and SPXW ten million together.
        first_day: there is no data before it (472).
        faults: what goes wrong, and when.
        fault_seed: decides which requests a fault with a rate strikes.
        tier: the subscription: requests at once, first day of its history, endpoints.
        symbols: the option roots there are.
        order: ``vendor`` sends expirations ascending, ``shuffled`` in arbitrary order.
        quoted: whether strings in the CSV stand in double quotes.
        line_end: of the CSV.
        fraction: whether timestamps in the CSV carry milliseconds.
        framing: ``chunked``, or ``content-length``, which needs the whole body in memory first.
        bytes_per_second: pace of each answer; None for as fast as it goes.
        body_file: a CSV file that is every quote request's body, for benchmarks, or a folder with one for each day,
            ``YYYY-MM-DD.csv``; cheapest with ``content-length``.
        now: the current time, aware; what is later does not exist yet.
        port: 0 for any free one.
        says_synthetic: whether its answers say that they are no real data, which the live profile refuses. Only a test
            of the live profile has a reason to hide it.

    Raises:
        ValueError: a fault that changes rows together with ``body_file``, whose rows are sent as they are.
        PortTaken: on entering, when something else listens on ``port``.
    """

    def __init__(
        self,
        *,
        contracts: int = 250,
        first_day: date = date(2016, 1, 4),
        faults: Sequence[Fault] = (),
        fault_seed: int = 0,
        tier: TierName = "standard",
        symbols: Sequence[str] = THETA_SYMBOLS,
        order: Literal["vendor", "shuffled"] = "vendor",
        quoted: bool = False,
        line_end: Literal["\r\n", "\n"] = "\r\n",
        fraction: Literal["none", ".000"] = "none",
        framing: Framing = "chunked",
        bytes_per_second: float | None = None,
        body_file: Path | None = None,
        now: Callable[[], datetime] = utc_now,
        port: int = 0,
        says_synthetic: bool = True,
    ) -> None:
        of_quotes = {fault.kind for fault in faults if fault.endpoint == QUOTE_ENDPOINT}
        changed = sorted(of_quotes & HISTORIES_ONLY)
        if body_file is not None and changed:
            raise ValueError(f"body_file is sent as it is: leave out the faults {', '.join(changed)}")
        history = ThetaHistory(symbols=tuple(symbols), contracts=contracts, first_day=first_day, order=order, now=now)
        self._theta = ThetaServer(
            history,
            tier,
            FaultSchedule(faults, fault_seed),
            CsvText(quoted=quoted, line_end=line_end, fraction=fraction),
            Delivery(framing=framing, bytes_per_second=bytes_per_second, body_file=body_file),
        )
        self._server = LoopbackServer(self._theta.answer, port, says_synthetic=says_synthetic)

    def __enter__(self) -> SandboxTheta:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()
        self._theta.close()

    @property
    def base_url(self) -> str:
        """Such as ``http://127.0.0.1:25503/v3``; known while the context is open."""
        return f"http://{HOST}:{self._server.port}/v3"

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request so far, in order of arrival."""
        return list(self._theta.requests)

    @property
    def most_in_service(self) -> int:
        """The highest number of data requests that were in service at one time."""
        return self._theta.admission.most_in_service

    @property
    def most_seen(self) -> int:
        """The highest number of data requests that were in service or waiting at one time."""
        return self._theta.admission.most_seen
