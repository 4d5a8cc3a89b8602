"""The days of a dataset as Dagster partitions: trading days, or the months of them, from its first day to its last.

Here: the partitions of a span, and the checks and groupings of their keys. Not here: the span itself (``span``),
sessions and hours (``trading_calendar``), and which days are missing or failed (the Dagster instance knows).

A key is always a date: the day, or the first of the month.

Datasets of the same span must use the very same object, which `trading_days` and `months` ensure: if definitions
differ, the launch dialog loses "missing and failed only", and the UI refuses a backfill of several assets. The
exception is a dataset that others fetch by themselves: if its definition equalled that of the downstream asset, the
dialog would say that days which it lacks "cannot be materialized", whatever the asset does.

A window is one day of the zone seven hours ahead of UTC, so a day's partition exists from noon in New York on, in
summer from 13:00: as early as the earliest close. With days of UTC it would appear at 19:00 or 20:00, and Dagster takes
no request for it before, although Theta and IB have the day by then. There is no zone whose days end when sessions do,
so the grid shows a day some hours before its session has ended; `partition_keys`, and with it the command and the
automation, does not. With a cron of weekdays alone, a Friday's window would end, and its partition appear, on Monday.
Weekends are excluded by one cron string, which makes look-ups much faster than dates would.

Dagster's subsets hold windows, not days, and a subset of one day may begin on the closed days before it: a lone Monday
becomes Saturday to Monday. Its keys are right, but the key range made from it begins on the Friday. So ask for keys and
for statuses by key, as the backfill daemon and ``DagsterInstance.get_status_by_partition`` do, never for key ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from data_assets.orchestration.dagster_private import get_current_datetime
from data_assets.span import SHIPPED, Span, read_day
from data_assets.trading_calendar import (
    FIRST_SESSION,
    LAST_SESSION,
    closures,
    is_session,
    last_ended_session,
    session,
    sessions,
)

DAYS_PER_RUN = 50

ZONE = "Etc/GMT-7"
"""Of the partitions' windows; the sign is POSIX's, so it is seven hours ahead of UTC, without summer time."""

PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""Dagster's tags of a run over a range of days; `cli.local_run` sets them for runs of the command."""

_ONE_DAY = timedelta(days=1)


class OutsideSpan(ValueError):
    """A day that its dataset does not have: before its first day, after its last, or still to come."""


@dataclass(frozen=True)
class _Existing:
    """The days of a definition that exist by a date, as keys and as the instants at which their windows begin.

    The keys are those of a dictionary, in order and quickly looked up.
    """

    keys: Mapping[str, None]
    starts: Sequence[float]
    end: float


class _TradingDays(dg.TimeWindowPartitionsDefinition):
    """Trading days that remember what Dagster asks of them for each key.

    It is equal to Dagster's own of the same days, has the same text and the same description in the UI. Dagster hashes
    that text, closed days and all, several times for each key that it looks at, and goes through the closed days anew
    for each. Both grow with the years, so that a history of 112,000 days took two minutes to read.

    Dagster's serializer takes its own class alone; what is sent to the web server and the daemon is a description.
    """

    @cached_property
    def _remembered_hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        """As Dagster's own, calculated once."""
        return self._remembered_hash

    @cached_property
    def _identifier(self) -> str:
        return super().get_serializable_unique_identifier()

    def get_serializable_unique_identifier(self, dynamic_partitions_store: Any = None) -> str:
        """As Dagster's own, calculated once."""
        return self._identifier

    def filter_valid_partition_keys(self, partition_keys: set[str]) -> set[str]:
        """Those keys whose partition exists; what is not written as a key is left to Dagster's own rule."""
        known = self._existing(self._get_current_timestamp()).keys
        return {key for key in partition_keys if key in known or super(_TradingDays, self).has_partition_key(key)}

    def has_any_partitions_in_window(self, time_window: dg.TimeWindow) -> bool:
        """Whether a partition begins in a window; outside the days that exist by now, by Dagster's own rule."""
        existing = self._existing(self._get_current_timestamp())
        first, end = time_window.start.timestamp(), time_window.end.timestamp()
        if not self.start_timestamp <= first < end <= existing.end:
            return super().has_any_partitions_in_window(time_window)
        return bisect_left(existing.starts, first) < bisect_left(existing.starts, end)

    def _existing(self, timestamp: float) -> _Existing:
        """What exists by an instant: as windows are whole days, the same for all instants of one day."""
        day = datetime.fromtimestamp(timestamp, ZoneInfo(ZONE)).date()
        of_day, existing = self.__dict__.get("_newest_existing", (None, None))
        if existing is None or of_day != day:
            midnight = datetime.combine(day, time.min, ZoneInfo(ZONE))
            keys = self.get_partition_keys(current_time=midnight)
            starts = [datetime.combine(read_day(key), time.min, ZoneInfo(ZONE)).timestamp() for key in keys]
            existing = _Existing(dict.fromkeys(keys), starts, starts[-1] + _ONE_DAY.total_seconds() if keys else 0.0)
            self.__dict__["_newest_existing"] = day, existing  # both at once: threads may ask about different days
        return existing

    def keys_by(self, now: datetime) -> list[str]:
        """Return the keys that exist by an aware instant, oldest first."""
        return list(self._existing(now.timestamp()).keys)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as what it was made from, without what it remembers."""
        return (_remade, (self.start_ts, self.end_ts, tuple(self.exclusions or ())))


def _remade(start: Any, end: Any, exclusions: Sequence[Any]) -> _TradingDays:
    return _TradingDays(
        start=start, end=end, fmt="%Y-%m-%d", cron_schedule="0 0 * * *", timezone=ZONE, exclusions=exclusions
    )


def trading_days(span: Span, *, fetched_downstream: bool = False) -> dg.TimeWindowPartitionsDefinition:
    """The trading days of a span; the same object for the same span.

    Only the closed days of its own years are listed as exclusions: where Dagster makes its own object of them, as the
    web server and the daemon do, it hashes the whole list several times for each key, 0.2 ms for those of 2016 to 2040.

    Args:
        span: from which day to which.
        fetched_downstream: whether the datasets made from this one fetch what they need of it themselves. Its
            definition then starts a day early, and excludes that day: the keys are the same, its description is not.
    """
    return _trading_days(span, fetched_downstream)


@cache
def _trading_days(span: Span, fetched_downstream: bool) -> dg.TimeWindowPartitionsDefinition:
    last, start = span.last_day or LAST_SESSION, span.first_day
    excluded = set(closures(start.year, last.year))
    if fetched_downstream:
        start -= _ONE_DAY
        excluded.add(start)
    return _TradingDays(
        start=start.isoformat(),
        end=(last + _ONE_DAY).isoformat() if span.last_day else None,
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * *",
        timezone=ZONE,
        exclusions=[
            "0 0 * * 6,0",
            *(datetime.combine(day, time.min) for day in sorted(excluded)),
        ],
    )


@cache
def months(span: Span) -> dg.MonthlyPartitionsDefinition:
    """The months that hold days of a span; the same object for the same span, and for others with the same months."""
    return _months(span.first_day.replace(day=1), _next_month(span.last_day) if span.last_day else None)


@cache
def _months(first: date, end: date | None) -> dg.MonthlyPartitionsDefinition:
    return dg.MonthlyPartitionsDefinition(
        start_date=first.isoformat(),
        end_date=end.isoformat() if end else None,
        timezone=ZONE,
        end_offset=1,  # the month under way has a partition too: its days so far are worth a file
    )


TRADING_DAYS = trading_days(SHIPPED)
"""Those of the shipped datasets."""


def is_monthly(partitions: dg.TimeWindowPartitionsDefinition) -> bool:
    """Whether the partitions are months, and not trading days."""
    return partitions.cron_schedule == "0 0 1 * *"


def partition_keys(
    start: date | None = None,
    end: date | None = None,
    now: datetime | None = None,
    partitions: dg.TimeWindowPartitionsDefinition = TRADING_DAYS,
) -> list[str]:
    """The keys of sessions that have ended, oldest first, and of months up to the one under way.

    Args:
        start: the oldest day wanted, included; None for no bound.
        end: the newest day wanted, included; None for no bound.
        now: an aware datetime, the moment asked about; None for this one, by Dagster's clock.
        partitions: a dataset's own; months are those that hold any of the days.
    """
    now = now or get_current_datetime()
    start, newest = start or date.min, (end or date.max).isoformat()
    oldest = (start.replace(day=1) if is_monthly(partitions) else start).isoformat()
    if not is_monthly(partitions):
        newest = min(newest, newest_day(now).isoformat())
    keys = partitions.keys_by(now) if isinstance(partitions, _TradingDays) else partitions.get_partition_keys(now)
    return list(keys[bisect_left(keys, oldest) : bisect_right(keys, newest)])


def newest_day(now: datetime | None = None) -> date:
    """The newest day that datasets without a last day have: the newest session that has ended, late trading included.

    Args:
        now: as in ``partition_keys``.
    """
    return last_ended_session(now or get_current_datetime())


def check_day(text: str, now: datetime | None = None, span: Span = SHIPPED, of: str = "the dataset") -> str:
    """A trading day that a person asked for, as the key of a partition that exists.

    Launching by script must check first: Dagster takes the key of a holiday, and runs the session after it.

    Args:
        text: what was typed.
        now: as in ``partition_keys``.
        span: the dataset's.
        of: its name, for the message.

    Raises:
        OutsideSpan: a day before the first or after the newest partition; the text, one line, names that one.
        ValueError: not a date written as YYYY-MM-DD, or a closed day; the text names the nearest days that exist.
    """
    day = read_day(text)
    check_reach(text, day, day, span, now=now, of=of)
    return session(day).day.isoformat()


def check_reach(
    asked: str, first: date, last: date, span: Span, now: datetime | None = None, of: str = "the dataset"
) -> None:
    """Check that the time between two days, both included, is not wholly outside the days of a dataset.

    Args:
        asked: what was typed, for the message.
        first: the older day that it stands for.
        last: the newer one.
        span: the dataset's.
        now: as in ``partition_keys``.
        of: the dataset's name, for the message.

    Raises:
        OutsideSpan: it lies before the first or after the newest day; one line that names that one.
    """
    if last < span.first_day:
        raise OutsideSpan(f"{asked} lies before {span.first_day}, the first_day of {of}")
    if span.last_day is not None and first > span.last_day:
        raise OutsideSpan(f"{asked} lies after {span.last_day}, the last_day of {of}")
    newest = newest_day(now)
    if newest < span.first_day:
        raise OutsideSpan(f"{of} has no day yet: its first_day is {span.first_day}")
    if first > newest:
        raise OutsideSpan(f"{asked} lies after {newest}, the newest session that has ended")


def label(key: str | date, partitions: dg.TimeWindowPartitionsDefinition) -> str:
    """A key as people read it: a month as YYYY-MM."""
    return str(key)[:7] if is_monthly(partitions) else str(key)


def asked_keys(tags: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    """Return those of a run's keys that its tags ask for.

    Dagster ends a range with the window that holds its end or follows it: a range that ends on Thanksgiving also runs
    the Friday after it, and a weekend alone runs the Monday. So does a run for a closed day alone.

    Args:
        tags: the tags of the run.
        keys: the keys that Dagster derives from them.
    """
    first, last = asked_bounds(tags)
    return [key for key in keys if first <= key <= last]


def asked_bounds(tags: Mapping[str, str]) -> tuple[str, str]:
    """Return the first and the last key that a run's tags ask for; of a run without them, bounds that all keys are in.

    Args:
        tags: the tags of the run.
    """
    one = tags.get(PARTITION)
    return tags.get(RANGE_START, one or ""), tags.get(RANGE_END, one or "~")


def contiguous_ranges(
    keys: Iterable[str],
    longest: int | None = DAYS_PER_RUN,
    partitions: dg.TimeWindowPartitionsDefinition = TRADING_DAYS,
) -> list[tuple[str, str]]:
    """Group keys into the ranges that a Dagster run can cover, newest first.

    Two days are neighbours when no session lies between them, so a Friday and the Monday after it are. A block of
    neighbours is cut from its newest end into ranges of at most ``longest`` keys.

    Args:
        keys: keys of ``partitions`` in any order; repeated ones count once.
        longest: most keys in a range, at least 1; None for no bound, where nothing is to be run.
        partitions: the dataset's.

    Returns:
        (oldest key, newest key) of each range, both included.

    Raises:
        ValueError: a key that ``partitions`` cannot hold.
    """
    places = _places(is_monthly(partitions))
    newest_first = sorted(set(keys), reverse=True)
    no_keys = [key for key in newest_first if key not in places]
    for key in no_keys or newest_first[:1] + newest_first[-1:]:  # all others lie between these two
        _checked(read_day(key), partitions)
    ranges: list[tuple[str, str]] = []
    first = 0
    while first < len(newest_first):
        end = _end_of_neighbours(newest_first, first, places)
        if longest is not None:
            end = min(end, first + longest)
        ranges.append((newest_first[end - 1], newest_first[first]))
        first = end
    return ranges


def _end_of_neighbours(newest_first: Sequence[str], first: int, places: Mapping[str, int]) -> int:
    """Where the block of neighbours ends that begins at ``first``, excluded.

    From key to key the place falls by one within it, and by more than that wherever one is left out.
    """

    def left_out(at: int) -> int:
        return places[newest_first[first]] - places[newest_first[at]] - (at - first)

    return bisect_right(range(len(newest_first)), 0, lo=first, key=left_out)


@cache
def _places(monthly: bool) -> Mapping[str, int]:
    """The key of each session of the calendar, or of each month of it, and its place among them, oldest first."""
    days = sessions(FIRST_SESSION, LAST_SESSION)
    keys = dict.fromkeys((day.replace(day=1) if monthly else day).isoformat() for day in days)
    return {key: place for place, key in enumerate(keys)}


def _checked(day: date, partitions: dg.TimeWindowPartitionsDefinition) -> date:
    if not partitions.start.date() <= day < (partitions.end.date() if partitions.end else date.max):
        raise OutsideSpan(f"{day} is no day or month of its dataset")
    if is_monthly(partitions):
        if day.day != 1:
            raise ValueError(f"{day} is no month: write its first day")
        return day
    return day if is_session(day) else session(day).day  # which says why it has none


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
