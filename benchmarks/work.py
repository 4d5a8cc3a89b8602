"""The work that is measured, each kind in a process of its own that does it as often as it is asked to.

Here: the contenders, and running one of them. Not here: what is compared, and the bounds.

A contender's process lives for all its repetitions, as a backfill's does for all its days; its first repetition, which
pays for thread pools and first imports, is told apart from the others by whoever asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.ib_work import ib_loop, ib_recorded
from benchmarks.inputs import DATASET, SOURCES, SYMBOL
from benchmarks.minute_aggs_work import (
    duckdb_sorted,
    files_as_they_are,
    hive_by_letters,
    minute_aggs,
    polars_filtered,
    ticker_year,
    ticker_year_of_csv,
    ticker_year_of_days,
)
from benchmarks.spx_work import spx_published, spx_recorded
from data_assets.allocators import give_back_early

Measured = dict[str, Any]
"""What one repetition brings back: `seconds`, `rows`, and what else its kind of work tells."""


class Worker:
    """A process that does one kind of work; leave its context to end it."""

    def __init__(self, kind: str, *arguments: str, folder: Path, **environment: str) -> None:
        """Start it.

        Args:
            kind: a name in ``KINDS``.
            arguments: handed to that function, once per repetition.
            folder: where it runs and writes.
            environment: settings of the project; those around the benchmark do not reach it.
        """
        ours = ("DATA_ASSETS_", "DAGSTER_", "THETA_", "POLYGON_", "IB_")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.work", kind, *arguments],
            cwd=folder,
            env={**outside, "PYTHONPATH": str(SOURCES), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def once(self) -> Measured:
        """Do the work once more.

        Returns:
            What it brings back, with `cpu` (seconds, user and system) and `peak` (bytes, since its process began).
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the measured process broke off; what it said stands above")
        measured: Measured = json.loads(answer)
        return measured


@contextmanager
def dagster_folder(folder: Path) -> Iterator[Path]:
    """A project folder with a Dagster home and a lake of its own."""
    folder.mkdir()
    shutil.copy(SOURCES / "dagster.yaml", folder)
    shutil.copytree(SOURCES / "defs", folder / "defs")
    yield folder
    shutil.rmtree(folder)


def live(folder: Path, base_url: str) -> dict[str, str]:
    """The environment of a project in ``folder`` whose terminal answers at ``base_url``."""
    return {"DATA_ASSETS_PROFILE": "live", "THETA_BASE_URL": base_url, "DAGSTER_HOME": str(folder)}


def processor_seconds() -> float:
    """User and system time of this process so far, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes() -> int:
    """The most memory this process ever had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# ---- the contenders, each imported by its own process only ---------------------------------------------------------


def polars_sink(csv: str) -> Measured:
    """Polars: `scan_csv` with types, casts, `sink_parquet`. Nothing is audited, hashed, sorted or synced."""
    import polars as pl

    from data_assets.vendors.theta.schema import QUOTES

    text = {name: pl.String() if dtype.is_temporal() else dtype for name, dtype in QUOTES.schema.items()}
    started = time.perf_counter()
    pl.scan_csv(csv, schema=text).with_columns(
        pl.col("expiration").str.to_date("%Y-%m-%d"),
        pl.col("timestamp")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
        .dt.replace_time_zone("America/New_York")
        .dt.convert_time_zone("UTC"),
    ).sink_parquet("polars.parquet", compression="zstd")
    return {"seconds": time.perf_counter() - started, "file": str(Path("polars.parquet").absolute())}


def duckdb_copy(csv: str) -> Measured:
    """DuckDB: `COPY (read_csv) TO` with types. Nothing is audited, hashed, sorted or synced."""
    import duckdb

    types = {
        "symbol": "VARCHAR",
        "expiration": "DATE",
        "strike": "DOUBLE",
        "right": "ENUM('CALL', 'PUT')",
        "timestamp": "TIMESTAMP",
        "bid_size": "INTEGER",
        "bid_exchange": "SMALLINT",
        "bid": "DOUBLE",
        "bid_condition": "SMALLINT",
        "ask_size": "INTEGER",
        "ask_exchange": "SMALLINT",
        "ask": "DOUBLE",
        "ask_condition": "SMALLINT",
    }
    with duckdb.connect() as connection:
        started = time.perf_counter()
        rows = connection.read_csv(csv, header=True, delimiter=",", columns=types)
        rows.project("* REPLACE (timezone('America/New_York', timestamp) AS timestamp)").write_parquet(
            "duckdb.parquet", compression="zstd"
        )
        return {"seconds": time.perf_counter() - started, "file": str(Path("duckdb.parquet").absolute())}


def published(base_url: str, first: str, last: str) -> Measured:
    """Ours without Dagster: engine, source and lake, from the request to the partitions under their final names."""
    from data_assets.ingest.engine import EnginePolicy, ingest
    from data_assets.ingest.outcome import Outcome, Stored
    from data_assets.ingest.progress import Progress
    from data_assets.lake.lake import Lake
    from data_assets.trading_calendar import sessions
    from data_assets.vendors.theta.client import ThetaClient
    from data_assets.vendors.theta.dataset import OptionDataset
    from data_assets.vendors.theta.day import ThetaSource
    from data_assets.vendors.theta.terminal import Terminal

    lake = Lake(str(Path("lake").absolute()), synthetic=False)
    days = sessions(date.fromisoformat(first), date.fromisoformat(last))  # read before the clock starts, as in any run

    async def nothing(day: date, outcome: Outcome) -> None:
        """Where Dagster would record the day."""

    async def run() -> list[Outcome]:
        async with ThetaClient(base_url, max_concurrent=4) as client:
            dataset = OptionDataset(DATASET, SYMBOL, request_by="day")
            source = ThetaSource(dataset, lake=lake, bodies=Terminal(client))
            report = await ingest(days, source, nothing, policy=EnginePolicy(4), progress=Progress())
        return list(report.outcomes.values())

    started = time.perf_counter()
    outcomes = asyncio.run(run())
    seconds = time.perf_counter() - started
    stored = [outcome for outcome in outcomes if isinstance(outcome, Stored)]
    if len(stored) != len(days):
        raise RuntimeError(f"{len(days) - len(stored)} of {len(days)} days did not store: {outcomes[0]}")
    return {"seconds": seconds, "days": len(days), "file": lake.locate(stored[0].path)}


def recorded(first: str, last: str, dataset: str = DATASET) -> Measured:
    """Ours in one real Dagster run: as `published`, then the materialization and the checks of every day."""
    import dagster as dg

    from benchmarks.stopwatch import timed_days
    from data_assets.cli.local_run import run_range
    from data_assets.cli.project import definitions, open_instance

    definitions()
    key = dg.AssetKey(dataset.split("/"))
    with open_instance() as instance, timed_days() as times:
        started = time.perf_counter()
        result = run_range(instance, key, first, last)
        seconds = time.perf_counter() - started
    if not result.success:
        why = [event.step_failure_data.error_display_string for event in result.all_events if event.is_step_failure]
        raise RuntimeError(f"the run failed: {why[0] if why else 'before its step began'}")
    file = Path("lake", "live", dataset, f"date={last}", "data.parquet").absolute()
    return {"seconds": seconds, "file": str(file), **times.totals()}


def quote_reads(expiration: str, strike: str, *files: str) -> Measured:
    """Polars over files of quotes: one contract of a day, one minute of a day, one contract of all days."""
    from datetime import UTC, datetime

    import polars as pl

    contract = (
        (pl.col("expiration") == date.fromisoformat(expiration))
        & (pl.col("strike") == float(strike))
        & (pl.col("right").cast(pl.String) == "CALL")
    )
    noon = datetime(2024, 1, 3, 17, 0, tzinfo=UTC)
    minute = pl.col("timestamp") == noon
    asked = {"contract": (files[:1], contract), "minute": (files[:1], minute), "contract over days": (files, contract)}
    fastest, rows = dict.fromkeys(asked, 1e9), {}
    for _ in range(5):
        for what, (paths, wanted) in asked.items():
            started = time.perf_counter()
            rows[what] = pl.scan_parquet(list(paths)).filter(wanted).collect().height
            fastest[what] = min(fastest[what], time.perf_counter() - started)
    return {**fastest, "rows": rows}


KINDS: dict[str, Callable[..., Measured]] = {
    work.__name__: work
    for work in (
        *(polars_sink, duckdb_copy, published, recorded),
        *(spx_published, spx_recorded),
        *(minute_aggs, hive_by_letters, duckdb_sorted, polars_filtered),
        *(ticker_year, ticker_year_of_days, ticker_year_of_csv, files_as_they_are),
        *(ib_recorded, ib_loop, quote_reads),
    )
}


STORES_DAYS = (published, recorded, spx_published, spx_recorded, minute_aggs, ib_recorded)


def _serve(kind: str, *arguments: str) -> None:
    if KINDS[kind] in STORES_DAYS:  # as this project's own processes do
        give_back_early()
    for _ in sys.stdin:
        before = processor_seconds()
        measured = KINDS[kind](*arguments)
        cpu = processor_seconds() - before
        print(json.dumps({**measured, "cpu": cpu, "peak": peak_bytes()}), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
