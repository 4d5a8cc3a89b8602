"""From which day to which a dataset goes, and days as people write them.

Here: the span, and reading dates. Not here: the partitions made of a span (``partitions``), which days have a session
(``trading_calendar``), and where a vendor's history begins (each vendor's component).
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION, next_session, previous_session

FIRST_DAY = date(2016, 8, 4)

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From which day to which day a dataset goes. What lies outside is never shown, counted or asked for.

    Bounds on closed days are moved inwards to the next session, so that 2016-01-01 and 2016-01-04 are the same span.

    Attributes:
        first_day: the first trading day.
        last_day: the last one, of a symbol that was renamed or delisted; None while there are new days.
    """

    first_day: date
    last_day: date | None = None

    def __post_init__(self) -> None:
        if not FIRST_SESSION <= self.first_day <= LAST_SESSION:
            raise ValueError(
                f"first_day {self.first_day}: the trading calendar covers {FIRST_SESSION} to {LAST_SESSION}"
            )
        first, last = next_session(self.first_day - _ONE_DAY), self.last_day
        if last is not None:
            if last > LAST_SESSION:
                raise ValueError(f"last_day {last}: the trading calendar ends on {LAST_SESSION}; leave it out")
            if last < first or previous_session(last + _ONE_DAY) < first:
                raise ValueError(f"last_day {last}: no trading day lies between first_day {self.first_day} and it")
            last = previous_session(last + _ONE_DAY)
        object.__setattr__(self, "first_day", first)
        object.__setattr__(self, "last_day", last)

    def __contains__(self, day: date) -> bool:
        return self.first_day <= day <= (self.last_day or date.max)

    def __str__(self) -> str:
        return f"{self.first_day} to {self.last_day}" if self.last_day else f"{self.first_day} on"


def read_span(first_day: str | None, last_day: str | None, default: Span) -> Span:
    """A span as a block of YAML or a row of a table states it.

    Args:
        first_day: as it was written; None or empty for the default's.
        last_day: likewise.
        default: what holds where nothing is stated.

    Raises:
        ValueError: one line that names `first_day` or `last_day`.
    """
    first = _bound("first_day", first_day) or default.first_day
    last = _bound("last_day", last_day) or default.last_day
    return Span(first, last)


SHIPPED = Span(FIRST_DAY)
"""That of the shipped datasets, and of any other whose vendor publishes no earliest day."""

EVERY_DAY = Span(FIRST_SESSION)
"""All sessions that the trading calendar knows."""


def read_day(text: str) -> date:
    """A date as a person wrote it.

    Raises:
        ValueError: it is not written as YYYY-MM-DD, or there is no such day.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:  # fromisoformat also takes 20240703 and 2024-W27-3
        raise ValueError(f"{text!r} is not a date: write it as YYYY-MM-DD, such as {FIRST_DAY}")
    return day


def read_days(text: str) -> tuple[date, date]:
    """The first and the last day of what a person wrote: twice a date, or the bounds of a month.

    Raises:
        ValueError: it is written neither as YYYY-MM-DD nor as YYYY-MM, or there is no such day.
    """
    if re.fullmatch(r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])", text):
        year, month = int(text[:4]), int(text[5:])
        return date(year, month, 1), date(year, month, monthrange(year, month)[1])
    try:
        day = read_day(text)
    except ValueError as error:
        raise ValueError(f"{error}, or a month as YYYY-MM") from None
    return day, day


def _bound(name: str, text: str | None) -> date | None:
    try:
        return read_day(text) if text else None
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
