"""The rule for minutes without a trade: a frozen feed has every bar, but they repeat the last price.

Here: how a security traded in a session, and whether that is plausible by its own other days. Not here: absent bars
where each minute must have one (``bar_coverage``), and impossible bars (``minute_bars``, which also describes the
frame).

For a minute without trades, a vendor may write no bar, or a bar of the last close with volume 0 and no trades. A frozen
feed does the latter for the rest of the day, and such a day is complete by every count. Whether it is right depends on
the security: one trades every minute of every day, another three times a week. So a day is compared with the security's
own stored days. What follows from the comparison is a judgement; it rests on these facts:

- a halt of the whole market lasts 15 minutes, one by the price limits of a single stock 5 and its extensions: a shorter
  pause of a security that trades all the time warns at most;
- half an hour without a trade in such a security is a frozen feed, a halt for news, or its first day, which look the
  same. Whoever wants such days declares the security ``lenient``, and is warned;
- the sessions around holidays see a half to a third of the usual trades: the bounds leave room for that;
- if a security is silent most of the time, its silence means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import polars as pl

from data_assets.quality.bar_coverage import LONG_STRETCH, NEIGHBOURS_NEEDED, has_each_minute, regular_minutes
from data_assets.quality.naming import minutes_text
from data_assets.quality.verdict import Severity, Verdict
from data_assets.trading_calendar import Session

ALWAYS = 0.02
"""The usual share of minutes without a trade up to which a security trades all the time."""

SELDOM = 0.5
"""The usual share above which a security's silence means nothing."""

PAUSE = 10
"""Minutes without a trade from which a security that trades all the time has paused."""

SILENT_SHARE = 1 / 3
"""The share of silent minutes from which on a day of a security that trades all the time is not believed."""

LONG_SILENCE = 60
SILENCE_AGAINST_USUAL = 4
"""A security that trades often is silent for too long from an hour on, if that is four times its usual longest."""


@dataclass(frozen=True, slots=True)
class TradingMinutes:
    """How a security traded in the regular minutes of one session.

    Attributes:
        minutes: of the session: 390, or 210.
        silent: those without a trade: without a bar, or with a bar of volume 0 and no trades.
        longest: the most silent minutes in a row, in order.
    """

    minutes: int
    silent: int
    longest: tuple[datetime, ...]

    @property
    def share(self) -> float:
        """The share of silent minutes, from 0 to 1."""
        return self.silent / self.minutes


def trading_minutes(bars: pl.DataFrame, hours: Session) -> TradingMinutes:
    """Count how one security traded in a session; bars outside the regular minutes do not count."""
    volume = bars["volume"].cast(pl.Float64)
    with_trade = (volume.is_finite() & (volume > 0)) | (bars["trades"] > 0)
    if with_trade.all(ignore_nulls=False) and has_each_minute(bars, hours):
        return TradingMinutes(hours.minutes, 0, ())
    traded = set(bars["timestamp"].filter(with_trade).to_list())
    longest: list[datetime] = []
    running: list[datetime] = []
    silent = 0
    for minute in regular_minutes(hours):
        if minute in traded:
            running = []
            continue
        silent += 1
        running.append(minute)
        if len(running) > len(longest):
            longest = running
    return TradingMinutes(hours.minutes, silent, tuple(longest))


def trades(
    bars: pl.DataFrame, *, hours: Session, own_days: Callable[[], Sequence[TradingMinutes]], lenient: bool = False
) -> Verdict:
    """Check that the minutes without a trade, and the longest run of them, are plausible for this security.

    That a security trades all the time is known from at least five of its days, or from the day itself: half an hour or
    more with a trade in nearly every minute, and one long silence. For such a security, half an hour of silence or a
    silent third of the day is an error, and a pause of ten minutes warns. A security that trades often warns after an
    hour of silence that is far beyond its usual longest. One that is silent most of the time passes. Before five days
    are known, more than half a session of silence is an error too, unless the security is ``lenient``.

    Args:
        bars: of one security.
        hours: the session.
        own_days: returns its nearest stored days; called only for a day that needs them.
        lenient: the security is declared as thinly traded: errors become warnings.
    """
    day = trading_minutes(bars, hours)
    run = len(day.longest)
    beyond_doubt = run < PAUSE and day.share < SILENT_SHARE
    known = [] if beyond_doubt else own_days()
    usual = _Usual.of(known)
    problem, grave = (None, False) if beyond_doubt else _problem(day, usual, lenient=lenient)
    severity: Severity = "error" if grave and not lenient else "warn"
    facts = f"{day.silent} of {day.minutes} minutes without a trade" + (
        f", at most {run} in a row ({minutes_text(day.longest)})" if run else ""
    )
    return Verdict(
        "trades",
        passed=problem is None,
        severity=severity,
        summary=f"{facts}; {problem}" if problem else f"{facts}{_compared(usual, beyond_doubt=beyond_doubt)}",
        metadata={
            "minutes": day.minutes,
            "silent_minutes": day.silent,
            "silent_share": day.share,
            "longest_silence": run,
            "longest": minutes_text(day.longest),
            "own_days": len(known),
            **({} if usual is None else {"usual_share": usual.share, "usual_longest_silence": usual.longest}),
        },
        waits_for=0 if beyond_doubt or usual else NEIGHBOURS_NEEDED,
    )


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual for a security: medians over its days, which a frozen one among them does not move.

    Attributes:
        share: of silent minutes.
        longest: silence, minutes.
    """

    share: float
    longest: float

    @classmethod
    def of(cls, days: Sequence[TradingMinutes]) -> _Usual | None:
        """None from too few days."""
        if len(days) < NEIGHBOURS_NEEDED:
            return None
        return cls(median(day.share for day in days), median(len(day.longest) for day in days))

    def __str__(self) -> str:
        return f"usual are {self.share:.0%} of the minutes, and {self.longest:.0f} in a row"


def _problem(day: TradingMinutes, usual: _Usual | None, *, lenient: bool) -> tuple[str | None, bool]:
    """What is wrong with a day, and whether it is more than the market can do by itself."""
    run = len(day.longest)
    advice = (
        "a frozen feed, a halt or a first day: ask again later"
        if lenient
        else "a frozen feed, a halt or a first day: ask again later, or set the completeness of its row to lenient"
    )
    all_the_time = f"this ticker trades all the time{f' ({usual})' if usual else ''}"
    if _trades_all_the_time(day, usual):
        if run >= LONG_STRETCH or day.share >= SILENT_SHARE:
            return f"{all_the_time}: {advice}", True
        return f"{all_the_time}: a halt, or a feed that stood still", False
    if usual is None:
        if not lenient and run > day.minutes / 2:
            return f"it trades in too few minutes to tell why: {advice}", True
    elif usual.share <= SELDOM and run >= max(LONG_SILENCE, SILENCE_AGAINST_USUAL * usual.longest):
        return f"{usual}: {advice}", False
    return None, False


def _trades_all_the_time(day: TradingMinutes, usual: _Usual | None) -> bool:
    """Whether a security does, by its own days or by this day outside of its longest silence."""
    if usual is not None and usual.share <= ALWAYS:
        return True
    outside = day.minutes - len(day.longest)
    shaped = outside >= LONG_STRETCH and day.silent - len(day.longest) <= ALWAYS * outside
    return shaped and (usual is None or usual.share <= SELDOM)


def _compared(usual: _Usual | None, *, beyond_doubt: bool) -> str:
    if beyond_doubt:
        return ""
    return (
        f"; {usual}"
        if usual
        else f"; fewer than {NEIGHBOURS_NEEDED} other days of this ticker are stored, so what is usual is not known"
    )
