"""Running an asset over a range of days in this process, as a run that the UI shows.

Here: the one way in which the command runs an asset. Not here: which days, and what to do with the result.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from data_assets.cli.project import definitions
from data_assets.ingest.dagster_runs import this_process


def run_range(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, first: str, last: str, tags: Mapping[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run an asset over the trading days from `first` to `last`; a failed run is a result, not an exception."""
    job = definitions().resolve_implicit_global_asset_job_def()
    # The asset's step evaluates the checks of each day itself; steps for them would do it twice.
    return job.get_subset(asset_selection={asset_key}, asset_check_selection=set()).execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            **this_process(),
            **(tags or {}),
        },
        # The command says what happens; Dagster's own console log would run through it.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
