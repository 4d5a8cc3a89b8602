"""Synthetic one-minute bars: possible bars, within the session, the same in every process."""

from __future__ import annotations

from datetime import date, time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.sandbox.market.market import generator, prices
from data_assets.sandbox.market.minute_bars import LIQUID, bar_columns, minute_bars
from data_assets.trading_calendar import NotASession, session, sessions
from data_assets_tests.sandbox.market.two_processes import said_by_two_processes

DAYS = sessions(date(2012, 6, 1), date(2030, 12, 31))
any_day = st.sampled_from(DAYS)
any_symbol = st.one_of(st.sampled_from(LIQUID), st.text("ABCDEFGHIJpw.", min_size=1, max_size=8))
HALF_DAY, CLOCKS_CHANGED = date(2024, 7, 3), date(2024, 3, 11)

FINGERPRINT = """
from datetime import date
from hashlib import sha256
from data_assets.sandbox.market.minute_bars import minute_bars
text = minute_bars("QQQ", date(2024, 7, 3)).write_csv() + minute_bars("ZZZ", date(2026, 2, 23)).write_csv()
print(sha256(text.encode()).hexdigest())
"""


def new_york(bars: pl.DataFrame) -> pl.Series:
    return bars["timestamp"].dt.convert_time_zone("America/New_York")


def regular(bars: pl.DataFrame, day: date) -> pl.DataFrame:
    hours = session(day)
    return bars.filter(pl.col("timestamp").is_between(hours.open, hours.close, closed="left"))


def test_the_columns_are_those_that_the_vendors_are_built_from():
    assert minute_bars("QQQ", HALF_DAY).schema == {
        "timestamp": pl.Datetime("us", "UTC"),
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
        "vwap": pl.Float64,
        "trades": pl.Int64,
    }


@settings(max_examples=80)
@given(any_symbol, any_day)
def test_every_bar_is_possible(symbol, day):
    bars = minute_bars(symbol, day)
    inside = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    impossible = bars.filter(
        ~(
            (pl.col("low") > 0)
            & (pl.col("low") <= inside[0])
            & (inside[1] <= pl.col("high"))
            & pl.col("vwap").is_between(pl.col("low"), pl.col("high"))
            & (pl.col("trades") >= 1)
            & (pl.col("volume") >= pl.col("trades"))
        )
        | ((pl.col("trades") == 1) & (pl.col("low") != pl.col("high")))
    )
    assert impossible.is_empty(), impossible
    for column in ("open", "high", "low", "close"):
        assert np.array_equal(bars[column].to_numpy(), np.round(bars[column].to_numpy(), 2))


@settings(max_examples=80)
@given(any_symbol, any_day)
def test_minutes_are_whole_unique_ascending_and_within_the_extended_session(symbol, day):
    bars = minute_bars(symbol, day)
    local = new_york(bars)
    end = time(17) if session(day).is_early_close else time(20)
    assert (local.dt.date() == day).all()
    assert ((local.dt.time() >= time(4)) & (local.dt.time() < end)).all()
    assert (local.dt.truncate("1m") == local).all()
    assert bars["timestamp"].is_sorted()
    assert bars["timestamp"].is_unique().all()


@settings(max_examples=80)
@given(st.sampled_from(LIQUID), any_day)
def test_a_liquid_name_trades_in_every_regular_minute_along_the_path(symbol, day):
    hours = session(day)
    bars = regular(minute_bars(symbol, day), day)
    first = 9 * 60 + 30
    path = prices(symbol, day, first, first + hours.minutes)
    assert bars.height == hours.minutes
    assert np.array_equal(bars["open"].to_numpy(), path[:-1])
    assert np.array_equal(bars["close"].to_numpy(), path[1:])


@pytest.mark.parametrize(
    ("day", "first", "last", "minutes"),
    [
        (date(2024, 1, 3), "09:00", "00:59", 390),
        (HALF_DAY, "08:00", "20:59", 210),
        (CLOCKS_CHANGED, "08:00", "23:59", 390),
    ],
)
def test_bars_follow_the_clock_in_new_york(day, first, last, minutes):
    both = pl.concat([minute_bars(symbol, day) for symbol in LIQUID])
    assert both["timestamp"].min().strftime("%H:%M") == first
    assert both["timestamp"].max().strftime("%H:%M") == last
    assert regular(minute_bars("QQQ", day), day).height == minutes


def test_other_names_skip_minutes_each_in_its_own_way():
    rows = [minute_bars(f"X{number}", date(2024, 1, 3)).height for number in range(60)]
    assert min(rows) < 30
    assert max(rows) > 390
    assert 80 < np.mean(rows) < 250


def test_the_cheaper_arrays_hold_the_same_bars():
    frame, columns = minute_bars("AAPL", HALF_DAY), bar_columns("AAPL", HALF_DAY)
    assert frame.columns == list(columns)
    assert np.array_equal(frame["timestamp"].dt.replace_time_zone(None).to_numpy(), columns["timestamp"])
    assert all(np.array_equal(frame[name].to_numpy(), columns[name]) for name in frame.columns[1:])


def test_every_process_sees_the_same_bars():
    first, second = said_by_two_processes(FINGERPRINT)
    assert first == second != ""


def test_the_draws_are_pinned_so_that_no_release_of_numpy_changes_the_bars_unseen():
    assert generator("a", 1).poisson([0.1, 5.0, 200.0], 3).tolist() == [0, 3, 197]


def test_a_closed_day_has_no_bars():
    with pytest.raises(NotASession):
        minute_bars("QQQ", date(2024, 7, 4))
