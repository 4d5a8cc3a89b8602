"""What one dataset is to Dagster: its name, its source, its files, its checks.

Here: `MarketDataset`, a plain description, and those of this process by name. Not here: the asset made of it
(`assets`), what happens inside a run (`day_run`, `verify_run`), and what any vendor does.

A dataset's partitions are trading days, or months of them. A partition is known by its first day, and "day" stands for
both wherever datasets are spoken of in general.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

import dagster as dg
import polars as pl

from data_assets.ingest.outcome import Scalar
from data_assets.ingest.retry import RetryPolicy
from data_assets.ingest.source import Source
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.orchestration.partitions import DAYS_PER_RUN, label, months, trading_days
from data_assets.quality.verdict import Verdict
from data_assets.span import Span


class Files(Protocol):
    """How a dataset's days lie on disk."""

    def held(
        self, lake: Lake, first: date, last: date, unreadable: Callable[[date, LakeError], None]
    ) -> set[date] | None:
        """The days from `first` to `last` whose files are there and current; None where only the record can say.

        Told of each day of which nobody can tell, and why, as that its folder may not be looked into.

        Raises:
            LakeUnusable: the same of the dataset as a whole, or of the lake.
        """

    def stale(self, lake: Lake, days: Sequence[date]) -> set[date]:
        """Those of some recorded days, not held, whose files are there and were made from what has changed since."""

    def verify(self, lake: Lake, day: date, *, sha256: str, rows: int | None) -> str:
        """Compare what is on disk with what was recorded.

        Returns:
            What was found to hold, in one line.

        Raises:
            Corrupt: it is missing, damaged, or something else.
        """

    def preview(self, lake: Lake, day: date, rows: int) -> pl.DataFrame | None:
        """The first rows of a day, for its page; None where there is nothing to show."""


@dataclass(frozen=True)
class DayFiles:
    """One Parquet file a day, in the lake's own layout.

    Attributes:
        dataset: the dataset's name.
    """

    dataset: str

    def held(
        self, lake: Lake, first: date, last: date, unreadable: Callable[[date, LakeError], None]
    ) -> set[date] | None:
        """See `Files`."""
        return set(lake.days(self.dataset, first, last, unreadable=unreadable))

    def stale(self, _lake: Lake, _days: Sequence[date]) -> set[date]:
        """See `Files`: a day is made from nothing of this lake."""
        return set()

    def verify(self, lake: Lake, day: date, *, sha256: str, rows: int | None) -> str:
        """See `Files`."""
        lake.verify(self.dataset, day, sha256=sha256, rows=rows)
        return f"sha256, page checksums, schema and {rows} rows are as recorded"

    def preview(self, lake: Lake, day: date, rows: int) -> pl.DataFrame | None:
        """See `Files`."""
        return lake.scan(self.dataset, day, day).head(rows).collect()


class FilesOfDays(Protocol):
    """Days that lie in files of some other program, to be taken in as if they had been downloaded."""

    def find(self, path: Path) -> tuple[Mapping[date, Path], Mapping[Path, str]]:
        """The file of each day in a file or folder; and the files that are of no day, with the reason."""

    def open_source(self, lake: Lake, files: Mapping[date, Path]) -> AbstractAsyncContextManager[Source]:
        """For one run, a source of those days that writes to the given lake."""


@dataclass(frozen=True, eq=False)
class MarketDataset:
    """One dataset, before it becomes an asset.

    Attributes:
        key: asset key segments, such as ("theta", "option_quotes", "QQQ"); the first is the vendor: group and pool.
        description: Markdown for the UI.
        columns: column name -> (type, meaning with unit).
        checks: check name -> what it verifies, in one line.
        open_source: for one run, a source that writes to the given lake; opening it starts what the profile needs for
            the days that the run is for.
        evaluate: the verdicts on a stored day, one per name in `checks` (apart from `integrity`), read from the lake.
        max_concurrency: most days in flight at once.
        first_day_alone: whether one day is asked for at a time until the first data comes (`EnginePolicy`).
        typical_day_bytes: what a day takes on disk, for the disk-space preflight.
        span: from which day to which it goes; one that is made from another goes as far as that one.
        monthly: whether its partitions are the months of those days, and not the days.
        days_per_run: most partitions in a run. Dagster runs assets that share it, their partitions and their days in
            one run, where a day that one of them lacks keeps all days from the next.
        upstream: names of the datasets it is made from.
        fetched_downstream: whether those that are made from it fetch what they need of it themselves.
        own_files: how its days lie on disk, where that is not one Parquet file a day.
        files_of_days: how days are taken in from files of another program, where they can be.
        lacking: of stored days, by name what each was not asked to hold and by now should, such as a ticker that was
            added since; days that lack nothing are left out.
        compares: those of `checks` that compare a day with its neighbours, and can tell nothing while it has too few.
        automation: when to ask for days without being told to; the catch-up of recent days by default.
        retry: how patient to be with a day.
        expected: what is known of a day before it is stored, by the names that its metadata has for it.
        shown: metadata that `status` shows for each day -> its heading.
        kinds: badges in the UI.
        metadata: static facts for the asset's page.
    """

    key: tuple[str, ...]
    description: str
    columns: Mapping[str, tuple[str, str]]
    checks: Mapping[str, str]
    open_source: Callable[[Lake, list[date]], AbstractAsyncContextManager[Source]]
    evaluate: Callable[[Lake, date], Iterable[Verdict]]
    max_concurrency: int
    typical_day_bytes: int
    span: Span
    first_day_alone: bool = False
    monthly: bool = False
    days_per_run: int = DAYS_PER_RUN
    upstream: tuple[str, ...] = ()
    fetched_downstream: bool = False
    own_files: Files | None = None
    files_of_days: FilesOfDays | None = None
    lacking: Callable[[Lake, Sequence[date]], Mapping[date, Sequence[str]]] = lambda _lake, _days: {}
    compares: tuple[str, ...] = ()
    automation: dg.AutomationCondition | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    expected: Callable[[date], Mapping[str, Scalar]] = lambda _day: {}
    shown: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset({"parquet"})
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The key as text: `theta/option_quotes/QQQ`."""
        return "/".join(self.key)

    @property
    def asset_key(self) -> dg.AssetKey:
        """The key as Dagster's."""
        return dg.AssetKey(list(self.key))

    @property
    def vendor(self) -> str:
        """The vendor: the group in the UI, and the pool that one ingest step at a time may hold."""
        return self.key[0]

    @property
    def partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """Its trading days, or the months of them; the same object for the same span and kind."""
        if self.monthly:
            return months(self.span)
        return trading_days(self.span, fetched_downstream=self.fetched_downstream)

    @property
    def unit(self) -> str:
        """What one partition is called: `session`, or `month`."""
        return "month" if self.monthly else "session"

    @property
    def day(self) -> str:
        """What one partition is called where texts speak of days: `day`, or `month`."""
        return "month" if self.monthly else "day"

    def label(self, key: str | date) -> str:
        """A partition as people read it: 2025-03-14, or 2025-03."""
        return label(key, self.partitions)

    @property
    def files(self) -> Files:
        """How its days lie on disk."""
        return self.own_files or DayFiles(self.name)


datasets_of_this_process: dict[str, MarketDataset] = {}
"""The datasets of the code location by name, filled as it is loaded: Dagster's definitions keep no place for them."""
