"""A run that is started again: what the run before it stored is recorded once more, and not fetched."""

from __future__ import annotations

import sys

from data_assets.orchestration.day_states import DayState
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    DATASET,
    asked_days,
    document,
    recorded,
    run_statuses,
    sessions,
    span,
)

TRIES = 4

REEXECUTE = """
from dagster import AssetKey
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from data_assets.cli.project import definitions, enter_project, open_instance

enter_project()
with open_instance() as instance:
    (parent,) = instance.get_runs()
    asset = AssetKey(["theta", "option_quotes", "QQQ"])
    job = definitions().resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={asset}, asset_check_selection=set()
    )
    run = instance.create_run_for_job(
        job,
        tags=parent.tags,
        parent_run_id=parent.run_id,
        root_run_id=parent.run_id,
        asset_selection=frozenset({asset}),
    )
    execute_run(InMemoryJob(job), run, instance)
"""


def test_a_reexecuted_run_asks_only_for_what_its_parent_did_not_store(theta, live_project):
    days = sessions("2024-01-02", 5)
    server = theta(faults=[Fault(kind="cut", day=days[2], times=TRIES)])
    project = live_project(server)
    parent = project.run("backfill", DATASET, *span(days), "--json")
    assert (parent.returncode, list(document(parent)["not_stored"])) == (1, [days[2]]), parent.stderr
    requests_of_parent = len(server.requests)

    retry = project.start_program(sys.executable, "-c", REEXECUTE).end()

    assert retry.returncode == 0, retry.stderr
    assert set(asked_days(server, requests_of_parent)) == {days[2]}
    assert set(project.states(days).values()) == {DayState.STORED}
    with project.instance() as instance:
        assert run_statuses(instance) == ["FAILURE", "SUCCESS"]
        assert sorted(recorded(instance)) == sorted([*days, *days[:2], *days[3:]])
    assert project.run("verify", DATASET).returncode == 0
