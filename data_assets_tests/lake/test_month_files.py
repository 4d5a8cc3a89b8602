"""The file of a ticker's month: its place, its content, and what a reader is told of it."""

import os
from dataclasses import replace
from datetime import date
from urllib.parse import unquote

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.files.tempfiles import find
from data_assets.lake.errors import Corrupt, LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.lake.layout import escape_ticker, month_path, monthly_dataset, partition_path
from data_assets.lake.monthly import month_footer
from data_assets.lake.storage import open_storage
from data_assets_tests.lake.minute_days import DAILY, MONTHLY, TIME, day_bars, month_of, store_day, store_month

JANUARY = date(2024, 1, 1)
DAYS = [date(2024, 1, day) for day in (2, 3, 4)]
tickers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@pytest.fixture
def lake(lake_url):
    """A lake with three days of January."""
    lake = Lake(lake_url, synthetic=True)
    for day in DAYS:
        store_day(lake, day, day_bars(day, "ABRpA", "SPY"))
    return lake


def test_path_of_a_month():
    assert monthly_dataset(DAILY) == MONTHLY
    assert month_path(MONTHLY, "SPY", date(2024, 1, 31)) == f"{MONTHLY}/ticker_folder=_SPY/month=2024-01/data.parquet"
    assert month_path(MONTHLY, "ABRpA", JANUARY) == f"{MONTHLY}/ticker_folder=_ABR%70A/month=2024-01/data.parquet"
    assert escape_ticker("../a/É") == "..%2F%61%2F%C3%89"


@given(tickers, tickers)
def test_an_escaped_ticker_comes_back_stays_in_its_folder_and_is_alone_in_it(ticker, other):
    escaped = escape_ticker(ticker)
    assert unquote(escaped, errors="strict") == ticker, "as readers of hive-style paths do it"
    assert escaped.isascii()
    assert not set(escaped) & set("/\\ \n\0=*?[]abcdefghijklmnopqrstuvwxyz")
    assert (escaped.casefold() == escape_ticker(other).casefold()) == (ticker == other)
    assert month_path(MONTHLY, ticker, JANUARY).count("/") == 4


def test_an_empty_ticker_is_refused():
    with pytest.raises(ValueError, match="at least one character"):
        month_path(MONTHLY, "", JANUARY)
    with pytest.raises(ValueError, match="not a dataset key"):
        month_path("../x", "A", JANUARY)


def test_a_month_comes_back_as_it_went_in(lake, lake_url):
    file = store_month(lake, "ABRpA", JANUARY)
    bars = pl.concat(day_bars(day, "ABRpA") for day in DAYS)
    assert file.path == month_path(MONTHLY, "ABRpA", JANUARY)
    assert lake.verify_month(MONTHLY, "ABRpA", JANUARY).file == file
    with open_storage(lake_url).open(file.path) as stored:
        parquet = pq.ParquetFile(stored, page_checksum_verification=True)
        assert pl.DataFrame(parquet.read()).equals(bars)
        times = parquet.metadata.row_group(0).column(parquet.schema_arrow.names.index(TIME))
        assert set(times.encodings) <= {"PLAIN", "RLE"}
        metadata = {key.decode(): value.decode() for key, value in parquet.metadata.metadata.items()}
    footer = month_footer(metadata)
    assert footer.rows == file.rows == bars.height
    assert footer.provenance == month_of(lake, "ABRpA", JANUARY)[0]
    assert list(footer.provenance.days) == DAYS
    assert footer.provenance.lacking[:2] == (date(2024, 1, 5), date(2024, 1, 8))


def test_a_month_is_no_day_and_no_dataset_of_days(lake):
    store_month(lake, "SPY", JANUARY)
    assert lake.datasets() == [DAILY]
    assert lake.held_days(MONTHLY) == []


def test_a_ticker_that_did_not_trade_has_a_file_without_rows(lake):
    file = store_month(lake, "NOPE", JANUARY)
    assert file.rows == 0
    assert lake.verify_month(MONTHLY, "NOPE", JANUARY).file == file


def test_rows_out_of_order_are_refused_and_leave_the_old_file(lake):
    file = store_month(lake, "SPY", JANUARY)
    provenance, rows = month_of(lake, "SPY", JANUARY)
    with pytest.raises(ValueError, match="not sorted by window_start"):
        lake.write_month(provenance, rows.reverse(), TIME)
    assert lake.verify_month(MONTHLY, "SPY", JANUARY).file == file


def test_real_rows_do_not_go_into_a_synthetic_lake(lake, lake_url):
    provenance, rows = month_of(lake, "SPY", JANUARY)
    with pytest.raises(LakeError, match="real rows do not go into a lake of synthetic data"):
        lake.write_month(replace(provenance, synthetic=False), rows, TIME)
    with pytest.raises(LakeUnusable, match="holds synthetic data"):
        Lake(lake_url, synthetic=False).write_month(replace(provenance, synthetic=False), rows, TIME)


def test_verify_finds_what_is_wrong_with_a_month(lake, lake_url):
    storage = open_storage(lake_url)
    here = month_path(MONTHLY, "SPY", JANUARY)
    with pytest.raises(Corrupt, match="missing"):
        lake.verify_month(MONTHLY, "SPY", JANUARY)
    with storage.open(store_month(lake, "SPY", JANUARY).path) as file:
        good = file.read()
    put(storage, here, good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    with pytest.raises(Corrupt, match="damaged"):
        lake.verify_month(MONTHLY, "SPY", JANUARY)
    put(storage, here, good[:-20])
    with pytest.raises(Corrupt, match="damaged"):
        lake.verify_month(MONTHLY, "SPY", JANUARY)
    for ticker, month in (("ABRpA", JANUARY), ("SPY", date(2024, 2, 1))):
        put(storage, month_path(MONTHLY, ticker, month), good)
        with pytest.raises(Corrupt, match=f"its footer says that it is synthetic data of {MONTHLY} SPY 2024-01"):
            lake.verify_month(MONTHLY, ticker, month)
    with storage.open(partition_path(DAILY, DAYS[0])) as file:
        put(storage, here, file.read())
    with pytest.raises(Corrupt, match="no whole provenance"):
        lake.verify_month(MONTHLY, "SPY", JANUARY)
    put(storage, here, good)
    assert lake.verify_month(MONTHLY, "SPY", JANUARY).file.size == len(good)


def put(storage, name, data):
    storage.delete(name)
    assert storage.create(name, data)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    store_day(lake, DAYS[0], day_bars(DAYS[0], "SPY"))
    provenance, rows = month_of(lake, "SPY", JANUARY)
    blocked = tmp_path / MONTHLY / "ticker_folder=_SPY"
    blocked.parent.mkdir(parents=True)
    blocked.write_bytes(b"a file where a folder should be")
    with pytest.raises(LakeError, match="cannot be written"):
        lake.write_month(provenance, rows, TIME)
    assert list(find(tmp_path)) == []
    blocked.unlink()
    assert lake.write_month(provenance, rows, TIME).rows == rows.height


def test_the_version_of_a_day_changes_with_its_file(lake, lake_url):
    days = [*DAYS, date(2024, 1, 5)]
    before = lake.day_versions(DAILY, days)
    assert list(before) == DAYS
    assert len(set(before.values())) == len(DAYS)
    store_day(lake, DAYS[1], day_bars(DAYS[1], "ABRpA", "SPY", revision=1))
    after = lake.day_versions(DAILY, days)
    assert [day for day in DAYS if after[day] != before[day]] == [DAYS[1]]
    open_storage(lake_url).delete(partition_path(DAILY, DAYS[0]))
    assert list(lake.day_versions(DAILY, days)) == DAYS[1:]
    assert lake.day_versions(DAILY, []) == {}
    assert lake.day_versions("polygon/other", days) == {}


def test_versions_of_one_and_of_many_files(lake_url):
    storage = open_storage(lake_url)
    names = ["a/b", "a/b-c", "a/b.d/e", "a/c/d/e", "b"]
    for name in names:
        storage.create(name, name.encode())
    versions = storage.versions([*names, "a/nope", "nope/x"])
    assert sorted(versions) == sorted(names)
    for name in names:
        assert storage.versions([name]) == {name: versions[name]}
    assert storage.versions(["a/b", "a/c/d/e"]) == {name: versions[name] for name in ("a/b", "a/c/d/e")}


def test_a_version_survives_what_does_not_change_the_content(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    store_day(lake, DAYS[0], day_bars(DAYS[0], "SPY"))
    before = lake.day_versions(DAILY, DAYS)
    path = tmp_path / partition_path(DAILY, DAYS[0])
    os.link(path, path.with_name("previous.parquet"))
    path.read_bytes()
    assert lake.day_versions(DAILY, DAYS) == before
