"""nautilus_trader's catalog without the package: the bytes that it wrote itself, and days of the lake in its files.

`make test-engines` has the real catalog read what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from data_assets.export.days import FoundDay
from data_assets.export.exporting import export
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.nautilus import NO_ASK, NautilusBars, NautilusQuotes, day_file, osi_symbol
from data_assets.lake.bar_columns import POLYGON_BARS
from data_assets.lake.lake import Lake
from data_assets_tests.export.test_lean import (
    AAPL,
    DAY,
    NIGHT,
    QQQ,
    WINTER,
    at,
    quote,
    store_quotes,
    store_with_the_night,
)
from data_assets_tests.lake.minute_days import day_bars, ib_bars, store_day, store_ib_day

FILE = "2024-07-02T04-00-00-000000000Z_2024-07-03T03-59-59-999999999Z.parquet"
BARS = f"data/bar/AAPL.US-1-MINUTE-LAST-EXTERNAL/{FILE}"
CALL = "QQQ   240719C00400000.OPRA"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), synthetic=True)


@pytest.fixture
def folder(lake: Lake, tmp_path: Path) -> ExportFolder:
    return ExportFolder(tmp_path / "catalog", lake)


def stored(days: Sequence[date]) -> list[FoundDay]:
    return [FoundDay(day, "stored", has_file=True) for day in days]


def numbers(path: Path, column: str) -> list[int]:
    """A column of fixed-point numbers, as the integers that they are."""
    return [int.from_bytes(each, "little", signed=True) for each in pq.read_table(path)[column].to_pylist()]


def test_bars_are_named_by_their_ends_and_scaled(lake: Lake, folder: ExportFolder) -> None:
    bars = ib_bars("AAPL", DAY).with_columns(open=pl.col("low"), close=pl.col("high"))
    store_ib_day(lake, "AAPL", DAY, bars)
    export(NautilusBars(AAPL, "AAPL"), lake, [DAY], stored, folder)
    table = pq.read_table(folder.path / BARS)
    assert table.schema.names == ["open", "high", "low", "close", "volume", "ts_event", "ts_init"]
    assert table.schema.metadata == {
        b"bar_type": b"AAPL.US-1-MINUTE-LAST-EXTERNAL",
        b"instrument_id": b"AAPL.US",
        b"price_precision": b"4",
        b"size_precision": b"0",
    }
    assert table["ts_event"][0].as_py() == int(at(9, 31).timestamp()) * 10**9
    assert table["ts_event"] == table["ts_init"]
    assert numbers(folder.path / BARS, "close") == [round(each * 10_000) * 10**12 for each in bars["high"]]
    assert numbers(folder.path / BARS, "volume") == [round(each) * 10**16 for each in bars["volume"]]


def test_a_file_holds_what_its_name_says(lake: Lake, folder: ExportFolder) -> None:
    store_with_the_night(lake, DAY)
    day = export(NautilusBars(POLYGON_BARS, "AAPL", hours="extended"), lake, [DAY], stored, folder).days[0]
    times = pq.read_table(folder.path / BARS)["ts_event"].to_pylist()
    assert times == [(int(each.timestamp()) + 60) * 10**9 for each in day_bars(DAY, "AAPL")["window_start"]]
    assert (day.rows, day.left_out) == (len(times), {NIGHT: 2})


def test_what_has_more_digits_is_rounded_and_counted(lake: Lake, folder: ExportFolder) -> None:
    bars = ib_bars("AAPL", DAY).with_row_index()
    first = pl.col("index") == 0
    bars = bars.with_columns(
        high=pl.when(first).then(pl.col("high") + 0.00004).otherwise("high"),
        volume=pl.when(first).then(0.4).otherwise("volume"),
    )
    store_ib_day(lake, "AAPL", DAY, bars.drop("index"))
    manifest = export(NautilusBars(AAPL, "AAPL"), lake, [DAY], stored, folder)
    assert manifest.days[0].rounded == {"high": 1, "volume": 1}
    assert numbers(folder.path / BARS, "volume")[0] == 0


def test_a_day_fetched_again_replaces_its_file_though_it_begins_later(lake: Lake, folder: ExportFolder) -> None:
    store_ib_day(lake, "AAPL", DAY)
    export(NautilusBars(AAPL, "AAPL"), lake, [DAY], stored, folder)
    store_ib_day(lake, "AAPL", DAY, ib_bars("AAPL", DAY)[5:])
    export(NautilusBars(AAPL, "AAPL"), lake, [DAY], stored, folder)
    assert [path.name for path in (folder.path / BARS).parent.iterdir()] == [FILE]
    assert pq.read_metadata(folder.path / BARS).num_rows == 385


def test_quotes_are_a_file_for_each_contract_and_one_that_is_gone_goes(lake: Lake, folder: ExportFolder) -> None:
    put = quote(at(9, 31), 0.0, 0.05, right="PUT")
    store_quotes(lake, QQQ, quote(at(9, 31), 1.23, 1.25), quote(at(9, 32), 1.24, 0.0), put)
    manifest = export(NautilusQuotes(QQQ), lake, [DAY], stored, folder)
    (said,) = manifest.days
    assert (said.rows, said.left_out, said.rounded) == (2, {NO_ASK: 1}, {})
    path = folder.path / "data" / "quote_tick" / CALL / FILE
    table = pq.read_table(path)
    assert table.schema.names == ["bid_price", "ask_price", "bid_size", "ask_size", "ts_event", "ts_init"]
    assert table.schema.metadata == {
        b"instrument_id": CALL.encode(),
        b"price_precision": b"2",
        b"size_precision": b"0",
    }
    assert numbers(path, "bid_price") == [123 * 10**14]
    assert numbers(path, "ask_size") == [81 * 10**16]
    assert table["ts_event"].to_pylist() == [int(at(9, 31).timestamp()) * 10**9]
    (contract,) = pq.read_table(folder.path / "data" / "option_contract" / CALL).to_pylist()
    assert (contract["underlying"], contract["option_kind"], contract["strike_price"]) == ("QQQ", "CALL", "400.000")
    assert contract["expiration_ns"] == int(at(16, 15, date(2024, 7, 19)).timestamp()) * 10**9

    store_quotes(lake, QQQ, put)
    export(NautilusQuotes(QQQ), lake, [DAY], stored, folder)
    assert [each.parent.name for each in (folder.path / "data" / "quote_tick").rglob("*.parquet")] == [
        "QQQ   240719P00400000.OPRA"
    ]


def test_names_of_days_and_contracts() -> None:
    assert day_file(DAY) == FILE
    assert day_file(WINTER).startswith("2024-11-04T05-00-00-000000000Z_2024-11-05T04-59-59-")
    assert osi_symbol("SPXW", date(2024, 7, 19), 5432.5, "PUT") == "SPXW  240719P05432500"
    with pytest.raises(ExportRefused, match="more than three decimals"):
        osi_symbol("QQQ", DAY, 1.23456, "CALL")


def test_two_vendors_bars_of_one_name_are_never_one_instrument(lake: Lake, folder: ExportFolder) -> None:
    store_ib_day(lake, "AAPL", DAY)
    store_day(lake, WINTER, day_bars(WINTER, "AAPL"), wanted=["AAPL"])
    export(NautilusBars(AAPL, "AAPL"), lake, [DAY], stored, folder)
    before = sorted(folder.path.rglob("*.parquet"))
    with pytest.raises(ExportRefused, match=r"holds AAPL from ib/bars_1m/AAPL, .*: name another folder with --into"):
        export(NautilusBars(POLYGON_BARS, "AAPL"), lake, [WINTER], stored, folder)
    assert sorted(folder.path.rglob("*.parquet")) == before


def test_a_file_that_the_catalog_itself_has_written_stays(lake: Lake, folder: ExportFolder) -> None:
    store_ib_day(lake, "AAPL", DAY)
    theirs = folder.path / BARS
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with pytest.raises(ExportRefused, match="is no export's, and is left as it is"):
        export(NautilusBars(AAPL, "AAPL"), lake, [DAY], stored, folder)
    assert theirs.read_bytes() == b"theirs"
