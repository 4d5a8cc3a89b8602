"""The rule for splits that nobody told of: a price that changes overnight by about the factor of a usual split.

Unadjusted bars jump at every split. Bars that a vendor adjusts as of the day of the request jump where sessions from
before and after a split were fetched on different sides of it. Both look the same in the bars, and so does news that
halves a price: the rule names what it finds and never says which it was.

Here: which of a security's sessions follow such a jump, and the verdict on a day. Not here: which splits are known, and
which sessions are to be fetched again (``lake.splits``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import inf

import polars as pl

from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import Session

FACTORS = (1.5, *map(float, range(2, 11)), 12.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0, 75.0, 100.0)
"""New shares for one old share, in splits as they are common, and old for one new share in reverse splits. 5 for 4 and
less are left out: earnings move prices as far."""

_BOTH_WAYS = (*FACTORS, *(1 / each for each in FACTORS))

TOLERANCE = 0.05
"""How far the price may move besides, from the close before to the open after. A judgement: most nights move less."""

NEWS = 1.25
"""By which factor news may move the price besides, on the night of a split that is known. A judgement: 5 for 4."""

NEAR = timedelta(days=10)
"""Sessions further apart are not compared, for a price may have gone there by itself."""


@dataclass(frozen=True, slots=True)
class Night:
    """Two sessions that lie next to each other.

    Attributes:
        before: the session before.
        after: the session after.
        ratio: close of the one divided by open of the other.
    """

    before: date
    after: date
    ratio: float


@dataclass(frozen=True, slots=True)
class Jump:
    """Two sessions whose prices are apart by about the factor of a split.

    Attributes:
        before: the session before.
        after: the session that opened at the other price.
        ratio: close of the one divided by open of the other.
        factor: the usual split that is closest: shares after it for each share before, below 1 for a reverse split.
    """

    before: date
    after: date
    ratio: float
    factor: float


def nights(days: Sequence[date], opens: Sequence[float], closes: Sequence[float]) -> list[Night]:
    """How the price went from each session to the next, as far as they may be compared, oldest first.

    Args:
        days: sessions that have bars, in order of time.
        opens: the first regular price of each, US dollars.
        closes: the last regular price of each, US dollars.
    """
    found = []
    pairs = zip(pairwise(days), closes, opens[1:], strict=False)  # the last close has no night after it
    for (before, after), close, opened in pairs:
        ratio = close / opened if close and opened else 0.0
        if after - before <= NEAR and 0 < ratio < inf:
            found.append(Night(before, after, ratio))
    return found


def jump_of(night: Night) -> Jump | None:
    """What a night is if its price changed near a split's factor; None otherwise."""
    factor = usual_factor(night.ratio)
    return None if factor is None else Jump(night.before, night.after, night.ratio, factor)


def jumps(days: Sequence[date], opens: Sequence[float], closes: Sequence[float]) -> list[Jump]:
    """Those of `nights` that are jumps."""
    return [jump for night in nights(days, opens, closes) if (jump := jump_of(night)) is not None]


def usual_factor(ratio: float) -> float | None:
    """The factor of a usual split that is closest to a ratio of prices; None where none is near."""
    factor = min(_BOTH_WAYS, key=lambda each: abs(ratio / each - 1))
    return factor if abs(ratio / factor - 1) <= TOLERANCE else None


def adjacent(days: Iterable[date], day: date) -> list[date]:
    """Those of some days that lie next to one, before it and after it, as far as they may be compared with it."""
    near = [other for other in days if other != day and abs(other - day) <= NEAR]
    return [*sorted(each for each in near if each < day)[-1:], *sorted(each for each in near if each > day)[:1]]


def session_ends(bars: pl.DataFrame, hours: Session) -> pl.DataFrame:
    """Where each ticker opened and closed in a regular session.

    Args:
        bars: of one day: ticker, timestamp (UTC), open, close (US dollars).
        hours: its session.

    Returns:
        ``ticker``, ``open``, ``close``.
    """
    regular = bars.filter(pl.col("timestamp").is_between(hours.open, hours.close, closed="left")).sort("timestamp")
    return regular.group_by("ticker", maintain_order=True).agg(pl.col("open").first(), pl.col("close").last())


def nights_around(day: date, ends: Mapping[date, pl.DataFrame]) -> list[tuple[str, Night]]:
    """The nights before and after a day, each with its ticker, in order of tickers.

    Args:
        day: the day.
        ends: `session_ends` of the day and of those that lie next to it.
    """
    found: dict[str, list[tuple[date, float, float]]] = {}
    for each in sorted(ends):
        for ticker, opened, closed in zip(*(ends[each][name] for name in ("ticker", "open", "close")), strict=True):
            found.setdefault(str(ticker), []).append((each, opened, closed))
    return [
        (ticker, night)
        for ticker in sorted(found)
        for night in nights(*zip(*found[ticker], strict=True))
        if day in (night.before, night.after)
    ]


def jumps_around(day: date, ends: Mapping[date, pl.DataFrame]) -> list[tuple[str, Jump]]:
    """Those of `nights_around` that are jumps."""
    found = ((ticker, jump_of(night)) for ticker, night in nights_around(day, ends))
    return [(ticker, jump) for ticker, jump in found if jump is not None]


def splits(advice: Sequence[str], compared: int) -> Verdict:
    """Check that no price changed overnight as at a split that nobody told of; else warn.

    Args:
        advice: of each such night one line, with what to do.
        compared: with how many of the days next to it the day was compared.
    """
    if advice:
        summary = advice[0] + (f" (and {len(advice) - 1:,} more)" if len(advice) > 1 else "")
    elif compared:
        summary = "no price changed overnight as at a split that is not known"
    else:
        summary = "cannot tell: no day next to it is stored"
    metadata: dict[str, int | float | str | list[str]] = {"nights": len(advice), "days_compared": compared}
    if advice:
        metadata["what_to_do"] = list(advice[:10])
    return Verdict("splits", passed=not advice, severity="warn", summary=summary, metadata=metadata)
