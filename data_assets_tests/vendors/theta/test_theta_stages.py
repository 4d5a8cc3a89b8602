"""Days that are brought in at once pass through the same threads, and do not get into each other's way."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from pathlib import Path

import pytest

from data_assets.ingest.outcome import IngestError
from data_assets.sandbox.serving import SandboxTheta
from data_assets.sandbox.theta.server import Fault
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.terminal import Terminal
from data_assets_tests.vendors.theta.option_days import SPX, Meter, fetch, left_in, open_lake, stored

DAYS = [date(2024, 1, day) for day in (3, 4, 5, 8)]
QQQ = OptionDataset("theta/option_quotes/QQQ", "QQQ")
OF_SPX = OptionDataset("theta/option_quotes/SPX", "SPX", roots=SPX, request_by="expiration")
CONTRACTS = 400
"""Some 160,000 rows a day: more than a row group, so that one is encoded beside the others."""


def stages() -> set[threading.Thread]:
    """The threads of sources that are there."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("theta-")}


class Noticed(Meter):
    """Says that the first bytes of a day are there."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    def received(self, size: int) -> None:
        super().received(size)
        self.begun.set()


@pytest.mark.parametrize("dataset", [QQQ, OF_SPX], ids=["by day", "by expiration"])
async def test_days_at_once_have_their_own_rows_by_one_thread_for_each_stage(tmp_path: Path, dataset: OptionDataset):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        for day in DAYS:
            await fetch(theta.base_url, tmp_path / "one by one", dataset, day)
        async with ThetaClient(theta.base_url, max_concurrent=4) as client:
            source = ThetaSource(dataset, lake=open_lake(tmp_path / "at once"), bodies=Terminal(client))
            before = stages()
            staged = await asyncio.gather(*(source.fetch(day, Meter()) for day in DAYS))
            added = sorted(thread.name.rpartition("_")[0] for thread in stages() - before)
            assert added == ["theta-encode", "theta-keep", "theta-parse"]
        for each in staged:
            each.publish()
    for day in DAYS:
        assert stored(tmp_path / "at once", dataset, day).equals(stored(tmp_path / "one by one", dataset, day))


async def test_a_day_that_fails_or_is_canceled_leaves_the_threads_to_the_others(tmp_path: Path):
    broken, canceled, *whole = DAYS
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="cut", day=broken)]) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=4) as client:
            source = ThetaSource(QQQ, lake=open_lake(tmp_path), bodies=Terminal(client))
            meters = {day: Noticed() for day in DAYS}
            tasks = {day: asyncio.create_task(source.fetch(day, meters[day])) for day in DAYS}
            await meters[canceled].begun.wait()
            tasks[canceled].cancel()
            ended = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
            assert isinstance(ended[broken], IngestError)
            assert isinstance(ended[canceled], asyncio.CancelledError)
            for day in whole:
                (await tasks[day]).publish()
            (await source.fetch(canceled, Meter())).publish()
        await fetch(theta.base_url, tmp_path / "alone", QQQ, whole[0])
    assert len(left_in(tmp_path)) == 4
    assert stored(tmp_path, QQQ, whole[0]).equals(stored(tmp_path / "alone", QQQ, whole[0]))


async def test_the_threads_end_with_their_source(tmp_path: Path):
    before = stages()
    with SandboxTheta(contracts=24) as theta:
        await fetch(theta.base_url, tmp_path, QQQ)
    for thread in stages() - before:
        await asyncio.to_thread(thread.join, 60)
    assert stages() <= before
