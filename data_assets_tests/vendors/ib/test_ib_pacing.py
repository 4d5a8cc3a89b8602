from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_assets.ingest.outcome import RunEnded
from data_assets.ingest.state_file import StateFile
from data_assets.vendors.ib.pacing import STRICT, Budget, RequestPacing
from data_assets_tests.small_disk import mount as mount  # a fixture

EPOCH = 1_700_000_000.0
TICK = 1e-3
"""Far above what floating point makes of seconds since 1970, far below any of the budget's numbers."""


@dataclass
class World:
    """Real seconds, and a wall clock that may be set."""

    elapsed: float = 0.0
    wall_ahead: float = EPOCH
    sent: list[tuple[float, bool, str]] = field(default_factory=list)

    def clock(self) -> float:
        return self.elapsed + self.wall_ahead

    async def sleep(self, seconds: float) -> None:
        self.elapsed += seconds

    def pacing(self, path: Path, budget: Budget = STRICT, head_budget: Budget = STRICT) -> RequestPacing:
        return RequestPacing(StateFile(path, self.sleep, self.clock), budget, head_budget=head_budget, sleep=self.sleep)

    async def ask(self, pacing: RequestPacing, key: str, *, head: bool = False) -> None:
        await pacing.turn(key, head=head)
        self.sent.append((self.elapsed, head, key))

    def most_in_window(self, seconds: float, *, heads_only: bool = False) -> int:
        times = [at for at, head, _ in self.sent if head or not heads_only]
        return max((sum(start <= at < start + seconds for at in times) for start in times), default=0)

    def least_between(self) -> float:
        times = [at for at, _, _ in self.sent]
        return min((b - a for a, b in itertools.pairwise(times)), default=math.inf)


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 1), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("idle"), st.floats(0, 700)),
    st.tuples(st.just("restart"), st.integers(0, 1)),
    st.tuples(st.just("set back"), st.floats(0, 5000)),
)


@given(
    steps=st.lists(STEPS, max_size=60),
    budget=st.builds(
        Budget,
        seconds_between=st.sampled_from([0.0, 1.0, 10.0]),
        max_per_window=st.integers(1, 8),
        window_seconds=st.just(600.0),
    ),
    head_limit=st.integers(1, 4),
)
@example(
    steps=[("ask", n % 2, n, n % 5 == 0) for n in range(30)],
    budget=Budget(seconds_between=0.0, max_per_window=8),
    head_limit=2,
)
@example(
    steps=[("ask", 0, n, False) for n in range(8)] + [("set back", 5000.0), ("restart", 0), ("ask", 0, 8, False)],
    budget=Budget(seconds_between=0.0, max_per_window=8),
    head_limit=2,
)
def test_no_window_holds_more_than_the_budget_whatever_interleaves_restarts_or_sets_the_clock_back(
    steps: list[tuple], budget: Budget, head_limit: int
) -> None:
    head_budget = Budget(seconds_between=10.0, max_per_window=head_limit)
    world = World()

    async def run(path: Path) -> None:
        askers = [world.pacing(path, budget, head_budget) for _ in range(2)]
        for step in steps:
            match step:
                case ("ask", who, what, head):
                    await world.ask(askers[who], str(what), head=head)
                case ("idle", seconds):
                    world.elapsed += seconds
                case ("restart", who):
                    askers[who] = world.pacing(path, budget, head_budget)
                case ("set back", seconds):
                    world.wall_ahead -= seconds

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder, "pacing.json")))
    assert world.most_in_window(600) <= budget.max_per_window
    assert world.most_in_window(600, heads_only=True) <= head_limit
    assert world.least_between() >= budget.seconds_between - TICK
    for at, head, key in world.sent:
        again = [other for other, _, same in world.sent if same == key and other > at]
        assert not again or min(again) - at >= 15
        heads = [other for other, of_head, _ in world.sent if of_head and head and other > at]
        assert not heads or min(heads) - at >= 10 - TICK


async def test_ibs_own_numbers_are_kept_and_used_up_over_an_hour(tmp_path) -> None:
    world = World()
    askers = [world.pacing(tmp_path / "pacing.json") for _ in range(2)]
    for number in range(360):
        await world.ask(askers[number % 2], str(number))
    assert world.most_in_window(600) == 60
    assert world.least_between() >= 10 - TICK
    assert world.elapsed <= 3600 * 1.02  # no slower than the margin asks for


async def test_a_relaxed_budget_is_other_numbers_and_leaves_head_timestamps_strict(tmp_path) -> None:
    world = World()
    pacing = world.pacing(tmp_path / "pacing.json", Budget(seconds_between=0.5, max_per_window=1000))
    for number in range(500):
        await world.ask(pacing, str(number), head=number % 5 == 0)
    assert world.most_in_window(600) > 60
    assert world.most_in_window(600, heads_only=True) == 60


async def test_days_that_ask_at_once_get_their_turns_in_order(tmp_path) -> None:
    world = World()
    pacing = world.pacing(tmp_path / "pacing.json")
    await asyncio.gather(*(world.ask(pacing, str(number)) for number in range(5)))
    assert [key for _, _, key in world.sent] == ["0", "1", "2", "3", "4"]
    assert world.least_between() >= 10 - TICK


async def test_a_refusal_silences_everybody_and_each_further_one_for_longer(tmp_path) -> None:
    world = World()
    one, other = (world.pacing(tmp_path / "pacing.json") for _ in range(2))
    await world.ask(one, "a")
    pauses = []
    for number in range(4):
        pauses.append(round(await one.refused()))
        begun = world.elapsed
        await world.ask(other, f"b{number}")
        assert world.elapsed - begun == pytest.approx(pauses[-1], abs=1)
    assert pauses == [60, 120, 240, 480]
    world.elapsed += 700
    assert await one.refused() == 60


async def test_a_clock_set_back_costs_one_window_at_most(tmp_path) -> None:
    world = World()
    pacing = world.pacing(tmp_path / "pacing.json", Budget(seconds_between=0, max_per_window=4))
    for number in range(3):
        await world.ask(pacing, str(number))
    await pacing.refused()
    world.wall_ahead -= 86_400
    begun = world.elapsed
    await world.ask(pacing, "again")
    assert 600 <= world.elapsed - begun <= 610


async def test_without_a_file_one_request_counts_as_just_sent(tmp_path) -> None:
    world = World()
    pacing = world.pacing(tmp_path / "new folder" / "pacing.json")
    await world.ask(pacing, "a", head=True)
    assert world.elapsed == pytest.approx(10)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b"3",
        b'{"format": "something else", "requests": [], "refused": []}',
        b'{"format": "data_assets ib pacing 1", "requests": [["soon", false, ""]], "refused": []}',
        b'{"format": "data_assets ib pacing 1", "requests": [[NaN, false, ""]], "refused": []}',
        b'{"format": "data_assets ib pacing 1", "requests": [[1, 2]], "refused": []}',
        b'{"format": "data_assets ib pacing 1", "requests": 5, "refused": []}',
        b'{"format": "data_assets ib pacing 1", "requests": [], "refused": null}',
    ],
)
async def test_a_damaged_or_foreign_file_counts_as_a_window_used_up(tmp_path, content) -> None:
    path, world = tmp_path / "pacing.json", World()
    path.write_bytes(content)
    await world.ask(world.pacing(path), "a")
    assert 600 <= world.elapsed <= 610
    await world.ask(world.pacing(path), "b")
    assert world.elapsed <= 630  # it is whole again


async def test_a_file_that_cannot_be_written_ends_the_run_by_its_name(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunEnded, match=r"file/pacing\.json: cannot be used"):
        await World().pacing(tmp_path / "file" / "pacing.json").turn("a")


async def test_a_disk_that_takes_no_more_is_told_as_such_and_nothing_is_forgotten(tmp_path, mount) -> None:
    disk, world = mount(tmp_path / "disk", "size=1m,nr_inodes=50"), World()
    path = disk.folder / "pacing.json"
    await world.ask(world.pacing(path), "a")
    known = path.read_bytes()
    disk.fill()
    with pytest.raises(RunEnded, match=r"pacing\.json: cannot be used \(No space left.*make room on its disk"):
        await world.pacing(path).turn("b")
    disk.empty()
    disk.take_inodes()
    with pytest.raises(RunEnded, match=r"cannot be used \(No space left.*out of inodes.*make room on its disk"):
        await world.pacing(path).turn("b")
    disk.empty()
    (disk.folder / ".pacing.json.tmp").write_text("{", encoding="utf-8")  # of a process that was killed there
    disk.remount("ro")
    with pytest.raises(RunEnded, match=r"cannot be used \(Read-only file system\); mount its file system for writing"):
        await world.pacing(path).turn("b")
    assert path.read_bytes() == known
    disk.remount("rw")
    await world.ask(world.pacing(path), "b")
    assert sorted(entry.name for entry in disk.folder.iterdir()) == ["pacing.json", "pacing.json.lock"]
    assert world.least_between() >= STRICT.seconds_between


async def test_the_file_stays_small(tmp_path) -> None:
    path, world = tmp_path / "pacing.json", World()
    pacing = world.pacing(path)
    for number in range(500):
        await world.ask(pacing, "x" * 100 + str(number))
    assert path.stat().st_size < 5_000
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pacing.json", "pacing.json.lock"]


ASKER = """
import asyncio, sys, time
from pathlib import Path
from data_assets.ingest.state_file import StateFile
from data_assets.vendors.ib.pacing import Budget, RequestPacing

async def ask():
    budget = Budget(seconds_between=0.01, max_per_window=6, window_seconds=0.4, identical_seconds=0)
    read = []

    def clock():
        read.append(time.time())
        return read[-1]

    pacing = RequestPacing(StateFile(Path(sys.argv[1]), clock=clock), budget, head_budget=budget)
    for number in range(int(sys.argv[3])):
        await pacing.turn(f"{sys.argv[2]} {number}")
        print(read[-1], flush=True)  # the time that was recorded

asyncio.run(ask())
"""


def test_two_processes_and_a_killed_one_share_one_budget(tmp_path) -> None:
    path = tmp_path / "pacing.json"

    def start(name: str, count: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ASKER, str(path), name, str(count)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))

    one, other = start("one", 1000), start("other", 12)
    assert one.stdout is not None
    assert other.stdout is not None
    first = [one.stdout.readline() for _ in range(6)]
    one.kill()
    lines = [*first, *one.stdout.read().splitlines(), *other.stdout.read().splitlines()]
    other.wait()
    one.wait()
    after = start("after", 6)
    lines += after.communicate()[0].splitlines()
    times = sorted(float(line) for line in lines if line.strip())
    assert len(times) >= 24
    late = [times[n + 6] - times[n] for n in range(len(times) - 6)]
    assert min(late) >= 0.4
    assert json.loads(path.read_text())["requests"]


def test_waiting_for_a_stopped_process_leaves_the_loop_free(tmp_path) -> None:
    async def run() -> int:
        pacing, other = (StateFile(tmp_path / "pacing.json") for _ in range(2))
        ticks = 0
        async with other.locked():
            waiting = asyncio.create_task(RequestPacing(pacing, Budget(seconds_between=0)).turn("a"))
            while ticks < 20:
                ticks += 1
                await asyncio.sleep(0.005)
            assert not waiting.done()
        await waiting
        return ticks

    assert asyncio.run(run()) == 20
