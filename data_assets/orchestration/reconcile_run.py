"""A run that records days from their files, where the run history has been lost, is older than the lake, or is new.

Here: finding the days whose record and file do not belong together, and the source of a run that fetches nothing. Not
here: how a file tells what it holds (`Files.found`), and turning days without a file red (`verify_run`).

Such a run has the tag `data_assets/reconcile`: from the command, or from the UI's backfill dialog by adding the tag
there. Each day's file is read as a whole, every page checked, and recorded as if it had just been stored, with its
checks; what only the download knew, such as its seconds, is not recorded again. A hole has no file, so it is lost with
the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import dagster as dg

from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import DamagedFile, DayEnded, NoData, Stored
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.lake.errors import Corrupt, LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dataset import MarketDataset, datasets_of_this_process
from data_assets.orchestration.day_states import DONE, DayState, day_states, states_on_disk, unrecorded_days
from data_assets.orchestration.integrity import recorded_file
from data_assets.orchestration.lake_presence import stored_elsewhere

RECONCILE = "data_assets/reconcile"
"""The run tag that asks for days to be recorded from their files; it may have any value."""


@dataclass(frozen=True)
class OutOfStep:
    """The days of a dataset whose record and file do not belong together, by their keys.

    Attributes:
        unrecorded: days with a file that nothing was recorded of.
        newer: days whose file was made after it was recorded, so that the record is about an earlier one.
        without_file: recorded days without a file.
        elsewhere: recorded days without a file here that were stored in another lake -> where.
    """

    unrecorded: list[str]
    newer: list[str]
    without_file: list[str]
    elsewhere: Mapping[str, str]


def out_of_step(instance: dg.DagsterInstance, dataset: MarketDataset, days: list[str], lake: Lake) -> OutOfStep:
    """Compare what is recorded with what is in the lake; a look-up and a footer for each recorded day.

    Raises:
        LakeUnusable: the lake, or the dataset's folder, as a whole is not there.
    """
    if lake.is_there():
        lake.check_dataset(dataset.name)
    recorded = day_states(instance, dataset.asset_key, days, dataset.partitions)
    on_disk = states_on_disk(instance, dataset, days, lake)
    gone = [day for day in days if recorded[day] is DayState.STORED and on_disk[day] is DayState.MISSING]
    elsewhere = {
        day: where
        for day in gone
        if (record := latest_materialization(instance, dataset.asset_key, day)) is not None
        and (where := stored_elsewhere(record, lake)) is not None
    }
    told = _told_downstream(dataset, days, lake) if dataset.fetched_downstream else set()
    return OutOfStep(
        unrecorded=[
            *unrecorded_days(instance, dataset, on_disk, lake),
            *(day for day in days if day in told and recorded[day] is DayState.MISSING),
        ],
        newer=[
            day for day in days if on_disk[day] in DONE - {DayState.HOLE} and _is_newer(instance, dataset, day, lake)
        ],
        without_file=[day for day in gone if day not in elsewhere],
        elsewhere=elsewhere,
    )


def _told_downstream(dataset: MarketDataset, days: list[str], lake: Lake) -> set[str]:
    """The days of which the file of a dataset that is made from this one tells what it was made from."""
    if not days:
        return set()
    made_from_it = [other for other in datasets_of_this_process.values() if dataset.name in other.upstream]
    first, last = (date.fromisoformat(day) for day in (min(days), max(days)))
    return {str(day) for other in made_from_it for day in lake.held_days(other.name, first, last)}


def _is_newer(instance: dg.DagsterInstance, dataset: MarketDataset, day: str, lake: Lake) -> bool:
    record = latest_materialization(instance, dataset.asset_key, day)
    try:
        made = dataset.files.made_at(lake, date.fromisoformat(day))
    except LakeUnusable:
        raise
    except LakeError:  # damage: `verify` says so
        return False
    recorded = recorded_file(record)
    return recorded is not None and made is not None and made > recorded.written_at


class FilesOfTheLake:
    """Days that are in the lake already, each read as a whole; implements ``ingest.source.Source``."""

    def __init__(self, dataset: MarketDataset, lake: Lake) -> None:
        self._dataset, self._lake = dataset, lake

    async def wait_until_up(self) -> None:
        """See ``Source``: there is no vendor to wait for."""

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        label = self._dataset.label(day)
        again = self._dataset.backfill_line([day])
        try:
            found = await asyncio.to_thread(self._dataset.files.found, self._lake, day)
        except Corrupt as error:
            raise DayEnded(DamagedFile(f"{error.where}: {error.reason}; fetch it again: {again}")) from error
        except LakeError as error:
            raise ending_of(error) from error
        if found is None:
            raise DayEnded(NoData(f"no file of {label} tells what it holds; fetch it: {again}"))
        meter.parsed(found.rows)
        return _Found(found)


class _Found:
    """A day whose file has its name already; implements ``StagedDay``."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def publish(self) -> Stored:
        """See ``StagedDay``."""
        return self._stored

    def discard(self) -> None:
        """See ``StagedDay``. The file is not this run's to remove."""
