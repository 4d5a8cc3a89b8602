"""(i) The largest day there is, SPX, expiration by expiration, beside DuckDB's conversion of the same bodies from disk.

Ours downloads over loopback, digests, types, validates, audits each expiration and each root against the vendor's
list, keeps every expiration on disk until the day is whole, sorts, syncs, reads back and publishes; DuckDB reads the
bodies from the disk, where somebody has put them before.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

import polars as pl

from benchmarks.inputs import scratch_folder
from benchmarks.results import Result, at_most, print_table
from benchmarks.spx_inputs import spx_day, spx_server
from benchmarks.work import Measured, Worker, dagster_folder, live

CONTRACTS_PER_ROOT = 12_332
REPETITIONS = 3
BOUND_RATIO = 1.5
BOUND_BYTES = 1e9
SEEDS_ROWS_PER_MINUTE = 50_000

DUCKDB, PUBLISHED, RECORDED = "DuckDB COPY, CSV on disk", "ours, HTTP to partition", "ours, with Dagster and checks"


def run() -> list[Result]:
    """Measure and print the table; each contender in a process that lives for all its repetitions."""
    day = spx_day(CONTRACTS_PER_ROOT)
    with scratch_folder() as folder, spx_server(day) as base_url, ExitStack() as stack:
        project = stack.enter_context(dagster_folder(folder / "project"))
        workers = {
            DUCKDB: Worker("duckdb_copy", day.bodies, folder=folder),
            PUBLISHED: Worker("spx_published", base_url, folder=folder),
            RECORDED: Worker("spx_recorded", folder=project, **live(project, base_url)),
        }
        for worker in workers.values():
            stack.enter_context(worker)
        first = {name: worker.once() for name, worker in workers.items()}
        _same_rows(first, day.rows)
        rounds = [{name: worker.once() for name, worker in workers.items()} for _ in range(REPETITIONS)]
    seconds = {name: median(each[name]["seconds"] for each in rounds) for name in workers}
    ratio = {name: median(each[name]["seconds"] / each[DUCKDB]["seconds"] for each in rounds) for name in workers}
    peak = max(first[name]["peak"] for name in (PUBLISHED, RECORDED))
    later = max(each[name]["peak"] for each in rounds for name in (PUBLISHED, RECORDED))
    per_minute = day.rows / seconds[PUBLISHED] * 60
    print(
        f"an SPX day of {day.rows:,} rows in {day.requests} bodies, {day.bytes / 1e6:.0f} MB of CSV; "
        f"{REPETITIONS} alternating repetitions"
    )
    print_table(
        ["", "seconds", "first in its process", "processor seconds", "peak memory"],
        [
            [
                name,
                f"{seconds[name]:.2f}",
                f"{first[name]['seconds']:.2f}",
                f"{median(each[name]['cpu'] for each in rounds):.2f}",
                f"{max(each[name]['peak'] for each in (first, *rounds)) / 1e6:.0f} MB",
            ]
            for name in workers
        ],
    )
    return [
        at_most("(i) an SPX day by expiration, over DuckDB from disk", ratio[PUBLISHED], BOUND_RATIO),
        Result("(i) the same with its Dagster run, events and checks", f"{ratio[RECORDED]:.2f}"),
        at_most(
            "(i) peak memory of a day, Dagster run and checks included", peak / 1e6, BOUND_BYTES / 1e6, "{:.0f} MB"
        ),
        # What its allocators keep between days levels off after three or four.
        Result("(i) the same after some more days in one process", f"{later / 1e6:.0f} MB"),
        Result(
            "(i) rows a minute",
            f"{per_minute / 1e6:.0f} M, {per_minute / SEEDS_ROWS_PER_MINUTE:,.0f} times {SEEDS_ROWS_PER_MINUTE:,}",
        ),
    ]


def _same_rows(measured: dict[str, Measured], rows: int) -> None:
    """A contender that does less than the others is no contender."""
    expected = _sums(measured[DUCKDB])
    for name, each in measured.items():
        found = _sums(each)
        same = found[:2] == (rows, expected[1]) and abs(found[2] / expected[2] - 1) < 1e-9
        if not same:
            raise RuntimeError(f"{name} wrote other rows than DuckDB: {found} instead of {expected}")


def _sums(measured: Measured) -> tuple[int, int, float]:
    """Rows, contracts at the ask (whose sum outgrows the 32 bits that DuckDB's file has), dollars bid."""
    file = pl.scan_parquet(measured["file"])
    rows, sizes, bids = (
        file.select(pl.len(), pl.col("ask_size").cast(pl.Int64).sum(), pl.col("bid").sum()).collect().row(0)
    )
    return rows, sizes, bids
