"""The trading calendar: which days have a session, when it opens and ends, and how many one-minute bars it holds.

Here: facts of the New York Stock Exchange's calendar, and of the option classes that trade fifteen minutes longer.
Not here: Dagster's view of it (``partitions``), and when a vendor publishes a day (``vendors``).

The days and hours, early closes included, are those of pandas-market-calendars' ``NYSE`` (``nyse_hours`` reads them),
over whole years from a fixed first to a fixed last session and never relative to the current day, so that every process
derives the same partitions. They are loaded at the first question, not with this module.

The option hours are the NYSE's plus fifteen minutes rather than the library's ``CBOE_Index_Options``. From 2003-09-10
to 2040-12-31 that calendar has the same sessions, but lacks every 13:00 close around Christmas (December 24, and
2003-12-26): on 22 days it would expect three hours of quotes that never existed. On 2005-06-01 the two rightly differ:
the NYSE alone stopped at 15:56, because of its own systems.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from data_assets import nyse_hours

FIRST_SESSION = date(2003, 9, 10)
LAST_SESSION = date(2040, 12, 31)

NEW_YORK = ZoneInfo("America/New_York")

_REGULAR_CLOSE = time(16, 0)
_LATE_TRADING = timedelta(minutes=15)


def utc_now() -> datetime:
    """This instant, aware, in UTC."""
    return datetime.now(UTC)


class NotASession(ValueError):
    """The exchange does not trade on the day asked for; the text names the nearest sessions before and after."""


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day.

    Attributes:
        day: the date in New York.
        open: start of regular trading, UTC; 09:30 in New York but for two late opens (2004-06-07, 2006-12-27).
        close: end of regular trading, UTC; 16:00 in New York, 13:00 on early closes, 15:56 on 2005-06-01.
        option_close: end of trading, UTC, of QQQ, SPX and the other late-trading option classes: 16:15 in New York, or
            13:15. An option that expires on ``day`` may end at ``close`` (SPXW does).
    """

    day: date
    open: datetime
    close: datetime
    option_close: datetime

    @property
    def minutes(self) -> int:
        """Regular one-minute bars of the whole session: 390, or 210 on a 13:00 close."""
        return (self.close - self.open) // timedelta(minutes=1)

    @property
    def is_early_close(self) -> bool:
        """Whether regular trading ended before 16:00 in New York."""
        return self.close.astimezone(NEW_YORK).time() < _REGULAR_CLOSE


def session(day: date) -> Session:
    """The session of ``day``.

    Raises:
        NotASession: ``day`` has none, or lies outside the calendar.
    """
    hours = _hours().get(day)
    if hours is None:
        raise NotASession(why_closed(day))
    opened, closed = hours
    return Session(day=day, open=opened, close=closed, option_close=_option_close(day, closed))


def is_session(day: date) -> bool:
    """Whether the exchange trades on ``day``; False outside the calendar."""
    return day in _hours()


def sessions(start: date, end: date) -> list[date]:
    """The days with a session from ``start`` to ``end``, both included, oldest first; none outside the calendar."""
    days = _days()
    return list(days[bisect_left(days, start) : bisect_right(days, end)])


def previous_session(day: date) -> date:
    """The newest session before ``day``, which need not be a session itself.

    Raises:
        NotASession: the calendar holds none.
    """
    found = _before(day)
    if found is None:
        raise NotASession(f"the trading calendar has no session before {day}: {_extent()}")
    return found


def next_session(day: date) -> date:
    """The oldest session after ``day``, which need not be a session itself.

    Raises:
        NotASession: the calendar holds none.
    """
    found = _after(day)
    if found is None:
        raise NotASession(f"the trading calendar has no session after {day}: {_extent()}")
    return found


def last_ended_session(now: datetime) -> date:
    """The newest session that had ended by ``now``, late option trading included.

    Args:
        now: an aware datetime.

    Raises:
        ValueError: ``now`` is naive.
        NotASession: ``now`` lies outside the calendar.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now} has no time zone: pass an aware datetime")
    today = now.astimezone(NEW_YORK).date()
    if today > LAST_SESSION:
        raise NotASession(f"the trading calendar ends before {today}: {_extent()}")
    if is_session(today) and session(today).option_close <= now:
        return today
    return previous_session(today)


def closures(first_year: int, last_year: int) -> list[date]:
    """The weekdays without a session in whole years, both years included, oldest first; of 2003 from September 10 on.

    Raises:
        ValueError: a year that the calendar does not hold.
    """
    if first_year < FIRST_SESSION.year or last_year > LAST_SESSION.year:
        raise ValueError(
            f"closures are known for {FIRST_SESSION.year} to {LAST_SESSION.year}, not {first_year} to {last_year}"
        )
    first, last = max(date(first_year, 1, 1), FIRST_SESSION), date(last_year, 12, 31)
    every_day = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return [day for day in every_day if day.isoweekday() <= 5 and not is_session(day)]


@cache
def _hours() -> nyse_hours.Hours:
    return nyse_hours.hours(FIRST_SESSION, LAST_SESSION)


@cache
def _days() -> tuple[date, ...]:
    return tuple(_hours())


def _before(day: date) -> date | None:
    days = _days()
    found = bisect_left(days, day)
    return days[found - 1] if found else None


def _after(day: date) -> date | None:
    days = _days()
    found = bisect_right(days, day)
    return days[found] if found < len(days) else None


def _option_close(day: date, closed: datetime) -> datetime:
    scheduled = closed.minute == 0  # 15:56 was an outage of the NYSE alone
    regular = datetime.combine(day, _REGULAR_CLOSE, NEW_YORK).astimezone(UTC)
    return (closed if scheduled else regular) + _LATE_TRADING


def why_closed(day: date) -> str:
    """Why a day has no session, and the sessions beside it."""
    before, after = _before(day), _after(day)
    if before is None or after is None:
        return f"{day} lies outside the trading calendar: {_extent()}"
    kind = "a weekend day" if day.isoweekday() > 5 else "a market holiday"
    return f"{day} is {kind}; the nearest sessions are {before} and {after}"


def _extent() -> str:
    return f"it covers {FIRST_SESSION} to {LAST_SESSION}"
