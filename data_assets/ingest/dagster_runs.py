"""Runs whose process died: found, ended, and their vendor's slot given back.

Here: who owns a run (host, process, its start), and what to do when the owner is gone. Not here: what runs do.

Dagster notices that a run's process was killed only while the code server that started it lives. After a power cut, or
when all of them were killed together, the run would count as started, its days as in progress and its pool slot as
held, for ever. So a run says which process it is before it waits for a slot, and the command (at its start) and a
sensor (every half minute) end the runs whose process is gone. Days that such a run had stored stay.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

import os
import socket
from collections.abc import Iterator
from typing import Any

import dagster as dg
import psutil

# Dagster keeps tags with this prefix out of its lists of runs: there they would bury what a person looks for.
OWNED_RUN, HOST = ".dagster/data_assets/run", ".dagster/data_assets/host"
PROCESS, PROCESS_STARTED = ".dagster/data_assets/process", ".dagster/data_assets/process_started"

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,  # its days count as in progress already
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def ownership(run_id: str) -> dict[str, str]:
    """The tags by which a run says that it lives in this process.

    They name the run too, because a retry starts with the tags of the run before it, whose process is another one.
    """
    return {
        OWNED_RUN: run_id,
        HOST: socket.gethostname(),
        PROCESS: str(os.getpid()),
        PROCESS_STARTED: _started(psutil.Process()),
    }


def _started(process: psutil.Process) -> str:
    return f"{process.create_time():.2f}"


class _OwnedRuns(dg.Executor):
    """Executes a run in its own process, once the run's tags say which one that is."""

    def __init__(self, in_process: Any) -> None:
        self._in_process = in_process

    @property
    def retries(self) -> Any:
        return self._in_process.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        plan_context.instance.add_run_tags(plan_context.run_id, ownership(plan_context.run_id))
        yield from self._in_process.execute(plan_context, execution_plan)


@dg.executor(name="in_process", config_schema=dg.in_process_executor.config_schema)  # type: ignore[call-overload]
def in_owned_process(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's in-process executor, for runs that can be told apart from those whose process died."""
    return _OwnedRuns(dg.in_process_executor.executor_creation_fn(context))  # type: ignore[misc]


def _owner_is_gone(run: dg.DagsterRun) -> bool:
    """Whether the owner was a process of this machine that has ended; unknown and foreign owners count as alive."""
    if run.tags.get(OWNED_RUN) != run.run_id or run.tags[HOST] != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(run.tags[PROCESS]))
        return process.status() == psutil.STATUS_ZOMBIE or _started(process) != run.tags[PROCESS_STARTED]
    except psutil.NoSuchProcess:
        return True


def end_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """End every run whose process is gone and free its pool slot; returns the ids of the runs ended."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if not _owner_is_gone(run):
            continue
        text = (
            "the process of this run ended without a word (killed, or the machine stopped); what it had stored is kept"
        )
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=text)
        else:
            instance.report_run_failed(run, message=text)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def end_as_canceled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Let a run that was interrupted end as canceled, so that its open days are missing again; called before its end.

    Dagster itself does so only after the UI's Terminate. A Ctrl-C, or a service manager's stop, would be a failure and
    turn the days red, although nothing is wrong with them.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == dg.DagsterRunStatus.STARTED:
        instance.report_run_canceling(run, message="a signal (Ctrl-C, or a service manager) told this run to stop")


@dg.sensor(
    name="interrupted_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process was killed, so that their days show as failed and the vendor's slot is free.",
)
def interrupted_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look once for runs whose process is gone."""
    ended = end_interrupted_runs(context.instance)
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every run's process is alive")
