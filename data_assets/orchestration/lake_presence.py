"""Whether the lake in which the recorded days were stored is there: its disk may not be plugged in, or be another one.

Here: the refusal, and what decides how such a run ends. Not here: the lake's own marker (`lake`), and single days whose
file is missing (`integrity`).

If a disk is not plugged in, its mount point is an empty folder, or one in which somebody once began a lake. If that
were taken for the lake, every day would count as lost and turn red, and a backfill would fill the wrong disk. So the
record of a day holds the identity of its lake, from the lake's marker. If days are recorded as stored in a place that
now has no marker, or one with another identity, nothing is read, written or recorded. A lake without recorded days is a
new one.

Judgements: only the newest record of each dataset counts, so a lake is forgotten once all datasets have moved to
another; records of earlier versions hold no identity and accept any marker until the dataset's next day is stored; and
the vendor's own files (Polygon's cache) do not make a lake, since they come and go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import dagster as dg

from data_assets.lake.errors import LakeNotThere, passed_over
from data_assets.lake.lake import Lake
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dataset import MarketDataset, datasets_of_this_process

LAKE = "lake"
"""Metadata of a stored day: the identity of the lake that it was stored in."""


def refuse_absent_lake(instance: dg.DagsterInstance, lake: Lake, dataset: MarketDataset | None = None) -> None:
    """Refuse a lake that is not there, unless it is a new one.

    Args:
        instance: where days are recorded.
        lake: the lake of the settings.
        dataset: a dataset whose folder has to be usable too.

    Raises:
        LakeNotThere: days are recorded as stored in it, but it has no marker, or that of another lake; or the dataset's
            folder is a broken link. The text says what to do.
        LakeUnusable: the disk or the object store does not answer, or the folder may not be read.
    """
    there = lake.is_there()
    recorded = _recorded_here(instance, lake)
    identities = [identity for identity in recorded if identity is not None]
    if recorded and not there:
        lake.check_there(identities[0] if identities else None)
    if identities and lake.identity() not in identities:
        raise LakeNotThere(lake.is_another(identities[0]))
    if there and dataset is not None:
        lake.check_dataset(dataset.name)


def _recorded_here(instance: dg.DagsterInstance, lake: Lake) -> list[str | None]:
    """Return the identity of the lake of each dataset's newest day, if that was stored here; None for old records."""
    datasets = {each.asset_key: each for each in datasets_of_this_process.values()}
    found = []
    for record in instance.get_asset_records(list(datasets)):
        newest = record.asset_entry.last_materialization
        stored = newest.asset_materialization if newest else None
        if stored is None or not _lies_in(lake, stored):
            continue
        identity = _identity(stored)
        if identity is None and not _in_lake(datasets[record.asset_entry.asset_key], lake, stored):
            continue
        found.append(identity)
    return found


def _in_lake(dataset: MarketDataset, lake: Lake, stored: dg.AssetMaterialization) -> bool:
    day = date.fromisoformat(stored.partition or "")
    return dataset.files.held(lake, day, day, passed_over) is not None


def _identity(stored: dg.AssetMaterialization) -> str | None:
    return str(stored.metadata[LAKE].value) if LAKE in stored.metadata else None


def _lies_in(lake: Lake, stored: dg.AssetMaterialization) -> bool:
    return "path" in stored.metadata and str(stored.metadata["path"].value).startswith(f"{lake.url.rstrip('/')}/")


def stored_elsewhere(record: dg.EventLogRecord, lake: Lake) -> str | None:
    """Return where a day was stored if that is another lake, by its record and the lake's marker; else None."""
    stored = record.asset_materialization
    if stored is None or "path" not in stored.metadata:
        return None
    identity = _identity(stored)
    same = _lies_in(lake, stored) if identity is None else identity == lake.identity()
    return None if same else str(stored.metadata["path"].value)


def red_before(instance: dg.DagsterInstance, dataset: MarketDataset, days: Iterable[date], run_id: str) -> list[date]:
    """Find those of `days` that were stored and failed in a later attempt, not counting that of the run `run_id`.

    A canceled run would give them the colour of the stored file, and nobody would see that they are damaged.
    """
    red = []
    for day in days:
        stored = latest_materialization(instance, dataset.asset_key, day.isoformat())
        if stored is None:
            continue
        attempts = instance.fetch_observations(
            dg.AssetRecordsFilter(
                asset_key=dataset.asset_key,
                asset_partitions=[day.isoformat()],
                after_storage_id=stored.storage_id,
            ),
            limit=100,
        ).records
        if any(each.run_id != run_id for each in attempts):
            red.append(day)
    return red
