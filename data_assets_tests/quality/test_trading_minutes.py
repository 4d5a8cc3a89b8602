from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.quality.bar_coverage import regular_minutes
from data_assets.quality.trading_minutes import TradingMinutes, trades, trading_minutes
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import Session
from data_assets_tests.quality.bar_days import HALF_DAY, HALF_HOURS, HOURS, alone, at

BUSY = [trading_minutes(alone(), HOURS)] * 5


def never() -> NoReturn:
    raise AssertionError("a day beyond doubt needs no other day")


def day_of(traded: Sequence[bool], hours: Session = HOURS) -> pl.DataFrame:
    """A bar for each minute, the silent ones without volume and trades."""
    volumes = [100.0 if each else 0.0 for each in traded]
    return pl.DataFrame(
        {
            "timestamp": pl.Series(regular_minutes(hours), dtype=pl.Datetime("us", "UTC")),
            "volume": volumes,
            "trades": [int(each) for each in traded],
        }
    )


def silent(first: int, minutes: int, hours: Session = HOURS) -> pl.DataFrame:
    return day_of([not first <= minute < first + minutes for minute in range(hours.minutes)], hours)


def judged(bars: pl.DataFrame, own: Sequence[TradingMinutes] = BUSY, *, lenient: bool = False) -> Verdict:
    return trades(bars, hours=HOURS, own_days=lambda: own, lenient=lenient)


def ends(verdict: Verdict) -> str:
    return "passed" if verdict.passed else verdict.severity


def test_a_day_with_a_trade_in_every_minute_is_beyond_doubt() -> None:
    verdict = trades(alone(), hours=HOURS, own_days=never)
    assert (ends(verdict), verdict.summary) == ("passed", "0 of 390 minutes without a trade")
    assert trades(alone(day=HALF_DAY), hours=HALF_HOURS, own_days=never).passed


def test_what_is_silent_is_counted_and_its_longest_run_named() -> None:
    bars = at(silent(60, 12), [5], volume=float("nan"), trades=0)
    bars = at(bars, [7], volume=-1.0, trades=-1)
    bars = at(bars, [9], volume=0.0, trades=3)  # odd lots, where volumes are round lots: they did trade
    day = trading_minutes(bars, HOURS)
    assert (day.minutes, day.silent, len(day.longest)) == (390, 14, 12)
    verdict = judged(bars)
    assert verdict.summary.startswith("14 of 390 minutes without a trade, at most 12 in a row (10:30-10:41 New York); ")
    assert verdict.metadata == {
        "minutes": 390,
        "silent_minutes": 14,
        "silent_share": 14 / 390,
        "longest_silence": 12,
        "longest": "10:30-10:41 New York",
        "own_days": 5,
        "usual_share": 0.0,
        "usual_longest_silence": 0,
    }


@pytest.mark.parametrize(
    ("first", "minutes", "end"),
    [
        (30, 360, "error"),  # frozen at 10:00
        (0, 390, "error"),  # flat all day
        (1, 389, "error"),
        (360, 30, "error"),
        (200, 30, "error"),
        (200, 29, "warn"),
        (200, 15, "warn"),  # a halt of the whole market
        (375, 15, "warn"),
        (200, 9, "passed"),  # a pause by the price limits
        (0, 0, "passed"),
    ],
)
def test_a_silence_is_weighed_by_its_length_in_a_ticker_that_trades_all_the_time(first, minutes, end) -> None:
    verdict = judged(silent(first, minutes))
    assert ends(verdict) == end
    assert ends(judged(silent(first, minutes), lenient=True)) == ("warn" if end == "error" else end)
    assert ("lenient" in verdict.summary) == (end == "error"), "what can be done is said where it is needed"
    if end != "passed":
        assert "this ticker trades all the time (usual are 0% of the minutes, and 0 in a row)" in verdict.summary


def test_a_third_of_the_minutes_is_too_much_for_it_however_they_lie() -> None:
    assert ends(judged(day_of([minute % 3 > 0 for minute in range(390)]))) == "error"
    assert ends(judged(day_of([minute % 4 > 0 for minute in range(390)]))) == "passed"


def test_a_first_day_is_judged_by_itself() -> None:
    frozen, flat, one_trade = silent(30, 360), silent(0, 390), silent(1, 389)
    assert [ends(judged(bars, [])) for bars in (frozen, flat, one_trade)] == ["error"] * 3
    assert "this ticker trades all the time: a frozen feed" in judged(frozen, []).summary
    assert [ends(judged(bars, [], lenient=True)) for bars in (frozen, flat, one_trade)] == ["warn", "passed", "passed"]
    assert judged(flat, [], lenient=True).summary.endswith(
        "fewer than 5 other days of this ticker are stored, so what is usual is not known"
    )
    assert judged(flat, [], lenient=True).waits_for == 5, "it is asked again when there are so many"
    assert judged(flat, BUSY, lenient=True).waits_for == judged(silent(30, 5), []).waits_for == 0


def test_days_that_froze_before_do_not_make_it_usual() -> None:
    frozen = trading_minutes(silent(30, 360), HOURS)
    assert ends(judged(silent(30, 360), [*BUSY, *[frozen] * 4])) == "error"


def test_a_ticker_that_trades_often_warns_when_it_falls_silent() -> None:
    often = [trading_minutes(day_of([minute % 5 > 0 for minute in range(390)]), HOURS)] * 5
    morning = day_of([minute < 60 and minute % 5 > 0 for minute in range(390)])
    verdict = judged(morning, often)
    assert ends(verdict) == "warn"
    assert "usual are 20% of the minutes, and 1 in a row" in verdict.summary
    assert ends(judged(day_of([minute % 50 > 0 and minute % 2 > 0 for minute in range(390)]), often)) == "passed"


@given(st.data())
def test_a_ticker_that_is_often_silent_never_cries(data) -> None:
    """Trades at random, and on a day up to three times fewer than usual, as around holidays."""
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    rate = data.draw(st.floats(0.01, 2.0))  # trades a minute
    own = [trading_minutes(day_of(random.poisson(rate, 390) > 0), HOURS) for _ in range(10)]
    slow = data.draw(st.floats(1.0, 3.0))
    bars = day_of(random.poisson(rate / slow, 390) > 0)
    assert judged(bars, own).passed, (rate, slow)
    assert judged(bars, own, lenient=True).passed
    if rate / slow > 0.05:
        assert judged(bars, []).passed, "nor on its first day"


@given(st.lists(st.booleans(), min_size=390, max_size=390), st.sampled_from([[], BUSY]), st.booleans())
def test_a_minute_without_a_bar_is_as_silent_as_one_with_a_bar_of_nothing(traded, own, lenient) -> None:
    bars = day_of(traded)
    assert judged(bars, own, lenient=lenient) == judged(bars.filter(pl.col("trades") > 0), own, lenient=lenient)
