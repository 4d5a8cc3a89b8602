"""The description of one dataset: its name, its source, its files, its checks.

Here: `MarketDataset`, a plain value, and the datasets of this process by name. Not here: the asset made from it
(`assets`), what happens inside a run (`day_run`, `verify_run`), and what any vendor does.

A dataset's partitions are trading days, or months of them. A partition is known by its first day. Where the code is
about datasets in general, "day" means either.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
import polars as pl

from data_assets.counts import count_of, count_that
from data_assets.ingest.outcome import WRITTEN_AT, Scalar, Stored
from data_assets.ingest.retry import RetryPolicy
from data_assets.ingest.source import Source
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.writer import AuditedDay
from data_assets.orchestration.dagster_private import is_valid_owner
from data_assets.orchestration.day_cost import DayCost
from data_assets.orchestration.partitions import DAYS_PER_RUN, label, months, trading_days
from data_assets.orchestration.publication import Publication
from data_assets.orchestration.vendor_offer import Offer
from data_assets.project import SettingsError
from data_assets.quality.differences import Differences
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.span import Span


@dataclass(frozen=True)
class Recorded:
    """What the event log says of a stored day's file.

    Attributes:
        sha256: its digest; of a month, that of all its files.
        rows: its rows.
        written_at: when it was written, UTC; where that was not recorded, when the day was, which is later.
        machine: the name of the one on whose own disk it is; None if it is in the lake, or that was not recorded.
    """

    sha256: str
    rows: int | None
    written_at: datetime
    machine: str | None = None


NOT_COMPARED = "not compared"
"""What is said first of a file that could not be looked at from here, and nothing else is known of."""


@dataclass(frozen=True)
class Verified:
    """What was found of a stored day whose file is whole.

    Attributes:
        said: what was verified, in one line.
        unrecorded: the file that is there, if it is a newer one than the recorded; to be recorded.
        is_compared: False where the file is not here and need not be, so that nothing was found out.
    """

    said: str
    unrecorded: Stored | None = None
    is_compared: bool = True


class Files(Protocol):
    """How a dataset's days lie on disk."""

    def held(
        self, lake: Lake, first: date, last: date, unreadable: Callable[[date, LakeError], None]
    ) -> set[date] | None:
        """Return the days from `first` to `last` whose files are there and current; None if only the record can tell.

        `unreadable` is called with each day that cannot be looked for, such as one whose folder may not be read.

        Raises:
            LakeUnusable: nothing of the dataset, or of the lake, can be looked for.
        """

    def stale(self, lake: Lake, days: Sequence[date]) -> set[date]:
        """Return those of some recorded days, not held, whose files are there but were made from data since changed."""

    def verify(self, lake: Lake, day: date, recorded: Recorded, *, pages: bool = True) -> Verified:
        """Compare what is on disk with what was recorded.

        Where the dataset's checks are about to read all rows, page by page, `pages` is False: the digest tells here
        whether the bytes are the recorded ones, and the checks whether they can be read.

        A file is published before it is recorded, so another one than the recorded file is no damage by itself: it may
        have been replaced by a run that is at it now, or that died in between. It has to prove that it is whole, and
        newer than the recorded one.

        Raises:
            Corrupt: the file is missing, damaged, or another one that proves neither.
        """

    def found(self, lake: Lake, day: date) -> Stored | None:
        """Read a day's files as a whole and return what a record of them says; None if they do not tell.

        Raises:
            Corrupt: a file is missing, damaged, or of another place.
            LakeError: it could not be read for a reason that says nothing about it.
        """

    def made_at(self, lake: Lake, day: date) -> datetime | None:
        """Return when the day's file was made, by its footer, with a time zone; None if it does not tell.

        Raises:
            Corrupt: the file is missing or its footer is damaged.
        """

    def preview(self, lake: Lake, day: date, rows: int) -> pl.DataFrame | None:
        """Return the first rows of a day, for its page; None if there is nothing to show."""


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
        return set(lake.held_days(self.dataset, first, last, unreadable=unreadable))

    def stale(self, _lake: Lake, _days: Sequence[date]) -> set[date]:
        """See `Files`: a day is made from nothing of this lake."""
        return set()

    def verify(self, lake: Lake, day: date, recorded: Recorded, *, pages: bool = True) -> Verified:
        """See `Files`."""
        rows, instant = recorded.rows, recorded.written_at
        newer = lake.verify(self.dataset, day, sha256=recorded.sha256, rows=rows, written_at=instant, pages=pages)
        if newer is None:
            counted = "" if rows is None else f", {count_of(rows, 'row')}"
            return Verified(f"as recorded: sha256, page checksums, schema{counted}")
        whole = count_that(newer.file.rows, "row", "are")
        text = f"its {whole} whole by the file's own seal, and newer than what was recorded"
        return Verified(text, stored_by_its_footer(newer))

    def found(self, lake: Lake, day: date) -> Stored:
        """See `Files`."""
        return stored_by_its_footer(lake.audit(self.dataset, day))

    def made_at(self, lake: Lake, day: date) -> datetime | None:
        """See `Files`."""
        return lake.written_at(self.dataset, day)

    def preview(self, lake: Lake, day: date, rows: int) -> pl.DataFrame | None:
        """See `Files`."""
        return lake.scan(self.dataset, day, day).head(rows).collect()


def stored_by_its_footer(day: AuditedDay) -> Stored:
    """What a record of a day says by its file alone; of what the download counted, it has what the footer says."""
    file, said = day.file, day.provenance
    metadata: dict[str, Scalar] = {
        name: value for name, value in said.details.items() if isinstance(value, str | int | float)
    }
    metadata |= {"raw_size": said.raw_size, "fetched_at": said.fetched_at.isoformat(), "reconciled": True}
    if said.etag is not None:
        metadata["etag"] = said.etag
    if day.written_at is not None:
        metadata[WRITTEN_AT] = day.written_at.isoformat()
    return Stored(file.path, file.rows, file.size, file.sha256, metadata)


@dataclass(frozen=True)
class Revisions:
    """How a stored day is compared with what its vendor says of it later.

    Attributes:
        keys: the columns that tell a day's rows apart, in the order of the file.
        prices: the columns whose change is measured; the first is the usual one.
        stamps: the columns that say when a row was made; another stamp alone makes no revision.
        replaced: given what was recorded of some days (day -> metadata), returns those that the vendor has in another
            version; where it is None, only the day itself, asked for again, can tell.
        in_scale_of: of a vendor that adjusts prices as of the request: the stored days that are to be fetched again if
            a day turns out to be in another scale than the vendor's answer (lake, dataset, day). A day of such a
            dataset is asked for again from time to time, however old it is.
    """

    keys: tuple[str, ...]
    prices: tuple[str, ...]
    stamps: tuple[str, ...] = ()
    replaced: Callable[[Mapping[date, Mapping[str, object]]], Coroutine[Any, Any, set[date]]] | None = None
    in_scale_of: Callable[[Lake, str, date], list[date]] | None = None


class FilesOfDays(Protocol):
    """Days in files of another program, to be imported as if they had been downloaded."""

    def find(self, path: Path) -> tuple[Mapping[date, Path], Mapping[Path, str]]:
        """Find the file of each day in a file or folder, and the files that hold no day, with the reason."""

    def open_source(self, lake: Lake, files: Mapping[date, Path]) -> AbstractAsyncContextManager[Source]:
        """Open, for one run, a source of those days that writes to the given lake."""


@dataclass(frozen=True, eq=False)
class MarketDataset:
    """One dataset, before it becomes an asset.

    Attributes:
        key: asset key segments, such as ("theta", "option_quotes", "QQQ"); the first is the vendor: group and pool.
        description: Markdown for the UI.
        columns: column name -> (type, meaning with unit).
        checks: check name -> what it verifies, in one line.
        open_source: opens, for one run, a source that writes to the given lake, and starts what the profile needs for
            the days of the run.
        evaluate: returns the verdicts on a stored day, read from the lake: one per name in `checks`, but `integrity`.
            Of a dataset with `DayFiles`, it judges rows that `Lake.batches` has read from this very file, which checks
            every page.
        max_concurrency: most days in flight at once.
        first_day_alone: whether one day is asked for at a time until the first data comes (`EnginePolicy`).
        typical_day_bytes: what a day takes on disk, for the disk-space preflight.
        usual: returns what a day costs where none is stored that could tell: of the vendor's known sizes, or in the
            sandbox of the simulator's.
        span: its first and last day; a dataset made from another has the span of that one.
        monthly: whether its partitions are the months of those days, rather than the days.
        days_per_run: most partitions in a run. Dagster puts assets with the same number, partitions and days into one
            run, in which a day that one of them lacks keeps all days from the next asset.
        upstream: names of the datasets it is made from.
        fetched_downstream: whether the datasets made from it fetch what they need of it themselves.
        is_at_hand: of a dataset that is `fetched_downstream`, whether a day's file is on this disk.
        kept_in: the folder of its files, if they do not lie in the lake's layout.
        keeps_at_most: bytes that its files may take, if they are deleted to keep to it.
        account_takes_many: whether several runs may use the vendor's account at once, if its pool allows them; not
            where they would share one terminal.
        seconds_per_request: the least time between two requests that the account is allowed, averaged.
        own_files: how its days are stored, if not as one Parquet file per day.
        files_of_days: how days are imported from files of another program, if they can be.
        probe: asks the vendor for the beginning of a day, and returns what it said in one line; raises
            `ingest.outcome.IngestError` as a download does. None where no vendor is asked.
        begins: asks the vendor for the first day of which it has data, whatever the plan; None where it does not say.
            Raises as `probe`. None where no vendor is asked.
        offer: asks the vendor since when it has the dataset, of which account, and what a day is made of; raises as
            `probe`. None where no vendor is asked.
        lacking: returns what stored days lack because it was asked for after they were stored, such as a ticker added
            since; days that lack nothing are left out. None where no day ever lacks anything.
        compares: the `checks` that compare a day with its neighbours, and cannot tell while there are too few.
        owner: who sees to it, for the UI: an e-mail address or `team:name`; None for nobody.
        publication: when the vendor has a session's day; of months, the day's.
        revisions: how days are compared with later answers (``revision_looks``), if the vendor revises what it has
            published; None if nothing says that it does.
        automation: when partitions are requested by Dagster's conditions, if they are; days are by ``day_requests``.
        retry: how many attempts a day gets, and the pauses between them.
        expected: what is known of a day before it is stored, under the names of its metadata.
        shown: metadata that `status` shows for each day -> its heading.
        minutes: returns what a stored day's picture shows, a row a minute or a strike (`day_picture`).
        differences: how it is told apart what vendors that are held against each other do not have in common.
        reference: the vendor's page about such data.
        code_version: of its columns; files of another version were written by other code.
        kinds: badges in the UI, besides the vendor.
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
    usual: Callable[[], DayCost]
    span: Span
    first_day_alone: bool = False
    monthly: bool = False
    days_per_run: int = DAYS_PER_RUN
    upstream: tuple[str, ...] = ()
    fetched_downstream: bool = False
    is_at_hand: Callable[[date], bool] = lambda _day: False
    kept_in: Path | None = None
    keeps_at_most: int | None = None
    account_takes_many: bool = False
    seconds_per_request: float = 0.0
    own_files: Files | None = None
    files_of_days: FilesOfDays | None = None
    probe: Callable[[Lake, date], Awaitable[str]] | None = None
    begins: Callable[[Lake], Awaitable[date | None]] | None = None
    offer: Callable[[Lake, date], Awaitable[Offer]] | None = None
    lacking: Callable[[Lake, Sequence[date]], Mapping[date, Sequence[str]]] | None = None
    compares: tuple[str, ...] = ()
    owner: str | None = None
    publication: Publication | None = None
    revisions: Revisions | None = None
    automation: dg.AutomationCondition | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    expected: Callable[[date], Mapping[str, Scalar]] = lambda _day: {}
    shown: Mapping[str, str] = field(default_factory=dict)
    minutes: Callable[[Lake, date], pl.DataFrame] | None = None
    differences: Differences | None = None
    reference: str | None = None
    code_version: str | None = None
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
        """The word for one partition: `session`, or `month`."""
        return "month" if self.monthly else "session"

    @property
    def day(self) -> str:
        """The word for one partition in texts about days: `day`, or `month`."""
        return "month" if self.monthly else "day"

    def label(self, key: str | date) -> str:
        """Write a partition for people: 2025-03-14, or 2025-03."""
        return label(key, self.partitions)

    def labels(self, keys: Iterable[str]) -> list[str]:
        """Write many partitions for people."""
        return [key[:7] for key in keys] if self.monthly else list(keys)

    def backfill_command(self, days: Iterable[str | date], only: str | None = None) -> list[str]:
        """The arguments of `data-assets` that ask for days of some states, from the oldest to the newest of `days`.

        Args:
            days: keys or days, in any order; not empty.
            only: the states, as `--only` names them; None for all that are not done.
        """
        labels = sorted(map(self.label, days))
        return [
            *("backfill", self.name, "--from", labels[0], "--to", labels[-1]),
            *(["--only", only] if only else []),
        ]

    def backfill_line(self, days: Iterable[str | date], only: str | None = None) -> str:
        """The same command as a shell takes it."""
        return shlex.join(["data-assets", *self.backfill_command(days, only)])

    @property
    def files(self) -> Files:
        """How its days are stored."""
        return self.own_files or DayFiles(self.name)


OWNER = "for the UI: who sees to it, an e-mail address or team:name; default: nobody"


def read_owner(text: str | None) -> str | None:
    """An owner as a block of YAML states it, in the forms that Dagster takes.

    Raises:
        ValueError: it is neither; one line.
    """
    if text is not None and (not is_valid_owner(text) or "\n" in text):
        raise ValueError(
            f"owner: {text!r} is neither team:name, such as team:research, nor an e-mail address as Dagster takes it, "
            "which begins with a letter or digit and ends with 2 to 7 letters behind a dot"
        )
    return text


datasets_of_this_process: dict[str, MarketDataset] = {}
"""The datasets of the code location by name, filled as it is loaded: Dagster's definitions keep no place for them."""


def asked_of_a_vendor(dataset: MarketDataset) -> MarketDataset:
    """The dataset itself, or what it is made from in the end: Polygon's bars come of the vendor's files.

    Where a block that would define the next step is absent, it is the last one that is there.
    """
    while dataset.probe is None and dataset.upstream and dataset.upstream[0] in datasets_of_this_process:
        dataset = datasets_of_this_process[dataset.upstream[0]]
    return dataset


def is_served(vendor: str) -> bool:
    """Whether this process serves a vendor's datasets (`DATA_ASSETS_VENDORS`)."""
    served = settings().served_vendors
    return not served or vendor in served


def served_datasets() -> dict[str, MarketDataset]:
    """Those of `datasets_of_this_process` that this process serves, by name in order.

    Raises:
        SettingsError: `DATA_ASSETS_VENDORS` names a vendor of which there is no dataset.
    """
    known = {dataset.vendor for dataset in datasets_of_this_process.values()}
    if unknown := sorted(settings().served_vendors - known):
        raise SettingsError(
            f"DATA_ASSETS_VENDORS: the project has no dataset of {' or '.join(unknown)}; it has some of "
            f"{', '.join(sorted(known))}"
        )
    return {name: each for name, each in sorted(datasets_of_this_process.items()) if is_served(each.vendor)}
