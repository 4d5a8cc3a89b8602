"""Polygon's minute aggregates as a Dagster component: a block of YAML in, three assets with their checks out.

Here: the fields of the block, and how store, cache, days, months and rules are put together for it. Not here: any of
those, and looking for files that the vendor has replaced (``sensor``).
"""

from __future__ import annotations

import asyncio
from calendar import monthrange
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, partial
from pathlib import Path
from socket import gethostname
from typing import Annotated, Any, Literal

import dagster as dg
import polars as pl
from pydantic import Field

from data_assets.counts import count_of
from data_assets.ingest.day_bounds import DayBounds
from data_assets.ingest.outcome import DayEnded, NotEntitled, Stored
from data_assets.ingest.source import Source
from data_assets.lake.bar_columns import documented_bars, in_one_vocabulary
from data_assets.lake.errors import Corrupt, LakeError, LakeUnusable, passed_over
from data_assets.lake.kept import ALL, CALENDAR_DATE, TRADE_DATE, Name
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.splits import Split, found_in, read_splits, splits_of
from data_assets.orchestration.assets import dataset_definitions, rebuild_when_days_change, rebuilding_sensor
from data_assets.orchestration.dataset import (
    NOT_COMPARED,
    OWNER,
    DayFiles,
    MarketDataset,
    Recorded,
    Revisions,
    Verified,
    read_owner,
    stored_by_its_footer,
)
from data_assets.orchestration.day_cost import DayCost
from data_assets.orchestration.day_states import STALE_REASON
from data_assets.orchestration.partitions import months, newest_day, partition_keys
from data_assets.orchestration.publication import Publication, new_york
from data_assets.orchestration.vendor_offer import Offer
from data_assets.quality import bar_coverage, minute_bars, split_jumps
from data_assets.quality.minute_bars import PRICES
from data_assets.quality.neighbours import NEAR, neighbours
from data_assets.quality.price_spikes import bar_spikes
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.span import Span, read_span
from data_assets.trading_calendar import Session, next_session, session, utc_now
from data_assets.vendors.polygon.client import FlatFileStore
from data_assets.vendors.polygon.day import (
    BARS_KEY,
    RAW_FOLDER,
    RAW_KEY,
    FlatFileSource,
    MinuteAggs,
    MinuteAggsSource,
    stored_raw,
    why_not_listed,
)
from data_assets.vendors.polygon.months import (
    MONTHLY,
    MonthsSource,
    as_stored,
    current_months,
    found_month,
    is_built,
    month_completeness,
    verify_month,
)
from data_assets.vendors.polygon.raw_cache import BOUNDS, RawCache
from data_assets.vendors.polygon.schema import COLUMNS, SCHEMA_VERSION, SORT_BY, DatedBy, first_instant
from data_assets.vendors.polygon.sensor import recorded_version, replaced_days, republications
from data_assets.vendors.polygon.symbols import tickers_in
from data_assets.vendors.polygon.tickers import Tickers, tickers_of
from data_assets.wiring import flat_files_url, raw_cache_folder

FLAT_FILES = Span(date(2003, 9, 10))
"""The vendor's history; a plan may reach back less far."""

PUBLICATION = Publication(
    hours=lambda hours: [new_york(hours.day, time(22)), new_york(hours.day, time(11, 15), days_later=1)],
    expected_by=time(15),
    text="At 22:00 New York, and if it is not there, at 11:15 the next day.",
)
"""The vendor promises a day's file by about 11:00 New York of the next day; most are there the same evening."""

REFERENCE = "https://massive.com/docs/flat-files/stocks/minute-aggregates"

DOWNLOADS = 4
"""Files in flight at once; the vendor documents no limit, and people run five to ten."""

RAW_DAY_BYTES = 45_000_000
BARS_DAY_BYTES = 120_000_000
MONTH_BYTES = 100_000_000

FILE_ROWS, GZIP_BYTES_A_ROW, PARQUET_BYTES_A_ROW = 1_850_000, 16.4, 29
"""Of the vendor's file in 2026, by people who keep them: 1.83 million rows are 30 MB, and 53 MB as sorted Parquet."""

ROWS_OF_A_TICKER = 850
"""A day of SPY, AAPL or QQQ has 820 to 960 bars, extended hours included."""

SANDBOX_ROWS_OF_A_TICKER = 250

BYTES_PER_SECOND = 10_000_000
"""A judgement: a common line at home; the vendor documents no limit."""

EXTRACTION_SECONDS = 1.5
"""A judgement: of a full file, on two cores."""

MONTH_SECONDS, MONTH_FILE_SECONDS = 0.3, 0.02
"""A judgement: of reading a month's days, and of each ticker's file."""

SESSIONS_A_MONTH = 21

RAW_DAYS_PER_RUN = 25
"""A number of its own, so that Dagster does not put the download and the extraction of a day into one run."""

USUAL_DAYS = 20
"""How many of the nearest stored days a day is compared with."""

DAY_CHECKS = {
    "ohlc": "low <= open, close <= high; prices positive; volume and transactions not negative; none stands alone.",
    "bar_count": "Liquid tickers have every regular minute; the file has about as many rows and tickers as "
    "neighbouring days, and reaches the close. A minute that most tickers lack is an outage; one that a single ticker "
    "lacks had no trade.",
    "session_hours": "Bars lie between 04:00 and 20:00 New York, 17:00 on half days; if days are trade dates, from "
    "20:00 on the evening before.",
    "timestamps": "Minute-aligned, one row per ticker and minute, in the file's order.",
    "splits": "No price of the tickers that are kept (of all: of the liquid ones, and those in the table) changed "
    "overnight as at a split that the table of splits does not have, and all did as at those that it has.",
    "coverage": "States for each listed ticker whether it is complete, partial or absent, or that this cannot be told.",
    "integrity": "The stored file is the one that was recorded: sha256, page checksums, row count, schema.",
}
MONTH_CHECKS = {
    "complete": "The month's files hold every session that has ended, as it is stored in the lake now.",
    "integrity": "The files are those that were recorded: sha256, page checksums, row counts, schema.",
}


def _resolver(setting: str, *, all_of_them: bool = False) -> dg.Resolver:
    """How a list of tickers, or all of them, is read from YAML."""

    def read(_context: dg.ResolutionContext, listed: Any) -> Tickers | str:
        return ALL if all_of_them and listed == ALL else tickers_of(setting, listed)

    return dg.Resolver(read, model_field_type=Any)


class PolygonMinuteAggs(dg.Component, dg.Model, dg.Resolvable):
    """US stocks' minute aggregates from Polygon's flat files: the vendor's file, its bars by ticker, ticker-months."""

    tickers: Annotated[Tickers | Literal["all"], _resolver("tickers", all_of_them=True)] = Field(
        description="all, or the tickers whose bars are kept, in the vendor's spelling; a renamed one with its days "
        "and former name ({ticker: META, first_day: 2022-06-09, was: FB}). POLYGON_TICKERS replaces it"
    )
    liquid: Annotated[Tickers, _resolver("liquid")] = Field(
        description="tickers that trade in every minute of a regular session, in the same form; `bar_count` and "
        "`coverage` report minutes without them"
    )

    owner: str | None = Field(default=None, description=OWNER)
    first_day: str | None = Field(
        default=None, description=f"YYYY-MM-DD: first day of all three datasets; default: {FLAT_FILES.first_day}"
    )
    last_day: str | None = Field(default=None, description="YYYY-MM-DD: last day of all three datasets; default: none")
    dated_by: DatedBy = Field(
        default=CALENDAR_DATE,
        description="which bars the vendor's file for a day holds: those of its calendar_date in New York, or those of "
        "its trade_date, which begins at 20:00 on the evening before",
    )

    splits: str | None = Field(
        default=None,
        description="a table of known splits beside this file, as CSV, YAML or JSON (ticker, execution_date, "
        "split_from, split_to), by which the check `splits` explains overnight changes; default: none",
    )
    max_day_rows: int = Field(
        default=BOUNDS.rows, gt=0, description="rows in the vendor's file above which a day is rejected"
    )
    max_day_bytes: int = Field(
        default=BOUNDS.size, gt=0, description="bytes of text in the vendor's file above which a day is rejected"
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Make the three assets, their checks, the sensor for replaced files and the one that rebuilds months.

        Raises:
            ValueError: a value makes no sense; the text names it.
        """
        span = read_span(self.first_day, self.last_day, FLAT_FILES)
        bounds = DayBounds(self.max_day_rows, self.max_day_bytes)
        chosen = chosen_tickers(self.tickers, self.liquid)
        known = tuple(read_splits(Path(context.path) / self.splits)) if self.splits else ()
        minute_aggs = _MinuteAggs(chosen, self.liquid, span, bounds, self.dated_by, read_owner(self.owner), known)
        datasets = (minute_aggs.raw, minute_aggs.bars, minute_aggs.months)
        return dataset_definitions(
            *datasets,
            sensors=[
                republications(minute_aggs.bars, minute_aggs.store),
                rebuilding_sensor(
                    "polygon_months",
                    [minute_aggs.months.asset_key],
                    "Rebuilds a month's files when one of its days was stored or replaced.",
                ),
            ],
        )


def chosen_tickers(in_yaml: Tickers | Literal["all"], liquid: Tickers) -> Tickers | None:
    """Return the tickers to keep, from the environment if it names any, else from the YAML; None for all.

    The environment gives no days, so a ticker has the days that either list of the YAML gives it.
    """
    chosen = settings().polygon_tickers
    listed = in_yaml if isinstance(in_yaml, Tickers) else None
    if chosen is None:
        return listed
    known = {name.ticker: name for names in (liquid, listed) if names is not None for name in reversed(names.names)}
    return None if chosen == ALL else Tickers(tuple(known.get(each, Name(each)) for each in chosen.split(",")))


@dataclass(frozen=True)
class _MinuteAggs:
    """The three datasets of one block.

    Attributes:
        tickers: the tickers whose bars are kept; None for all.
        liquid: the tickers that trade in every minute.
        span: the days of the datasets.
        bounds: the most that a day may hold.
        dated_by: which bars belong to a day.
        owner: who sees to them.
        splits: those that are known.
    """

    tickers: Tickers | None
    liquid: Tickers
    span: Span
    bounds: DayBounds
    dated_by: DatedBy = CALENDAR_DATE
    owner: str | None = None
    splits: tuple[Split, ...] = ()

    @property
    def chosen(self) -> MinuteAggs:
        """What is kept of a day, and what is known of names."""
        with_days = (*(self.tickers.with_days if self.tickers else ()), *self.liquid.with_days)
        return MinuteAggs(self.tickers, tuple(dict.fromkeys(with_days)), dated_by=self.dated_by)

    def of_month(self, month: date) -> Sequence[str] | Literal["all"]:
        """The tickers whose files a month has, by its first day."""
        if self.tickers is None:
            return "all"
        return self.tickers.between(month, month.replace(day=monthrange(month.year, month.month)[1]))

    def store(self, days: Sequence[date]) -> FlatFileStore:
        """The vendor's files as the settings name them; in the sandbox those of `days`."""
        return FlatFileStore(
            flat_files_url(days),
            endpoint=settings().polygon_s3_endpoint,
            key_id=settings().polygon_access_key_id,
            secret=settings().polygon_secret_access_key,
            region=settings().polygon_s3_region,
            real_data_only=settings().profile == "live",
        )

    async def probe(self, _lake: Lake, day: date) -> str:
        """What the vendor says of a day: whether it lists the file, and whether it lets it be read."""
        store = await asyncio.to_thread(self.store, [day])
        listed = await store.listed(day)
        if listed is None:
            raise DayEnded(why_not_listed(day, utc_now()))
        async with aclosing(store.read(listed)) as chunks:
            await anext(chunks)
        return f"lists a file of {listed.size / 1e6:.1f} MB and sends it"

    async def begins(self, _lake: Lake) -> date | None:
        """The first day of which the vendor lists a file."""
        first = await (await asyncio.to_thread(self.store, _first_of_the_simulator())).first_listed()
        return None if first is None else first.day

    async def offer(self, _lake: Lake, day: date) -> Offer:
        """Since when the vendor lists files, and the tickers of a day's, which is read as a whole and not kept."""
        store = await asyncio.to_thread(self.store, [day, *_first_of_the_simulator()])
        first = await store.first_listed()
        listed = await store.listed(day)
        if listed is None:
            raise DayEnded(why_not_listed(day, utc_now()))
        account = "the keys list and read its file"
        tickers: tuple[str, ...] = ()
        try:
            file = b"".join([chunk async for chunk in store.read(listed)])
            tickers = await asyncio.to_thread(tickers_in, file)
        except DayEnded as ended:
            if not isinstance(ended.outcome, NotEntitled):
                raise
            account = "the keys list its file; the plan does not include it"
        return Offer(None if first is None else first.day, account, "ticker", tickers)

    async def replaced(self, recorded: Mapping[date, Mapping[str, object]]) -> set[date]:
        """Those of some recorded days that the vendor lists in another version: one listing for each of their months.

        The vendor's knowledge base: "a file that is already published can be replaced later".
        """
        versions = {day: version for day, said in recorded.items() if (version := recorded_version(said))}
        if not versions:
            return set()
        store = await asyncio.to_thread(self.store, list(versions))
        return set(replaced_days(await store.listing(min(versions), max(versions)), versions))

    @cached_property
    def cache(self) -> RawCache:
        """The vendor's files on this disk."""
        return RawCache(raw_cache_folder() / RAW_FOLDER, settings().polygon_cache_bytes, self.bounds)

    def _usual_file(self) -> DayCost:
        """What the vendor's file of a day costs."""
        rows = FILE_ROWS
        if settings().profile == "sandbox":
            rows = settings().sandbox_tickers * SANDBOX_ROWS_OF_A_TICKER
        size = rows * GZIP_BYTES_A_ROW
        return DayCost(1, rows, size, size, size / BYTES_PER_SECOND)

    def _usual_bars(self) -> DayCost:
        file_rows = self._usual_file().rows
        rows = file_rows if self.tickers is None else len(self.tickers.on(newest_day())) * ROWS_OF_A_TICKER
        seconds = EXTRACTION_SECONDS * file_rows / FILE_ROWS
        return DayCost(0, rows, 0, rows * PARQUET_BYTES_A_ROW, seconds)

    def _usual_month(self) -> DayCost:
        day = self._usual_bars()
        files = day.rows / ROWS_OF_A_TICKER
        seconds = MONTH_SECONDS + files * MONTH_FILE_SECONDS
        return DayCost(0, day.rows * SESSIONS_A_MONTH, 0, day.stored * SESSIONS_A_MONTH, seconds)

    @cached_property
    def raw(self) -> MarketDataset:
        """The vendor's files under their own names."""

        @asynccontextmanager
        async def open_source(_lake: Lake, days: list[date]) -> AsyncIterator[Source]:
            store = await asyncio.to_thread(self.store, days)
            yield FlatFileSource(store=store, cache=self.cache)

        return MarketDataset(
            key=tuple(RAW_KEY.split("/")),
            description=(
                "Polygon's flat file for a day: the minute aggregates of every US stock, as the vendor compressed "
                "them, under the vendor's name. The least recently used files are deleted when POLYGON_CACHE_BYTES is "
                "used up; such a day stays green, and its file is fetched again when something needs it."
            ),
            columns={},
            checks={"integrity": "The file in the cache, if it is still there, is the one that was recorded: sha256."},
            open_source=open_source,
            evaluate=lambda _lake, _day: [],
            max_concurrency=DOWNLOADS,
            account_takes_many=True,
            typical_day_bytes=RAW_DAY_BYTES,
            usual=self._usual_file,
            is_at_hand=lambda day: self.cache.path(day).exists(),
            kept_in=self.cache.folder,
            keeps_at_most=settings().polygon_cache_bytes,
            span=self.span,
            owner=self.owner,
            publication=PUBLICATION,
            days_per_run=RAW_DAYS_PER_RUN,
            fetched_downstream=True,
            own_files=_CachedFiles(self.cache),
            probe=self.probe,
            begins=self.begins,
            offer=self.offer,
            kinds=frozenset({"csv"}),
            reference=REFERENCE,
            code_version=str(SCHEMA_VERSION),
            metadata={"source": "Polygon flat files, us_stocks_sip/minute_aggs_v1"},
        )

    @cached_property
    def bars(self) -> MarketDataset:
        """A day's bars by ticker."""
        chosen = self.chosen

        @asynccontextmanager
        async def open_source(lake: Lake, days: list[date]) -> AsyncIterator[Source]:
            store = await asyncio.to_thread(self.store, days)
            yield MinuteAggsSource(chosen, lake=lake, store=store, cache=self.cache)

        def evaluate(lake: Lake, day: date) -> list[Verdict]:
            return judge_bars(lake, day, self.tickers, self.liquid, self.splits)

        def lacking(lake: Lake, days: Sequence[date]) -> dict[date, list[str]]:
            said = lake.statements(BARS_KEY, days)
            lacked = {day: each.lacks(chosen.wanted(day)) for day, each in said.items()}
            return {day: tickers for day, tickers in lacked.items() if tickers}

        def minutes(lake: Lake, day: date) -> pl.DataFrame:
            if (ticker := self._drawn_ticker(day)) is None:
                return pl.DataFrame()
            rows = lake.scan(BARS_KEY, day, day, columns=["ticker", "close", "volume"])
            return _drawn(rows.filter(pl.col("ticker") == ticker), ticker)

        kept = "every ticker" if self.tickers is None else ", ".join(name.ticker for name in self.tickers.names)
        return MarketDataset(
            key=tuple(BARS_KEY.split("/")),
            description=(
                f"One-minute bars of {kept}, 04:00 to 20:00 New York, from Polygon's flat files. One file a trading "
                "day, sorted by ticker and minute. Prices are unadjusted, minutes without trades have no row, and test "
                "tickers are kept and marked."
            ),
            columns=documented_bars(COLUMNS),
            checks=DAY_CHECKS,
            open_source=open_source,
            evaluate=evaluate,
            max_concurrency=DOWNLOADS,
            account_takes_many=True,
            typical_day_bytes=BARS_DAY_BYTES,
            usual=self._usual_bars,
            span=self.span,
            owner=self.owner,
            publication=PUBLICATION,
            revisions=Revisions(SORT_BY, PRICES, replaced=self.replaced),
            upstream=(RAW_KEY,),
            own_files=_BarFiles(BARS_KEY, self.cache),
            lacking=lacking,
            compares=("bar_count",),
            minutes=minutes,
            reference=REFERENCE,
            code_version=str(SCHEMA_VERSION),
            metadata={"source": "Polygon flat files, us_stocks_sip/minute_aggs_v1"},
        )

    def _drawn_ticker(self, day: date) -> str | None:
        """The first liquid ticker that is kept: a picture of all of them would show nothing."""
        kept = (each for each in self.liquid.on(day) if self.tickers is None or each in self.tickers.on(day))
        return next(kept, None)

    @cached_property
    def months(self) -> MarketDataset:
        """The same bars, a file for each ticker and month."""

        @asynccontextmanager
        async def open_source(lake: Lake, _months: list[date]) -> AsyncIterator[Source]:
            yield MonthsSource(self.of_month, lake=lake, span=self.span)

        def evaluate(lake: Lake, month: date) -> list[Verdict]:
            return [month_completeness(lake, month, self.of_month(month), span=self.span, now=datetime.now(UTC))]

        def minutes(lake: Lake, month: date) -> pl.DataFrame:
            last = month.replace(day=monthrange(month.year, month.month)[1])
            if (ticker := self._drawn_ticker(last)) is None:
                return pl.DataFrame()
            return _drawn(lake.bars(ticker, month, last, accept_not_kept=True), ticker)

        return MarketDataset(
            key=tuple(MONTHLY.split("/")),
            description=(
                "The same bars as `polygon/minute_aggs`, one file per ticker and month, which a backtest loads in "
                "milliseconds: `lake.bars(ticker, start, end)`. A month names the sessions that were not stored yet "
                "when it was built, and is rebuilt when they arrive or change."
            ),
            columns=documented_bars(COLUMNS),
            checks=MONTH_CHECKS,
            open_source=open_source,
            evaluate=evaluate,
            max_concurrency=1,
            account_takes_many=True,
            typical_day_bytes=MONTH_BYTES,
            usual=self._usual_month,
            span=self.span,
            owner=self.owner,
            publication=PUBLICATION,
            monthly=True,
            upstream=(BARS_KEY,),
            own_files=_MonthFiles(self.of_month, self.span),
            automation=rebuild_when_days_change(),
            minutes=minutes,
            reference=REFERENCE,
            code_version=str(SCHEMA_VERSION),
        )


def _drawn(bars: pl.LazyFrame, ticker: str) -> pl.DataFrame:
    return bars.select(pl.col("close").alias(f"{ticker} price"), pl.col("volume").alias(f"{ticker} volume")).collect()


def _first_of_the_simulator() -> list[date]:
    """In the sandbox, whose folder has the days that it was asked for, the first one that there is."""
    if settings().profile != "sandbox":
        return []
    first = settings().sandbox_first_day
    return [next_session(first - timedelta(days=1))]


@dataclass(frozen=True)
class _BarFiles(DayFiles):
    """The bars of a day, whose footer also tells of the vendor's file that they were taken from."""

    cache: RawCache

    def found(self, lake: Lake, day: date) -> Stored:
        """See ``Files``."""
        audited = lake.audit(self.dataset, day)
        return replace(
            stored_by_its_footer(audited), inputs={RAW_KEY: _raw_by_its_bars(audited.provenance, self.cache.path(day))}
        )


def _raw_by_its_bars(said: Provenance, path: Path) -> Stored:
    """What the footer of a day's bars says of the vendor's file that they were taken from."""
    return Stored(
        path=str(path),
        rows=int(said.details["file_rows"]),
        size=said.raw_size,
        sha256=said.raw_sha256,
        metadata={"etag": said.etag or "", "reconciled": True},
    )


@dataclass(frozen=True)
class _CachedFiles:
    """The raw files; implements ``Files``."""

    cache: RawCache

    def held(
        self, _lake: Lake, _first: date, _last: date, _unreadable: Callable[[date, LakeError], None]
    ) -> set[date] | None:
        """See ``Files``: a file may have left the cache, and its day is stored all the same."""
        return None

    def stale(self, _lake: Lake, _days: Sequence[date]) -> set[date]:
        """See ``Files``: they are the vendor's own."""
        return set()

    def verify(self, _lake: Lake, day: date, recorded: Recorded, *, pages: bool = True) -> Verified:
        """See ``Files``: the digest is that of the compressed file, and no check reads it."""
        found = self.cache.verify(day, sha256=recorded.sha256, fetched_at=recorded.written_at)
        if found.is_here:
            return Verified(found.said, stored_raw(self.cache.path(day), found.newer) if found.newer else None)
        is_shared = settings().polygon_cache_folder is not None
        if not is_shared and recorded.machine is not None and recorded.machine != gethostname():
            where = f"not in the cache of this machine, and {recorded.machine} downloaded it: verify it there"
        else:
            where = "no longer in the cache; it is fetched again when something needs it"
        return Verified(f"{NOT_COMPARED}: the vendor's file is {where}", is_compared=False)

    def found(self, lake: Lake, day: date) -> Stored | None:
        """See ``Files``: the bars' files tell of the file that they were taken from, in the cache or not."""
        return _raw_by_its_bars(lake.provenance(BARS_KEY, day), self.cache.path(day))

    def made_at(self, _lake: Lake, _day: date) -> datetime | None:
        """See ``Files``."""
        return None

    def preview(self, _lake: Lake, _day: date, _rows: int) -> pl.DataFrame | None:
        """See ``Files``."""
        return None


@dataclass(frozen=True)
class _MonthFiles:
    """The monthly files of some tickers; implements ``Files``."""

    of_month: Callable[[date], Sequence[str] | Literal["all"]]
    span: Span

    def held(
        self, lake: Lake, first: date, last: date, unreadable: Callable[[date, LakeError], None]
    ) -> set[date] | None:
        """See ``Files``."""
        found = set()
        for month in map(date.fromisoformat, partition_keys(first, last, partitions=months(self.span))):
            try:
                found |= current_months(lake, [month], self.of_month(month))
            except LakeUnusable:
                raise
            except LakeError as error:  # of a folder of the month, or of one of its days
                unreadable(month, error)
        return found

    def stale(self, lake: Lake, days: Sequence[date]) -> set[date]:
        """See ``Files``."""
        return {month for month in days if is_built(lake, month, self.of_month(month))}

    def verify(self, lake: Lake, day: date, recorded: Recorded, *, pages: bool = True) -> Verified:
        """See ``Files``: every page is read in any case, for no check reads the files of all tickers."""
        rows, instant = recorded.rows or 0, recorded.written_at
        found = verify_month(lake, day, self.of_month(day), sha256=recorded.sha256, rows=rows, built_at=instant)
        if found.recorded:
            return Verified(
                f"the files of {day:%Y-%m} are as recorded: sha256, page checksums, {count_of(rows, 'row')}"
            )
        if found.newer:
            return Verified(f"the files of {day:%Y-%m} are whole, and newer than their record", as_stored(found.newer))
        return Verified(f"the files of {day:%Y-%m} are whole; {STALE_REASON}, and a plain backfill builds it again")

    def found(self, lake: Lake, day: date) -> Stored | None:
        """See ``Files``."""
        return found_month(lake, day, self.of_month(day))

    def made_at(self, _lake: Lake, _day: date) -> datetime | None:
        """See ``Files``: whether a month is older than its days is told by their versions."""
        return None

    def preview(self, lake: Lake, day: date, rows: int) -> pl.DataFrame | None:
        """See ``Files``."""
        return None


def judge_bars(
    lake: Lake, day: date, tickers: Tickers | None, liquid: Tickers, known_splits: Sequence[Split] = ()
) -> list[Verdict]:
    """The verdicts on a stored day.

    Args:
        lake: holds it.
        day: the day.
        tickers: those that the settings name; None for all.
        liquid: those that trade in every minute.
        known_splits: those that explain a change overnight.
    """
    hours, details, liquid_now = session(day), lake.provenance(BARS_KEY, day).details, liquid.on(day)
    bars = in_one_vocabulary(pl.concat(lake.batches(BARS_KEY, day)))
    first, end = minute_bars.extended_hours(hours)
    if details.get("dated_by") == TRADE_DATE:
        first = first_instant(day, TRADE_DATE)
    if details["wanted"] == ALL:
        wanted = [*liquid_now, *bars["ticker"].unique(maintain_order=True)]
    else:  # a name that was wanted before its days were known is not expected to trade outside them
        wanted = [each for each in details["wanted"] if (tickers or liquid).is_name(each, day)]
    return [
        bar_spikes(bars.filter(~pl.col("test_ticker")), hours).told_in(minute_bars.ohlc(bars)),
        bar_coverage.market_bar_count(
            bars,
            hours=hours,
            liquid=liquid_now,
            size=bar_coverage.FileSize(details["file_rows"], details["file_tickers"]),
            neighbours=_usual_sizes(lake, day),
            last_bar=datetime.fromisoformat(details["file_last_bar"]),
            minutes_present=details["minutes_present"],
        ),
        minute_bars.session_hours(bars, start=first, end=end, outside="warn"),
        minute_bars.timestamps(bars),
        unknown_splits(lake, day, bars, liquid_now if details["wanted"] == ALL else wanted, known_splits),
        bar_coverage.coverage(
            bars,
            wanted=wanted,
            liquid=liquid_now,
            hours=hours,
            holes=bar_coverage.market_holes(details["minutes_present"], hours),
        ),
    ]


def unknown_splits(
    lake: Lake, day: date, bars: pl.DataFrame, tickers: Sequence[str], known: Sequence[Split]
) -> Verdict:
    """The verdict on the nights before and after a day; a day next to it that cannot be read does not count.

    Tickers of which a split is known around the day are looked at too, however rarely they trade.
    """
    of_known = {split.ticker.replace(" ", ".") for split in known if abs(split.day - day) <= split_jumps.NEAR}
    tickers = [*dict.fromkeys([*tickers, *sorted(of_known)])]

    def ends(of_day: pl.DataFrame, hours: Session) -> pl.DataFrame:
        return split_jumps.session_ends(of_day.filter(pl.col("ticker").is_in(tickers)), hours)

    found = {day: ends(bars, session(day))}
    near = lake.held_days(BARS_KEY, day - split_jumps.NEAR, day + split_jumps.NEAR, unreadable=passed_over)
    columns = ["ticker", "window_start", "open", "close"]
    for other in split_jumps.adjacent(near, day):
        with suppress(Corrupt, LakeError, pl.exceptions.PolarsError):  # which is that day's own fault
            rows = lake.scan(BARS_KEY, other, other, columns).filter(pl.col("ticker").is_in(tickers))
            found[other] = ends(in_one_vocabulary(rows.collect(engine="streaming")), session(other))
    told = [
        found_in(BARS_KEY, ticker, night, splits_of(known, ticker), partial(lake.told_of_jump, BARS_KEY, ticker))
        for ticker, night in split_jumps.nights_around(day, found)
    ]
    return split_jumps.splits([each.advice for each in told if each is not None], len(found) - 1)


def _usual_sizes(lake: Lake, day: date) -> list[bar_coverage.FileSize]:
    """The sizes of the files of the nearest stored days, earlier and later ones."""
    sizes = []
    for other in neighbours(lake.held_days(BARS_KEY, day - NEAR, day + NEAR, unreadable=passed_over), day)[:USUAL_DAYS]:
        with suppress(Corrupt):  # which is that day's own fault: its integrity says so, and this day can be judged
            details = lake.provenance(BARS_KEY, other).details
            sizes.append(bar_coverage.FileSize(details["file_rows"], details["file_tickers"]))
    return sizes
