"""Theta's histories of options, one record each.

Here: everything that differs between quotes, greeks, open interest and end-of-day reports, so that a further history is
one more record. Not here: the columns of their tables (``schema``), and how a day of any of them is fetched (``day``)
and read back (``day_checks``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Literal

import polars as pl

from data_assets.quality.option_greeks import GreekSummary, IvThresholds, greek_summary
from data_assets.quality.option_quotes import QuoteThresholds
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import Session
from data_assets.vendors.theta import minutes, values
from data_assets.vendors.theta.client import (
    EodRequest,
    GreeksRequest,
    GridRequest,
    HistoryRequest,
    OpenInterestRequest,
    QuoteRequest,
)
from data_assets.vendors.theta.schema import EOD, GREEKS, OPEN_INTEREST, QUOTES, Table

Kind = Literal["quotes", "greeks", "open_interest", "eod"]

_INTEGRITY = {"integrity": "The stored file is the one that was recorded: sha256, page checksums, row count, schema."}
_CONTRACT_SET = {"contract_set": "The day holds the contracts that the vendor's own list names; absent ones are named."}
_OF_A_GRID = {
    "grid": "Every contract has a row at each point of the session's grid; irregular contracts are counted and named.",
    **_CONTRACT_SET,
}
_TIMESTAMPS = {"timestamps": "Every row lies in the session and on the grid, unique and in the file's order."}
_OF_REPORTS = {"contracts": "Every contract has one row, and the rows are in the file's order.", **_CONTRACT_SET}


@dataclass(frozen=True)
class History:
    """One kind of data that Theta keeps for options.

    Attributes:
        asset: the second part of its datasets' keys.
        description: what it is, for the UI; ``{options}`` stands for the symbol's options, ``{grid}`` for the times of
            the snapshots.
        request: the request for it.
        table: its columns.
        checks: check name -> what the check verifies.
        values: makes the verdicts on its values.
        begins: the first day that the vendor has, on its largest plan.
        row_bytes: of a row as the vendor's text, and as it is stored; of quotes by people who keep them, of the others
            as measured in the sandbox.
        drawn: makes what a day's picture shows.
        absent_tolerance: share of a root's listed contracts, 0 to 1, that a complete day may lack.
        takes_all_expirations: whether one request may ask for every expiration.
        is_listed: whether the vendor's contract list is made from this history; it may have less of the others.
        legacy_files: whether the older downloader kept files of it, one a day.
        published: when a day is available, New York time; None for the end of the session.
        thresholds: the thresholds that a block may set for its checks; None if there are none.
        prices: the columns that hold prices, or what comes nearest.
        revised: whether Theta is known to make a day's rows anew. A judgement: of end-of-day reports the archive shows
            several passes, live and stored quotes were found to be the same, and nothing is documented.
        gather: summarizes each row group of the session's rows for ``values``; None if they need only the summary of
            contracts.
    """

    asset: str
    description: str
    request: type[HistoryRequest]
    table: Table
    checks: Mapping[str, str]
    values: Callable[[values.DayRead], list[Verdict]]
    begins: date
    row_bytes: tuple[float, float]
    drawn: Callable[[pl.LazyFrame], pl.DataFrame]
    absent_tolerance: float = 0.005
    takes_all_expirations: bool = True
    is_listed: bool = False
    legacy_files: bool = False
    published: time | None = None
    thresholds: type[QuoteThresholds | IvThresholds] | None = None
    prices: tuple[str, ...] = ("bid", "ask")
    revised: bool = False
    gather: Callable[[pl.DataFrame, Session], GreekSummary] | None = None

    @property
    def by_minute(self) -> bool:
        """Whether a contract has a row at each point of a grid, rather than one a day."""
        return issubclass(self.request, GridRequest)


HISTORIES: Mapping[Kind, History] = {
    "quotes": History(
        asset="option_quotes",
        description="The national best bid and offer {options}, {grid}.",
        request=QuoteRequest,
        table=QUOTES,
        checks={
            **_OF_A_GRID,
            "quotes": "No negative price or size; the shares of crossed, locked, one-sided and missing quotes are "
            "within their thresholds; no quote stands alone.",
            **_TIMESTAMPS,
            **_INTEGRITY,
        },
        values=values.quotes,
        begins=date(2012, 6, 1),
        row_bytes=(82, 7.3),
        is_listed=True,
        legacy_files=True,
        thresholds=QuoteThresholds,
        drawn=minutes.of_quotes,
    ),
    "greeks": History(
        asset="option_greeks",
        description="First-order greeks and implied volatility {options}, {grid}. Needs the Standard tier. "
        "vega, rho and epsilon are per 1.00, that is 100 percentage points: divide by 100 for the change per point. "
        "Rows that Theta could not solve are kept as it marks them (see `implied_vol`) and counted by the check `iv`.",
        request=GreeksRequest,
        table=GREEKS,
        checks={
            **_OF_A_GRID,
            "iv": "Implied volatilities are plausible; the shares of failed, zero, high and poorly fitted ones are "
            "within their thresholds; no quote stands alone.",
            "parity": "Put-call parity near the money: call minus put is about the underlying minus the strike.",
            "underlying": "The underlying's price is positive, recent, the same for all contracts, and moves as prices "
            "do.",
            **_TIMESTAMPS,
            **_INTEGRITY,
        },
        values=values.greeks,
        begins=date(2017, 1, 1),  # of index options the documents say 2017 and 2020: the earlier year is a judgement
        row_bytes=(158, 36),
        takes_all_expirations=False,
        thresholds=IvThresholds,
        drawn=minutes.of_greeks,
        gather=lambda rows, hours: greek_summary(rows, open_=hours.open),
    ),
    "open_interest": History(
        asset="option_open_interest",
        description="Open interest {options}, as OPRA sent it on the morning of the day: the number at the end of the "
        "previous session.",
        request=OpenInterestRequest,
        table=OPEN_INTEREST,
        checks={
            **_OF_REPORTS,
            "open_interest": "No negative number; sent on the morning of the day.",
            **_INTEGRITY,
        },
        values=values.open_interest,
        begins=date(2012, 6, 1),
        row_bytes=(58, 9),
        drawn=minutes.of_open_interest,
        prices=("open_interest",),
        absent_tolerance=0.2,  # contracts that nobody holds may have no row: 1.5 to 5.4 % were seen
    ),
    "eod": History(
        asset="option_eod",
        description="Theta's end-of-day report {options}: the day's trades and the last quote. If there are several "
        "reports for a contract, as in the archive before 2022, the newest is stored.",
        request=EodRequest,
        table=EOD,
        checks={
            **_OF_REPORTS,
            "end_of_day": "low <= open, close <= high, of the prices that trades have set; the report was made after "
            "the close; the last trade is of the session; bids are there.",
            **_INTEGRITY,
        },
        values=values.end_of_day,
        begins=date(2012, 6, 1),
        row_bytes=(140, 40),
        drawn=minutes.of_reports,
        prices=("bid", "ask", "open", "high", "low", "close"),
        revised=True,
        published=time(17, 30),  # Theta makes its reports at 17:15 New York; captures show stamps up to 17:21
    ),
}
"""The histories by the name that a block uses (`dataset`)."""
