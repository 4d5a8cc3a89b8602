"""Runs whose process died: found, ended, and their vendor's slot given back.

Here: who owns a run (host, process, its start), and what to do when the owner is gone. Not here: what runs do.

Dagster's own monitoring cannot tell that a process on this machine was killed: the run would count as started, its days
as in progress and its pool slot as held, for ever. So every ingest run says which process it is, and the command (at
its start) and a sensor (every half minute) end the runs whose process is gone. Days that such a run had stored stay.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

import os
import socket
from collections.abc import Mapping

import dagster as dg
import psutil

HOST, PROCESS, PROCESS_STARTED = "data_assets/host", "data_assets/process", "data_assets/process_started"

_ALIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def this_process() -> Mapping[str, str]:
    """The run tags that name the process a run lives in."""
    process = psutil.Process()
    return {HOST: socket.gethostname(), PROCESS: str(process.pid), PROCESS_STARTED: f"{process.create_time():.2f}"}


def claim_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Write into the run's tags that it lives in this process."""
    instance.add_run_tags(run_id, dict(this_process()))


def _owner_is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the owner was a process of this machine that has ended; unknown and foreign owners count as alive."""
    if tags.get(HOST) != socket.gethostname():
        return False
    pid = int(tags[PROCESS])
    if pid == os.getpid():
        return tags[PROCESS_STARTED] != this_process()[PROCESS_STARTED]
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or f"{process.create_time():.2f}" != tags[PROCESS_STARTED]
    except psutil.NoSuchProcess:
        return True


def end_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """End every run whose process is gone and free its pool slot; returns the ids of the runs ended."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_ALIVE)):
        if not _owner_is_gone(run.tags):
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
