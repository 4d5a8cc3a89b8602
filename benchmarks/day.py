"""(a) A large day, from the vendor's socket to the committed partition, beside tools that convert its CSV from disk.

Ours downloads over loopback, digests, types, validates, audits against the vendor's list, sorts, syncs, reads back and
publishes; DuckDB and Polars read the same CSV from the disk, where somebody has put it before, and write Parquet.

A recorded day is measured twice: alone in its Dagster run, as when one day is asked for, and as one of several in a
run, as in a backfill, whose runs take up to 50: a day is then received while another is recorded and checked.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import date
from statistics import median

import polars as pl

from benchmarks.inputs import ONE_DAY, quote_day, scratch_folder, theta_server
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Measured, Worker, dagster_folder, live

CONTRACTS = 5_972
DAYS = tuple(date(2024, 1, number) for number in (3, 4, 5, 8, 9))
REPETITIONS = 5
BOUND = 1.5

DUCKDB, POLARS = "DuckDB COPY, CSV on disk", "Polars sink_parquet, CSV on disk"
PUBLISHED, RECORDED = "ours, HTTP to partition", "ours, with Dagster run, event and checks"
BACKFILL = f"the same, each of {len(DAYS)} days in one run"


def run() -> list[Result]:
    """Measure and print the table; the claim is about the partition, Dagster's part is shown beside it."""
    days = [quote_day(CONTRACTS, each) for each in DAYS]
    day = days[0]
    with scratch_folder() as folder, theta_server(CONTRACTS, day.csv.parent) as base_url, ExitStack() as stack:
        project = stack.enter_context(dagster_folder(folder / "project"))
        backfill = stack.enter_context(dagster_folder(folder / "backfill"))
        workers = {
            DUCKDB: Worker("duckdb_copy", str(day.csv), folder=folder),
            POLARS: Worker("polars_sink", str(day.csv), folder=folder),
            PUBLISHED: Worker("published", base_url, *ONE_DAY, folder=folder),
            RECORDED: Worker("recorded", *ONE_DAY, folder=project, **live(project, base_url)),
            BACKFILL: Worker("recorded", str(DAYS[0]), str(DAYS[-1]), folder=backfill, **live(backfill, base_url)),
        }
        share = day.rows / sum(each.rows for each in days)  # of the run's cost, what that many rows have
        for worker in workers.values():
            stack.enter_context(worker)
        first = _round(workers, share)
        if first[BACKFILL]["days"] != len(DAYS):
            raise RuntimeError(f"the run recorded {first[BACKFILL]['days']} days instead of {len(DAYS)}")
        _same_rows({name: each for name, each in first.items() if name != BACKFILL}, day.rows)
        if (found := pl.scan_parquet(first[BACKFILL]["file"]).select(pl.len()).collect().item()) != days[-1].rows:
            raise RuntimeError(f"the run stored {found:,} rows of its last day instead of {days[-1].rows:,}")
        rounds = [_round(workers, share) for _ in range(REPETITIONS)]

    seconds = {name: median(each[name]["seconds"] for each in rounds) for name in workers}
    better = min((DUCKDB, POLARS), key=lambda name: seconds[name])
    print(f"a day of {day.rows:,} rows, {day.megabytes:.0f} MB of CSV; {REPETITIONS} alternating repetitions")
    print_table(
        ["", "seconds", "first in its process", "processor seconds", "ratio of seconds", "of processor seconds"],
        [
            [
                name,
                f"{seconds[name]:.2f}",
                f"{first[name]['seconds']:.2f}",
                f"{_median(rounds, name, 'cpu'):.2f}",
                f"{median(each[name]['seconds'] / each[better]['seconds'] for each in rounds):.2f}",
                f"{median(each[name]['cpu'] / each[better]['cpu'] for each in rounds):.2f}",
            ]
            for name in workers
        ],
    )
    recording, events = (_median(rounds, RECORDED, what) for what in ("in_recording", "in_events"))
    print(
        f"of the Dagster run, {recording:.2f} s record the day, of which {events:.2f} s in the event log, in part "
        "while the file is read back and judged\n"
    )
    return [
        at_most(
            "(a) HTTP to partition, over the better of DuckDB and Polars from disk", _ratio(rounds, PUBLISHED), BOUND
        ),
        Result("(a) the same with its Dagster run, event and checks", f"{_ratio(rounds, RECORDED):.2f}"),
        Result(f"(a) that of a day of {len(DAYS)} in one run, as in a backfill", f"{_ratio(rounds, BACKFILL):.2f}"),
    ]


def _round(workers: dict[str, Worker], share: float) -> dict[str, Measured]:
    """Each contender once; of the run of several days a share, so that all rows of the table are of one day."""
    measured = {name: worker.once() for name, worker in workers.items()}
    for what in ("seconds", "cpu"):
        measured[BACKFILL][what] *= share
    return measured


def _ratio(rounds: list[dict[str, Measured]], ours: str) -> float:
    """The median over the rounds, each of which has its own better one of the two."""
    return median(each[ours]["seconds"] / min(each[DUCKDB]["seconds"], each[POLARS]["seconds"]) for each in rounds)


def _median(rounds: list[dict[str, Measured]], name: str, what: str) -> float:
    return median(each[name][what] for each in rounds)


def _same_rows(measured: dict[str, Measured], rows: int) -> None:
    """A contender that does less than the others is no contender."""
    sums = {
        name: pl.scan_parquet(each["file"]).select(pl.len(), pl.col("bid", "ask", "ask_size").sum()).collect().row(0)
        for name, each in measured.items()
    }
    expected = sums[POLARS]
    for name, found in sums.items():
        if found[0] != rows or any(abs(a - b) > 1e-6 * abs(b) for a, b in zip(found, expected, strict=True)):
            raise RuntimeError(f"{name} wrote other rows than Polars: {found} instead of {expected}")
