"""Runs whose process was killed: what is left of them, how they are ended, and what is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from data_assets.cli.project import definitions
from data_assets.orchestration import start_time
from data_assets.orchestration.patient_history import make_pools_beside_others
from data_assets.orchestration.run_liveness import end_interrupted_runs, interrupted_runs, run_heartbeat
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import ASSET, InProcess, flip_a_byte, in_process_project, of_days

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
STUCK = "2024-07-02"
NEXT_WEEK = "2024-07-08"
POOL = "theta"
PATIENCE = 120
LOG = Path("process.log")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    """The vendor never ends its answer for one day."""
    with in_process_project(tmp_path, faults=[Fault(kind="stall", day=date.fromisoformat(STUCK))]) as project:
        yield project


@pytest.fixture(autouse=True)
def _loaded(project: InProcess) -> None:
    """The datasets are known, as they are to the command and to the sensor."""
    definitions()


@contextmanager
def process(*program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of this environment, in the project folder."""
    with LOG.open("wb") as log:
        started = subprocess.Popen(
            [Path(sys.executable).with_name(program[0]), *program[1:]], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def wait_for(started: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not reached():
        assert started.poll() is None, LOG.read_text()[-2000:]
        assert time.monotonic() < give_up, LOG.read_text()[-2000:]
        time.sleep(0.05)


def slots(project: InProcess) -> dict[str, set[str]]:
    info = project.instance.event_log_storage.get_concurrency_info(POOL)
    return {"held by": {slot.run_id for slot in info.claimed_slots}, "awaited by": set(info.pending_run_ids)}


def launched_as_the_daemon_does(day: str) -> tuple[str, ...]:
    """A run with the code location's own executor, from the shell."""
    name = ASSET.to_user_string()
    return ("dagster", "asset", "materialize", "-m", "data_assets.definitions", "--select", name, "--partition", day)


def test_a_killed_run_is_ended_its_slot_is_free_and_what_it_stored_stays(project: InProcess) -> None:
    command = ("data-assets", "backfill", ASSET.to_user_string(), "--from", DAYS[0], "--to", DAYS[-1])
    with process(*command) as backfill:
        wait_for(backfill, lambda: len(project.materializations()) == 2)
        (run,) = project.instance.get_runs()
        assert run.asset_selection == {ASSET}
        assert end_interrupted_runs(project.instance) == [], "it lives"
        backfill.kill()
        backfill.wait()

    assert project.instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]
    assert project.states(DAYS)[STUCK] == "in progress"
    assert slots(project) == {"held by": {run.run_id}, "awaited by": set()}

    assert end_interrupted_runs(project.instance) == [run.run_id]

    ended = project.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED, "nobody starts it again, and its open day is as it was"
    assert "what it had stored is kept" in project.messages(run.run_id)
    assert slots(project) == {"held by": set(), "awaited by": set()}
    assert project.states(DAYS) == {**dict.fromkeys(DAYS, "stored"), STUCK: "missing"}
    assert end_interrupted_runs(project.instance) == [], "once"


def test_a_killed_run_over_a_damaged_day_does_not_make_it_green_again(project: InProcess) -> None:
    days = [DAYS[0], STUCK]
    assert project.materialize(of_days(DAYS[0], DAYS[0])).success
    flip_a_byte(project.file(DAYS[0]))
    command = ("data-assets", "backfill", ASSET.to_user_string(), "--from", *days[:1], "--to", *days[1:])
    with process(*command, "--only", "all") as backfill:
        wait_for(backfill, lambda: bool(slots(project)["held by"]))
        backfill.kill()
        backfill.wait()
    damaged = len(project.materializations()) == 1  # it may have stored the day anew by then

    assert len(end_interrupted_runs(project.instance)) == 1

    assert project.states(days)[DAYS[0]] == ("failed" if damaged else "stored")


def test_a_run_that_never_made_its_lock_file_is_ended_once_it_had_time_to(
    project: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned(project, dg.DagsterRunStatus.NOT_STARTED)
    assert end_interrupted_runs(project.instance) == [], "it may be starting"

    monkeypatch.setattr(start_time, "START_SECONDS", -1)

    assert end_interrupted_runs(project.instance) == [run.run_id]
    assert "in progress" not in project.states(DAYS[:2]).values()


def test_a_run_killed_while_it_waits_for_the_slot_is_ended_and_the_run_that_holds_it_is_not(project: InProcess) -> None:
    with process(*launched_as_the_daemon_does(STUCK)) as holder:
        wait_for(holder, lambda: bool(slots(project)["held by"]))
        (holding,) = project.instance.get_runs()
        with process(*launched_as_the_daemon_does(NEXT_WEEK)) as waiter:
            wait_for(waiter, lambda: bool(slots(project)["awaited by"]))
            waiting = next(run for run in project.instance.get_runs() if run.run_id != holding.run_id)
            waiter.kill()
            waiter.wait()

        assert end_interrupted_runs(project.instance) == [waiting.run_id]

        assert project.states([NEXT_WEEK]) == {NEXT_WEEK: "failed"}
        assert slots(project) == {"held by": {holding.run_id}, "awaited by": set()}
        assert holder.poll() is None
        assert project.instance.get_run_by_id(holding.run_id).status == dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


def planned(project: InProcess, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run in the event log, which no process has claimed."""
    job = definitions().resolve_implicit_global_asset_job_def()
    return project.instance.create_run_for_job(job, asset_selection={ASSET}, status=status, tags=of_days(*DAYS[:2]))


CLAIM_AND_DIE = """
import os, signal, sys
from contextlib import ExitStack
import dagster as dg
from data_assets.orchestration.run_liveness import run_heartbeat
with dg.DagsterInstance.get() as instance, ExitStack() as lives:
    for run_id in sys.argv[1:]:
        lives.enter_context(run_heartbeat(instance, run_id))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def claimed_by_a_process_that_died(*runs: dg.DagsterRun) -> None:
    ended = subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, *(run.run_id for run in runs)], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_a_run_is_left_alone_while_its_process_lives_and_when_no_process_of_this_machine_claimed_it(
    project: InProcess,
) -> None:
    here, elsewhere = (planned(project, dg.DagsterRunStatus.STARTED) for _ in range(2))

    with run_heartbeat(project.instance, here.run_id):
        assert end_interrupted_runs(project.instance) == []

    for run in (here, elsewhere):
        assert project.instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]
    assert project.states(DAYS[:2]) == dict.fromkeys(DAYS[:2], "in progress")


def test_the_sensor_ends_each_run_as_it_was_going_to(project: InProcess) -> None:
    Status = dg.DagsterRunStatus
    becomes = {
        Status.NOT_STARTED: Status.FAILURE,
        Status.STARTING: Status.FAILURE,
        Status.STARTED: Status.FAILURE,
        Status.CANCELING: Status.CANCELED,
        Status.SUCCESS: Status.SUCCESS,
        Status.CANCELED: Status.CANCELED,
    }
    runs = {status: planned(project, status) for status in becomes}
    claimed_by_a_process_that_died(*runs.values())

    tick = interrupted_runs(dg.build_sensor_context(instance=project.instance))

    found = {status: project.instance.get_run_by_id(run.run_id) for status, run in runs.items()}
    assert {status: run and run.status for status, run in found.items()} == becomes
    assert isinstance(tick, dg.SkipReason)
    for status, run in runs.items():
        assert (run.run_id in (tick.skip_message or "")) is (becomes[status] != status)
    again = interrupted_runs(dg.build_sensor_context(instance=project.instance))
    assert isinstance(again, dg.SkipReason)
    assert again.skip_message == "every run's process is alive"


@pytest.mark.parametrize(
    ("status", "its_days"),
    [(dg.DagsterRunStatus.STARTED, "failed"), (dg.DagsterRunStatus.CANCELING, "missing")],
    ids=["started", "canceling"],
)
def test_the_days_of_an_ended_run_are_not_in_progress_any_more(
    project: InProcess, status: dg.DagsterRunStatus, its_days: str
) -> None:
    claimed_by_a_process_that_died(planned(project, status))
    assert project.states(DAYS[:2]) == dict.fromkeys(DAYS[:2], "in progress")

    end_interrupted_runs(project.instance)

    assert project.states(DAYS[:2]) == dict.fromkeys(DAYS[:2], its_days)


def test_a_history_is_prepared_once_however_many_runs_a_command_has(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        make_pools_beside_others(instance)
        made = instance.event_log_storage.initialize_concurrency_limit_to_default
        make_pools_beside_others(instance)
        assert instance.event_log_storage.initialize_concurrency_limit_to_default is made
