"""How complete datasets are and how good their days: what the picture in the terminal and the page show.

Here: reading it from the event log and the lake, a few queries per dataset however many days it has. Not here: drawing
it (`coverage_page`, and `cli.coverage`), and a day's record in full (`day_states.day_health`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import dagster as dg

from data_assets.counts import count_of
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState

SERIES_DAYS = 125
"""How many of the newest days are shown with their numbers: half a year of sessions."""

CHANGES = 40
"""How many of a dataset's newest events of each kind are read, and how many lines they make at most."""

SCORE = "score"
"""The number of a day of a dataset that holds vendors against each other (`MarketDataset.differences`)."""

PASSED, FAILED = "SUCCEEDED", "FAILED"  # as the event log spells them

ABOUT_THE_DOWNLOAD = frozenset(
    {"MB", "attempts", "raw_megabytes", "raw_size", "requests", "rows", "rows_per_second", "seconds", "size"}
)
"""Numbers recorded of a day that say nothing about its content, or are shown by themselves."""


@dataclass(frozen=True)
class Change:
    """Something that was recorded of a day.

    Attributes:
        at: when, UTC.
        dataset: its name.
        day: as people write it.
        what: in one line.
        is_bad: whether the day was not stored by it.
    """

    at: datetime
    dataset: str
    day: str
    what: str
    is_bad: bool


@dataclass(frozen=True)
class Coverage:
    """One dataset.

    Attributes:
        dataset: which.
        states: of every day that was asked about, oldest first.
        verdicts: day -> check -> whether it passed; days without any are left out.
        numbers: day -> what was recorded of it in numbers, of the newest `SERIES_DAYS`; stored days alone.
        changes: what was recorded last, newest first.
    """

    dataset: MarketDataset
    states: Mapping[str, DayState]
    verdicts: Mapping[str, Mapping[str, bool]]
    numbers: Mapping[str, Mapping[str, float]]
    changes: Sequence[Change]

    def failed_checks(self, day: str) -> list[str]:
        """The checks that the stored day did not pass, in order of name."""
        return sorted(name for name, passed in self.verdicts.get(day, {}).items() if not passed)

    def count(self, *wanted: DayState) -> int:
        """How many days are in one of some states."""
        return sum(state in wanted for state in self.states.values())


WITH_A_FILE = (DayState.STORED, DayState.LACKING, DayState.STALE)


def coverages(instance: dg.DagsterInstance, states: Mapping[MarketDataset, Mapping[str, DayState]]) -> list[Coverage]:
    """Read all of it, for the given days of each dataset, oldest first, whose states are known."""
    return [_coverage(instance, dataset, of_dataset) for dataset, of_dataset in states.items()]


def newest_changes(found: Iterable[Coverage]) -> list[Change]:
    """What was recorded last of each of them, newest first."""
    return sorted((change for each in found for change in each.changes), key=lambda each: each.at, reverse=True)


def week_of_year(day: date) -> int:
    """Which week of its year a day is in, from 0 on; weeks begin on Monday."""
    return (day.timetuple().tm_yday - 1 + date(day.year, 1, 1).weekday()) // 7


def _coverage(instance: dg.DagsterInstance, dataset: MarketDataset, states: Mapping[str, DayState]) -> Coverage:
    with_file = {day for day, state in states.items() if state in WITH_A_FILE}
    newest = [day for day in list(states)[-SERIES_DAYS:] if day in with_file]
    return Coverage(
        dataset,
        states,
        verdicts=_verdicts(instance, dataset, with_file),
        numbers=_numbers(instance, dataset, newest),
        changes=_changes(instance, dataset),
    )


def _verdicts(instance: dg.DagsterInstance, dataset: MarketDataset, days: set[str]) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    keys = [dg.AssetCheckKey(dataset.asset_key, name) for name in dataset.checks]
    if not keys or not days:
        return found
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        status = info.latest_execution_status.value
        if info.partition_key in days and status in (PASSED, FAILED):
            found.setdefault(str(info.partition_key), {})[info.check_key.name] = status == PASSED
    return found


def _numbers(instance: dg.DagsterInstance, dataset: MarketDataset, days: Sequence[str]) -> dict[str, dict[str, float]]:
    """The numbers of each day's newest record, oldest day first; of a hole none."""
    if not days:
        return {}
    found: dict[str, dict[str, float]] = {}
    wanted = dg.AssetRecordsFilter(asset_key=dataset.asset_key, asset_partitions=list(days))
    for record in instance.fetch_materializations(wanted, limit=4 * len(days)).records:
        metadata = record.asset_materialization.metadata if record.asset_materialization else {}
        if record.partition_key is not None and "size" in metadata:
            found.setdefault(
                record.partition_key,
                {
                    name: value.value
                    for name, value in metadata.items()
                    if isinstance(value.value, int | float) and not isinstance(value.value, bool)
                },
            )
    return dict(sorted(found.items()))


def _changes(instance: dg.DagsterInstance, dataset: MarketDataset) -> list[Change]:
    events = [
        *instance.fetch_materializations(dataset.asset_key, limit=CHANGES).records,
        *instance.fetch_observations(dataset.asset_key, limit=CHANGES).records,
    ]
    found = []
    for record in events:
        event = record.asset_materialization or record.asset_observation
        if event is None or record.partition_key is None:
            continue
        is_bad = record.asset_materialization is None and "outcome" in event.metadata
        if (what := _what(event, stored=record.asset_materialization is not None)) is not None:
            at = datetime.fromtimestamp(record.timestamp, UTC)
            found.append(Change(at, dataset.name, dataset.label(record.partition_key), what, is_bad))
    return sorted(found, key=lambda each: each.at, reverse=True)[:CHANGES]


def _what(event: dg.AssetMaterialization | dg.AssetObservation, *, stored: bool) -> str | None:
    metadata = event.metadata
    if "outcome" in metadata:
        return f"{metadata['outcome'].value}: {metadata['reason'].value}"
    if stored and "size" in metadata and isinstance(rows := metadata["rows"].value, int):
        return f"stored, {count_of(rows, 'row')}"
    return event.description
