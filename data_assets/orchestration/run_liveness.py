"""Runs whose process died: found, ended, and their vendor's slot given back.

Here: when a run says that it is alive, and what to do when its process is gone. Not here: what runs do, and how it is
said.

Dagster notices that a run's process was killed only while the code server that started it lives. After a power cut, or
when all of them were killed together, the run would count as started, its days as in progress and its pool slot as
held, for ever. So a run says that it lives from before it waits for a slot until its process ends, however it ends, and
the command (at its start) and a sensor (every half minute) end the runs of which nobody says so. How it is said depends
on where the history is: see `coordination`. Days that such a run had stored stay.

A run that the daemon starts again ends as failed, which is what makes it do so. One that nobody does, such as the
command's, ends as canceled: what it had not stored is as it was before, and no day turns red that nobody asked for.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any

import dagster as dg

from data_assets.lake.errors import LakeUnusable
from data_assets.orchestration.alerts import run_broke_off, send_alert
from data_assets.orchestration.coordination import Coordination, coordination_of
from data_assets.orchestration.dataset import datasets_of_this_process
from data_assets.orchestration.integrity import damaged_days
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.log_lines import logged_if_it_fails, write_line
from data_assets.orchestration.partitions import partition_keys
from data_assets.orchestration.patient_history import wait_for_the_history
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.wiring import open_lake

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,  # its days count as in progress already
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def run_heartbeat(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Say that a run lives in this process, from before it is created until after it has ended.

    Where that end could not be written, as on a full disk, its lock file stays, held by nobody: so the next command
    finds that it is dead, and need not wait for it.
    """
    coordination = coordination_of(instance)
    coordination.hold(run_id)
    try:
        yield
    except Exception:
        coordination.abandon(run_id)
        raise
    except BaseException:
        coordination.forget(run_id)
        raise
    coordination.forget(run_id)


def _let_go_of_ended_runs(instance: dg.DagsterInstance, coordination: Coordination) -> None:
    """A process that executes one run after another, as Celery's do, would hold every one of them until its end."""
    for run_id in coordination.held():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            coordination.forget(run_id)
        else:  # its end could not be written
            coordination.abandon(run_id)


class _LivingRuns(dg.Executor):
    """Executes a run in its own process, once the run's lock says that it lives."""

    def __init__(self, in_process: Any) -> None:
        self._in_process = in_process

    @property
    def retries(self) -> Any:
        return self._in_process.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        wait_for_the_history(plan_context.instance)
        coordination = coordination_of(plan_context.instance)
        if plan_context.run_id not in (held := coordination.held()):  # the command's is, from before its creation
            if held:
                _let_go_of_ended_runs(plan_context.instance, coordination)
            coordination.hold(plan_context.run_id)
        # Not let go of here: the run's end is written after this, and until then it must count as alive.
        try:
            yield from self._in_process.execute(plan_context, execution_plan)
        except Exception:  # of the run history: a step's own is an event
            with suppress(Exception):
                coordination.abandon(plan_context.run_id)  # the process may go on with other runs, as Celery's do
            raise


@dg.executor(name="in_process", config_schema=dg.in_process_executor.config_schema)  # type: ignore[call-overload]
def in_living_process(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's in-process executor, for runs that can be told apart from those whose process died."""
    return _LivingRuns(dg.in_process_executor.executor_creation_fn(context))  # type: ignore[misc]


def end_interrupted_runs(instance: dg.DagsterInstance, *, patient: bool = False) -> list[str]:
    """End every run whose process is gone and free its pool slot; returns the ids of the runs ended.

    While the lake is not there nobody can tell which of their days are damaged: they are ended once it is.

    Args:
        instance: where the runs are recorded.
        patient: see `Coordination.is_gone`.
    """
    ended = []
    coordination = coordination_of(instance)
    unfinished = instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED))
    for record in unfinished:
        if not coordination.is_gone(record, patient=patient):
            continue
        run = instance.get_run_by_id(record.dagster_run.run_id)
        if run is None or run.status not in _UNFINISHED:
            continue  # it ended by itself between the two looks
        try:
            refuse_absent_lake(instance, open_lake())
        except LakeUnusable:
            break
        text = "the process of this run was killed, or its machine stopped; what it had stored is kept"
        end_without_a_process(instance, run, text)
        coordination.forget(run.run_id)
        _tell(instance, run, text)
        ended.append(run.run_id)
    coordination.forget_all_but([record.dagster_run.run_id for record in unfinished])
    return ended


def _tell(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """Tell a person of a run that nobody wanted to end."""
    if run.status == dg.DagsterRunStatus.CANCELING:
        return
    message = run_broke_off(_about(run), run.run_id, why)
    send_alert(message, lambda warning: instance.report_engine_event(warning, run))


def _about(run: dg.DagsterRun) -> str:
    return ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())) or run.job_name


def end_without_a_process(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """End a run that nothing executes any more, and free its slot.

    Args:
        instance: where it is recorded.
        run: as it stands now, unfinished.
        why: for its log, in one line.
    """
    wanted_gone = run.status == dg.DagsterRunStatus.CANCELING
    level = logging.WARNING if wanted_gone else logging.ERROR
    write_line(level, f"broke off: {why}", dataset=_about(run), run=run.run_id)
    if wanted_gone or (_nobody_starts_it_again(run) and not _would_hide_damage(instance, run)):
        instance.report_run_canceled(run, message=why)
    else:
        instance.report_run_failed(run, message=why)
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _nobody_starts_it_again(run: dg.DagsterRun) -> bool:
    return run.tags.get("dagster/max_retries") == "0"


def _would_hide_damage(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a day of the run was stored once and is damaged, or nobody can tell: such a day must not turn green."""
    names = [key.to_user_string() for key in run.asset_selection or ()]
    dataset = datasets_of_this_process.get(names[0]) if len(names) == 1 else None
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if dataset is None or first is None or last is None:
        return True
    keys = partition_keys(date.fromisoformat(first), date.fromisoformat(last), partitions=dataset.partitions)
    try:
        return bool(damaged_days(instance, dataset, open_lake(), map(date.fromisoformat, keys)))
    except LakeUnusable:  # the settings name a new lake by now, and the days were stored in another; or it is closed
        return True


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
@logged_if_it_fails
def interrupted_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look once for runs whose process is gone; fails, to be seen, in an instance of the other profile."""
    refuse_foreign_history(context.instance)
    ended = end_interrupted_runs(context.instance, patient=True)
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every run's process is alive")
