"""Running an asset over a range of days in this process, as a run that the UI shows.

Here: the one way in which the command runs an asset, and waiting for its turn. Not here: which days, and what to do
with the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from uuid import uuid4

import dagster as dg

from data_assets.cli.project import definitions
from data_assets.ingest.stop_request import StopRequest, signals_as_request, stop_request
from data_assets.ingest.waiting import Wait, local_now
from data_assets.orchestration.own_run import execute_as_run, unwritten_events_unsaid
from data_assets.orchestration.run_liveness import end_interrupted_runs, end_without_a_process, run_heartbeat

LOOK_AGAIN_SECONDS = 1.0


def run_range(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    first: str,
    last: str,
    *,
    tags: Mapping[str, str] | None = None,
) -> dg.JobExecutionResult:
    """Run an asset over the trading days from `first` to `last`; a failed run is a result, not an exception.

    Told to stop at whatever instant, the run ends as canceled before this raises: its open days are as they were.

    Raises:
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came.
        sqlalchemy.exc.OperationalError: the run history takes nothing more; the run may be left without an end, which
            the next command gives it.
    """
    run_id = str(uuid4())
    work = partial(_create_and_execute, instance, run_id, asset_key, first, last, tags or {})
    with (
        signals_as_request() as request,
        run_heartbeat(instance, run_id),
        _asked_through(request),
        unwritten_events_unsaid(),
        futures.ThreadPoolExecutor(1, "run") as beside,  # in the main thread Dagster would take the signals for itself
    ):
        run = beside.submit(copy_context().run, work)
        try:
            # A signal that comes as this thread falls asleep wakes nobody, and its handler runs in this thread alone.
            while not futures.wait([run], LOOK_AGAIN_SECONDS).done:
                pass
            return run.result()
        finally:
            _end_if_it_has_no_end(instance, run_id, request)


def _create_and_execute(
    instance: dg.DagsterInstance, run_id: str, asset_key: dg.AssetKey, first: str, last: str, tags: Mapping[str, str]
) -> dg.JobExecutionResult:
    job = definitions().resolve_implicit_global_asset_job_def()
    # The asset's step evaluates the checks of each day itself; steps for them would do it twice.
    job = job.get_subset(asset_selection={asset_key}, asset_check_selection=set())
    return execute_as_run(
        job,
        instance,
        run_id=run_id,
        asset_selection={asset_key},
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            "dagster/max_retries": "0",  # whoever gave the command decides whether to give it again
            **tags,
        },
        # The command says what happens; Dagster's own console log would run through it.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


@contextmanager
def _asked_through(request: StopRequest) -> Iterator[None]:
    before = stop_request.set(request)
    try:
        yield
    finally:
        stop_request.reset(before)


def _end_if_it_has_no_end(instance: dg.DagsterInstance, run_id: str, request: StopRequest) -> None:
    """End a run that broke off while it was being created or executed, so that it holds no day and no slot back."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        why = "it was told to stop" if request.made else "an error kept it from going on"
        end_without_a_process(instance, run, f"this run of the command broke off: {why}")


def wait_for_the_account(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, show: Callable[[Wait | None], object]
) -> None:
    """Wait until no run holds the vendor's slot; to be called before `run_range`.

    A run that is started while another holds it waits too, but Dagster's in-process executor spins meanwhile, and no
    signal reaches it.

    Args:
        instance: where the slots are counted.
        asset_key: the dataset; the first part of its key is the vendor.
        show: told again and again of the wait while there is one, and then once that there is none.

    Raises:
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came.
    """
    pool, wait = asset_key.path[0], None
    with signals_as_request() as request, ExitStack() as shown:
        while holders := {slot.run_id for slot in instance.event_log_storage.get_concurrency_info(pool).claimed_slots}:
            if wait is None:
                what = f"run {', '.join(sorted(holders))}, which uses the {pool} account (one at a time does)"
                wait = Wait(what, local_now(), "it ends")
                shown.callback(show, None)
            show(wait)
            time.sleep(LOOK_AGAIN_SECONDS)
            if request.made:
                break
            end_interrupted_runs(instance)
