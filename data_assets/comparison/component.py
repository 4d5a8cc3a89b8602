"""Vendors held against each other as a Dagster component: tickers and options in, an asset for each comparison out.

Here: the fields of the block. Not here: what is compared (`comparisons`), and how a day is made (`source`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

import dagster as dg
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from data_assets.comparison.comparisons import BarComparison, Comparison, ParityComparison
from data_assets.comparison.source import INPUTS, SCHEMA_VERSION, ComparedDays, input_versions, stored_rows
from data_assets.ingest.source import Source
from data_assets.lake.bar_columns import POLYGON_BARS
from data_assets.lake.columns import documented
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.orchestration.assets import dataset_definitions, rebuild_when_days_change, rebuilding_sensor
from data_assets.orchestration.dataset import OWNER, DayFiles, MarketDataset, read_owner
from data_assets.orchestration.day_cost import DayCost
from data_assets.quality.verdict import Verdict
from data_assets.span import SHIPPED, Span, read_span

DAY_ROWS, DAY_BYTES, DAY_SECONDS = 405, 30_000, 0.1
"""A judgement."""

AT_ONCE = 2
INTEGRITY = "The stored file is the one that was recorded: sha256, page checksums, row count, schema."


class OptionsOf(BaseModel):
    """Options that are held against what a vendor says of their underlying."""

    model_config = ConfigDict(extra="forbid")

    root: str = Field(description="the underlying, such as QQQ")
    options: str = Field(description="the dataset of its quotes, such as theta/option_quotes/QQQ")
    level: str = Field(
        default=POLYGON_BARS,
        description="what says the price of the underlying: polygon/minute_aggs, or a dataset of greeks",
    )


class CrossVendor(dg.Component, dg.Model, dg.Resolvable):
    """Vendors held against each other, day by day: bars against bars, options against their underlying."""

    bars: list[str] = Field(
        default_factory=list,
        description="tickers whose bars both Interactive Brokers and Polygon have: quality/cross_vendor/<ticker>",
    )
    options: list[OptionsOf] = Field(
        default_factory=list, description="options and their underlying: quality/parity/<root>"
    )
    owner: str | None = Field(default=None, description=OWNER)
    first_day: str | None = Field(default=None, description="YYYY-MM-DD: first day; default: 2016-08-04")
    last_day: str | None = Field(default=None, description="YYYY-MM-DD: last day; default: none")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Make an asset for each comparison, and the sensor that makes their days.

        Raises:
            ValueError: a value makes no sense; the text names it.
        """
        span, owner = read_span(self.first_day, self.last_day, SHIPPED), read_owner(self.owner)
        # IB's BRK B is BRK.B to Polygon, and in the keys of both.
        bars = [BarComparison(_checked(ticker, "bars").replace(" ", ".")) for ticker in self.bars]
        options = [ParityComparison(_checked(each.root, "root"), each.options, each.level) for each in self.options]
        comparisons: list[Comparison] = [*bars, *options]
        if not comparisons:
            raise ValueError("neither bars nor options are named: there is nothing to compare")
        named = Counter(each.dataset for each in comparisons)
        if twice := [dataset for dataset, count in named.items() if count > 1]:
            raise ValueError(f"{twice[0]} is named twice: leave one of them")
        datasets = [comparison_dataset(comparison, span, owner) for comparison in comparisons]
        return dataset_definitions(
            *datasets,
            sensors=[
                rebuilding_sensor(
                    f"compare_vendors_{context.path.name}",
                    [dataset.asset_key for dataset in datasets],
                    "Compares a day once all of what is compared is stored, and again when it changes.",
                )
            ],
        )


def _checked(name: str, field: str) -> str:
    """A name that can end a dataset's key.

    Raises:
        ValueError: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9. ]*", name):
        raise ValueError(f"{field}: {name!r} is no ticker: letters, digits, dots and spaces only")
    return name


def comparison_dataset(comparison: Comparison, span: Span, owner: str | None = None) -> MarketDataset:
    """The dataset of one comparison."""

    @asynccontextmanager
    async def open_source(lake: Lake, _days: list[date]) -> AsyncIterator[Source]:
        yield ComparedDays(comparison, lake=lake)

    def evaluate(lake: Lake, day: date) -> list[Verdict]:
        return comparison.judge(stored_rows(lake, comparison, day))

    def minutes(lake: Lake, day: date) -> pl.DataFrame:
        return comparison.drawn(stored_rows(lake, comparison, day))

    return MarketDataset(
        key=tuple(comparison.dataset.split("/")),
        description=(
            f"Compares {comparison.about}, minute by minute. Differences are explained, never mended: the vendors' "
            "files stay as they are. A day is compared again when either side is replaced."
        ),
        columns=documented(comparison.columns),
        checks={**comparison.checks, "integrity": INTEGRITY},
        open_source=open_source,
        evaluate=evaluate,
        max_concurrency=AT_ONCE,
        typical_day_bytes=DAY_BYTES,
        usual=lambda: DayCost(0, DAY_ROWS, 0, DAY_BYTES, DAY_SECONDS),
        span=span,
        owner=owner,
        upstream=comparison.inputs,
        own_files=ComparedFiles(comparison.dataset, comparison),
        automation=rebuild_when_days_change() & ~dg.AutomationCondition.any_deps_missing(),
        shown={"score": "score"},
        differences=comparison.differences,
        minutes=minutes,
        code_version=str(SCHEMA_VERSION),
    )


@dataclass(frozen=True)
class ComparedFiles(DayFiles):
    """The files of a comparison, each of which says which versions of its inputs it was made from."""

    comparison: Comparison

    def held(
        self, lake: Lake, first: date, last: date, unreadable: Callable[[date, LakeError], None]
    ) -> set[date] | None:
        """See ``Files``."""
        days = super().held(lake, first, last, unreadable) or set()
        return days - self.stale(lake, sorted(days))

    def stale(self, lake: Lake, days: Sequence[date]) -> set[date]:
        """See ``Files``: those whose inputs are all there, and one is another file now."""
        there = lake.day_versions(self.dataset, days)
        now = input_versions(lake, self.comparison, [day for day in days if day in there])
        return {day for day, versions in now.items() if self._made_of(lake, day) != versions}

    def _made_of(self, lake: Lake, day: date) -> object:
        try:
            return lake.provenance(self.dataset, day).details.get(INPUTS)
        except LakeError:
            return None  # damaged: it is made again, as one is that is out of date
