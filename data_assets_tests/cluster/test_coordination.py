"""The same promises by both kinds of coordination: of one machine's files, and of a PostgreSQL that several share."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa

from data_assets.ingest.outcome import RunEnded
from data_assets.ingest.shared_state import DAMAGED
from data_assets.orchestration import coordination_in_postgres, start_time
from data_assets.orchestration.coordination import Coordination, coordination_of, vendor_account
from data_assets.orchestration.coordination_in_files import CoordinationInFiles
from data_assets.orchestration.coordination_in_postgres import CoordinationInPostgres
from data_assets.orchestration.run_liveness import end_interrupted_runs, in_living_process
from data_assets.settings import settings
from data_assets_tests.cluster.postgres import Postgres

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


ASK = """
import asyncio, sys, time
import dagster as dg
from data_assets.orchestration.coordination import coordination_of
from data_assets.vendors.ib.pacing import Budget, RequestPacing
name, turns, ahead = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
now = time.time
time.time = lambda: now() + ahead

class Told:
    name = "ib_pacing"

    def __init__(self, shared):
        self.shared = shared

    async def change(self, how):
        def told(found, now):
            value, wait = how(found, now)
            return value, (now, wait)

        now, wait = await self.shared.change(told)
        if wait <= 0:
            print(now, flush=True)  # the instant that was counted, once it is written: now the request would be sent
        return wait

async def ask(coordination):
    budget = Budget(seconds_between=0.02, max_per_window=8, window_seconds=0.8, identical_seconds=0)
    pacing = RequestPacing(Told(coordination.shared("ib_pacing")), budget, head_budget=budget)
    for number in range(turns):
        await pacing.turn(f"{name} {number}")

with dg.DagsterInstance.get() as instance:
    asyncio.run(ask(coordination_of(instance)))
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


def test_a_process_whose_run_was_ended_by_another_host_is_told_to_stop(
    history_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_host: Callable[..., subprocess.Popen[str]]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {history_url}\n")
    with dg.DagsterInstance.get() as instance:
        record = a_run(instance)
        host = other_host("run", record.dagster_run.run_id)
        monkeypatch.setattr(coordination_in_postgres, "SILENT_SECONDS", -1.0)  # as if it had been silent
        assert end_interrupted_runs(instance) == [record.dagster_run.run_id]

        assert host.wait(PATIENCE) == -signal.SIGTERM


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


def test_an_account_that_takes_two_is_held_by_two_and_no_more(
    instance: dg.DagsterInstance, coordination: Coordination, other_host: Callable[..., subprocess.Popen[str]]
) -> None:
    host = other_host("account", "polygon")
    said: list[str] = []
    with coordination.account("polygon", said.append, places=2):
        assert said == []
        with (
            pytest.raises(KeyboardInterrupt),
            coordination.account("polygon", said.append, stop=lambda: True, places=2),
        ):
            pass
        assert len(said) == 1
        host.kill()
        with coordination.account("polygon", said.append, places=2):
            pass


@pytest.mark.parametrize(("shared", "runs"), [(True, 2), (False, 1)])
def test_as_many_runs_hold_an_account_as_its_pool_says_where_they_share_no_terminal(
    instance: dg.DagsterInstance, shared: bool, runs: int
) -> None:
    instance.event_log_storage.set_concurrency_slots("polygon", 2)
    said: list[str] = []
    with ExitStack() as held, suppress(KeyboardInterrupt):
        for _ in range(3):
            held.enter_context(vendor_account(instance, "polygon", said.append, lambda: True, shared=shared))
            runs -= 1
    assert runs == 0
    assert len(said) == 1


def ask_elsewhere(tmp_path: Path, name: str, turns: int, ahead: float, *, one_machine: bool) -> subprocess.Popen[str]:
    """Start a process that takes turns of IB's budget; of another machine it has its own clock and its own files."""
    state = tmp_path / ("state" if one_machine else f"state of {name}")
    return subprocess.Popen(
        [sys.executable, "-c", ASK, name, str(turns), "0" if one_machine else str(ahead)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DATA_ASSETS_STATE": str(state), "DATA_ASSETS_PROJECT": str(tmp_path)},
    )


def test_hosts_share_one_budget_of_requests_also_with_one_that_is_killed(
    instance: dg.DagsterInstance, coordination: Coordination, tmp_path: Path
) -> None:
    one_machine = isinstance(coordination, CoordinationInFiles)
    slow, fast, killed = (
        ask_elsewhere(tmp_path, name, turns, ahead, one_machine=one_machine)
        for name, turns, ahead in (("slow", 16, -30), ("fast", 16, 30), ("killed", 10_000, 0))
    )
    assert killed.stdout is not None
    lines = [killed.stdout.readline() for _ in range(8)]
    killed.kill()
    lines += [killed.stdout.read(), slow.communicate()[0], fast.communicate()[0]]
    assert (slow.returncode, fast.returncode) == (0, 0)

    times = sorted(map(float, "".join(lines).split()))

    assert len(times) >= 40
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.02 - 1e-6, "a slot was shared"
    assert min(times[n + 8] - times[n] for n in range(len(times) - 8)) >= 0.8 - 1e-6


async def test_what_cannot_be_read_is_said_to_be_so_and_a_change_that_fails_changes_nothing(
    history_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = CoordinationInPostgres(sa.make_url(history_url)).shared("ib_pacing")
    assert await shared.change(lambda found, _now: ([1], found)) is None

    def fail(_found: Any, _now: float) -> tuple[Any, None]:
        raise ValueError

    with pytest.raises(ValueError):
        await shared.change(fail)
    assert await shared.change(lambda found, _now: (found, found)) == [1]
    with sa.create_engine(history_url).begin() as connection:
        connection.execute(sa.text("UPDATE data_assets_shared_states SET value = '{'"))
    assert await shared.change(lambda found, _now: (None, found)) is DAMAGED


async def test_a_request_waits_for_a_database_that_restarts_and_is_told_of_one_that_stays_away(
    postgres: Postgres, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = CoordinationInPostgres(sa.make_url(history_url)).shared("ib_pacing")
    await shared.change(lambda _found, _now: ("before", None))
    postgres.stop()
    try:
        waiting = asyncio.create_task(shared.change(lambda found, _now: ("after", found)))
        await asyncio.sleep(1)
        assert not waiting.done()
        monkeypatch.setattr(coordination_in_postgres, "AWAY_SECONDS", -1)
        with pytest.raises(RunEnded, match=r"^ib_pacing: the run history's database does not answer .* run again"):
            await shared.change(lambda found, _now: ("lost", found))
    finally:
        postgres.start()
    assert await waiting == "before"


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
