"""A ticker that a stored day was not asked to keep: what a reader of its bars is told, and renamed tickers."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from data_assets.lake.kept import ALL, Name, Statement, names_before, names_detail, statement
from data_assets.lake.lake import Lake, NotKept
from data_assets.lake.layout import partition_path
from data_assets.trading_calendar import session
from data_assets.vendors.polygon.months import build_month
from data_assets_tests.lake.minute_days import DAILY, TIME, as_read, day_bars, store_day, store_month

pytestmark = pytest.mark.slow

NOW = datetime(2024, 6, 1, tzinfo=UTC)
OLD = [date(2023, 12, day) for day in (27, 28, 29)]
NEW = [date(2024, 1, 2), date(2024, 1, 3)]
DAYS = [*OLD, *NEW]
DECEMBER, JANUARY = date(2023, 12, 1), date(2024, 1, 1)
RENAMED_ON = date(2024, 1, 2)
NAMES = names_detail([Name("META", RENAMED_ON, was="FB")])


@pytest.fixture
def lake(lake_url):
    """QQQ was added after the old days had been stored."""
    lake = Lake(lake_url, synthetic=True)
    for day in OLD:
        store_day(lake, day, day_bars(day, "SPY"), wanted=["SPY"])
    for day in NEW:
        store_day(lake, day, day_bars(day, "QQQ", "SPY"), wanted=["NOPE", "QQQ", "SPY"])
    return lake


def build(lake, *months, tickers=("KO", "NOPE", "QQQ", "SPY")):
    for month in months:
        build_month(lake, month, tickers, now=NOW)


@pytest.mark.parametrize("options", [{}, {"session": "regular", "grid": True, "fill": True}], ids=["bars", "filled"])
@pytest.mark.parametrize("months", [(), (DECEMBER,), (DECEMBER, JANUARY)], ids=["days", "some months", "months"])
def test_a_ticker_that_nobody_kept_is_no_ticker_that_did_not_trade(lake, months, options):
    build(lake, *months)
    with pytest.raises(NotKept) as caught:
        lake.bars("KO", DAYS[0], DAYS[-1], **options)
    assert (caught.value.ticker, caught.value.days) == ("KO", tuple(DAYS))
    assert "polygon/minute_aggs: KO was not kept on 2023-12-27 to 2024-01-03 (5 days)" in str(caught.value)
    assert "data-assets backfill polygon/minute_aggs --from 2023-12-27 --to 2024-01-03" in str(caught.value)
    assert "accept_not_kept=True" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("months", [(), (DECEMBER, JANUARY)], ids=["days", "months"])
def test_of_a_ticker_that_was_added_the_days_before_are_named(lake, months):
    build(lake, *months)
    with pytest.raises(NotKept, match=r"QQQ was not kept on 2023-12-28 to 2023-12-29 \(2 days\)"):
        lake.bars("QQQ", DAYS[1], DAYS[-1], session="regular", grid=True, fill=True)
    assert lake.bars("QQQ", NEW[0], NEW[-1]).collect()["time_new_york"].dt.date().unique().to_list() == NEW
    assert lake.bars("NOPE", NEW[0], NEW[-1]).collect().is_empty(), "it was kept, and did not trade"
    assert lake.bars("SPY", DAYS[0], DAYS[-1]).collect()["time_new_york"].dt.date().n_unique() == len(DAYS)


def test_a_ticker_spelt_in_another_case_is_told_how_it_is_spelt(lake):
    with pytest.raises(NotKept, match=r"qqq was not kept on 2024-01-02 to 2024-01-03.* ask for QQQ;"):
        lake.bars("qqq", NEW[0], NEW[-1])


def test_a_misspelt_ticker_is_told_the_nearest_that_is_kept(lake):
    with pytest.raises(NotKept, match=r"SPYY was not kept on .*; did you mean SPY\? If not, add it to tickers"):
        lake.bars("SPYY", DAYS[0], DAYS[1])


@pytest.mark.parametrize("ticker", ["qqq", "Qqq", "spy", "aBRPA"])
def test_a_day_of_all_tickers_knows_what_can_be_none(lake, ticker):
    store_day(lake, DAYS[0], day_bars(DAYS[0], "QQQ", "SPY", "TpC"), wanted=ALL)
    with pytest.raises(NotKept, match=f"ask for {ticker.upper()};"):
        lake.bars(ticker, DAYS[0], DAYS[0])


@pytest.mark.parametrize(
    ("ticker", "meant"),
    [("BRK B", "BRK.B"), ("BRK/B", "BRK.B"), ("brk-b", "BRK.B"), ("SPY ", "SPY"), ("$SPX", "SPX"), ("I:SPX", "SPX")],
)
def test_another_vendors_spelling_is_no_ticker_that_did_not_trade(lake, ticker, meant):
    store_day(lake, DAYS[0], day_bars(DAYS[0], "BRK.B", "SPY"), wanted=ALL)
    store_day(lake, DAYS[1], day_bars(DAYS[1], meant), wanted=[meant])
    for day in DAYS[:2]:
        with pytest.raises(NotKept, match=f"ask for {re.escape(meant)};"):
            lake.bars(ticker, day, day, session="regular", grid=True, fill=True)


@pytest.mark.parametrize("ticker", ["TPC", "TpC", "ABRpA", "BMYr", "FTVw", "BCATrw", "MTBpC.CL", "NFC.Uw", "NA", "KO"])
def test_a_day_of_all_tickers_keeps_whatever_the_vendor_may_spell(lake, ticker):
    store_day(lake, DAYS[0], day_bars(DAYS[0], "SPY", "TpC"), wanted=ALL)
    assert lake.bars(ticker, DAYS[0], DAYS[0]).collect().is_empty() == (ticker != "TpC")


@pytest.mark.parametrize("months", [(), (DECEMBER, JANUARY)], ids=["days", "months"])
def test_days_that_did_not_keep_it_can_be_left_out_and_are_never_zero(lake, months):
    build(lake, *months)
    grid = lake.bars("QQQ", DAYS[0], DAYS[-1], session="regular", grid=True, fill=True, accept_not_kept=True).collect()
    assert grid["time_new_york"].dt.date().unique(maintain_order=True).to_list() == NEW
    assert grid.height == sum(session(day).minutes for day in NEW)
    assert lake.bars("KO", DAYS[0], DAYS[-1], accept_not_kept=True).collect().is_empty()
    none = lake.bars("KO", DAYS[0], DAYS[-1], session="regular", grid=True, fill=True, accept_not_kept=True)
    assert none.collect().is_empty()


def test_a_month_speaks_for_its_days_when_they_are_removed_to_make_room(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    for day in OLD:
        store_day(lake, day, day_bars(day, "SPY"), wanted=["SPY"])
    store_day(lake, NEW[0], day_bars(NEW[0], "SPY"), wanted=["SPY"])
    build(lake, DECEMBER)
    for path in tmp_path.glob(f"{DAILY}/date=2023-12-*/data.parquet"):
        path.unlink()
    with pytest.raises(NotKept, match="QQQ was not kept on 2023-12-27 to 2023-12-29"):
        lake.bars("QQQ", OLD[0], OLD[-1])
    assert not lake.bars("SPY", OLD[0], OLD[-1]).collect().is_empty()


def test_a_day_that_is_stored_again_with_the_ticker_is_read(lake):
    build(lake, DECEMBER)
    with pytest.raises(NotKept):
        lake.bars("QQQ", OLD[0], NEW[-1])
    for day in OLD:
        store_day(lake, day, day_bars(day, "QQQ", "SPY"), wanted=["QQQ", "SPY"])
    for _ in range(2):
        days = lake.bars("QQQ", OLD[0], NEW[-1]).collect()["time_new_york"].dt.date()
        assert days.unique(maintain_order=True).to_list() == DAYS
        build(lake, DECEMBER, JANUARY)


def test_months_older_than_the_statement_ask_their_days(lake):
    store_month(lake, "QQQ", DECEMBER)
    store_month(lake, "SPY", DECEMBER)
    with pytest.raises(NotKept, match="QQQ was not kept on 2023-12-27 to 2023-12-29"):
        lake.bars("QQQ", OLD[0], NEW[-1])
    assert not lake.bars("SPY", OLD[0], NEW[-1]).collect().is_empty()


def test_days_older_than_the_statement_count_as_kept(lake):
    for day in DAYS:
        store_day(lake, day, day_bars(day, "SPY"))
    assert lake.bars("KO", DAYS[0], DAYS[-1]).collect().is_empty()
    build(lake, DECEMBER, JANUARY)
    assert lake.bars("KO", DAYS[0], DAYS[-1]).collect().is_empty()


def test_many_stretches_are_counted(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    days = [date(2024, 1, day) for day in (2, 4, 8, 10, 11, 16)]
    for day in days:
        store_day(lake, day, day_bars(day, "SPY"), wanted=["SPY"])
    with pytest.raises(NotKept, match=r"on 2024-01-02, 2024-01-04, 2024-01-08 and 2 more stretches \(6 days\)"):
        lake.bars("KO", days[0], days[-1])
    with pytest.raises(NotKept, match="was not kept on 2024-01-10 to 2024-01-11 "):
        lake.bars("KO", days[3], days[4])


# Renamed


@pytest.fixture
def renamed(tmp_path):
    """FB became META on the first of the new days; MSFT has been one name."""
    lake = Lake(str(tmp_path), synthetic=True)
    for day in DAYS:
        name = "META" if day >= RENAMED_ON else "FB"
        bars = day_bars(day, "META", "MSFT").with_columns(pl.col("ticker").replace("META", name)).sort("ticker", TIME)
        store_day(lake, day, bars, wanted=sorted([name, "MSFT"]), names=NAMES)
    return lake


@pytest.mark.parametrize("months", [False, True])
def test_a_renamed_ticker_is_read_as_one_where_that_is_asked_for(renamed, months):
    if months:
        build(renamed, DECEMBER, tickers=("FB", "MSFT"))
        build(renamed, JANUARY, tickers=("META", "MSFT"))
    whole = renamed.bars("META", DAYS[0], DAYS[-1], follow_renames=True).collect()
    expected = as_read(pl.concat(day_bars(day, "META") for day in DAYS))
    assert whole.drop("ticker").equals(expected.drop("ticker"))
    names = whole.group_by(pl.col("time_new_york").dt.date(), maintain_order=True).agg(pl.col("ticker").unique())
    assert names["ticker"].to_list() == [["FB"]] * len(OLD) + [["META"]] * len(NEW), "the vendor's name of each day"
    grid = renamed.bars("META", DAYS[0], DAYS[-1], session="regular", grid=True, fill=True, follow_renames=True)
    assert grid.collect().height == sum(session(day).minutes for day in DAYS)
    assert renamed.bars("META", OLD[0], OLD[-1], follow_renames=True).collect()["ticker"].unique().to_list() == ["FB"]
    same = renamed.bars("MSFT", DAYS[0], DAYS[-1], follow_renames=True).collect()
    assert same.equals(renamed.bars("MSFT", DAYS[0], DAYS[-1]).collect())


def test_by_default_a_name_is_that_of_its_day_and_the_other_one_is_told(renamed):
    with pytest.raises(NotKept) as before:
        renamed.bars("META", DAYS[0], DAYS[-1])
    assert before.value.days == tuple(OLD)
    assert "until 2024-01-02 it was called FB: follow_renames=True joins the two" in str(before.value)
    with pytest.raises(NotKept, match="from 2024-01-02 on it is called META"):
        renamed.bars("FB", DAYS[0], DAYS[-1])
    assert not renamed.bars("META", NEW[0], NEW[-1]).collect().is_empty()
    assert not renamed.bars("FB", OLD[0], OLD[-1]).collect().is_empty()


def test_a_name_of_some_days_says_which(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    day = DAYS[0]
    names = names_detail([Name("TWTR", last_day=date(2022, 10, 27))])
    store_day(lake, day, day_bars(day, "SPY"), wanted=["SPY"], names=names)
    with pytest.raises(NotKept, match=r"defs\.yaml keeps it to 2022-10-27: ask for these days"):
        lake.bars("TWTR", day, day)


def test_names_that_became_known_after_the_newest_day_was_stored_are_known_from_the_days_stored_since(renamed):
    day = date(2024, 1, 4)
    store_day(renamed, day, day_bars(day, "META", "MSFT"), wanted=["META", "MSFT"])
    assert renamed.bars("META", DAYS[0], day, follow_renames=True).collect()["ticker"].n_unique() == 2


def test_a_chain_of_names_and_one_that_comes_back():
    names = [
        Name("QQQ", date(2011, 3, 23), was="QQQQ"),
        Name("QQQQ", date(2004, 12, 1), date(2011, 3, 22), was="QQQ"),
        Name("META", date(2022, 6, 9), was="FB"),
    ]
    assert names_before(names, "QQQ") == [
        Name("QQQ", date(2011, 3, 23), date.max),
        Name("QQQQ", date(2004, 12, 1), date(2011, 3, 22)),
        Name("QQQ", None, date(2004, 11, 30)),
    ]
    assert names_before(names, "SPY") == [Name("SPY", None, date.max)]
    assert names_before(names, "FB") == [Name("FB", None, date.max)], "what FB is by now is not META"


def test_what_a_footer_says_comes_back():
    names = (Name("META", date(2022, 6, 9), was="FB"), Name("TWTR", last_day=date(2022, 10, 27)), Name("X"))
    said = statement({"wanted": ["SPY", "META"], "names": names_detail(names)})
    assert said == Statement(frozenset(("SPY", "META")), names)
    assert said.lacks(["META", "KO"]) == ["KO"]
    assert said.lacks(ALL) == [ALL]
    assert statement({"wanted": ALL}).lacks(["KO", "qqq"]) == []
    assert statement({"wanted": ALL}).lacks(ALL) == statement({}).lacks(ALL) == statement({}).lacks(["KO"]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"ticker": ""},
        {"ticker": "META", "was": "FB"},
        {"ticker": "META", "first_day": RENAMED_ON, "was": "META"},
        {"ticker": "META", "first_day": RENAMED_ON, "last_day": OLD[0]},
    ],
)
def test_a_name_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValueError, match=r"ticker|was|lies before"):
        Name(**wrong)


def test_a_damaged_day_is_left_to_its_reader(renamed):
    Path(renamed.locate(partition_path(DAILY, NEW[0]))).write_bytes(b"rot")
    with pytest.raises(pl.exceptions.PolarsError):
        renamed.bars("META", NEW[0], NEW[-1]).collect()
