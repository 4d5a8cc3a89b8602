from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.quality.bar_coverage import regular_minutes
from data_assets.quality.minute_bars import extended_hours, ohlc
from data_assets.quality.naming import clock
from data_assets.quality.price_spikes import bar_spikes, quote_spikes, told_of_quotes
from data_assets.trading_calendar import session
from data_assets_tests.quality.bar_days import DAY, HALF_DAY, HALF_HOURS, HOURS, MINUTE, alone, at, market
from data_assets_tests.quality.quote_days import OPEN, Contract, chain, quotes_of

PRICES = ("open", "high", "low", "close")


def bars_at(closes: list[float], wiggle: float = 0.0005) -> pl.DataFrame:
    """A bar a minute from the open on, each from one price to the next."""
    closed = np.array(closes)
    opened = np.concatenate((closed[:1], closed[:-1]))
    return pl.DataFrame(
        {
            "timestamp": pl.Series(regular_minutes(HOURS)[: len(closes)], dtype=pl.Datetime("us", "UTC")),
            "open": opened,
            "high": np.maximum(opened, closed) * (1 + wiggle),
            "low": np.minimum(opened, closed) * (1 - wiggle),
            "close": closed,
            "volume": 100,
            "trades": 5,
        }
    )


@given(
    row=st.integers(0, 389),
    factor=st.sampled_from([0.1, 0.5, 0.85, 1.2, 2.0, 10.0]),
    all_prices=st.booleans(),
)
def test_a_price_alone_is_found_wherever_it_is_and_named(row, factor, all_prices):
    bars = alone()
    side = "high" if factor > 1 else "low"
    columns = PRICES if all_prices and 0 < row < 389 else (side,)
    spikes = bar_spikes(at(bars, [row], **{name: bars[name][row] * factor for name in columns}), HOURS)
    assert (spikes.count, spikes.names) == (1, 1)
    assert spikes.concerned[0].startswith(f"{clock(HOURS.open + row * MINUTE)}: {side} ")


def test_a_spike_is_named_by_ticker_and_minute_and_only_warned_of():
    bars = market("AAPL", "SPY")
    row = bars.with_row_index().filter(pl.col("ticker") == "SPY")["index"][300]
    spoilt = at(bars, [row], high=5_782.0)
    verdict = bar_spikes(spoilt, HOURS).told_in(ohlc(spoilt))
    assert (verdict.name, verdict.passed, verdict.severity) == ("ohlc", False, "warn")
    assert verdict.summary.startswith("a price stands alone, a bad one or a flash: SPY 09:")
    assert "high 5,782, around it 57" in verdict.summary
    assert (verdict.metadata["spikes"], verdict.metadata["spiking_names"]) == (1, 1)


def test_a_breach_that_is_an_error_stays_one():
    spoilt = at(alone(), [5], close=-1.0)
    spoilt = at(spoilt, [100], high=1e6)
    verdict = bar_spikes(spoilt, HOURS).told_in(ohlc(spoilt))
    assert (verdict.passed, verdict.severity, verdict.metadata["spikes"]) == (False, "error", 1)
    assert "; a price stands alone" in verdict.summary


@pytest.mark.parametrize("day", [DAY, HALF_DAY, date(2022, 6, 9), date(2016, 8, 4)])
def test_no_synthetic_ticker_has_one(day):
    names = [first + second + "Q" for first in "ABCDEFGHIJKLM" for second in "AEIOUXYZ"]
    found = bar_spikes(market(*names, "SPY", "NVDA", day=day), session(day))
    assert found.count == 0, found.concerned
    verdict = found.told_in(ohlc(alone()))
    assert (verdict.passed, verdict.metadata["spikes"]) == (True, 0)


def test_two_wrong_bars_side_by_side_are_both_found():
    bars = alone()
    assert bar_spikes(at(bars, [50, 51], high=bars["high"].max() * 10), HOURS).count == 2


LEVEL = [100.0] * 60


@pytest.mark.parametrize(
    "closes",
    [
        pytest.param([*LEVEL, *[70.0] * 60], id="a crash that lasts"),
        pytest.param([*LEVEL, *[140.0] * 60], id="a halt that ends at another price"),
        pytest.param([*LEVEL, *np.linspace(100, 60, 8), *np.linspace(60, 100, 20), *LEVEL], id="a flash in minutes"),
        pytest.param([100.0, *[60.0] * 60], id="a first trade that is far from the second"),
        pytest.param([*[60.0] * 60, 100.0], id="a last trade that is far from the one before"),
        pytest.param([*[0.02] * 60, 0.05, *[0.02] * 60], id="a warrant of two cents"),
        pytest.param([10.0, 11.5] * 60, id="trades at a wide bid and a wide ask"),
        pytest.param([10.0, 10.0, 10.0, 13.0, 10.0, 10.0, 10.0], id="a few trades of a thin name"),
        pytest.param([10.0, 50.0, 10.0], id="too few bars to say anything"),
        pytest.param([], id="no bar"),
    ],
)
def test_what_the_market_does_is_no_spike(closes):
    assert bar_spikes(bars_at(closes), HOURS).count == 0


@pytest.mark.parametrize(
    "closes",
    [
        pytest.param([*LEVEL, 80.0, *LEVEL], id="a flash of one minute"),
        pytest.param([*[0.02] * 60, 0.2, *[0.02] * 60], id="a warrant times ten"),
        pytest.param([10.0, 10.0, 10.0, 100.0, 10.0, 10.0, 10.0], id="a thin name times ten"),
        pytest.param([*[10.0, 10.5] * 40, 30.0, *[10.0, 10.5] * 40], id="a lively name times three"),
    ],
)
def test_what_comes_back_at_once_is_one(closes):
    assert bar_spikes(bars_at(closes), HOURS).count >= 1


def test_outside_of_regular_hours_twice_as_much_is_needed():
    bars = market("SPY")
    early = bars["timestamp"].to_list().index(HOURS.open) - 60
    assert bar_spikes(at(bars, [early], high=bars["high"][early] * 1.15), HOURS).count == 0
    assert bar_spikes(at(bars, [early], high=bars["high"][early] * 1.25), HOURS).count == 1
    assert bar_spikes(at(bars, [early + 120], high=bars["high"][early + 120] * 1.15), HOURS).count == 1
    end = extended_hours(HALF_HOURS)[1]
    half = market("SPY", day=HALF_DAY)
    late = half["timestamp"].to_list().index(end - 200 * MINUTE)
    assert bar_spikes(at(half, [late], high=half["high"][late] * 1.15), HALF_HOURS).count == 0


def test_prices_that_cannot_be_are_left_to_their_own_rule():
    bars = at(at(at(alone(), [3], low=-5.0), [9], high=math.inf), [20], close=None)
    assert bar_spikes(bars, HOURS).count == 0


@given(
    scale=st.sampled_from([0.01, 1.0, 1000.0]),
    steps=st.lists(st.floats(-0.015, 0.015), min_size=40, max_size=120),
)
def test_no_walk_of_small_steps_has_a_spike(scale, steps):
    """Whatever the path: the closes around a bar lie at most five steps away."""
    walk = 50 * scale * np.exp(np.cumsum(steps))
    assert bar_spikes(bars_at([*walk]), HOURS).count == 0


def spoilt_quote(row: int, bid: float, ask: float) -> pl.DataFrame:
    quotes = quotes_of(*chain())
    hit = pl.int_range(pl.len()) == row
    return quotes.with_columns(
        pl.when(hit).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in (("bid", bid), ("ask", ask))
    )


def test_a_quote_alone_is_named_by_contract_and_minute():
    found = quote_spikes(spoilt_quote(100, 10.0, 10.5))
    spikes = told_of_quotes(found)
    assert (spikes.count, spikes.names) == (1, 1)
    assert spikes.concerned == ("QQQ 2024-01-03 400 C 11:10: 10 bid at 10.5, around it 1 to 1.05",)


@pytest.mark.parametrize(
    ("bid", "ask"), [(1.0, 10.5), (0.0, 1.05), (0.0, 0.0), (1.0, 0.0), (1.9, 2.0), (0.9, 0.95), (math.nan, 10.0)]
)
def test_a_wide_market_and_a_move_of_cents_is_no_spike(bid, ask):
    assert quote_spikes(spoilt_quote(100, bid, ask)).is_empty()


@pytest.mark.filterwarnings("error")
def test_a_price_as_large_as_can_be_is_one_in_silence():
    assert quote_spikes(spoilt_quote(100, 1.7e308, 1.7e308)).height == 1


def test_a_quote_far_below_its_neighbours_is_one():
    quotes = quotes_of(Contract()).with_columns(pl.col("bid", "ask") * 20)
    low = quotes.with_columns(
        pl.when(pl.int_range(pl.len()) == 50).then(pl.col(name) / 20).otherwise(name).alias(name)
        for name in ("bid", "ask")
    )
    assert quote_spikes(low)["timestamp"].to_list() == [OPEN + 50 * MINUTE]


def test_what_moved_for_good_and_other_contracts_beside_it_are_none():
    dear = quotes_of(Contract(strike=300.0)).with_columns(pl.col("bid", "ask") * 100)
    cheap, moved = quotes_of(Contract(strike=400.0)), quotes_of(Contract(strike=450.0))
    moved = moved.with_columns(
        pl.when(pl.col("timestamp") > OPEN + 60 * MINUTE).then(pl.col(name) * 10).otherwise(name).alias(name)
        for name in ("bid", "ask")
    )
    one_row = quotes_of(Contract(strike=500.0, end=OPEN + MINUTE)).with_columns(pl.col("bid", "ask") * 50)
    assert quote_spikes(pl.concat([cheap, dear, moved, one_row])).is_empty()
    assert quote_spikes(pl.concat([dear, cheap, one_row, cheap.with_columns(strike=pl.lit(600.0))])).is_empty()
    assert quote_spikes(cheap.head(0)).is_empty()
    assert quote_spikes(cheap.head(1)).is_empty()
