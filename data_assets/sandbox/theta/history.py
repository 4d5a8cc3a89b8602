"""What the simulated Theta holds: which days it serves by now, and what it lists and reports of them.

Here: answers as frames. Not here: parameters, text, HTTP, tiers and faults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.sandbox.faults import EOD_ENDPOINT, GREEKS_ENDPOINT, OPEN_INTEREST_ENDPOINT, QUOTE_ENDPOINT
from data_assets.sandbox.market.market import generator
from data_assets.sandbox.market.option_chain import (
    RIGHTS,
    Listing,
    chain,
    is_index,
    listed_expirations,
    open_price,
    settled_in_the_morning,
)
from data_assets.sandbox.market.option_greeks import greeks
from data_assets.sandbox.market.option_reports import REPORTED_TWICE_BEFORE, eod, open_interest, reported_twice, traded
from data_assets.sandbox.theta.params import Query
from data_assets.trading_calendar import NEW_YORK, session, sessions

_RESET_ENDS = time(1, 45)
_LONGEST_LISTING = timedelta(days=900)
_LEFT_OUT_EVERY = 20


@dataclass(frozen=True, slots=True)
class _History:
    """How the rows of one history are made.

    Attributes:
        rows: of a block of contracts, contracts whole.
        by_minute: whether a contract has a row a minute; else it has one.
        out: when a day's data are out, in New York; None with its opening.
        indices_from: there is none for options on indices before it.
        sent: which of the rows are sent, and how often, on a day.
    """

    rows: Callable[[Listing], pl.DataFrame]
    by_minute: bool
    out: time | None = None
    indices_from: date = date.min
    sent: Callable[[pl.DataFrame, date], pl.DataFrame] = lambda rows, _day: rows


_HISTORIES = {
    QUOTE_ENDPOINT: _History(Listing.quotes, by_minute=True),
    # A user's probe of 2026-07 found the greeks of SPX and SPXW from 2017-01-03 on, those of QQQ from the first day on.
    GREEKS_ENDPOINT: _History(greeks, by_minute=True, indices_from=date(2017, 1, 1)),
    OPEN_INTEREST_ENDPOINT: _History(
        open_interest, by_minute=False, out=time(6, 31), sent=lambda rows, _day: rows.drop_nulls("open_interest")
    ),
    EOD_ENDPOINT: _History(
        eod,
        by_minute=False,
        out=time(17, 22),
        sent=lambda rows, day: reported_twice(rows) if day < REPORTED_TWICE_BEFORE else rows,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ThetaHistory:
    """The data behind the server.

    Attributes:
        symbols: the option roots there are.
        contracts: contracts per symbol and day.
        first_day: there is no data before it.
        order: ``vendor`` sends expirations ascending, ``shuffled`` in arbitrary order; contracts are whole in both.
        now: the current time, aware.
    """

    symbols: tuple[str, ...]
    contracts: int
    first_day: date
    order: Literal["vendor", "shuffled"]
    now: Callable[[], datetime]

    def days(self, first: date, last: date, out: time | None = None) -> list[date]:
        """The days from ``first`` to ``last`` that have data by now.

        A day has data from its opening minute on, or from ``out`` in New York on, and none between midnight and 01:45
        of the next day, when the vendor moves it to its history (Theta's "Data Issues" page).
        """
        now = self.now().astimezone(NEW_YORK)
        today = now.date()
        found = sessions(max(first, self.first_day), min(last, today))
        if now.time() < _RESET_ENDS:
            found = [day for day in found if day != today - timedelta(days=1)]
        begun = found[-1:] == [today] and (session(today).open <= now if out is None else out <= now.time())
        return [day for day in found if day != today or begun]

    def listings(self, query: Query) -> list[Listing]:
        """The expirations that a request for a history is about, day by day, in the order in which they are sent."""
        if query.first is None or query.last is None:
            return []
        history = _HISTORIES[query.endpoint]
        found: list[Listing] = []
        for day in self.days(query.first, query.last, history.out):
            found += self._in_order(
                [
                    listing
                    for listing in self._chains(query, day)
                    if query.expiration in (None, listing.expiration)
                    and (day >= history.indices_from or not is_index(listing.symbol))
                ]
            )
        return found

    def rows(self, query: Query, listings: Sequence[Listing]) -> int:
        """Rows of the whole answer, without generating it; of a report a day, how many contracts it is about."""
        return sum(
            len(self._asked(listing, query))
            * (len(self._minutes(listing, query)) if _HISTORIES[query.endpoint].by_minute else 1)
            for listing in listings
        )

    def frames(self, query: Query, listings: Sequence[Listing], leave_out: bool = False) -> Iterator[pl.DataFrame]:
        """The rows that a request asks for and that are known by now, a block of contracts at a time; none empty.

        Args:
            query: the request.
            listings: what it is about.
            leave_out: leave out one contract in twenty, the first one included.
        """
        before = 0
        for listing in listings:
            contracts = self._asked(listing, query)
            number = before + np.arange(len(contracts))
            before += len(contracts)
            if leave_out:
                contracts = contracts[number % _LEFT_OUT_EVERY != 0]
            for block in listing.blocks():
                in_block = 2 * len(block.strikes)
                here, contracts = contracts[contracts < in_block], contracts[contracts >= in_block] - in_block
                frame = self._block(query, block, here) if here.size else pl.DataFrame()
                if frame.height:
                    yield frame

    def _block(self, query: Query, block: Listing, contracts: npt.NDArray[np.int64]) -> pl.DataFrame:
        """The rows of these contracts of a block: their positions in it, at least one."""
        history = _HISTORIES[query.endpoint]
        if not history.by_minute:
            return history.sent(history.rows(block)[contracts], block.day)
        asked = self._minutes(block, query)
        if not asked:
            return pl.DataFrame()
        minutes = block.minutes
        offsets = np.array([minute - minutes[0] for minute in asked], dtype=np.int64)
        places = (contracts[:, None] * len(minutes) + offsets).ravel()
        frame = history.rows(block)
        return history.sent(frame if places.size == frame.height else frame[places], block.day)

    def listed(self, query: Query) -> pl.DataFrame:
        """The answer of a list endpoint; without rows where there is nothing to list."""
        return _LISTS[query.endpoint](self, query)

    def settled(self, query: Query) -> pl.DataFrame:
        """The contracts that were settled in the morning of a day, and that a list of contracts may name still."""
        found = [
            listing.contracts()
            for day in self.days(query.first or date.max, query.last or date.min)
            for symbol in self._known(query.symbols)
            if (listing := settled_in_the_morning(symbol, day, self.contracts)) is not None
        ]
        return pl.concat(found) if found else pl.DataFrame()

    def without_the_farthest(self, listings: Sequence[Listing]) -> list[Listing]:
        """Listings but for those of the last expiration that their root has on their day."""
        return [
            listing
            for listing in listings
            if listing.expiration < listed_expirations(listing.symbol, listing.day, self.contracts)[-1]
        ]

    def _chains(self, query: Query, day: date) -> list[Listing]:
        return [
            listing
            for symbol in self._known(query.symbols)
            for listing in chain(symbol, day, self.contracts)
            if query.max_dte is None or (listing.expiration - day).days <= query.max_dte
        ]

    def _known(self, symbols: tuple[str, ...] | None) -> list[str]:
        return [symbol for symbol in self.symbols if symbols is None or symbol in symbols]

    def _in_order(self, listings: list[Listing]) -> list[Listing]:
        if self.order == "vendor" or not listings:
            return listings
        places = generator("order", listings[0].symbol, listings[0].day).permutation(len(listings))
        return [listings[place] for place in places]

    def _asked(self, listing: Listing, query: Query) -> npt.NDArray[np.int64]:
        """Which of a listing's contracts a request is about: their positions in it."""
        strikes = np.array(listing.strikes)
        wanted = np.ones(len(strikes), dtype=bool)
        if query.strike is not None:
            wanted &= strikes == query.strike
        if query.strike_range is not None:
            distance = np.abs(strikes - open_price(listing.symbol, listing.day))
            in_order = np.argsort(np.argsort(strikes))
            wanted &= np.abs(in_order - in_order[np.argmin(distance)]) <= query.strike_range
        rights = [place for place, right in enumerate(RIGHTS.categories) if query.right in (None, right)]
        return (2 * np.flatnonzero(wanted)[:, None] + rights).ravel()

    def _minutes(self, listing: Listing, query: Query) -> list[int]:
        now = self.now().astimezone(NEW_YORK)
        end = query.end if listing.day < now.date() else min(query.end, now.hour * 3600 + now.minute * 60 + now.second)
        start = math.ceil(query.start / 60)
        return [
            minute
            for minute in listing.minutes
            if minute >= start and minute * 60 <= end and (minute - start) % query.every == 0
        ]

    def _list_symbols(self, query: Query) -> pl.DataFrame:
        return pl.DataFrame({"symbol": self.symbols})

    def _list_expirations(self, query: Query) -> pl.DataFrame:
        days = tuple(self.days(self.first_day, date.max))
        return _frame(
            {"symbol": pl.String, "expiration": pl.Date},
            [
                (symbol, expiration)
                for symbol in self._known(query.symbols)
                for expiration in _all_expirations(symbol, days, self.contracts)
            ],
        )

    def _list_strikes(self, query: Query) -> pl.DataFrame:
        rows = [
            (symbol, strike)
            for symbol in self._known(query.symbols)
            for listing in self._days_listed(symbol, query)[-1:]
            for strike in listing.strikes
        ]
        return _frame({"symbol": pl.String, "strike": pl.Float64}, rows)

    def _list_dates(self, query: Query) -> pl.DataFrame:
        days = {
            listing.day
            for symbol in self._known(query.symbols)
            for listing in self._days_listed(symbol, query)
            if _meets(query, _contracts(query, listing))
        }
        return _frame({"date": pl.Date}, [(day,) for day in sorted(days)])

    def _days_listed(self, symbol: str, query: Query) -> list[Listing]:
        """One expiration on each day that it has quotes, oldest first."""
        if query.expiration is None:
            return []
        return [
            listing
            for day in self.days(query.expiration - _LONGEST_LISTING, query.expiration)
            if query.expiration in listed_expirations(symbol, day, self.contracts)
            for listing in chain(symbol, day, self.contracts)
            if listing.expiration == query.expiration
        ]

    def _list_contracts(self, query: Query) -> pl.DataFrame:
        frames = [
            _contracts(query, listing)
            for day in self.days(query.first or date.max, query.last or date.min)
            for listing in self._chains(query, day)
        ]
        return pl.concat(frames) if frames else pl.DataFrame()


_LISTS: dict[str, Callable[[ThetaHistory, Query], pl.DataFrame]] = {
    "option/list/symbols": ThetaHistory._list_symbols,
    "option/list/expirations": ThetaHistory._list_expirations,
    "option/list/strikes": ThetaHistory._list_strikes,
    "option/list/dates/quote": ThetaHistory._list_dates,
    "option/list/dates/trade": ThetaHistory._list_dates,
    "option/list/contracts/quote": ThetaHistory._list_contracts,
    "option/list/contracts/trade": ThetaHistory._list_contracts,
}


def _contracts(query: Query, listing: Listing) -> pl.DataFrame:
    """The contracts of a listing that were quoted on its day, or traded, as the list call says."""
    return traded(listing) if query.endpoint.endswith("/trade") else listing.contracts()


def _meets(query: Query, contracts: pl.DataFrame) -> bool:
    """Whether one of the contracts has the strike and the right that are asked for."""
    strike, right = pl.lit(query.strike), pl.lit(query.right)
    asked = (strike.is_null() | (pl.col("strike") == strike)) & (right.is_null() | (pl.col("right") == right))
    return not contracts.filter(asked).is_empty()


@lru_cache(maxsize=16)
def _all_expirations(symbol: str, days: tuple[date, ...], contracts: int) -> list[date]:
    return sorted({expiration for day in days for expiration in listed_expirations(symbol, day, contracts)})


def _frame(schema: dict[str, type[pl.DataType]], rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")
