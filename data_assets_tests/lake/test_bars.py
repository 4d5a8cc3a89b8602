"""Reading a ticker's bars: from whichever files, the rows are those of the days."""

import os
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake.bars import bar_files
from data_assets.lake.lake import Corrupt, Lake
from data_assets.lake.layout import month_path, partition_path
from data_assets.lake.storage import open_storage
from data_assets.trading_calendar import NEW_YORK, session, sessions
from data_assets_tests.lake.minute_days import (
    COLUMNS,
    DAILY,
    MONTHLY,
    SCHEMA,
    as_read,
    day_bars,
    store_day,
    store_month,
)

pytestmark = pytest.mark.slow

HALF_DAY = date(2023, 11, 24)
NOVEMBER, DECEMBER, JANUARY = date(2023, 11, 1), date(2023, 12, 1), date(2024, 1, 1)
DAYS = [
    *(date(2023, 11, day) for day in (22, 24, 30)),
    *(date(2023, 12, day) for day in (1, 4, 29)),
    *(date(2024, 1, day) for day in (2, 3, 31)),
]
THIN = "ABRpA"


def store(lake, *days, revision=0):
    for day in days:
        store_day(lake, day, day_bars(day, THIN, "SPY", revision=revision))


@pytest.fixture
def lake(lake_url):
    lake = Lake(lake_url, synthetic=True)
    store(lake, *DAYS)
    return lake


@pytest.fixture(scope="module")
def read_only(tmp_path_factory):
    """A lake whose December is read from the month's file."""
    lake = Lake(str(tmp_path_factory.mktemp("lake")), synthetic=True)
    store(lake, *DAYS)
    for ticker in ("SPY", THIN):
        store_month(lake, ticker, DECEMBER)
    return lake


def stored(ticker, *days, revision=0):
    """What the days hold of a ticker, as it is read."""
    bars = pl.concat([pl.DataFrame(schema=COLUMNS), *(day_bars(day, ticker, revision=revision) for day in days)])
    return as_read(bars)


def files_of(lake_url, ticker, start, end):
    return [name.split("/")[-2] for name, _ in bar_files(open_storage(lake_url), DAILY, ticker, start, end).files]


def test_without_months_the_days_are_read(lake, lake_url):
    assert lake.bars("SPY", DAYS[1], DAYS[4]).collect().equals(stored("SPY", *DAYS[1:5]))
    assert files_of(lake_url, "SPY", DAYS[1], DAYS[4]) == [f"date={day}" for day in DAYS[1:5]]


def test_months_and_days_follow_each_other(lake, lake_url):
    store_month(lake, "SPY", DECEMBER)
    assert lake.bars("SPY", DAYS[0], DAYS[-1]).collect().equals(stored("SPY", *DAYS))
    assert files_of(lake_url, "SPY", DAYS[0], DAYS[-1]) == [
        *(f"date={day}" for day in DAYS[:3]),
        "month=2023-12",
        *(f"date={day}" for day in DAYS[6:]),
    ]
    assert files_of(lake_url, THIN, DECEMBER, DAYS[5]) == [f"date={day}" for day in DAYS[3:6]]


def test_of_a_month_only_the_days_asked_for_are_returned(lake, lake_url):
    for month in (NOVEMBER, DECEMBER, JANUARY):
        store_month(lake, "SPY", month)
    for first in range(len(DAYS)):
        for last in range(first, len(DAYS)):
            found = lake.bars("SPY", DAYS[first], DAYS[last]).collect()
            assert found.equals(stored("SPY", *DAYS[first : last + 1]))
    assert files_of(lake_url, "SPY", DAYS[1], DAYS[7]) == ["month=2023-11", "month=2023-12", "month=2024-01"]


def test_of_a_whole_month_no_row_is_looked_for(read_only):
    """Of a year of months, a filter that keeps every row would cost a tenth of the reading."""
    assert "SELECTION" not in read_only.bars("SPY", DECEMBER, date(2023, 12, 31)).explain()
    assert "SELECTION" in read_only.bars("SPY", DECEMBER, DAYS[4]).explain()


def test_an_evening_of_the_next_utc_month_is_of_its_new_york_day(lake):
    store_month(lake, "SPY", JANUARY)
    last = lake.bars("SPY", DAYS[-1], DAYS[-1]).collect()
    assert last["timestamp"].dt.month().unique().sort().to_list() == [1, 2]
    assert last["time_new_york"].dt.date().unique().to_list() == [DAYS[-1]]
    assert lake.bars("SPY", date(2024, 2, 1), date(2024, 2, 9)).collect().is_empty()


def test_a_month_is_read_instead_of_its_days(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    store(lake, *DAYS[3:6])
    store_month(lake, "SPY", DECEMBER)
    for day in DAYS[3:6]:
        spoil(tmp_path / partition_path(DAILY, day))
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(stored("SPY", *DAYS[3:6]))
    with pytest.raises(pl.exceptions.PolarsError):
        lake.bars(THIN, DECEMBER, DAYS[5]).collect()


def spoil(path: Path) -> None:
    """Other bytes, and nothing else that differs."""
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_month_whose_day_changed_is_no_longer_read(lake, lake_url):
    store_month(lake, "SPY", DECEMBER)
    store(lake, DAYS[4], revision=1)
    expected = pl.concat([stored("SPY", DAYS[3]), stored("SPY", DAYS[4], revision=1), stored("SPY", DAYS[5])])
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(expected)
    assert files_of(lake_url, "SPY", DECEMBER, DAYS[5]) == [f"date={day}" for day in DAYS[3:6]]
    store_month(lake, "SPY", DECEMBER)
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(expected)
    assert files_of(lake_url, "SPY", DECEMBER, DAYS[5]) == ["month=2023-12"]


def test_a_month_without_a_day_that_came_later_is_no_longer_read(lake, lake_url):
    store_month(lake, "SPY", DECEMBER)
    late = date(2023, 12, 28)
    store(lake, late)
    expected = stored("SPY", DAYS[3], DAYS[4], late, DAYS[5])
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(expected)
    assert "date=2023-12-28" in files_of(lake_url, "SPY", DECEMBER, DAYS[5])


def test_a_day_that_changed_counts_even_where_it_was_not_asked_for(lake, lake_url):
    store_month(lake, "SPY", DECEMBER)
    store(lake, DAYS[5], revision=1)
    assert files_of(lake_url, "SPY", DAYS[3], DAYS[4]) == [f"date={day}" for day in DAYS[3:5]]


def test_a_month_stays_when_its_days_are_removed_to_make_room(lake, lake_url):
    store_month(lake, "SPY", DECEMBER)
    for day in DAYS[3:6]:
        open_storage(lake_url).delete(partition_path(DAILY, day))
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(stored("SPY", *DAYS[3:6]))


@pytest.mark.parametrize("content", [b"", b"PAR1 no Parquet PAR1", b"x" * 5000])
def test_a_damaged_month_is_not_read(lake, lake_url, content):
    storage, name = open_storage(lake_url), store_month(lake, "SPY", DECEMBER).path
    storage.delete(name)
    storage.create(name, content)
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(stored("SPY", *DAYS[3:6]))


@pytest.mark.parametrize("month", [True, False])
def test_bars_of_damaged_files_are_refused_where_that_is_asked_for(lake, lake_url, month):
    """Of the pages that are damaged here, none is read: were a file not checked, its bars would come."""
    storage = open_storage(lake_url)
    name = store_month(lake, "SPY", DECEMBER).path if month else partition_path(DAILY, DAYS[3])
    with storage.open(name) as file:
        content = bytearray(file.read())
        last = pq.ParquetFile(file).metadata.row_group(0).column(SCHEMA.names.index("transactions"))
    content[last.dictionary_page_offset + last.total_compressed_size - 8] ^= 1
    expected = stored("SPY", *DAYS[3:6]).select("timestamp")
    assert lake.bars("SPY", DECEMBER, DAYS[5], verify=True).collect().select("timestamp").equals(expected)
    storage.delete(name)
    storage.create(name, bytes(content))
    if month:
        assert lake.bars("SPY", DECEMBER, DAYS[5]).select("timestamp").collect().equals(expected)
    with pytest.raises(Corrupt, match="damaged"):
        lake.bars("SPY", DECEMBER, DAYS[5], verify=True)


def test_a_file_of_a_day_in_the_place_of_a_month_is_not_read(lake, lake_url):
    storage = open_storage(lake_url)
    with storage.open(partition_path(DAILY, DAYS[0])) as file:
        storage.create(month_path(MONTHLY, "SPY", DECEMBER), file.read())
    assert lake.bars("SPY", DECEMBER, DAYS[5]).collect().equals(stored("SPY", *DAYS[3:6]))


@pytest.mark.parametrize("ticker", ["NOPE", "spy", "ABRPA", "NA"])
@pytest.mark.parametrize("built", [True, False])
def test_a_ticker_that_did_not_trade_has_no_rows(lake, ticker, built):
    if built:
        store_month(lake, ticker, DECEMBER)
    for hours in ("extended", "regular"):
        bars = lake.bars(ticker, DAYS[0], DAYS[-1], session=hours).collect()
        assert bars.is_empty()
        assert bars.schema == stored("SPY").schema


def test_a_range_without_days_has_no_rows(read_only):
    for options in ({}, {"session": "regular"}, {"session": "regular", "grid": True, "fill": True}):
        bars = read_only.bars("SPY", date(2022, 1, 1), date(2022, 3, 1), **options).collect()
        assert bars.is_empty()
        assert bars.schema == stored("SPY").schema


def test_any_range_may_be_asked_for(read_only):
    assert read_only.bars("SPY", date.min, date.max).collect().equals(stored("SPY", *DAYS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session": "all"}, "must be extended or regular"),
        ({"grid": True}, "session='regular'"),
        ({"session": "regular", "fill": True}, "grid=True"),
        ({"dataset": "../x"}, "not a dataset key"),
    ],
)
def test_wrong_calls_say_what_is_wrong(read_only, options, message):
    with pytest.raises(ValueError, match=message):
        read_only.bars("SPY", DAYS[0], DAYS[-1], **options)
    with pytest.raises(ValueError, match="before it starts"):
        read_only.bars("SPY", DAYS[5], DAYS[3])


def test_a_lake_without_any_day_says_what_to_do(lake_url):
    with pytest.raises(Exception, match="data-assets backfill polygon/minute_aggs"):
        Lake(lake_url, synthetic=True).bars("SPY", DAYS[0], DAYS[-1])


@pytest.mark.parametrize("ticker", ["SPY", THIN])
def test_regular_hours_end_early_on_half_days(read_only, ticker):
    def in_session(bars: pl.DataFrame, day: date) -> pl.DataFrame:
        hours = session(day)
        return bars.filter(pl.col("timestamp") >= hours.open, pl.col("timestamp") < hours.close)

    expected = pl.concat(in_session(stored(ticker, day), day) for day in DAYS)
    assert read_only.bars(ticker, DAYS[0], DAYS[-1], session="regular").collect().equals(expected)
    if ticker == "SPY":
        half = read_only.bars("SPY", HALF_DAY, HALF_DAY, session="regular").collect()
        assert half.height == 210
        assert half["time_new_york"].max() == datetime(2023, 11, 24, 12, 59, tzinfo=NEW_YORK)


def minutes_of(*days):
    minute = timedelta(minutes=1)
    return [session(day).open + n * minute for day in days for n in range(session(day).minutes)]


def test_a_grid_has_every_regular_minute_and_nothing_made_up(read_only):
    bars = read_only.bars(THIN, DAYS[0], DAYS[-1], session="regular").collect()
    grid = read_only.bars(THIN, DAYS[0], DAYS[-1], session="regular", grid=True).collect()
    assert grid["timestamp"].to_list() == minutes_of(*DAYS)
    assert grid.columns == bars.columns
    assert set(grid["ticker"]) == {THIN}
    assert grid.filter(pl.col("close").is_not_null()).equals(bars)
    absent = grid.filter(pl.col("close").is_null())
    assert absent.height == len(minutes_of(*DAYS)) - bars.height > 0
    assert absent.drop("ticker", "timestamp", "time_new_york").null_count().row(0) == (absent.height,) * 7
    assert grid["time_new_york"].null_count() == 0


def test_a_filled_grid_carries_the_close_within_the_session(read_only):
    grid = read_only.bars(THIN, DAYS[0], DAYS[-1], session="regular", grid=True).collect()
    filled = read_only.bars(THIN, DAYS[0], DAYS[-1], session="regular", grid=True, fill=True).collect()
    assert filled.schema == grid.schema
    last, day = None, None
    for raw, row in zip(grid.iter_rows(named=True), filled.iter_rows(named=True), strict=True):
        if row["time_new_york"].date() != day:
            last, day = None, row["time_new_york"].date()
        if raw["close"] is not None:
            assert row == raw
            last = raw["close"]
        else:
            assert [row[column] for column in ("open", "high", "low", "close")] == [last] * 4
            assert (row["volume"], row["trades"]) == (0, 0)
    assert filled["close"].null_count() > 0  # before the first bar of a session nothing is known of it
    assert filled["close"].null_count() < grid["close"].null_count()


def test_days_that_the_lake_lacks_have_no_grid(read_only):
    grid = read_only.bars("SPY", DAYS[0], DAYS[2], session="regular", grid=True).collect()
    assert len(sessions(DAYS[0], DAYS[2])) > 3
    assert grid["time_new_york"].dt.date().unique().sort().to_list() == DAYS[:3]


def test_a_ticker_without_bars_has_an_empty_grid_of_the_days_stored(read_only):
    grid = read_only.bars("NOPE", DAYS[0], DAYS[1], session="regular", grid=True).collect()
    assert grid["timestamp"].to_list() == minutes_of(*DAYS[:2])
    assert grid["volume"].null_count() == grid.height


NEAR = sessions(date(2023, 11, 28), date(2024, 1, 4))[:4] + sessions(date(2023, 12, 28), date(2024, 1, 4))
STEP = st.one_of(
    st.tuples(st.just("day"), st.sampled_from(NEAR)),
    st.tuples(st.just("month"), st.sampled_from([NOVEMBER, DECEMBER, JANUARY])),
)


@settings(max_examples=40)
@given(st.lists(STEP, min_size=1, max_size=10), st.tuples(st.sampled_from(NEAR), st.sampled_from(NEAR)))
def test_whatever_was_stored_and_built_in_any_order_the_rows_are_those_of_the_days(steps, between):
    start, end = sorted(between)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder, synthetic=True)
        store_day(lake, DAYS[0], few_bars(DAYS[0], 0))
        held = {}
        for revision, (kind, when) in enumerate(steps):
            if kind == "day":
                held[when] = few_bars(when, revision)
                store_day(lake, when, held[when])
            else:
                store_month(lake, "SPY", when)
        expected = [bars for day, bars in sorted(held.items()) if start <= day <= end]
        found = lake.bars("SPY", start, end).collect()
        held_of_it = pl.concat([pl.DataFrame(schema=COLUMNS), *expected]).filter(pl.col("ticker") == "SPY")
        assert found.equals(as_read(held_of_it))


def few_bars(day: date, revision: int) -> pl.DataFrame:
    """The first and the last bar of a long day; of every third revision none of the ticker."""
    ticker = "SPY" if revision % 3 < 2 else "QQQ"
    bars = day_bars(day, "SPY", revision=revision).with_columns(ticker=pl.lit(ticker))
    return pl.concat([bars.head(1), bars.tail(1)])
