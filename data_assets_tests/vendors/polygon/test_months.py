"""Monthly files of minute aggregates, built from real day files."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_assets.files import tempfiles
from data_assets.lake.errors import Corrupt, LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.layout import month_path, partition_path
from data_assets.lake.provenance import Provenance
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.trading_calendar import sessions
from data_assets.vendors.polygon import months
from data_assets.vendors.polygon.months import (
    DAILY,
    MONTHLY,
    VerifiedMonth,
    build_month,
    current_months,
    found_month,
    month_completeness,
    verify_month,
)
from data_assets.vendors.polygon.schema import ARROW_SCHEMA, SCHEMA, SORT_BY
from data_assets_tests.lake.minute_days import as_read
from data_assets_tests.small_disk import mount as mount  # a fixture

JANUARY = date(2024, 1, 1)
DAYS = [date(2024, 1, day) for day in (2, 3, 8, 31)]
NOW = datetime(2024, 2, 5, 12, tzinfo=UTC)
TICKERS = ("ABRPA", "ABRpA", "NA", "SPY", "ZVZZT")


def bars_of(day: date, *tickers: str) -> pl.DataFrame:
    frames = [
        minute_bars(ticker, day)
        .rename({"timestamp": "window_start", "trades": "transactions"})
        .with_columns(ticker=pl.lit(ticker), test_ticker=pl.lit(value=ticker.startswith("Z")))
        .select(SCHEMA.names())
        for ticker in tickers
    ]
    return pl.concat(frames).cast(SCHEMA)


def store(lake: Lake, day: date, *tickers: str) -> None:
    provenance = Provenance(
        dataset=DAILY,
        day=day,
        source=f"us_stocks_sip/minute_aggs_v1/{day:%Y/%m}/{day}.csv.gz",
        fetched_at=NOW,
        schema_version=1,
        raw_sha256="ab" * 32,
        raw_size=1234,
        synthetic=lake.synthetic,
    )
    with lake.writer(DAILY, day, ARROW_SCHEMA, SORT_BY, whole_groups=True) as writer:
        writer.write(bars_of(day, *tickers))
        writer.finish(provenance).publish()


@pytest.fixture
def lake(tmp_path):
    """A lake with four days of January, two of February, and the last ones of December."""
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    for day in (date(2023, 12, 29), *DAYS, date(2024, 2, 1), date(2024, 2, 2)):
        store(lake, day, *TICKERS)
    return lake


def read(lake: Lake, ticker: str, month: date = JANUARY) -> pl.DataFrame:
    return pl.read_parquet(lake.locate(month_path(MONTHLY, ticker, month)), hive_partitioning=False, glob=False)


@pytest.mark.parametrize("batch_rows", [1, 3_000, 2_000_000])
@pytest.mark.parametrize("tickers", ["all", TICKERS, ("SPY", "ABRpA", "SPY")])
def test_a_month_holds_each_tickers_rows_of_its_days_and_no_other(lake, monkeypatch, tickers, batch_rows):
    monkeypatch.setattr(months, "BATCH_ROWS", batch_rows)
    month = build_month(lake, date(2024, 1, 17), tickers, now=NOW)
    wanted = sorted({*(TICKERS if tickers == "all" else tickers)})
    assert month.tickers == tuple(wanted)
    for ticker in wanted:
        assert read(lake, ticker).equals(pl.concat(bars_of(day, ticker) for day in DAYS))
    paths = [Path(lake.locate(month_path(MONTHLY, ticker, JANUARY))) for ticker in wanted]
    found = [path for path in (Path(lake.url) / MONTHLY).rglob("*") if path.is_file()]
    assert sorted(found) == sorted(paths)
    assert month.rows == sum(read(lake, ticker).height for ticker in wanted)
    assert month.size == sum(path.stat().st_size for path in paths)
    assert (month.month, month.days, month.absent) == (JANUARY, tuple(DAYS), ())
    verify_month(lake, JANUARY, tickers, sha256=month.sha256, rows=month.rows)


def test_an_incomplete_month_says_which_days_it_lacks(lake):
    month = build_month(lake, JANUARY, ["SPY"], now=NOW)
    assert month.lacking == tuple(day for day in sessions(JANUARY, DAYS[-1]) if day not in DAYS)
    assert date(2024, 1, 15) not in month.lacking  # a holiday
    february = build_month(lake, date(2024, 2, 1), ["SPY"], now=NOW)
    assert (february.days, february.lacking) == ((date(2024, 2, 1), date(2024, 2, 2)), ())
    later = build_month(lake, date(2024, 2, 1), ["SPY"], now=datetime(2024, 2, 6, 23, tzinfo=UTC))
    assert later.lacking == (date(2024, 2, 5), date(2024, 2, 6))


def test_a_month_without_any_day_says_what_to_do(lake):
    with pytest.raises(LakeError, match="holds no day of 2024-03; run: data-assets backfill polygon/minute_aggs"):
        build_month(lake, date(2024, 3, 1), "all", now=NOW)


def test_a_ticker_that_did_not_trade_gets_a_file_without_rows(lake):
    month = build_month(lake, JANUARY, ["NOPE", "SPY"], now=NOW)
    assert (month.tickers, month.absent) == (("NOPE", "SPY"), ("NOPE",))
    assert read(lake, "NOPE").schema == SCHEMA
    assert read(lake, "NOPE").is_empty()
    verify_month(lake, JANUARY, ["SPY", "NOPE"], sha256=month.sha256, rows=month.rows)


def test_a_ticker_of_some_days_has_those(lake):
    store(lake, DAYS[1], "SPY")
    build_month(lake, JANUARY, "all", now=NOW)
    assert read(lake, "NA").equals(pl.concat(bars_of(day, "NA") for day in DAYS if day != DAYS[1]))


def test_what_was_built_is_what_bars_reads(lake):
    before = lake.bars("ABRpA", date(2023, 12, 1), date(2024, 2, 29)).collect()
    build_month(lake, JANUARY, "all", now=NOW)
    for path in (Path(lake.url) / DAILY).glob("date=2024-01-*/data.parquet"):
        path.unlink()
    assert lake.bars("ABRpA", date(2023, 12, 1), date(2024, 2, 29)).collect().equals(before)


def test_a_month_that_is_built_again_takes_up_what_changed(lake):
    first = build_month(lake, JANUARY, TICKERS, now=NOW)
    same = build_month(lake, JANUARY, TICKERS, now=NOW)
    assert same == first
    store(lake, date(2024, 1, 9), *TICKERS)
    again = build_month(lake, JANUARY, TICKERS, now=NOW)
    assert again.days == tuple(sorted([*DAYS, date(2024, 1, 9)]))
    assert date(2024, 1, 9) not in again.lacking
    assert again.sha256 != first.sha256
    assert read(lake, "SPY").equals(pl.concat(bars_of(day, "SPY") for day in again.days))


@pytest.mark.parametrize("tickers", ["all", TICKERS])
def test_verify_finds_a_month_that_is_damaged(lake, tickers):
    month = build_month(lake, JANUARY, tickers, now=NOW)
    recorded = {"sha256": month.sha256, "rows": month.rows}
    path = Path(lake.locate(month_path(MONTHLY, "ABRpA", JANUARY)))
    good = path.read_bytes()
    closes = pq.read_metadata(path).row_group(0).column(SCHEMA.names().index("close"))
    last = closes.data_page_offset + closes.total_compressed_size - 1  # of the page's values, which its checksum covers
    path.write_bytes(good[:last] + bytes([good[last] ^ 1]) + good[last + 1 :])
    with pytest.raises(Corrupt, match="damaged"):
        verify_month(lake, JANUARY, tickers, **recorded)
    path.unlink()
    with pytest.raises(Corrupt, match="missing"):
        verify_month(lake, JANUARY, tickers, **recorded)
    footer = good.index(b"data_assets.lacking") + 40  # which no checksum covers but the seal
    path.write_bytes(good[:footer] + bytes([good[footer] ^ 1]) + good[footer + 1 :])
    with pytest.raises(Corrupt, match="not those that it was closed with"):
        verify_month(lake, JANUARY, tickers, **recorded)
    path.write_bytes(good)
    assert verify_month(lake, JANUARY, tickers, **recorded) == VerifiedMonth(recorded=True)


@pytest.mark.parametrize("tickers", ["all", TICKERS])
def test_a_file_without_a_seal_must_be_the_recorded_one(lake, tickers):
    """As those of earlier versions, of which only the recorded digest can tell."""
    month = build_month(lake, JANUARY, tickers, now=NOW)
    paths = [Path(lake.locate(month_path(MONTHLY, ticker, JANUARY))) for ticker in TICKERS]
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"data_assets.seal", b"data_assets.none"))
    with pytest.raises(Corrupt, match=f"recorded were 0 rows and {month.sha256}"):
        verify_month(lake, JANUARY, tickers, sha256=month.sha256, rows=0)
    with pytest.raises(Corrupt, match="recorded were") as told:
        verify_month(lake, JANUARY, tickers, sha256=month.sha256, rows=month.rows)
    digest = str(told.value).partition("have the digest ")[2][:64]
    assert verify_month(lake, JANUARY, tickers, sha256=digest, rows=month.rows).recorded


class Watched(Lake):
    """A lake that calls `seen` after every file of a month that it has written."""

    def write_month(self, *month):
        file = super().write_month(*month)
        self.seen(file)
        return file


@pytest.mark.parametrize("tickers", ["all", TICKERS])
def test_a_month_is_whole_at_every_instant_of_its_rebuild(lake, tickers, monkeypatch):
    """Whoever verifies it meanwhile finds some files of each build, the day replaced or not, and calls none damaged."""
    monkeypatch.setattr(months, "WRITERS", 1)
    month = build_month(lake, JANUARY, tickers, now=NOW)
    recorded = {"sha256": month.sha256, "rows": month.rows, "built_at": month.built_at}
    store(lake, DAYS[0], *TICKERS)
    store(lake, date(2024, 1, 9), *TICKERS, "ZZZ")  # which has no file yet
    found = [verify_month(lake, JANUARY, tickers, **recorded)]
    building = Watched(lake.url, synthetic=True)
    building.seen = lambda _file: found.append(verify_month(lake, JANUARY, tickers, **recorded))
    again = build_month(building, JANUARY, tickers, now=NOW + timedelta(seconds=1))
    assert len(found) == 1 + len(again.tickers)
    assert [each.newer for each in found[1:-1]] == [None] * (len(again.tickers) - 1), "the last file tells"
    assert found[-1] == VerifiedMonth(recorded=False, newer=again)


def test_a_rebuild_of_a_month_of_an_earlier_version_that_is_cut_off_is_no_damage(lake, monkeypatch):
    """Whose files have no seal: some of them are left beside those of the new build."""
    monkeypatch.setattr(months, "WRITERS", 1)
    month = build_month(lake, JANUARY, TICKERS, now=NOW)
    paths = [Path(lake.locate(month_path(MONTHLY, ticker, JANUARY))) for ticker in TICKERS]
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"data_assets.seal", b"data_assets.none"))
    recorded = {"sha256": found_month(lake, JANUARY, TICKERS).sha256, "rows": month.rows, "built_at": month.built_at}
    assert verify_month(lake, JANUARY, TICKERS, **recorded).recorded
    store(lake, DAYS[0], *TICKERS)
    building, found = Watched(lake.url, synthetic=True), []
    building.seen = lambda _file: found.append(verify_month(lake, JANUARY, TICKERS, **recorded))
    old = paths[-1].read_bytes()
    again = build_month(building, JANUARY, TICKERS, now=NOW + timedelta(seconds=1))
    assert found[:-1] == [VerifiedMonth(recorded=False)] * (len(TICKERS) - 1)
    assert found[-1] == VerifiedMonth(recorded=False, newer=again)
    paths[-1].write_bytes(old[: len(old) // 2] + bytes([old[len(old) // 2] ^ 1]) + old[len(old) // 2 + 1 :])
    with pytest.raises(Corrupt):
        verify_month(lake, JANUARY, TICKERS, **recorded)


DIE_AFTER = """
import os, signal, sys
from datetime import UTC, date, datetime
from data_assets.lake.lake import Lake
from data_assets.vendors.polygon.months import build_month

left = int(sys.argv[2])

class Dying(Lake):
    def write_month(self, *month):
        global left
        file = super().write_month(*month)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return file

build_month(Dying(sys.argv[1], synthetic=True), date(2024, 1, 1), "all", now=datetime(2024, 2, 5, 12, tzinfo=UTC))
"""


@pytest.mark.parametrize("files", [1, 3, len(TICKERS)])
def test_a_rebuild_that_is_killed_before_it_is_recorded_is_no_damage(lake, files):
    month = build_month(lake, JANUARY, "all", now=NOW)
    store(lake, DAYS[0], *TICKERS)
    killed = subprocess.run([sys.executable, "-c", DIE_AFTER, lake.url, str(files)], check=False)
    assert killed.returncode == -signal.SIGKILL
    found = verify_month(lake, JANUARY, "all", sha256=month.sha256, rows=month.rows)
    assert not found.recorded
    assert (found.newer is None) == (files < len(TICKERS))
    assert current_months(lake, [JANUARY], "all") == ({JANUARY} if found.newer else set())
    path = Path(lake.locate(month_path(MONTHLY, TICKERS[0], JANUARY)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt):
        verify_month(lake, JANUARY, "all", sha256=month.sha256, rows=month.rows)


def test_a_ticker_that_is_wanted_since_is_no_damage_and_a_month_without_files_is(lake, monkeypatch):
    monkeypatch.setattr(months, "WRITERS", 1)
    month = build_month(lake, JANUARY, TICKERS, now=NOW)
    recorded = {"sha256": month.sha256, "rows": month.rows, "built_at": month.built_at}
    wanted = [*TICKERS, "NEW"]
    assert verify_month(lake, JANUARY, wanted, **recorded) == VerifiedMonth(recorded=True)
    building, found = Watched(lake.url, synthetic=True), []
    building.seen = lambda _file: found.append(verify_month(lake, JANUARY, wanted, **recorded))
    again = build_month(building, JANUARY, wanted, now=NOW + timedelta(seconds=1))
    assert found[-1] == VerifiedMonth(recorded=False, newer=again)
    assert len(found) == len(wanted)
    for ticker in wanted:
        Path(lake.locate(month_path(MONTHLY, ticker, JANUARY))).unlink()
    with pytest.raises(Corrupt, match="missing"):
        verify_month(lake, JANUARY, [*TICKERS, "NEW"], **recorded)


def test_a_file_that_cannot_be_written_ends_the_build(lake):
    blocked = Path(lake.locate(month_path(MONTHLY, "NA", JANUARY))).parent.parent
    blocked.parent.mkdir(parents=True)
    blocked.write_bytes(b"a file where a folder should be")
    with pytest.raises(LakeError, match="cannot be written"):
        build_month(lake, JANUARY, TICKERS, now=NOW)
    assert list(tempfiles.find(Path(lake.url))) == []
    blocked.unlink()
    build_month(lake, JANUARY, TICKERS, now=NOW)
    assert read(lake, "NA").height


@pytest.mark.parametrize("trouble", ["full", "full amid the files", "no inodes", "read-only"])
def test_a_disk_that_takes_no_more_costs_a_rebuild_and_nothing_that_was_stored(tmp_path, mount, trouble):
    disk = mount(tmp_path / "disk", "size=8m,nr_inodes=200")
    lake = Lake(str(disk.folder / "lake"), synthetic=True)
    for day in DAYS[:2]:
        store(lake, day, *TICKERS)
    month = build_month(lake, JANUARY, TICKERS, now=NOW)
    recorded = {"sha256": month.sha256, "rows": month.rows, "built_at": month.built_at}
    store(lake, DAYS[2], *TICKERS)
    room = {"full": 0, "full amid the files": month.size // 2}
    if trouble in room:
        disk.fill(but=room[trouble])
    elif trouble == "no inodes":
        disk.take_inodes()
    else:
        disk.remount("ro")
    try:
        with pytest.raises(LakeError, match=r"no room to write it|mounted read-only") as told:
            build_month(lake, JANUARY, TICKERS, now=NOW + timedelta(seconds=1))
        assert "\n" not in str(told.value)
        assert list(tempfiles.find(disk.folder)) == []
        assert verify_month(lake, JANUARY, TICKERS, **recorded).newer is None
        bars = pl.concat(bars_of(day, "SPY") for day in DAYS[:3])
        assert lake.bars("SPY", JANUARY, DAYS[-1]).collect().equals(as_read(bars))
    finally:
        disk.remount("rw")
    disk.empty()
    again = build_month(lake, JANUARY, TICKERS, now=NOW)
    assert verify_month(lake, JANUARY, TICKERS, sha256=again.sha256, rows=again.rows).recorded


@pytest.mark.parametrize("tickers", ["all", TICKERS])
def test_a_damaged_day_is_named_and_leaves_its_month_to_be_built(lake, tickers):
    build_month(lake, JANUARY, tickers, now=NOW)
    assert current_months(lake, [JANUARY], tickers) == {JANUARY}
    day = DAYS[1]
    Path(lake.locate(partition_path(DAILY, day))).write_bytes(b"rot")
    assert current_months(lake, [JANUARY], tickers) == set()
    assert not month_completeness(lake, JANUARY, tickers, now=NOW).passed
    with pytest.raises(Corrupt, match=f"date={day}.*backfill this day again"):
        build_month(lake, JANUARY, tickers, now=NOW)


def test_damage_inside_a_day_is_told_in_the_lake_s_words(lake):
    path = Path(lake.locate(partition_path(DAILY, DAYS[1])))
    content = path.read_bytes()
    path.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
    with pytest.raises(Corrupt, match=f"date={DAYS[1]}.*: damaged .*backfill this day again"):
        build_month(lake, JANUARY, TICKERS, now=NOW)


@pytest.mark.parametrize("column", ["volume", "close", "transactions"])
@pytest.mark.parametrize("tickers", ["all", TICKERS])
def test_a_rotten_day_does_not_become_a_sound_month(lake, tickers, column):
    """Of the flips in a column some are read without a word, as other numbers, by who checks no page."""
    path = Path(lake.locate(partition_path(DAILY, DAYS[1])))
    content, right, silent = path.read_bytes(), pq.ParquetFile(path).read(), 0
    group = pq.read_metadata(path).row_group(0)
    chunk = next(each for each in map(group.column, range(group.num_columns)) if each.path_in_schema == column)
    end = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size
    for position in range(end - 400, end, 40):
        rotten = bytearray(content)
        rotten[position] ^= 4
        path.write_bytes(rotten)
        with suppress(OSError, pa.ArrowException):
            silent += not pq.ParquetFile(path).read().equals(right)
        with pytest.raises(Corrupt, match=f"date={DAYS[1]}.*damaged.*backfill this day again"):
            build_month(lake, JANUARY, tickers, now=NOW)
    assert silent
    assert not (Path(lake.url) / MONTHLY).exists()


@pytest.mark.parametrize("batch_rows", [1, 3_000, 2_000_000])
def test_the_last_tickers_file_appears_last(lake, monkeypatch, batch_rows):
    """It is what tells whether a month is built."""
    monkeypatch.setattr(months, "BATCH_ROWS", batch_rows)
    for _ in range(3):
        build_month(lake, JANUARY, "all", now=NOW)
        folder = Path(lake.url) / MONTHLY
        changed = {path.parents[1].name: path.parent.stat().st_mtime_ns for path in folder.rglob("data.parquet")}
        assert max(changed, key=changed.__getitem__) == "ticker_folder=_ZVZZT"


def test_a_build_that_fails_before_the_end_does_not_count_as_built(lake):
    blocked = Path(lake.locate(month_path(MONTHLY, "ABRPA", JANUARY))).parent.parent
    blocked.parent.mkdir(parents=True)
    blocked.write_bytes(b"a file where a folder should be")
    with pytest.raises(LakeError, match="cannot be written"):
        build_month(lake, JANUARY, TICKERS, now=NOW)
    assert months.current_months(lake, [JANUARY], TICKERS) == set()
    blocked.unlink()
    build_month(lake, JANUARY, TICKERS, now=NOW)
    assert months.current_months(lake, [JANUARY], TICKERS) == {JANUARY}


BUILD_AND_SAY = """
import sys
from datetime import UTC, date, datetime
from data_assets.lake.lake import Lake
from data_assets.vendors.polygon.months import build_month

print("started", flush=True)
while True:
    build_month(Lake(sys.argv[1], synthetic=True), date(2024, 1, 1), "all", now=datetime(2024, 2, 5, 12, tzinfo=UTC))
    print("built", flush=True)
"""


def test_a_ticker_that_was_listed_later_makes_its_months_be_built_again(lake):
    build_month(lake, JANUARY, ["NA", "ZVZZT"], now=NOW)
    assert months.current_months(lake, [JANUARY], ["NA", "ZVZZT"]) == {JANUARY}
    assert months.current_months(lake, [JANUARY], ["NA", "SPY", "ZVZZT"]) == set()
    complete = months.month_completeness(lake, JANUARY, ["NA", "SPY", "ZVZZT"], now=NOW)
    assert not complete.passed
    assert complete.metadata["sessions"] == 0
    build_month(lake, JANUARY, ["NA", "SPY", "ZVZZT"], now=NOW)
    assert months.current_months(lake, [JANUARY], ["NA", "SPY", "ZVZZT"]) == {JANUARY}


def test_a_ticker_whose_file_is_older_than_its_neighbours_is_told(lake):
    for day in sessions(JANUARY, DAYS[-1]):
        store(lake, day, *TICKERS)
    build_month(lake, JANUARY, ["NA", "SPY"], now=NOW)
    assert months.month_completeness(lake, JANUARY, ["NA", "SPY"], now=NOW).passed
    store(lake, DAYS[1], *TICKERS[:-1])
    build_month(lake, JANUARY, ["SPY"], now=NOW)

    assert months.current_months(lake, [JANUARY], ["NA", "SPY"]) == set()
    complete = months.month_completeness(lake, JANUARY, ["NA", "SPY"], now=NOW)
    assert (complete.passed, complete.summary) == (False, "replaced since it was built: 01-03")
    assert months.month_completeness(lake, JANUARY, ["SPY"], now=NOW).passed


@pytest.mark.parametrize("after", [b"started\n", b"built\n"], ids=["the first build", "a later build"])
def test_a_killed_build_leaves_whole_files_and_is_run_again(lake, after):
    builder = subprocess.Popen([sys.executable, "-c", BUILD_AND_SAY, lake.url], stdout=subprocess.PIPE)
    assert builder.stdout is not None
    while builder.stdout.readline() != after:
        pass
    folder = Path(lake.url) / MONTHLY
    while not list(tempfiles.find(Path(lake.url))):  # a file is being written
        assert builder.poll() is None
    os.kill(builder.pid, signal.SIGKILL)
    builder.wait()
    builder.stdout.close()
    for path in folder.rglob("data.parquet"):
        assert pl.read_parquet(path, hive_partitioning=False)["window_start"].is_sorted()
    lake.sweep()
    assert list(tempfiles.find(Path(lake.url))) == []
    bars = pl.concat(bars_of(day, "SPY") for day in DAYS)
    assert lake.bars("SPY", JANUARY, DAYS[-1]).collect().equals(as_read(bars))
    month = build_month(lake, JANUARY, "all", now=NOW)
    verify_month(lake, JANUARY, "all", sha256=month.sha256, rows=month.rows)
