"""The code location: everything Dagster sees.

Here: the one entry point, and the policy over all definitions. Not here: any dataset; those are blocks of YAML in the
project's `defs/`, and the components they name.
"""

from __future__ import annotations

import gc
import sys

import dagster as dg

from data_assets.allocators import give_back_early

give_back_early()

# A code server or a run holds hundreds of thousands of objects; by default Python goes through them again and again.
gc.set_threshold(50_000)

from data_assets.orchestration.coverage_asset import coverage_defs  # noqa: E402
from data_assets.orchestration.dataset import MarketDataset, served_datasets  # noqa: E402
from data_assets.orchestration.day_requests import day_requests, is_requested  # noqa: E402
from data_assets.orchestration.jobs import JOBS  # noqa: E402
from data_assets.orchestration.revision_looks import revision_looks  # noqa: E402
from data_assets.orchestration.run_liveness import in_living_process, interrupted_runs  # noqa: E402
from data_assets.orchestration.standing_checks import missing_days_sensor  # noqa: E402
from data_assets.project import mount_defs, project_folder  # noqa: E402
from data_assets.settings import settings  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks and sensors. A wrong setting or block stops the load and names the variable or the place."""
    settings()
    blocks = sys.modules[mount_defs()]
    return with_policy(dg.ComponentTree.from_module(blocks, project_folder()).build_defs())


def with_policy(blocks: dg.Definitions) -> dg.Definitions:
    """What blocks define, and what holds for all of them."""
    defined = {
        key.to_user_string()
        for each in blocks.assets or ()
        if isinstance(each, dg.AssetsDefinition)
        for key in each.keys
    }
    datasets = [dataset for name, dataset in served_datasets().items() if name in defined]
    requested: dict[str, list[MarketDataset]] = {}
    for dataset in datasets:
        if is_requested(dataset):
            requested.setdefault(dataset.vendor, []).append(dataset)
    revised: dict[str, list[MarketDataset]] = {}
    for dataset in datasets:
        if dataset.revisions is not None:
            revised.setdefault(dataset.vendor, []).append(dataset)
    return dg.Definitions.merge(
        blocks,
        dg.Definitions(sensors=[day_requests(vendor, of_vendor) for vendor, of_vendor in requested.items()]),
        *(revision_looks(vendor, of_vendor) for vendor, of_vendor in revised.items()),
        dg.Definitions(sensors=[missing_days_sensor(datasets)] if datasets else []),
        # One page for all datasets: where several code locations serve some each, the command writes it.
        *([coverage_defs(datasets)] if datasets and not settings().served_vendors else []),
        dg.Definitions(jobs=JOBS),
        # A run's work is one process with many requests in flight; a process per step would only start up twice.
        dg.Definitions(sensors=[interrupted_runs], executor=in_living_process),
    )
