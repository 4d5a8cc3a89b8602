"""What speaks for and against exporting a day, by the event log and the lake.

Here: reading it. Not here: the refusal (`export.days`). A check that warns stops nothing: the market, or the vendor's
grid, can really be like that. One that failed as an error, or that could not be carried out, is red.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg

from data_assets.export.days import FoundDay
from data_assets.lake.lake import Lake
from data_assets.lake.snapshot import Snapshot
from data_assets.orchestration.asset_checks import PASSED, evaluation
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import check_states, states_on_disk


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
    held = set(lake.stored_days(dataset.name, min(days), max(days)))
    checks = check_states(instance, dataset, keys)
    found = []
    for day, key in zip(days, keys, strict=True):
        red: list[str] = []
        warned: list[str] = []
        for name, state in sorted(checks.get(key, {}).items()):
            if state != PASSED:
                (warned if _only_warns(instance, dataset.asset_key, name, key) else red).append(name)
        has_file = day in held
        found.append(FoundDay(day, states[key].value, has_file, *((tuple(red), tuple(warned)) if has_file else ())))
    return found


def _pinned_day(instance: dg.DagsterInstance, dataset: MarketDataset, snapshot: Snapshot, day: date) -> FoundDay:
    """A snapshot says which checks had failed and not how badly: for that the newest evaluation has to do."""
    file = snapshot.days.get(dataset.name, {}).get(day)
    if file is None:
        return FoundDay(day, "missing", has_file=False)
    failed = [name for name, state in sorted(file.checks.items()) if state != PASSED.lower()]
    warned = tuple(name for name in failed if _only_warns(instance, dataset.asset_key, name, day.isoformat()))
    return FoundDay(day, "stored", True, tuple(name for name in failed if name not in warned), warned)


def _only_warns(instance: dg.DagsterInstance, asset_key: dg.AssetKey, check: str, day: str) -> bool:
    newest = evaluation(instance, asset_key, check, day)
    return newest is not None and newest.severity is dg.AssetCheckSeverity.WARN
