"""Flags and cleaning on the way from the files to the reader: which columns, which rows, what is said."""

import logging
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_assets.lake.lake import Lake
from data_assets.quality.row_flags import BAR_FLAGS, QUOTE_FLAGS, quote_flags
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store, widths
from data_assets_tests.lake.minute_days import DAILY, day_bars, store_day, store_ib_day, store_month

OTHER, NEXT_MONTH = date(2024, 1, 31), date(2024, 2, 1)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"), synthetic=True)


def spoilt(day, at=60):
    """A day whose bar at one place, by time, of the first ticker has a price with a slipped digit."""
    here = pl.int_range(pl.len()) == at
    return day_bars(day, "AAPL", "SPY").with_columns(high=pl.when(here).then(pl.col("high") * 10).otherwise("high"))


@pytest.fixture
def with_bars(lake):
    for day in (DAY, OTHER, NEXT_MONTH):
        store_day(lake, day, spoilt(day))
    return lake


def test_flags_are_columns_beside_the_stored_ones(lake):
    store(lake, quotes())
    found = lake.scan(DATASET, DAY, DAY, flags=True).collect()
    assert_frame_equal(found, pl.concat([quotes(), quote_flags(quotes())], how="horizontal"))
    one = lake.scan(DATASET, DAY, DAY, ["flag_crossed", "strike"], flags=True).collect()
    assert_frame_equal(one, found.select("flag_crossed", "strike"))


def test_what_is_asked_of_the_frame_does_not_change_a_flag(with_bars):
    """A filter, a selection or a limit reaches the reader, and must not cut the window of the rule."""
    frame = with_bars.bars("AAPL", DAY, NEXT_MONTH, flags=True)
    everything = frame.collect()
    assert everything["flag_outlier"].sum() == 3
    bad = everything.filter("flag_outlier")
    assert_frame_equal(frame.filter(pl.col("flag_outlier")).collect(), bad)
    assert_frame_equal(frame.filter(pl.col("timestamp") == bad["timestamp"][0]).collect(), bad[:1])
    assert_frame_equal(frame.select("close", "flag_outlier").collect(), everything.select("close", "flag_outlier"))
    assert_frame_equal(frame.head(70).collect(), everything.head(70))
    assert_frame_equal(frame.collect(engine="streaming"), everything)


def test_clean_drops_what_is_flagged_and_says_how_many(with_bars, caplog):
    flagged = with_bars.bars("AAPL", DAY, NEXT_MONTH, flags=True).collect()
    with caplog.at_level(logging.WARNING, "data_assets.lake"):
        found = with_bars.bars("AAPL", DAY, NEXT_MONTH, clean=True).collect()
    assert_frame_equal(found, flagged.filter(~pl.any_horizontal(BAR_FLAGS)).drop(BAR_FLAGS))
    said = f"polygon/minute_aggs AAPL 2024-01-03 to 2024-02-01: clean dropped 3 of {flagged.height:,} rows (outlier 3)"
    assert caplog.messages == [said]
    assert with_bars.bars("AAPL", DAY, NEXT_MONTH).collect().height == flagged.height, "the files are as they were"


def test_only_the_flags_that_are_named_are_dropped(with_bars, caplog):
    assert with_bars.bars("AAPL", DAY, DAY, clean=["ohlc"]).collect().height == day_bars(DAY, "AAPL").height
    with pytest.raises(ValueError, match="clean='wide' is no flag of it; it has ohlc, outlier"):
        with_bars.bars("AAPL", DAY, DAY, clean=["wide"])


def test_a_grid_has_nulls_where_a_bar_was_dropped(lake):
    store_ib_day(lake, "AAPL", DAY)
    bars = lake.bars("AAPL", DAY, DAY, dataset="ib/bars_1m").collect()
    high = pl.when(pl.int_range(pl.len()) == 100).then(pl.col("high") * 10).otherwise("high")
    stored = lake.scan("ib/bars_1m/AAPL", DAY, DAY).collect()
    store_ib_day(lake, "AAPL", DAY, stored.with_columns(high=high))
    found = lake.bars("AAPL", DAY, DAY, dataset="ib/bars_1m", session="regular", grid=True, clean=True).collect()
    assert found.height == bars.height
    assert found["close"].is_null().arg_true().to_list() == [100]
    flags = lake.scan("ib/bars_1m/AAPL", DAY, DAY, flags=True).collect()["flag_outlier"]
    assert flags.arg_true().to_list() == [100]


def test_months_and_days_and_all_tickers_have_the_same_flags(with_bars):
    of_days = with_bars.bars("AAPL", DAY, NEXT_MONTH, flags=True).collect()
    store_month(with_bars, "AAPL", date(2024, 1, 1))
    assert_frame_equal(with_bars.bars("AAPL", DAY, NEXT_MONTH, flags=True).collect(), of_days)
    scanned = with_bars.scan(DAILY, DAY, NEXT_MONTH, flags=True).filter(pl.col("ticker") == "AAPL").collect()
    assert_frame_equal(scanned.select(BAR_FLAGS), of_days.select(BAR_FLAGS))


def test_days_of_both_widths_are_flagged_as_one(lake):
    for at, frame in enumerate(widths(), start=3):
        store(lake, frame, day=DAY.replace(day=at))
    found = lake.scan(DATASET, DAY, DAY.replace(day=4), flags=True).collect()
    assert found.height == 2 * quotes().height
    assert found["bid_size"].dtype == pl.Int64


def test_without_a_day_there_are_columns_and_no_rows(with_bars):
    found = with_bars.bars("AAPL", date(2024, 3, 1), date(2024, 3, 5), flags=True).collect()
    assert found.is_empty()
    assert set(BAR_FLAGS) <= set(found.columns)
    store(with_bars, quotes())
    empty = with_bars.scan(DATASET, NEXT_MONTH, NEXT_MONTH, flags=True).collect()
    assert (empty.height, set(QUOTE_FLAGS) <= set(empty.columns)) == (0, True)


def test_what_has_no_rule_is_refused(lake):
    store(lake, quotes(), dataset="theta/option_open_interest/SPX")
    with pytest.raises(ValueError, match="theta/option_open_interest/SPX: rows are flagged of"):
        lake.scan("theta/option_open_interest/SPX", DAY, DAY, flags=True)
