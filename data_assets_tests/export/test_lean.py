"""LEAN's files byte by byte, by the examples in its own documentation, and days of the lake in them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from data_assets.export.days import FoundDay
from data_assets.export.exporting import Exporter, export
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.lean import LeanQuotes, LeanTrades, quote_entries, quote_zip, trade_lines
from data_assets.export.manifest import Manifest
from data_assets.export.nautilus import NautilusBars, NautilusQuotes
from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import NEW_YORK
from data_assets.vendors.theta.schema import QUOTES
from data_assets_tests.lake.minute_days import day_bars, ib_bars, provenance_of, store_day, store_ib_day

DAY, WINTER = date(2024, 7, 2), date(2024, 11, 4)
AAPL = f"{IB_BARS}/AAPL"
QQQ, SPX = "theta/option_quotes/QQQ", "theta/option_quotes/SPX"
BID_AND_ASK = {"bid_exchange": 5, "bid_condition": 50, "ask_exchange": 5, "ask_condition": 50}


def at(hour: int, minute: int, day: date = DAY) -> datetime:
    return datetime.combine(day, time(hour, minute), NEW_YORK)


def quote(
    when: datetime,
    bid: float,
    ask: float,
    *,
    root: str = "QQQ",
    strike: float = 400.0,
    right: str = "CALL",
    expiration: date = date(2024, 7, 19),
) -> dict[str, object]:
    contract = {"symbol": root, "expiration": expiration, "strike": strike, "right": right}
    sizes = {"bid_size": 19 if bid else 0, "ask_size": 81 if ask else 0}
    return {**contract, "timestamp": when, "bid": bid, "ask": ask, **sizes, **BID_AND_ASK}


def quotes(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in QUOTES.columns} for row in rows], schema=QUOTES.schema)


def store_quotes(lake: Lake, dataset: str, *rows: dict[str, object], day: date = DAY) -> None:
    with lake.writer(
        dataset, day, QUOTES.arrow_schema, ("symbol", "expiration", "strike", "right", "timestamp")
    ) as writer:
        writer.write(quotes(*rows))
        writer.finish(provenance_of(lake, dataset, day, {})).publish()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), synthetic=True)


def run(exporter: Exporter, lake: Lake, folder: ExportFolder, *days: date) -> Manifest:
    def look(asked: Sequence[date]) -> list[FoundDay]:
        return [FoundDay(day, "stored", has_file=True) for day in asked]

    return export(exporter, lake, days, look, folder)


NIGHT = "of the evening before, as the day is dated by trade date"


def store_with_the_night(lake: Lake, day: date) -> None:
    """A day that is dated by trade date: its first two bars are of 20:00 and 23:59 of the evening before."""
    bars = day_bars(day, "AAPL")
    evening = [at(20, 0, day - timedelta(days=1)), at(23, 59, day - timedelta(days=1))]
    night = bars.head(2).with_columns(window_start=pl.Series(evening).dt.convert_time_zone("UTC"))
    store_day(lake, day, pl.concat([night, bars]), wanted=["AAPL"], dated_by="trade_date")


def test_bars_of_the_evening_before_do_not_get_this_evenings_times(lake: Lake, tmp_path: Path) -> None:
    """A backtest would have seen them a day after they were traded, and after the bars of the whole day."""
    store_with_the_night(lake, DAY)
    folder = ExportFolder(tmp_path / "data", lake)
    day = run(LeanTrades(POLYGON_BARS, "AAPL"), lake, folder, DAY).days[0]
    with zipfile.ZipFile(folder.path / day.files[0]) as archive:
        times = [int(line.split(",")[0]) for line in archive.read(archive.namelist()[0]).decode().splitlines()]
    midnight = int(at(0, 0).timestamp()) * 1000
    assert times == [int(each.timestamp()) * 1000 - midnight for each in day_bars(DAY, "AAPL")["window_start"]]
    assert (day.rows, day.left_out) == (len(times), {NIGHT: 2})


@pytest.mark.parametrize("bad", [{"close": float("nan")}, {"high": float("inf")}, {"volume": 1e19}])
@pytest.mark.parametrize("kind", [LeanTrades, NautilusBars])
def test_what_is_no_number_is_left_out_and_counted(
    lake: Lake, tmp_path: Path, bad: dict[str, float], kind: type[LeanTrades | NautilusBars]
) -> None:
    """Such a day is red, and exported all the same with `--allow check`."""
    at_once = (
        ib_bars("AAPL", DAY)
        .with_row_index()
        .with_columns(
            pl.when(pl.col("index") == 5).then(value).otherwise(name).alias(name) for name, value in bad.items()
        )
    )
    store_ib_day(lake, "AAPL", DAY, at_once.drop("index"))
    day = run(kind(AAPL, "AAPL"), lake, ExportFolder(tmp_path / "data", lake), DAY).days[0]
    assert (day.rows, day.left_out) == (389, {"a price or volume that is no number, or too large for one": 1})


@pytest.mark.parametrize("kind", [LeanQuotes, NautilusQuotes])
def test_of_quotes_too(lake: Lake, tmp_path: Path, kind: type[LeanQuotes | NautilusQuotes]) -> None:
    store_quotes(lake, QQQ, quote(at(9, 31), float("nan"), 2.0), quote(at(9, 32), 1.0, 2.0))
    day = run(kind(QQQ), lake, ExportFolder(tmp_path / "data", lake), DAY).days[0]
    assert (day.rows, day.left_out) == (1, {"a price or volume that is no number, or too large for one": 1})


def test_the_examples_of_leans_own_documentation() -> None:
    """`Data/option/readme.md`, minute trades: milliseconds since midnight and deci-cents."""
    bar = {
        "timestamp": [at(17, 34) + timedelta(seconds=31)],
        "open": [12.08],
        "high": [12.56],
        "low": [12.08],
        "close": [12.5],
        "volume": [404.0],
    }
    assert trade_lines(pl.DataFrame(bar)) == "63271000,120800,125600,120800,125000,404\n"


def test_the_lines_of_a_quote_have_a_bar_that_ends_at_its_instant() -> None:
    rows = quotes(
        quote(at(9, 31), 21.19, 24.19),
        quote(at(9, 32), 0.0, 0.5),  # a real quote: nobody bids
        quote(at(16, 15), 0.05, 0.0),
        quote(at(9, 31), 0.01, 0.02, right="PUT", strike=402.5),
    )
    assert dict(quote_entries(rows, "QQQ", DAY)) == {
        "20240702_qqq_minute_quote_american_call_4000000_20240719.csv": (
            "34200000,211900,211900,211900,211900,19,241900,241900,241900,241900,81\n"
            "34260000,,,,,0,5000,5000,5000,5000,81\n"
            "58440000,500,500,500,500,19,,,,,0\n"
        ),
        "20240702_qqq_minute_quote_american_put_4025000_20240719.csv": (
            "34200000,100,100,100,100,19,200,200,200,200,81\n"
        ),
    }


def test_the_clock_is_new_yorks_on_either_side_of_the_change(lake: Lake, tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "lean", lake)
    for day in (DAY, WINTER):
        store_ib_day(lake, "AAPL", day)
    run(LeanTrades(AAPL, "AAPL"), lake, folder, DAY, WINTER)
    for day in (DAY, WINTER):
        with zipfile.ZipFile(folder.path / f"equity/usa/minute/aapl/{day:%Y%m%d}_trade.zip") as archive:
            (name,) = archive.namelist()
            lines = archive.read(name).decode().splitlines()
        assert name == f"{day:%Y%m%d}_aapl_minute_trade.csv"
        assert (lines[0].split(",")[0], lines[-1].split(",")[0], len(lines)) == ("34200000", "57540000", 390)


def test_bars_are_read_back_from_leans_integers_as_they_are_stored(lake: Lake, tmp_path: Path) -> None:
    fractional = day_bars(DAY, "SPY").with_columns(pl.col("volume") + 0.25)
    store_day(lake, DAY, fractional)
    folder = ExportFolder(tmp_path / "lean", lake)
    manifest = run(LeanTrades(POLYGON_BARS, "SPY"), lake, folder, DAY)
    with zipfile.ZipFile(folder.path / "equity/usa/minute/spy/20240702_trade.zip") as archive:
        lines = [line.split(",") for line in archive.read(archive.namelist()[0]).decode().splitlines()]
    stored = lake.bars("SPY", DAY, DAY).collect()
    assert manifest.days[0].rows == len(lines) == stored.height > 390, "extended hours included"
    assert [float(line[5]) for line in lines] == stored["volume"].to_list()
    for place, name in enumerate(("open", "high", "low", "close"), start=1):
        assert [int(line[place]) / 10_000 for line in lines] == stored[name].to_list()
    assert manifest.days[0].rounded == {}


def test_what_ten_thousandths_do_not_hold_is_counted(lake: Lake, tmp_path: Path) -> None:
    bars = day_bars(DAY, "SPY")
    odd = pl.when(pl.int_range(pl.len()) < 3).then(pl.col("low") - 0.00001).otherwise(pl.col("low")).alias("low")
    store_day(lake, DAY, bars.with_columns(odd))
    manifest = run(LeanTrades(POLYGON_BARS, "SPY"), lake, ExportFolder(tmp_path / "lean", lake), DAY)
    assert manifest.days[0].rounded == {"low": 3}


def test_map_and_factor_files_say_that_nothing_is_adjusted_and_never_replace_others(lake: Lake, tmp_path: Path) -> None:
    store_ib_day(lake, "AAPL", DAY)
    folder = ExportFolder(tmp_path / "lean", lake)
    own = folder.path / "equity/usa/factor_files/aapl.csv"
    own.parent.mkdir(parents=True)
    own.write_text("somebody's own\n")
    manifest = run(LeanTrades(AAPL, "AAPL"), lake, folder, DAY)
    assert own.read_text() == "somebody's own\n"
    assert (folder.path / "equity/usa/map_files/aapl.csv").read_text() == "19980102,aapl\n20501231,aapl\n"
    assert any("no adjustment" in note for note in manifest.notes)


def test_a_day_of_two_roots_lies_in_two_folders_and_the_open_without_quotes_is_counted(
    lake: Lake, tmp_path: Path
) -> None:
    store_quotes(
        lake,
        SPX,
        *(quote(at(9, 30), 0.0, 0.0, root=root, strike=5500.0) for root in ("SPX", "SPXW")),
        *(quote(at(9, 31), 10.1, 10.3, root=root, strike=5500.0) for root in ("SPX", "SPXW")),
        quote(at(9, 31), 9.1, 9.3, root="SPXW", strike=5500.0, expiration=date(2024, 7, 31)),
    )
    folder = ExportFolder(tmp_path / "lean", lake)
    manifest = run(LeanQuotes(SPX), lake, folder, DAY)
    assert manifest.days[0].files == (
        "indexoption/usa/minute/spx/20240702_quote_european.zip",
        "indexoption/usa/minute/spxw/20240702_quote_european.zip",
    )
    assert manifest.days[0].rows == 3
    assert manifest.days[0].left_out == {"no quote on either side": 2}
    with zipfile.ZipFile(folder.path / manifest.days[0].files[1]) as archive:
        assert archive.namelist() == [
            "20240702_spxw_minute_quote_european_call_55000000_20240719.csv",
            "20240702_spxw_minute_quote_european_call_55000000_20240731.csv",
        ]
        assert archive.read(archive.namelist()[0]) == (
            b"34200000,101000,101000,101000,101000,19,103000,103000,103000,103000,81\n"
        )


def test_a_day_fetched_again_replaces_its_zip_and_the_same_rows_are_the_same_bytes(lake: Lake, tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "lean", lake)
    path = folder.path / quote_zip("QQQ", DAY)
    store_quotes(lake, QQQ, quote(at(9, 31), 1.0, 1.1))
    run(LeanQuotes(QQQ), lake, folder, DAY)
    first = path.read_bytes()
    run(LeanQuotes(QQQ), lake, folder, DAY)
    assert path.read_bytes() == first
    store_quotes(lake, QQQ, quote(at(9, 31), 1.0, 1.2))
    run(LeanQuotes(QQQ), lake, folder, DAY)
    with zipfile.ZipFile(path) as archive:
        assert archive.read(archive.namelist()[0]).endswith(b",12000,81\n")


def test_the_zip_of_a_root_that_a_day_no_longer_has_goes(lake: Lake, tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "lean", lake)
    store_quotes(lake, SPX, *(quote(at(9, 31), 1.0, 1.1, root=root, strike=5500.0) for root in ("SPX", "SPXW")))
    run(LeanQuotes(SPX), lake, folder, DAY)
    store_quotes(lake, SPX, quote(at(9, 31), 1.0, 1.1, root="SPX", strike=5500.0))
    run(LeanQuotes(SPX), lake, folder, DAY)
    assert [path.parent.name for path in folder.path.rglob("*_quote_european.zip")] == ["spx"]


def test_a_strike_that_a_file_name_does_not_hold_is_refused() -> None:
    with pytest.raises(ExportRefused, match="strike has more than four decimals"):
        list(quote_entries(quotes(quote(at(9, 31), 1.0, 1.1, strike=33.33333)), "QQQ", DAY))


def test_leans_folders() -> None:
    assert quote_zip("QQQ", DAY) == "option/usa/minute/qqq/20240702_quote_american.zip"
    assert quote_zip("OEX", DAY) == "indexoption/usa/minute/oex/20240702_quote_american.zip"
