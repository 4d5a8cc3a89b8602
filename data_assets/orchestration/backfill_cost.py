"""What a backfill is expected to cost before it begins: requests, rows, bytes, time and room on disks.

Here: the estimate. Not here: which days are asked for, and showing it (the command).

Judgements: of a dataset with stored days, the days to come are taken to be like the twenty that were stored last, as
long as the median of them took (one may have waited out an outage); of one without, like the usual day of the vendor
that its component names. Before five of them tell, each that is lacking counts as long as the usual day, so that one or
two decide nothing. However small a day is, it takes as long as its events (one for the file, one for each check), which
a run records one after another, and each run takes a second to begin: of reports, whose days are tiny, that is most of
it. Datasets are filled one after another. A dataset that is made from files which another one keeps costs no request of
its own: where such a file is not on this disk yet, it is a day of that other dataset, whether or not that one is asked
for. The estimate counts neither pauses nor second attempts, nor the vendor's lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil
from pathlib import Path
from statistics import fmean, median

import dagster as dg

from data_assets.lake.disk_room import nearest_there
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_cost import DayCost

SAMPLED = 20

TELLING = 5
"""Days whose seconds are known, from which on those alone tell: the median of five holds if two of them are odd."""

EVENT_SECONDS = 0.025
"""An event takes 15 ms in the history of a quiet machine and 35 ms in that of a busy one."""

RUN_SECONDS = 1.0
"""Until a run of the command has begun with its first day."""


@dataclass(frozen=True)
class ExpectedCost:
    """What the days of one dataset are expected to cost.

    Attributes:
        dataset: whose days they are.
        days: their keys, oldest first.
        requests: as in `DayCost`, of all of them; as are the others.
        rows: likewise.
        received: likewise.
        stored: likewise.
        seconds: likewise.
        sampled: how many stored days this is taken from; 0 where it is the vendor's usual day.
    """

    dataset: MarketDataset
    days: list[str]
    requests: int
    rows: int
    received: int
    stored: int
    seconds: float
    sampled: int


@dataclass(frozen=True)
class Room:
    """A disk, and what is expected to come onto it.

    Attributes:
        folder: one of the folders that lie on it.
        needed: bytes of the files to come.
        free: bytes free now.
    """

    folder: str
    needed: int
    free: int


def expected_costs(
    instance: dg.DagsterInstance, asked: Mapping[MarketDataset, Sequence[str]], known: Mapping[str, MarketDataset]
) -> list[ExpectedCost]:
    """Estimate what days cost that are to be downloaded; one query per dataset.

    Args:
        instance: where stored days are recorded.
        asked: the keys of each dataset's days, those that others are made from first.
        known: every dataset by its name.
    """
    planned: dict[MarketDataset, set[str]] = {}
    for dataset, days in asked.items():
        for kept in _kept_files(dataset, known):
            absent = {day for day in days if not kept.is_at_hand(date.fromisoformat(day))}
            planned.setdefault(kept, set()).update(absent)
        planned.setdefault(dataset, set()).update(days)
    return [_cost(instance, dataset, sorted(days)) for dataset, days in planned.items() if days]


def _kept_files(dataset: MarketDataset, known: Mapping[str, MarketDataset]) -> list[MarketDataset]:
    """The datasets whose files its days fetch for themselves."""
    made_from = [known[name] for name in dataset.upstream if name in known]
    return [each for each in made_from if each.fetched_downstream]


def _cost(instance: dg.DagsterInstance, dataset: MarketDataset, days: list[str]) -> ExpectedCost:
    sample = _stored_last(instance, dataset)
    day = _average(dataset, sample) if sample else dataset.usual()
    stored = round(day.stored * len(days))
    events = EVENT_SECONDS * (1 + len(dataset.checks))
    runs = ceil(len(days) / dataset.days_per_run)
    return ExpectedCost(
        dataset,
        days,
        requests=round(day.requests * len(days)),
        rows=round(day.rows * len(days)),
        received=round(day.received * len(days)),
        stored=stored if dataset.keeps_at_most is None else min(stored, dataset.keeps_at_most),
        seconds=max(day.seconds, events) * len(days) + RUN_SECONDS * runs,
        sampled=len(sample),
    )


def _stored_last(instance: dg.DagsterInstance, dataset: MarketDataset) -> list[Mapping[str, float]]:
    """The numbers recorded of the days that were stored last, each day once; holes are none."""
    found: dict[str | None, Mapping[str, float]] = {}
    for record in instance.fetch_materializations(dataset.asset_key, limit=SAMPLED).records:
        if record.asset_materialization is None or "size" not in record.asset_materialization.metadata:
            continue
        numbers = {
            name: value.value
            for name, value in record.asset_materialization.metadata.items()
            if isinstance(value.value, int | float)
        }
        found.setdefault(record.partition_key, numbers)
    return list(found.values())


def _average(dataset: MarketDataset, sample: Sequence[Mapping[str, float]]) -> DayCost:
    usual = dataset.usual()

    def mean(name: str, otherwise: float) -> float:
        known = [numbers[name] for numbers in sample if name in numbers]
        return fmean(known) if known else otherwise

    seconds = [numbers["seconds"] / dataset.max_concurrency for numbers in sample if "seconds" in numbers]
    in_flight = median([*seconds, *[usual.seconds] * (TELLING - len(seconds))])
    if dataset.upstream:  # what it receives is counted where it is kept
        return DayCost(0, mean("rows", usual.rows), 0, mean("size", usual.stored), in_flight)
    requests = mean("requests", usual.requests)
    return DayCost(
        requests,
        rows=mean("rows", usual.rows),
        received=mean("raw_megabytes", usual.received / 1e6) * 1e6,
        stored=mean("size", usual.stored),
        seconds=max(in_flight, requests * dataset.seconds_per_request),
    )


def rooms(lake: Lake, costs: Iterable[ExpectedCost]) -> list[Room]:
    """What comes onto each disk, and what is free there; nothing of an object store.

    A dataset's folder may be a link to another disk, and files may be kept outside of the lake.
    """
    found: dict[int, Room] = {}
    root = None if "://" in lake.url else Path(lake.url)
    for cost in costs:
        folder = cost.dataset.kept_in or (root and root / cost.dataset.name)
        if folder is None:
            continue
        there = nearest_there(folder)
        disk, room = there.stat().st_dev, os.statvfs(there)
        before = found.get(disk)
        shown = root if root and nearest_there(root).stat().st_dev == disk else there
        needed = cost.stored + (before.needed if before else 0)
        found[disk] = Room(before.folder if before else str(shown), needed, room.f_bavail * room.f_frsize)
    return list(found.values())
