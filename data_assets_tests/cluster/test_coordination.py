"""The same promises by both kinds of coordination: of one machine's files, and of a PostgreSQL that several share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from data_assets.orchestration import coordination_in_postgres, start_time
from data_assets.orchestration.coordination import Coordination, coordination_of
from data_assets.orchestration.run_liveness import end_interrupted_runs, in_living_process
from data_assets.settings import settings
from data_assets_tests.cluster.conftest import Postgres

PATIENCE = 120

HOLD = """
import sys, time
import dagster as dg
from data_assets.orchestration.coordination import coordination_of
ahead = float(sys.argv[3])
now = time.time
time.time = lambda: now() + ahead  # a machine whose clock is not right
with dg.DagsterInstance.get() as instance:
    coordination = coordination_of(instance)
    if sys.argv[1] == "run":
        coordination.hold(sys.argv[2])
        print("held", flush=True)
        time.sleep(600)
    with coordination.account(sys.argv[2], print):
        print("held", flush=True)
        time.sleep(600)
"""


@dg.op
def nothing() -> None:
    """Of a run that ends at once."""


@dg.job(executor_def=in_living_process)
def three_times() -> None:
    """Executed by one process, as a worker of Celery does."""
    nothing()


@pytest.fixture(params=["files", "postgres"])
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DATA_ASSETS_LAKE", str(tmp_path / "lake"))
    settings.cache_clear()
    configuration = "telemetry: {enabled: false}\n"
    if request.param == "postgres":
        configuration += f"storage: {{postgres: {{postgres_url: '{request.getfixturevalue('history_url')}'}}}}\n"
    (tmp_path / "dagster.yaml").write_text(configuration)
    with dg.DagsterInstance.get() as instance:
        yield instance
    settings.cache_clear()


@pytest.fixture
def coordination(instance: dg.DagsterInstance) -> Coordination:
    return coordination_of(instance)


@pytest.fixture
def other_host() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that holds a run or an account, with a clock that is so many seconds ahead."""
    started = []

    def start(what: str, name: str, ahead: float = 0) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, what, name, str(ahead)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def a_run(instance: dg.DagsterInstance) -> dg.RunRecord:
    run_id = str(uuid4())
    run = dg.DagsterRun(job_name="j", run_id=run_id, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    return record


def wait_for(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < give_up
        time.sleep(0.2)


@pytest.mark.parametrize("ahead", [-30, 30])
def test_a_run_lives_as_long_as_its_process_whatever_its_clock_says_and_no_longer(
    instance: dg.DagsterInstance,
    coordination: Coordination,
    other_host: Callable[..., subprocess.Popen[str]],
    ahead: float,
) -> None:
    record = a_run(instance)
    host = other_host("run", record.dagster_run.run_id, ahead)
    for _ in range(3):  # longer than one beat
        assert end_interrupted_runs(instance) == []
        time.sleep(coordination_in_postgres.BEAT_SECONDS / 2)

    host.kill()
    host.wait()

    died = time.monotonic()
    wait_for(lambda: end_interrupted_runs(instance, patient=True) == [record.dagster_run.run_id])
    assert time.monotonic() - died < 60
    ended = instance.get_run_by_id(record.dagster_run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE, "somebody may start it again"


def test_a_run_that_nobody_held_has_time_to_start(
    instance: dg.DagsterInstance, coordination: Coordination, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = a_run(instance)
    assert not coordination.is_gone(record)

    monkeypatch.setattr(start_time, "START_SECONDS", -1)

    assert coordination.is_gone(record)


def test_a_run_that_is_abandoned_is_gone_at_once_and_one_that_is_forgotten_was_never_held(
    instance: dg.DagsterInstance, coordination: Coordination
) -> None:
    record = a_run(instance)
    run_id = record.dagster_run.run_id
    coordination.hold(run_id)
    assert coordination.held() == {run_id}

    coordination.abandon(run_id)

    assert coordination.held() == set()
    assert coordination.is_gone(record)
    coordination.forget(run_id)
    assert not coordination.is_gone(record)


def test_what_was_said_of_unfinished_and_of_young_runs_is_kept(
    instance: dg.DagsterInstance, coordination: Coordination
) -> None:
    record = a_run(instance)
    coordination.hold(record.dagster_run.run_id)
    coordination.abandon(record.dagster_run.run_id)

    coordination.forget_all_but([record.dagster_run.run_id])

    assert coordination.is_gone(record)


def test_an_account_is_held_by_one_at_a_time_and_given_back_by_a_host_that_dies(
    instance: dg.DagsterInstance, coordination: Coordination, other_host: Callable[..., subprocess.Popen[str]]
) -> None:
    host = other_host("account", "ib")
    with coordination.account("theta", print):
        pass  # another vendor's is free
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), coordination.account("ib", said.append, stop=lambda: True):
        pass
    assert ["which uses the ib account" in line for line in said] == [True]

    os.kill(host.pid, signal.SIGKILL)

    with coordination.account("ib", said.append):
        pass


def test_a_long_lived_process_lets_go_of_the_runs_that_it_has_ended(
    instance: dg.DagsterInstance, coordination: Coordination
) -> None:
    for _ in range(3):
        with dg.execute_job(dg.reconstructable(three_times), instance) as ended:
            assert ended.success
            assert coordination.held() == {ended.run_id}


def test_a_restart_of_the_database_is_nobodys_silence(
    postgres: Postgres, history_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(coordination_in_postgres, "SILENT_SECONDS", 3.0)
    monkeypatch.setattr(coordination_in_postgres, "SUSPECT_SECONDS", 1.0)
    (tmp_path / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {history_url}\n")
    with dg.DagsterInstance.get() as instance:
        record = a_run(instance)
        coordination = coordination_of(instance)
        monkeypatch.setattr(coordination_in_postgres, "BEAT_SECONDS", 0.5)
        coordination.hold(record.dagster_run.run_id)
        postgres.stop()
        time.sleep(4)  # a silence longer than any that is allowed
        postgres.start()

        assert not coordination.is_gone(record)
        assert not coordination.is_gone(record, patient=True), "it was heard of again"
        coordination.forget(record.dagster_run.run_id)
