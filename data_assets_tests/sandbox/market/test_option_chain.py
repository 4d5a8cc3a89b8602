"""The synthetic chain: real sessions, whole grids, and quotes that a real market could show."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.sandbox.market.market import prices
from data_assets.sandbox.market.option_chain import (
    CROSSED,
    LOCKED,
    NATIONAL_BBO,
    RIGHTS,
    chain,
    expirations,
    underlying,
)
from data_assets.trading_calendar import NEW_YORK, is_session, next_session, session, sessions

DAYS = sessions(date(2016, 1, 4), date(2030, 12, 31))
DAILY_SPXW = date(2022, 5, 16)
EARLY_CLOSES = [day for day in DAYS if session(day).is_early_close]
any_day = st.one_of(st.sampled_from(DAYS), st.sampled_from(EARLY_CLOSES))
any_symbol = st.sampled_from(["QQQ", "SPX", "SPXW", "AAPL"])

COLUMNS = {
    "symbol": pl.String,
    "expiration": pl.Date,
    "strike": pl.Float64,
    "right": RIGHTS,
    "timestamp": pl.Datetime("us"),
    "bid_size": pl.Int32,
    "bid_exchange": pl.Int16,
    "bid": pl.Float64,
    "bid_condition": pl.Int16,
    "ask_size": pl.Int32,
    "ask_exchange": pl.Int16,
    "ask": pl.Float64,
    "ask_condition": pl.Int16,
}


def quotes(symbol: str, day: date, contracts: int) -> pl.DataFrame:
    return pl.concat(listing.quotes() for listing in chain(symbol, day, contracts))


@settings(deadline=None, max_examples=40)
@given(any_symbol, any_day)
def test_expirations_are_sessions_from_the_day_on(symbol, day):
    found = expirations(symbol, day)
    assert all(map(is_session, found))
    assert list(found) == sorted(set(found))
    assert found[0] >= day
    assert timedelta(days=500) < found[-1] - day <= timedelta(days=901)
    fortnight = sessions(day, day + timedelta(days=14))
    if symbol == "SPX":
        assert day not in found
    elif symbol == "SPXW" and day < DAILY_SPXW:
        weekdays = [last.weekday() for last in fortnight if last in found and last < DAILY_SPXW]
        assert set(weekdays) <= {0, 2, 3, 4}
        assert all(last in found for last in fortnight if last.weekday() in (0, 2, 4))
        assert all(next_session(last).weekday() < 3 for last in found if last.weekday() == 3 and last < DAILY_SPXW)
    else:
        assert found[: len(fortnight)] == tuple(fortnight)


def test_spxw_expires_daily_from_2022_05_16_on():
    before, after = expirations("SPXW", date(2022, 5, 10)), expirations("SPXW", date(2022, 5, 17))
    assert date(2022, 5, 10) not in before  # a Tuesday, still without contracts of its own
    assert date(2022, 5, 12) not in before
    assert {date(2022, 5, 11), date(2022, 5, 13), date(2022, 5, 17), date(2022, 5, 19)} <= set(before)
    assert after[0] == date(2022, 5, 17)


@settings(deadline=None, max_examples=20)
@given(any_day)
def test_spx_has_third_fridays_alone_and_spxw_has_them_too(day):
    morning, afternoon = expirations("SPX", day), expirations("SPXW", day)
    assert all(15 <= (last if last.weekday() == 4 else last + timedelta(days=1)).day <= 21 for last in morning)
    assert set(morning) <= set(afternoon)


def test_a_monthly_expiration_on_a_holiday_is_the_day_before():
    assert date(2025, 4, 17) in expirations("SPX", date(2025, 1, 6))  # 2025-04-18 was Good Friday


@settings(deadline=None, max_examples=40)
@given(any_symbol, any_day, st.integers(4, 3000))
def test_a_chain_has_the_contracts_asked_for_each_once(symbol, day, contracts):
    listings = chain(symbol, day, contracts)
    listed = pl.concat(listing.contracts() for listing in listings)
    assert listed.height == contracts - contracts % 2
    assert listed.is_unique().all()
    assert (listed["strike"] > 0).all()
    assert [listing.expiration for listing in listings] == sorted({listing.expiration for listing in listings})


def test_forty_thousand_contracts_are_possible():
    listings = chain("QQQ", DAYS[0], 40_000)
    assert sum(2 * len(listing.strikes) for listing in listings) == 40_000
    assert sum(listing.rows for listing in listings) > 16_000_000
    assert all(len(set(listing.strikes)) == len(listing.strikes) and min(listing.strikes) > 0 for listing in listings)


def test_strikes_come_unsorted():
    strikes = [listing.strikes for listing in chain("QQQ", DAYS[0], 600)]
    assert any(list(each) != sorted(each) for each in strikes)


@pytest.mark.parametrize(
    ("day", "end", "expiring_end"),
    [
        (date(2024, 1, 3), "16:15", "16:00"),
        (date(2024, 7, 3), "13:15", "13:00"),
        (date(2024, 3, 11), "16:15", "16:00"),  # the first session of daylight saving time
    ],
)
def test_the_grid_has_every_minute_of_the_session(day, end, expiring_end):
    for listing in chain("QQQ", day, 64):
        last = expiring_end if listing.expiration == day else end
        grid = pl.datetime_range(
            datetime.fromisoformat(f"{day}T09:30"),
            datetime.fromisoformat(f"{day}T{last}"),
            "1m",
            eager=True,
        )
        frame = listing.quotes()
        assert frame.height == listing.rows == frame["strike"].n_unique() * 2 * len(grid)
        for part in frame.partition_by("strike", "right", maintain_order=True):
            assert part["timestamp"].to_list() == grid.to_list()


def test_regular_days_have_406_rows_a_contract_and_expiring_contracts_391():
    rows = [len(listing.minutes) for listing in chain("QQQ", date(2024, 1, 3), 64)]
    assert rows[0] == 391
    assert set(rows[1:]) == {406}


@settings(deadline=None, max_examples=25)
@given(any_symbol, any_day, st.integers(4, 400))
def test_quotes_are_plausible(symbol, day, contracts):
    frame = quotes(symbol, day, contracts)
    assert dict(frame.schema) == COLUMNS
    first = frame.group_by("expiration", "strike", "right", maintain_order=True).first()
    prices_and_sizes = ["bid", "ask", "bid_size", "ask_size"]
    assert first.select(pl.sum_horizontal(prices_and_sizes).sum()).item() == 0
    assert (first["bid_condition"] == NATIONAL_BBO).all()

    assert frame.select(pl.min_horizontal(prices_and_sizes).min()).item() == 0
    later = frame.filter(pl.col("timestamp") > pl.col("timestamp").min())
    assert (later["ask"] > 0).all()
    assert (later["ask_size"] > 0).all()
    usual = later.filter(pl.col("bid_condition") == NATIONAL_BBO)
    assert (usual["bid"] < usual["ask"]).all()
    assert ((later["bid"] == 0) == (later["bid_size"] == 0)).all()
    cents = frame.select((pl.col("bid", "ask") * 100 - (pl.col("bid", "ask") * 100).round()).abs().max())
    assert max(cents.row(0)) < 1e-6

    odd = later.filter(pl.col("bid_condition") != NATIONAL_BBO)
    assert set(odd["bid_condition"]) <= {LOCKED, CROSSED}
    assert odd.filter((pl.col("bid") > pl.col("ask")) != (pl.col("bid_condition") == CROSSED)).is_empty()
    assert odd.filter((pl.col("bid") == pl.col("ask")) != (pl.col("bid_condition") == LOCKED)).is_empty()


def test_the_rare_things_of_real_markets_are_there_and_rare():
    frame = quotes("QQQ", date(2024, 1, 3), 2500)
    share = frame.height
    locked, crossed = (frame.filter(pl.col("ask_condition") == kind).height for kind in (LOCKED, CROSSED))
    assert 0 < locked < share / 5000
    assert 0 < crossed < share / 5000
    no_bid = frame.filter((pl.col("bid") == 0) & (pl.col("ask") > 0)).height
    assert 0.01 < no_bid / share < 0.5


def test_prices_obey_the_payoff():
    """Calls fall and puts rise with the strike, and what is deep in the money is worth the difference."""
    frame = quotes("QQQ", date(2024, 1, 3), 2000).filter(
        pl.col("timestamp") == datetime.fromisoformat("2024-01-03T12:00")
    )
    middle = frame.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2).sort("expiration", "strike")
    for (expiration,), part in middle.group_by("expiration"):
        calls, puts = (part.filter(pl.col("right") == right) for right in ("CALL", "PUT"))
        width = 1.0 + 0.02 * part["mid"].max()
        assert (calls["mid"].diff().drop_nulls() < width).all(), expiration
        assert (puts["mid"].diff().drop_nulls() > -width).all(), expiration
        assert calls["mid"][0] > calls["mid"][-1]
        assert puts["mid"][0] < puts["mid"][-1]


def test_index_options_quote_in_nickels_and_dimes():
    frame = quotes("SPXW", date(2024, 1, 3), 200).select((pl.col("bid", "ask") * 100).round().cast(pl.Int64) % 5)
    assert frame.sum().row(0) == (0, 0)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(["SPX", "SPXW", "QQQ"]), any_day)
def test_calls_less_puts_are_the_underlying_less_the_strike(symbol, day):
    """Put-call parity, without interest and dividends, within what the spreads leave open; both index roots alike."""
    frame = quotes(symbol, day, 120).filter(pl.col("bid") > 0)
    opened = session(day).open.astimezone(NEW_YORK)
    path = prices(underlying(symbol), day, opened.hour * 60 + opened.minute)
    spot = pl.DataFrame(
        {
            "timestamp": pl.datetime_range(
                opened.replace(tzinfo=None),
                opened.replace(tzinfo=None) + timedelta(minutes=len(path) - 1),
                "1m",
                eager=True,
            ),
            "spot": path,
        }
    )
    sides = frame.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2, room=(pl.col("ask") - pl.col("bid")).abs() / 2)
    calls, puts = (sides.filter(pl.col("right") == right) for right in ("CALL", "PUT"))
    pairs = calls.join(puts, on=["expiration", "strike", "timestamp"]).join(spot, on="timestamp")
    gap = (pairs["mid"] - pairs["mid_right"]) - (pairs["spot"] - pairs["strike"])
    locked_or_crossed = 0.1 + 0.02 * pairs["spot"] * (pairs["bid_condition"] + pairs["bid_condition_right"] != 100)
    assert pairs.height > 1000
    assert (gap.abs() <= pairs["room"] + pairs["room_right"] + locked_or_crossed).all()
