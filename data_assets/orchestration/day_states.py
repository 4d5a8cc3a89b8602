"""The state of a dataset's days, by the event log and the lake: stored, failed, in progress or missing, and why.

Here: reading. Not here: how a day gets its state (`day_run`), and how states are shown (the command, the UI).
"""

from __future__ import annotations

import shlex
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from data_assets.counts import count_of
from data_assets.ingest.outcome import Scalar
from data_assets.lake.errors import LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.orchestration.asset_checks import (
    PASSED,
    evaluation,
    latest_materialization,
)
from data_assets.orchestration.dagster_private import (
    AssetRecord,
    LoadingContext,
    get_and_update_asset_status_cache_value,
)
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.holes import hole_reason, hole_reasons, taken_back
from data_assets.orchestration.partitions import ZONE
from data_assets.project import shown_state_folder
from data_assets.quality.naming import NAMES_SHOWN


class DayState(StrEnum):
    """The state of one day of one dataset, as in the UI's partition grid, which shows lacking days as stored."""

    STORED = "stored"
    LACKING = "lacking"  # stored before something was asked for, such as a ticker added since
    STALE = "stale"  # of a month: one of its days was stored or replaced after it was built
    HOLE = "hole"  # materialized without a file: somebody accepted that there will be none
    FAILED = "failed"
    IN_PROGRESS = "in progress"
    MISSING = "missing"


DONE = frozenset({DayState.STORED, DayState.LACKING, DayState.HOLE})
NOT_DONE = frozenset({DayState.MISSING, DayState.FAILED, DayState.LACKING, DayState.STALE})
"""What a backfill asks for unless told otherwise: a lacking day is done, and yet there is something to add to it."""

STALE_REASON = "its days were stored or replaced after it was built"
LACKING_REASON = "stored before this was asked for: {}; a plain backfill adds it"


def day_states(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    days: Sequence[str],
    partitions: dg.TimeWindowPartitionsDefinition,
    records: AssetRecords | None = None,
) -> dict[str, DayState]:
    """Return the state of each of `days`, in their order, as the grid shows it.

    The states are those of `DagsterInstance.get_status_by_partition`. Records of days that `partitions` does not hold
    stay, and count again once it holds them.

    That call asks three subsets about every key, which takes two seconds for ten years of days. Listing the subsets'
    keys takes a tenth of that, and looking which days lie in their windows next to nothing.
    """
    states = dict.fromkeys(days, DayState.MISSING)
    cached = get_and_update_asset_status_cache_value(instance, asset_key, partitions, loading_context=records)
    if cached is None:
        return states
    ordered = sorted(states)
    for state, subset in (  # a later one wins: a stored day may have failed since, or be in work again
        (DayState.STORED, cached.deserialize_materialized_partition_subsets(partitions)),
        (DayState.FAILED, cached.deserialize_failed_partition_subsets(partitions)),
        (DayState.IN_PROGRESS, cached.deserialize_in_progress_partition_subsets(partitions)),
    ):
        states |= dict.fromkeys(_days_in(subset, ordered), state)
    return states


@dataclass
class Found:
    """What a look at the folders of a dataset's days showed besides their states.

    Attributes:
        unreadable: the days that are recorded as stored in a folder that may not be read, and why.
        not_stored_with_file: the missing and failed days whose file is there.
    """

    unreadable: dict[str, str] = field(default_factory=dict)
    not_stored_with_file: set[str] = field(default_factory=set)


def days_by_state(states: Mapping[str, DayState]) -> dict[DayState, list[str]]:
    """Return the days of each state, in their order; of a state that none has, an empty list.

    One pass: asking for one state after another takes most of what a look at half a million days takes.
    """
    found: dict[DayState, list[str]] = {state: [] for state in DayState}
    for day, state in states.items():
        found[state].append(day)
    return found


class AssetRecords(LoadingContext):
    """What the history holds of several assets, read at once: one by one it takes as long as all else.

    Good for one look at their days, since it does not see what is recorded meanwhile.
    """

    def __init__(self, instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]) -> None:
        self._instance = instance
        self._loaders: dict[type, Any] = {}
        AssetRecord.prepare(self, list(assets))

    @property
    def instance(self) -> dg.DagsterInstance:
        """Whose history it is."""
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        """For Dagster: how it reads several of a kind."""
        return self._loaders


def states_of(
    instance: dg.DagsterInstance,
    days: Mapping[MarketDataset, Sequence[str]],
    lake: Lake,
    found: Mapping[MarketDataset, Found] | None = None,
) -> dict[MarketDataset, dict[str, DayState]]:
    """Return `states_on_disk` of several datasets at one moment.

    Args:
        instance: where days are recorded.
        days: dataset -> its keys.
        lake: where the files are.
        found: as there, for each dataset.
    """
    records = AssetRecords(instance, [dataset.asset_key for dataset in days])
    return {
        dataset: states_on_disk(instance, dataset, keys, lake, None if found is None else found[dataset], records)
        for dataset, keys in days.items()
    }


def _days_in(subset: Any, days: Sequence[str]) -> Iterator[str]:
    """Yield those of `days`, which are in order, that a subset of Dagster's holds."""
    zone = ZoneInfo(ZONE)
    for window in subset.included_time_windows:
        first, end = (moment.astimezone(zone).date().isoformat() for moment in (window.start, window.end))
        yield from days[bisect_left(days, first) : bisect_left(days, end)]


def states_on_disk(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    days: Sequence[str],
    lake: Lake,
    found: Found | None = None,
    records: AssetRecords | None = None,
) -> dict[str, DayState]:
    """Return the state of each of `days`, in their order: as in the grid, but stored only with a file in this lake.

    The settings may name another lake than the one that a record is about, or ask for more than it holds. If a folder
    of the lake may not be read, its days keep the recorded state.

    Args:
        instance: where days are recorded.
        dataset: the dataset of the days.
        days: their keys.
        lake: where their files are.
        found: filled with what the folders showed besides.
        records: what was read of several assets at once, as by `states_of`.
    """
    states = day_states(instance, dataset.asset_key, days, dataset.partitions, records)
    if not days:
        return states
    held, closed = _held(dataset, days, lake)
    of = days_by_state(states)
    stored, failed = of[DayState.STORED], of[DayState.FAILED]
    if found is not None:
        found.unreadable |= {day: str(closed[day]) for day in stored if day in closed}
        found.not_stored_with_file |= (held or set()).intersection(of[DayState.MISSING] + failed)
    if held is not None:
        gone = [day for day in stored if day not in held and day not in closed]
        without_file = _without_file(instance, dataset, gone, lake)
    else:
        holes = hole_reasons(instance, dataset, _not_judged(instance, dataset, stored))
        without_file = dict.fromkeys(holes, DayState.HOLE)
    failed = [day for day in failed if day not in (held or ())]
    states |= without_file | before_they_were_holes(instance, dataset, failed)
    with_file = [day for day in stored if day not in without_file]
    return states | dict.fromkeys(lacking(dataset, with_file, lake), DayState.LACKING)


def lacking(dataset: MarketDataset, days: Iterable[str], lake: Lake) -> dict[str, list[str]]:
    """Return what each of some stored days lacks because it was asked for later; other days are left out."""
    if dataset.lacking is None:
        return {}
    found = dataset.lacking(lake, [date.fromisoformat(day) for day in days])
    return {day.isoformat(): list(names) for day, names in found.items()}


def what_lacks(dataset: MarketDataset, of: Mapping[DayState, list[str]], lake: Lake) -> dict[str, list[str]]:
    """Return what each day lacks that `states_on_disk` found lacking or stale; ``of`` are its days by state."""
    return lacking(dataset, of[DayState.LACKING], lake) | {day: [STALE_REASON] for day in of[DayState.STALE]}


def _held(dataset: MarketDataset, days: Iterable[str], lake: Lake) -> tuple[set[str] | None, dict[str, LakeError]]:
    """Return the days whose files are there, and the days whose folder may not be read, each with the reason."""
    days = list(days)
    closed: dict[date, LakeError] = {}
    try:
        held = dataset.files.held(
            lake, date.fromisoformat(min(days)), date.fromisoformat(max(days)), closed.__setitem__
        )
    except LakeUnusable as error:  # the lake itself is there: whoever opened the history has seen to that
        return set(), dict.fromkeys(days, error)
    keys = None if held is None else {day.isoformat() for day in held}
    return keys, {day.isoformat(): why for day, why in closed.items()}


def _not_judged(instance: dg.DagsterInstance, dataset: MarketDataset, stored: Sequence[str]) -> list[str]:
    """Those of some recorded days whose file was not judged as it was recorded: holes, and few others.

    Where only the record can tell, all records would have to be read for a hole or two.
    """
    integrity = dg.AssetCheckKey(dataset.asset_key, "integrity")
    infos = instance.event_log_storage.get_asset_check_partition_info([integrity]) if stored else ()
    judged = {info.partition_key for info in infos if info.is_current}
    return [day for day in stored if day not in judged]


def _without_file(
    instance: dg.DagsterInstance, dataset: MarketDataset, days: Sequence[str], lake: Lake
) -> dict[str, DayState]:
    """What recorded days that are not in this lake are: holes, or stale, or missing."""
    without = dict.fromkeys(days, DayState.MISSING)
    without |= dict.fromkeys(hole_reasons(instance, dataset, days), DayState.HOLE)
    stale = dataset.files.stale(lake, [date.fromisoformat(day) for day in days])
    return without | dict.fromkeys((day.isoformat() for day in stale), DayState.STALE)


def before_they_were_holes(
    instance: dg.DagsterInstance, dataset: MarketDataset, failed: Sequence[str]
) -> dict[str, DayState]:
    """The states of those red days of which nothing happened but that they are holes no longer."""
    found = taken_back(instance, dataset, failed) if failed else {}
    return {day: DayState.FAILED if had_failed else DayState.MISSING for day, had_failed in found.items()}


def unreadable_text(dataset: MarketDataset, unreadable: Mapping[str, str]) -> str:
    """Say which recorded days are in folders that may not be read, and why; each reason is named once."""
    names = names_text([dataset.label(day) for day in unreadable])
    why = names_text(list(dict.fromkeys(unreadable.values())))
    return f"{dataset.name}: shown as recorded, since nobody can look for the files of {names}: {why}"


DAMAGED_FILE = "damaged_file"
"""Metadata of a day's end: its file was read and is not whole (`ingest.outcome.DamagedFile`)."""


def unrecorded_days(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    states: Mapping[str, DayState],
    lake: Lake,
    found: Found | None = None,
) -> list[str]:
    """Find days whose file is in this lake but is not recorded, because the run history was lost.

    Or the process that wrote it died between file and record; then it is a single day, and its next run replaces it.
    Among them are those whose file was found damaged since (`known_as_damaged`).

    Args:
        instance: where days are recorded.
        dataset: the dataset of the days.
        states: their states.
        lake: where their files are.
        found: what `states_on_disk` saw as it found these states; else the folders are looked into.
    """
    if found:
        with_file = sorted(found.not_stored_with_file.intersection(states))
    else:
        of = days_by_state(states)
        open_days = sorted(of[DayState.MISSING] + of[DayState.FAILED])
        held = _held(dataset, open_days, lake)[0] if open_days else None
        with_file = [day for day in open_days if day in (held or ())]
    return [
        day
        for day in with_file
        if states[day] is DayState.MISSING or latest_materialization(instance, dataset.asset_key, day) is None
    ]


def known_as_damaged(instance: dg.DagsterInstance, dataset: MarketDataset, day: str) -> bool:
    """Whether the newest try of a day was to read its file, which was not whole: only a download helps then."""
    return DAMAGED_FILE in _newest_try(instance, dataset.asset_key, day)


def to_reconcile(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    states: Mapping[str, DayState],
    lake: Lake,
    found: Found | None = None,
) -> list[str]:
    """Days with a file and no record, but for those that are red because the file was found damaged."""
    unrecorded = unrecorded_days(instance, dataset, states, lake, found)
    return [
        day for day in unrecorded if states[day] is DayState.MISSING or not known_as_damaged(instance, dataset, day)
    ]


def unrecorded_text(dataset: MarketDataset, days: Sequence[str]) -> str:
    """Say which days have a file without a record, and how to recover."""
    return (
        f"{dataset.name}: {count_of(len(days), dataset.day)} with a file and no record, as after a lost run history: "
        f"{names_text([dataset.label(day) for day in days])}. Put the folder {shown_state_folder()} back from its "
        f"backup, or record them from their files: data-assets reconcile {dataset.name}"
    )


def command_that_shows(dataset: str, first: str, last: str) -> str:
    """The command that shows the days from one to another of a dataset, with what their checks found."""
    return shlex.join(["data-assets", "status", dataset, "--from", first, "--to", last])


def names_text(names: Sequence[str]) -> str:
    """Write the first few of some names, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def tried_days(instance: dg.DagsterInstance, asset_key: dg.AssetKey, days: Sequence[str]) -> set[str]:
    """Those of some days of which `why_not_stored` may have something to say; one query for all of them."""
    if not days:
        return set()
    return set(
        instance.event_log_storage.get_latest_storage_id_by_partition(
            asset_key, dg.DagsterEventType.ASSET_OBSERVATION, set(days)
        )
    )


def why_not_stored(instance: dg.DagsterInstance, asset_key: dg.AssetKey, day: str) -> tuple[str, str] | None:
    """The outcome and the reason that the newest try of a day left, or None if none did."""
    return _why(_newest_try(instance, asset_key, day))


def _newest_try(instance: dg.DagsterInstance, asset_key: dg.AssetKey, day: str) -> Mapping[str, dg.MetadataValue]:
    """What the newest attempt at a day left: its outcome, the reason and the number of attempts; empty if none did."""
    records = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[day]), limit=_LOOKS + 1
    ).records
    observed = (record.asset_observation for record in records)
    return next((each.metadata for each in observed if each and "outcome" in each.metadata), {})


_LOOKS = 3
"""Observations of a day that are no attempts at it: of each look at it once it was stored (``look_run``), one."""


def _why(newest_try: Mapping[str, dg.MetadataValue]) -> tuple[str, str] | None:
    return (str(newest_try["outcome"].value), str(newest_try["reason"].value)) if newest_try else None


@dataclass(frozen=True)
class DayHealth:
    """One day of one dataset as a row of a table.

    Attributes:
        day: YYYY-MM-DD.
        state: as in the grid.
        rows: rows stored, if any are.
        size: bytes stored, if any are.
        run_id: the run that stored it.
        checks: check name -> SUCCEEDED, FAILED, ...; empty where none was evaluated.
        failed_checks: those that failed -> what was found.
        warned: those that did not pass and only warn -> likewise; no fault of the day.
        outcome: of the newest attempt, if the day is not stored; else whether it is a hole, stale or lacking.
        reason: why the day is not stored, or what it lacks.
        attempts: how many attempts the newest run that worked on the day made.
        shown: the metadata that the dataset wants shown, or what is expected if the day is not stored.
    """

    day: str
    state: DayState
    rows: int | None
    size: int | None
    run_id: str | None
    checks: dict[str, str]
    failed_checks: dict[str, str]
    warned: dict[str, str]
    outcome: str | None
    reason: str | None
    attempts: int | None
    shown: dict[str, Scalar]


def day_health(
    instance: dg.DagsterInstance, dataset: MarketDataset, days: Sequence[str], lake: Lake
) -> list[DayHealth]:
    """Return one row per day, in the order given. It costs a look-up per day that was tried: of decades, seconds."""
    asset_key = dataset.asset_key
    checks = check_states(instance, dataset, days)
    states = states_on_disk(instance, dataset, days, lake)
    of = days_by_state(states)
    failed = of[DayState.FAILED]
    held, closed = _held(dataset, failed, lake) if failed else (set(), {})
    gone = {day for day in failed if held is not None and day not in held and day not in closed}
    lacked = what_lacks(dataset, of, lake)
    tried = tried_days(instance, asset_key, [day for day, state in states.items() if _is_open(state)])
    rows = []
    for day, state in states.items():
        # What was recorded of a day that is missing now, or failed and has none, was said of a file that is not here.
        here = state is not DayState.MISSING and day not in gone
        record = latest_materialization(instance, asset_key, day) if here else None
        metadata = record.asset_materialization.metadata if record and record.asset_materialization else {}
        hole = hole_reason(record) if record and state is DayState.HOLE else None
        newest_try = _newest_try(instance, asset_key, day) if day in tried else {}
        why = _why(newest_try)
        if hole:
            why = ("Hole", hole)
        elif state is DayState.STALE:
            why = ("Stale", f"{STALE_REASON}; a plain backfill builds it again")
        elif state is DayState.LACKING:
            why = ("Lacking", LACKING_REASON.format(names_text(lacked[day])))
        known = {name: _scalar(metadata[name]) for name in dataset.shown if name in metadata}
        attempts = (newest_try or metadata).get("attempts")
        of_day = checks.get(day, {}) if record else {}
        failed_checks, warned = what_was_found(instance, dataset, day, of_day)
        rows.append(
            DayHealth(
                day=day,
                state=state,
                rows=int(str(metadata["rows"].value)) if "rows" in metadata else None,
                size=int(str(metadata["size"].value)) if "size" in metadata else None,
                run_id=record.run_id if record else None,
                checks=of_day,
                failed_checks=failed_checks,
                warned=warned,
                outcome=why[0] if why else None,
                reason=why[1] if why else None,
                attempts=int(str(attempts.value)) if attempts else None,
                shown={**dataset.expected(date.fromisoformat(day)), **(known if state in DONE else {})},
            )
        )
    return rows


def _is_open(state: DayState) -> bool:
    return state not in DONE | {DayState.STALE}


def what_was_found(
    instance: dg.DagsterInstance, dataset: MarketDataset, day: str, checks: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a day's checks that did not pass have found: those that failed, and those that only warn.

    A check that warns says nothing against a day: the market, or the vendor's grid, can really be like that. One that
    could not be carried out has failed. A look-up for each of them.

    Args:
        instance: where verdicts are recorded.
        dataset: the dataset of the day.
        day: its key.
        checks: check name -> how it ended.
    """
    failed: dict[str, str] = {}
    warned: dict[str, str] = {}
    for name, state in sorted(checks.items()):
        if state != PASSED:
            newest = evaluation(instance, dataset.asset_key, name, day)
            warns = newest is not None and newest.severity is dg.AssetCheckSeverity.WARN
            (warned if warns else failed)[name] = (newest and newest.description) or "it could not be carried out"
    return failed, warned


def _scalar(value: dg.MetadataValue) -> Scalar:
    return value.value if isinstance(value.value, (str, int, float)) else str(value.value)


def check_states(
    instance: dg.DagsterInstance, dataset: MarketDataset, days: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return how the checks of days ended last: day -> check -> SUCCEEDED, FAILED, ...; one query for all of them."""
    states: dict[str, dict[str, str]] = {}
    keys = [dg.AssetCheckKey(dataset.asset_key, name) for name in dataset.checks]
    if not keys or not days:
        return states
    for info in instance.event_log_storage.get_asset_check_partition_info(keys, partition_keys=list(days)):
        if info.partition_key is not None:
            states.setdefault(info.partition_key, {})[info.check_key.name] = info.latest_execution_status.value
    return states
