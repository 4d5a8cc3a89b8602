"""Flags of rows: what each rule finds, what no order of work may change, and how often they are right and wrong."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_assets.quality import row_flags
from data_assets.quality.row_flags import BAR_FLAGS, DEVIATIONS, QUOTE_FLAGS, STALE_ROWS, bar_flags, quote_flags
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets_tests.quality.quote_days import SCHEMA

DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4), date(2024, 1, 5)]
START = datetime(2024, 1, 3, 14, 31, tzinfo=UTC)


def bars(*closes, **columns):
    price = pl.Series(closes, dtype=pl.Float64)
    frame = dict.fromkeys(("open", "high", "low", "close"), price) | {"volume": pl.Series([1.0] * len(closes))}
    return pl.DataFrame(frame | columns)


def flags_of(frame):
    return bar_flags(frame, pl.Series([""] * frame.height))


def contract(*quotes, strike=400.0, sizes=None):
    """One contract's quotes, a minute apart."""
    rows = [
        ("QQQ", date(2024, 1, 19), strike, "CALL", START + timedelta(minutes=at), size, 5, bid, 50, size, 5, ask, 50)
        for at, ((bid, ask), size) in enumerate(zip(quotes, sizes or range(1, len(quotes) + 1), strict=True))
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def found(quotes, flag):
    return quote_flags(quotes)[flag].arg_true().to_list()


@pytest.mark.parametrize(
    "bad",
    [
        {"low": 101.0},
        {"high": 99.0},
        {"open": 0.0, "low": 0.0},
        {"close": float("nan")},
        {"close": None},
        {"volume": -1.0},
        {"volume": None},
        {"volume": float("nan")},
        {"volume": float("inf")},
    ],
)
def test_a_bar_that_cannot_be_is_flagged(bad):
    good = bars(*[100.0] * 30)
    frame = good.with_row_index().with_columns(
        pl.when(pl.col("index") == 12).then(pl.lit(value, pl.Float64)).otherwise(pl.col(name)).alias(name)
        for name, value in bad.items()
    )
    assert flags_of(frame)["flag_ohlc"].arg_true().to_list() == [12]
    assert not flags_of(good).select(pl.any_horizontal(BAR_FLAGS)).to_series().any()


@pytest.mark.parametrize("price", ["high", "low"])
def test_a_bar_is_an_outlier_by_its_high_or_its_low(price):
    frame = bars(*[100 + 0.1 * (at % 3) for at in range(100)]).with_row_index()
    there = pl.when(pl.col("index") == 40).then(pl.lit(110.0 if price == "high" else 90.0))
    frame = frame.with_columns(there.otherwise(pl.col(price)).alias(price))
    assert flags_of(frame)["flag_outlier"].arg_true().to_list() == [40]


def test_a_price_that_moved_for_good_is_no_outlier():
    steps = bars(*[100.0] * 60, *[130.0] * 60)
    assert not flags_of(steps)["flag_outlier"].any()


def test_few_bars_say_nothing():
    assert not flags_of(bars(*[100.0] * 8, 200.0))["flag_outlier"].any()


def test_each_series_is_by_itself():
    both = bars(*[10.0] * 30, *[1000.0] * 30)
    together = bar_flags(both, pl.Series(["A"] * 30 + ["B"] * 30))
    assert not together["flag_outlier"].any()


def test_one_sided_and_crossed_quotes():
    quotes = contract((0, 0), (0, 0.1), (1, 0), (1.2, 1.1), (1, 1), (1, 1.1), (None, None), (float("nan"), 1.0))
    assert {flag: found(quotes, flag) for flag in QUOTE_FLAGS[:5]} == {
        "flag_no_quote": [0, 6],
        "flag_zero_bid": [1, 7],
        "flag_zero_ask": [2],
        "flag_crossed": [3],
        "flag_locked": [4],
    }


def test_a_spread_is_wide_against_the_contracts_own_day():
    narrow = contract(*[(1.0, 1.01)] * 9, (1.0, 1.52))
    usual = contract(*[(1.0, 1.51)] * 10, strike=401.0)
    assert found(pl.concat([narrow, usual]), "flag_wide") == [9]
    assert found(contract(*[(1.0, 1.01)] * 9, (1.0, 1.49)), "flag_wide") == []


def test_a_quote_is_stale_after_it_has_not_moved_for_long():
    quotes = [(1.0, 1.1)] * (STALE_ROWS + 3)
    unmoved = contract(*quotes, sizes=[5] * len(quotes))
    assert found(unmoved, "flag_stale") == [STALE_ROWS, STALE_ROWS + 1, STALE_ROWS + 2]
    assert found(contract(*quotes), "flag_stale") == [], "its sizes moved"
    assert found(unmoved.drop("bid_size", "ask_size"), "flag_stale") == found(unmoved, "flag_stale")
    nobody = contract(*[(0.0, 0.1)] * len(quotes), sizes=[5] * len(quotes))
    assert found(nobody, "flag_stale") == []
    two = pl.concat([unmoved[:20], unmoved[:20].with_columns(strike=pl.lit(401.0))])
    assert found(two, "flag_stale") == [], "the next contract begins anew"


def test_a_mid_is_an_outlier_among_the_mids_around_it():
    quotes = [(1 + at % 4 / 100, 1.1 + at % 4 / 100) for at in range(80)]
    quotes[33] = (7.0, 7.1)
    assert found(contract(*quotes), "flag_outlier") == [33]


prices = st.floats(0.01, 1000, allow_nan=False)
quote = st.tuples(st.one_of(st.just(0.0), prices), st.one_of(st.just(0.0), prices))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(quote, min_size=1, max_size=70), min_size=1, max_size=4))
def test_contracts_do_not_touch_each_other(days):
    """Every contract has the flags that it has alone, and a quote is at most one of the five kinds."""
    each = [contract(*quotes, strike=400.0 + at) for at, quotes in enumerate(days)]
    together = quote_flags(pl.concat(each))
    assert_frame_equal(together, pl.concat([quote_flags(quotes) for quotes in each]))
    assert together.select(pl.sum_horizontal(QUOTE_FLAGS[:5])).to_series().max() <= 1
    assert together.null_count().sum_horizontal().item() == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(prices, min_size=1, max_size=120))
def test_the_outliers_of_bars_are_those_of_the_definition(closes):
    """As the docstring says it, in plain numpy."""
    around, share, cents = row_flags.AROUND, row_flags.BAR_SHARE, row_flags.BAR_DOLLARS
    values = np.array(closes)

    def rolling(of):
        windows = [of[max(0, at - around) : at + around + 1] for at in range(len(of))]
        return np.array([np.median(w) if np.isfinite(w).sum() >= row_flags.FEWEST else np.nan for w in windows])

    usual = rolling(values)
    deviation = rolling(np.abs(values - usual))
    with np.errstate(invalid="ignore"):
        margin = np.abs(values - usual) - (DEVIATIONS * deviation + share * usual + cents)
    flags = flags_of(bars(*closes))["flag_outlier"].to_numpy()
    clear = ~(np.abs(margin) < 1e-9)
    assert (flags == (margin > 0))[clear].all()


def test_planted_errors_are_found_and_real_moves_are_mostly_left_alone(record_property):
    """Hits and false alarms, on the sandbox's market, whose prices move at random and jump with its events."""
    rng = np.random.default_rng(7)
    planted = hits = rows = alarms = 0
    for ticker in ("SPY", "AAPL", "MSFT", "GOOGL"):
        for day in DAYS:
            clean = minute_bars(ticker, day).select("open", "high", "low", "close", "volume")
            alarms += int(flags_of(clean)["flag_outlier"].sum())
            rows += clean.height
            at = rng.choice(np.arange(40, clean.height - 40, 60), 6, replace=False)
            factors = dict(zip(at.tolist(), rng.choice([0.1, 0.9, 0.985, 1.015, 1.5, 10.0], 6).tolist(), strict=True))
            index = pl.int_range(pl.len())
            wrong = index.replace_strict(factors, default=1.0, return_dtype=pl.Float64)
            spoilt = clean.with_columns(
                high=pl.max_horizontal("high", pl.col("close") * wrong),
                low=pl.min_horizontal("low", pl.col("close") * wrong),
            )
            planted += len(factors)
            hits += int(flags_of(spoilt)["flag_outlier"].gather(at).sum())
    print(f"bars: {hits} of {planted} planted errors found; {alarms} false alarms in {rows:,} rows")
    record_property("bars", f"{hits}/{planted}, {alarms}/{rows}")
    assert hits >= 0.9 * planted
    assert alarms <= 0.002 * rows


def test_planted_errors_in_quotes(record_property):
    rng = np.random.default_rng(11)
    planted = hits = rows = alarms = 0
    for number in range(20):
        mids = np.round(np.abs(5 * (number + 1) / 4 + np.cumsum(rng.normal(0, 0.02, 400))) + 0.3, 2)
        clean = [(round(mid - 0.05, 2), round(mid + 0.05, 2)) for mid in mids.tolist()]
        rows += len(clean)
        alarms += int(quote_flags(contract(*clean)).select(pl.any_horizontal(QUOTE_FLAGS)).to_series().sum())
        spoilt = list(clean)
        for at in (kinds := rng.choice(np.arange(30, 370, 20), 4, replace=False).tolist()):
            bid, ask = clean[at]
            spoilt[at] = [(ask, bid), (bid * 10, ask * 10), (bid, ask + 90), (0.0, ask)][kinds.index(at)]
        found = quote_flags(contract(*spoilt)).select(pl.any_horizontal(QUOTE_FLAGS)).to_series()
        planted += len(kinds)
        hits += int(found.gather(kinds).sum())
    print(f"quotes: {hits} of {planted} planted errors found; {alarms} false alarms in {rows:,} rows")
    record_property("quotes", f"{hits}/{planted}, {alarms}/{rows}")
    assert hits == planted
    assert alarms <= 0.002 * rows
