from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from data_assets.ingest.concurrency import (
    COOL_DOWN_SECONDS,
    FLAT_ROUNDS,
    START,
    ConcurrencyLimit,
    Gate,
)
from data_assets_tests.ingest.virtual_time import run


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def rounds(limit: ConcurrencyLimit, clock: Clock, count: int, *, bytes_per_second: float) -> list[int]:
    """Let `count` rounds of days of 1 MB arrive at a rate, and say what the limit was after each."""
    seen = []
    for _ in range(count):
        admitted = limit.current
        for _ in range(admitted):
            clock.now += 1_000_000 / bytes_per_second
            limit.answered(1_000_000)
        seen.append(limit.current)
    return seen


class AnyHistory(RuleBasedStateMachine):
    """Whatever a run meets, in any order and at any pace, the limit keeps its word."""

    @initialize(cap=st.integers(1, 16))
    def begin(self, cap: int) -> None:
        self.clock = Clock()
        self.limit = ConcurrencyLimit(cap, self.clock)
        self.cool_until = -math.inf
        self.tries: list[bool] = []

    def heard(self, news: Callable[[], None], *, halves: bool) -> None:
        """Tell the limit something, and see it halve exactly when it must, never twice within ten seconds."""
        before = self.limit.current
        halves = halves and self.clock.now >= self.cool_until
        news()
        assert self.limit.current == (max(1, before // 2) if halves else before)
        if halves:
            self.cool_until = self.clock.now + 10
            self.tries.clear()

    @rule(seconds=st.sampled_from([0, 0.125, 1, 5, 9.875, 10, 100]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(size=st.integers(0, 10**9))
    def a_day_is_answered(self, size: int) -> None:
        before = self.limit.current
        self.limit.answered(size)
        if self.clock.now < self.cool_until:
            assert self.limit.current == before
        else:
            assert self.limit.current - before in (0, 1)
            self.tries.append(False)

    @rule()
    def a_try_fails(self) -> None:
        if self.clock.now >= self.cool_until:
            self.tries.append(True)
        recent = self.tries[-20:]
        self.heard(self.limit.failed, halves=len(recent) >= 5 and sum(recent) / len(recent) > 0.2)

    @rule()
    def the_vendor_asks_for_less(self) -> None:
        self.heard(self.limit.throttled, halves=True)

    @rule(share=st.floats(0, 1))
    def memory_is_looked_at(self, share: float) -> None:
        self.heard(lambda: self.limit.memory(share), halves=share > 0.85)

    @precondition(lambda self: self.limit.current < self.limit.cap)
    @rule()
    def the_vendor_is_well_for_a_while(self) -> None:
        self.clock.now += 10
        enough = (FLAT_ROUNDS + 1) * self.limit.cap
        rounds(self.limit, self.clock, max(enough, 20), bytes_per_second=2**20)
        self.tries = [False] * 20
        assert self.limit.current == self.limit.cap, "it recovers"

    @invariant()
    def the_limit_is_within_its_bounds(self) -> None:
        if hasattr(self, "limit"):
            assert 1 <= self.limit.current <= self.limit.cap


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.integers(1, 64))
def test_it_starts_at_three_or_at_the_cap(cap):
    assert ConcurrencyLimit(cap, Clock()).current == min(START, cap)


def test_a_cap_below_one_is_refused():
    with pytest.raises(ValueError, match="at least one request"):
        ConcurrencyLimit(0, Clock())


def test_it_climbs_by_one_while_throughput_grows():
    clock = Clock()
    limit = ConcurrencyLimit(8, clock)
    seen = [rounds(limit, clock, 1, bytes_per_second=1e6 * limit.current)[0] for _ in range(7)]
    assert seen == [4, 5, 6, 7, 8, 8, 8]


def test_it_stays_when_throughput_does_not_grow_and_tries_one_more_after_three_flat_rounds():
    clock = Clock()
    limit = ConcurrencyLimit(8, clock)
    assert rounds(limit, clock, 1 + 2 * (FLAT_ROUNDS + 1), bytes_per_second=5e6) == [4, 4, 4, 4, 5, 5, 5, 5, 6]


def test_a_vendor_that_only_says_no_data_is_judged_by_its_answers():
    clock = Clock()
    limit = ConcurrencyLimit(6, clock)
    for _ in range(3 + 4 + 5):
        clock.now += 1 / limit.current
        limit.answered(0)
    assert limit.current == 6


def test_one_burst_of_refusals_halves_once_and_the_next_one_again():
    clock = Clock()
    limit = ConcurrencyLimit(16, clock)
    rounds(limit, clock, 100, bytes_per_second=1e6)
    assert limit.current == 16
    for _ in range(16):
        limit.throttled()
        clock.now += 0.5
    assert limit.current == 8
    clock.now += COOL_DOWN_SECONDS
    limit.throttled()
    assert limit.current == 4


def test_the_first_round_after_a_halving_climbs_whatever_the_pace_was_before():
    clock = Clock()
    limit = ConcurrencyLimit(8, clock)
    for _ in range(5):
        rounds(limit, clock, 1, bytes_per_second=100e6 * limit.current)
    assert limit.current == 8
    limit.throttled()
    clock.now += COOL_DOWN_SECONDS
    assert rounds(limit, clock, 1, bytes_per_second=1e6) == [5]


def test_more_than_a_fifth_of_failed_tries_halves_and_a_fifth_does_not():
    clock = Clock()
    limit = ConcurrencyLimit(3, clock)
    for _ in range(4):
        for _ in range(4):
            clock.now += 1
            limit.answered(1)
        limit.failed()
    assert limit.current == 3
    limit.failed()
    assert limit.current == 1


def test_a_few_failures_at_the_start_are_not_yet_a_fifth_of_anything():
    limit = ConcurrencyLimit(3, Clock())
    for _ in range(4):
        limit.failed()
    assert limit.current == 3
    limit.failed()
    assert limit.current == 1


def test_old_failures_are_forgotten():
    clock = Clock()
    limit = ConcurrencyLimit(3, clock)
    for _ in range(4):
        limit.failed()
    for _ in range(20):
        clock.now += 1
        limit.answered(1)
    for _ in range(4):
        limit.failed()
    assert limit.current == 3


def test_what_is_heard_during_a_cool_down_is_not_held_against_the_new_limit():
    clock = Clock()
    limit = ConcurrencyLimit(8, clock)
    limit.throttled()
    for _ in range(30):
        limit.failed()
    clock.now += COOL_DOWN_SECONDS
    limit.failed()
    assert limit.current == 1
    rounds(limit, clock, 1, bytes_per_second=1e6)
    assert limit.current == 2


# the gate


def test_the_gate_admits_no_more_than_the_limit_and_everyone_in_the_end():
    limit = ConcurrencyLimit(4, Clock())
    gate, inside, most, order = Gate(limit), 0, 0, []

    async def visit(number: int) -> None:
        nonlocal inside, most
        async with gate.request():
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(1)
            inside -= 1

    async def main() -> float:
        await asyncio.gather(*(visit(number) for number in range(9)))
        return asyncio.get_running_loop().time()

    assert run(main) == 3.0
    assert most == 3
    assert sorted(order) == list(range(9))


def test_a_lowered_limit_holds_back_the_next_and_a_raised_one_lets_more_in():
    clock = Clock()
    limit = ConcurrencyLimit(4, clock)
    gate, log = Gate(limit), []

    async def visit(number: int, seconds: float) -> None:
        async with gate.request():
            log.append((number, asyncio.get_running_loop().time()))
            await asyncio.sleep(seconds)
            if number == 3:
                clock.now += COOL_DOWN_SECONDS
                limit.answered(1)

    async def main() -> None:
        first = [asyncio.create_task(visit(number, 1 + number)) for number in range(3)]
        await asyncio.sleep(0.5)
        limit.throttled()
        later = [asyncio.create_task(visit(number, 1)) for number in range(3, 6)]
        await asyncio.wait([*first, *later])

    run(main)
    assert limit.current == 2
    assert log == [(0, 0), (1, 0), (2, 0), (3, 3), (4, 4), (5, 4)]


def test_a_waiting_request_that_is_cancelled_takes_no_place():
    gate = Gate(ConcurrencyLimit(1, Clock()))

    async def visit() -> None:
        async with gate.request():
            await asyncio.sleep(1)

    async def main() -> float:
        inside, cancelled, waiting = (asyncio.create_task(visit()) for _ in range(3))
        await asyncio.sleep(0.5)
        cancelled.cancel()
        await asyncio.wait([inside, cancelled, waiting])
        assert cancelled.cancelled()
        return asyncio.get_running_loop().time()

    assert run(main) == 2.0
