"""Backfills, stops and crashes as people meet them: through a real `dagster dev`, its daemon and its code server.

The tests share one `dagster dev`, each with days of its own.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets_tests.end_to_end.project_folder import (
    ASSET,
    DATASET,
    Project,
    asked_days,
    live,
    recorded,
    sessions,
    slots_held,
    span,
)
from data_assets_tests.orchestration.dagster_dev import FINISHED, RESTARTS, DagsterDev, shorten_waits
from data_assets_tests.orchestration.in_process import CHECKS, of_day, of_days

pytestmark = pytest.mark.timeout(600)

FILLED = sessions("2024-07-01", 6)
STOPPED = sessions("2024-08-05", 3)
KILLED = sessions("2024-09-09", 3)
CUT_OFF = sessions("2024-10-07", 3)
INSTANTS = 20
FROM_NOTHING = 5
OF_ONE_SIGNAL = 50
SIGNALLED = sessions("2019-01-02", (INSTANTS + 1) * OF_ONE_SIGNAL)
LAST_OF_ONE_SIGNAL = SIGNALLED[OF_ONE_SIGNAL::OF_ONE_SIGNAL]
"""The newest day is asked for first. This one never comes whole, so that no command is done before its signal."""

ANSWERS = {TickStatus.SUCCESS, TickStatus.SKIPPED}
AGAIN = sessions("2025-01-06", 2)
BY_JOBS = sessions("2024-11-27", 2)
"""Thanksgiving lies between them."""


@pytest.fixture(scope="module")
def theta() -> Iterator[SandboxTheta]:
    """A day of each group is not had at the first request."""
    faults = [
        Fault(kind="renamed_column", day=date.fromisoformat(FILLED[2]), times=1),
        Fault(kind="renamed_column", day=date.fromisoformat(BY_JOBS[1]), times=1),
        *(Fault(kind="stall", day=date.fromisoformat(days[1]), times=1) for days in (STOPPED, KILLED, CUT_OFF)),
        *(Fault(kind="stall", day=date.fromisoformat(day)) for day in LAST_OF_ONE_SIGNAL),
    ]
    with SandboxTheta(contracts=8, faults=faults, says_synthetic=False) as theta:
        yield theta


@pytest.fixture(scope="module")
def dev(theta: SandboxTheta, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    dev = DagsterDev(Project(tmp_path_factory.mktemp("dev") / "project", **live(theta.base_url)))
    shorten_waits(dev.project.folder / "dagster.yaml")
    try:
        dev.start()
        yield dev
    finally:
        dev.cut_the_power()


def run_of(dev: DagsterDev, run_id: str) -> dg.DagsterRun:
    with dev.project.instance() as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def finished(dev: DagsterDev, run_id: str) -> str:
    """How a run ended, once it has."""
    dev.wait_for(lambda: run_of(dev, run_id).status.value in FINISHED)
    return run_of(dev, run_id).status.value


def states(dev: DagsterDev, days: list[str]) -> list[str]:
    return [state.value for state in dev.project.states(days).values()]


def held_up(dev: DagsterDev, days: list[str]) -> str:
    """A run of three days that has stored the first and the last and waits for the one between."""
    run_id = dev.launch_run(of_days(days[0], days[-1]))
    dev.wait_for(lambda: states(dev, days) == ["stored", "in progress", "stored"])
    return run_id


def retries_of(dev: DagsterDev, run_id: str) -> list[dg.DagsterRun]:
    with dev.project.instance() as instance:
        return [run for run in instance.get_runs() if run.parent_run_id == run_id]


def runs_of_backfill(dev: DagsterDev, backfill: str) -> list[dg.DagsterRun]:
    with dev.project.instance() as instance:
        return list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill})))


def slots(dev: DagsterDev) -> list[Any]:
    with dev.project.instance() as instance:
        return slots_held(instance)


def test_a_backfill_fills_the_grid_but_for_the_failed_day_which_one_more_run_turns_green(dev: DagsterDev) -> None:
    backfill = dev.launch_backfill(FILLED)
    dev.wait_for(lambda: runs_of_backfill(dev, backfill))
    (run,) = runs_of_backfill(dev, backfill)
    assert finished(dev, run.run_id) == "FAILURE"

    assert run.asset_selection == {ASSET}
    assert of_days(FILLED[0], FILLED[-1]).items() <= run.tags.items(), "all days in one run"
    assert dev.grid() == {"green": 5, "red": 1, "blue": 0}
    assert states(dev, FILLED) == ["stored", "stored", "failed", "stored", "stored", "stored"]

    assert finished(dev, dev.launch_run(of_day(FILLED[2]))) == "SUCCESS"

    assert dev.grid() == {"green": 6, "red": 0, "blue": 0}
    assert dev.checks() == dict.fromkeys(CHECKS, dict.fromkeys(FILLED, "SUCCEEDED"))
    dev.wait_for(lambda: dev.backfill_status(backfill) not in ("REQUESTED", "FAILING"))
    assert dev.backfill_status(backfill) == "COMPLETED_FAILED"
    assert len(runs_of_backfill(dev, backfill)) == 1, "a run that ended by itself is not tried again"


def test_checks_launched_alone_are_recorded_per_day_and_fetch_nothing(dev: DagsterDev, theta: SandboxTheta) -> None:
    asked = len(theta.requests)

    newest, missing = sessions(FILLED[-1], 2)

    run_id = dev.launch_checks(["grid", "integrity"], of_days(newest, missing))

    assert finished(dev, run_id) == "SUCCESS"
    checks = dev.checks()
    for name in ("grid", "integrity"):
        assert checks[name] == {**dict.fromkeys(FILLED, "SUCCEEDED"), missing: "FAILED"}
    assert checks["quotes"] == dict.fromkeys(FILLED, "SUCCEEDED")
    assert len(theta.requests) == asked


def test_terminate_keeps_what_is_stored_and_leaves_no_temporary_file(dev: DagsterDev) -> None:
    run_id = held_up(dev, STOPPED)

    dev.terminate(run_id)

    assert finished(dev, run_id) == "CANCELED"
    assert states(dev, STOPPED) == ["stored", "missing", "stored"]
    assert dev.project.temp_files() == []
    assert not dev.project.file(STOPPED[1]).exists()
    dev.wait_for(lambda: slots(dev) == [])
    assert retries_of(dev, run_id) == []


def test_a_killed_run_is_retried_once_and_does_not_fetch_what_it_has_stored(
    dev: DagsterDev, theta: SandboxTheta
) -> None:
    run_id = held_up(dev, KILLED)
    asked = len(theta.requests)

    process = dev.process_of(run_id)
    assert process is not None
    os.kill(process, signal.SIGKILL)

    assert finished(dev, run_id) == "FAILURE"
    dev.wait_for(lambda: retries_of(dev, run_id))
    (retry,) = retries_of(dev, run_id)
    assert finished(dev, retry.run_id) == "SUCCESS"
    assert states(dev, KILLED) == ["stored", "stored", "stored"]
    assert set(asked_days(theta, asked)) == {KILLED[1]}
    assert dev.project.temp_files() == []


def test_after_a_power_cut_the_history_is_there_and_the_run_is_ended_and_retried(
    dev: DagsterDev, theta: SandboxTheta
) -> None:
    run_id = held_up(dev, CUT_OFF)
    before = dev.grid()
    asked = len(theta.requests)

    dev.cut_the_power()
    assert states(dev, CUT_OFF) == ["stored", "in progress", "stored"], "nobody was left to say otherwise"
    dev.start()

    dev.wait_for(lambda: dev.grid()["green"] >= before["green"])  # its retry may be at its days again by now
    assert finished(dev, run_id) == "FAILURE"
    dev.wait_for(lambda: retries_of(dev, run_id))
    (retry,) = retries_of(dev, run_id)
    assert finished(dev, retry.run_id) == "SUCCESS"
    assert states(dev, CUT_OFF) == ["stored", "stored", "stored"]
    assert set(asked_days(theta, asked)) == {CUT_OFF[1]}
    assert dev.project.temp_files() == []
    assert slots(dev) == []
    with dev.project.instance() as instance:
        (ended_by,) = (
            entry.message
            for entry in instance.all_logs(run_id)
            if entry.dagster_event_type == dg.DagsterEventType.PIPELINE_FAILURE
        )
    assert "what it had stored is kept" in ended_by


def test_each_day_was_materialized_once_per_run_that_was_planned_for_it(dev: DagsterDev) -> None:
    with dev.project.instance() as instance:
        recorded = Counter(record.partition_key for record in instance.fetch_materializations(ASSET, limit=100).records)
    assert recorded == Counter(
        [*FILLED, STOPPED[0], STOPPED[2], *KILLED, KILLED[0], KILLED[2], *CUT_OFF, CUT_OFF[0], CUT_OFF[2]]
    )


def test_the_daemon_had_no_error_of_its_own(dev: DagsterDev) -> None:
    said = [line for line in dev.log.read_text().splitlines() if "dagster.daemon" in line]

    assert any("interrupted_runs" in line for line in said)
    assert [line for line in said if "ERROR" in line or "error" in line] == []


def test_a_signal_at_any_instant_ends_the_command_and_its_run_and_turns_no_day_red(dev: DagsterDev) -> None:
    """Twenty instants from the start of the process to the first stored day, each signal at every other one.

    Two of five start from nothing, the others with their libraries loaded.

    Each has days of its own, one of which cannot be stored.
    """
    first, *others = (SIGNALLED[n * OF_ONE_SIGNAL :][:OF_ONE_SIGNAL] for n in range(INSTANTS + 1))
    ways = (dev.project.start_executable, dev.project.start)  # from nothing, and with the libraries loaded
    until_first_day = []
    for start in ways:
        started = time.monotonic()
        command = start("backfill", DATASET, *span(first), "--only", "all")
        command.wait_for(lambda command=command: len(command.stored_days()) >= 1)
        until_first_day.append(time.monotonic() - started)
        command.end(signal.SIGTERM)

    signals = (signal.SIGINT, signal.SIGTERM) * INSTANTS
    for n, (number, days) in enumerate(zip(signals, others, strict=False)):
        way = int(n % FROM_NOTHING > 1)
        command = ways[way]("backfill", DATASET, *span(days))
        seconds = until_first_day[way] * n / INSTANTS
        time.sleep(seconds)  # the instant itself: nothing is expected to have happened by then
        ended = command.end(number)
        assert ended.returncode in (1, -number), (seconds, ended.stderr)
        with dev.project.instance() as instance:
            assert {run.status.value for run in instance.get_runs()} <= FINISHED, (seconds, ended.stderr)
            assert slots_held(instance) == [], (seconds, ended.stderr)
        assert set(states(dev, days)) <= {"stored", "missing"}, (seconds, ended.stderr)

    assert dev.project.run("backfill", DATASET, *span(first)).returncode == 0
    assert set(states(dev, first)) == {"stored"}


def test_a_run_of_the_command_is_executed_again_from_the_ui(dev: DagsterDev) -> None:
    assert dev.project.run("backfill", DATASET, *span(AGAIN)).returncode == 0
    with dev.project.instance() as instance:
        run = instance.get_runs(limit=1)[0]
    assert run.asset_selection == {ASSET}

    again = dev.reexecute(run.run_id)

    assert finished(dev, again) == "SUCCESS"
    assert of_days(AGAIN[0], AGAIN[-1]).items() <= run_of(dev, again).tags.items()
    with dev.project.instance() as instance:
        assert Counter(recorded(instance))[AGAIN[0]] == 2


def backfill_of_job(dev: DagsterDev, job: str, op: str) -> str:
    """Launch a job, let the daemon work off what it asks for, and say how that ended."""
    chosen = {"datasets": [DATASET], "first_day": BY_JOBS[0], "last_day": BY_JOBS[-1]}
    assert finished(dev, dev.launch_job(job, {"ops": {op: {"config": chosen}}})) == "SUCCESS"
    with dev.project.instance() as instance:
        (asked,) = [each for each in instance.get_backfills() if each.tags.get("data_assets/job") == job]
    dev.wait_for(lambda: dev.backfill_status(asked.backfill_id) not in ("REQUESTED", "FAILING"))
    return dev.backfill_status(asked.backfill_id)


def test_the_daemon_works_off_what_jobs_ask_for_and_its_runs_are_logged(dev: DagsterDev) -> None:
    assert backfill_of_job(dev, "catch_up", "days_to_catch_up") == "COMPLETED_FAILED"
    assert states(dev, BY_JOBS) == ["stored", "failed"]
    assert backfill_of_job(dev, "retry_failed", "days_to_retry") == "COMPLETED_SUCCESS"
    assert states(dev, BY_JOBS) == ["stored", "stored"]

    logs = dev.project.folder / ".state" / "logs"
    everything, errors = (
        [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.open()]
        for folder in (logs, logs / "errors")
    )
    of_days = [(each["day"], each["what"].split(":")[0].split(",")[0]) for each in everything if each["day"] in BY_JOBS]
    assert of_days == [(BY_JOBS[1], "Rejected"), (BY_JOBS[0], "Stored"), (BY_JOBS[1], "Stored")]
    assert [each["day"] for each in errors if each["what"].startswith("Rejected") and each["day"] in BY_JOBS] == [
        BY_JOBS[1]
    ]
    assert sum("run begins, asked for by backfill" in each["what"] for each in everything) >= 2


def test_the_daemon_of_a_service_goes_on_asking_when_its_code_server_has_ended(theta: SandboxTheta, tmp_path: Path):
    def last_answer() -> float:
        """When a sensor, asked by the daemon, last gave an answer."""
        with service.project.instance() as instance:
            sensors = {each.instigator_name: each for each in instance.all_instigator_state()}
            if (sensor := sensors.get("interrupted_runs")) is None:
                return 0
            ticks = instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=10)
        return max((tick.timestamp for tick in ticks if tick.status in ANSWERS), default=0)

    service = DagsterDev(Project(tmp_path / "project", **live(theta.base_url)), options=[RESTARTS])
    try:
        service.start()
        service.wait_for(last_answer)
        service.end_the_code_servers()
        ended = time.time()
        service.wait_for(lambda: last_answer() > ended)
    finally:
        service.cut_the_power()
