"""When a day is asked for by itself: once its vendor has it, and again, a few times, if it was not stored.

Here: a vendor's hours, and the rule of the pauses. Not here: the hours themselves (each vendor), and the sensor that
asks (``day_requests``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from data_assets.trading_calendar import NEW_YORK, Session, session

SESSIONS = 10
"""How many of the newest sessions are asked for by themselves. A judgement: two weeks; more is a backfill."""

PAUSES = (timedelta(minutes=30), timedelta(hours=3), timedelta(hours=12))
"""Before each of the three repeats of a request that did not store its day. A judgement: a vendor's hiccup is over in
half an hour, a late publication the same evening, and a terminal that stands still is found in the morning."""

CANCELED_PAUSE = timedelta(hours=1)
"""After a run that was canceled, by a person or because the lake's disk is away: it asked the vendor for nothing, so it
is no repeat, and at every tick it would leave thousands of canceled runs."""


@dataclass(frozen=True)
class Publication:
    """When a vendor has a session's day.

    Attributes:
        hours: the instants at which a session's day is asked for, aware, oldest first; at the later ones only if it was
            not there before.
        expected_by: until when a day may take, New York time on the calendar day after it; later it is missing.
        text: the hours, for people.
    """

    hours: Callable[[Session], Sequence[datetime]]
    expected_by: time
    text: str

    def deadline(self, day: date) -> datetime:
        """Return the instant from which on a day that is not stored is missing."""
        return datetime.combine(day + timedelta(days=1), self.expected_by, NEW_YORK)

    def next_request(self, day: date, before: Sequence[Request]) -> datetime | None:
        """Return when a day that is not stored is asked for; None if it has been often enough, and a person decides.

        Args:
            day: a session.
            before: the requests that were made for it by themselves, oldest first, all of them ended.
        """
        hours = self.hours(session(day))
        asked = [request for request in before if not request.canceled]
        due = _after(hours, asked)
        if due is not None and before and before[-1].canceled:
            return max(due, before[-1].ended + CANCELED_PAUSE)
        return due


@dataclass(frozen=True)
class Request:
    """One request for a day that the automation made.

    Attributes:
        at: when it was made.
        ended: when its run ended.
        canceled: whether that was canceled.
    """

    at: datetime
    ended: datetime
    canceled: bool = False


def _after(hours: Sequence[datetime], asked: Sequence[Request]) -> datetime | None:
    if not asked:
        return hours[0]
    if later := [hour for hour in hours if hour > asked[-1].at]:
        return later[0]
    repeats = sum(request.at >= hours[-1] for request in asked) - 1
    return asked[-1].ended + PAUSES[repeats] if repeats < len(PAUSES) else None


def new_york(day: date, at: time, days_later: int = 0) -> datetime:
    """Return an instant by New York's clock on a day, or some calendar days after it."""
    return datetime.combine(day + timedelta(days=days_later), at, NEW_YORK)
