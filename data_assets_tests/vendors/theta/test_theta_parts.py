"""What survives of an unfinished day: after kill -9, after Ctrl-C, after a failed try; and what of it is trusted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from data_assets.ingest.outcome import DayEnded, RunEnded, Stored, Transient
from data_assets.ingest.threads import in_thread
from data_assets.lake.unfinished import FOLDER, KEPT, UnfinishedDay
from data_assets.lake.views import create_views
from data_assets.lake.writer import DayWriter
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta import by_expiration
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.terminal import Terminal
from data_assets_tests.vendors.theta.option_days import (
    DAY,
    SPX,
    Meter,
    asked,
    fetch,
    left_in,
    open_lake,
    run,
    stored,
    verdicts,
)

pytestmark = pytest.mark.slow

CONTRACTS = 200
QUOTED = OptionDataset("theta/option_quotes/SPX", "SPX", roots=SPX, request_by="expiration")
FETCH = """
import asyncio, sys
from pathlib import Path
from data_assets_tests.vendors.theta.option_days import fetch
from data_assets_tests.vendors.theta.test_theta_parts import QUOTED
asyncio.run(fetch(sys.argv[1], Path(sys.argv[2]), QUOTED, max_concurrent=2))
"""


def parts(folder: Path) -> list[Path]:
    """The parts of the day that are kept."""
    return sorted((folder / "_unfinished" / QUOTED.key / f"date={DAY}" / FOLDER).glob("*.piece"))


async def half_a_day(theta: SandboxTheta, folder: Path, dataset: OptionDataset = QUOTED) -> set[str]:
    """Begin the day, and let it be cancelled as Ctrl-C does once four of its parts are there; their names."""
    async with ThetaClient(theta.base_url, max_concurrent=2) as client:
        source = ThetaSource(dataset, lake=open_lake(folder), bodies=Terminal(client))
        task = asyncio.create_task(source.fetch(DAY, Meter()))
        while len(parts(folder)) < 4:
            await asyncio.sleep(0.002)
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    return {path.stem for path in parts(folder)}


def names(requests: list[tuple[str, str, str]]) -> set[str]:
    return {"-".join(request) for request in requests}


@pytest.fixture
def slow() -> SandboxTheta:
    """A server that sends an expiration in some hundredths of a second, so that a day can be met half done."""
    return SandboxTheta(contracts=CONTRACTS, bytes_per_second=20e6)


def test_after_kill_9_only_the_missing_expirations_are_asked_for(tmp_path: Path, slow: SandboxTheta):
    with slow as theta:
        process = subprocess.Popen([sys.executable, "-c", FETCH, theta.base_url, str(tmp_path)])
        while len(parts(tmp_path)) < 5:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = {path.stem for path in parts(tmp_path)}
        assert not (tmp_path / QUOTED.key / f"date={DAY}" / "data.parquet").exists()

        lake = open_lake(tmp_path)
        assert lake.held_days(QUOTED.key) == []
        assert lake.datasets() == []
        removed = lake.sweep()
        assert all(path.endswith(".tmp") for path in removed)
        assert {path.stem for path in parts(tmp_path)} == kept, "a sweep leaves what may still be used"

        before = len(theta.requests)
        asyncio.run(fetch(theta.base_url, tmp_path, QUOTED))
        again = names(asked(theta, before))
        first = names(asked(theta)) - again
    assert again.isdisjoint(kept)
    assert first <= kept
    assert len(again) >= 1
    with SandboxTheta(contracts=CONTRACTS) as theta:
        asyncio.run(fetch(theta.base_url, tmp_path / "at once", QUOTED))
    assert stored(tmp_path, QUOTED).equals(stored(tmp_path / "at once", QUOTED))
    assert all(verdict.passed for verdict in verdicts(tmp_path, QUOTED).values())
    assert parts(tmp_path) == []


async def test_a_cancelled_day_goes_on_where_it_was(tmp_path: Path, slow: SandboxTheta):
    with slow as theta:
        kept = await half_a_day(theta, tmp_path)
        assert kept == {path.stem for path in parts(tmp_path)}
        before = len(theta.requests)
        await fetch(theta.base_url, tmp_path, QUOTED)
        assert names(asked(theta, before)).isdisjoint(kept)
    assert parts(tmp_path) == []
    assert [Path(name).name for name in left_in(tmp_path)] == ["data.parquet"]


def parts_read(patch: pytest.MonkeyPatch) -> list[str]:
    """The names of parts as they are read from the disk."""
    read: list[str] = []
    get = UnfinishedDay.get
    patch.setattr(UnfinishedDay, "get", lambda pieces, name: read.append(name) or get(pieces, name))
    return read


async def test_rows_that_wait_for_their_turn_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read = parts_read(monkeypatch)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path / "ample", QUOTED)
        requests = names(asked(theta))
        assert read == []
        day = stored(tmp_path / "ample", QUOTED)
        # Room for half of the day: enough for each part in its turn, if it is given up as it is written.
        monkeypatch.setattr(by_expiration, "WAITING_BYTES", day.estimated_size() // 2)
        await fetch(theta.base_url, tmp_path / "in turn", QUOTED, max_concurrent=1)
        assert read == []
        monkeypatch.setattr(by_expiration, "WAITING_BYTES", 0)
        await fetch(theta.base_url, tmp_path / "no room", QUOTED)
    assert sorted(read) == sorted(requests)
    for folder in ("in turn", "no room"):
        assert stored(tmp_path / folder, QUOTED).equals(day)


async def test_an_expiration_goes_to_the_file_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ended = []
    end_group = DayWriter.end_group
    monkeypatch.setattr(DayWriter, "end_group", lambda writer: ended.append(1) or end_group(writer))
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, QUOTED)
    assert len(ended) == stored(tmp_path, QUOTED)["expiration"].n_unique() > 1


async def test_no_row_is_held_once_a_day_has_ended_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = []
    begin = by_expiration._Collection.__init__
    monkeypatch.setattr(
        by_expiration._Collection, "__init__", lambda each, *given: made.append(each) or begin(each, *given)
    )
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="stall", times=1)]) as theta:
        kept = await half_a_day(theta, tmp_path)
    assert len(kept) >= 4, "they waited for the first expiration"
    assert [each._waiting for each in made] == [{}]


async def test_work_in_a_thread_is_over_when_its_task_is_however_often_that_is_cancelled():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_parts_are_no_days_for_any_reader(tmp_path: Path, slow: SandboxTheta):
    with slow as theta:
        other = DAY + timedelta(days=1)
        await fetch(theta.base_url, tmp_path, QUOTED, other)
        await half_a_day(theta, tmp_path)
        lake = open_lake(tmp_path)
    assert lake.stored_days(QUOTED.key) == [other]
    assert lake.scan(QUOTED.key, DAY, other).collect()["timestamp"].dt.date().unique().to_list() == [other]
    assert create_views(lake, tmp_path / "views.duckdb") == ["theta_option_quotes_SPX"]


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def without_its_head(path: Path) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def aged(path: Path) -> None:
    long_ago = time.time() - KEPT.total_seconds() - 60
    os.utime(path, (long_ago, long_ago))


@pytest.mark.parametrize("spoil", [damaged, short, without_its_head, empty, aged])
async def test_a_part_that_cannot_be_trusted_is_asked_for_again(
    tmp_path: Path, slow: SandboxTheta, spoil: Callable[[Path], None]
):
    with slow as theta:
        kept = await half_a_day(theta, tmp_path)
        one = parts(tmp_path)[0]
        spoil(one)
        before = len(theta.requests)
        await fetch(theta.base_url, tmp_path, QUOTED)
        assert names(asked(theta, before)) & kept == {one.stem}
    assert all(verdict.passed for verdict in verdicts(tmp_path, QUOTED).values())


async def test_parts_of_other_parameters_are_not_used(tmp_path: Path, slow: SandboxTheta):
    with slow as theta:
        kept = await half_a_day(theta, tmp_path)
        before = len(theta.requests)
        await fetch(theta.base_url, tmp_path, replace(QUOTED, interval="5m"))
        assert kept <= names(asked(theta, before))
    assert stored(tmp_path, QUOTED)["timestamp"].n_unique() == 82


async def test_parts_that_lack_contracts_of_the_list_are_not_used(tmp_path: Path):
    with SandboxTheta(contracts=280, bytes_per_second=20e6) as theta:
        kept = await half_a_day(theta, tmp_path)
    with SandboxTheta(contracts=420) as theta:
        await fetch(theta.base_url, tmp_path, QUOTED)
        assert kept <= names(asked(theta)), "their expirations have more contracts by now"
    assert verdicts(tmp_path, QUOTED)["contract_set"].passed


async def test_a_failed_request_costs_only_itself(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="cut", times=2)]) as theta:
        with pytest.raises(
            Transient, match=r"its last line is cut .* \(and 1 more request failed; what arrived is kept"
        ):
            await fetch(theta.base_url, tmp_path, QUOTED)
        everything, before = names(asked(theta)), len(theta.requests)
        assert len(parts(tmp_path)) == len(everything) - 2
        await fetch(theta.base_url, tmp_path, QUOTED)
        assert len(asked(theta, before)) == 2


async def test_a_terminal_in_trouble_is_not_asked_for_the_rest(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="status", status=500)]) as theta:
        with pytest.raises(Transient, match="500"):
            await fetch(theta.base_url, tmp_path, QUOTED)
        assert len(asked(theta)) < 10


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault(kind="status", status=400), DayEnded), (Fault(kind="status", status=478), RunEnded)],
    ids=["an answer nobody knows", "the run ends"],
)
async def test_what_has_arrived_outlives_what_says_nothing_against_it(
    tmp_path: Path, slow: SandboxTheta, fault: Fault, kind: type
):
    with slow as theta:
        await half_a_day(theta, tmp_path)
    with SandboxTheta(contracts=CONTRACTS, faults=[fault]) as theta, pytest.raises(kind):
        await fetch(theta.base_url, tmp_path, QUOTED)
    assert len(parts(tmp_path)) >= 4


async def test_a_rejected_day_leaves_nothing(tmp_path: Path, slow: SandboxTheta):
    with slow as theta:
        await half_a_day(theta, tmp_path)
    renamed = Fault(kind="renamed_column")
    with SandboxTheta(contracts=CONTRACTS, faults=[renamed]) as theta, pytest.raises(DayEnded):
        await fetch(theta.base_url, tmp_path, QUOTED)
    assert parts(tmp_path) == []


async def test_two_processes_do_not_work_on_one_day(tmp_path: Path):
    with open_lake(tmp_path).unfinished(QUOTED.key, DAY), SandboxTheta(contracts=CONTRACTS) as theta:
        report = await run(theta.base_url, tmp_path, QUOTED, [DAY])
        assert "another process is at work on this day" in report.outcomes[DAY].reason
    assert (await fetch_again(tmp_path)).rows > 0


async def fetch_again(folder: Path) -> Stored:
    with SandboxTheta(contracts=CONTRACTS) as theta:
        return await fetch(theta.base_url, folder, QUOTED)


async def test_a_sweep_takes_what_is_too_old_unless_somebody_is_at_work(tmp_path: Path, slow: SandboxTheta):
    with slow as theta:
        await half_a_day(theta, tmp_path)
    old, *young = parts(tmp_path)
    aged(old)
    lake = open_lake(tmp_path)
    with lake.unfinished(QUOTED.key, DAY):
        assert lake.sweep() == []
    assert lake.sweep() == [str(old)]
    assert parts(tmp_path) == young
    for path in young:
        aged(path)
    lake.sweep()
    assert left_in(tmp_path) == []
    assert not (tmp_path / QUOTED.key / f"date={DAY}").exists()
