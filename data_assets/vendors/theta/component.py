"""Theta datasets as Dagster components: a block of YAML in, an asset with its checks out.

Here: what a block may say, and how client, day and rules are put together for it. Not here: any of those.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Literal

import dagster as dg
import polars as pl
from pydantic import Field

from data_assets.ingest.dagster_assets import dataset_definitions
from data_assets.ingest.dagster_dataset import MarketDataset
from data_assets.ingest.source import Source
from data_assets.lake.lake import Lake
from data_assets.quality import option_quotes
from data_assets.quality.contract_summary import contract_summary, merge_summaries
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.trading_calendar import session
from data_assets.vendors.theta.client import INTERVALS, ThetaClient
from data_assets.vendors.theta.day import QuotesDataset, ThetaQuotesSource
from data_assets.vendors.theta.schema import COLUMNS, Column
from data_assets.wiring import theta_endpoint

DAY_BYTES = 100_000_000
"""Room a day takes on disk while it is written: the vendor's 200 to 400 MB of CSV are 20 to 40 MB of Parquet."""

CHECKS = {
    "grid": "Every contract has a row at each point of the session's grid; irregular ones are counted and named.",
    "contract_set": "The day holds the contracts that the vendor's own list names; absent ones are named.",
    "quotes": "No negative price or size; shares of crossed, locked, one-sided and missing quotes within thresholds.",
    "timestamps": "Every row lies in the session and on the grid, unique and in the file's order.",
    "integrity": "The stored file is the one that was recorded: sha256, page checksums, row count, schema.",
}


class ThetaDataset(dg.Component, dg.Model, dg.Resolvable):
    """One dataset of one option root from the Theta Terminal, partitioned by trading day."""

    dataset: Literal["quotes"] = Field(description="quotes: the best bid and offer of every contract at each interval")
    symbol: str = Field(pattern=r"^[A-Z]+$", description="option root, such as QQQ")
    interval: str = Field(default="1m", description="between two snapshots: " + ", ".join(INTERVALS))
    end_time: str = Field(default="16:15:00", description="last snapshot, HH:MM:SS in New York")
    absent_tolerance: float = Field(
        default=0.005, ge=0, le=1, description="share of the vendor's listed contracts that a stored day may lack"
    )
    grid_tolerance: float = Field(
        default=0.02, ge=0, le=1, description="share of contracts off the regular grid above which `grid` warns"
    )
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="shares above which `quotes` warns: crossed, locked, zero_bid, ..."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset `theta/option_quotes/<symbol>` and its checks."""
        return dataset_definitions(self.market_dataset())

    def market_dataset(self) -> MarketDataset:
        """The dataset this block describes.

        Raises:
            ValueError: a value makes no sense; the text names it.
        """
        key = ("theta", "option_quotes", self.symbol)
        quotes = QuotesDataset("/".join(key), self.symbol, self.interval, self.end_time, self.absent_tolerance)
        thresholds = _thresholds(self.thresholds)

        @asynccontextmanager
        async def open_source(lake: Lake, _days: list[date]) -> AsyncIterator[Source]:
            with theta_endpoint() as base_url:
                client = ThetaClient(
                    base_url,
                    max_concurrent=settings().theta_max_concurrent_requests,
                    real_data_only=not lake.synthetic,
                )
                async with client:
                    yield ThetaQuotesSource(quotes, lake=lake, client=client)

        def evaluate(lake: Lake, day: date) -> list[Verdict]:
            return judge_quotes(lake, quotes, day, thresholds, self.grid_tolerance)

        return MarketDataset(
            key=key,
            description=(
                f"Option quotes of {self.symbol}: the national best bid and offer of every listed contract, a snapshot "
                f"every {self.interval} from 09:30 to {self.end_time[:5]} New York, as the Theta Terminal sends them. "
                "One file a trading day, sorted by expiration, strike, right and time. Nothing is filled, dropped or "
                "rounded."
            ),
            columns={name: (_type_name(column.dtype), _meaning(column)) for name, column in COLUMNS.items()},
            checks=CHECKS,
            open_source=open_source,
            evaluate=evaluate,
            max_concurrency=settings().theta_max_concurrent_requests,
            typical_day_bytes=DAY_BYTES,
            metadata={
                "source": "Theta Data, option/history/quote (v3), through the local Theta Terminal",
            },
        )


def _type_name(dtype: pl.DataType) -> str:
    """A column's type as a person reads it: `String`, `Enum: CALL, PUT`, `Datetime, UTC`."""
    if isinstance(dtype, pl.Enum):
        return f"Enum: {', '.join(dtype.categories)}"
    return f"Datetime, {dtype.time_zone}" if isinstance(dtype, pl.Datetime) else str(dtype)


def _meaning(column: Column) -> str:
    """What a column says, and what its numbers count where they count something."""
    counts = column.dtype.is_numeric() and column.unit != "code"
    return f"{column.meaning} [{column.unit}]" if counts else column.meaning


def _thresholds(values: Mapping[str, float]) -> option_quotes.QuoteThresholds:
    try:
        return option_quotes.QuoteThresholds(**values)
    except TypeError:
        known = option_quotes.QuoteThresholds.__dataclass_fields__
        raise ValueError(f"thresholds: {sorted(set(values) - set(known))} unknown; known: {sorted(known)}") from None


def judge_quotes(
    lake: Lake, dataset: QuotesDataset, day: date, thresholds: option_quotes.QuoteThresholds, grid_tolerance: float
) -> list[Verdict]:
    """The verdicts on a stored day, read row group by row group so that memory does not grow with the day."""
    hours, interval, last = session(day), INTERVALS[dataset.interval], dataset.last_snapshot(day)
    close, option_close = dataset.last_points(hours)
    summary = merge_summaries(
        [
            contract_summary(batch, open_=hours.open, close=last, interval=interval)
            for batch in lake.batches(dataset.key, day)
        ]
    )
    details = lake.provenance(dataset.key, day).details
    return [
        option_quotes.grid(
            summary,
            open_=hours.open,
            close=close,
            option_close=option_close,
            interval=interval,
            tolerance=grid_tolerance,
        ),
        option_quotes.contract_set(
            summary,
            listed=details.get("contracts_listed"),
            absent=details.get("contracts_absent", 0),
            absent_names=details.get("contracts_absent_names", []),
            extra=details.get("contracts_extra", 0),
            tolerance=dataset.absent_tolerance,
        ),
        option_quotes.quotes(summary, thresholds),
        option_quotes.timestamps(summary),
    ]
