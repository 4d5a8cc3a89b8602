"""A trading day of Polygon: the vendor's raw file, and its bars of the wanted tickers, staged in the lake.

Here: what it means that a day is not listed, and two sources for the engine; the second needs the first one's file, and
fetches it if it is not on this disk. Not here: the client (``client``), the files on this disk (``raw_cache``), the
columns (``schema``), retries (the engine), and whether values are plausible (the checks, on the stored file).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from socket import gethostname
from time import perf_counter

import polars as pl

from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import (
    MACHINE,
    WRITTEN_AT,
    DayEnded,
    Failed,
    NoData,
    NotPublished,
    NotStored,
    Rejected,
    Scalar,
    Stored,
)
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.ingest.staged_day import StagedDayFile
from data_assets.lake.bar_columns import POLYGON_BARS
from data_assets.lake.errors import Corrupt, LakeError
from data_assets.lake.kept import ALL, CALENDAR_DATE, Name, names_detail
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.revision import difference
from data_assets.lake.writer import DayWriter
from data_assets.quality.minute_bars import PRICES
from data_assets.trading_calendar import NEW_YORK, Session, session, utc_now
from data_assets.vendors.polygon import schema
from data_assets.vendors.polygon.client import FlatFileStore, Replaced
from data_assets.vendors.polygon.raw_cache import HeldFile, Note, RawCache
from data_assets.vendors.polygon.tickers import Tickers

RAW_KEY = "polygon/flat_files/minute_aggs_v1"
RAW_FOLDER = "polygon/flat_files/minute_aggs"
"""Where the cache lies; the asset has been called otherwise since, and caches are large."""
BARS_KEY = POLYGON_BARS
EXTRACTIONS_AT_ONCE = 2
"""A whole market's day takes up to a gigabyte of memory while it is parsed, by as many threads as there are cores."""

_PUBLISHED_BY = time(11, 0)
_VERSIONS_TRIED = 3


@dataclass(frozen=True, slots=True)
class MinuteAggs:
    """What to keep of a day, from a block of `defs.yaml`.

    Attributes:
        tickers: the tickers to keep, in the vendor's spelling; all of them if None.
        names: what is known of renamed tickers, for the readers of a day.
        key: the dataset's key in the lake.
        dated_by: which bars belong to a day.
    """

    tickers: Tickers | None
    names: tuple[Name, ...] = ()
    key: str = BARS_KEY
    dated_by: schema.DatedBy = CALENDAR_DATE

    def wanted(self, day: date) -> str | list[str]:
        """Return what the footer says: ``all``, or the tickers wanted on that day, sorted, each once."""
        return ALL if self.tickers is None else list(self.tickers.on(day))


def why_not_listed(day: date, now: datetime) -> NotStored:
    """Return the outcome of a day that the vendor does not list.

    The vendor's page "Flat Files Quickstart": available by about 11:00 New York of the following day.
    """
    published = datetime.combine(day + timedelta(days=1), _PUBLISHED_BY, NEW_YORK)
    if now < published:
        return NotPublished(
            f"the vendor has no file for {day} yet: ask again after {published:%Y-%m-%d %H:%M} New York"
        )
    return NoData(
        f"the vendor lists no file for {day}; some files came days late, so ask again later if the days around it are "
        "there"
    )


async def raw_day(
    store: FlatFileStore,
    cache: RawCache,
    day: date,
    meter: DayMeter,
    now: datetime,
    *,
    digested_by_reader: bool = False,
) -> HeldFile:
    """Return the vendor's file of a day in the listed version, from this disk or else by downloading it.

    Args:
        store: the vendor's listing and files.
        cache: the folder on this disk.
        day: the day.
        meter: told of downloaded bytes.
        now: the current instant, with a time zone.
        digested_by_reader: see `RawCache.get`.

    Raises:
        DayEnded: the day is not listed, not in the plan, or damaged at the vendor.
        Transient: also if the file is replaced again and again while it is read.
        RunEnded: see the client and the cache.
    """
    listed = await store.listed(day)
    for versions_left in reversed(range(_VERSIONS_TRIED)):
        if listed is None:
            absent = why_not_listed(day, now)
            misnamed = await store.misnamed(day, anywhere=isinstance(absent, NoData))
            raise DayEnded(absent if misnamed is None else Failed(misnamed, cause="other names"))
        try:
            return await cache.get(listed, store.read, meter, digested_by_reader=digested_by_reader)
        except Replaced:
            if not versions_left:
                raise
            listed = await store.listed_anew(day)
    raise AssertionError("the last version either arrived or raised")


class FlatFileSource:
    """The vendor's raw files, for the engine; implements ``ingest.source.Source``."""

    def __init__(self, *, store: FlatFileStore, cache: RawCache, clock: Callable[[], datetime] = utc_now) -> None:
        """Bind where files come from to where they are kept.

        Args:
            store: the vendor's listing and files.
            cache: the folder on this disk.
            clock: the current instant, with a time zone.
        """
        self._store = store
        self._cache = cache
        self._clock = clock

    async def wait_until_up(self) -> None:
        """See ``Source``: returns when the server lists again."""
        await self._store.wait_until_up()

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        session(day)
        started = perf_counter()
        held = await raw_day(self._store, self._cache, day, meter, self._clock())
        meter.parsed(held.note.lines - 1)
        return _StagedRaw(held, _stored_raw(held, perf_counter() - started))


class MinuteAggsSource:
    """The wanted bars of the vendor's files, for the engine; implements ``ingest.source.Source``."""

    def __init__(
        self,
        dataset: MinuteAggs,
        *,
        lake: Lake,
        store: FlatFileStore,
        cache: RawCache,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Bind a dataset to where it comes from and where it goes.

        Args:
            dataset: what to keep.
            lake: where the day is staged.
            store: the vendor's listing and files.
            cache: raw files that are here already, and those that are fetched.
            clock: the current instant, with a time zone.
        """
        self._dataset = dataset
        self._lake = lake
        self._store = store
        self._cache = cache
        self._clock = clock
        self._extracting = asyncio.Semaphore(EXTRACTIONS_AT_ONCE)

    async def wait_until_up(self) -> None:
        """See ``Source``: returns when the server lists again."""
        await self._store.wait_until_up()

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        hours = session(day)
        if not self._dataset.wanted(day):
            raise DayEnded(
                NoData(
                    f"none of the tickers in defs.yaml or POLYGON_TICKERS is a name on {day}: ask for days between "
                    "their first_day and last_day"
                )
            )
        started = perf_counter()
        with await raw_day(self._store, self._cache, day, meter, self._clock(), digested_by_reader=True) as held:
            raw = _stored_raw(held, perf_counter() - started)
            async with self._extracting:
                staged = await asyncio.to_thread(self._extract, held, hours)
        meter.parsed(raw.rows)
        seconds = perf_counter() - started
        staged.metadata |= {"seconds": round(seconds, 3), "rows_per_second": round(raw.rows / seconds)}
        staged.inputs[RAW_KEY] = raw
        return staged

    def _extract(self, held: HeldFile, hours: Session) -> StagedDayFile:
        file = held.path.read_bytes()
        try:
            if self._dataset.tickers is None:
                with self._writer(hours) as writer:
                    day = schema.read_in_runs(file, held.note.lines, hours, writer.write, self._dataset.dated_by)
                    if day is not None:
                        held.refuse_changed(file)  # only now, while the last rows are encoded
                        return self._staged(writer, day, held, hours)
            held.refuse_changed(file)
            wanted = self._dataset.wanted(hours.day)
            day = schema.read_day(
                file, held.note.lines, hours, None if wanted == ALL else wanted, self._dataset.dated_by
            )
            del file
            if day.bars.is_empty():
                raise DayEnded(
                    Rejected(
                        f"none of the {len(wanted)} wanted tickers is among the {day.file.tickers:,} of "
                        f"the file of {hours.day}: check how tickers are spelt in defs.yaml or POLYGON_TICKERS"
                    )
                )
            with self._writer(hours) as writer:
                writer.write(day.bars)
                return self._staged(writer, day, held, hours)
        except LakeError as error:
            raise ending_of(error) from error

    def _writer(self, hours: Session) -> DayWriter:
        key = self._dataset.key
        return self._lake.writer(
            key, hours.day, schema.ARROW_SCHEMA, schema.SORT_BY, whole_groups=True, plain=schema.PLAIN
        )

    def _staged(self, writer: DayWriter, day: schema.Day, held: HeldFile, hours: Session) -> StagedDayFile:
        wanted = self._dataset.wanted(hours.day)
        metadata = _metadata(day, held, hours, wanted)
        changed = False
        if (before := self._bars_before(hours.day, held)) is not None:
            change = difference([before], [day.bars.sort(schema.SORT_BY)], schema.SORT_BY, PRICES)
            changed = not change.is_none
            metadata |= change.metadata
            del before
        file = writer.finish(
            Provenance(
                dataset=self._dataset.key,
                day=hours.day,
                source=self._store.source(held.listed),
                fetched_at=datetime.fromisoformat(held.note.fetched_at),
                schema_version=schema.SCHEMA_VERSION,
                raw_sha256=held.note.sha256,
                raw_size=held.note.size,
                synthetic=self._lake.synthetic,
                etag=held.note.etag,
                details=_details(day, held, wanted, self._dataset),
            )
        )
        return StagedDayFile(file, metadata, keep_previous=changed)

    def _bars_before(self, day: date, held: HeldFile) -> pl.DataFrame | None:
        """The stored bars, if they are of another version of the file or of other tickers, and whole."""
        key = self._dataset.key
        try:
            earlier = self._lake.provenance(key, day)
            if (earlier.etag, earlier.details.get("wanted")) == (held.note.etag, self._dataset.wanted(day)):
                return None
            return pl.concat(self._lake.batches(key, day))
        except Corrupt:  # nothing to compare with: it is not there, or this day is stored again because it is damaged
            return None


class _StagedRaw:
    """A raw file in the cache, held until the engine has taken note of it; implements ``StagedDay``."""

    def __init__(self, held: HeldFile, stored: Stored) -> None:
        self._held, self._stored = held, stored

    def publish(self) -> Stored:
        """See ``StagedDay``. The file has its name already; others may evict it from now on."""
        self._held.close()
        return self._stored

    def discard(self) -> None:
        """See ``StagedDay``. The file stays: it is whole, and whoever asks next need not fetch it."""
        self._held.close()


def _stored_raw(held: HeldFile, seconds: float) -> Stored:
    return stored_raw(
        held.path,
        held.note,
        seconds=round(seconds, 3),
        rows_per_second=round((held.note.lines - 1) / seconds),
        downloaded=held.downloaded,
        last_modified=held.listed.last_modified.isoformat(),
    )


def stored_raw(path: Path, note: Note, **more: Scalar) -> Stored:
    """A raw file as the engine and the event log know it, with more metadata."""
    return Stored(
        path=str(path),
        rows=note.lines - 1,
        size=note.size,
        sha256=note.sha256,
        metadata={
            "raw_megabytes": round(note.size / 1e6, 3),
            "etag": note.etag,
            WRITTEN_AT: note.fetched_at,
            MACHINE: gethostname(),
            **more,
        },
    )


def _metadata(day: schema.Day, held: HeldFile, hours: Session, wanted: str | list[str]) -> dict[str, Scalar]:
    bars = day.bars
    start = pl.col("window_start")
    regular = bars.select(((start >= hours.open) & (start < hours.close)).sum()).item()
    tickers = day.tickers
    expected = len(tickers) if wanted == ALL else len(wanted)
    return {
        "tickers": len(tickers),
        "test_tickers": int(tickers.is_in(sorted(schema.TEST_TICKERS)).sum()),
        "coverage_share": regular / (expected * hours.minutes),
        "identical_duplicates": day.identical_duplicates,
        "fractional_volume": day.file.fractional_volume,
        "file_rows": day.file.rows,
        "file_tickers": day.file.tickers,
        "raw_megabytes": round(held.note.size / 1e6, 3),
        "raw_size": held.note.size,
        "downloaded": held.downloaded,
        "etag": held.note.etag,
    }


def _details(day: schema.Day, held: HeldFile, wanted: str | list[str], dataset: MinuteAggs) -> dict[str, object]:
    return {
        "wanted": wanted,
        "names": names_detail(dataset.names),
        **({} if dataset.dated_by == CALENDAR_DATE else {"dated_by": dataset.dated_by}),
        "absent": [] if wanted == ALL else sorted(set(wanted) - set(day.tickers)),
        "tickers": len(day.tickers),
        "duplicates": day.identical_duplicates,
        "file_rows": day.file.rows,
        "file_tickers": day.file.tickers,
        "file_last_bar": day.file.last_bar.isoformat(),
        "minutes_present": list(day.file.minutes_present),
        "extra_columns": list(day.file.extra_columns),
        "fractional_volume": day.file.fractional_volume,
        "last_modified": held.listed.last_modified.isoformat(),
    }
