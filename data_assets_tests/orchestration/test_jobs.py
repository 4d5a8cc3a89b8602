"""The jobs that a person launches: the backfills that they ask the daemon for, and what those run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration

from data_assets.cli.local_run import run_range
from data_assets.orchestration.dataset import datasets_of_this_process
from data_assets.orchestration.holes import accept_hole
from data_assets.orchestration.partitions import RANGE_END, RANGE_START
from data_assets.orchestration.verify_run import VERIFY
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import ASSET, QUIET, InProcess, flip_a_byte, in_process_project

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]
STORED, FAILED, MISSING, HOLE, OTHER = DAYS
QQQ = ASSET.to_user_string()
OPS = {"catch_up": "days_to_catch_up", "retry_failed": "days_to_retry", "verify": "days_to_verify"}
JULY = {"datasets": [QQQ], "first_day": DAYS[0], "last_day": DAYS[-1]}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    """A day stored, one failed, one missing, one accepted as a hole, and one stored."""
    with in_process_project(tmp_path, faults=[Fault(kind="renamed_column", day=FAILED, times=1)]) as project:
        assert not run_range(project.instance, ASSET, STORED, FAILED).success
        assert run_range(project.instance, ASSET, OTHER, OTHER).success
        accept_hole(project.instance, datasets_of_this_process[QQQ], HOLE, "lost")
        yield project


def launch(project: InProcess, job: str, **chosen: Any) -> dg.JobExecutionResult:
    """Run a job as a run's own process does: found again through the code location."""
    location = ReconstructableRepository.for_module("data_assets.definitions", "defs")
    return dg.execute_job(
        location.get_reconstructable_job(job),
        instance=project.instance,
        run_config={"ops": {OPS[job]: {"config": chosen}}, **QUIET},
    )


def asked(project: InProcess) -> dict[str, list[str]]:
    """The days of each dataset that backfills were asked for."""
    found: dict[str, list[str]] = {}
    for backfill in project.instance.get_backfills():
        data = backfill.asset_backfill_data
        assert data is not None
        for key in data.target_subset.asset_keys:
            subset = data.target_subset.get_partitions_subset(key)
            found.setdefault(key.to_user_string(), []).extend(sorted(subset.get_partition_keys()))
    return found


def test_catching_up_asks_for_what_is_missing_or_failed(project: InProcess) -> None:
    ended = launch(project, "catch_up", **JULY)

    assert ended.success
    assert asked(project) == {QQQ: [FAILED, MISSING]}
    (backfill,) = project.instance.get_backfills()
    assert backfill.title == f"catch_up {QQQ}"
    assert backfill.tags["data_assets/job"] == "catch_up"


def test_a_retry_asks_for_what_failed_alone_of_all_datasets(project: InProcess) -> None:
    assert launch(project, "retry_failed").success
    assert asked(project) == {QQQ: [FAILED]}


def test_the_daemon_makes_runs_that_verify(project: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    flip_a_byte(project.file(OTHER))
    assert launch(project, "verify", datasets=["theta"], first_day="2024-07").success

    assert asked(project) == {QQQ: [STORED, FAILED, OTHER]}
    location = "{module_name: data_assets.definitions, location_name: data_assets}"
    workspace = project.folder / "workspace.yaml"
    workspace.write_text(f"load_from: [python_module: {location}]\n")
    with create_test_daemon_workspace_context(WorkspaceFileTarget([str(workspace)]), project.instance) as there:
        errors = [error for error in execute_backfill_iteration(there, logging.getLogger(__name__)) if error]
    assert errors == []
    (backfill,) = project.instance.get_backfills()
    runs = project.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill.backfill_id}))
    assert sorted((run.tags[RANGE_START], run.tags[RANGE_END]) for run in runs) == [(STORED, FAILED), (OTHER, OTHER)]
    assert {run.tags[VERIFY] for run in runs} == {"true"}


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"datasets": ["thetta"]}, "no dataset matches 'thetta'; what there is: ib/bars_1m/AAPL"),
        ({"first_day": "July"}, "'July' is not a date: write it as YYYY-MM-DD"),
        ({"first_day": "2024-07-08", "last_day": "2024-07-01"}, "swap them"),
    ],
)
def test_a_wrong_choice_is_one_line_and_asks_for_nothing(project: InProcess, chosen: dict[str, Any], said: str) -> None:
    ended = launch(project, "catch_up", **chosen)

    assert not ended.success
    (failed,) = ended.filter_events(lambda event: event.is_step_failure)
    failure = failed.step_failure_data
    assert failure.user_failure_data is not None
    assert said in (failure.user_failure_data.description or "")
    assert project.instance.get_backfills() == []


def test_with_nothing_to_do_it_says_so(project: InProcess) -> None:
    ended = launch(project, "retry_failed", datasets=["ib"])
    assert ended.success
    assert "no day was to be asked for" in project.messages(ended.run_id)
