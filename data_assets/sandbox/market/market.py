"""The synthetic market: one price path per symbol and day, which every simulated vendor quotes from.

Here: where a price is at each minute, and the seeded randomness that all synthetic data is drawn from.
Not here: what a vendor makes of it (option chains, bars, files).

Everything is a function of (symbol, day) alone: no state, no order of calls, no per-process hash seed. Closing levels
come from fractal noise over weekdays, so that any day is found without walking through the ones before it, and a day's
path is a Brownian bridge from the last close to its own.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from data_assets.trading_calendar import FIRST_SESSION, NEW_YORK, previous_session, session

Floats = npt.NDArray[np.float64]

FIRST_MINUTE = 4 * 60
LAST_MINUTE = 20 * 60

_LEVELS = {"QQQ": (450.0, 620.0), "SPY": (500.0, 690.0), "SPX": (5000.0, 6900.0), "NDX": (18000.0, 25000.0)}
_INDEX_SHARE = 0.8
# Span in weekdays -> weight: slow waves give the level, the one-day wave gives daily moves of about one per cent.
_WAVES = {256: 0.40, 64: 0.25, 16: 0.17, 4: 0.11, 1: 0.07}
_DAILY_MOVE = 0.008
_PREMARKET_WEIGHT, _LATE_WEIGHT = 0.15, 0.10


def generator(*key: object) -> np.random.Generator:
    """A random generator that depends on ``key`` alone, in every process and on every Python."""
    seed = int.from_bytes(_digest(*key)[:16], "big")
    return np.random.Generator(np.random.Philox(key=seed))


def uniform(*key: object) -> float:
    """One number in [0, 1) that depends on ``key`` alone."""
    return int.from_bytes(_digest(*key)[:6], "big") / 2**48


def minute_of_day(moment: datetime) -> int:
    """Minutes after midnight in New York of an aware datetime."""
    local = moment.astimezone(NEW_YORK)
    return local.hour * 60 + local.minute


def price_band(symbol: str) -> tuple[float, float]:
    """The dollars between which ``symbol`` closes on every day there is."""
    if symbol in _LEVELS:
        return _LEVELS[symbol]
    middle = 20.0 * 20.0 ** uniform("level", symbol)
    return middle * 0.7, middle * 1.4


def closing_level(symbol: str, day: date) -> float:
    """Unrounded dollars at the end of ``day``'s regular session."""
    low, high = price_band(symbol)
    wave = _INDEX_SHARE * _noise("index", day) + (1 - _INDEX_SHARE) * _noise(symbol, day)
    return math.sqrt(low * high) * (high / low) ** (wave / 2)


def prices(symbol: str, day: date, first: int = FIRST_MINUTE, last: int = LAST_MINUTE) -> Floats:
    """The price of ``symbol`` at each minute of ``day``, in dollars and whole cents.

    Args:
        symbol: the underlying, such as ``QQQ``.
        day: a trading day.
        first: first minute after midnight in New York, 240 (04:00) at the earliest.
        last: last minute, included; 1200 (20:00) at the latest.

    Returns:
        ``last - first + 1`` prices. The one at 04:00 is the last session's close, the one at the end of the regular
        session is this day's.

    Raises:
        NotASession: ``day`` is no trading day.
        ValueError: the minutes lie outside 04:00 to 20:00.
    """
    if not FIRST_MINUTE <= first <= last <= LAST_MINUTE:
        raise ValueError(f"minutes {first} to {last} lie outside {FIRST_MINUTE} to {LAST_MINUTE}")
    return _path(symbol, day)[first - FIRST_MINUTE : last - FIRST_MINUTE + 1]


@lru_cache(maxsize=256)
def _path(symbol: str, day: date) -> Floats:
    hours = session(day)
    opened, closed = minute_of_day(hours.open), minute_of_day(hours.close)
    day_before = previous_session(day) if day > FIRST_SESSION else day - timedelta(days=1)  # a session, too
    before, after = closing_level(symbol, day_before), closing_level(symbol, day)
    minutes = np.arange(FIRST_MINUTE + 1, LAST_MINUTE + 1)
    progress = np.clip((minutes - opened) / (closed - opened), 0, 1)
    weight = 0.6 + 1.6 * (2 * progress - 1) ** 2  # busiest after the open and before the close
    weight[minutes <= opened] = _PREMARKET_WEIGHT
    weight[minutes > closed] = _LATE_WEIGHT
    steps = generator("path", symbol, day).standard_normal(len(minutes)) * np.sqrt(weight)
    steps *= _DAILY_MOVE / math.sqrt(weight[minutes <= closed].sum())
    legs = [
        _bridge(steps[leg], weight[leg], start, after)
        for leg, start in ((minutes <= closed, before), (minutes > closed, after))
    ]
    path = np.round(np.concatenate(([before], *legs)), 2).astype(np.float64)
    path.setflags(write=False)
    return path


def _bridge(steps: Floats, weight: Floats, start: float, end: float) -> Floats:
    """A random walk from ``start`` that arrives at ``end``; ``steps`` are logarithmic, of variance ``weight``."""
    elapsed = np.cumsum(weight) / weight.sum()
    walk = np.cumsum(steps)
    bridge: Floats = start * np.exp(walk + elapsed * (math.log(end / start) - walk[-1]))
    return bridge


def _digest(*key: object) -> bytes:
    return sha256("|".join(map(str, key)).encode()).digest()


def _noise(name: str, day: date) -> float:
    """A number in [-1, 1], near to that of the neighbouring weekdays."""
    week, weekday = divmod(day.toordinal() - 1, 7)  # ordinal 1 is a Monday
    weekdays = week * 5 + min(weekday, 4)
    noise = 0.0
    for span, weight in _WAVES.items():
        knot, offset = divmod(weekdays, span)
        left, right = (2 * uniform("wave", name, span, place) - 1 for place in (knot, knot + 1))
        noise += weight * (left + (right - left) * offset / span)
    return noise
