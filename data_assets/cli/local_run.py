"""Running an asset over a range of days in this process, as a run that the UI shows.

Here: the one way in which the command runs an asset, and waiting for its turn. Not here: which days, and what to do
with the result.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import dagster as dg

from data_assets.cli.project import definitions
from data_assets.ingest.dagster_runs import end_interrupted_runs, living_run

LOOK_AGAIN_SECONDS = 1.0


def run_range(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    first: str,
    last: str,
    *,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run an asset over the trading days from `first` to `last`; a failed run is a result, not an exception."""
    run_id = str(uuid4())
    job = definitions().resolve_implicit_global_asset_job_def()
    # The asset's step evaluates the checks of each day itself; steps for them would do it twice.
    job = job.get_subset(asset_selection={asset_key}, asset_check_selection=set())
    with living_run(instance, run_id):
        return job.execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
                "dagster/max_retries": "0",  # the daemon could not start it again: it comes from no code location
                **(tags or {}),
            },
            # The command says what happens; Dagster's own console log would run through it.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def wait_for_the_account(instance: dg.DagsterInstance, asset_key: dg.AssetKey, say: Callable[[str], object]) -> None:
    """Wait until no run holds the vendor's slot; to be called before `run_range`.

    A run that is started while another holds it waits too, but Dagster's in-process executor spins meanwhile, and no
    signal reaches it.

    Args:
        instance: where the slots are counted.
        asset_key: the dataset; the first part of its key is the vendor.
        say: told once, in one line, if there is a wait.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    pool, said = asset_key.path[0], False
    with _signals_noted() as noted:
        while holders := {slot.run_id for slot in instance.event_log_storage.get_concurrency_info(pool).claimed_slots}:
            if not said:
                said = True
                say(f"waiting for run {', '.join(sorted(holders))}: one at a time uses the {pool} account")
            time.sleep(LOOK_AGAIN_SECONDS)
            if noted:
                break
            end_interrupted_runs(instance)


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """The signals to stop that have come; raises ``KeyboardInterrupt`` at the end if one has.

    Python's own handler raises in any line, and where that is a callback of the garbage collector or of the database's
    pool, the exception is printed there and the wait goes on. Who ignores a signal goes on ignoring it.
    """
    noted: list[int] = []
    heeded = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) not in (None, signal.SIG_IGN)
    }
    for number in heeded:
        signal.signal(number, lambda number, _frame: noted.append(number))
    try:
        yield noted
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
    if noted:
        raise KeyboardInterrupt
