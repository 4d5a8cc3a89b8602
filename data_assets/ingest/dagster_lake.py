"""Whether the lake that a history speaks of is there at all, or its disk is not plugged in.

Here: the refusal, and how a run ends that finds it out. Not here: the lake's own marker (`lake`), and days whose file
alone is missing (`dagster_integrity`).

A disk that is not plugged in leaves an empty folder. Taken for the lake, every day in it would be a lost one and turn
red, and a backfill would fill the wrong disk. So where days are recorded as stored in a lake that now has no marker,
nothing is read, written or recorded. A lake that nothing was recorded in is a new one.

Judgements: the newest record of each dataset tells, so that a lake is forgotten once all datasets have gone on in
another; and the vendor's own files (Polygon's cache) make no lake, since they come and go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import dagster as dg

from data_assets.ingest.dagster_dataset import MarketDataset, datasets_of_this_process
from data_assets.lake.lake import Lake
from data_assets.quality.asset_checks import latest_materialization


def refuse_absent_lake(instance: dg.DagsterInstance, lake: Lake) -> None:
    """Go on only if the lake is there, or is a new one.

    Raises:
        LakeNotThere: days are recorded as stored in it, and it has no marker; the text says what to do.
        LakeUnusable: the disk or the object store does not say.
    """
    if not lake.is_there() and _holds_recorded_days(instance, lake):
        lake.check_there()


def _holds_recorded_days(instance: dg.DagsterInstance, lake: Lake) -> bool:
    root, datasets = f"{lake.url.rstrip('/')}/", {each.asset_key: each for each in datasets_of_this_process.values()}
    for record in instance.get_asset_records(list(datasets)):
        newest = record.asset_entry.last_materialization
        stored = newest.asset_materialization if newest else None
        if stored is None or stored.partition is None or "path" not in stored.metadata:
            continue
        dataset, day = datasets[record.asset_entry.asset_key], date.fromisoformat(stored.partition)
        if str(stored.metadata["path"].value).startswith(root) and dataset.files.held(lake, day, day) is not None:
            return True
    return False


def red_before(instance: dg.DagsterInstance, dataset: MarketDataset, days: Iterable[date], run_id: str) -> list[date]:
    """Those of `days` that were stored once and did not store at a later try, that of the run `run_id` left out.

    A run that is canceled gives them the colour of the stored one, and nobody would see that they are damaged.
    """
    red = []
    for day in days:
        stored = latest_materialization(instance, dataset.asset_key, day.isoformat())
        if stored is None:
            continue
        tries = instance.fetch_observations(
            dg.AssetRecordsFilter(
                asset_key=dataset.asset_key,
                asset_partitions=[day.isoformat()],
                after_storage_id=stored.storage_id,
            ),
            limit=100,
        ).records
        if any(each.run_id != run_id for each in tries):
            red.append(day)
    return red
