"""Connections to Dagster's databases that are kept: what they save, and what must not happen to them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy

from data_assets.orchestration.dagster_private import SqliteEventLogStorage
from data_assets.orchestration.kept_connections import KEPT_AT_MOST, PAGE_BYTES, EventLog, written_together
from data_assets_tests.orchestration.in_process import CHECKS, in_process_project, of_days, open_project

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


@contextmanager
def before_each_commit(look: Callable[[sqlalchemy.Connection], object]) -> Iterator[None]:
    """Have ``look`` called with each connection that is about to commit meanwhile."""
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", look)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "commit", look)


def database_of(connection: sqlalchemy.Connection) -> str:
    """The name of the database: a run's id, or `index`."""
    return Path(str(connection.engine.url.database)).stem


def report(instance: dg.DagsterInstance, day: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=day))


def judge(instance: dg.DagsterInstance, day: str) -> None:
    instance.report_runless_asset_event(dg.AssetCheckEvaluation(KEY, "a_check", passed=True, partition=day))


def test_events_and_questions_open_no_database_again(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        report(instance, "2024-07-01")
        judge(instance, "2024-07-01")
        instance.get_runs()

        with counted_connections() as opened:
            report(instance, "2024-07-02")
            judge(instance, "2024-07-02")
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


def test_a_table_that_another_history_of_that_name_lacks_is_not_taken_for_there(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        judge(instance, "2024-07-01")
        log = instance.event_log_storage
        assert isinstance(log, EventLog)
        file = history(instance) / "runs" / "index.db"
        shutil.copy(file, tmp_path / "older.db")
        with closing(sqlite3.connect(tmp_path / "older.db")) as older:
            older.execute("DROP TABLE asset_check_executions")

        assert log.has_table("asset_check_executions")
        (tmp_path / "older.db").replace(file)
        assert not log.has_table("asset_check_executions")


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


@pytest.fixture
def history_and_run(tmp_path: Path) -> Iterator[tuple[dg.DagsterInstance, str]]:
    """An open project's instance, and a run of it."""
    with open_project(tmp_path) as instance:
        yield instance, dg.materialize([a], instance=instance).run_id


def test_of_a_runs_own_log_nobody_waits_for_the_disk_and_of_what_is_known_of_days_everybody_does(
    history_and_run: tuple[dg.DagsterInstance, str],
) -> None:
    instance, run = history_and_run
    waits: dict[str, set[int]] = {}

    def about_to_commit(connection: sqlalchemy.Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        waits.setdefault(database_of(connection), set()).add(driver.execute("PRAGMA synchronous").fetchone()[0])

    with before_each_commit(about_to_commit):
        instance.event_log_storage.store_event(verdict(run, 1))
        with written_together(instance):
            instance.event_log_storage.store_event(verdict(run, 2))
        instance.add_run_tags(run, {"a": "b"})

    normal, full = 1, 2  # as SQLite numbers them
    assert waits == {run: {normal}, "index": {full}, "runs": {full}}


def verdict(run: str, number: int) -> dg.EventLogEntry:
    said = dg.AssetCheckEvaluation(KEY, f"check{number}", passed=True, metadata={})
    judged = dg.DagsterEvent("ASSET_CHECK_EVALUATION", "__ASSET_JOB", event_specific_data=said)
    return dg.EventLogEntry(None, 10, "judged", run, 1.0, dagster_event=judged)


def written(instance: dg.DagsterInstance, run: str) -> tuple[int, int, int]:
    """How many verdicts any other process finds: in the run's own database, in that of all runs, and as checks."""
    own, of_all = (history(instance) / "runs" / f"{name}.db" for name in (run, "index"))
    return verdicts_in(own), verdicts_in(of_all), counted(of_all, "asset_check_executions")


def verdicts_in(file: Path) -> int:
    return counted(file, "event_logs WHERE dagster_event_type = 'ASSET_CHECK_EVALUATION'")


def counted(file: Path, rows: str) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])


def test_events_that_are_written_together_are_there_together(history_and_run: tuple[dg.DagsterInstance, str]) -> None:
    instance, run = history_and_run
    seen: list[tuple[str, tuple[int, int, int]]] = []

    def about_to_commit(connection: sqlalchemy.Connection) -> None:
        seen.append((database_of(connection), written(instance, run)))

    with before_each_commit(about_to_commit), written_together(instance):
        for number in range(5):
            instance.event_log_storage.store_event(verdict(run, number))
        assert seen == []

    assert seen == [(run, (0, 0, 0)), ("index", (5, 0, 0))]
    assert written(instance, run) == (5, 5, 5)
    instance.event_log_storage.store_event(verdict(run, 5))
    assert written(instance, run) == (6, 6, 6)


def test_of_events_that_are_written_together_an_error_leaves_none(
    history_and_run: tuple[dg.DagsterInstance, str],
) -> None:
    instance, run = history_and_run

    with pytest.raises(ZeroDivisionError), written_together(instance):  # noqa: PT012
        instance.event_log_storage.store_event(verdict(run, 1))
        raise ZeroDivisionError
    assert written(instance, run) == (0, 0, 0)

    with closing(sqlite3.connect(history(instance) / "runs" / "index.db")) as of_all:
        of_all.execute(
            "CREATE TRIGGER third BEFORE INSERT ON asset_check_executions WHEN NEW.check_name = 'check2' "
            "BEGIN SELECT RAISE(ABORT, 'no more'); END"
        )
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="no more"), written_together(instance):  # noqa: PT012
        for number in range(5):
            instance.event_log_storage.store_event(verdict(run, number))
    assert written(instance, run) == (0, 0, 0)

    instance.event_log_storage.store_event(verdict(run, 3))
    assert written(instance, run) == (1, 1, 1)


def test_an_interrupt_that_keeps_verdicts_from_being_written_keeps_nothing_else(
    history_and_run: tuple[dg.DagsterInstance, str],
) -> None:
    """It may come where a block has begun and nothing in it has: then nobody leaves it before the run has ended."""
    instance, run = history_and_run
    log = instance.event_log_storage
    assert isinstance(log, EventLog)
    before = len(instance.all_logs(run))
    never_left = log.together()
    never_left.__enter__()

    log.store_event(verdict(run, 1))
    log.store_event(dg.EventLogEntry(None, 40, "why the run has ended", run, 1.0))
    assert [each.user_message for each in instance.all_logs(run)[before:]] == ["why the run has ended"]

    with written_together(instance):
        log.store_event(verdict(run, 2))
    log.store_event(verdict(run, 3))
    assert written(instance, run) == (2, 2, 2)
    never_left.__exit__(None, None, None)


def test_a_full_disk_at_the_second_database_leaves_the_history_usable(
    history_and_run: tuple[dg.DagsterInstance, str],
) -> None:
    instance, run = history_and_run

    def full(connection: sqlalchemy.Connection) -> None:
        if database_of(connection) == "index":
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))

    with (
        before_each_commit(full),
        pytest.raises(sqlalchemy.exc.OperationalError, match="full"),
        written_together(instance),
    ):
        instance.event_log_storage.store_event(verdict(run, 1))
    assert written(instance, run) == (1, 0, 0)

    with written_together(instance):
        instance.event_log_storage.store_event(verdict(run, 2))
    assert written(instance, run) == (2, 1, 1)


def test_threads_that_log_beside_events_written_together_wait_for_nobody(
    history_and_run: tuple[dg.DagsterInstance, str],
) -> None:
    """A handler of logging holds its own lock while it asks for that of the storage: in two orders, both would wait."""
    instance, run = history_and_run
    of_handler, all_there = threading.Lock(), threading.Barrier(2)
    in_own: list[int] = []

    def log(number: int) -> None:
        with of_handler:
            instance.event_log_storage.store_event(verdict(run, number))

    def beside() -> None:
        all_there.wait()
        for number in range(50):
            log(number)
            in_own.append(written(instance, run)[0])

    def together() -> None:
        all_there.wait()
        for day in range(10):
            with written_together(instance):
                for number in range(5):
                    log(100 + 5 * day + number)

    threads = [threading.Thread(target=each, daemon=True) for each in (beside, together)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert not any(each.is_alive() for each in threads)
    assert written(instance, run) == (100, 100, 100)
    assert all(before < after for before, after in pairwise([0, *in_own])), "what is not put off is there at once"


def test_the_verdicts_on_a_day_are_written_together(tmp_path: Path) -> None:
    with in_process_project(tmp_path) as project:
        index, counts = history(project.instance) / "runs" / "index.db", []
        with before_each_commit(lambda _: counts.append(verdicts_in(index))):
            assert project.materialize(of_days("2024-07-01", "2024-07-02")).success
            assert project.execute_checks(CHECKS, of_days("2024-07-01", "2024-07-02")).success

    assert set(counts) == {day * len(CHECKS) for day in range(5)}


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
