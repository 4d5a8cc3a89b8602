"""Connections to Dagster's databases that are kept: what they save, and what must not happen to them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy

from data_assets.orchestration.dagster_private import SqliteEventLogStorage
from data_assets.orchestration.kept_connections import KEPT_AT_MOST, PAGE_BYTES, EventLog
from data_assets_tests.orchestration.in_process import open_project

KEY = dg.AssetKey(["a"])


@contextmanager
def counted_connections() -> Iterator[list[str]]:
    """The databases that are opened meanwhile."""
    opened: list[str] = []

    def connected(connection: object, record: object) -> None:
        opened.append(str(connection))

    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "connect", connected)
    try:
        yield opened
    finally:
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "connect", connected)


def report(instance: dg.DagsterInstance, day: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=day))


def test_events_and_questions_open_no_database_again(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-01")
        instance.get_runs()

        with counted_connections() as opened:
            report(instance, "2024-07-02")
            assert instance.get_materialized_partitions(KEY) == {"2024-07-01", "2024-07-02"}
            assert instance.get_runs() == []

    assert opened == []


def test_a_history_that_is_put_back_from_its_backup_is_the_one_that_is_read_and_written(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-01")
        folder = history(instance)
    shutil.copytree(folder, tmp_path / "backup")
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-02")

        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "backup", folder)

        assert instance.get_materialized_partitions(KEY) == {"2024-07-01"}
        report(instance, "2024-07-03")
    with open_project(tmp_path) as instance:
        assert instance.get_materialized_partitions(KEY) == {"2024-07-01", "2024-07-03"}


def test_a_new_history_has_pages_that_fit_its_events_and_an_older_one_stays_as_it_is(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-01")
        folder = history(instance)
    assert page_bytes(folder / "runs" / "index.db") == PAGE_BYTES

    shutil.rmtree(folder)
    SqliteEventLogStorage(str(folder / "runs"))  # as an earlier version made it
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-02")
        assert instance.get_materialized_partitions(KEY) == {"2024-07-02"}
    assert page_bytes(folder / "runs" / "index.db") == 4096


def page_bytes(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA page_size").fetchone()[0])


def test_the_database_of_a_run_is_that_of_dagster_made_in_one_transaction(tmp_path: Path) -> None:
    for log, run in ((SqliteEventLogStorage(str(tmp_path / "theirs")), "a"), (EventLog(str(tmp_path / "ours")), "a")):
        assert list(log.get_logs_for_run(run)) == []
    ours, theirs = tmp_path / "ours" / "a.db", tmp_path / "theirs" / "a.db"

    assert dumped(ours) == dumped(theirs)
    assert pragmas(ours) == pragmas(theirs)
    assert transactions(ours) <= 2 < 20 < transactions(theirs)


def test_a_database_of_a_run_that_was_left_half_made_is_completed(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    list(log.get_logs_for_run("whole"))
    whole = dumped(tmp_path / "whole.db")
    for name, statements in {
        "empty": [],
        "wal": ["PRAGMA journal_mode=WAL"],
        "unstamped": [each for each in whole if each.startswith("CREATE")],
    }.items():
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as left:
            left.executescript(";".join(statements))

        assert list(log.get_logs_for_run(name)) == []

        assert sorted(dumped(tmp_path / f"{name}.db")) == sorted(whole)


def test_what_is_no_database_is_refused_in_dagsters_words(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    (tmp_path / "a.db").write_bytes(b"no database" * 100)

    with pytest.raises(sqlalchemy.exc.DatabaseError, match="not a database"):
        log.get_logs_for_run("a")

    assert (tmp_path / "a.db").read_bytes() == b"no database" * 100


def test_a_database_that_cannot_be_opened_is_refused_in_dagsters_words(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    (tmp_path / "a.db").mkdir()

    with pytest.raises(sqlalchemy.exc.OperationalError, match="unable to open"):
        log.get_logs_for_run("a")


def test_processes_that_make_the_database_of_a_run_at_once_all_write_into_it(tmp_path: Path) -> None:
    EventLog(str(tmp_path))  # the database of all runs is made by whoever is first, which is another matter
    runs = [f"run-{number}" for number in range(12)]
    script = f"""
import sys
import dagster as dg
from data_assets.orchestration.kept_connections import EventLog
log = EventLog({str(tmp_path)!r})
sys.stdin.readline()
for run in {runs!r}:
    log.store_event(dg.EventLogEntry(None, 10, "said", run, 0.0))
"""
    started = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], stdin=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for each in started:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    assert [each.wait(60) for each in started] == [0] * len(started)

    log = EventLog(str(tmp_path))
    assert {run: len(log.get_logs_for_run(run)) for run in runs} == dict.fromkeys(runs, len(started))


def dumped(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def pragmas(file: Path) -> list[object]:
    with closing(sqlite3.connect(file)) as connection:
        said = ("journal_mode", "page_size", "auto_vacuum", "encoding", "user_version", "application_id")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in said]


def transactions(file: Path) -> int:
    """How many changed a database before its changes went to a log of their own: the counter in its first page."""
    return int.from_bytes(file.read_bytes()[24:28], "big")


def test_a_forked_process_opens_its_own_and_leaves_that_of_its_parent_alone(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-01")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                report(instance, "2024-07-02")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0

        report(instance, "2024-07-03")
        assert instance.get_materialized_partitions(KEY) == {f"2024-07-0{day}" for day in (1, 2, 3)}


def test_the_databases_of_many_runs_are_not_all_kept_open(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        runs = [dg.materialize([a], instance=instance).run_id for _ in range(KEPT_AT_MOST + 2)]
        for run in runs:
            assert len(instance.all_logs(run)) > 2

        descriptors = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()]

    log = instance.event_log_storage
    assert isinstance(log, EventLog)
    ours = {path for path in descriptors if path.startswith(str(tmp_path)) and path.endswith(".db")}
    assert 0 < len(ours) <= KEPT_AT_MOST + 1  # and that of the runs' tags


def test_what_is_closed_has_no_log_of_changes_beside_it(tmp_path: Path) -> None:
    """So that a copy of the databases alone, made while nothing runs, is the whole history."""
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-01")
        folder = history(instance)

    assert sorted(path.name for path in folder.rglob("*") if path.suffix in (".db-wal", ".db-shm")) == []


def history(instance: dg.DagsterInstance) -> Path:
    """Where an instance keeps its databases."""
    log = instance.event_log_storage
    assert isinstance(log, EventLog)
    return Path(log.path_for_shard("index")).parents[1]


@dg.asset
def a() -> None:
    """An asset whose run gets a database of its own."""
