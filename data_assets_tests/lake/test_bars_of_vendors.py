"""One vocabulary for bars: what `Lake.bars` returns is named alike, whatever the vendor called it in the file."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS, documented_bars, in_one_vocabulary
from data_assets.lake.lake import Corrupt, Lake, LakeError, NotKept
from data_assets.lake.layout import partition_path
from data_assets.quality import bar_coverage, minute_bars
from data_assets.quality.trading_minutes import trading_minutes
from data_assets.trading_calendar import session
from data_assets.vendors.ib import schema as ib_schema
from data_assets.vendors.polygon import schema as polygon_schema
from data_assets_tests.lake.minute_days import as_read, day_bars, ib_bars, store_day, store_ib_day, store_month

pytestmark = pytest.mark.slow

DAYS = [date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5)]  # 13:00 on the second
JULY = date(2024, 7, 1)
VOCABULARY = ["ticker", "timestamp", "open", "high", "low", "close", "volume", "trades"]
THIN = "BRK.B"


@pytest.fixture
def lake(lake_url: str) -> Lake:
    """AAPL of both vendors, SPY of Polygon alone, BRK B of IB alone and with half of its minutes."""
    lake = Lake(lake_url, synthetic=True)
    for day in DAYS:
        store_day(lake, day, day_bars(day, "AAPL", "SPY"), wanted=["AAPL", "SPY"])
        store_ib_day(lake, "AAPL", day)
        store_ib_day(lake, "BRK B", day, ib_bars("AAPL", day).gather_every(2))
    return lake


def test_both_vendors_are_read_by_the_same_names_and_types(lake: Lake) -> None:
    polygon = lake.bars("AAPL", DAYS[0], DAYS[-1], session="regular").collect()
    ib = lake.bars("AAPL", DAYS[0], DAYS[-1], dataset=IB_BARS).collect()

    assert polygon.columns == [*VOCABULARY, "test_ticker", "time_new_york"], "no vwap: the files hold none"
    assert ib.columns == [*VOCABULARY, "vwap", "time_new_york"]
    assert ib.select(VOCABULARY).schema == polygon.select(VOCABULARY).schema
    assert ib.select(VOCABULARY).equals(polygon.select(VOCABULARY)), "the sandbox's vendors see one market"
    assert ib["vwap"].is_between(ib["low"], ib["high"]).all()


def test_what_ib_sends_is_read_under_the_one_name(lake: Lake) -> None:
    stored = lake.scan(f"{IB_BARS}/AAPL", DAYS[0], DAYS[-1]).collect()
    read = lake.bars("AAPL", DAYS[0], DAYS[-1], dataset=IB_BARS).collect()
    assert list(stored.columns) == list(ib_schema.COLUMNS), "the files keep the vendor's names"
    assert read["vwap"].equals(stored["average"])
    assert read["trades"].equals(stored["bar_count"])
    assert set(read["ticker"]) == {"AAPL"}


def test_a_month_is_read_by_the_same_names_as_its_days(lake: Lake) -> None:
    of_days = lake.bars("SPY", DAYS[0], DAYS[-1]).collect()
    store_month(lake, "SPY", JULY)
    for day in DAYS:
        lake._storage.delete(partition_path(POLYGON_BARS, day))
    assert lake.bars("SPY", DAYS[0], DAYS[-1]).collect().equals(of_days)
    assert of_days.equals(as_read(pl.concat(day_bars(day, "SPY") for day in DAYS)))


@pytest.mark.parametrize("fill", [False, True])
def test_grid_and_fill_are_the_same_for_both(lake: Lake, fill: bool) -> None:
    grids = {
        dataset: lake.bars("AAPL", DAYS[0], DAYS[-1], session="regular", grid=True, fill=fill, dataset=dataset)
        .select(VOCABULARY)
        .collect()
        for dataset in (POLYGON_BARS, IB_BARS)
    }
    assert grids[IB_BARS].equals(grids[POLYGON_BARS])
    assert grids[IB_BARS].height == 390 + 210 + 390


def test_a_filled_grid_of_ib_has_no_average_of_no_trades(lake: Lake) -> None:
    day = DAYS[1]
    bars = lake.bars(THIN, day, day, session="regular", dataset=IB_BARS).collect()
    grid = lake.bars(THIN, day, day, session="regular", grid=True, fill=True, dataset=IB_BARS).collect()
    assert (bars.height, grid.height) == (105, 210)
    absent = grid.join(bars, on="timestamp", how="anti")
    assert absent["vwap"].null_count() == absent.height == 105
    assert (absent["volume"] == 0).all()
    assert (absent["trades"] == 0).all()
    assert absent["close"].null_count() == 0
    assert set(grid["ticker"]) == {THIN}


def test_the_default_is_one_vendor_whatever_else_the_lake_holds(lake: Lake) -> None:
    polygon = lake.bars("AAPL", DAYS[0], DAYS[0]).collect()
    assert polygon.height > 390, "before and after hours: Polygon's"
    assert lake.bars("AAPL", DAYS[0], DAYS[0], dataset=f"{IB_BARS}/AAPL").collect().height == 390
    lake._storage.delete(partition_path(POLYGON_BARS, DAYS[1]))
    read = lake.bars("AAPL", DAYS[0], DAYS[-1]).collect()
    assert read["time_new_york"].dt.date().unique(maintain_order=True).to_list() == [DAYS[0], DAYS[2]], "no day of IB's"


@pytest.mark.parametrize("ticker", ["BRK B", "BRK.B"])
def test_a_ticker_with_a_class_is_found_in_either_spelling(lake: Lake, ticker: str) -> None:
    read = lake.bars(ticker, DAYS[0], DAYS[0], dataset=IB_BARS).collect()
    assert (read.height, set(read["ticker"])) == (195, {ticker})


def test_a_ticker_that_polygon_did_not_keep_is_told_where_it_is(lake: Lake) -> None:
    with pytest.raises(NotKept, match=r"was not kept on 2024-07-02 to 2024-07-05 \(3 days\)") as told:
        lake.bars(THIN, DAYS[0], DAYS[-1])
    assert f"dataset='{IB_BARS}' reads those; accept_not_kept=True" in str(told.value)
    with pytest.raises(NotKept) as nowhere:
        lake.bars("KO", DAYS[0], DAYS[-1])
    assert "another vendor" not in str(nowhere.value)


def test_a_ticker_that_ib_was_never_asked_for_is_told_what_to_do_and_where_it_is(lake: Lake) -> None:
    with pytest.raises(LakeError) as told:
        lake.bars("SPY", DAYS[0], DAYS[-1], dataset=IB_BARS)
    text = str(told.value)
    assert text.startswith(f"{IB_BARS}/SPY: the lake {lake.url} holds no day of it yet; give SPY a row in tickers.csv")
    assert f"run: data-assets backfill {IB_BARS}/SPY --from 2024-07-02 --to 2024-07-05" in text
    assert f"dataset='{POLYGON_BARS}' reads those" in text
    assert "\n" not in text
    with pytest.raises(LakeError) as nowhere:
        lake.bars("KO", DAYS[0], DAYS[-1], dataset=IB_BARS)
    assert "another vendor" not in str(nowhere.value)


def test_a_lake_of_ib_alone_says_whom_to_ask(lake_url: str) -> None:
    lake = Lake(lake_url, synthetic=True)
    store_ib_day(lake, "AAPL", DAYS[0])
    with pytest.raises(LakeError, match=f"{POLYGON_BARS}: the lake .* holds no day .*dataset='{IB_BARS}' reads those"):
        lake.bars("AAPL", DAYS[0], DAYS[-1])


def test_days_that_are_not_stored_are_no_rows_and_no_grid(lake: Lake) -> None:
    for options in ({}, {"session": "regular", "grid": True, "fill": True}):
        none = lake.bars("AAPL", date(2023, 1, 3), date(2023, 1, 5), dataset=IB_BARS, **options).collect()
        assert none.is_empty()
        assert none.schema == lake.bars("AAPL", DAYS[0], DAYS[0], dataset=IB_BARS).collect_schema()


@pytest.mark.parametrize(
    ("ticker", "dataset", "message"),
    [
        ("aapl", IB_BARS, "IB spells tickers in capitals"),
        ("MSFT", f"{IB_BARS}/AAPL", f"holds no bars of MSFT: ask for dataset='{IB_BARS}'"),
        ("../x", IB_BARS, "capitals"),
        ("../X", IB_BARS, "not a dataset key"),
    ],
)
def test_bars_of_another_ticker_never_come(lake: Lake, ticker: str, dataset: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lake.bars(ticker, DAYS[0], DAYS[-1], dataset=dataset)


def test_renames_are_polygons_and_ibs_bars_are_read_as_they_are(lake: Lake) -> None:
    plain = lake.bars("AAPL", DAYS[0], DAYS[-1], dataset=IB_BARS).collect()
    assert lake.bars("AAPL", DAYS[0], DAYS[-1], dataset=IB_BARS, follow_renames=True).collect().equals(plain)


def test_ibs_damaged_days_are_refused_where_that_is_asked_for(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), synthetic=True)
    store_ib_day(lake, "AAPL", DAYS[0])
    path = tmp_path / partition_path(f"{IB_BARS}/AAPL", DAYS[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        lake.bars("AAPL", DAYS[0], DAYS[0], dataset=IB_BARS, verify=True)


@pytest.mark.parametrize("stored", [day_bars(DAYS[1], "AAPL"), ib_bars("AAPL", DAYS[1])], ids=["polygon", "ib"])
def test_the_rules_read_what_lake_bars_returns(stored: pl.DataFrame) -> None:
    bars, hours = in_one_vocabulary(stored), session(DAYS[1])
    in_session = bars.filter(pl.col("timestamp").is_between(hours.open, hours.close, closed="left"))
    assert in_one_vocabulary(bars).equals(bars), "what is named so already stays"
    assert minute_bars.ohlc(bars).passed
    assert minute_bars.timestamps(bars).passed
    assert bar_coverage.session_bar_count(in_session, hours=hours).passed
    assert trading_minutes(in_session, hours)
    assert minute_bars.day_metrics(bars, hours)["regular_rows"] == 210


def test_no_stored_column_of_either_vendor_is_lost_or_read_under_two_names() -> None:
    for columns in (polygon_schema.SCHEMA, ib_schema.SCHEMA):
        read = in_one_vocabulary(pl.DataFrame(schema=columns))
        assert len(read.columns) == len(columns)
        assert set(VOCABULARY[1:]) <= set(read.columns)


def test_the_columns_in_the_ui_say_by_which_name_they_are_read() -> None:
    ib, polygon = documented_bars(ib_schema.COLUMNS), documented_bars(polygon_schema.COLUMNS)
    assert list(ib) == list(ib_schema.COLUMNS), "the vendor's names"
    assert {
        name: text.split("(read as ")[1] for name, (_, text) in {**ib, **polygon}.items() if "(read as" in text
    } == {
        "average": "vwap)",
        "bar_count": "trades)",
        "window_start": "timestamp)",
        "transactions": "trades)",
    }
