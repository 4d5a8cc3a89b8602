"""What speaks for and against exporting a day, by the event log and the lake.

Here: reading it. Not here: the refusal (`export.days`). A check that warns stops nothing: the market, or the vendor's
grid, can really be like that. One that failed as an error, or that could not be carried out, is red.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import dagster as dg

from data_assets.export.days import FoundDay
from data_assets.lake.lake import Lake
from data_assets.lake.snapshot import Snapshot
from data_assets.orchestration.dataset import DayFiles, MarketDataset
from data_assets.orchestration.day_states import DayState, check_states, states_on_disk, what_was_found
from data_assets.orchestration.partitions import partition_keys


def found_days(
    instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake, days: Sequence[date]
) -> list[FoundDay]:
    """What is known of some days, in their order; each failed check of them costs a look-up.

    Of a lake that is read as of a snapshot, a day is what the snapshot says of it.
    """
    if not days:
        return []
    if lake.as_of is not None:
        return [_pinned_day(instance, dataset, lake.as_of, day) for day in days]
    keys = [day.isoformat() for day in days]
    states = states_on_disk(instance, dataset, keys, lake)
    held = set(lake.held_days(dataset.name, min(days), max(days)))
    checks = check_states(instance, dataset, keys)
    found = []
    for day, key in zip(days, keys, strict=True):
        has_file = day in held
        red, warned = what_was_found(instance, dataset, key, checks.get(key, {}) if has_file else {})
        found.append(FoundDay(day, states[key].value, has_file, tuple(red), tuple(warned)))
    return found


def known_span(instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake) -> tuple[date, date] | None:
    """The first and the last day of a dataset that is stored or was tried; None while none is stored.

    A day that failed behind the last stored one was asked for, and whoever takes all days would take it for not there
    yet.
    """
    stored = lake.held_days(dataset.name)
    if not stored:
        return None
    states = states_on_disk(instance, dataset, partition_keys(partitions=dataset.partitions), lake)
    tried = [date.fromisoformat(day) for day, state in states.items() if state is not DayState.MISSING]
    return min([stored[0], *tried]), max([stored[-1], *tried])


def why_no_days(dataset: MarketDataset, known: Iterable[MarketDataset]) -> str | None:
    """Why a dataset has no days of the lake's own, such as the vendor's files, in words; None for all that have."""
    if isinstance(dataset.files, DayFiles):
        return None
    others = {each.name: each for each in known if isinstance(each.files, DayFiles)}
    made = [name for name, each in others.items() if dataset.name in each.upstream]
    instead = [*made, *(name for name in dataset.upstream if name in others)][:1]
    told = f": take {instead[0]}, which holds the same bars" if instead else ""
    return f"{dataset.name} has no file of each day in the lake's own form{told}"


def _pinned_day(instance: dg.DagsterInstance, dataset: MarketDataset, snapshot: Snapshot, day: date) -> FoundDay:
    """A snapshot says which checks had failed and not how badly: for that the newest evaluation has to do."""
    file = snapshot.days.get(dataset.name, {}).get(day)
    if file is None:
        return FoundDay(day, "missing", has_file=False)
    states = {name: state.upper() for name, state in file.checks.items()}
    red, warned = what_was_found(instance, dataset, day.isoformat(), states)
    return FoundDay(day, "stored", True, tuple(red), tuple(warned))
