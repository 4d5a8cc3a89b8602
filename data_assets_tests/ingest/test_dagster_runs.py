"""Runs whose process was killed: what is left of them, how they are ended, and what is left alone."""

from __future__ import annotations

import socket
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
from data_assets.ingest.dagster_runs import (
    HOST,
    OWNED_RUN,
    PROCESS,
    PROCESS_STARTED,
    end_interrupted_runs,
    interrupted_runs,
    ownership,
)
from data_assets.sandbox.faults import Fault
from data_assets_tests.ingest.in_process import ASSET, InProcess, in_process_project, of_days

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
STUCK = "2024-07-02"
NEXT_WEEK = "2024-07-08"
POOL = "theta"
PATIENCE = 120
LOG = Path("process.log")
NOBODY = str(2**22 + 1)
"""Above every process id that Linux or macOS gives."""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    """The vendor never ends its answer for one day."""
    with in_process_project(tmp_path, faults=[Fault(kind="stall", day=date.fromisoformat(STUCK))]) as project:
        yield project


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
        assert end_interrupted_runs(project.instance) == [], "it lives"
        backfill.kill()
        backfill.wait()

    assert project.instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]
    assert project.states(DAYS)[STUCK] == "in progress"
    assert slots(project) == {"held by": {run.run_id}, "awaited by": set()}

    assert end_interrupted_runs(project.instance) == [run.run_id]

    ended = project.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE
    assert "what it had stored is kept" in project.messages(run.run_id)
    assert slots(project) == {"held by": set(), "awaited by": set()}
    assert project.states(DAYS) == {**dict.fromkeys(DAYS, "stored"), STUCK: "failed"}
    assert end_interrupted_runs(project.instance) == [], "once"
    assert ended.tags["dagster/will_retry"] == "false", "the daemon could not start again what came from no location"


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


def planned(project: InProcess, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    """A run in the event log, without any process."""
    job = definitions().resolve_implicit_global_asset_job_def()
    run = project.instance.create_run_for_job(job, asset_selection={ASSET}, status=status, tags=of_days(*DAYS[:2]))
    project.instance.add_run_tags(
        run.run_id, {name: run.run_id if value == "{run}" else value for name, value in tags.items()}
    )
    return run


HERE = socket.gethostname()
OWNERS = {
    "a dead process": ({OWNED_RUN: "{run}", HOST: HERE, PROCESS: NOBODY, PROCESS_STARTED: "1.00"}, True),
    "a process that got a dead one's id": ({**ownership("{run}"), PROCESS_STARTED: "1.00"}, True),
    "this process": (ownership("{run}"), False),
    "a process of another machine": ({**ownership("{run}"), HOST: f"not-{HERE}", PROCESS: NOBODY}, False),
    "the dead process of the run it retries": ({**ownership("the run before"), PROCESS: NOBODY}, False),
    "nobody yet": ({}, False),
}


@pytest.mark.parametrize(("owner", "gone"), OWNERS.values(), ids=OWNERS)
def test_only_runs_whose_own_process_on_this_machine_is_gone_are_ended(
    project: InProcess, owner: dict[str, str], gone: bool
) -> None:
    run = planned(project, dg.DagsterRunStatus.STARTED, **owner)

    assert end_interrupted_runs(project.instance) == ([run.run_id] if gone else [])

    assert project.states(DAYS[:2]) == dict.fromkeys(DAYS[:2], "failed" if gone else "in progress")


@pytest.mark.parametrize(
    ("status", "becomes", "its_days"),
    [
        (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.FAILURE, "failed"),
        (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE, "failed"),
        (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, "missing"),
        (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.SUCCESS, "missing"),
    ],
    ids=lambda value: value.value if isinstance(value, dg.DagsterRunStatus) else "",
)
def test_the_sensor_ends_each_run_as_it_was_going_to(
    project: InProcess, status: dg.DagsterRunStatus, becomes: dg.DagsterRunStatus, its_days: str
) -> None:
    run = planned(project, status, **OWNERS["a dead process"][0])

    tick = interrupted_runs(dg.build_sensor_context(instance=project.instance))

    assert isinstance(tick, dg.SkipReason)
    assert (run.run_id in (tick.skip_message or "")) is (status != becomes)
    assert project.instance.get_run_by_id(run.run_id).status == becomes  # type: ignore[union-attr]
    assert project.states(DAYS[:2]) == dict.fromkeys(DAYS[:2], its_days)
