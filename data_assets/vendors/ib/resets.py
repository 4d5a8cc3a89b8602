"""When IB resets its servers, so that responses cannot be trusted or do not come.

Here: the windows for North America, New York time. Not here: waiting for their end (``connection``).

Source: IB's system status page: 00:15 to 01:45 from Sunday to Friday, and Friday 23:00 to Saturday 03:00. What is asked
then may be answered with "no data" or not at all, and TWS may log itself in again.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from data_assets.trading_calendar import NEW_YORK

_NIGHTLY = (time(0, 15), time(1, 45))
_WEEKEND = (time(23, 0), time(3, 0))
_FRIDAY, _SATURDAY = 4, 5


def reset_ends(now: datetime) -> datetime | None:
    """The end, New York time, of the reset that is under way at the aware instant `now`; None if none is."""
    local = now.astimezone(NEW_YORK)
    clock, weekday = local.time(), local.weekday()
    if weekday == _FRIDAY and clock >= _WEEKEND[0]:
        return datetime.combine(local.date() + timedelta(days=1), _WEEKEND[1], NEW_YORK)
    if weekday == _SATURDAY:
        return datetime.combine(local.date(), _WEEKEND[1], NEW_YORK) if clock < _WEEKEND[1] else None
    if _NIGHTLY[0] <= clock < _NIGHTLY[1]:
        return datetime.combine(local.date(), _NIGHTLY[1], NEW_YORK)
    return None


def never(_now: datetime) -> datetime | None:
    """For a simulator, which has no such nights."""
    return None
