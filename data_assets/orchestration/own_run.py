"""A run of this process that the UI knows like one of its own; it takes parts of Dagster that are not public.

`JobDefinition.execute_in_process`, the public way, stores no selection and no code location with the run: its target is
empty in the list of runs, the asset's page does not know it, and *Re-execute* ends in a traceback.

Here: creating and executing such a run, a line of its log that has metadata, and what Dagster prints where such a line
cannot be written. Not here: which asset and which days, and how it is stopped (`cli.local_run`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import dagster as dg

from data_assets.orchestration.dagster_private import (
    EngineEventData,
    InMemoryJob,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    create_execution_plan,
    execute_run,
    location_origins_from_yaml_paths,
    snapshot_from_execution_plan,
)
from data_assets.orchestration.log_lines import write_line
from data_assets.orchestration.patient_history import make_pools_beside_others
from data_assets.project import project_folder


def execute_as_run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    run_id: str,
    asset_selection: set[dg.AssetKey],
    tags: Mapping[str, str],
    run_config: Mapping[str, Any],
) -> dg.JobExecutionResult:
    """Create a run of `asset_selection`, without checks of its own, and execute it here until its end.

    Args:
        job: the implicit job of all assets, cut down to the selection.
        instance: where the run is recorded.
        run_id: the id it gets.
        asset_selection: what it materializes.
        tags: of the run.
        run_config: as for any run.
    """
    make_pools_beside_others(instance)  # an ephemeral job has Dagster's own executor, which does not
    here = job.as_ephemeral_job(resource_defs={}, input_values={})
    plan = create_execution_plan(here, run_config, instance_ref=instance.get_ref(), tags=tags)
    run = instance.create_run(
        job_name=job.name,
        run_id=run_id,
        run_config=run_config,
        status=None,
        tags=tags,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=None,
        execution_plan_snapshot=snapshot_from_execution_plan(plan, here.get_job_snapshot_id()),
        job_snapshot=here.get_job_snapshot(),
        parent_job_snapshot=here.get_parent_job_snapshot(),
        asset_selection=asset_selection,
        asset_check_selection=frozenset(),
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=_origin(job.name),
        job_code_origin=None,
        asset_graph=here.asset_layer.asset_graph,
    )
    return execute_run(InMemoryJob(here), run, instance)


def report_summary(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    dataset: str,
    text: str,
    metadata: Mapping[str, str | int | float],
) -> None:
    """Write a line with metadata into a run's log; a log call has no place for them, and an observation is an asset's.

    Args:
        instance: where the run is recorded.
        run: the run.
        dataset: the name of what it is about.
        text: one line.
        metadata: shown with it.
    """
    instance.report_engine_event(f"{dataset}: {text}", run, EngineEventData(metadata=dict(metadata)))
    write_line(logging.INFO, text, dataset=dataset, run=run.run_id)


@contextmanager
def unwritten_events_unsaid() -> Iterator[None]:
    """Keep off stderr what Dagster prints there about an event that it could not write.

    It prints SQL of many lines, and then raises the error, or writes it into the run's log: nothing goes unsaid.
    """
    before = sys.stderr
    sys.stderr = _WithoutUnwrittenEvents(before)
    try:
        yield
    finally:
        sys.stderr = before


class _WithoutUnwrittenEvents:
    """A stream that drops those texts, each of which comes in one call."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if text.startswith("Exception while writing logger call to event log"):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _origin(job: str) -> RemoteJobOrigin | None:
    """Where the UI finds the job: the project's code location; None where no workspace file names one."""
    workspace = project_folder() / "workspace.yaml"
    if not workspace.is_file():
        return None
    location = location_origins_from_yaml_paths([str(workspace)])[0]
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
