"""A client as tests want it: a budget that hardly waits, and short timeouts with what is broken on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from data_assets.ingest.engine import EnginePolicy, IngestReport, ingest
from data_assets.ingest.outcome import Outcome
from data_assets.ingest.progress import Progress
from data_assets.ingest.retry import RetryPolicy
from data_assets.ingest.source import Source
from data_assets.ingest.state_file import StateFile
from data_assets.trading_calendar import session
from data_assets.vendors.ib.client import IbClient, SessionBars
from data_assets.vendors.ib.contracts import Ticker
from data_assets.vendors.ib.day import RETRY
from data_assets.vendors.ib.pacing import Budget, RequestPacing
from data_assets.vendors.ib.resets import never
from data_assets.vendors.ib.timeouts import Timeouts

DAY = date(2024, 1, 3)
AAPL = Ticker("AAPL", where="tickers.csv row 2")
QUICK = Budget(seconds_between=0.0, max_per_window=1000, window_seconds=0.1, identical_seconds=0.0)
SHORT = Timeouts(
    goodbye=0.02, backoff=0.05, backoff_cap=0.1, hold=0.05, settle=0, linger=0.1, farm=0.3, connect=5, heartbeat=5
)


@dataclass
class Opened:
    """An open client, what it said, and how to ask it."""

    client: IbClient
    said: list[str] = field(default_factory=list)

    async def bars(self, ticker: Ticker = AAPL, day: date = DAY) -> SessionBars:
        return await self.client.session_bars(ticker, session(day))


@asynccontextmanager
async def opened(tws: Any, folder: Path, **options: Any) -> AsyncIterator[Opened]:
    """Connect to anything with a port."""
    said: list[str] = []
    budget = options.pop("budget", QUICK)
    defaults = {"timeouts": SHORT, "resets": never, "say": said.append}
    client = IbClient(
        "127.0.0.1",
        tws.port,
        options.pop("client_id", 7),
        pacing=RequestPacing(StateFile(folder / "pacing.json"), budget, head_budget=budget),
        state_folder=folder,
        **(defaults | options),
    )
    async with client:
        yield Opened(client, said)


async def engine_run(source: Source, days: Sequence[date]) -> IngestReport:
    """A run of the engine that is as patient as IB's, in quick motion."""

    async def record(_day: date, _outcome: Outcome) -> None:
        pass

    retry = RetryPolicy(attempts=RETRY.attempts, base_seconds=0.01, throttled_base_seconds=0.01, cap_seconds=0.02)
    policy = EnginePolicy(max_concurrency=1, retry=retry)
    progress = Progress(asyncio.get_running_loop().time)
    return await ingest(days, source, record, policy=policy, progress=progress, memory_share=lambda: 0.1, rng=Random(1))
