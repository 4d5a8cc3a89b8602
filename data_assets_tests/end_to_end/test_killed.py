"""kill -9, which no process can prepare for: what was recorded stays, the rest is fetched again, nothing hangs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random
from signal import SIGKILL

from data_assets.orchestration.day_states import DayState
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    ASSET,
    DATASET,
    asked_days,
    document,
    recorded,
    run_statuses,
    sessions,
    slots_held,
    span,
)

SEED = 2024_01_02
KILLS = 10
IN_START_UP = 2
MOST_REQUESTS = 7
"""Before a kill, of the 60 of the whole backfill; so that there is something left to do for the tenth."""

DAYS = sessions("2024-01-02", 30)


def without_footer(file: Path) -> bytes:
    """The bytes of a Parquet file up to its footer, which holds the time of fetching."""
    whole = file.read_bytes()
    return whole[: -8 - int.from_bytes(whole[-8:-4], "little")]


def test_a_backfill_killed_ten_times_ends_as_an_undisturbed_one(theta, live_project):
    undisturbed = live_project(theta(), "undisturbed")
    reference = undisturbed.start("backfill", DATASET, *span(DAYS))
    server = theta(bytes_per_second=1_000_000)
    project = live_project(server, "killed", THETA_MAX_CONCURRENT_REQUESTS="2")
    rng = Random(SEED)
    stages = rng.sample([0] * IN_START_UP + [rng.randint(1, MOST_REQUESTS) for _ in range(KILLS - IN_START_UP)], KILLS)

    recorded_at_kill: list[tuple[int, set[str]]] = []
    with project.instance() as instance:
        for requests in stages:
            before, delay = len(server.requests), rng.uniform(0, 0.4 if requests else 3)
            start = project.start if requests else project.start_executable
            command = start("backfill", DATASET, *span(DAYS))
            command.wait_for(lambda before=before, requests=requests: len(server.requests) >= before + requests)
            time.sleep(delay)
            assert not command.ended(), command.lines
            assert command.end(SIGKILL).returncode == -SIGKILL
            recorded_at_kill.append((len(server.requests), set(recorded(instance))))
            print(f"killed {delay:.3f} s after request {requests}: {len(recorded_at_kill[-1][1])} days recorded")
        assert 0 < len(recorded_at_kill[-1][1]) < len(DAYS), "the kills did not meet a backfill at work"

        last = project.run("backfill", DATASET, *span(DAYS), "--json")

        assert (last.returncode, document(last)["not_stored"]) == (0, {}), last.stderr
        for requests_then, days_then in recorded_at_kill:
            assert not days_then & set(asked_days(server, requests_then))
        assert sorted(recorded(instance)) == DAYS
        assert set(run_statuses(instance)) == {"SUCCESS", "CANCELED"}
        assert slots_held(instance) == []
    assert set(project.states(DAYS).values()) == {DayState.STORED}
    assert project.files() == DAYS
    assert project.temp_files() == []

    assert reference.end().returncode == 0
    for day in DAYS:
        assert project.rows(day).equals(undisturbed.rows(day))
        assert project.rows(day).schema == undisturbed.rows(day).schema
        assert without_footer(project.file(day)) == without_footer(undisturbed.file(day))


def test_the_temporary_file_of_a_killed_process_goes_with_the_next_run(theta, live_project):
    """A large day is on disk while it arrives; the server stalls halfway, so that the kill meets it there."""
    (day,) = sessions("2024-01-02", 1)
    project = live_project(theta(contracts=3000, faults=[Fault(kind="stall", times=1)]))
    killed = project.start("backfill", DATASET, *span([day]))
    killed.wait_for(lambda: day in str(project.temp_files()))
    killed.end(SIGKILL)
    (left,) = project.temp_files()
    assert day in left.name
    assert not project.file(day).parent.exists()
    assert project.files() == []

    assert project.run("backfill", DATASET, *span([day])).returncode == 0

    assert project.temp_files() == []
    assert project.files() == [day]


KILLED_BEFORE_IT_STARTED = f"""
import os, signal, uuid
import dagster as dg
from data_assets.cli.project import definitions, enter_project, open_instance
from data_assets.orchestration.run_liveness import run_heartbeat

enter_project()
run_id = str(uuid.uuid4())
job = definitions().resolve_implicit_global_asset_job_def().get_subset(asset_selection={{dg.AssetKey({ASSET.path!r})}})
with open_instance() as instance, run_heartbeat(instance, run_id):
    days = {{"dagster/asset_partition_range_start": "%s", "dagster/asset_partition_range_end": "%s"}}
    instance.create_run_for_job(job, run_id=run_id, tags=days, asset_selection=frozenset(job.asset_selection))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_killed_before_it_started_holds_no_day_back(new_project):
    days = sessions("2024-01-02", 2)
    project = new_project(DATA_ASSETS_SANDBOX_CONTRACTS="8")
    program = KILLED_BEFORE_IT_STARTED % (days[0], days[-1])
    assert project.start_program(sys.executable, "-c", program).end().returncode == -SIGKILL
    with project.instance() as instance:
        assert run_statuses(instance) == ["NOT_STARTED"]
    assert set(project.states(days).values()) == {DayState.IN_PROGRESS}

    ended = project.run("backfill", DATASET, *span(days), "--json")

    assert (ended.returncode, document(ended)["stored"]) == (0, days), ended.stderr
    with project.instance() as instance:
        assert run_statuses(instance) == ["FAILURE", "SUCCESS"]
