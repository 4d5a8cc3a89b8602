"""The monthly files of minute aggregates: one per ticker and month, built from the days in the lake.

Here: which tickers' months are built from which days, in memory that does not grow with their number, and their source
for the engine. Not here: a month's file (`lake.monthly`), reading it together with the days (`Lake.bars`), and when a
month is built (`orchestration.assets`).

A month is built from the days that are there and names those that it lacks; readers take them from the days' files.
"""

from __future__ import annotations

import asyncio
import hashlib
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from time import perf_counter
from typing import Literal

import polars as pl

from data_assets.counts import count_of, verb_of
from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import WRITTEN_AT, DayEnded, NoData, Scalar, Stored
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.lake.bar_columns import POLYGON_BARS
from data_assets.lake.errors import ANOTHER_FILE, MISSING, Corrupt, LakeError
from data_assets.lake.kept import statement
from data_assets.lake.lake import Lake
from data_assets.lake.layout import monthly_dataset
from data_assets.lake.monthly import AuditedMonth, MonthProvenance
from data_assets.lake.parquet_file import reading
from data_assets.lake.writer import StoredFile
from data_assets.quality.verdict import Verdict
from data_assets.span import EVERY_DAY, Span
from data_assets.trading_calendar import last_ended_session, sessions
from data_assets.vendors.polygon.schema import SCHEMA_VERSION

DAILY = POLYGON_BARS
MONTHLY = monthly_dataset(DAILY)

BATCH_ROWS = 2_000_000
"""Rows in memory at once: some 150 MB, about the month of a hundred liquid tickers, or of six hundred usual ones."""

WRITERS = 4
"""Files that are written at once: writing a small file is mostly waiting for the disk to sync it."""


@dataclass(frozen=True, slots=True)
class StoredMonth:
    """A month as it was built.

    Attributes:
        month: its first day.
        built_at: when, UTC.
        tickers: whose files were written, sorted; those of tickers that did not trade hold no rows.
        absent: those of ``tickers`` without a row.
        days: the days it was built from, oldest first.
        lacking: the trading days that have ended and are not in the lake, oldest first.
        rows: rows of all files.
        size: bytes of all files.
        sha256: hexadecimal digest over the tickers and the digests of their files.
    """

    month: date
    built_at: datetime
    tickers: tuple[str, ...]
    absent: tuple[str, ...]
    days: tuple[date, ...]
    lacking: tuple[date, ...]
    rows: int
    size: int
    sha256: str


def build_month(
    lake: Lake, month: date, tickers: Sequence[str] | Literal["all"], *, span: Span = EVERY_DAY, now: datetime
) -> StoredMonth:
    """Write a month's file of each ticker, each whole or not at all; a build that is cut short is simply run again.

    A file that was not reached keeps the old content, which readers no longer use where its days have changed.

    Args:
        lake: holds the days, and gets the months.
        month: any day of the month.
        tickers: whose files to write, or ``all`` for every ticker of the month's days.
        span: the dataset's; days outside are not lacking. One that is stored goes into its month all the same, or every
            month at a bound would have to be built again when that is moved.
        now: the current instant, with a time zone; sessions that end later are not lacking yet.

    Raises:
        Corrupt: a day is damaged; nothing of the month is written.
        LakeError: the lake holds no day of the month, or a file cannot be read or written.
    """
    first, days = _days_of(month)
    versions = lake.day_versions(DAILY, days)
    if not versions:
        raise LakeError(
            f"{MONTHLY}: the lake {lake.url} holds no day of {first:%Y-%m}; run: {_command('backfill', first)}"
        )
    provenance = MonthProvenance(
        dataset=MONTHLY,
        ticker="",
        month=first,
        source=DAILY,
        days=versions,
        lacking=tuple(day for day in days if day not in versions and day in span and day <= last_ended_session(now)),
        built_at=now,
        schema_version=SCHEMA_VERSION,
        synthetic=lake.synthetic,
    )
    # Each day whole first: what rotted in one must not become a month that is sound.
    bars = lake.scan(DAILY, min(versions), max(versions), verify=True)
    files: dict[str, StoredFile] = {}
    said = {day: statement(lake.provenance(DAILY, day).details) for day in versions}
    provenance = replace(provenance, by_trade_date=tuple(day for day in versions if said[day].by_trade_date))

    def write(ticker: str, rows: pl.DataFrame) -> StoredFile:
        not_kept = tuple(day for day in versions if not said[day].keeps(ticker))
        return lake.write_month(replace(provenance, ticker=ticker, not_kept=not_kept), rows, "window_start")

    of_run = copy_context()  # what a writer waits for is the run's to show

    def write_beside(ticker: str, rows: pl.DataFrame) -> StoredFile:
        return of_run.copy().run(write, ticker, rows)

    with _reading_days(versions), ThreadPoolExecutor(WRITERS) as writers:
        for batch in _batches(bars, tickers):
            (*others, last), (*rows, last_rows) = batch, _rows_of_each(bars, batch)
            files.update(zip(others, writers.map(write_beside, others, rows), strict=True))
            files[last] = write(last, last_rows)  # once all before it are there: it speaks for them
    return _stored_month(provenance, files)


def _stored_month(said: MonthProvenance, files: Mapping[str, StoredFile]) -> StoredMonth:
    return StoredMonth(
        month=said.month,
        built_at=said.built_at,
        tickers=tuple(files),
        absent=tuple(ticker for ticker, file in files.items() if not file.rows),
        days=tuple(said.days),
        lacking=said.lacking,
        rows=sum(file.rows for file in files.values()),
        size=sum(file.size for file in files.values()),
        sha256=_digest(files),
    )


def current_months(lake: Lake, months: Sequence[date], tickers: Sequence[str] | Literal["all"]) -> set[date]:
    """Those of ``months`` whose files hold exactly the days that the lake holds now, in their present versions.

    Args:
        lake: holds the files.
        months: first days of months.
        tickers: the tickers that months are built for, each of which is looked at, or ``all``.
    """
    current = set()
    for month in months:
        versions = lake.day_versions(DAILY, _days_of(month)[1])
        telling = _telling(lake, versions, tickers)
        if versions and telling and all(lake.month_versions(MONTHLY, ticker, month) == versions for ticker in telling):
            current.add(month)
    return current


def is_built(lake: Lake, month: date, tickers: Sequence[str] | Literal["all"]) -> bool:
    """Whether a file of the month is there, current or not; the arguments are those of `current_months`."""
    telling = _telling(lake, lake.day_versions(DAILY, _days_of(month)[1]), tickers)
    return any(lake.month_versions(MONTHLY, ticker, month) for ticker in telling)


def month_completeness(
    lake: Lake, month: date, tickers: Sequence[str] | Literal["all"], *, span: Span = EVERY_DAY, now: datetime
) -> Verdict:
    """Whether a built month holds every session that has ended, each as it lies in the lake now; else a warning.

    Args:
        lake: holds the files.
        month: its first day.
        tickers: the tickers it was built for, or ``all``.
        span: the dataset's; a session outside is not asked of it.
        now: the current instant, with a time zone.
    """
    days = [day for day in _days_of(month)[1] if day <= last_ended_session(now)]
    ended = [day for day in days if day in span]
    stored = lake.day_versions(DAILY, days)
    built = [lake.month_versions(MONTHLY, ticker, month) for ticker in _telling(lake, stored, tickers)]
    lacking = [day for day in ended if not all(day in versions for versions in built)] if built else ended
    changed = sorted({day for versions in built for day, version in versions.items() if stored.get(day) != version})
    said = [
        f"{text} {', '.join(f'{day:%m-%d}' for day in days)}"
        for text, days in (("lacks the sessions of", lacking), ("replaced since it was built:", changed))
        if days
    ]
    return Verdict(
        "complete",
        passed=not said,
        severity="warn",
        summary="; ".join(said)
        or f"holds {'all ' if len(ended) > 1 else 'the '}{count_of(len(ended), 'session')} that "
        f"{verb_of(len(ended), 'have')} ended",
        metadata={
            "sessions": len(ended) - len(lacking),
            "sessions_lacking": len(lacking),
            "sessions_replaced": len(changed),
        },
    )


def _telling(lake: Lake, stored: Mapping[date, str], tickers: Sequence[str] | Literal["all"]) -> Sequence[str]:
    """The tickers whose files tell of a month: all that are listed, one of which may be new.

    Where all are wanted, nobody lists them: files are written in the order of their tickers, so the last one tells. A
    damaged day hides which that is; then none tells, and the month counts as one that is to be built.
    """
    if tickers != "all":
        return tickers
    if not stored:
        return ()
    try:
        with _reading_days(stored):
            return [lake.scan(DAILY, min(stored), max(stored)).select(pl.col("ticker").max()).collect().item()]
    except Corrupt:
        return ()


@dataclass(frozen=True, slots=True)
class VerifiedMonth:
    """A month whose files are all whole.

    Attributes:
        recorded: whether they are the recorded ones.
        newer: what they are, if they are others and hold the days as these are now, so that nothing builds them again;
            else the next build replaces them.
    """

    recorded: bool
    newer: StoredMonth | None = None


def verify_month(
    lake: Lake,
    month: date,
    tickers: Sequence[str] | Literal["all"],
    *,
    sha256: str,
    rows: int,
    built_at: datetime | None = None,
) -> VerifiedMonth:
    """Re-read a month's files as a whole and compare them with what was recorded when they were built.

    A build replaces the files one by one and is recorded when all are there. So whoever reads meanwhile, or after a
    build that was cut short, finds others than were recorded, or some of each build. Each is whole by its own seal, and
    names the versions of the days that it holds: that is all that a reader needs, so these are no damage. Those of an
    earlier version that a build has not reached yet have no seal, and pass by their page checksums (a judgement, for
    nothing else can tell, and the next build replaces them). Nor is it damage that the file of a ticker is not there
    yet, where the days have changed since, a later build has begun, or the recorded files are all there and the ticker
    is wanted since.

    Args:
        lake: holds the files.
        month: any day of the month.
        tickers: the tickers it was built for, or ``all`` for every ticker of the month's days.
        sha256: `StoredMonth.sha256` of the build.
        rows: `StoredMonth.rows` of the build.
        built_at: `StoredMonth.built_at` of the build, or some time after it and before any other.

    Raises:
        Corrupt: a file is missing, damaged, of another place, or neither the one that was recorded nor sealed.
        LakeError: a file could not be read for a reason that says nothing about it.
    """
    first, days = _days_of(month)
    versions = lake.day_versions(DAILY, days)
    is_current = bool(current_months(lake, [first], tickers))  # asked first: what a build replaces meanwhile is newer
    audited, missing = {}, None
    for ticker in _tickers_of(lake, versions, tickers):
        try:
            audited[ticker] = lake.verify_month(MONTHLY, ticker, first)
        except Corrupt as error:
            if is_current or error.kind != MISSING:
                raise
            missing = error
    files = {ticker: each.file for ticker, each in audited.items()}
    found = sum(file.rows for file in files.values())
    if audited and (found, _digest(files)) == (rows, sha256):
        return VerifiedMonth(recorded=True)
    said = [each.provenance for each in audited.values()]
    rebuilt = built_at is not None and any(each.built_at > built_at for each in said)
    due = rebuilt or any(each.days != versions for each in said)
    if missing and not due:
        raise missing
    if not audited or not all(each.sealed or (rebuilt and _is_of(each, built_at)) for each in audited.values()):
        raise Corrupt(
            f"its {count_of(len(files), 'file')} {verb_of(len(files), 'hold')} {count_of(found, 'row')} and "
            f"have the digest {_digest(files)}, "
            f"recorded were {count_of(rows, 'row')} and {sha256}",
            f"{MONTHLY} {month:%Y-%m}",
            ANOTHER_FILE,
        )
    return VerifiedMonth(recorded=False, newer=_stored_month(_newest(said), files) if is_current else None)


def _is_of(month: AuditedMonth, built_at: datetime | None) -> bool:
    return built_at is not None and month.provenance.built_at <= built_at


def found_month(lake: Lake, month: date, tickers: Sequence[str] | Literal["all"]) -> Stored:
    """Re-read a month's files as a whole, of which nothing is recorded, and return what a record of them says.

    Args:
        lake: holds the files.
        month: its first day.
        tickers: the tickers it was built for, or ``all`` for every ticker of the month's days.

    Raises:
        Corrupt: a file is missing, damaged, or of another place.
        LakeError: a file could not be read for a reason that says nothing about it.
    """
    first, days = _days_of(month)
    names = _tickers_of(lake, lake.day_versions(DAILY, days), tickers)
    audited = {ticker: lake.verify_month(MONTHLY, ticker, first) for ticker in names}
    if not audited:
        raise Corrupt("none of its days is in the lake, so nobody knows its files", f"{MONTHLY} {month:%Y-%m}", MISSING)
    files = {ticker: each.file for ticker, each in audited.items()}
    return as_stored(_stored_month(_newest([each.provenance for each in audited.values()]), files), reconciled=True)


def _tickers_of(lake: Lake, stored: Mapping[date, str], tickers: Sequence[str] | Literal["all"]) -> list[str]:
    """The tickers of a month, sorted: those that are wanted, or all of its stored days."""
    if tickers != "all":
        return sorted(set(tickers))
    if not stored:
        return []
    with _reading_days(stored):
        bars = lake.scan(DAILY, min(stored), max(stored))
        return _rows_of_tickers(bars, tickers)["ticker"].to_list()


def _newest(said: Sequence[MonthProvenance]) -> MonthProvenance:
    return max(said, key=lambda each: each.built_at)


class MonthsSource:
    """Months of some tickers, built from the lake's own days; implements ``ingest.source.Source``."""

    def __init__(
        self, tickers: Callable[[date], Sequence[str] | Literal["all"]], *, lake: Lake, span: Span = EVERY_DAY
    ) -> None:
        """Bind the tickers of each month, known by its first day, to the lake with their days and for their months."""
        self._tickers = tickers
        self._lake, self._span = lake, span

    async def wait_until_up(self) -> None:
        """See ``Source``: there is no vendor to wait for."""

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``; ``day`` is the first of the month."""
        if not self._lake.day_versions(DAILY, _days_of(day)[1]):
            raise DayEnded(NoData(f"the lake holds no day of {day:%Y-%m}; run: {_command('backfill', day)}"))
        started = perf_counter()
        try:
            tickers = self._tickers(day)
            built = await asyncio.to_thread(
                build_month, self._lake, day, tickers, span=self._span, now=datetime.now(UTC)
            )
        except LakeError as error:
            raise ending_of(error) from error
        meter.parsed(built.rows)
        return _BuiltMonth(built, perf_counter() - started)


def as_stored(built: StoredMonth, **more: Scalar) -> Stored:
    """A month as the engine and the event log know it, with more metadata."""
    return Stored(
        path=f"{MONTHLY}/ticker_folder=*/month={built.month:%Y-%m}",
        rows=built.rows,
        size=built.size,
        sha256=built.sha256,
        metadata={
            "tickers": len(built.tickers),
            "absent_tickers": len(built.absent),
            "sessions": len(built.days),
            "sessions_lacking": len(built.lacking),
            "lacking": ", ".join(map(str, built.lacking)),
            WRITTEN_AT: built.built_at.isoformat(),
            **more,
        },
    )


class _BuiltMonth:
    """A month whose files have their names already, one ticker after another; implements ``StagedDay``."""

    def __init__(self, built: StoredMonth, seconds: float) -> None:
        self._built, self._seconds = built, seconds

    def publish(self) -> Stored:
        """See ``StagedDay``."""
        return as_stored(self._built, seconds=round(self._seconds, 3))

    def discard(self) -> None:
        """See ``StagedDay``. Whole files stay: each says which days it was built from."""


def _days_of(month: date) -> tuple[date, list[date]]:
    """The first day of a month, and its trading days."""
    first = month.replace(day=1)
    return first, sessions(first, first.replace(day=monthrange(first.year, first.month)[1]))


def _reading_days(days: Mapping[date, str]) -> AbstractContextManager[None]:
    """Damage inside one of a month's days in the lake's words; the reader of them all does not know in which."""
    return reading(f"a day of {DAILY} in {min(days):%Y-%m} ({_command('verify', min(days))} names it)")


def _command(verb: str, month: date) -> str:
    """What to type for the days of a month."""
    return f"data-assets {verb} {DAILY} --from {month:%Y-%m} --to {month:%Y-%m}"


def _batches(bars: pl.LazyFrame, tickers: Sequence[str] | Literal["all"]) -> Iterator[list[str]]:
    """The tickers in the order of the files, as many at a time as hold `BATCH_ROWS`."""
    counted = _rows_of_tickers(bars, tickers)
    batched = counted.with_columns(batch=(pl.col("rows").cum_sum() - pl.col("rows")) // BATCH_ROWS)
    for batch in batched.partition_by("batch", maintain_order=True):
        yield batch["ticker"].to_list()


def _rows_of_each(bars: pl.LazyFrame, tickers: list[str]) -> list[pl.DataFrame]:
    """The rows of each of some sorted tickers, in order of time: the days come in order, and each of them sorted."""
    within = pl.col("ticker").is_between(pl.lit(tickers[0]), pl.lit(tickers[-1]))
    rows = bars.filter(within, pl.col("ticker").is_in(tickers)).collect()
    of_ticker = rows.partition_by("ticker", as_dict=True, maintain_order=True)
    return [of_ticker.get((ticker,), rows.clear()) for ticker in tickers]


def _rows_of_tickers(bars: pl.LazyFrame, tickers: Sequence[str] | Literal["all"]) -> pl.DataFrame:
    """The tickers, sorted, and how many rows each has."""
    rows = pl.len().cast(pl.Int64).alias("rows")
    if tickers == "all":
        return bars.group_by("ticker").agg(rows).sort("ticker").collect(engine="streaming")
    wanted = pl.LazyFrame({"ticker": sorted(set(tickers))}, schema={"ticker": pl.String})
    counted = bars.filter(pl.col("ticker").is_in(list(tickers))).group_by("ticker").agg(rows)
    return (
        wanted.join(counted, on="ticker", how="left").with_columns(pl.col("rows").fill_null(0)).sort("ticker").collect()
    )


def _digest(files: Mapping[str, StoredFile]) -> str:
    listed = "".join(f"{ticker} {file.sha256}\n" for ticker, file in sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()
