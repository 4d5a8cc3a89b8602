"""Days of option datasets as the engine has them: fetched over a real socket into a real lake.

Here: doing it, and looking at what was asked and what is stored. Not here: any expectation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from data_assets.ingest.engine import EnginePolicy, IngestReport, ingest
from data_assets.ingest.outcome import Outcome, Stored
from data_assets.ingest.progress import Progress
from data_assets.ingest.retry import RetryPolicy
from data_assets.lake.lake import Lake
from data_assets.quality.verdict import Verdict
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.day_checks import evaluate_checks
from data_assets.vendors.theta.terminal import Terminal
from data_assets.vendors.theta.values import Limits

DAY = date(2024, 1, 3)
CONTRACTS = 60
SPX = ("SPX", "SPXW")
HISTORY = "/v3/option/history/"

QUICK = RetryPolicy(attempts=6, throttled_attempts=20, base_seconds=0.01, throttled_base_seconds=0.01, cap_seconds=0.05)


class Meter:
    """Counts, as the engine's does."""

    def __init__(self) -> None:
        self.bytes = self.rows = 0

    def received(self, size: int) -> None:
        self.bytes += size

    def parsed(self, rows: int) -> None:
        self.rows += rows


def open_lake(folder: Path) -> Lake:
    return Lake(str(folder), synthetic=True)


async def fetch(
    base_url: str,
    folder: Path,
    dataset: OptionDataset,
    day: date = DAY,
    *,
    meter: Meter | None = None,
    stall_seconds: float = 20.0,
    max_concurrent: int = 4,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Stored:
    """Fetch one day once, as one process does, and publish it."""
    async with ThetaClient(base_url, max_concurrent=max_concurrent, stall_seconds=stall_seconds) as client:
        source = ThetaSource(dataset, lake=open_lake(folder), bodies=Terminal(client), clock=clock)
        return (await source.fetch(day, meter or Meter())).publish()


async def run(
    base_url: str,
    folder: Path,
    dataset: OptionDataset,
    days: Iterable[date],
    *,
    retry: RetryPolicy = QUICK,
    stall_seconds: float = 20.0,
    max_concurrent: int = 4,
) -> IngestReport:
    """Bring days in as a run does: through the engine, with its retries."""

    async def nothing(day: date, outcome: Outcome) -> None:
        """Where Dagster would record the day."""

    async with ThetaClient(
        base_url, max_concurrent=max_concurrent, stall_seconds=stall_seconds, poll_seconds=0.01
    ) as client:
        source = ThetaSource(dataset, lake=open_lake(folder), bodies=Terminal(client))
        policy = EnginePolicy(max_concurrent, retry=retry, first_day_alone=True)
        return await ingest(days, source, nothing, policy=policy, progress=Progress(), rng=Random(1))


def stored(folder: Path, dataset: OptionDataset, day: date = DAY) -> pl.DataFrame:
    return open_lake(folder).scan(dataset.key, day, day).collect()


def details(folder: Path, dataset: OptionDataset, day: date = DAY) -> dict[str, Any]:
    return open_lake(folder).provenance(dataset.key, day).details


def verdicts(folder: Path, dataset: OptionDataset, day: date = DAY) -> dict[str, Verdict]:
    return {each.name: each for each in evaluate_checks(open_lake(folder), dataset, day, Limits())}


def left_in(folder: Path) -> list[str]:
    """Every file of the lake but its marker and what is remembered of answers, hidden ones included."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "_" and path.suffix != ".note"]
    return sorted(str(path.relative_to(folder)) for path in files)


def asked(theta: SandboxTheta, since: int = 0) -> list[tuple[str, str, str]]:
    """Root, expiration and right of each request for a history, in the order of audited."""
    return [
        (request.params["symbol"], request.params["expiration"], request.params["right"])
        for request in theta.requests[since:]
        if request.path.startswith(HISTORY)
    ]


def statuses(theta: SandboxTheta) -> Counter[int | None]:
    """How the requests for a history were answered."""
    return Counter(request.status for request in theta.requests if request.path.startswith(HISTORY))
