"""A project as it stands after years: two hundred tickers, 112,000 stored days, and the history that recorded them.

Here: making it, once, in `.state/bench`. Not here: what is measured on it (`scale`).

One day is downloaded for real, by the command, from the simulated TWS. Every other day is a copy of what that run left,
under its own names: its rows in the run history (the run, its tags, the planned and the stored day) and its file, which
is another name of the same bytes. Runs cover fifty days, as those of a backfill do. The verdicts of checks and the
runs' own logs, which would take gigabytes, are not copied: what is measured reads neither, nor opens a day's file.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

from benchmarks.inputs import CACHE, SOURCES

TICKERS, DAYS = 200, 560
_REAL, _DAY = "AAPL", date(2024, 1, 3)
_FIRST = date(2016, 8, 4)
_LINKS = 50_000
"""Names that one file is given; some file systems allow no more than 65,000."""


def grown_lake() -> Path:
    """The project's folder."""
    folder = CACHE / f"grown-{TICKERS}-{DAYS}"
    made = folder / "made"  # not renamed when it is whole: its records name the paths of its files
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"making {folder.relative_to(SOURCES)}", flush=True)
        _make(folder)
        made.touch()
    return folder


def settings_of(folder: Path) -> dict[str, str]:
    """The environment of a process that works in it."""
    ours = ("DATA_ASSETS_", "DAGSTER_", "THETA_", "POLYGON_", "IB_")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**outside, "PYTHONPATH": str(SOURCES), "DAGSTER_HOME": str(folder), "DATA_ASSETS_PROJECT": str(folder)}


def command(*arguments: str) -> list[str]:
    """The project's command as a fresh process."""
    return [sys.executable, "-W", "ignore", "-c", "from data_assets.cli import main; main()", *arguments]


def history(folder: Path) -> Path:
    """The databases of its Dagster instance."""
    return folder / ".state" / "storage" / "history"


def forget_cached_states(folder: Path) -> None:
    """Drop what Dagster keeps of the states of days, which it then reads from the events again."""
    with closing(sqlite3.connect(history(folder) / "runs" / "index.db")) as events, events:
        events.execute("update asset_keys set cached_status_data = null")


def _make(folder: Path) -> None:
    block = folder / "defs" / "ib" / "bars_1m"
    block.mkdir(parents=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(SOURCES / name, folder)
    shutil.copy(SOURCES / "defs" / "ib" / "bars_1m" / "defs.yaml", block)
    tickers = [_REAL, *(f"T{number:03}" for number in range(1, TICKERS))]
    rows = [f"{ticker},STK,SMART,USD,NASDAQ\n" for ticker in tickers]
    (block / "tickers.csv").write_text("symbol,secType,exchange,currency,primaryExchange\n" + "".join(rows))
    day = _DAY.isoformat()
    subprocess.run(
        command("backfill", f"ib/bars_1m/{_REAL}", "--from", day, "--to", day, "--yes"),
        cwd=folder,
        env=settings_of(folder),
        check=True,
        stdout=sys.stderr,
    )
    from data_assets.orchestration.partitions import DAYS_PER_RUN, partition_keys

    days = partition_keys(_FIRST, _DAY)[-DAYS:]
    runs = [days[start : start + DAYS_PER_RUN] for start in range(0, len(days), DAYS_PER_RUN)]
    _copy_files(folder, tickers, days)
    _copy_history(history(folder), tickers, runs)


def _copy_files(folder: Path, tickers: Sequence[str], days: Sequence[str]) -> None:
    (stored,) = folder.glob(f"lake/*/ib/bars_1m/{_REAL}/date={_DAY}/data.parquet")
    source = stored
    made = 0
    for ticker in tickers:
        for day in days:
            target = stored.parents[2] / ticker / f"date={day}" / stored.name
            if target.exists():
                continue
            target.parent.mkdir(parents=True)
            if made % _LINKS == 0:
                shutil.copy(source, target)
                source = target
            else:
                target.hardlink_to(source)
            made += 1


def _copy_history(folder: Path, tickers: Sequence[str], runs: Sequence[Sequence[str]]) -> None:
    """Repeat the rows of the one real run for all tickers and all their days, oldest days first."""
    with (
        closing(sqlite3.connect(folder / "runs.db")) as of_runs,
        closing(sqlite3.connect(folder / "runs" / "index.db")) as events,
        of_runs,
        events,
    ):
        (run,), tags = _taken(of_runs, "runs"), _taken(of_runs, "run_tags")
        planned, stored = (row for row in _taken(events, "event_logs") if row["dagster_event_type"] in _OF_DAYS)
        (key,) = _taken(events, "asset_keys")
        number = 0
        for ticker in tickers:
            last: dict[str, str] = {}
            for days in runs:
                renamed = {
                    str(run["run_id"]): str(uuid.uuid5(uuid.NAMESPACE_OID, f"{ticker} {days[0]}")),
                    _REAL: ticker,
                }
                ends = {"start": days[0], "end": days[-1]}
                bounds = {f'range_{end}": "{_DAY}': f'range_{end}": "{day}' for end, day in ends.items()}
                _insert(of_runs, "runs", _renamed(run, renamed | bounds))
                for row in tags:
                    copy = _renamed(row, renamed)
                    copy["value"] = ends.get(str(row["key"]).rpartition("asset_partition_range_")[2], copy["value"])
                    _insert(of_runs, "run_tags", copy)
                for day in days:
                    number += 1
                    last = renamed | {_DAY.isoformat(): day}
                    _insert(events, "event_logs", _renamed(planned, last) | {"id": 2 * number - 1})
                    _insert(events, "event_logs", _renamed(stored, last) | {"id": 2 * number})
            newest = {f'"storage_id": {stored["id"]}}}': f'"storage_id": {2 * number}}}'}
            _insert(events, "asset_keys", _renamed(key, last | newest) | {"cached_status_data": None})


_OF_DAYS = ("ASSET_MATERIALIZATION_PLANNED", "ASSET_MATERIALIZATION")

Row = dict[str, object]


def _taken(database: sqlite3.Connection, table: str) -> list[Row]:
    """The rows of a table, which is empty then."""
    found = database.execute(f"select * from {table} order by id")
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    database.execute(f"delete from {table}")
    return rows


def _renamed(row: Row, names: dict[str, str]) -> Row:
    copy = dict(row)
    for name, value in copy.items():
        if isinstance(value, str):
            for old, new in names.items():
                value = value.replace(old, new)
            copy[name] = value
    return copy


def _insert(database: sqlite3.Connection, table: str, row: Row) -> None:
    columns = {name: value for name, value in row.items() if name != "id" or table == "event_logs"}
    database.execute(
        f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})", [*columns.values()]
    )
