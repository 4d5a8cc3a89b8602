"""The sensor that finds files that the vendor has replaced, and fetches exactly those days again.

Here: comparing the listing with what was recorded for each day. Not here: what a new version does to a stored day
(``day``), and the listing itself (``client``).

The vendor's knowledge base: "a file that is already published can be replaced later". The newest days are compared at
every tick, with one list call for each of their months. The whole history is compared once a month, and again with each
new session until everything is as listed.

A day is requested once per session and version, and not while a run is working on it: after a failed run, the next one
follows on the next trading day, and a vendor that keeps failing is asked no more often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

import dagster as dg

from data_assets.ingest.outcome import IngestError
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, day_states
from data_assets.orchestration.partitions import newest_day, partition_keys
from data_assets.vendors.polygon.client import FlatFileStore, Listed

NEWEST_DAYS = 30
LOOK_SECONDS = 3600
AT_ONCE = 50
"""Runs requested per tick; a day that was left out is found again at the next."""
RUN_KEY_TAG = "dagster/run_key"


def republications(dataset: MarketDataset, store: Callable[[Sequence[date]], FlatFileStore]) -> dg.SensorDefinition:
    """The sensor of one dataset.

    Args:
        dataset: the bars, whose days record the ETag and the size of the file they were taken from.
        store: opens the vendor's files; in the sandbox those of the given days.
    """

    @dg.sensor(
        name="polygon_republications",
        target=[dataset.asset_key],
        minimum_interval_seconds=LOOK_SECONDS,
        description=f"Compares the vendor's listing of the newest {NEWEST_DAYS} trading days, and once a month of all "
        "days, with what was recorded for each stored day, and fetches the days whose file was replaced; again on each "
        "trading day if that failed.",
    )
    def polygon_republications(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        keys = partition_keys(partitions=dataset.partitions)
        # The clock, which goes on where a dataset has a last day.
        session = newest_day().isoformat()
        month = session[:7]
        sweep = context.cursor not in (month, session)
        recorded = recorded_versions(context.instance, dataset, keys if sweep else keys[-NEWEST_DAYS:])
        if not recorded:
            yield dg.SkipReason("no day is stored yet")
            return
        try:
            listing = asyncio.run(store(list(recorded)).listing(min(recorded), max(recorded)))
        except IngestError as error:
            yield dg.SkipReason(str(error))
            return
        replaced = replaced_days(listing, recorded)
        asked_about = [day.isoformat() for day in replaced]
        states = day_states(context.instance, dataset.asset_key, asked_about, dataset.partitions)
        wanted = [day for day in replaced if states[day.isoformat()] is not DayState.IN_PROGRESS]
        run_keys = {day: f"{day} {listing[day].etag} {session}" for day in wanted}
        asked = _with_a_run(context.instance, list(run_keys.values()))
        # Days that were tried in this session keep no other from its turn.
        wanted = [day for day in wanted if run_keys[day] not in asked]
        for day in wanted[:AT_ONCE]:
            yield dg.RunRequest(
                run_key=run_keys[day], asset_selection=[dataset.asset_key], partition_key=day.isoformat()
            )
        if not replaced:
            yield dg.SkipReason(f"{len(recorded)} stored days are as the vendor lists them")
        elif not wanted:
            yield dg.SkipReason(f"replaced files being fetched, or attempted in this session already: {len(replaced)}")
        if sweep and len(wanted) <= AT_ONCE:
            context.update_cursor(session if replaced else month)

    return polygon_republications


def _with_a_run(instance: dg.DagsterInstance, run_keys: list[str]) -> set[str]:
    """Those of the keys that a sensor has started a run for."""
    if not run_keys:
        return set()
    return {run.tags[RUN_KEY_TAG] for run in instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_keys}))}


def recorded_versions(
    instance: dg.DagsterInstance, dataset: MarketDataset, keys: Sequence[str]
) -> dict[date, tuple[str, int]]:
    """The ETag and the size of the file that each stored day was taken from; a look-up each."""
    versions = {}
    stored = instance.get_materialized_partitions(dataset.asset_key)
    for key in keys:
        record = latest_materialization(instance, dataset.asset_key, key) if key in stored else None
        metadata = record.asset_materialization.metadata if record and record.asset_materialization else {}
        version = recorded_version({name: value.value for name, value in metadata.items()})
        if version is not None:
            versions[date.fromisoformat(key)] = version
    return versions


def recorded_version(metadata: Mapping[str, object]) -> tuple[str, int] | None:
    """The ETag and the size of the file that a stored day was taken from, by what was recorded of the day."""
    if "etag" in metadata and "raw_size" in metadata:
        return str(metadata["etag"]), int(str(metadata["raw_size"]))
    return None


def replaced_days(listing: Mapping[date, Listed], recorded: Mapping[date, tuple[str, int]]) -> list[date]:
    """The recorded days that are listed in another version, newest first; a day that left the listing is not one."""
    return sorted(
        (day for day, version in recorded.items() if day in listing and _version(listing[day]) != version), reverse=True
    )


def _version(listed: Listed) -> tuple[str, int]:
    return listed.etag, listed.size
