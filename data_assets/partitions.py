"""Trading days as Dagster partitions, the one definition that every daily dataset shares, and the months of them.

Here: ``TRADING_DAYS`` and ``MONTHS``, and the checks and groupings of their keys. Not here: sessions and hours
(``trading_calendar``), and which days of a dataset are missing or failed (the Dagster instance knows).

A key is always a date: the day, or the first of the month.

Every asset must use this very object: for assets whose definitions differ, the launch dialog loses "missing and failed
only", and a backfill of several assets refuses them.

A window is one day of UTC, so a day's partition exists from the next 00:00 UTC on: 19:00 or 20:00 in New York of the
same evening, when even the late option trading has ended. With a cron of weekdays alone, a Friday's window would end,
and its partition appear, on Monday. Weekends are one cron string, which keeps look-ups far shorter than dates would.

Dagster's subsets hold windows, not days, and one cut out of a larger one may begin in a closed stretch: a lone Monday
as Saturday to Monday. The keys it yields are right, but the key range made of it begins on the Friday. So ask for keys
and statuses by key, as the backfill daemon and ``DagsterInstance.get_status_by_partition`` do, never for key ranges.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

import dagster as dg

from data_assets.trading_calendar import LAST_SESSION, closures, previous_session, session

FIRST_DAY = date(2016, 8, 4)
DAYS_PER_RUN = 50

TRADING_DAYS = dg.TimeWindowPartitionsDefinition(
    start=FIRST_DAY.isoformat(),
    fmt="%Y-%m-%d",
    cron_schedule="0 0 * * *",
    timezone="UTC",
    exclusions=[
        "0 0 * * 6,0",
        *(datetime.combine(day, time.min) for day in closures(FIRST_DAY.year, LAST_SESSION.year)),
    ],
)

MONTHS = dg.MonthlyPartitionsDefinition(
    start_date=FIRST_DAY.replace(day=1).isoformat(),
    timezone="UTC",
    end_offset=1,  # the month under way has a partition too: its days so far are worth a file
)


def partition_keys(
    start: date | None = None,
    end: date | None = None,
    now: datetime | None = None,
    partitions: dg.TimeWindowPartitionsDefinition = TRADING_DAYS,
) -> list[str]:
    """The keys that exist, oldest first.

    Args:
        start: the oldest day wanted, included; None for no bound.
        end: the newest day wanted, included; None for no bound.
        now: an aware datetime, the moment asked about; None for this one.
        partitions: ``TRADING_DAYS``, or ``MONTHS`` for the months that hold any of those days.
    """
    start, newest = start or date.min, (end or date.max).isoformat()
    oldest = (start if partitions is TRADING_DAYS else start.replace(day=1)).isoformat()
    return [key for key in partitions.get_partition_keys(current_time=now) if oldest <= key <= newest]


def check_day(text: str, now: datetime | None = None) -> str:
    """A day that a person asked for, as the key of a partition that exists.

    Launching by script must check first: Dagster takes the key of a holiday, and runs the session after it.

    Args:
        text: what was typed.
        now: as in ``partition_keys``.

    Raises:
        ValueError: not a date written as YYYY-MM-DD, a closed day, or one before the first or after the newest
            partition; the text, one line, names the nearest days that exist.
    """
    day = _date(text)
    newest = date.fromisoformat(partition_keys(now=now)[-1])
    if day > newest:
        raise ValueError(f"{day} lies after {newest}, the newest day that has a partition")
    return _trading_day(day).isoformat()


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
        longest: most keys in a range; None for no bound, where nothing is to be run.
        partitions: ``TRADING_DAYS`` or ``MONTHS``.

    Returns:
        (oldest key, newest key) of each range, both included.

    Raises:
        ValueError: a key that ``partitions`` cannot hold.
    """
    daily = partitions is TRADING_DAYS
    checked, before = (_trading_day, previous_session) if daily else (_month, _previous_month)
    ranges: list[list[date]] = []
    for day in sorted({checked(_date(key)) for key in keys}, reverse=True):
        has_room = bool(ranges) and (longest is None or len(ranges[-1]) < longest)
        if has_room and before(ranges[-1][-1]) == day:
            ranges[-1].append(day)
        else:
            ranges.append([day])
    return [(days[-1].isoformat(), days[0].isoformat()) for days in ranges]


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:  # fromisoformat also takes 20240703 and 2024-W27-3
        raise ValueError(f"{text!r} is not a date: write it as YYYY-MM-DD, such as {FIRST_DAY}")
    return day


def _trading_day(day: date) -> date:
    if day < FIRST_DAY:
        raise ValueError(f"{day} lies before {FIRST_DAY}, the first trading day of every dataset")
    return session(day).day


def _month(day: date) -> date:
    if day.day != 1 or day < FIRST_DAY.replace(day=1):
        raise ValueError(
            f"{day} is no month with trading days: write its first day, from {FIRST_DAY.replace(day=1)} on"
        )
    return day


def _previous_month(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
