"""One minute's chain, one contract over days, and the greeks: which rows, and what is computed beside them."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_assets.lake.lake import Lake, LakeError
from data_assets_tests.lake.lake_days import COLUMNS, DAY, quotes, store
from data_assets_tests.lake.minute_days import day_bars, store_day

OPEN = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)
NEXT = date(2024, 1, 4)


def quote(strike, right, bid, ask, *, expiration=date(2024, 1, 5), at=OPEN, symbol="QQQ"):
    return {
        **dict.fromkeys(COLUMNS, 1),
        **{"symbol": symbol, "expiration": expiration, "strike": strike, "right": right, "timestamp": at},
        **{"bid": bid, "ask": ask},
    }


def day_of(*rows):
    frame = pl.DataFrame(list(rows), schema=COLUMNS)
    return frame.sort("expiration", "strike", "right", "timestamp", maintain_order=True)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"), synthetic=True)


@pytest.mark.parametrize("minute", ["09:32", time(9, 32)])
def test_a_chain_is_the_stored_rows_of_one_minute(lake, minute):
    store(lake, quotes())
    found = lake.chain("QQQ", DAY, minute).collect()
    expected = quotes().filter(pl.col("timestamp") == datetime(2024, 1, 3, 14, 32, tzinfo=UTC))
    assert_frame_equal(found.select(expected.columns), expected)
    added = ["mid", "spread", "days_to_expiration", "underlying_price", "moneyness", "time_new_york"]
    assert found.columns == [*expected.columns, *added]
    assert found["time_new_york"].dt.hour().unique().to_list() == [9]


def test_mid_spread_and_days_are_of_the_row(lake):
    rows = [
        quote(400.0, "CALL", 1.0, 1.5),
        quote(401.0, "CALL", 0.0, 0.1),  # nobody bids
        quote(402.0, "CALL", 0.0, 0.0),  # no quote
        quote(403.0, "CALL", 2.0, 1.0, expiration=date(2024, 2, 2)),  # crossed
        quote(404.0, "CALL", 2.0, 0.0, expiration=date(2024, 2, 2)),  # nobody asks
    ]
    store(lake, day_of(*rows))
    found = lake.chain("QQQ", DAY, "09:30", price=400.0).collect()
    assert found["mid"].to_list() == [1.25, 0.05, None, 1.5, None]
    assert found["spread"].to_list() == [0.5, 0.1, None, -1.0, None]
    assert found["days_to_expiration"].to_list() == [2, 2, 2, 30, 30]
    assert found["moneyness"].to_list() == pytest.approx([1.0, 1.0025, 1.005, 1.0075, 1.01])


def test_the_days_to_expiration_are_counted_from_new_yorks_date(lake):
    evening = datetime(2024, 1, 4, 0, 30, tzinfo=UTC)  # 19:30 of the third
    store(lake, day_of(quote(400.0, "CALL", 1.0, 1.5, at=evening)))
    assert lake.chain("QQQ", DAY, "19:30").collect()["days_to_expiration"].item() == 2


def test_the_price_is_what_the_nearest_pair_at_the_money_implies(lake):
    pairs = [
        (date(2024, 1, 5), 399.0, 2.6, 1.4),
        (date(2024, 1, 5), 400.0, 2.0, 1.75),  # the closest of the nearest: 400.25
        (date(2024, 1, 5), 401.0, 1.3, 2.2),
        (date(2024, 2, 2), 401.0, 5.0, 5.0),
    ]
    rows = [
        quote(strike, right, mid - 0.05, mid + 0.05, expiration=expiration)
        for expiration, strike, *mids in pairs
        for right, mid in zip(("CALL", "PUT"), mids, strict=True)
    ]
    worthless = [quote(450.0, right, 0.0, 0.02, expiration=DAY) for right in ("CALL", "PUT")]  # equal, and no pair
    store(lake, day_of(*rows, *worthless))
    found = lake.chain("QQQ", DAY, "09:30").collect()
    assert found["underlying_price"].unique().to_list() == pytest.approx([400.25])


def test_without_a_pair_there_is_no_price_and_every_row(lake):
    store(lake, day_of(quote(400.0, "CALL", 1.0, 1.5), quote(401.0, "PUT", 1.0, 1.5)))
    found = lake.chain("QQQ", DAY, "09:30").collect()
    assert found.height == 2
    assert found.select("underlying_price", "moneyness").null_count().row(0) == (2, 2)


def test_a_bar_that_ends_at_the_minute_can_say_the_price(lake):
    store(lake, quotes())
    store_day(lake, DAY, day_bars(DAY, "QQQ"))
    found = lake.chain("QQQ", DAY, "09:32", price="polygon/minute_aggs").collect()
    bars = lake.bars("QQQ", DAY, DAY).filter(pl.col("timestamp") == datetime(2024, 1, 3, 14, 31, tzinfo=UTC))
    assert found["underlying_price"].unique().to_list() == bars.collect()["close"].to_list()
    store(lake, day_of(quote(400.0, "CALL", 1.0, 1.5, at=datetime(2024, 1, 3, 5, 1, tzinfo=UTC))))
    with pytest.raises(LakeError, match=r"no bar of QQQ on 2024-01-03 before 00:01 .* as price="):
        lake.chain("QQQ", DAY, "00:01", price="polygon/minute_aggs")


def test_a_day_that_is_not_there_is_an_error_that_says_what_to_run(lake):
    store(lake, quotes())
    command = "data-assets backfill theta/option_quotes/QQQ --from 2024-01-04 --to 2024-01-04"
    with pytest.raises(LakeError, match=command):
        lake.chain("QQQ", NEXT, "10:30")


@pytest.mark.parametrize("minute", ["half past ten", time(10, 30, tzinfo=UTC)])
def test_a_minute_is_a_time_in_new_york(lake, minute):
    with pytest.raises(ValueError, match="minute"):
        lake.chain("QQQ", DAY, minute)


def test_a_contract_over_days_is_its_rows_in_order_of_time(lake):
    days = {
        DAY: day_of(quote(400.0, "CALL", 1.0, 1.5), quote(400.0, "PUT", 1.0, 1.5)),
        NEXT: day_of(
            *(quote(400.0, "CALL", 2.0, 2.5, at=OPEN.replace(day=4, minute=minute)) for minute in (31, 32)),
            quote(400.0, "CALL", 3.0, 3.5, at=OPEN.replace(day=4), symbol="QQQ1"),
        ),
    }
    for day, rows in days.items():
        store(lake, rows, day=day)
    asked = ("QQQ", date(2024, 1, 5), 400.0)
    found = lake.contract(*asked, "c", DAY, NEXT, root="QQQ").collect()
    assert found["bid"].to_list() == [1.0, 2.0, 2.0]
    assert found["days_to_expiration"].to_list() == [2, 1, 1]
    assert lake.contract(*asked, "CALL", DAY, NEXT).collect().height == 4
    with pytest.raises(ValueError, match="right 'X'"):
        lake.contract(*asked, "X", DAY, NEXT)


def test_greeks_have_the_vendors_own_price(lake):
    rows = day_of(quote(400.0, "CALL", 1.0, 1.5), quote(401.0, "CALL", 1.0, 1.5))
    rows = rows.with_columns(underlying_price=pl.Series([500.0, 0.0]), delta=pl.lit(0.5))
    store(lake, rows, dataset="theta/option_greeks/SPX")
    found = lake.greeks("SPX", DAY, "09:30").collect()
    assert found["moneyness"].to_list() == [0.8, None]
    assert found["underlying_price"].to_list() == [500.0, 0.0], "the vendor's value is the vendor's"


@pytest.mark.parametrize("price", [-1, 0, float("nan"), float("inf")])
def test_no_underlying_has_such_a_price(lake, price):
    store(lake, quotes())
    with pytest.raises(ValueError, match=r"theta/option_quotes/QQQ: price .*: must be above 0"):
        lake.chain("QQQ", DAY, "09:32", price=price)
    with pytest.raises(TypeError, match="price True: must be a number, or a dataset of bars"):
        lake.chain("QQQ", DAY, "09:32", price=True)


@pytest.mark.parametrize("minute", ["09:32:30", "09:35", "08:00", time(9, 30, 1)])
def test_a_minute_without_a_snapshot_is_an_error_that_says_which_there_are(lake, minute):
    store(lake, quotes())
    store(lake, quotes(), dataset="theta/option_greeks/QQQ")
    said = r"QQQ 2024-01-03: there is no snapshot at [0-9:]+ New York; the day has one every minute from 09:30 to 09:34"
    for read in (lake.chain, lake.greeks):
        with pytest.raises(LakeError, match=said):
            read("QQQ", DAY, minute)


def test_the_grid_is_told_whatever_it_is(lake):
    five = [quote(400.0, "CALL", 1.0, 1.5, at=OPEN.replace(minute=minute)) for minute in (30, 35, 40)]
    store(lake, day_of(*five))
    store(lake, day_of(quote(400.0, "CALL", 1.0, 1.5)), day=NEXT)
    with pytest.raises(LakeError, match=r"one every 5 minutes from 09:30 to 09:40$"):
        lake.chain("QQQ", DAY, "09:31")
    with pytest.raises(LakeError, match=r"its one snapshot is at 09:30$"):
        lake.chain("QQQ", NEXT, "16:00")


def test_a_day_that_no_backfill_brings_is_told_without_one(lake):
    store(lake, quotes())
    for day, said in {
        date(2024, 1, 1): "2024-01-01 is a market holiday; the nearest sessions are 2023-12-29 and 2024-01-02",
        date(2024, 1, 6): "2024-01-06 is a weekend day",
        date(2999, 1, 4): "2999-01-04 is still to come",
    }.items():
        with pytest.raises(LakeError, match=said) as refused:
            lake.chain("QQQ", day, "09:32")
        assert "run:" not in str(refused.value)


def test_a_misspelt_dataset_is_told_the_nearest_by_all_that_read(lake):
    store(lake, quotes())
    for read in (
        lambda: lake.chain("QQ", DAY, "09:32"),
        lambda: lake.chain("qqq", DAY, "09:32"),
        lambda: lake.contract("QQ", DAY, 300, "C"),
        lambda: lake.stored_days("theta/option_quote/QQQ"),
        lambda: lake.stored_days("option_quotes/QQQ", DAY, DAY),
        lambda: lake.days("theta/option_quotes/QQ"),
        lambda: lake.scan("theta/option_quotes/QQ", DAY, DAY),
    ):
        with pytest.raises(
            LakeError, match=r"holds no day of it yet; did you mean theta/option_quotes/QQQ\? If not, run"
        ):
            read()
    for read in (lake.stored_days, lake.days, lambda key: lake.scan(key, DAY, DAY)):
        with pytest.raises(
            LakeError, match=r"nope: .* it is no dataset of a known vendor; which there are: data-assets"
        ):
            read("nope")
    with pytest.raises(LakeError, match=r"yet; run: data-assets backfill theta/option_quotes/SPX --days 10$"):
        lake.stored_days("theta/option_quotes/SPX")
    assert lake.stored_days("theta/option_quotes/QQQ", NEXT, NEXT) == []
    with pytest.raises(TypeError, match=r"QQQ: '2024-01-03': must be a date, such as date\(2024, 1, 19\)"):
        lake.stored_days("theta/option_quotes/QQQ", "2024-01-03")
    with pytest.raises(TypeError, match="must be a date"):
        lake.chain("QQQ", OPEN, "09:32")


def test_what_pandas_and_decimal_write_are_dates_and_prices(lake):
    """A frame that went through pandas has midnights for dates; a broker's API has decimals."""
    store(lake, quotes())
    day, expiration = pd.Timestamp(DAY), pd.Timestamp(date(2024, 1, 5))
    key = "theta/option_quotes/QQQ"
    chain = lake.chain("QQQ", DAY, "09:32", price=300.0).collect()
    assert lake.chain("QQQ", day, "09:32", price=Decimal("300")).collect().equals(chain)
    assert lake.scan(key, day, day).collect().equals(lake.scan(key, DAY, DAY).collect())
    assert lake.stored_days(key, day, day) == [DAY] == lake.days(key, day, day)["day"].to_list()
    contract = lake.contract("QQQ", date(2024, 1, 5), 300, "CALL").collect()
    assert contract.height
    assert lake.contract("QQQ", expiration, Decimal("300.0"), "CALL", day, day).collect().equals(contract)
    assert lake.take_snapshot("study", {key: [day]}).days[key].keys() == {DAY}
    for strange in (pd.Timestamp("2024-01-03 09:32"), pd.NaT, "2024-01-03"):
        with pytest.raises(TypeError, match=r"QQQ: .*: must be a date"):
            lake.chain("QQQ", strange, "09:32")
    assert lake.chain("QQQ", DAY, " 9:32 ").collect().equals(lake.chain("QQQ", DAY, "09:32").collect())
    for strange in ("9", "932", "9:3", "25:00", ":30", ""):
        with pytest.raises(ValueError, match="must be a time in New York such as 10:30"):
            lake.chain("QQQ", DAY, strange)
    with pytest.raises(TypeError, match="minute 932: must be a time in New York"):
        lake.chain("QQQ", DAY, 932)
    with pytest.raises(ValueError, match="right None: must be CALL or PUT"):
        lake.contract("QQQ", date(2024, 1, 5), 300, None)


def test_a_contract_that_cannot_be_or_is_not_there_is_no_empty_frame(lake):
    store(lake, quotes())
    store(lake, quotes(), day=NEXT)
    expiration = date(2024, 1, 5)
    for strike in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="must be above 0"):
            lake.contract("QQQ", expiration, strike, "C", DAY, NEXT)
    with pytest.raises(TypeError, match="expiration '2024-01-05': must be a date"):
        lake.contract("QQQ", "2024-01-05", 300, "C", DAY, NEXT)
    with pytest.raises(ValueError, match="that expires on 2024-01-02 has no quote from 2024-01-03 on"):
        lake.contract("QQQ", date(2024, 1, 2), 300, "C", DAY, NEXT)
    with pytest.raises(
        LakeError, match=r"has a quote of 2024-01-05 300.5 C; the nearest strikes of 2024-01-05 on 2024-01-04 are"
    ):
        lake.contract("QQQ", expiration, 300.5, "C", DAY, NEXT)
    with pytest.raises(LakeError, match="the nearest expirations on 2024-01-04 are 2024-01-03, 2024-01-04, 2024-01-05"):
        lake.contract("QQQ", date(2024, 1, 26), 300, "C", DAY, NEXT)
    with pytest.raises(LakeError, match="300 C of QQQ1"):
        lake.contract("QQQ", expiration, 300, "C", DAY, NEXT, root="QQQ1")
    with pytest.raises(LakeError, match="does not hold 2024-01-05; run: data-assets backfill"):
        lake.contract("QQQ", expiration, 300, "C", expiration, expiration)
    whole = lake.contract("QQQ", expiration, 300, "C").collect()
    assert whole.equals(lake.contract("QQQ", expiration, 300, "C", DAY, NEXT).collect())
    assert whole.height == 10, "two days of five minutes"
