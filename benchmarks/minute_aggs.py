"""(f, g) A day of the whole stock market, from the vendor's compressed file on disk to the committed partition.

Ours digests the cached file, refuses what cannot be true, sorts, checksums, syncs, reads back and publishes. Beside it
stand the plain route (pyarrow, a Hive dataset by the tickers' first two letters) and DuckDB, which do none of that but
sort, the latter. The plain route is taken as the best-known bundle takes it, which the bound is about, and once more at
its shortest, which nobody is known to take. Ten tickers of the same file are what the default keeps. Each does its days
one after another, as in a backfill, in several processes by turns.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import date
from statistics import median

import polars as pl

from benchmarks.inputs import FlatFileDay, flat_file_day, scratch_folder
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Measured, Worker

STYLES = {"integer": date(2024, 1, 3), "decimal": date(2026, 3, 3)}
"""A day of each style of text: short numbers, and six decimals with fractional volumes."""

TEN = "AAPL,AMZN,GOOGL,IWM,META,MSFT,NVDA,QQQ,SPY,TSLA"
PROCESSES, REPETITIONS = 5, 3  # what a page fault costs differs by process and hour, and pyarrow has twice as many
BOUND_PLAIN, BOUND_DUCKDB, BOUND_BYTES = 0.5, 1.0, 1.5e9

OURS, DUCKDB, OURS_TEN, POLARS_TEN = "ours", "DuckDB COPY, ordered", "ours, ten tickers", "Polars, ten tickers"
PLAIN, SHORTEST = "pyarrow, Hive by letters, as the bundle", "the same, at its shortest"


def run() -> list[Result]:
    """Measure both styles."""
    return [result for style, day in STYLES.items() for result in _run(style, flat_file_day(style, day))]


def _run(style: str, day: FlatFileDay) -> list[Result]:
    work = {
        OURS: ("minute_aggs", str(day.mirror), str(day.day), "all"),
        PLAIN: ("hive_by_letters", str(day.file), "bundle"),
        SHORTEST: ("hive_by_letters", str(day.file), "shortest"),
        DUCKDB: ("duckdb_sorted", str(day.file)),
        OURS_TEN: ("minute_aggs", str(day.mirror), str(day.day), TEN),
        POLARS_TEN: ("polars_filtered", str(day.file), TEN),
    }
    first: list[dict[str, Measured]] = []
    rounds: list[dict[str, Measured]] = []
    for _ in range(PROCESSES):
        with scratch_folder() as folder, ExitStack() as stack:
            workers = {}
            for number, (name, arguments) in enumerate(work.items()):
                own = folder / str(number)
                own.mkdir()
                if name in (OURS, OURS_TEN):  # another process brings the vendor's file to the cache
                    with Worker(*arguments, folder=own) as fetching:
                        fetching.once()
                workers[name] = stack.enter_context(Worker(*arguments, folder=own))
            first.append({name: worker.once() for name, worker in workers.items()})
            _same_rows({name: first[-1][name] for name in (OURS, PLAIN, SHORTEST, DUCKDB)}, day.rows)
            _same_rows({name: first[-1][name] for name in (OURS_TEN, POLARS_TEN)}, first[-1][OURS_TEN]["rows"])
            days = {name: [worker.once() for _ in range(REPETITIONS)] for name, worker in workers.items()}
            rounds += [{name: days[name][number] for name in days} for number in range(REPETITIONS)]

    peak = {name: max(each[name]["peak"] for each in rounds) for name in work}
    print(
        f"a day of {day.rows:,} rows, style {style}: {day.file.stat().st_size / 1e6:.0f} MB compressed, "
        f"{day.raw_bytes / 1e6:.0f} MB of text; {REPETITIONS} repetitions in each of {PROCESSES} processes"
    )
    print_table(
        ["", "seconds", "first in its process", "processor seconds", "ratio of seconds to ours", "peak MB"],
        [
            [
                name,
                f"{median(each[name]['seconds'] for each in rounds):.2f}",
                f"{median(each[name]['seconds'] for each in first):.2f}",
                f"{median(each[name]['cpu'] for each in rounds):.2f}",
                f"{median(each[name]['seconds'] / each[OURS]['seconds'] for each in rounds):.2f}",
                f"{peak[name] / 1e6:.0f}",
            ]
            for name in work
        ],
    )
    ten = median(each[OURS_TEN]["seconds"] for each in rounds)
    return [
        at_most(f"(f) {style} text, over pyarrow and a Hive dataset", _ratio(rounds, PLAIN), BOUND_PLAIN),
        Result(f"(f) {style} text, over the same at its shortest", f"{_ratio(rounds, SHORTEST):.2f}"),
        at_most(f"(f) {style} text, over DuckDB's ordered COPY", _ratio(rounds, DUCKDB), BOUND_DUCKDB),
        at_most(f"(f) {style} text, peak memory", peak[OURS] / 1e6, BOUND_BYTES / 1e6, "{:.0f} MB"),
        Result(f"(g) {style} text, ten tickers of a cached day", f"{ten:.2f} s"),
    ]


def _ratio(rounds: list[dict[str, Measured]], other: str) -> float:
    return median(each[OURS]["seconds"] / each[other]["seconds"] for each in rounds)


def _same_rows(measured: dict[str, Measured], rows: int) -> None:
    """A contender that does less than the others is no contender."""
    sums = {
        name: pl.scan_parquet(each["files"], hive_partitioning=False)
        .select(pl.len(), pl.col("volume", "close", "transactions").sum())
        .collect()
        .row(0)
        for name, each in measured.items()
    }
    expected = next(iter(sums.values()))
    for name, found in sums.items():
        if found[0] != rows or any(abs(a - b) > 1e-6 * abs(b) for a, b in zip(found, expected, strict=True)):
            raise RuntimeError(f"{name} wrote other rows than the others: {found} instead of {expected}")
