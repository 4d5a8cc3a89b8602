from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.ingest.outcome import Throttled, Transient, VendorDown
from data_assets.ingest.retry import RetryBudget, RetryPolicy


class Ceiling(Random):
    """Always draws the upper end."""

    def uniform(self, low: float, high: float) -> float:
        return high


class Floor(Random):
    """Always draws the lower end."""

    def uniform(self, low: float, high: float) -> float:
        return low


@pytest.mark.parametrize(
    ("error", "rng", "pauses"),
    [
        (Transient("cut"), Ceiling(), [1, 2, 4, None]),
        (Transient("cut"), Floor(), [0, 0, 0, None]),
        (VendorDown("474"), Ceiling(), [1, 2, 4, None]),
        (Throttled("429"), Ceiling(), [5, 10, 20, 40, 60, 60, 60, 60, 60, None]),
        (Throttled("429"), Floor(), [2.5, 5, 10, 20, 30, 30, 30, 30, 30, None]),
    ],
)
def test_pauses_double_up_to_their_cap_until_the_tries_are_used_up(error, rng, pauses):
    tries = RetryBudget(RetryPolicy(), rng)
    assert [tries.pause_after(error) for _ in pauses] == pauses


@given(st.integers(1, 200), st.integers())
def test_no_pause_exceeds_the_cap_however_many_tries_there_are(attempts, seed):
    tries = RetryBudget(RetryPolicy(attempts=attempts + 1), Random(seed))
    for count in range(attempts):
        pause = tries.pause_after(Transient("cut"))
        assert pause is not None
        assert 0 <= pause <= min(60, 2**count)
    assert tries.pause_after(Transient("cut")) is None


def test_the_same_seed_gives_the_same_pauses_and_another_one_others():
    def pauses(seed: int) -> list[float | None]:
        tries = RetryBudget(RetryPolicy(), Random(seed))
        return [tries.pause_after(Transient("cut")) for _ in range(3)]

    assert pauses(1) == pauses(1) != pauses(2)


def test_each_kind_of_error_has_its_own_budget_and_is_counted_in_words():
    tries = RetryBudget(RetryPolicy(attempts=2, throttled_attempts=3), Random(0))
    assert tries.pause_after(Throttled("429")) is not None
    assert tries.pause_after(Transient("cut")) is not None
    assert tries.pause_after(Throttled("429")) is not None
    assert tries.spent() == "gave up after 1 failed attempt and 2 refusals"
    assert tries.pause_after(Throttled("429")) is None
    assert tries.spent() == "gave up after 1 failed attempt and 3 refusals"
