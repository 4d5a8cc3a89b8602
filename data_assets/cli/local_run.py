"""Running an asset over a range of days in this process, as a run that the UI shows.

Here: the one way in which the command runs an asset. Not here: which days, and what to do with the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import dagster as dg

from data_assets.cli.project import definitions
from data_assets.ingest.dagster_runs import ownership


def run_range(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, first: str, last: str, tags: Mapping[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run an asset over the trading days from `first` to `last`; a failed run is a result, not an exception."""
    run_id = str(uuid4())
    job = definitions().resolve_implicit_global_asset_job_def()
    # The asset's step evaluates the checks of each day itself; steps for them would do it twice.
    return job.get_subset(asset_selection={asset_key}, asset_check_selection=set()).execute_in_process(
        instance=instance,
        run_id=run_id,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            **ownership(run_id),
            "dagster/max_retries": "0",  # the daemon could not start it again: it comes from no code location
            **(tags or {}),
        },
        # The command says what happens; Dagster's own console log would run through it.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
