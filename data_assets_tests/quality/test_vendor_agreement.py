"""Each way in which two vendors' minutes differ is told by its reason, and only what has none counts against a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.quality.vendor_agreement import (
    FEW_TRADES,
    OTHER,
    SAME,
    agreement,
    agreement_metrics,
    compare_bars,
    compared_columns,
    volumes,
)

NAMES = ("ib", "polygon")
OPEN, CLOSE = datetime(2024, 7, 2, 13, 30, tzinfo=UTC), datetime(2024, 7, 2, 20, tzinfo=UTC)
MINUTES = 390


def bars(minutes: int = MINUTES) -> pl.DataFrame:
    place = pl.int_range(minutes)
    price = 100 + (place % 17) * 0.25
    return pl.select(
        timestamp=pl.lit(OPEN).cast(pl.Datetime("us", "UTC")) + pl.duration(minutes=place),
        open=price,
        high=price + 0.5,
        low=price - 0.5,
        close=price + 0.25,
        volume=(1000 + place).cast(pl.Float64),
        trades=(20 + place % 5).cast(pl.Int64),
    )


def at(place: int, **changes: float) -> pl.DataFrame:
    """The bars with one minute changed by so much."""
    return bars().with_columns(
        pl.when(pl.int_range(pl.len()) == place).then(pl.col(name) + by).otherwise(name).alias(name)
        for name, by in changes.items()
    )


def compared(ib: pl.DataFrame, polygon: pl.DataFrame) -> pl.DataFrame:
    found = compare_bars(ib, polygon, NAMES, open_=OPEN, close=CLOSE)
    assert found.schema == compared_columns(*NAMES)
    assert found["timestamp"].is_sorted()
    return found


def reasons(ib: pl.DataFrame, polygon: pl.DataFrame) -> dict[str, int]:
    return dict(compared(ib, polygon).group_by("reason").len().iter_rows())


def test_the_same_bars_agree() -> None:
    found = compared(bars(), bars())
    assert agreement_metrics(found, NAMES) == {
        "score": 100.0,
        "minutes": MINUTES,
        "minutes_same": MINUTES,
        "minutes_explained": 0,
        "minutes_unexplained": 0,
        **dict.fromkeys(("minutes_extremes", "minutes_edge", "minutes_thin", "minutes_no_trade", "minutes_scaled"), 0),
        "minutes_other": 0,
        "only_ib": 0,
        "only_polygon": 0,
        "largest_difference": 0.0,
        "price_ratio": 1.0,
        "volume_ratio": 1.0,
    }
    assert agreement(found, NAMES).passed
    assert volumes(found, NAMES).passed


@pytest.mark.parametrize(
    ("ib", "reason"),
    [
        (at(50, close=0.01), "same"),
        (at(50, close=0.02), "other"),
        (at(50, open=-0.02), "other"),
        (at(50, high=3.0), "extremes"),
        (at(50, low=-3.0, high=0.02), "extremes"),
        (at(0, close=5.0), "edge"),
        (at(MINUTES - 1, low=-5.0), "edge"),
    ],
)
def test_a_minute_that_both_have(ib: pl.DataFrame, reason: str) -> None:
    expected = {SAME: MINUTES} if reason == SAME else {SAME: MINUTES - 1, reason: 1}
    assert reasons(ib, bars()) == expected
    assert reasons(bars(), ib) == expected, "whichever side it is on"


@pytest.mark.parametrize(
    ("trades", "volume", "place", "reason"),
    [
        (0, 0.0, 50, "no_trade"),
        (1, 100.0, 50, "thin"),
        (FEW_TRADES, 100.0, 50, "thin"),
        (FEW_TRADES + 1, 100.0, 50, "other"),
        (500, 1e6, 0, "edge"),
    ],
)
def test_a_minute_that_one_has(trades: int, volume: float, place: int, reason: str) -> None:
    here = pl.int_range(pl.len()) == place
    ib = bars().with_columns(
        trades=pl.when(here).then(trades).otherwise("trades"), volume=pl.when(here).then(volume).otherwise("volume")
    )
    without = bars().filter(~here)
    assert reasons(ib, without) == {SAME: MINUTES - 1, reason: 1}
    assert reasons(without, ib) == {SAME: MINUTES - 1, reason: 1}
    row = compared(ib, without).row(place, named=True)
    assert (row["close_polygon"], row["difference"]) == (None, None)
    assert row["close_ib"] is not None


def test_a_split_that_one_side_is_adjusted_for_is_told_as_such() -> None:
    adjusted = bars().with_columns(pl.col("open", "high", "low", "close") / 4, pl.col("volume") * 4)
    found = compared(adjusted, bars())
    verdict = agreement(found, NAMES)
    assert set(found["reason"]) == {"scaled"}
    assert not verdict.passed
    assert "prices of ib are 0.25 times those of polygon: one of them is adjusted for a split" in verdict.summary
    assert agreement_metrics(found, NAMES)["score"] == 0


def scaled_by(factor: float) -> pl.DataFrame:
    return bars().with_columns(pl.col("open", "high", "low", "close") * factor, pl.col("volume") / factor)


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (1 / 1.5, "prices of ib are 0.6667 times those of polygon: one of them is adjusted for a split that the other"),
        (10, "prices of ib are 10 times those of polygon: one of them is adjusted for a split that the other is not"),
        (1.05, "adjusted for a split (none is usual by 1.05) or a stock dividend that the other is not"),
    ],
)
def test_on_a_scaled_day_volumes_are_compared_in_the_same_shares(factor: float, says: str) -> None:
    found = compared(scaled_by(factor), bars())
    assert says in agreement(found, NAMES).summary
    verdict = volumes(found, NAMES)
    assert verdict.passed, "a split has changed them as much as the prices"
    assert "1 times the volume" in verdict.summary
    assert not volumes(compared(scaled_by(factor).with_columns(pl.col("volume") / 5), bars()), NAMES).passed


def test_another_security_is_no_split() -> None:
    """It costs three times as much, and its minutes go their own way."""
    other = bars().with_columns((pl.col("open", "high", "low", "close") * 3).reverse())
    found = compared(other, bars())
    assert "scaled" not in set(found["reason"])
    summary = agreement(found, NAMES).summary
    assert "times those of polygon, but not by one factor: are both of one security?" in summary
    assert "split" not in summary


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (1, "the bars of ib are those of polygon a minute later: one of them is labelled by ends"),
        (-1, "the bars of ib are those of polygon a minute earlier: one of them is labelled by ends"),
        (60, "polygon 60 minutes later: one of them is labelled by the hours of another zone"),
    ],
)
def test_bars_under_other_labels_are_told_as_such(minutes: int, says: str) -> None:
    inside = pl.col("timestamp").is_between(OPEN, CLOSE, closed="left")
    moved = bars().with_columns(pl.col("timestamp") + timedelta(minutes=minutes)).filter(inside)
    verdict = agreement(compared(moved, bars()), NAMES)
    assert not verdict.passed
    assert says in verdict.summary
    flat = bars().with_columns(pl.lit(5.0).alias(name) for name in ("open", "high", "low", "close"))
    assert "labelled" not in agreement(compared(flat, flat), NAMES).summary, "nor a price that never moves"


def test_a_stretch_that_one_vendor_lacks_is_named() -> None:
    verdict = agreement(compared(bars().filter(~pl.int_range(pl.len()).is_between(100, 129)), bars()), NAMES)
    assert not verdict.passed
    assert verdict.summary == "390 minutes: 360 same, 30 other; ib has no bar from 15:10 to 15:39 UTC"


def test_a_ticker_that_one_vendor_alone_has_is_no_agreement() -> None:
    """However thin its minutes are: five trades in each are no trades that the other leaves out."""
    thin = bars().with_columns(trades=pl.lit(2, pl.Int64))
    for ib, polygon, who in ((thin, thin.head(0), "polygon"), (thin.head(0), thin, "ib")):
        found = compared(ib, polygon)
        assert set(found["reason"]) == {OTHER}
        assert agreement_metrics(found, NAMES)["score"] == 0
        verdict = agreement(found, NAMES)
        assert (verdict.passed, verdict.summary) == (False, f"390 minutes: 390 other; {who} has no bar")
    apart = compared(thin.head(10), thin.tail(10))
    assert agreement(apart, NAMES).summary == "20 minutes: 20 other; they have no minute in common"
    untraded = thin.with_columns(trades=pl.lit(0, pl.Int64), volume=pl.lit(0.0))
    assert agreement(compared(untraded, thin.head(0)), NAMES).passed, "nothing traded, and both say so"


def test_highs_that_differ_all_day_are_no_exceptions() -> None:
    found = compared(bars().with_columns(pl.col("high") + 3), bars())
    assert agreement_metrics(found, NAMES)["score"] < 1
    verdict = agreement(found, NAMES)
    assert (verdict.passed, verdict.summary) == (False, "390 minutes: 388 other, 2 edge")
    half = pl.when(pl.int_range(pl.len()) < MINUTES // 2).then(pl.col("high") + 3).otherwise("high")
    assert agreement(compared(bars().with_columns(half), bars()), NAMES).passed


@pytest.mark.parametrize(("apart", "reason"), [(0.0001, "same"), (0.0002, "other"), (0.005, "other")])
def test_below_a_dollar_a_tick_is_a_hundredth_of_a_cent(apart: float, reason: str) -> None:
    """At three cents, half a cent is a sixth of the price."""
    cents = bars().with_columns(pl.col("open", "high", "low", "close") * 0 + 0.03)
    moved = pl.when(pl.int_range(pl.len()) == 50).then(pl.col("close") + apart).otherwise("close")
    expected = {SAME: MINUTES} if reason == SAME else {SAME: MINUTES - 1, reason: 1}
    assert reasons(cents.with_columns(close=moved), cents) == expected


@pytest.mark.parametrize("price", [0.0, 0.0001, float("nan")])
def test_a_price_that_is_none_is_compared_all_the_same(price: float) -> None:
    broken = bars().with_columns(close=pl.lit(price))
    for ib, polygon in ((broken, bars()), (bars(), broken)):
        verdict = agreement(compared(ib, polygon), NAMES)
        assert not verdict.passed
        assert "split" not in verdict.summary
        volumes(compared(ib, polygon), NAMES)
    assert agreement(compared(broken, broken), NAMES).passed == (price == price)


def test_unexplained_minutes_warn_above_the_tolerance_and_are_named() -> None:
    place = pl.int_range(pl.len())
    few = bars().with_columns(close=pl.when(place.is_between(10, 16)).then(pl.col("close") + place).otherwise("close"))
    many = bars().with_columns(close=pl.when(place.is_between(10, 17)).then(pl.col("close") + place).otherwise("close"))
    assert agreement(compared(few, bars()), NAMES).passed, "7 of 390 are less than 2 %"
    verdict = agreement(compared(many, bars()), NAMES)
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.summary == "390 minutes: 382 same, 8 other"
    worst = verdict.metadata["worst_minutes"]
    assert isinstance(worst, list)
    assert worst[0] == "13:47 UTC: ib 100 100.5 99.5 117.25, polygon 100 100.5 99.5 100.25"


def test_no_bar_on_either_side_does_not_pass() -> None:
    nothing = compared(bars().head(0), bars().head(0))
    assert not agreement(nothing, NAMES).passed
    assert volumes(nothing, NAMES).passed


@pytest.mark.parametrize(
    ("factor", "passes", "says"),
    [(1.0, True, "1 times"), (0.6, True, "0.6 times"), (0.2, False, "0.2 times"), (0.01, False, "lots of a hundred")],
)
def test_volumes_lie_in_a_band(factor: float, passes: bool, says: str) -> None:
    verdict = volumes(compared(bars().with_columns(pl.col("volume") * factor), bars()), NAMES)
    assert (verdict.passed, verdict.severity) == (passes, "warn")
    assert says in verdict.summary


@given(st.data())
def test_every_minute_of_either_side_has_one_row_and_one_reason(data: st.DataObject) -> None:
    def drawn() -> pl.DataFrame:
        places = sorted(data.draw(st.sets(st.integers(0, 20), max_size=21)))
        moves = data.draw(st.lists(st.sampled_from([0.0, 0.01, 0.5, -2.0]), min_size=21, max_size=21))
        frame = bars(21).with_columns(pl.col("close") + pl.Series(moves))
        return frame[places]

    ib, polygon = drawn(), drawn()
    found = compared(ib, polygon)
    assert set(found["timestamp"]) == {*ib["timestamp"], *polygon["timestamp"]}
    assert found.height == found["timestamp"].n_unique()
    assert found["reason"].null_count() == 0
    metrics = agreement_metrics(found, NAMES)
    assert metrics["minutes_same"] + metrics["minutes_explained"] + metrics["minutes_unexplained"] == found.height
    assert 0 <= metrics["score"] <= 100
    mirrored = compare_bars(polygon, ib, NAMES, open_=OPEN, close=CLOSE)
    assert mirrored["reason"].to_list() == found["reason"].to_list()
    assert found.filter(pl.col("reason") == OTHER)["timestamp"].is_between(OPEN, OPEN + timedelta(minutes=20)).all()
