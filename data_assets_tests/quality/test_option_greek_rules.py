"""The rules of greeks: a good day keeps them, each breach is found, and any split of a day counts alike."""

from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_assets.quality.option_greeks import (
    GreekSummary,
    IvThresholds,
    greek_summary,
    iv,
    merge_greek_summaries,
    parity,
    underlying,
)
from data_assets.quality.roots import per_root
from data_assets.quality.verdict import Verdict
from data_assets.sandbox.market.market import prices
from data_assets_tests.quality.greek_days import DAY, HOURS, ROOTS, good_day

GOOD = good_day()
MINUTE = timedelta(minutes=1)
NOON = HOURS.open + 150 * MINUTE
PATH = pl.DataFrame(
    {
        "timestamp": pl.datetime_range(HOURS.open, HOURS.option_close, "1m", eager=True, time_unit="us"),
        "price": prices("SPX", DAY, 570, 975),
    }
)
is_noon = pl.col("timestamp") == NOON


def summary_of(day: pl.DataFrame) -> GreekSummary:
    return greek_summary(day, open_=HOURS.open)


def verdicts(day: pl.DataFrame) -> dict[str, Verdict]:
    summary = summary_of(day)
    found = (
        iv(summary, IvThresholds()),
        parity(summary, close=HOURS.close),
        underlying(summary, open_=HOURS.open, close=HOURS.close, path=PATH),
    )
    return {verdict.name: verdict for verdict in found}


def changed(where: pl.Expr, **values: object) -> pl.DataFrame:
    """The good day with these values in these rows."""
    return GOOD.with_columns(
        pl.when(where)
        .then(value if isinstance(value, pl.Expr) else pl.lit(value, GOOD.schema[name]))
        .otherwise(pl.col(name))
        .alias(name)
        for name, value in values.items()
    )


def share(of: float) -> pl.Expr:
    """This share of the rows after the open, spread over the day."""
    place = pl.int_range(pl.len())
    return (pl.col("timestamp") > HOURS.open) & (place * 7919 % 1000 < of * 1000)


def test_a_good_day_passes_every_rule():
    found = verdicts(GOOD)
    assert [(verdict.name, verdict.passed, verdict.severity) for verdict in found.values()] == [
        ("iv", True, "warn"),
        ("parity", True, "warn"),
        ("underlying", True, "warn"),
    ]
    assert found["iv"].metadata["failed_at_open"] == 128
    assert found["underlying"].metadata["without_price_at_open"] == 128
    assert found["parity"].metadata["pairs"] > 300


@pytest.mark.parametrize(
    ("day", "broken"),
    [
        pytest.param(changed(is_noon, implied_vol=-0.1), {"iv": "error"}, id="a negative volatility"),
        pytest.param(changed(is_noon, delta=-1.01), {"iv": "error"}, id="a delta beyond -1"),
        pytest.param(changed(share(0.06), vega=float("nan")), {"iv": "warn"}, id="too many without a number"),
        pytest.param(changed(share(0.06), theta=None), {"iv": "warn"}, id="too many empty"),
        pytest.param(changed(share(0.06), iv_error=100.0), {"iv": "warn"}, id="too many failed"),
        pytest.param(changed(share(0.06), iv_error=-120.0), {"iv": "warn"}, id="too many failed downwards"),
        pytest.param(changed(share(0.30), implied_vol=0.0), {"iv": "warn"}, id="too many without volatility"),
        pytest.param(changed(share(0.06), implied_vol=6.0), {"iv": "warn"}, id="too many too high"),
        pytest.param(changed(share(0.06), iv_error=-0.6), {"iv": "warn"}, id="too many poor"),
        pytest.param(
            changed(pl.col("right") == "CALL", bid=pl.col("bid") + 60, ask=pl.col("ask") + 60),
            {"parity": "warn"},
            id="calls of another price than puts",
        ),
        pytest.param(
            changed(is_noon, underlying_price=0.0, iv_error=100.0), {"underlying": "warn"}, id="no price at noon"
        ),
        pytest.param(changed(is_noon, underlying_price=-1.0), {"underlying": "error"}, id="a negative price"),
        pytest.param(
            changed(is_noon, underlying_price=pl.col("underlying_price") * 1.02),
            {"underlying": "error"},
            id="off the path",
        ),
        pytest.param(
            changed(is_noon & (pl.col("strike") > 5800), underlying_price=pl.col("underlying_price") * 1.008),
            {"underlying": "warn"},
            id="two prices at one instant",
        ),
        pytest.param(
            changed(is_noon, underlying_timestamp=NOON + MINUTE), {"underlying": "error"}, id="a price from the future"
        ),
        pytest.param(
            changed(is_noon, underlying_timestamp=NOON - 6 * MINUTE), {"underlying": "warn"}, id="an old price"
        ),
    ],
)
def test_a_breach_is_found_by_its_rule_and_by_no_other(day, broken):
    found = {name: verdict.severity for name, verdict in verdicts(day).items() if not verdict.passed}
    assert found == broken


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf"), -float("inf")])
def test_greeks_that_the_model_does_not_give_are_counted_and_no_error(nothing):
    day = changed(is_noon, **dict.fromkeys(("delta", "theta", "vega", "rho", "implied_vol", "iv_error"), nothing))
    found = verdicts(day)
    assert all(verdict.passed for verdict in found.values()), found
    assert found["iv"].metadata["unusable_rows"] == GOOD.filter(is_noon).height > 0


@pytest.mark.parametrize(("factor", "kinds"), [(1.05, {"jumps"}), (1.3, {"jumps", "far_from_median"}), (1.01, set())])
def test_without_a_path_the_day_is_its_own_measure(factor, kinds):
    day = changed(is_noon, underlying_price=pl.col("underlying_price") * factor)
    verdict = underlying(summary_of(day), open_=HOURS.open, close=HOURS.close)
    assert {kind for kind in ("jumps", "far_from_median", "apart", "stale") if verdict.metadata[kind]} == kinds
    assert verdict.passed is not bool(kinds)
    assert verdict.severity == "warn"
    assert "off_path" not in verdict.metadata


def test_after_the_close_an_index_may_stand_still():
    still = pl.col("timestamp") > HOURS.close
    day = changed(still, underlying_timestamp=HOURS.close, underlying_price=5790.0)
    verdict = underlying(summary_of(day), open_=HOURS.open, close=HOURS.close, path=PATH.filter(~still))
    assert verdict.passed, verdict.summary


def test_no_price_and_no_row_are_not_fine():
    for day in (changed(pl.lit(value=True), underlying_price=0.0), GOOD.clear()):
        verdict = underlying(summary_of(day), open_=HOURS.open, close=HOURS.close)
        assert not verdict.passed
        assert "no price at all" in verdict.summary
        pairs = parity(summary_of(day), close=HOURS.close)
        assert pairs.passed
        assert "cannot tell" in pairs.summary


def test_parity_allows_for_interest_and_spreads_but_not_for_more():
    """With interest a call is worth more and a put less: 5 % a year is allowed, 12 % is not."""
    years = (pl.col("expiration") - DAY).dt.total_days() / 365
    for rate, fine in ((0.05, True), (0.12, False)):
        up = pl.col("strike") * rate * years * (pl.col("right") == "CALL") * (pl.col("bid") > 0)
        day = GOOD.with_columns(bid=pl.col("bid") + up, ask=pl.col("ask") + up)
        verdict = parity(summary_of(day), close=HOURS.close, band=0.0005, tolerance=0.2)
        assert verdict.passed is fine, (rate, verdict.summary)


def test_the_summary_says_what_is_in_a_contract():
    contract = GOOD.select("symbol", "expiration", "strike", "right").row(500)
    mine = pl.all_horizontal(
        pl.col(name) == value for name, value in zip(("symbol", "expiration", "strike", "right"), contract, strict=True)
    )
    day = changed(mine & is_noon, implied_vol=5.5, iv_error=0.7)
    row = summary_of(day).contracts.filter(mine).row(0, named=True)
    rows = day.filter(mine)
    later = rows.filter(pl.col("iv_error") < 100, pl.col("implied_vol") > 0)
    assert row == {
        **dict(zip(("symbol", "expiration", "strike", "right"), contract, strict=True)),
        "rows": rows.height,
        "opening": 1,
        "failed": 1,
        "opening_failed": 1,
        "zero": rows.filter(pl.col("implied_vol") == 0).height,
        "high": 1,
        "poor": 1,
        "negative": 0,
        "unusable": 0,
        "impossible_delta": 0,
        "lowest_vol": later["implied_vol"].min(),
        "highest_vol": 5.5,
    }


def test_the_money_is_the_nearest_strike_of_each_expiration_and_minute():
    money = summary_of(GOOD).money
    near = GOOD.filter(
        pl.col("underlying_price") > 0,
        ((pl.col("strike") - pl.col("underlying_price")).abs() <= 0.02 * pl.col("underlying_price")),
        pl.col("bid") > 0,
        pl.col("ask") >= pl.col("bid"),
    )
    key = ["symbol", "expiration", "timestamp", "right"]
    nearest = near.group_by(key).agg((pl.col("strike") - pl.col("underlying_price")).abs().min().alias("away"))
    both = money.join(nearest, on=key, how="full", coalesce=True)
    assert both.height == money.height == nearest.height
    assert ((both["strike"] - both["underlying_price"]).abs() == both["away"]).all()


ODD = st.sampled_from([None, float("nan"), float("inf"), -1.0, 0.0, 0.3, 1.0, 6.0, 100.0, -100.0])


@st.composite
def odd_days(draw: st.DrawFn) -> pl.DataFrame:
    """Some rows of the good day, in any order, with any values in the columns that are judged."""
    places = draw(st.lists(st.integers(0, GOOD.height - 1), min_size=1, max_size=40))
    day = GOOD[places]
    columns = ["delta", "implied_vol", "iv_error", "underlying_price", "bid", "ask"]
    odd = {
        name: pl.Series(
            [draw(ODD) if draw(st.integers(0, 3)) == 0 else value for value in day[name]],
            dtype=pl.Float64,
        )
        for name in columns
    }
    return day.with_columns(**odd)


@settings(deadline=None, max_examples=60)
@given(odd_days(), st.lists(st.integers(0, 40), max_size=4))
def test_any_split_of_a_day_gives_the_summary_of_the_whole(day, cuts):
    edges = [0, *sorted(min(cut, day.height) for cut in cuts), day.height]
    pieces = [day[low:high] for low, high in pairwise(edges)]
    merged = merge_greek_summaries([summary_of(piece) for piece in pieces])
    whole = summary_of(day)
    for frame in ("contracts", "underlying", "money"):
        assert_frame_equal(getattr(merged, frame), getattr(whole, frame))


@settings(deadline=None, max_examples=60)
@given(odd_days())
def test_counts_are_those_of_one_row_after_another(day):
    contracts = summary_of(day).contracts
    counted = dict.fromkeys(("failed", "zero", "high", "poor", "negative", "unusable", "impossible_delta"), 0)
    greeks = ["delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error", "underlying_price"]
    for row in day.iter_rows(named=True):
        volatility, error, delta = row["implied_vol"], row["iv_error"], row["delta"]
        failed = error is not None and (abs(error) >= 100 or error != error)
        known = error is not None and not failed
        counted["failed"] += failed
        counted["zero"] += known and volatility == 0
        counted["high"] += known and volatility is not None and 5 < volatility < float("inf")
        counted["poor"] += known and abs(error) >= 0.5
        counted["negative"] += volatility is not None and -float("inf") < volatility < 0
        counted["unusable"] += any(row[name] is None or row[name] - row[name] != 0 for name in greeks)
        counted["impossible_delta"] += delta is not None and 1 < abs(delta) < float("inf")
    assert {kind: contracts[kind].sum() for kind in counted} == counted
    assert contracts["rows"].sum() == day.height


def test_rules_judge_each_root_alone():
    """A breach in the smaller root is that root's, and shows in the verdict on both."""
    only_spx = changed((pl.col("symbol") == "SPX") & share(0.5), implied_vol=0.0, iv_error=0.0)
    both, thresholds = summary_of(only_spx), IvThresholds(zero=0.4)
    assert iv(both, thresholds).passed
    verdict = per_root(ROOTS, lambda root: iv(both.of(root), thresholds))
    assert not verdict.passed
    assert verdict.name == "iv"
    assert verdict.summary.startswith("SPX: zero ")
    assert "; SPXW: failed 0.00%" in verdict.summary
    assert verdict.metadata["SPX_zero_share"] > 0.4 > verdict.metadata["SPXW_zero_share"]
    assert per_root(["SPXW"], lambda root: iv(both.of(root), thresholds)) == iv(both.of("SPXW"), thresholds)


@pytest.mark.parametrize("wrong", [{"failed": -0.1}, {"zero": 1.5}])
def test_thresholds_are_shares(wrong):
    with pytest.raises(ValueError, match="share from 0 to 1"):
        IvThresholds(**wrong)
