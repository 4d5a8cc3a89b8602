"""The lake as its users see it: write a day or a month, scan days, read bars, ask where a day came from, verify it.

A lake holds either real or synthetic data. A marker at its root says which, and every file's footer says it again.

Here: the one object that the rest of the project holds. Not here: how any of it is done (the modules beside this one).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.counts import count_of
from data_assets.dataset_names import nearest
from data_assets.files import tempfiles
from data_assets.lake.as_of import StorageAsOf
from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS, dataset_of
from data_assets.lake.bars import (
    TIME,
    BarFiles,
    Hours,
    bar_files,
    bars_on_grid,
    built_from,
    extended_bars,
    regular_bars,
    with_new_york_time,
)
from data_assets.lake.chains import (
    GREEKS,
    QUOTES,
    checked_contract,
    checked_day,
    checked_price,
    grid_text,
    instant_of,
    nearest_contracts,
    of_contract,
    price_before,
    with_moneyness,
    with_quote_columns,
)
from data_assets.lake.errors import (
    ANOTHER_FILE,
    MISSING,
    Corrupt,
    DiskFull,
    LakeError,
    LakeNotThere,
    LakeUnusable,
    read_error,
    write_error,
)
from data_assets.lake.flagged import Clean, flagged, months_of, of_bars, rule_of, wanted_flags
from data_assets.lake.kept import Name, NotKept, Statement, names_before, not_kept, statements
from data_assets.lake.layout import (
    LAYOUT,
    PARTITION_FILE,
    dataset_folder,
    dataset_path,
    day_folder,
    days_among,
    former_name,
    month_path,
    monthly_dataset_of,
    parse_partition_path,
    partition_path,
    pinned_path,
    previous_path,
    snapshot_path,
)
from data_assets.lake.migration import move_files
from data_assets.lake.monthly import AuditedMonth, MonthProvenance, audit_month, write_month
from data_assets.lake.parquet_file import (
    NOT_SEALED,
    FileDigest,
    file_digest,
    reading,
    row_groups,
    scan,
)
from data_assets.lake.pins import (
    DayChange,
    add_snapshot,
    alone_with_pins,
    changes,
    let_go,
    pin_again,
    pin_day,
    refuse_taken_name,
    snapshot_named,
    snapshots,
)
from data_assets.lake.provenance import Footer, Provenance, columns_of, from_metadata
from data_assets.lake.run_history import KnownDay, known_days
from data_assets.lake.snapshot import PinnedDay, Snapshot
from data_assets.lake.splits import SplitJump, Splits, adjusted, factors, found_in, splits_of, told
from data_assets.lake.storage import Storage, open_storage
from data_assets.lake.unfinished import FOLDER, UnfinishedDay, sweep_pieces, sweep_pieces_beside
from data_assets.lake.writer import AuditedDay, DayWriter, StoredFile
from data_assets.quality.split_jumps import Jump, nights
from data_assets.trading_calendar import NEW_YORK, sessions, utc_now, why_closed

__all__ = ["Corrupt", "Lake", "LakeError", "NotKept"]

MARKER = "_lake.json"
IDENTITY = "id"


class Lake:
    """A lake in a local folder or an object store. Opening one touches nothing.

    Attributes:
        url: the folder or the ``s3://bucket/prefix`` URL.
        synthetic: whether a simulator makes its data.
        as_of: the snapshot that it is read as of; None for the lake as it is.

    Example:
        >>> from datetime import date
        >>> from data_assets import Lake
        >>> lake = Lake("lake/sandbox", synthetic=True)
        >>> lake.datasets()
        ['theta/option_quotes/QQQ']
        >>> lake.stored_days("theta/option_quotes/QQQ", date(2024, 1, 1), date(2024, 1, 31))
        [datetime.date(2024, 1, 3)]
        >>> chain = lake.scan("theta/option_quotes/QQQ", date(2024, 1, 3), date(2024, 1, 3), columns=["strike", "bid"])
        >>> chain.collect().columns
        ['strike', 'bid']
    """

    def __init__(self, url: str, *, synthetic: bool, as_of: Snapshot | None = None) -> None:
        """Open a lake.

        Args:
            url: the folder or the ``s3://bucket/prefix`` URL.
            synthetic: whether a simulator makes its data.
            as_of: show the days of this snapshot, with the bytes that they had then, and nothing else; such a lake
                cannot be written.

        Raises:
            TypeError: ``as_of`` is no `Snapshot`, but perhaps the name of one, or its file.
            LakeError: the address is neither, or the snapshot is of a lake of the other kind.
        """
        self.url, self.synthetic, self.as_of = url, synthetic, as_of
        self._storage: Storage = open_storage(url)
        if as_of is not None:
            if not isinstance(as_of, Snapshot):
                raise TypeError(
                    f"as_of={as_of!r}: must be a Snapshot: Snapshot.read(Path('NAME.snapshot.json')), or "
                    "Lake(...).snapshot('NAME') of the lake as it is"
                )
            if as_of.synthetic != synthetic:
                raise LakeError(f"the snapshot {as_of.name} is of {_kind(as_of.synthetic)} data, unlike the lake {url}")
            self._storage = StorageAsOf(self._storage, as_of)
        self._is_current = False
        self._was_there = False
        self._identity: str | None = None
        self._verified: dict[str, str] = {}

    def writer(
        self,
        dataset: str,
        day: date,
        schema: pa.Schema,
        sort_by: Sequence[str],
        *,
        whole_groups: bool = False,
        plain: Collection[str] = (),
        encoder: Executor | None = None,
        rejected: bool = False,
    ) -> DayWriter:
        """A writer of one day, whose rows will be sorted by ``sort_by`` (ascending; the first column is the group).

        Args:
            dataset: the dataset's key.
            day: the day.
            schema: the columns.
            sort_by: the order of the rows.
            whole_groups: end row groups only where a group ends, for readers who want one group of a day of many; a
                group larger than a row group is cut all the same.
            plain: the columns that a dictionary of their values does not suit: their values are held as they are.
            encoder: encodes the row groups, those of other days too; by default a thread of this day.
            rejected: the rows are not believed: keep them aside for a look, where no reader finds them.

        Raises:
            ValueError: ``dataset`` is not a dataset key, or ``sort_by`` or ``plain`` do not fit ``schema``.
            LakeUnusable: the lake holds data of the other kind, or its root or marker cannot be read or written.
            DiskFull: there is no room for the marker.
        """
        writer = DayWriter(
            self._storage,
            dataset,
            day,
            schema,
            sort_by,
            synthetic=self.synthetic,
            check_there=partial(self.check_dataset, dataset),
            whole_groups=whole_groups,
            plain=plain,
            encoder=encoder,
            rejected=rejected,
        )
        self._claim()
        return writer

    def unfinished(self, dataset: str, day: date) -> UnfinishedDay:
        """The pieces that are kept of a day until it can be written whole; no reader of the dataset sees them.

        Raises:
            ValueError: ``dataset`` is not a dataset key.
        """
        name = partition_path(dataset, day)
        return UnfinishedDay(self._storage.work_folder(name, FOLDER), self._storage.beside(name))

    def locate(self, path: str) -> str:
        """The absolute path or URL of a file that is named relative to the lake's root.

        A file beside the lake, such as the vendor's own in a cache, is named by its absolute path, which is returned.
        """
        return path if path.startswith("/") else self._storage.locate(path)

    def datasets(self) -> list[str]:
        """The keys of the datasets that hold at least one day."""
        return sorted({dataset for dataset, _ in _partitions(self._storage.names())})

    def monthly_datasets(self) -> list[str]:
        """The keys of the datasets that hold at least one ticker's month."""
        return sorted({dataset for name in self._storage.names() if (dataset := monthly_dataset_of(name))})

    def stored_days(self, dataset: str, start: date = date.min, end: date = date.max) -> list[date]:
        """The days from ``start`` to ``end``, both inclusive, whose file is there; `days` has state and checks.

        Args:
            dataset: the dataset's key.
            start: the first day.
            end: the last day.

        Raises:
            TypeError: a bound is no date.
            ValueError: ``end`` is before ``start``.
            LakeError: the dataset has no day at all, as one whose name is misspelt; the text names the nearest.
            LakeUnusable: the dataset's folder as a whole may not be looked into, or is a link to what is not there.
        """
        start, end = _checked_range(dataset, start, end)
        days = self.held_days(dataset, start, end)
        if not days and not self.held_days(dataset):
            raise LakeError(self._no_day(dataset, start, end))
        return days

    def held_days(
        self,
        dataset: str,
        start: date = date.min,
        end: date = date.max,
        *,
        unreadable: Callable[[date, LakeError], None] | None = None,
    ) -> list[date]:
        """As `stored_days`, for who knows that there is such a dataset: none before its first day was stored.

        Args:
            dataset: the dataset's key.
            start: the first day.
            end: the last day.
            unreadable: told of each day whose folder may not be looked into, and why; without it, that is raised.

        Raises:
            LakeUnusable: the dataset's folder as a whole may not be looked into, or is a link to what is not there.
            LakeError: a day's folder may not be looked into.
        """

        def of_day(folder: str, why: LakeError) -> None:
            with suppress(ValueError):  # a folder of somebody else
                day = parse_partition_path(f"{folder}/{PARTITION_FILE}")[1]
                if unreadable is None:
                    raise why
                if start <= day <= end:
                    unreadable(day, why)

        names = self._storage.names_in_folders(
            dataset_path(dataset),
            PARTITION_FILE,
            after=day_folder(dataset, start),
            until=partition_path(dataset, end),
            unreadable=of_day,
        )
        return days_among(dataset, names)

    def days(
        self,
        dataset: str,
        start: date | None = None,
        end: date | None = None,
        *,
        project: str | Path | None = None,
    ) -> pl.DataFrame:
        """Each session from ``start`` to ``end``, both inclusive, with its state, and with its checks if asked for.

        The lake alone knows less than the run history. A session without a file may have failed, be a hole that was
        accepted, or never have been asked for: of all that, and of the verdicts of checks, the files say nothing. With
        ``project`` the history is asked, which takes some seconds: by ``data-assets status``, in a process of its own.

        Args:
            dataset: the dataset's key.
            start: the first day; by default the first stored one, or, with ``project``, the first that was tried.
            end: the last day; by default the last stored one, or, with ``project``, the last that was tried: one that
                failed behind it is named.
            project: the folder of the project that fills this lake.

        Returns:
            ``day``; ``state``: ``stored``, ``not stored``, or ``unreadable`` where a file's footer cannot be read; and
            by the footer ``rows``, ``fetched_at`` and ``written_at`` (UTC; the latter null in files of earlier
            versions) and ``source``, the request or source object. The pages are not read: `audit` does that.

            With ``project``, ``state`` is that of the grid, where the history knows the day: ``stored``, ``lacking``,
            ``hole``, ``failed``, ``in progress`` or ``missing``; and there are two columns more, ``reason`` (why it is
            not stored) and ``checks``, a struct of how each check ended last, such as ``{"quotes": "succeeded"}``.

        Raises:
            ValueError: ``end`` is before ``start``.
            LakeError: the dataset has no day at all, or none beyond the one bound that is given; the project cannot
                tell; or this is the lake as of a snapshot.
        """
        oldest, newest = _checked_range(dataset, start or date.min, end or date.max)
        start, end = start and oldest, end and newest
        stored = self.held_days(dataset, oldest, newest)
        known = {} if project is None else self._known_days(dataset, Path(project), start, end)
        tried = [*stored, *(day for day, said in known.items() if said.state != "missing")]
        if not tried and (start is None or end is None):
            if (start or end) and (whole := self.held_days(dataset)):
                raise LakeError(
                    f"{dataset}: no day is stored {f'from {start} on' if start else f'up to {end}'}, but some are from "
                    f"{whole[0]} to {whole[-1]}; give both bounds"
                )
            raise LakeError(self._no_day(dataset, oldest, newest))
        start, end = start or min(tried), end or max(tried)
        _checked_range(dataset, start, end)
        there = set(stored)
        rows = [self._told_of(dataset, day, day in there) for day in sorted({*there, *sessions(start, end)})]
        instant = pl.Datetime("us", "UTC")
        schema = {
            "day": pl.Date(),
            "state": pl.Enum(["stored", "not stored", "unreadable"]),
            "rows": pl.Int64(),
            "fetched_at": instant,
            "written_at": instant,
            "source": pl.String(),
        }
        table = pl.DataFrame(rows, schema, orient="row")
        return table if project is None else _with_history(table, known)

    def _known_days(self, dataset: str, project: Path, start: date | None, end: date | None) -> Mapping[date, KnownDay]:
        if self.as_of is not None:
            raise LakeError(f"{dataset}: the run history speaks of the lake as it is: open it without as_of")
        folder = project.expanduser().absolute()
        return known_days(folder, dataset, start, end, lake=self.url, synthetic=self.synthetic)

    def _told_of(self, dataset: str, day: date, is_stored: bool) -> tuple[object, ...]:
        if not is_stored:
            return (day, "not stored", None, None, None, None)
        try:
            with self._opened(partition_path(dataset, day)) as (file, where):
                footer = _footer(file, where)[0]
        except LakeError:
            return (day, "unreadable", None, None, None, None)
        said = footer.provenance
        return (day, "stored", footer.rows, said.fetched_at, footer.written_at, said.source)

    def scan(
        self,
        dataset: str,
        start: date,
        end: date,
        columns: Sequence[str] | None = None,
        *,
        verify: bool = False,
        flags: bool = False,
        clean: Clean = False,
    ) -> pl.LazyFrame:
        """The rows of the days from ``start`` to ``end``, both inclusive, in order of day; no other day's file is read.

        Args:
            dataset: the dataset's key.
            start: the first day.
            end: the last day.
            columns: the columns wanted; all of the file's if None. The day is no column: rows have their own time.
            verify: first, before this returns, read each of the days as a whole and check it (`audit`); a file that
                has not been replaced since, once in the life of this object. Without it nothing checks the pages, and
                what a flipped bit makes of a number is returned as the number.
            flags: add Boolean columns of what the published cleaning rules find, last: of bars ``flag_ohlc`` and
                ``flag_outlier``, of option quotes and greeks ``flag_crossed``, ``flag_wide`` and others. Rules, windows
                and sources are in `data_assets.quality.row_flags`; what is stored never changes.
            clean: leave out the rows with any flag, or with one of those that are named (``["crossed", "outlier"]``).
                How many rows that were, and why, is logged as a warning each time they are read.

        Returns:
            A lazy frame, without rows where the dataset has days but none in the range.

        Raises:
            ValueError: ``end`` is before ``start``, or there are no flags for this dataset or of that name.
            Corrupt: with ``verify``, a day is damaged.
            LakeError: the dataset has no day at all.
        """
        start, end = _checked_range(dataset, start, end)
        rule = rule_of(dataset) if flags or clean else None
        drop = wanted_flags(rule, clean, dataset) if rule else ()
        days = self.held_days(dataset, start, end)
        some_day = days or self.held_days(dataset)[:1]
        if not some_day:
            raise LakeError(self._no_day(dataset, start, end))
        if verify:
            self._verify_once([partition_path(dataset, day) for day in some_day])
        places = [self.locate(partition_path(dataset, day)) for day in some_day]
        frame = scan(places)
        if rule:
            stretches = [_as_first(scan([place]), frame) for place in places] if days else [frame.head(0)]
            frame = flagged(stretches, rule, drop=drop, keep=flags, about=f"{dataset} {start} to {end}")
        else:
            frame = frame if days else frame.head(0)
        return frame if columns is None else frame.select(columns)

    def chain(
        self, underlying: str, day: date, minute: time | str, *, price: float | str | None = None
    ) -> pl.LazyFrame:
        """The option quotes of one underlying at one minute, with mid, spread, days to expiration and moneyness.

        Args:
            underlying: ``QQQ`` reads ``theta/option_quotes/QQQ``; ``SPX`` has the roots SPX and SPXW.
            day: the session.
            minute: of New York's clock, ``10:30`` or a `datetime.time`; a snapshot holds the last quotes at that time.
            price: the underlying's price, in dollars; or a dataset of bars, ``polygon/minute_aggs`` or ``ib/bars_1m``,
                for the close of the bar that ends at that minute (or the last one before it on that day). By default
                the price that put-call parity implies in the chain itself, whatever else the lake holds.

        Returns:
            A lazy frame, a row for each contract: the stored columns (prices in US dollars), then ``mid``, ``spread``
            (US dollars), ``days_to_expiration`` (calendar days), ``underlying_price`` (US dollars or index points),
            ``moneyness`` (strike / underlying_price) and ``time_new_york``. ``mid`` and ``spread`` are null where
            nobody asks.

        Example:
            >>> from datetime import date
            >>> from data_assets import Lake
            >>> lake = Lake("lake/sandbox", synthetic=True)
            >>> chain = lake.chain("QQQ", date(2024, 1, 3), "09:31", price=303.0).collect()
            >>> chain.select("strike", "days_to_expiration").unique().height
            12

        Raises:
            TypeError: ``day`` is no date, or ``price`` neither a number nor a dataset.
            ValueError: ``minute`` is no time of day, or ``price`` is not above 0.
            LakeError: the day is not stored or has no snapshot at that minute (the text says which it has), or no bar
                says the price.
        """
        dataset = f"{QUOTES}/{underlying}"
        day, price = checked_day(f"{dataset}:", day), checked_price(dataset, price)
        rows = with_quote_columns(self._minute(dataset, day, minute))
        if isinstance(price, str):
            bars = self.bars(underlying, day, day, dataset=price)
            price = price_before(bars, price, underlying, instant_of(day, minute))
        return with_moneyness(rows, price)

    def greeks(self, underlying: str, day: date, minute: time | str) -> pl.LazyFrame:
        """The first-order greeks of one underlying's options at one minute, in the columns and units of Theta.

        Args:
            underlying: ``SPX`` reads ``theta/option_greeks/SPX``.
            day: the session.
            minute: of New York's clock, ``10:30`` or a `datetime.time`.

        Returns:
            As `chain`, with the vendor's ``underlying_price`` of each row. ``moneyness`` is null where that is 0, which
            is how Theta writes that it had none. A solution of implied volatility that Theta did not find is stored as
            it came: see ``iv_error``.

        Raises:
            TypeError: ``day`` is no date.
            ValueError: ``minute`` is no time of day.
            LakeError: the day is not stored, or has no row at that minute; the text says which it has.
        """
        return with_moneyness(with_quote_columns(self._minute(f"{GREEKS}/{underlying}", day, minute)))

    def contract(
        self,
        underlying: str,
        expiration: date,
        strike: float,
        right: str,
        start: date | None = None,
        end: date | None = None,
        *,
        root: str | None = None,
    ) -> pl.LazyFrame:
        """The quotes of one option contract from ``start`` to ``end``, both inclusive, in order of time.

        That the contract was quoted at all is made sure of first, from its last days on, which costs a look at a file.

        Args:
            underlying: ``QQQ`` reads ``theta/option_quotes/QQQ``.
            expiration: the contract's.
            strike: US dollars, or index points.
            right: ``CALL`` or ``PUT``.
            start: the first day; by default the first stored one.
            end: the last day; by default, and at most, that of the expiration.
            root: SPX or SPXW, where one day and strike has contracts of both; by default those of all roots.

        Returns:
            A lazy frame: the stored columns, ``mid``, ``spread``, ``days_to_expiration`` and ``time_new_york``. Days
            that the lake does not hold, or on which the contract was not listed, have no rows.

        Raises:
            TypeError: a day is no date.
            ValueError: ``end`` is before ``start``, ``expiration`` is before it, ``strike`` is not above 0, or
                ``right`` is neither a call nor a put.
            LakeError: no day of the range is stored, or none has the contract; the text names the nearest ones.
        """
        dataset = f"{QUOTES}/{underlying}"
        expiration, strike = checked_contract(dataset, expiration, strike)
        first, last = _checked_range(dataset, start or date.min, end or date.max)
        if expiration < first:
            raise ValueError(f"{dataset}: a contract that expires on {expiration} has no quote from {first} on")
        last = min(last, expiration)
        days = self.stored_days(dataset, first, last)
        if not days:
            raise LakeError(self._not_there(dataset, first if start else last, last))
        wanted = partial(of_contract, expiration=expiration, strike=strike, right=right, root=root)
        newest_first = (scan([self.locate(partition_path(dataset, day))]) for day in reversed(days))
        if all(wanted(rows).head(1).collect(engine="streaming").is_empty() for rows in newest_first):
            rows = scan([self.locate(partition_path(dataset, days[-1]))])
            about = f"{expiration} {strike:g} {right}" + (f" of {root}" if root else "")
            raise LakeError(
                f"{dataset}: no day from {days[0]} to {days[-1]} has a quote of {about}; "
                f"{nearest_contracts(rows, expiration, strike, days[-1])}"
            )
        return with_quote_columns(wanted(self.scan(dataset, days[0], days[-1])))

    def _minute(self, dataset: str, day: date, minute: time | str) -> pl.LazyFrame:
        """The rows of one snapshot, which has to be there."""
        day = checked_day(f"{dataset}:", day)
        instant = instant_of(day, minute)
        rows = self._day(dataset, day)
        if rows.select(TIME).filter(pl.col(TIME) == instant).head(1).collect(engine="streaming").is_empty():
            clock = f"{instant.astimezone(NEW_YORK):%H:%M:%S}".removesuffix(":00")
            raise LakeError(f"{dataset} {day}: there is no snapshot at {clock} New York; {grid_text(rows)}")
        return rows.filter(pl.col(TIME) == instant)

    def _day(self, dataset: str, day: date) -> pl.LazyFrame:
        """The rows of one day, which has to be there."""
        if not self.held_days(dataset, day, day):
            if not self.held_days(dataset):
                raise LakeError(self._no_day(dataset, day, day))
            raise LakeError(self._not_there(dataset, day, day))
        return scan([self.locate(partition_path(dataset, day))])

    def _not_there(self, dataset: str, start: date, end: date) -> str:
        """What is said of days that are not there, where others of their dataset are."""
        days = f"{start}" if start == end else f"any day from {start} to {end}"
        if self.as_of is not None:
            return f"{dataset}: the snapshot {self.as_of.name} is not of {days}"
        return f"{dataset}: the lake {self.url} does not hold {days}; {_how_to_fetch(dataset, start, end)}"

    def bars(
        self,
        ticker: str,
        start: date,
        end: date,
        *,
        session: Hours = "extended",
        grid: bool = False,
        fill: bool = False,
        follow_renames: bool = False,
        accept_not_kept: bool = False,
        verify: bool = False,
        flags: bool = False,
        clean: Clean = False,
        adjust: Literal["splits"] | None = None,
        splits: Splits | None = None,
        dataset: str = POLYGON_BARS,
    ) -> pl.LazyFrame:
        """One ticker's minute bars from ``start`` to ``end``, both inclusive New York dates, in order of time.

        Every bar comes from the one dataset that is named, never from two: Polygon's are of the consolidated tape,
        unadjusted, before and after hours included; IB's are of regular hours, adjusted for splits up to the day on
        which each session was fetched, and without trades far from the quote. So the default does not depend on what
        else the lake holds, and where another dataset holds what this one lacks, the error says so.

        Months that were built and still hold exactly what the days hold are read from their own files, all else from
        the days: the rows are the same. A day that the lake does not hold has no rows, with ``grid`` too. A ticker that
        did not trade has none either; one that a stored day was not asked to keep is an error, since nothing is known
        of its trading. Of days of all tickers any ticker counts as kept that can be one of the vendor's, whose only
        lower-case letters are p, r and w behind capitals, and whose only sign is a dot; days stored before footers
        said it count as kept.

        Args:
            ticker: as the vendor writes it (``BRK.A``, ``ABRpA``; IB's ``BRK B`` may be written ``BRK.B``).
            start: the first day.
            end: the last day.
            session: ``extended`` for every bar that is stored (04:00 to 20:00 in New York; from 20:00 of the evening
                before on where a day is dated by trade date), ``regular`` for those of the exchange's regular hours,
                which end at 13:00 on early closes.
            grid: one row for each minute of the regular session, with nulls where there is no bar.
            fill: on the grid, carry the last close of the session into prices, and make volume and trades 0; an average
                of no trades stays null.
            follow_renames: take ``ticker`` for what the security is called now, and before it the bars of the names
                that it had, as defs.yaml said when days were stored. Each row keeps the name of its day. Off by
                default: what a name meant before was another security, or none.
            accept_not_kept: leave the stored days out that were not asked to keep the ticker, as those that the lake
                does not hold, with ``grid`` too.
            verify: first check each file that answers, as `scan` does; a ticker's month is a small one.
            flags: add ``flag_ohlc`` and ``flag_outlier``, before ``time_new_york``, as `scan` does; minutes of a grid
                without a bar have nulls. They do not depend on ``session``: the rule sees all bars that are stored.
            clean: leave out flagged bars, as `scan` does; on a grid, such a minute has no bar.
            adjust: ``splits`` for prices and volumes in today's shares, as far as ``splits`` knows: prices of before a
                split are divided by its factor and volumes multiplied, and sessions that IB has adjusted already are
                left alone, by the day on which each was fetched. What is stored never changes.
            splits: with ``adjust``: the table of splits, as a file or as values (`data_assets.lake.splits`). Splits
                after ``end`` count as well, up to today in New York: one that is only announced has changed no price;
                with ``follow_renames``, those of each name in its time.
            dataset: whose bars: ``polygon/minute_aggs``, with its months beside it, or ``ib/bars_1m``, below which
                each ticker has a dataset of its own.

        Returns:
            A lazy frame with the same names for every vendor: ``ticker``, ``timestamp`` (start of the minute, UTC),
            ``open``, ``high``, ``low``, ``close`` (US dollars), ``volume`` (shares), ``trades`` (their number) and
            ``vwap`` (US dollars), which bars of Polygon lack, as its files hold none. Then what else is stored
            (Polygon's ``test_ticker``) and, last, ``time_new_york``: the same instant as ``timestamp``, as
            Datetime("us", "America/New_York"). `scan` and the files have the vendors' names.

        Example:
            >>> from datetime import date
            >>> from data_assets import Lake
            >>> lake = Lake("lake/sandbox", synthetic=True)
            >>> day = date(2024, 1, 3)
            >>> lake.bars("AAPL", day, day, session="regular").collect().columns[1:8]
            ['timestamp', 'open', 'high', 'low', 'close', 'volume', 'trades']
            >>> lake.bars("AAPL", day, day, dataset="ib/bars_1m").select("trades", "vwap").collect().height
            390

        Raises:
            ValueError: ``end`` is before ``start``, ``session`` is neither of the two, ``grid`` and ``fill`` are
                asked for without what they need, or IB's dataset is asked for a ticker that it cannot hold.
            NotKept: days of the range were not asked to keep the ticker; the text says which, and what to do.
            Corrupt: with ``verify``, a file is damaged.
            LakeError: the dataset has no day at all.
        """
        if session not in ("extended", "regular"):
            raise ValueError(f"session {session!r}: must be extended or regular")
        if grid and session != "regular":
            raise ValueError("grid=True is a grid of regular minutes: ask for session='regular' with it")
        if fill and not grid:
            raise ValueError("fill=True fills the minutes of a grid: ask for grid=True with it")
        if not isinstance(ticker, str) or not ticker:
            raise ValueError(f"ticker {ticker!r}: must be a name, as the vendor writes it")
        drop = wanted_flags(of_bars(), clean, dataset)
        if (adjust is None) != (splits is None) or adjust not in (None, "splits"):
            raise ValueError("adjust='splits' and splits=, a table of them, go together: give both or neither")
        start, end = _checked_range(dataset, start, end)
        told = self._names(dataset_of(dataset, ticker), start, end) if follow_renames else []
        names = names_before(told, ticker) if follow_renames else [Name(ticker)]
        today = utc_now().astimezone(NEW_YORK).date()
        known_splits = [
            split
            for name in names
            for split in ([] if splits is None else splits_of(splits, name.ticker))
            if (name.first_day or date.min) <= split.day <= min(name.last_day or date.max, today)
        ]
        parts = []
        for name in reversed(names):
            first, last = max(start, name.first_day or start), min(end, name.last_day or end)
            if first > last:
                continue
            of_name = dataset_of(dataset, name.ticker)
            chosen = bar_files(self._storage, of_name, name.ticker, first, last, former_names=not self._current())
            if chosen.not_kept and not accept_not_kept:
                said = self.statements(of_name, chosen.not_kept[-1:])
                elsewhere = self._bars_elsewhere(of_name, name.ticker, chosen.not_kept[0], chosen.not_kept[-1])
                raise not_kept(of_name, name.ticker, chosen.not_kept, said.get(chosen.not_kept[-1]), elsewhere)
            if verify:
                for of_months in (True, False):  # apart, for they lie apart
                    self._verify_once([file for file, is_month in chosen.files if is_month == of_months])
            if chosen.files:
                frame = extended_bars(self._storage, chosen, name.ticker)
            else:
                frame = self._no_bars(of_name, name.ticker, first, last)
            days = [day for day in chosen.days if day not in chosen.not_kept]
            if flags or clean:
                whose = of_name if of_name.startswith(IB_BARS) else f"{of_name} {name.ticker}"
                about = f"{whose} {first} to {last}"
                frame = flagged(months_of(frame, chosen.days), of_bars(), drop=drop, keep=flags, about=about)
            if splits is not None:
                by_day = factors(chosen.days, known_splits, self._fetched_on(of_name))
                frame = adjusted(frame, {day: chosen.begins(day) for day in chosen.days}, by_day)
            if session == "regular":
                frame = regular_bars(frame, days)
            if grid:
                frame = bars_on_grid(frame, name.ticker, days, fill=fill)
            parts.append(frame)
        return with_new_york_time(pl.concat(parts) if len(parts) > 1 else parts[0])

    def _fetched_on(self, dataset: str) -> Callable[[date], date] | None:
        """When a day of a dataset that is adjusted as of the request was fetched, New York; None for any other."""
        if not dataset.startswith(f"{IB_BARS}/"):
            return None
        return lambda day: self.provenance(dataset, day).fetched_at.astimezone(NEW_YORK).date()

    def split_jumps(
        self, ticker: str, start: date, end: date, *, splits: Splits = (), dataset: str = POLYGON_BARS
    ) -> list[SplitJump]:
        """The nights over which the stored bars of a ticker changed as at a split that ``splits`` does not know, and
        those over which they did not change as at one that it has.

        Of Polygon's bars, that is a split which is missing in the table, or news that moved the price as far. Of IB's,
        which are adjusted as of each request, days were fetched on both sides of a split and do not fit together; what
        is found says which to fetch again.

        Args:
            ticker: as the vendor writes it.
            start: the first day.
            end: the last day.
            splits: the known splits, as for `bars`. They explain no jump in bars of IB, which should have none.
            dataset: as for `bars`.

        Raises:
            ValueError: the range or the table is none.
            LakeError: the dataset has no day at all, or does not keep the ticker.
        """
        of_ticker = dataset_of(dataset, ticker)
        opened = self.bars(ticker, start, end, session="regular", dataset=dataset)
        daily = opened.group_by(pl.col("time_new_york").dt.date().alias("day"), maintain_order=True).agg(
            pl.col("open").first(), pl.col("close").last()
        )
        table = daily.collect(engine="streaming").sort("day")
        days = table["day"].to_list()
        fetched_on = self._fetched_on(of_ticker)
        known = splits_of(splits, ticker) if fetched_on is None else []
        found = (
            found_in(of_ticker, ticker, night, known, lambda jump: told(of_ticker, ticker, jump, days, fetched_on))
            for night in nights(days, table["open"].to_list(), table["close"].to_list())
        )
        return [each for each in found if each is not None]

    def told_of_jump(self, dataset: str, ticker: str, jump: Jump) -> SplitJump:
        """What is to be done about a jump that was found in a ticker's bars, with all stored days in view.

        Raises:
            LakeError: the lake cannot be read.
        """
        return told(dataset, ticker, jump, self.held_days(dataset), self._fetched_on(dataset))

    def in_scale_of(self, dataset: str, day: date) -> list[date]:
        """The days of bars of IB that were fetched on the day on which one was, or earlier, oldest first.

        IB adjusts as of the request: if a split has come since that one was fetched, none of these knows of it.

        Raises:
            LakeError: the lake cannot be read.
        """
        fetched = {each: self.provenance(dataset, each).fetched_at for each in self.held_days(dataset)}
        until = fetched[day].astimezone(NEW_YORK).date()
        return [each for each, at in fetched.items() if at.astimezone(NEW_YORK).date() <= until]

    def _no_bars(self, dataset: str, ticker: str, start: date, end: date) -> pl.LazyFrame:
        """The columns of a dataset without a day in the range.

        Raises:
            LakeError: it has no day at all.
        """
        if not (some_day := self.held_days(dataset)[:1]):
            listed = f"give {ticker} a row in tickers.csv, if it has none, and " if dataset.startswith(IB_BARS) else ""
            elsewhere = self._bars_elsewhere(dataset, ticker, start, end)
            raise LakeError(f"{self._no_day(dataset, start, end, listed)}{elsewhere}")
        one_day = BarFiles(((partition_path(dataset, some_day[0]), False),), (), ())
        return extended_bars(self._storage, one_day, ticker)

    def _no_day(self, dataset: str, start: date, end: date, before: str = "") -> str:
        if self.as_of is not None:
            return f"{dataset}: the snapshot {self.as_of.name} is of no day of it, but of {', '.join(self.as_of.days)}"
        known = [*self.datasets(), *self.monthly_datasets()]
        near = nearest([name for name in known if name != dataset], dataset)
        text = f"{dataset}: the lake {self.url} holds no day of it yet; "
        if near is not None:
            text += f"did you mean {near}? If not, "
        elif dataset.partition("/")[0] not in {
            name.partition("/")[0] for name in (*known, QUOTES, POLYGON_BARS, IB_BARS)
        }:
            return f"{text}it is no dataset of a known vendor; which there are: data-assets list"
        return f"{text}{before}{_how_to_fetch(dataset, start, end)}"

    def _bars_elsewhere(self, dataset: str, ticker: str, start: date, end: date) -> str:
        """Words that name the other dataset, if it holds days of the range that keep the ticker; else none."""
        for other in (POLYGON_BARS, IB_BARS):
            with suppress(LakeError, ValueError):  # the caller has an error to tell, and this is no other one
                of_other = dataset_of(other, ticker)
                days = self.held_days(of_other, start, end) if of_other != dataset else []
                if any(said.keeps(ticker) for said in self.statements(of_other, days[-1:]).values()):
                    return f"; the lake has bars of {ticker} from another vendor there: dataset='{other}' reads those"
        return ""

    def _names(self, dataset: str, start: date, end: date) -> list[Name]:
        """What is known of renamed tickers: as the newest stored day says, then as the oldest one of the range does.

        When names were made known, the newest day may have been stored before, and days that then lacked a name since.
        """
        days = self.held_days(dataset)
        telling = [*days[-1:], *[day for day in days if start <= day <= end][:1]]
        names: list[Name] = []
        for said in self.statements(dataset, telling).values():
            names += [name for name in said.names if name.ticker not in {known.ticker for known in names}]
        return names

    def statements(self, dataset: str, days: Sequence[date]) -> dict[date, Statement]:
        """What those of ``days`` that are stored say of the tickers in them; nothing is known of a damaged one."""
        names = {partition_path(dataset, day): day for day in days}
        said = statements(self._storage, self._storage.versions(list(names)))
        return {names[name]: each for name, each in said.items()}

    def day_versions(self, dataset: str, days: Sequence[date]) -> dict[date, str]:
        """Those of ``days`` whose file is there, each with a text that differs once the file has been replaced."""
        names = {day: partition_path(dataset, day) for day in days}
        versions = self._storage.versions(names.values())
        return {day: versions[name] for day, name in names.items() if name in versions}

    def write_month(self, provenance: MonthProvenance, rows: pl.DataFrame, sort_by: str) -> StoredFile:
        """Store one ticker's month, in place of what was there; ``rows`` are sorted by ``sort_by`` and may be none.

        Raises:
            ValueError: the dataset is not a dataset key, or the rows are not sorted.
            LakeUnusable: the lake holds data of the other kind.
            LakeError: the file cannot be written; what had its name is untouched.
        """
        if provenance.synthetic != self.synthetic:
            raise LakeError(
                f"{provenance.dataset}: {_kind(provenance.synthetic)} rows do not go into a lake of "
                f"{_kind(self.synthetic)} data; set DATA_ASSETS_LAKE to a folder of their own"
            )
        self._claim()
        return write_month(self._storage, provenance, rows, sort_by)

    def month_versions(self, dataset: str, ticker: str, month: date) -> dict[date, str]:
        """The days that a ticker's month was built from, as `day_versions` named them then; none without a month."""
        return built_from(self._storage, self._name_there(month_path(dataset, ticker, month)))

    def verify_month(self, dataset: str, ticker: str, month: date) -> AuditedMonth:
        """Re-read the file of a ticker's month as a whole, and compare it with what it says of itself.

        Returns:
            What the file is now, to be compared with what was recorded of it.

        Raises:
            Corrupt: the file is missing, damaged, or of another dataset, ticker, month or kind than its place says.
            LakeError: the file could not be read for a reason that says nothing about it.
        """
        name = self._name_there(month_path(dataset, ticker, month))
        with self._opened(name) as (file, where):
            audited = audit_month(file, name, where)
            said = audited.provenance
            if (said.dataset, said.ticker, said.month, said.synthetic) != (dataset, ticker, month, self.synthetic):
                found = f"{_kind(said.synthetic)} data of {said.dataset} {said.ticker} {said.month:%Y-%m}"
                raise Corrupt(f"its footer says that it is {found}", where)
        return audited

    def previous(self, dataset: str, day: date) -> pl.LazyFrame | None:
        """The rows of a day before its file was last replaced by another revision; None where none was kept.

        Raises:
            ValueError: ``dataset`` is not a dataset key.
        """
        name = self._name_there(previous_path(dataset, day))
        if self._storage.size(name) is None:
            return None
        return scan([self.locate(name)])

    def batches(self, dataset: str, day: date) -> Iterator[pl.DataFrame]:
        """The rows of a day, a row group at a time, every page checked: memory stays flat however large the day.

        Raises:
            Corrupt: the file is missing or damaged.
        """
        with self._opened(partition_path(dataset, day)) as (file, where):
            yield from row_groups(file, where)

    def provenance(self, dataset: str, day: date) -> Provenance:
        """Where the rows of a day came from.

        Raises:
            Corrupt: the file is missing or its footer is damaged.
        """
        with self._opened(partition_path(dataset, day)) as (file, where):
            return _footer(file, where)[0].provenance

    def verify(
        self,
        dataset: str,
        day: date,
        *,
        sha256: str | None,
        rows: int | None,
        written_at: datetime | None = None,
        pages: bool = True,
    ) -> AuditedDay | None:
        """Re-read a day's file as a whole and compare it with what was recorded of it and with what it says of itself.

        A file has its name before it is recorded. So whoever reads in between, or after a process that died in between,
        finds another file than was recorded: one that is whole by its own seal and was written after the recorded one
        is as good as that. An older one is not, such as one that came back from a backup.

        Args:
            dataset: the dataset's key.
            day: the day.
            sha256: the digest that was recorded when the file was published; None where none was.
            rows: the row count that was recorded; None where none was.
            written_at: when the recorded file was written, with a time zone; None if no other will do.
            pages: decode every page too. Whoever reads all rows by `batches` next, which does that, may leave it out
                for a file that has the recorded digest.

        Returns:
            The file that is there instead of the recorded one, if it is not that.

        Raises:
            Corrupt: the file is missing, damaged, another file, or of another dataset, day or kind than its place says.
            LakeError: the file could not be read for a reason that says nothing about it.
        """
        with self._opened(partition_path(dataset, day)) as (file, where):
            digest = None if sha256 is None else file_digest(file)
            if digest is not None and digest.sha256 != sha256:
                if digest.sealed and written_at is not None:
                    newer = self._audited(dataset, day, file, where, digest)
                    if newer.written_at is not None and newer.written_at > written_at:
                        return newer
                raise Corrupt(f"its sha256 is {digest.sha256}, recorded was {sha256}", where, ANOTHER_FILE)
            footer = self._whole(dataset, day, file, where, pages=pages or digest is None)
            if rows is not None and footer.rows != rows:
                raise Corrupt(f"it has {count_of(footer.rows, 'row')}, recorded were {rows:,}", where)
            return None

    def audit(self, dataset: str, day: date) -> AuditedDay:
        """Re-read a day's file as a whole, of which nothing is recorded, and compare it with what it says of itself.

        Raises:
            Corrupt: the file is missing, damaged, or of another dataset, day or kind than its place says.
            LakeError: the file could not be read for a reason that says nothing about it.
        """
        with self._opened(partition_path(dataset, day)) as (file, where):
            return self._audited(dataset, day, file, where, file_digest(file))

    def written_at(self, dataset: str, day: date) -> datetime:
        """When a day's file was written, by its footer; of one of an earlier version, when its rows were fetched.

        Raises:
            Corrupt: the file is missing or its footer is damaged.
        """
        with self._opened(partition_path(dataset, day)) as (file, where):
            footer = _footer(file, where)[0]
        return footer.written_at or footer.provenance.fetched_at

    def _audited(self, dataset: str, day: date, file: BinaryIO, where: str, digest: FileDigest) -> AuditedDay:
        if digest.sealed is False:  # asked first: nobody knows what a decoder makes of such bytes
            raise Corrupt(NOT_SEALED, where)
        footer = self._whole(dataset, day, file, where)
        stored = StoredFile(partition_path(dataset, day), footer.rows, digest.size, digest.sha256)
        return AuditedDay(stored, footer.provenance, footer.written_at)

    def _whole(self, dataset: str, day: date, file: BinaryIO, where: str, *, pages: bool = True) -> Footer:
        """The footer of a day's file, once all that it says was found to hold: of its rows, if `pages` are read."""
        footer, schema = _footer(file, where)
        if pages:
            counted = sum(frame.height for frame in row_groups(file, where))
            if counted != footer.rows:
                raise Corrupt(f"it has {count_of(counted, 'row')}, its footer says {footer.rows:,}", where)
        if columns_of(schema) != footer.columns:
            raise Corrupt(f"it has the columns {columns_of(schema)}, its footer says {footer.columns}", where)
        said = footer.provenance
        if (said.dataset, said.day, said.synthetic) != (dataset, day, self.synthetic):
            found = f"{_kind(said.synthetic)} data of {said.dataset} {said.day}"
            raise Corrupt(f"its footer says that it is {found}", where)
        return footer

    def _verify_once(self, names: Sequence[str]) -> None:
        """Check those files, of days or of months, that this object has not checked yet as they lie there now."""
        versions = self._storage.versions(names)
        for name in names:
            if name in versions and self._verified.get(name) == versions[name]:
                continue
            try:
                dataset, day = parse_partition_path(name)
            except ValueError:
                with self._opened(name) as (file, where):
                    audit_month(file, name, where)
            else:
                self.audit(dataset, day)  # with its seal: no page checksum covers what the footer says
            self._verified[name] = versions.get(name, "")

    def take_snapshot(
        self,
        name: str,
        days: Mapping[str, Sequence[date]],
        *,
        keep: bool = True,
        checks: Mapping[str, Mapping[date, Mapping[str, str]]] | None = None,
        pinned: Callable[[str, date], None] = lambda dataset, day: None,
    ) -> Snapshot:
        """Say which bytes some stored days have now, and keep those bytes for as long as the snapshot stays.

        Every byte of every file is read. On a local disk what is kept costs nothing until a day is replaced; on exFAT
        and in an object store it is a copy.

        Args:
            name: what to call it: letters, digits, ``.``, ``_`` and ``-``.
            days: dataset -> the days.
            keep: whether to keep the files, too; without it, the snapshot can be checked, and read only as long as its
                days are not replaced.
            checks: dataset -> day -> check -> how it ended, to be noted.
            pinned: told of each day as it is done.

        Returns:
            The snapshot; the lake has a copy of it, under its name.

        Raises:
            ValueError: the name is none for a snapshot, or there is no day.
            Corrupt: a day is missing or damaged; nothing is kept.
            LakeError: the lake has a snapshot of that name, no day of a dataset, or no session on a day; or a file
                cannot be read or kept.
        """
        if not any(days.values()):
            raise ValueError(f"the snapshot {name} would be of no day")
        days = {dataset: [checked_day(f"{dataset}:", day) for day in each] for dataset, each in days.items()}
        self.check_there()
        self._refuse_what_cannot_be_there(days)
        found: dict[str, dict[date, PinnedDay]] = {}
        added: list[str] = []
        with alone_with_pins(self._storage):
            refuse_taken_name(self._storage, name)
            try:
                for dataset, of_dataset in days.items():
                    for day in of_dataset:
                        file = pin_day(self._storage, dataset, day, keep=keep)
                        ended = (checks or {}).get(dataset, {}).get(day, {})
                        found.setdefault(dataset, {})[day] = replace(file, checks=ended)
                        pinned(dataset, day)
                snapshot = Snapshot(name, utc_now(), version("data-assets"), self.identity(), self.synthetic, found)
                add_snapshot(self._storage, snapshot)
                added.append(name)
                if keep:
                    pin_again(self._storage, snapshot)
            except BaseException:
                let_go(self._storage, added)
                raise
        return snapshot

    def _refuse_what_cannot_be_there(self, days: Mapping[str, Sequence[date]]) -> None:
        """Go on only with datasets that the lake holds, and days on which there may be a file."""
        for dataset, of_dataset in days.items():
            if not of_dataset:
                continue
            held = set(self.held_days(dataset))
            if not held:
                raise LakeError(self._no_day(dataset, min(of_dataset), max(of_dataset)))
            for day in sorted({*of_dataset} - held):
                if not sessions(day, day):
                    raise LakeError(self._not_there(dataset, day, day))

    def snapshots(self, unreadable: Callable[[str, LakeError], None] | None = None) -> list[Snapshot]:
        """The snapshots of this lake, the oldest first.

        Args:
            unreadable: told of each that cannot be read, by its name, and why; without it, that is raised.

        Raises:
            LakeError: one cannot be read, or the lake is not there.
        """
        self.check_there()
        return snapshots(self._storage, unreadable)

    def snapshot(self, name: str) -> Snapshot:
        """The snapshot of a name.

        Raises:
            ValueError: it is no name for one.
            LakeError: there is none, or it cannot be read, or the lake is not there.
        """
        self.check_there()
        return snapshot_named(self._storage, name)

    def changes(self, snapshot: Snapshot, stamps: Mapping[str, Sequence[str]] | None = None) -> Iterator[DayChange]:
        """What has become of each day since a snapshot, by every byte: see `DayChange`.

        Args:
            snapshot: of this lake, or of a copy of it.
            stamps: dataset -> columns that only say when a row was made.

        Raises:
            LakeError: a file cannot be read for a reason that says nothing about it, or the lake is not there, which
                says nothing about its days.
        """
        self.check_there()
        return changes(self._storage, snapshot, self.held_days, stamps or {})

    def kept_files(self, snapshot: Snapshot) -> dict[str, int]:
        """Those pins of a snapshot's days that take room of their own, which dropping it may free.

        In a bucket that is each of them; in a folder each that lies under no day's name any more, or never did, as in a
        copy that did not keep second names.

        Returns:
            Pin -> its bytes; snapshots of the same files have the same pins.
        """
        found: dict[str, int] = {}
        for dataset, days in snapshot.days.items():
            pins = {day: pinned_path(dataset, day, file.sha256) for day, file in days.items()}
            kept = self._storage.versions(list(pins.values()))
            found |= {
                pins[day]: file.size
                for day, file in days.items()
                if pins[day] in kept and not self._storage.is_one_file(partition_path(dataset, day), pins[day])
            }
        return found

    def kept_bytes(self, *snapshots: Snapshot) -> int:
        """Bytes of `kept_files` of some snapshots, each file once."""
        files = {pin: size for snapshot in snapshots for pin, size in self.kept_files(snapshot).items()}
        return sum(files.values())

    def drop_snapshots(self, names: Sequence[str]) -> list[str]:
        """Give snapshots up, and with them the files that no other one needs; no day of any dataset is touched.

        One that cannot be read is given up all the same.

        Returns:
            The names of others that cannot be read: as long as there is one, the files stay, as it may need them.

        Raises:
            ValueError: a name is none for a snapshot.
            LakeError: there is none of that name, or a file cannot be removed.
        """
        self.check_there()  # first, lest anything be made in the mount point of a disk that is away
        with alone_with_pins(self._storage):
            for name in names:
                if self._storage.size(snapshot_path(name)) is None:
                    self.snapshot(name)  # which says what there is
            return let_go(self._storage, names)

    def sweep(self) -> list[str]:
        """Remove the temporary files of writers that died; those of living writers, of any process, stay.

        So do the pieces of unfinished days, for as long as they may still be used.

        Returns:
            The paths of the removed files.
        """
        if self._storage.size(MARKER) is None:  # nobody wrote here: the folder may be anything, and large
            return []
        folders = list(self._storage.unfinished_folders())
        removed = tempfiles.sweep(path for folder in folders for path in tempfiles.find(folder))
        pieces = sweep_pieces(path for folder in folders for path in tempfiles.find_folders(folder, FOLDER))
        beside = sweep_pieces_beside(self._storage.beside())
        return [*(str(path) for path in [*removed, *pieces]), *beside]

    def migrate(self) -> int:
        """Bring a lake of an older layout to the present one, and say how many files were moved.

        Every run begins with it. It looks at the marker and at nothing else where there is nothing to do; otherwise it
        lists the whole lake, once.

        Raises:
            LakeError: a file cannot be moved; nothing is lost, and the next call goes on.
        """
        if self._current() and self._identity is not None:
            return 0
        since = None
        try:
            said = self._marker_said()
            if said and not said.get(IDENTITY):
                since = self._storage.versions([MARKER]).get(MARKER)  # before it is read: see `_identity_of_old`
                said = self._marker_said()
            kind, identity = self._kind_said(said), said.get(IDENTITY)
        except (OSError, LakeError):  # which whoever writes is told
            return 0
        if kind is None:  # nobody wrote here
            return 0
        self._identity = identity or _identity_of_old(self.locate(MARKER), str(since))
        marker = _marker(synthetic=kind, layout=LAYOUT, identity=self._identity)
        if self._current():
            if identity is None:
                self._give_identity(marker)
            return 0
        try:
            moved = move_files(self._storage)
            self._storage.replace(MARKER, marker)
        except OSError as error:
            raise write_error(error, self.url) from error
        return moved

    def _give_identity(self, marker: bytes) -> None:
        try:
            self._storage.replace(MARKER, marker)
        except (OSError, LakeError):  # a lake that takes nothing says so to whoever brings it a day
            self._identity = None

    def ignores_conditions(self) -> str | None:
        """Why of two runs that store a day at the same time neither would be told; None if one wins and the other is.

        Of a lake in a bucket, which is asked once; in a folder the vendor's account lock keeps the second run away.

        Raises:
            LakeError: the object store does not answer.
        """
        return self._storage.ignores_conditions()

    def free_bytes(self) -> int | None:
        """Room left on the lake's disk; None for an object store."""
        return self._storage.free_bytes()

    def is_there(self) -> bool:
        """Whether the lake has its marker: without it, this is the empty mount point of a disk, or nothing yet.

        Raises:
            LakeUnusable: the disk or the object store does not say.
        """
        try:
            there = self._storage.size(MARKER) is not None
        except LakeError as error:
            raise LakeUnusable(str(error)) from error
        except OSError as error:
            raise LakeUnusable(str(read_error(error, self.url))) from error
        self._was_there |= there
        return there

    def check_there(self, identity: str | None = None) -> None:
        """Go on only if the lake is there.

        Args:
            identity: what its marker has to say again if it is lost; by default what this object has read there.

        Raises:
            LakeNotThere: it has no marker, or, in a folder, another than this object has read there; the text says
                what to do.
            LakeUnusable: the disk or the object store does not say.
        """
        identity = identity or self._identity
        if not self.is_there():
            raise LakeNotThere(
                f"DATA_ASSETS_LAKE: the lake {self.url} is not there, as it has no {MARKER}: plug in or mount its "
                f"disk, or set DATA_ASSETS_LAKE to where it is now; if its files are there and this one alone is lost, "
                f"or to begin a new lake there, write {self._marker_again(identity)} into {self.locate(MARKER)}"
            )
        if self._identity is not None and "://" not in self.url and self._read_identity() != self._identity:
            raise LakeNotThere(self.is_another(self._identity))

    def identity(self) -> str | None:
        """What tells this lake from another one in the same place; None without a marker, or before `migrate`.

        Lakes are given one as they are made, those of earlier versions by their next run.

        Raises:
            LakeUnusable: the disk or the object store does not say.
        """
        if self._identity is None:
            self._identity = self._read_identity()
        return self._identity

    def _read_identity(self) -> str | None:
        try:
            said = self._marker_said().get(IDENTITY)
        except LakeError as error:
            raise LakeUnusable(str(error)) from error
        except OSError as error:
            raise LakeUnusable(str(read_error(error, self.locate(MARKER)))) from error
        return said if isinstance(said, str) else None

    def is_another(self, identity: str) -> str:
        """The words for a place that had the lake of an identity, and has this one now."""
        return (
            f"DATA_ASSETS_LAKE: the lake in {self.url} is another one than was there, by its {MARKER}: plug in or "
            "mount the disk of the lake that was there, or set DATA_ASSETS_LAKE to where it is now; if this is that "
            f"lake all the same, write {self._marker_again(identity)} into {self.locate(MARKER)}"
        )

    def _marker_again(self, identity: str | None) -> str:
        return json.dumps({"synthetic": self.synthetic} | ({} if identity is None else {IDENTITY: identity}))

    def check_dataset(self, dataset: str) -> None:
        """Go on only if the lake is there, and the dataset's folder can be looked into or is still to be made.

        Raises:
            ValueError: ``dataset`` is not a dataset key.
            LakeNotThere: the lake is not there, or the folder is a link to what is not there.
            LakeUnusable: the system does not let anybody look into it, or the object store does not say.
        """
        self.check_there()
        self._storage.check_folder(dataset_path(dataset))

    def _claim(self) -> None:
        """Make sure that the lake is of this kind, and mark it where nobody has."""
        try:
            kind = self._marked_kind()
            if kind is None and (kind := self._kind_of_files()) in (None, self.synthetic):
                if kind is None and self._was_there:  # unplugged since: what is here now is its mount point
                    self.check_there()
                layout = LAYOUT if kind is None else 1  # who knows how old the files are?
                kind = self.synthetic if self._mark(layout) else self._marked_kind()
        except (DiskFull, LakeUnusable):
            raise
        except LakeError as error:
            raise LakeUnusable(str(error)) from error
        except OSError as error:
            raise LakeUnusable(str(read_error(error, self.url))) from error
        self._was_there = True
        if kind != self.synthetic:
            held, wanted = _kind(bool(kind)), _kind(self.synthetic)
            raise LakeUnusable(
                f"DATA_ASSETS_LAKE: {self.url} holds {held} data, and {wanted} data never goes into the same lake; "
                "set DATA_ASSETS_LAKE to another folder, or DATA_ASSETS_PROFILE to the profile that this lake is of"
            )

    def _mark(self, layout: int) -> bool:
        try:
            marker = _marker(synthetic=self.synthetic, layout=layout, identity=uuid.uuid4().hex)
            return self._storage.create(MARKER, marker)
        except OSError as error:
            raise write_error(error, self.locate(MARKER)) from error

    def _marked_kind(self) -> bool | None:
        return self._kind_said(self._marker_said())

    def _kind_said(self, said: dict[str, Any]) -> bool | None:
        if not said:
            return None
        if not isinstance(said.get("synthetic"), bool):
            raise self._damaged_marker()
        return bool(said["synthetic"])

    def _marker_said(self) -> dict[str, Any]:
        """What the marker says; nothing where there is none."""
        try:
            with self._storage.open(MARKER) as file:
                said = json.loads(file.read())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise self._damaged_marker() from None
        if not isinstance(said, dict) or not said:
            raise self._damaged_marker()
        return said

    def _damaged_marker(self) -> LakeError:
        return LakeError(
            f'{self.locate(MARKER)}: is damaged; write {{"synthetic": true}} or {{"synthetic": false}} into it, '
            "as the footers of the lake's files say"
        )

    def _current(self) -> bool:
        """Whether no file of the lake lies where the first layout had it, as far as its marker says."""
        if not self._is_current:
            with suppress(OSError, LakeError):
                self._is_current = self._marker_said().get("layout") == LAYOUT
        return self._is_current

    def _name_there(self, name: str) -> str:
        """The name under which a month or a previous revision lies: its former one, if it is not moved yet."""
        if self._current() or (former := former_name(name)) is None or self._storage.size(name) is not None:
            return name
        return former

    def _kind_of_files(self) -> bool | None:
        first = next(_partitions(self._storage.names()), None)
        return None if first is None else self.provenance(*first).synthetic

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[BinaryIO, str]]:
        where = self.locate(name)
        try:
            file = self._storage.open(name)
        except FileNotFoundError:
            self.check_there()
            self._storage.check_folder(dataset_folder(name))
            raise Corrupt("the file is missing", where, MISSING) from None
        except (IsADirectoryError, NotADirectoryError) as error:
            raise LakeError(
                f"{where}: something else lies where the file of this day should be ({error.strerror}); "
                "move it away, then backfill this day again"
            ) from None
        except OSError as error:
            self._storage.check_folder(dataset_folder(name))
            raise LakeError(
                f"{where}: cannot be read ({error.strerror}); check the disk and the permissions"
            ) from error
        with file, reading(where):
            yield file, where


def _partitions(names: Sequence[str]) -> Iterator[tuple[str, date]]:
    for name in names:
        with suppress(ValueError):  # the marker, and whatever else people keep beside the lake's files
            yield parse_partition_path(name)


def _marker(*, synthetic: bool, layout: int, identity: str) -> bytes:
    return json.dumps({"synthetic": synthetic, "layout": layout, IDENTITY: identity}).encode() + b"\n"


def _identity_of_old(marker: str, version: str) -> str:
    """The identity of a lake whose marker has none yet: the same, whichever of several processes gives it.

    Each of them asks for the marker's version before it reads the marker, and who writes an identity changes both.

    Args:
        marker: its address, which tells the lakes of object stores apart.
        version: when it was written, in a folder; disks that were mounted in the same place differ in that.
    """
    return hashlib.sha256(f"{marker} {version}".encode()).hexdigest()[:32]


def _kind(synthetic: bool) -> str:
    return "synthetic" if synthetic else "real"


def _as_first(day: pl.LazyFrame, all_days: pl.LazyFrame) -> pl.LazyFrame:
    """A day's rows with the types in which several days are read as one."""
    return day.cast(all_days.collect_schema())


def _with_history(table: pl.DataFrame, known: Mapping[date, KnownDay]) -> pl.DataFrame:
    names = sorted({name for each in known.values() for name in each.checks})
    said = pl.DataFrame(
        {
            "day": known.keys(),
            "said": [each.state for each in known.values()],
            "reason": [each.reason for each in known.values()],
            "checks": [{name: each.checks.get(name) for name in names} for each in known.values()],
        },
        {
            "day": pl.Date(),
            "said": pl.String(),
            "reason": pl.String(),
            "checks": pl.Struct(dict.fromkeys(names, pl.String())),
        },
    )
    readable = pl.when(pl.col("state") != "unreadable").then("said")
    state = pl.coalesce(readable, pl.col("state").cast(pl.String)).alias("state")
    return table.join(said, on="day", how="left", maintain_order="left").with_columns(state).drop("said")


def _how_to_fetch(dataset: str, start: date, end: date) -> str:
    """What to do about days that are not stored: nothing where no backfill can bring them."""
    if start == date.min or end == date.max:
        return f"run: data-assets backfill {dataset} --days 10"
    today = utc_now().astimezone(NEW_YORK).date()
    if start > today:
        return f"{start} is still to come"
    if not sessions(start, end):
        return why_closed(start) if start == end else f"no day from {start} to {end} has a session"
    return f"run: data-assets backfill {dataset} --from {start} --to {end}"


def _checked_range(dataset: str, start: date, end: date) -> tuple[date, date]:
    start, end = (checked_day(f"{dataset}:", day) for day in (start, end))
    if end < start:
        raise ValueError(f"{dataset}: the range ends on {end}, before it starts on {start}")
    return start, end


def _footer(file: BinaryIO, where: str) -> tuple[Footer, pa.Schema]:
    file.seek(0)
    with reading(where):
        parquet = pq.ParquetFile(file)
        try:
            return from_metadata(parquet.metadata.metadata), parquet.schema_arrow
        except ValueError as error:
            raise Corrupt(str(error), where) from None
