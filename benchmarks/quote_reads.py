"""(m) What a stored day of option quotes takes on disk, and what reading a part of it costs.

The same 2.4 million rows, in the same order and compressed with zstd, as DuckDB, Polars and pyarrow write them when
they are left to choose. All four are read by the same Polars queries, each writer's files in a process of its own.

What can be had at best is measured beside it. Of bytes: the entropy of each column's values, about which writers end
that code each value for itself, as dictionaries with zstd do; and of prices also that of their changes within a
contract, which Parquet codes for whole numbers alone. Of reads: files that hold nothing but the contract asked for.

Smaller row groups (half as large) cost 6 % of the bytes and make the chain of a minute a third slower, one contract
over days a tenth faster; larger ones (twice as large) save 4 % and make the minute a fifth faster, one contract over
days 40 % slower. Pages of a tenth of a row group leave one contract where it is and make the minute half as slow
again. Encodings other than dictionaries save nothing worth having here, and are not read by every engine
(`encodings`). So the bounds say that nobody loses by our format, not that it wins.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from statistics import median

import duckdb
import polars as pl
import pyarrow.parquet as pq

from benchmarks.inputs import DATASET, DAY, SYMBOL, quote_day, scratch_folder
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Measured, Worker
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.trading_calendar import sessions, utc_now
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.schema import QUOTES, SCHEMA_VERSION, Asked, read_rows

CONTRACTS = 5_972
DAYS = 20
REPETITIONS = 7
OURS, DUCKDB, POLARS, PYARROW = "ours", "DuckDB", "Polars", "pyarrow"
ALONE = "floor: the contract alone"
PRICES = ("bid", "ask")
SIZE_BOUND = 1.1
BOUNDS = {"contract": 1.1, "minute": 1.1, "contract over days": 1.1}
SAID = {
    "contract": "one contract's day",
    "minute": "one minute's chain",
    "contract over days": f"one contract over {DAYS} days",
}


def run() -> list[Result]:
    """Write the day four times, measure bytes and warm reads, and print both tables."""
    rows = _rows()
    middle = rows.row(rows.height // 2, named=True)
    contract = (str(middle["expiration"]), str(middle["strike"]))
    of_contract = pl.all_horizontal(pl.col(name) == middle[name] for name in ("expiration", "strike"))
    alone = rows.filter(of_contract, pl.col("right") == "CALL")
    with scratch_folder() as folder, ExitStack() as stack:
        files = {name: _twenty_days(write(rows, folder / name)) for name, write in WRITERS.items()}
        floor = _twenty_days(_ours(alone, folder / "alone"))
        size = {name: files[name][0].stat().st_size / rows.height for name in files}
        workers = {
            name: stack.enter_context(Worker("quote_reads", *contract, *map(str, paths), folder=folder))
            for name, paths in {**files, ALONE: floor}.items()
        }
        first = {name: worker.once() for name, worker in workers.items()}
        rounds = [{name: worker.once() for name, worker in workers.items()} for _ in range(REPETITIONS)]
    for name, found in first.items():
        if name == ALONE:
            continue  # of the minute's chain it has one row
        if not all(found["rows"].values()) or found["rows"] != first[OURS]["rows"]:
            raise RuntimeError(f"{name}'s files hold other rows: {found['rows']} instead of {first[OURS]['rows']}")

    print(f"{rows.height:,} rows a day, sorted alike; ms, fastest of five warm reads, {REPETITIONS} alternating rounds")
    print_table(
        ["written by", "bytes a row", *SAID.values()],
        [
            [
                name,
                f"{size[name]:.2f}",
                *(f"{1000 * median(each[name][what] for each in rounds):.1f}" for what in SAID),
            ]
            for name in files
        ]
        + [[ALONE, "", f"{_milliseconds(rounds, 'contract')}", "", f"{_milliseconds(rounds, 'contract over days')}"]],
    )
    one_by_one, by_changes = _entropies(rows)
    best = min(size[name] for name in files if name != OURS)
    others = [name for name in files if name != OURS]
    return [
        at_most(
            "(m) bytes a row of a QQQ day, over the best of the others",
            size[OURS] / best,
            SIZE_BOUND,
        ),
        Result("(m) that ratio's floor: each value for itself", f"{one_by_one / best:.2f}"),
        Result("(m) that ratio's floor: of prices their changes", f"{by_changes / best:.2f}"),
        *(
            at_most(f"(m) {SAID[what]}, over the best of the others", _ratio(rounds, what, others), bound)
            for what, bound in BOUNDS.items()
        ),
        *(
            Result(f"(m) that ratio's floor, {SAID[what]}", f"{_ratio(rounds, what, others, of=ALONE):.2f}")
            for what in ("contract", "contract over days")
        ),
    ]


def _ratio(rounds: list[dict[str, Measured]], what: str, others: list[str], of: str = OURS) -> float:
    return median(each[of][what] / min(each[name][what] for name in others) for each in rounds)


def _milliseconds(rounds: list[dict[str, Measured]], what: str) -> str:
    return f"{1000 * median(each[ALONE][what] for each in rounds):.1f}"


def _entropies(rows: pl.DataFrame) -> tuple[float, float]:
    """Bytes a row, by the order-0 entropy of each column: of its values, and of prices their changes, if that is less.

    Columns that hardly change from row to row count for nothing: runs of one value cost nothing. The times of a
    contract are those of the one before it.
    """
    drawn = ("bid_size", "bid_exchange", "bid_condition", "ask_size", "ask_exchange", "ask_condition")
    values = {name: _entropy(rows[name]) for name in (*drawn, *PRICES)}
    cents = rows.select((pl.col(name) * 100).round().cast(pl.Int64).diff().fill_null(0) for name in PRICES)
    changes = {name: _entropy(cents[name]) for name in PRICES}
    print("bytes a row that the values of a column need at least")
    print_table(
        ["", "each for itself", "by their changes"],
        [[name, f"{bytes_:.2f}", f"{changes[name]:.2f}" if name in changes else ""] for name, bytes_ in values.items()],
    )
    return sum(values.values()), sum((values | changes).values())


def _entropy(values: pl.Series) -> float:
    """Bytes a value."""
    return float(values.value_counts()["count"].entropy(base=2)) / 8


def _rows() -> pl.DataFrame:
    body = quote_day(CONTRACTS).csv.read_bytes()
    rows, _ = read_rows(QUOTES, body, Asked(SYMBOL, DAY))
    return rows.sort("expiration", "symbol", "strike", "right", "timestamp")


def _ours(rows: pl.DataFrame, folder: Path) -> Path:
    lake, dataset = Lake(str(folder), synthetic=True), OptionDataset(DATASET, SYMBOL, request_by="day")
    said = Provenance(
        dataset=DATASET,
        day=DAY,
        source="synthetic",
        fetched_at=utc_now(),
        schema_version=SCHEMA_VERSION,
        raw_sha256="",
        raw_size=0,
        synthetic=True,
    )
    with lake.writer(DATASET, DAY, QUOTES.arrow_schema, dataset.sort_by) as writer:
        writer.write(rows)
        return Path(lake.locate(writer.finish(said).publish().path))


def _duckdb(rows: pl.DataFrame, folder: Path) -> Path:
    with duckdb.connect() as connection:
        connection.from_arrow(rows.to_arrow()).write_parquet(str(_in(folder)), compression="zstd")
    return _in(folder)


def _polars(rows: pl.DataFrame, folder: Path) -> Path:
    rows.lazy().sink_parquet(_in(folder), compression="zstd")
    return _in(folder)


def _pyarrow(rows: pl.DataFrame, folder: Path) -> Path:
    pq.write_table(rows.to_arrow(), _in(folder), compression="zstd")
    return _in(folder)


def _in(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / "day.parquet"


WRITERS: dict[str, Callable[[pl.DataFrame, Path], Path]] = {
    OURS: _ours,
    DUCKDB: _duckdb,
    POLARS: _polars,
    PYARROW: _pyarrow,
}


def _twenty_days(file: Path) -> list[Path]:
    """The file under the names of so many days, without a copy: all contenders have the same help of the page cache."""
    paths = []
    for day in sessions(date(2024, 1, 3), date(2024, 3, 1))[:DAYS]:
        paths.append(file.parent / f"of-{day}.parquet")
        os.link(file, paths[-1])
    return paths
