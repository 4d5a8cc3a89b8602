"""A day of flat files from the vendor to the lake: its outcomes, what is stored, and what a new version changes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from data_assets.ingest.outcome import (
    DayEnded,
    IngestError,
    NoData,
    NotEntitled,
    NotPublished,
    NotStored,
    Rejected,
    RunEnded,
    Stored,
    Throttled,
    Transient,
)
from data_assets.lake import parquet_file
from data_assets.lake import writer as writer_module
from data_assets.lake.lake import MARKER, Lake
from data_assets.lake.layout import partition_path
from data_assets.sandbox.flat_files.bucket import FlatFileBucket
from data_assets.sandbox.flat_files.files import key
from data_assets.trading_calendar import NotASession, sessions
from data_assets.vendors.polygon.client import FlatFileStore
from data_assets.vendors.polygon.component import judge_bars
from data_assets.vendors.polygon.day import (
    BARS_KEY,
    RAW_KEY,
    FlatFileSource,
    MinuteAggs,
    MinuteAggsSource,
    why_not_listed,
)
from data_assets.vendors.polygon.raw_cache import HeldFile, RawCache
from data_assets.vendors.polygon.schema import SCHEMA
from data_assets.vendors.polygon.tickers import tickers_of
from data_assets_tests.vendors.polygon.flat_file_fixtures import DAY, DAYS, NOW, Meter, bucket, flat_files, store_of

LIQUID = ("SPY", "QQQ", "AAPL")


class Project:
    """A lake and a cache in a folder, filled from a bucket or a mirror; each fetch is a run of its own."""

    def __init__(self, folder: Path, served: FlatFileBucket | Path, budget: int = 10**9) -> None:
        self.folder, self.served, self.budget = folder, served, budget
        self.lake = Lake(str(folder / "lake"), synthetic=True)
        self.meter = Meter()

    def cache(self) -> RawCache:
        return RawCache(self.folder / "cache", self.budget)

    def bars(
        self, tickers: tuple[str, ...] | None = LIQUID, now: datetime = NOW, cache: RawCache | None = None
    ) -> MinuteAggsSource:
        return MinuteAggsSource(
            MinuteAggs(tickers and tickers_of("tickers", tickers)),
            lake=self.lake,
            store=store_of(self.served),
            cache=cache or self.cache(),
            clock=lambda: now,
        )

    def raw(self, now: datetime = NOW) -> FlatFileSource:
        return FlatFileSource(store=store_of(self.served), cache=self.cache(), clock=lambda: now)

    async def store(self, tickers: tuple[str, ...] | None = LIQUID, day: date = DAY) -> Stored:
        return (await self.bars(tickers).fetch(day, self.meter)).publish()

    async def refused(self, day: date = DAY, now: datetime = NOW) -> IngestError:
        with pytest.raises(IngestError) as caught:
            await self.bars(now=now).fetch(day, self.meter)
        assert "\n" not in str(caught.value)
        assert left_in(self.folder / "lake") == []
        return caught.value

    async def ending(self, day: date = DAY, now: datetime = NOW) -> NotStored:
        error = await self.refused(day, now)
        assert isinstance(error, DayEnded), error
        return error.outcome

    def stored(self, day: date = DAY) -> pl.DataFrame:
        return self.lake.scan(BARS_KEY, day, day).collect()

    def details(self, day: date = DAY) -> dict[str, Any]:
        return self.lake.provenance(BARS_KEY, day).details

    def gets(self) -> int:
        assert isinstance(self.served, FlatFileBucket)
        return sum(request.key is not None for request in self.served.requests)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def bars_of(day: date = DAY, tickers: tuple[str, ...] | None = LIQUID, **options: Any) -> pl.DataFrame:
    """What the sandbox says that the file holds, in the stored form."""
    rows = flat_files().rows(day, **options)
    rows = rows if tickers is None else rows.filter(pl.col("ticker").is_in(tickers))
    stamped = rows.with_columns((pl.col("window_start") // 1000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    return stamped.sort("ticker", "window_start")


@pytest.fixture(params=["bucket", "folder"])
def project(request, tmp_path):
    if request.param == "bucket":
        with bucket() as running:
            yield Project(tmp_path, running)
    else:
        flat_files().write_folder(tmp_path / "mirror", DAYS)
        yield Project(tmp_path, tmp_path / "mirror")


# What is stored


@pytest.mark.parametrize("tickers", [LIQUID, None])
async def test_the_wanted_bars_are_those_of_the_file(project, tickers):
    stored = await project.store(tickers)
    expected = bars_of(tickers=tickers)
    frame = project.stored()
    assert frame.schema == SCHEMA
    assert frame.drop("test_ticker").equals(expected.select(frame.columns[:-1]))
    assert stored.rows == expected.height
    project.lake.verify(BARS_KEY, DAY, sha256=stored.sha256, rows=stored.rows)


async def test_other_engines_read_a_stored_day_too(project):
    """Not every column is held in the way that all of them have read for years."""
    stored = await project.store(None)
    file = project.lake.locate(stored.path)
    columns = {column.path_in_schema: column.encodings for column in row_group_columns(file)}
    assert set().union(*columns.values()) <= {"PLAIN", "RLE", "RLE_DICTIONARY"}, "what every engine reads"
    assert "RLE_DICTIONARY" not in columns["close"]
    with duckdb.connect() as connection:
        found = connection.sql(f"FROM read_parquet('{file}', hive_partitioning = false)").pl()
    stamp = pl.col("window_start").dt.convert_time_zone("UTC")  # from that of this machine
    assert found.with_columns(stamp).equals(project.stored())
    assert pl.DataFrame(pq.read_table(file)).equals(project.stored())


def row_group_columns(file: str) -> list[Any]:
    group = pq.read_metadata(file).row_group(0)
    return [group.column(place) for place in range(group.num_columns)]


async def test_the_raw_file_is_the_vendor_s_byte_for_byte(project):
    staged = await project.raw().fetch(DAY, project.meter)
    stored = staged.publish()
    body = flat_files().body(DAY)
    assert project.cache().path(DAY).read_bytes() == body
    assert stored.path == str(project.cache().path(DAY))
    assert (stored.size, stored.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert stored.rows == project.meter.rows == gzip.decompress(body).count(b"\n") - 1
    assert project.meter.bytes == len(body)
    assert stored.metadata["etag"]
    assert left_in(project.folder / "lake") == []


async def test_the_footer_and_the_metadata_tell_of_the_whole_file(project):
    stored = await project.store((*LIQUID, "ZVZZT", "ABSENT"))
    rows = flat_files().rows(DAY)
    listed = await store_of(project.served).listed(DAY)
    provenance = project.lake.provenance(BARS_KEY, DAY)
    assert provenance.source.endswith(key(DAY))
    assert provenance.etag == stored.metadata["etag"] == listed.etag
    body = flat_files().body(DAY)
    assert (provenance.raw_size, provenance.raw_sha256) == (len(body), hashlib.sha256(body).hexdigest())
    minutes = (rows["window_start"] - 1704292200 * 10**9) // (60 * 10**9)
    assert provenance.details | {"last_modified": None} == {
        "wanted": sorted([*LIQUID, "ZVZZT", "ABSENT"]),
        "names": [],
        "absent": ["ABSENT"],
        "tickers": 4,
        "duplicates": 0,
        "file_rows": rows.height,
        "file_tickers": rows["ticker"].n_unique(),
        "file_last_bar": datetime.fromtimestamp(rows["window_start"].max() // 10**9, UTC).isoformat(),
        "minutes_present": [minutes.eq(minute).sum() for minute in range(390)],
        "extra_columns": [],
        "fractional_volume": False,
        "last_modified": None,
    }
    frame = project.stored()
    regular = frame["window_start"].is_between(*regular_session(), closed="left").sum()
    assert stored.metadata["coverage_share"] == regular / (5 * 390)
    assert stored.metadata["test_tickers"] == 1
    assert stored.metadata["tickers"] == 4
    assert "rows_added" not in stored.metadata


def regular_session() -> tuple[datetime, datetime]:
    return datetime(2024, 1, 3, 14, 30, tzinfo=UTC), datetime(2024, 1, 3, 21, tzinfo=UTC)


async def test_all_tickers_are_all(project):
    await project.store(None)
    assert project.details()["wanted"] == "all"
    assert project.details()["tickers"] == project.details()["file_tickers"] == 60


async def test_one_ticker_lies_in_one_row_group(project, monkeypatch):
    for module in (parquet_file, writer_module):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", 1_000)
    stored = await project.store(None)
    parquet = pq.ParquetFile(project.lake.locate(stored.path))
    groups = [set(pl.DataFrame(parquet.read_row_group(n))["ticker"]) for n in range(parquet.num_row_groups)]
    assert len(groups) > 10
    assert sum(map(len, groups)) == 60


async def test_a_half_day_is_measured_by_its_own_session(tmp_path):
    day = date(2024, 11, 29)
    flat_files().write_folder(tmp_path / "mirror", [day])
    project = Project(tmp_path, tmp_path / "mirror")
    stored = await project.store(day=day)
    assert stored.metadata["coverage_share"] == 1
    assert len(project.details(day)["minutes_present"]) == 210


# The raw file is fetched only if it is not here


async def test_more_tickers_need_no_new_download(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running)
        first = await project.store()
        second = await project.store((*LIQUID, "IWM"))
        assert project.gets() == 1
        assert list(first.inputs) == [RAW_KEY]
        assert first.inputs[RAW_KEY].sha256 == hashlib.sha256(flat_files().body(DAY)).hexdigest()
        assert second.inputs[RAW_KEY].sha256 == first.inputs[RAW_KEY].sha256
        assert (first.metadata["downloaded"], second.metadata["downloaded"]) == (True, False)
        assert second.metadata["rows_added"] == bars_of(tickers=("IWM",)).height
        assert (second.metadata["rows_removed"], second.metadata["rows_altered"]) == (0, 0)


async def test_an_evicted_day_is_fetched_again_when_something_needs_it(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running, budget=0)
        (await project.raw().fetch(DAY, project.meter)).publish()
        assert left_in(tmp_path / "cache") == []
        stored = await project.store()
        assert project.gets() == 2
        assert list(stored.inputs) == [RAW_KEY]


async def test_four_days_at_once_in_a_cache_for_one(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running, budget=len(flat_files().body(DAY)))
        bars, raw = project.bars(None), project.raw()
        staged = await asyncio.gather(
            *(bars.fetch(day, project.meter) for day in DAYS), *(raw.fetch(day, project.meter) for day in DAYS)
        )
        for each in staged:
            each.publish()
        for day in DAYS:
            assert project.stored(day).drop("test_ticker").equals(bars_of(day, None).select(list(SCHEMA)[:-1]))
        kept = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("20*.csv.gz"))
        assert kept <= project.budget


async def test_discarding_a_day_leaves_the_raw_file_alone(project):
    (await project.bars().fetch(DAY, project.meter)).discard()
    assert left_in(project.folder / "lake") == []
    assert project.cache().path(DAY).exists()


# Re-publication


async def test_a_replaced_file_says_what_changed_and_leaves_the_previous_revision(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running)
        await project.store(None)
        before = project.stored()
        running.replace(DAY)
        stored = await project.store(None)
        after = project.stored()
        assert project.gets() == 2
    keys = ["ticker", "window_start"]
    both = before.join(after, on=keys, suffix="_after")
    changed = both.filter(pl.any_horizontal(pl.col(c) != pl.col(f"{c}_after") for c in before.columns if c not in keys))
    change = max(
        changed.select(((pl.col(f"{c}_after") / pl.col(c)) - 1).abs().max()).item()
        for c in ("open", "close", "high", "low")
    )
    assert {name: stored.metadata[name] for name in ("rows_added", "rows_removed", "rows_altered")} == {
        "rows_added": after.join(before, on=keys, how="anti").height,
        "rows_removed": before.join(after, on=keys, how="anti").height,
        "rows_altered": changed.height,
    }
    assert min(stored.metadata[name] for name in ("rows_added", "rows_removed", "rows_altered")) > 0
    assert stored.metadata["largest_price_change"] == pytest.approx(change)
    assert change > 0
    assert project.lake.previous(BARS_KEY, DAY).collect().equals(before)


async def test_the_same_file_again_is_no_new_revision(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running)
        await project.store()
        first = project.stored()
        running.replace(DAY)
        await project.store()
        again = await project.store()
        assert "rows_altered" not in again.metadata
        assert project.lake.previous(BARS_KEY, DAY).collect().equals(first)


async def test_a_file_replaced_while_it_is_read_is_listed_again_and_the_new_one_stored(tmp_path):
    with bucket({"kind": "replaced_file", "day": DAY, "times": 1}) as running:
        project = Project(tmp_path, running)
        stored = await project.store()
        assert project.stored().drop("test_ticker").equals(bars_of(revision=1).select(list(SCHEMA)[:-1]))
        assert stored.metadata["etag"] == (await store_of(running).listed(DAY)).etag
        assert [request.status for request in running.requests if request.key] == [412, 200]


async def test_a_file_replaced_again_and_again_is_left_for_later(tmp_path):
    with bucket({"kind": "replaced_file", "day": DAY}) as running:
        project = Project(tmp_path, running)
        assert isinstance(await project.refused(), Transient)
        assert project.gets() == 3


@pytest.mark.parametrize("damage", ["all of it", "a page"])
async def test_a_damaged_stored_day_is_replaced(project, damage):
    stored = await project.store()
    path = project.folder / "lake" / stored.path
    body = path.read_bytes()
    path.write_bytes(b"rot" if damage == "all of it" else body[:100] + bytes(500) + body[600:])
    assert "rows_altered" not in (await project.store((*LIQUID, "IWM"))).metadata
    project.lake.verify(BARS_KEY, DAY, sha256=None, rows=None)


async def test_a_damaged_neighbour_does_not_keep_a_day_from_being_judged(tmp_path):
    days = sessions(DAY, DAY + timedelta(days=9))
    flat_files().write_folder(tmp_path / "mirror", days)
    project = Project(tmp_path, tmp_path / "mirror")
    for day in days:
        await project.store(day=day)
    os.truncate(project.lake.locate(partition_path(BARS_KEY, days[1])), 3)
    (counts,) = (
        verdict
        for verdict in judge_bars(project.lake, days[-1], None, tickers_of("liquid", LIQUID))
        if verdict.name == "bar_count"
    )
    assert counts.metadata["neighbours"] == len(days) - 2


async def test_a_price_that_stands_alone_is_stored_and_warned_of(tmp_path):
    with bucket({"kind": "high_spike", "ticker": "QQQ"}) as served:
        project = Project(tmp_path, served)
        await project.store()
    liquid = tickers_of("liquid", LIQUID)
    (verdict,) = (each for each in judge_bars(project.lake, DAY, liquid, liquid) if each.name == "ohlc")
    assert (verdict.passed, verdict.severity, verdict.metadata["spikes"]) == (False, "warn", 1)
    assert verdict.summary.startswith("a price stands alone, a bad one or a flash: QQQ 12:00: high ")


async def test_a_file_that_was_only_copied_anew_is_no_new_revision(tmp_path):
    flat_files().write_folder(tmp_path / "mirror", DAYS)
    project = Project(tmp_path, tmp_path / "mirror")
    await project.store()
    os.utime(tmp_path / "mirror" / key(DAY))
    again = await project.store()
    assert [again.metadata[name] for name in ("rows_added", "rows_removed", "rows_altered")] == [0, 0, 0]
    assert project.lake.previous(BARS_KEY, DAY) is None


# Outcomes


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (datetime(2024, 1, 3, 22, tzinfo=UTC), NotPublished),
        (datetime(2024, 1, 4, 15, 59, 59, tzinfo=UTC), NotPublished),
        (datetime(2024, 1, 4, 16, tzinfo=UTC), NoData),
        (datetime(2024, 7, 3, 14, 59, 59, tzinfo=UTC), NoData),
    ],
)
async def test_a_day_that_is_not_listed_is_early_or_has_no_data(tmp_path, now, outcome):
    with bucket(days=DAYS[:1]) as running:
        project = Project(tmp_path, running)
        assert type(await project.ending(now=now)) is outcome
        assert project.gets() == 0


def test_the_hour_is_new_york_s_in_summer_too():
    assert type(why_not_listed(date(2024, 7, 3), datetime(2024, 7, 4, 14, 59, tzinfo=UTC))) is NotPublished
    assert type(why_not_listed(date(2024, 7, 3), datetime(2024, 7, 4, 15, tzinfo=UTC))) is NoData
    assert "2024-07-04 11:00" in why_not_listed(date(2024, 7, 3), datetime(2024, 7, 3, 22, tzinfo=UTC)).reason


async def test_a_listed_day_is_stored_whatever_the_hour(tmp_path):
    with bucket() as running:
        staged = await Project(tmp_path, running).bars(now=datetime(2024, 1, 4, 3, tzinfo=UTC)).fetch(DAY, Meter())
        assert staged.publish().rows


async def test_a_holiday_is_not_asked_for(tmp_path):
    with bucket() as running, pytest.raises(NotASession):
        await Project(tmp_path, running).bars().fetch(date(2024, 1, 1), Meter())


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("forbidden", NotEntitled),
        ("wrong_date", Rejected),
        ("conflicting_rows", Rejected),
        ("renamed_volume", Rejected),
        ("missing_transactions", Rejected),
    ],
)
async def test_what_no_other_try_would_change(tmp_path, fault, outcome):
    with bucket({"kind": fault, "day": DAY}) as running:
        assert type(await Project(tmp_path, running).ending()) is outcome


@pytest.mark.parametrize("fault", ["truncated_gzip", "wrong_crc"])
async def test_a_damaged_file_is_tried_again_and_then_rejected(tmp_path, fault):
    with bucket({"kind": fault, "day": DAY}) as running:
        project = Project(tmp_path, running)
        source = project.bars()
        with pytest.raises(Transient):
            await source.fetch(DAY, Meter())
        with pytest.raises(DayEnded) as caught:
            await source.fetch(DAY, Meter())
        assert isinstance(caught.value.outcome, Rejected)
        assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("slow_down", Throttled),
        ("listing_slow_down", Throttled),
        ("cut_body", Transient),
        ("reset_body", Transient),
        ("damaged_body", Transient),
    ],
)
async def test_what_another_try_may_change(tmp_path, fault, error):
    with bucket({"kind": fault, "times": 1}) as running:
        project = Project(tmp_path, running)
        source = project.bars()
        with pytest.raises(error):
            await source.fetch(DAY, Meter())
        assert left_in(tmp_path) == []
        assert (await source.fetch(DAY, Meter())).publish().rows == bars_of().height


class RottingCache(RawCache):
    """A disk that alters a file after it was looked at and before it is read."""

    def __init__(self, folder: Path, rot: Callable[[bytes], bytes]) -> None:
        super().__init__(folder, 10**9)
        self._rot = rot

    async def get(self, *asked: Any, **how: Any) -> HeldFile:
        held = await super().get(*asked, **how)
        held.path.write_bytes(self._rot(held.path.read_bytes()))
        return held


@pytest.mark.parametrize("tickers", [LIQUID, None])
@pytest.mark.parametrize(
    "rot",
    [
        lambda file: gzip.compress(gzip.decompress(file).replace(b"\nSPY,", b"\nSPZ,")),  # whole, and as many lines
        lambda file: file[:5000] + bytes([file[5000] ^ 1]) + file[5001:],
        lambda file: file[:100] + bytes([file[100] ^ 1]) + file[101:],
        lambda file: bytes([file[0] ^ 1]) + file[1:],
        lambda file: bytes(len(file)),
    ],
    ids=["another file", "a bit", "a bit of the first lines", "the mark of the format", "zeros, as after a power cut"],
)
async def test_a_cached_file_that_changes_on_this_disk_is_not_stored(project, tickers, rot):
    source = project.bars(tickers, cache=RottingCache(project.folder / "cache", rot))
    with pytest.raises(Transient, match="changed on this disk since it was kept"):
        await source.fetch(DAY, project.meter)
    assert left_in(project.folder / "lake") == []
    await project.store(tickers)
    assert project.stored().drop("test_ticker").equals(bars_of(tickers=tickers).select(SCHEMA.names()[:-1]))


@pytest.mark.parametrize("fault", ["duplicate_rows", "split_blocks"])
async def test_what_the_file_says_twice_or_in_pieces_is_stored_once_and_in_order(tmp_path, fault):
    with bucket({"kind": fault, "day": DAY}) as running:
        project = Project(tmp_path, running)
        stored = await project.store(None)
        assert project.stored().drop("test_ticker").equals(bars_of(tickers=None).select(list(SCHEMA)[:-1]))
        repeats = flat_files({"kind": fault, "day": DAY}).rows(DAY).height - stored.rows
        assert project.details()["duplicates"] == stored.metadata["identical_duplicates"] == repeats
        assert (repeats > 0) == (fault == "duplicate_rows")


async def test_a_day_without_any_wanted_ticker_is_rejected(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running)
        with pytest.raises(DayEnded) as caught:
            await project.bars(("spy",)).fetch(DAY, Meter())
        assert isinstance(caught.value.outcome, Rejected)
        assert "POLYGON_TICKERS" in caught.value.outcome.reason
        assert left_in(tmp_path / "lake") == []


async def test_a_lake_of_the_other_kind_ends_the_run(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running)
        (tmp_path / "lake").mkdir()
        (tmp_path / "lake" / MARKER).write_text('{"synthetic": false}')
        assert isinstance(await project.refused(), RunEnded)


# Stopped


async def test_cancelling_leaves_no_file_in_the_lake(tmp_path):
    with bucket() as running:
        project = Project(tmp_path, running)
        for moment in range(12):
            fetching = asyncio.create_task(project.bars(None).fetch(DAYS[moment % 4], Meter()))
            await asyncio.sleep(moment * 0.008)
            fetching.cancel()
            await asyncio.wait([fetching])
            if not fetching.cancelled():
                fetching.result().discard()
            del fetching
        await asyncio.get_running_loop().shutdown_default_executor()
    assert left_in(tmp_path / "lake") == []
    assert not [name for name in left_in(tmp_path / "cache") if name.endswith(".tmp")]


EXTRACTION = """
import asyncio, os, signal, sys
from pathlib import Path
from test_polygon_day import *
from data_assets.vendors.polygon import day as day_module, schema

def dying(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

at = {
    "reading": (schema, "read_in_runs"),
    "writing": (parquet_file.NewParquet, "seal"),
    "publishing": (Path, "replace"),
}[sys.argv[2]]

async def main():
    project = Project(Path(sys.argv[1]), Path(sys.argv[1], "mirror"))
    (await project.raw().fetch(DAY, project.meter)).publish()
    await project.store(("SPY",))
    setattr(*at, dying)
    await project.store(None)
asyncio.run(main())
"""


KILLED_AT = ("reading", "writing", "publishing")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """For each instant: a project with one stored ticker, in which the extraction of all was killed then."""
    folders = {instant: tmp_path_factory.mktemp("project") for instant in KILLED_AT}
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    processes = []
    for instant, folder in folders.items():
        flat_files().write_folder(folder / "mirror", [DAY])
        command = [sys.executable, "-c", EXTRACTION, str(folder), instant]
        processes.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}))
    for process in processes:
        assert process.wait(timeout=100) == -signal.SIGKILL
    return folders


@pytest.mark.parametrize("instant", KILLED_AT)
async def test_killed_during_an_extraction_the_old_day_stays_and_the_next_run_goes_on(killed, instant):
    project = Project(killed[instant], killed[instant] / "mirror")
    assert project.stored()["ticker"].unique().to_list() == ["SPY"]
    project.lake.sweep()
    stored = await project.store(None)
    assert not stored.metadata["downloaded"]
    project.lake.verify(BARS_KEY, DAY, sha256=stored.sha256, rows=stored.rows)
    assert project.lake.previous(BARS_KEY, DAY).collect()["ticker"].unique().to_list() == ["SPY"]
    assert left_in(project.folder / "lake") == ["data.parquet", "data.parquet"]  # the day's, and the one before


async def test_the_vendor_s_return_is_waited_for():
    with bucket() as running:
        store = FlatFileStore("s3://flatfiles", endpoint=running.endpoint, key_id="x", secret="y")
        with pytest.raises(RunEnded):
            await FlatFileSource(store=store, cache=RawCache(Path("unused"), 0)).wait_until_up()
        await FlatFileSource(store=store_of(running), cache=RawCache(Path("unused"), 0)).wait_until_up()


@pytest.mark.parametrize("tickers", [LIQUID, None])
async def test_a_cached_file_that_rotted_is_fetched_again_by_the_next_attempt(project, tickers):
    await project.store(LIQUID)
    path = project.cache().path(DAY)
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    received, source = project.meter.bytes, project.bars(tickers)
    with pytest.raises(Transient, match="it is fetched again"):
        await source.fetch(DAY, project.meter)
    assert project.meter.bytes == received

    assert (await source.fetch(DAY, project.meter)).publish().rows == bars_of(tickers=tickers).height
    assert project.meter.bytes == received + path.stat().st_size
