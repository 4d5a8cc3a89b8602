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
