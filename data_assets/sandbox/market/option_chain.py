"""The synthetic option market: which contracts exist on a day, and their quote at every minute.

Here: expirations, strikes and Black-Scholes quotes around the underlying's path. Not here: a vendor's text or protocol.

A chain's quotes are built block by block, so that a day of ten million rows needs no more memory than a small one.
Sizes, exchanges and the rare locked and crossed quotes look like those of the consolidated tape; nothing here is meant
to be traded on.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.sandbox.market.black_scholes import time_value
from data_assets.sandbox.market.market import Floats, generator, minute_of_day, prices, uniform
from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION, is_session, previous_session, session, sessions

NATIONAL_BBO, LOCKED, CROSSED = 50, 5, 16
RIGHTS = pl.Enum(["CALL", "PUT"])

_UNDERLYING = {"SPXW": "SPX", "NDXP": "NDX", "VIXW": "VIX"}
_INDICES = {"SPX", "NDX", "VIX"}
_MORNING_SETTLED = {"SPX", "NDX", "VIX", "VIXW"}
_WEDNESDAYS = {"VIXW"}
_DAILY_FROM = {"SPXW": date(2022, 5, 16)}
_BEFORE_DAILY = (0, 2, 4)
_EXCHANGES = np.array([4, 5, 6, 7, 9, 11, 22, 31, 42, 43, 46, 47, 60, 65, 69, 73], dtype=np.int16)
_DAILIES, _WEEKLIES, _MONTHLIES, _LEAPS = (timedelta(days=days) for days in (14, 56, 280, 900))
_WEDNESDAY, _FRIDAY = 2, 4
_MINUTES_PER_YEAR = 365 * 24 * 60
_PAIRS_PER_EXPIRATION = 4
_STRIKES_PER_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Listing:
    """The contracts of one expiration on one day: a call and a put at every strike.

    Attributes:
        symbol: the option root, such as ``QQQ`` or ``SPXW``.
        day: the trading day.
        expiration: the last day of the contracts.
        strikes: dollars, each once, in the arbitrary order in which the vendor sends them.
    """

    symbol: str
    day: date
    expiration: date
    strikes: tuple[float, ...]

    @property
    def minutes(self) -> range:
        """Minutes after midnight in New York that have a quote: from the open to the end of trading, both included."""
        hours = session(self.day)
        end = hours.close if self.expiration == self.day else hours.option_close
        return range(minute_of_day(hours.open), minute_of_day(end) + 1)

    @property
    def rows(self) -> int:
        """Rows of the whole day: one per contract and minute."""
        return 2 * len(self.strikes) * len(self.minutes)

    def contracts(self) -> pl.DataFrame:
        """One row per contract: symbol String, expiration Date, strike Float64, right Enum."""
        return self._columns(1)

    def blocks(self) -> Iterator[Listing]:
        """The listing in pieces of at most 64 strikes (52,000 rows), whose quotes put together are its own."""
        for first in range(0, len(self.strikes), _STRIKES_PER_BLOCK):
            yield replace(self, strikes=self.strikes[first : first + _STRIKES_PER_BLOCK])

    def quotes(self) -> pl.DataFrame:
        """The quote of every contract at every minute of the day, contracts whole, in the vendor's order.

        Returns:
            The vendor's 13 columns in the vendor's order: symbol String, expiration Date, strike Float64 (dollars),
            right Enum, timestamp Datetime("us") (New York wall clock), sizes Int32, exchanges and conditions Int16, bid
            and ask Float64 (dollars). Every contract's first row is all zero: no quote is carried into the session.
        """
        return pl.concat([block._block_quotes() for block in self.blocks()])

    def _block_quotes(self) -> pl.DataFrame:
        minutes = self.minutes
        midnight = np.datetime64(self.day, "us")
        clock = midnight + np.array(minutes, dtype="timedelta64[m]")
        return self._columns(len(minutes)).with_columns(
            timestamp=pl.Series(np.tile(clock, 2 * len(self.strikes))), **_quote_columns(self)
        )

    def _columns(self, repeat: int) -> pl.DataFrame:
        count = len(self.strikes)
        right = pl.Series(["CALL", "PUT"], dtype=RIGHTS).gather(np.tile(np.repeat([0, 1], repeat), count))
        return pl.DataFrame({"strike": np.repeat(self.strikes, 2 * repeat)}).select(
            symbol=pl.lit(self.symbol), expiration=pl.lit(self.expiration), strike="strike", right=right
        )


def underlying(symbol: str) -> str:
    """The underlying of an option root: that of ``SPXW`` is ``SPX``."""
    return _UNDERLYING.get(symbol, symbol)


def is_index(symbol: str) -> bool:
    """Whether the underlying of an option root is an index, which has no price yet at the very open."""
    return underlying(symbol) in _INDICES


@lru_cache(maxsize=4096)
def expirations(symbol: str, day: date) -> tuple[date, ...]:
    """The expirations that ``symbol`` has on ``day``, nearest first, each a trading day.

    Daily ones for two weeks, the last session of a week for two months, monthly ones (third Friday) for nine months and
    the long-dated ones of January, June and December for two and a half years. SPXW, all of it settled in the
    afternoon, has Mondays, Wednesdays and Fridays alone until daily ones begin on 2022-05-16. The morning-settled index
    roots have monthly ones alone (VIXW: the Wednesdays of two months), and none that ends on ``day``: they have no
    quotes on their last day.
    """
    if symbol in _WEDNESDAYS:
        coming = sessions(day, day + _WEEKLIES)
        return tuple(last for last in coming if last.weekday() == _WEDNESDAY and last > day)
    monthly = [
        *_between(_third_fridays(), day, day + _MONTHLIES),
        *(last for last in _between(_third_fridays(), day, day + _LEAPS) if last.month in (1, 6, 12)),
    ]
    if symbol in _MORNING_SETTLED:
        return tuple(sorted({*monthly} - {day}))
    daily_from = _DAILY_FROM.get(symbol, day)
    daily = [last for last in sessions(day, day + _DAILIES) if last >= daily_from or last.weekday() in _BEFORE_DAILY]
    return tuple(sorted({*daily, *_between(_fridays(), day, day + _WEEKLIES), *monthly}))


@lru_cache(maxsize=64)
def chain(symbol: str, day: date, contracts: int) -> tuple[Listing, ...]:
    """The chain of ``symbol`` on ``day``, nearest expiration first.

    Args:
        symbol: the option root.
        day: a trading day.
        contracts: how many contracts the chain holds; an odd number is rounded down, as strikes have a call and a put.

    Raises:
        NotASession: ``day`` is no trading day.
    """
    chosen = listed_expirations(symbol, day, contracts)
    pairs, more = divmod(contracts // 2, len(chosen))
    spot = open_price(symbol, day)
    return tuple(
        Listing(symbol, day, expiration, _strikes(symbol, expiration, spot, pairs + (position < more)))
        for position, expiration in enumerate(chosen)
    )


def settled_in_the_morning(symbol: str, day: date, contracts: int) -> Listing | None:
    """The contracts of ``symbol`` that were settled by the opening prices of ``day``, and have no quotes on it."""
    if symbol not in _MORNING_SETTLED or day not in expirations(symbol, previous_session(day)):
        return None
    strikes = _strikes(symbol, day, open_price(symbol, day), min(_PAIRS_PER_EXPIRATION, contracts // 2))
    return Listing(symbol, day, day, strikes)


@lru_cache(maxsize=4096)
def listed_expirations(symbol: str, day: date, contracts: int) -> tuple[date, ...]:
    """The expirations of a chain of ``contracts`` contracts: all, or a spread of them where the chain is small."""
    possible = expirations(symbol, day)
    count = min(len(possible), max(1, contracts // 2 // _PAIRS_PER_EXPIRATION))
    return tuple(possible[round(place)] for place in np.linspace(0, len(possible) - 1, count))


def open_price(symbol: str, day: date) -> float:
    """Dollars of the underlying of ``symbol`` when the regular session of ``day`` opens."""
    opened = minute_of_day(session(day).open)
    return float(prices(underlying(symbol), day, opened, opened)[0])


@cache
def _fridays() -> list[date]:
    """The last session of every week: its Friday, or the session before where that is a holiday."""
    first = FIRST_SESSION + timedelta(days=(_FRIDAY - FIRST_SESSION.weekday()) % 7)
    weeks = range((LAST_SESSION - first) // timedelta(weeks=1) + 1)
    return [_session_up_to(first + timedelta(weeks=week)) for week in weeks]


@cache
def _third_fridays() -> list[date]:
    months = product(range(FIRST_SESSION.year, LAST_SESSION.year + 1), range(1, 13))
    middles = [date(year, month, 15) for year, month in months if date(year, month, 15) > FIRST_SESSION]
    return [_session_up_to(middle + timedelta(days=(_FRIDAY - middle.weekday()) % 7)) for middle in middles]


def _session_up_to(day: date) -> date:
    return day if is_session(day) else previous_session(day)


def _between(days: list[date], first: date, last: date) -> list[date]:
    return days[bisect_left(days, first) : bisect_right(days, last)]


def _strikes(symbol: str, expiration: date, spot: float, count: int) -> tuple[float, ...]:
    """``count`` strikes around ``spot``: as wide apart as keeps them within two fifths of it, in arbitrary order."""
    unit = next(unit for above, unit in ((2000, 5.0), (200, 1.0), (0, 0.5)) if spot >= above)
    widths = [unit * multiple for multiple in (20, 10, 5, 2, 1)]
    width = next((width for width in widths if count * width <= 0.4 * spot), unit)
    lowest = max(1, math.floor(spot / width) - (count - 1) // 2)
    places = generator("strikes", symbol, expiration).permutation(count)
    return tuple(float(width * (lowest + place)) for place in places)


def _quote_columns(listing: Listing) -> dict[str, pl.Series]:
    values = _values(listing)
    tick = np.where(values < 300, 5, 10) if underlying(listing.symbol) == "SPX" else np.ones(1, dtype=np.int64)
    random = generator("quotes", listing.symbol, listing.day, listing.expiration, listing.strikes[0])
    # One 64-bit draw per row, cut into fields: several draws per row would cost more than all the pricing.
    draw = random.integers(0, 2**64, size=values.shape, dtype=np.uint64)
    half_spread = (0.4 + 0.006 * values) * (0.6 + 0.8 * _bits(draw, 36, 12) / 2**12)
    bid = np.maximum(np.floor((values - half_spread) / tick), 0) * tick
    ask = np.ceil((values + half_spread) / tick) * tick
    condition = np.full(values.shape, NATIONAL_BBO, dtype=np.int16)

    odd = (_bits(draw, 48, 15) == 0) & (bid > 0)
    crossed = odd & (_bits(draw, 63, 1) == 1)
    ask = np.where(odd, bid, ask)
    bid = np.where(crossed, bid + tick, bid)
    condition[odd] = LOCKED
    condition[crossed] = CROSSED

    bid_size, ask_size = (1 + (_bits(draw, low, 7) * _bits(draw, low + 7, 7) >> 4) for low in (8, 22))
    bid_size[bid == 0] = 0
    for zeroed in (bid, ask, bid_size, ask_size):
        zeroed[..., 0] = 0
    condition[..., 0] = NATIONAL_BBO

    columns: dict[str, npt.NDArray[Any]] = {
        "bid_size": bid_size.astype(np.int32),
        "bid_exchange": _EXCHANGES[_bits(draw, 0, 4)],
        "bid": bid / 100,
        "bid_condition": condition,
        "ask_size": ask_size.astype(np.int32),
        "ask_exchange": _EXCHANGES[_bits(draw, 4, 4)],
        "ask": ask / 100,
        "ask_condition": condition,
    }
    return {name: pl.Series(column.ravel()) for name, column in columns.items()}


def _bits(draw: npt.NDArray[np.uint64], low: int, count: int) -> npt.NDArray[np.int32]:
    return ((draw >> np.uint64(low)) & np.uint64(2**count - 1)).astype(np.int32)


def _values(listing: Listing) -> Floats:
    """Black-Scholes values in cents, without interest; shape (strikes, 2 rights, minutes)."""
    minutes = np.array(listing.minutes)
    spot = prices(underlying(listing.symbol), listing.day, int(minutes[0]), int(minutes[-1]))
    strikes = np.array(listing.strikes)[:, None]
    days = (listing.expiration - listing.day).days
    end = minute_of_day(session(listing.expiration).close)
    years = np.maximum(days * 24 * 60 + end - minutes, 0.5) / _MINUTES_PER_YEAR
    worth = time_value(spot, strikes, _volatility(listing, spot[0], years[0]) * np.sqrt(years))
    rights = [worth + np.maximum(difference, 0) for difference in (spot - strikes, strikes - spot)]
    return np.stack(rights, axis=1) * 100


def _volatility(listing: Listing, spot: float, years: float) -> Floats:
    """Implied volatility per strike, with the skew and smile of an equity index; shape (strikes, 1)."""
    level = 0.13 + 0.12 * uniform("volatility", underlying(listing.symbol), listing.day)
    distance = np.log(np.array(listing.strikes) / spot) / (level * math.sqrt(years + 0.02))
    distance = np.clip(distance, -5, 5)
    return (level * (1 - 0.12 * distance + 0.02 * distance**2))[:, None]
