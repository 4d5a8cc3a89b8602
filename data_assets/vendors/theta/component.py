"""Theta datasets as Dagster components: a block of YAML in, an asset with its checks out.

Here: the fields of a block, and how client, day and rules are put together for it. Not here: any of those, and the
histories that a block may name (``histories``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, TypeVar

import dagster as dg
import polars as pl
from pydantic import Field

from data_assets.counts import count_of
from data_assets.ingest.day_bounds import DayBounds
from data_assets.ingest.outcome import DayEnded, NoData
from data_assets.ingest.source import Source
from data_assets.lake.columns import documented
from data_assets.lake.lake import Lake
from data_assets.orchestration.assets import dataset_definitions
from data_assets.orchestration.dataset import OWNER, MarketDataset, Revisions, read_owner
from data_assets.orchestration.day_cost import DayCost
from data_assets.orchestration.publication import Publication, new_york
from data_assets.orchestration.vendor_offer import Offer
from data_assets.quality.option_quotes import GRID_TOLERANCE, QuoteThresholds
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.span import Span, read_span
from data_assets.vendors.theta.client import INTERVALS, ThetaClient
from data_assets.vendors.theta.dataset import BOUNDS, OptionDataset, RequestBy
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.day_checks import evaluate_checks
from data_assets.vendors.theta.histories import HISTORIES, Kind
from data_assets.vendors.theta.legacy import LegacySource, find_files
from data_assets.vendors.theta.offer import first_day, offer
from data_assets.vendors.theta.plan import choose_request_unit
from data_assets.vendors.theta.schema import SCHEMA_VERSION
from data_assets.vendors.theta.terminal import Terminal
from data_assets.vendors.theta.values import Limits
from data_assets.wiring import theta_endpoint

T = TypeVar("T")

PUBLICATION = Publication(
    hours=lambda hours: [new_york(hours.day, time(17, 45))],
    expected_by=time(9, 30),
    text="At 17:45 New York, after early closes too.",
)
"""A judgement: the last quotes are of 16:15, and the end-of-day reports are made from 17:15 to 17:21; the terminal is
asked for all histories at one time. Expected before the next morning's open."""

WHOLE_DAY_BYTES = 100_000_000
"""Disk space that a day takes while it is written: the vendor's 200 to 400 MB of CSV become 20 to 40 MB of Parquet."""

LARGE_DAY_BYTES = 1_000_000_000
"""The same for ten million rows whose expirations are kept until the day is whole."""

REPORTS_BYTES = 20_000_000

CONTRACTS, CONTRACTS_OF_A_BOARD = 6_000, 20_000
"""Judgements: 6,000 contracts of QQQ are the 2.4 million rows that its days have, and SPX with SPXW has up to 10."""

EXPIRATIONS_OF_A_ROOT = 30
"""A judgement: how many requests a root's day takes that is asked for expiration by expiration."""

BYTES_PER_SECOND = 10_000_000
"""A judgement: users see 5 to 15 MB/s; the vendor documents no rate."""

_ROOT = r"^[A-Z][A-Z0-9]*$"
"""Adjusted contracts, as after a special dividend, have a root with a digit."""

_OF_GRIDS = {"interval": "1m", "end_time": "16:15:00"}


class ThetaDataset(dg.Component, dg.Model, dg.Resolvable):
    """One history of one optionable symbol from the Theta Terminal, partitioned by trading day."""

    dataset: Kind = Field(
        description="quotes: the best bid and offer of every contract at each interval; greeks: first-order greeks and "
        "implied volatility at each interval (Standard tier); open_interest, eod: one report per contract and day"
    )
    symbol: str = Field(pattern=_ROOT, description="name of the asset, such as QQQ or SPX")
    roots: list[Annotated[str, Field(pattern=_ROOT)]] = Field(
        default_factory=list,
        description="option roots that a day may hold, such as SPX and SPXW, META and FB, or GME and adjusted GME1; a "
        "root that does not exist on a day is reported and is no fault; default: the root with the symbol's name",
    )
    request_by: RequestBy | None = Field(
        default=None,
        description="what one request asks for: a day, an expiration, or one right of an expiration (right); default: "
        "chosen by the day's size",
    )
    interval: str | None = Field(
        default=None, description=f"time between two snapshots: {', '.join(INTERVALS)}; default: 1m"
    )
    end_time: str | None = Field(default=None, description="last snapshot, HH:MM:SS in New York; default: 16:15:00")
    absent_tolerance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of a root's listed contracts that a stored day may lack; default: 0.005, open interest 0.2",
    )
    absent_limit: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of a root's listed contracts that may be absent after Theta has said twice that it has no "
        "data for them: the day is stored and `contract_set` fails; above this share the day is rejected; default: 0.3",
    )
    grid_tolerance: float = Field(
        default=GRID_TOLERANCE,
        ge=0,
        le=1,
        description="share of contracts off the regular grid above which `grid` warns",
    )
    owner: str | None = Field(default=None, description=OWNER)
    first_day: str | None = Field(
        default=None,
        description="YYYY-MM-DD: first day of the dataset, such as the first day of your plan or of the symbol; "
        f"default: {HISTORIES['quotes'].begins}, greeks {HISTORIES['greeks'].begins}",
    )
    last_day: str | None = Field(
        default=None, description="YYYY-MM-DD: last day of the dataset, for a symbol that was renamed or delisted"
    )
    max_day_rows: int = Field(
        default=BOUNDS.rows, gt=0, description="rows in a day's responses above which the day is rejected"
    )
    max_day_bytes: int = Field(
        default=BOUNDS.size, gt=0, description="bytes of text in a day's responses above which the day is rejected"
    )
    look_again: bool | None = Field(
        default=None,
        description="whether each day is downloaded again 1, 3 and 30 sessions later and compared; default: end-of-day "
        "reports only, which Theta has made more than once",
    )
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="shares above which `quotes` (crossed, locked, zero_bid, ...) or `iv` (failed, zero, ...) warns",
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset, such as `theta/option_quotes/<symbol>`, and its checks."""
        return dataset_definitions(self.market_dataset())

    def market_dataset(self) -> MarketDataset:
        """The dataset this block describes.

        Raises:
            ValueError: a value makes no sense; the text names it.
        """
        options, limits = self._options(), self._limits()

        @asynccontextmanager
        async def open_source(lake: Lake, _days: list[date]) -> AsyncIterator[Source]:
            async with _client(lake) as client:
                yield ThetaSource(options, lake=lake, bodies=Terminal(client))

        def evaluate(lake: Lake, day: date) -> list[Verdict]:
            return evaluate_checks(lake, options, day, limits)

        async def probe(lake: Lake, day: date) -> str:
            async with _client(lake) as client:
                listed = await client.listed_contracts(options.roots, day)
                if listed is None:  # whose plan lacks the list may have the data all the same, or be refused
                    known = await client.expirations(options.roots)
                    listed = pl.DataFrame(
                        [(root, each) for root, all_of_it in known.items() for each in all_of_it if each >= day],
                        schema=["symbol", "expiration"],
                        orient="row",
                    )
                if listed.is_empty():
                    return "answers, and lists no contracts"
                symbol, expiration = listed.select("symbol", "expiration").row(0)
                request = options.request(day, symbol, expiration.isoformat())
                try:
                    async with client.history(request) as chunks:
                        await anext(chunks)
                except DayEnded as ended:
                    if not isinstance(ended.outcome, NoData):
                        raise
                    raise DayEnded(
                        NoData(f"lists {count_of(listed.height, 'contract')}, and has no {request}")
                    ) from None
            return f"lists {count_of(listed.height, 'contract')} and sends {request}"

        async def begins(lake: Lake) -> date | None:
            async with _client(lake) as client:
                return await first_day(options, client, await client.expirations(options.roots))

        async def ask_offer(lake: Lake, day: date) -> Offer:
            async with _client(lake) as client:
                return await offer(options, client, day)

        revised = options.history.revised if self.look_again is None else self.look_again
        one_body_a_day = options.history.legacy_files and len(options.roots) == 1
        return MarketDataset(
            key=tuple(options.key.split("/")),
            description=_description(options),
            columns=documented(options.table.columns),
            checks=options.history.checks,
            open_source=open_source,
            evaluate=evaluate,
            max_concurrency=settings().theta_max_concurrent_requests,
            first_day_alone=True,
            typical_day_bytes=_day_bytes(options),
            usual=lambda: _usual_day(options),
            span=read_span(self.first_day, self.last_day, Span(options.history.begins)),
            owner=read_owner(self.owner),
            publication=PUBLICATION,
            revisions=_revisions(options) if revised else None,
            files_of_days=_LegacyFiles(options) if one_body_a_day else None,
            probe=probe,
            begins=begins,
            offer=ask_offer,
            minutes=lambda lake, day: options.history.drawn(lake.scan(options.key, day, day)),
            reference=f"https://docs.thetadata.us/operations/{options.history.request.endpoint.replace('/', '_')}.html",
            code_version=str(SCHEMA_VERSION),
            metadata={
                "source": f"Theta Data, {options.history.request.endpoint} (v3), through the local Theta Terminal",
            },
        )

    def _options(self) -> OptionDataset:
        history = HISTORIES[self.dataset]
        given: dict[str, Any] = {
            name: value
            for name in ("interval", "end_time", "absent_tolerance", "absent_limit")
            if (value := getattr(self, name)) is not None
        }
        if not history.by_minute and (unknown := given.keys() & _OF_GRIDS):
            raise ValueError(f"{', '.join(sorted(unknown))}: {self.dataset} has one row a day; leave it out")
        return OptionDataset(
            "/".join(("theta", history.asset, self.symbol)),
            self.symbol,
            self.dataset,
            tuple(self.roots),
            self.request_by,
            bounds=DayBounds(self.max_day_rows, self.max_day_bytes),
            **given,
        )

    def _limits(self) -> Limits:
        kind = HISTORIES[self.dataset].thresholds
        if kind is None:
            if self.thresholds:
                raise ValueError(f"thresholds: {self.dataset} has none; leave {sorted(self.thresholds)} out")
            return Limits()
        given = _thresholds(kind, self.thresholds)
        if isinstance(given, QuoteThresholds):
            return Limits(self.grid_tolerance, quotes=given)
        return Limits(self.grid_tolerance, iv=given)


@asynccontextmanager
async def _client(lake: Lake) -> AsyncIterator[ThetaClient]:
    with theta_endpoint() as base_url:
        client = ThetaClient(
            base_url, max_concurrent=settings().theta_max_concurrent_requests, real_data_only=not lake.synthetic
        )
        async with client:
            yield client


@dataclass(frozen=True)
class _LegacyFiles:
    """Days in files of the older downloader; implements ``FilesOfDays``."""

    options: OptionDataset

    def find(self, path: Path) -> tuple[Mapping[date, Path], Mapping[Path, str]]:
        """See ``FilesOfDays``."""
        found = find_files(path, self.options)
        return found.of_days, found.refused

    @asynccontextmanager
    async def open_source(self, lake: Lake, files: Mapping[date, Path]) -> AsyncIterator[Source]:
        """See ``FilesOfDays``."""
        async with _client(lake) as client:
            yield LegacySource(self.options, lake=lake, files=files, terminal=Terminal(client))


def _thresholds(kind: type[T], values: Mapping[str, float]) -> T:
    try:
        return kind(**values)
    except TypeError:
        known = kind.__dataclass_fields__  # type: ignore[attr-defined]
        raise ValueError(f"thresholds: {sorted(set(values) - set(known))} unknown; known: {sorted(known)}") from None


def _revisions(options: OptionDataset) -> Revisions:
    stamps = () if options.by_minute else (options.table.dated_by,)
    return Revisions(options.sort_by, options.history.prices, stamps)


def _usual_day(options: OptionDataset) -> DayCost:
    contracts = CONTRACTS if len(options.roots) == 1 else CONTRACTS_OF_A_BOARD
    if settings().profile == "sandbox":
        contracts = settings().sandbox_contracts * len(options.roots)
    rows = contracts * options.points
    by_day = choose_request_unit(options, rows) == "day"
    received, stored = (rows * size for size in options.history.row_bytes)
    requests = len(options.roots) * (1 if by_day else EXPIRATIONS_OF_A_ROOT)
    return DayCost(requests, rows, received, stored, received / BYTES_PER_SECOND)


def _day_bytes(options: OptionDataset) -> int:
    if not options.by_minute:
        return REPORTS_BYTES
    return WHOLE_DAY_BYTES if options.request_by == "day" else LARGE_DAY_BYTES


def _description(options: OptionDataset) -> str:
    roots = f" (roots {' and '.join(options.roots)})" if len(options.roots) > 1 else ""
    grid = (
        f"a snapshot every {options.interval} from 09:30 to {options.end_time[:5]} New York, as the Theta Terminal "
        "sends them"
    )
    whose = f"of every listed {options.symbol} option{roots}"
    what = options.history.description.format(options=whose, grid=grid)
    order = ", ".join(
        "time" if name == "timestamp" else "root" if name == "symbol" else name for name in options.sort_by
    )
    return f"{what} One file a trading day, sorted by {order}. Nothing is filled, dropped or rounded."
