"""A chain says what its underlying costs, to within its spread."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.quality.parity import COLUMNS, implied_underlying, parity

NOON = datetime(2024, 7, 2, 16, tzinfo=UTC)
TODAY, TOMORROW = date(2024, 7, 2), date(2024, 7, 3)


def chain(
    spot: float,
    *,
    spread: float = 0.04,
    strikes: int = 21,
    time_value: float = 1.5,
    symbol: str = "SPXW",
    expires: date = TODAY,
) -> pl.DataFrame:
    """One snapshot: at each strike call and put differ by spot less strike, as parity says."""
    strike = round(spot) - strikes // 2 + pl.int_range(strikes)
    rows = pl.select(strike=strike.cast(pl.Float64)).with_columns(
        put=pl.max_horizontal(pl.col("strike") - spot, 0) + time_value
    )
    sides = [
        rows.select(
            "strike",
            symbol=pl.lit(symbol),
            expiration=pl.lit(expires),
            right=pl.lit(right).cast(pl.Enum(["CALL", "PUT"])),
            timestamp=pl.lit(NOON).cast(pl.Datetime("us", "UTC")),
            bid=mid - spread / 2,
            ask=mid + spread / 2,
        )
        for right, mid in (("CALL", pl.col("put") + spot - pl.col("strike")), ("PUT", pl.col("put")))
    ]
    return pl.concat(sides)


@given(st.floats(50, 6000), st.floats(0.01, 0.5))
def test_the_implied_price_is_the_one_that_the_chain_was_made_of(spot: float, spread: float) -> None:
    found = implied_underlying(chain(spot, spread=spread))
    assert found.schema == COLUMNS
    assert found["implied"].item() == pytest.approx(spot, abs=1e-6)
    assert found["band"].item() == pytest.approx(spread)


def test_what_is_not_quoted_on_both_sides_says_nothing() -> None:
    quotes = chain(100.0)
    no_bid = quotes.with_columns(bid=pl.when(pl.col("right") == "PUT").then(0.0).otherwise("bid"))
    crossed = quotes.with_columns(ask=pl.col("bid") - 0.01)
    assert implied_underlying(no_bid).is_empty()
    assert implied_underlying(crossed).is_empty()
    assert implied_underlying(quotes.filter(pl.col("right") == "CALL")).is_empty()
    one_strike = quotes.filter(pl.col("strike") == 100)
    assert implied_underlying(one_strike)["implied"].item() == pytest.approx(100.0)


def test_a_call_and_a_put_of_two_roots_are_no_pair() -> None:
    """On a third Friday SPX has settled in the morning, and SPXW at the same strikes trades until the close."""
    settled = chain(5000.0, time_value=4.0, symbol="SPX")
    no_puts = settled.filter(pl.col("right") == "CALL")
    found = implied_underlying(pl.concat([no_puts, chain(5000.0).filter(pl.col("strike") >= 5003)]))
    assert found["implied"].item() == pytest.approx(5000.0)


def test_an_expiration_without_a_pair_gives_way_to_the_next_one() -> None:
    """In its last hours, what is out of the money has no bid."""
    last_hours = chain(100.0).with_columns(bid=pl.when(pl.col("strike") >= 100).then("bid").otherwise(0.0))
    no_pair = last_hours.filter((pl.col("strike") < 100) | (pl.col("right") == "PUT"))
    following = chain(100.3, expires=TOMORROW)
    assert implied_underlying(no_pair).is_empty()
    assert implied_underlying(pl.concat([no_pair, following]))["implied"].item() == pytest.approx(100.3)
    assert implied_underlying(pl.concat([chain(100.0), following]))["implied"].item() == pytest.approx(100.0)


def test_a_wild_quote_far_from_the_money_does_not_matter() -> None:
    quotes = chain(100.0)
    wild = (pl.col("strike") == 90) & (pl.col("right") == "CALL")
    moved = quotes.with_columns(pl.when(wild).then(pl.col("bid") + 5).otherwise("bid").alias("bid")).with_columns(
        pl.when(wild).then(pl.col("ask") + 5).otherwise("ask").alias("ask")
    )
    assert implied_underlying(moved)["implied"].item() == pytest.approx(100.0)


def day(gaps: list[float], band: float = 0.02) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "timestamp": [NOON] * len(gaps),
            "implied": [100.0] * len(gaps),
            "band": [band] * len(gaps),
            "level": [100 + gap for gap in gaps],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def test_levels_outside_the_band_warn_when_they_are_many() -> None:
    inside = parity(day([0.0, 0.04, -0.04] * 20), "polygon/minute_aggs")
    assert inside.passed, "five cents of a hundred dollars are no difference"
    few = parity(day([0.0] * 95 + [1.0] * 5), "polygon/minute_aggs")
    many = parity(day([0.0] * 94 + [1.0] * 6), "polygon/minute_aggs")
    assert (few.passed, many.passed, many.severity) == (True, False, "warn")
    assert many.summary == (
        "6 of 100 snapshots of polygon/minute_aggs lie outside what the options imply; usually +0.000 dollars apart"
    )
    assert many.metadata["worst_snapshots"][0] == "16:00 UTC: 101, implied 100.00 give or take 0.05"  # type: ignore[index]
    assert parity(day([1.0] * 50, band=1.0), "polygon/minute_aggs").passed, "a wide market tells no more than that"


def test_no_snapshot_cannot_be_judged() -> None:
    verdict = parity(day([]), "theta/option_greeks/SPX")
    assert (verdict.passed, verdict.summary) == (True, "cannot tell: no snapshot has both")


def test_a_month_of_interest_is_no_difference() -> None:
    """Where there are monthly expirations alone, the nearest is weeks away: 5 % a year are 2.3 dollars of 560."""
    spot, expires = 560.0, date(2024, 8, 1)
    discount = 0.05 * 30 / 365
    quotes = chain(spot, expires=expires).with_columns(
        (pl.col(side) + pl.when(pl.col("right") == "CALL").then(pl.col("strike") * discount).otherwise(0.0))
        for side in ("bid", "ask")
    )
    implied = implied_underlying(quotes)
    assert abs(implied["implied"].item() - spot) > 2
    assert parity(implied.with_columns(level=pl.lit(spot)), "the bars").passed
    assert not parity(implied.with_columns(level=pl.lit(spot * 0.99)), "the bars").passed, "a percent still is one"
    today = implied_underlying(chain(spot)).with_columns(level=pl.lit(spot * 0.995))
    assert not parity(today, "the bars").passed, "on the day itself nothing is allowed for"
