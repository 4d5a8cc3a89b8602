"""Reading one ticker's minute bars over any stretch of days: months from their own files, the rest from the days.

A month's file stands for its days only if every day of the month that the lake holds is in it, in the version that
lies there now. So an answer never differs from what the days hold; it is only had faster.

Here: which files answer, and the shapes that backtests ask for. Not here: building a month's file (``monthly``), and
what the columns are called (``bar_columns``).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Literal

import polars as pl

from data_assets.lake.bar_columns import in_one_vocabulary
from data_assets.lake.errors import LakeError
from data_assets.lake.kept import statements
from data_assets.lake.layout import former_name, month_path, monthly_dataset, partition_path
from data_assets.lake.monthly import MonthProvenance, month_footer
from data_assets.lake.parquet_file import scan
from data_assets.lake.patient_store import POLARS_OPTIONS
from data_assets.lake.storage import UNREADABLE, Storage
from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION, NEW_YORK, session, sessions

TIME = "timestamp"
NEW_YORK_TIME = "time_new_york"

_NIGHT = timedelta(hours=4)  # from 20:00 to midnight, which no change of the clocks touches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Hours = Literal["extended", "regular"]

_PRICES = ("open", "close", "high", "low")
_COUNTS = ("volume", "trades")


@dataclass(frozen=True, slots=True)
class BarFiles:
    """The files that together hold a ticker's bars, each row once.

    Attributes:
        files: oldest first, months and days mixed; names relative to the lake's root, each with whether it is a month.
        days: the days of the range that they hold, oldest first.
        not_kept: those of them that were not asked to keep the ticker, oldest first: nothing is known of it there.
        by_trade_date: those whose bars begin in the evening before.
        whole: whether every day that the files hold is of the range, so that no row of theirs is to be left out.
    """

    files: tuple[tuple[str, bool], ...]
    days: tuple[date, ...]
    not_kept: tuple[date, ...]
    by_trade_date: frozenset[date] = frozenset()
    whole: bool = False

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The first instant of the first of the days and the end of the last; there must be a day.

        A day dated by trade date begins and ends at 20:00 in New York, any other at midnight.
        """
        last = self.days[-1]
        after = _midnight(last + timedelta(days=1)) - (_NIGHT if last in self.by_trade_date else timedelta())
        return self.begins(self.days[0]), after

    def begins(self, day: date) -> datetime:
        """The first instant of one of the days."""
        return _midnight(day) - (_NIGHT if day in self.by_trade_date else timedelta())


def bar_files(
    storage: Storage, dataset: str, ticker: str, start: date, end: date, *, former_names: bool = False
) -> BarFiles:
    """Choose the files for the days from ``start`` to ``end``, both inclusive.

    Costs one listing of the days, one of the ticker's months, and, once in a process, the footer of each of those, and
    of days that no month speaks for theirs.

    Args:
        storage: the lake's.
        dataset: the daily dataset.
        ticker: as in the rows.
        start: the first day.
        end: the last day.
        former_names: look for months where a lake of the first layout has them, too.

    Raises:
        LakeError: a day's folder may not be looked into.
    """
    months = _months(max(start, FIRST_SESSION), min(end, LAST_SESSION))
    in_month = {month: sessions(month, month.replace(day=monthrange(month.year, month.month)[1])) for month in months}
    day_names = {day: partition_path(dataset, day) for days in in_month.values() for day in days}
    month_names = {month: month_path(monthly_dataset(dataset), ticker, month) for month in months}
    day_versions = storage.versions(day_names.values())
    month_versions = storage.versions(month_names.values())
    if former_names:
        former = {month: former_name(name) or name for month, name in month_names.items() if name not in month_versions}
        month_names |= former
        month_versions |= storage.versions(former.values())

    files: list[tuple[str, bool]] = []
    held: list[date] = []
    not_kept: list[date] = []
    unsaid: list[date] = []
    by_trade_date: set[date] = set()
    whole = True
    for month, days in in_month.items():
        stored = {day: day_versions[day_names[day]] for day in days if day_names[day] in day_versions}
        month_version = month_versions.get(month_names[month])
        built = None if month_version is None else month_provenance(storage, month_names[month], month_version)
        if built and built.days and all(built.days.get(day) == version for day, version in stored.items()):
            files.append((month_names[month], True))
            held += (of_month := [day for day in sorted(built.days) if start <= day <= end])
            whole = whole and len(of_month) == len(built.days)
            by_trade_date.update(built.by_trade_date)
            if built.not_kept is None:  # an older month: its days say it, those that are still here
                unsaid += [day for day in of_month if day in stored]
            else:
                not_kept += [day for day in of_month if day in built.not_kept]
        else:
            of_days = [day for day in stored if start <= day <= end]
            if closed := [day for day in of_days if stored[day] == UNREADABLE]:
                raise LakeError(
                    f"{storage.locate(day_names[closed[0]])}: cannot be looked for (Permission denied); check the "
                    "permissions of its folder"
                )
            files += [(day_names[day], False) for day in of_days]
            held += of_days
            unsaid += of_days
    said = statements(storage, {day_names[day]: day_versions[day_names[day]] for day in unsaid})
    not_kept += [day for day in unsaid if not said[day_names[day]].keeps(ticker)]
    by_trade_date.update(day for day in unsaid if said[day_names[day]].by_trade_date)
    return BarFiles(tuple(files), tuple(held), tuple(sorted(not_kept)), frozenset(by_trade_date), whole)


def extended_bars(storage: Storage, chosen: BarFiles, ticker: str) -> pl.LazyFrame:
    """The rows of the chosen files that are the ticker's and of their days, in order of time; there must be a file.

    The columns are those of ``bar_columns``. Files without a column ``ticker`` are of a dataset that holds it alone.
    Which instants are of a day depends on how its file dates bars, so that this says what the day's own file does.
    """
    parts = []
    for of_months, group in groupby(chosen.files, key=lambda file: file[1]):
        frame = scan([storage.locate(name) for name, _ in group])
        if "ticker" not in frame.collect_schema():
            frame = frame.with_columns(ticker=pl.lit(ticker))
        elif not of_months:
            frame = frame.filter(pl.col("ticker") == ticker)
        parts.append(in_one_vocabulary(frame))
    if not chosen.days:  # a month, without a day of the range
        return pl.concat(parts).filter(pl.lit(value=False))
    if chosen.whole:  # a filter that keeps every row costs as much as an eighth of the reading
        return pl.concat(parts)
    first, after = chosen.window
    return pl.concat(parts).filter(pl.col(TIME) >= _instant(first), pl.col(TIME) < _instant(after))


def regular_bars(frame: pl.LazyFrame, days: Iterable[date]) -> pl.LazyFrame:
    """The rows of the regular sessions of ``days``, by the calendar: early closes and late opens included."""
    hours = _regular_hours(tuple(days)).lazy()
    in_session = frame.join_asof(hours, left_on=TIME, right_on="opened", strategy="backward", check_sortedness=False)
    return in_session.filter(pl.col(TIME) < pl.col("closed")).drop("opened", "closed")


def bars_on_grid(frame: pl.LazyFrame, ticker: str, days: Sequence[date], *, fill: bool) -> pl.LazyFrame:
    """One row for each regular minute of ``days``; one without a bar has nulls in all but the ticker and its time.

    Args:
        frame: bars of the regular sessions.
        ticker: its name.
        days: the days the grid is made for.
        fill: within a session, carry the last close into the prices of minutes without a bar, and give them volume and
            trades 0. Prices before a session's first bar stay null: none is known of that day yet; so does the vwap
            of each minute without a bar.
    """
    columns = frame.collect_schema().names()
    grid = _regular_hours(tuple(days)).select(
        pl.datetime_ranges("opened", "closed", "1m", closed="left").alias(TIME), session_opened="opened"
    )
    on_grid = (
        grid.lazy()
        .explode(TIME)
        .join(frame, on=TIME, how="left", maintain_order="left")
        .with_columns(pl.lit(ticker).alias("ticker"))
    )
    if fill:
        carried = pl.col("close").forward_fill().over("session_opened")
        on_grid = on_grid.with_columns(
            *(pl.coalesce(price, carried) for price in _PRICES), *(pl.col(count).fill_null(0) for count in _COUNTS)
        )
    return on_grid.select(columns)


def with_new_york_time(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with the start of their minute on the New York clock as a last column, ``time_new_york``."""
    return frame.with_columns(pl.col(TIME).dt.convert_time_zone(str(NEW_YORK)).alias(NEW_YORK_TIME))


def _months(start: date, end: date) -> list[date]:
    first, last = (day.year * 12 + day.month - 1 for day in (start, end))
    return [date(number // 12, number % 12 + 1, 1) for number in range(first, last + 1)]


def month_provenance(storage: Storage, name: str, version: str | None = None) -> MonthProvenance | None:
    """What a month's file says of itself; None where it cannot be read, for the days can.

    Of a version that was read before in this process it is known: a grid of tickers asks for the same months again.
    """
    file = storage.locate(name)
    try:
        return _month_of(file) if version is None else _month_of_version(file, version)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        return None


@lru_cache(maxsize=10_000)
def _month_of_version(file: str, _version: str) -> MonthProvenance:
    return _month_of(file)


def _month_of(file: str) -> MonthProvenance:
    return month_footer(
        pl.read_parquet_metadata(file, storage_options=POLARS_OPTIONS, credential_provider=None)
    ).provenance


def built_from(storage: Storage, name: str) -> dict[date, str]:
    """The days and versions that a month's file was built from; none where it cannot be read."""
    built = month_provenance(storage, name)
    return {} if built is None else dict(built.days)


@lru_cache(maxsize=32)
def _regular_hours(days: tuple[date, ...]) -> pl.DataFrame:
    hours = [session(day) for day in days]
    return pl.DataFrame(
        {"opened": [day.open for day in hours], "closed": [day.close for day in hours]},
        schema=dict.fromkeys(("opened", "closed"), pl.Datetime("us", "UTC")),
    )


def _instant(when: datetime) -> pl.Expr:
    """As a literal. Polars makes one of a datetime with a time zone by several small queries, which cost more."""
    return pl.lit((when - _EPOCH) // timedelta(microseconds=1), pl.Int64).cast(pl.Datetime("us", "UTC"))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
