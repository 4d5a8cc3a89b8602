"""Connections to Dagster's databases that are kept: what they save, and what must not happen to them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
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
