"""Theta's histories of options, one record each.

Here: all that differs between quotes, greeks, open interest and end-of-day reports, so that a further history is one
more record. Not here: how a day of any of them is fetched (``day``) and read back (``day_checks``).
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
from data_assets.vendors.theta import values
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
    "grid": "Every contract has a row at each point of the session's grid; irregular ones are counted and named.",
    **_CONTRACT_SET,
}
_TIMESTAMPS = {"timestamps": "Every row lies in the session and on the grid, unique and in the file's order."}
_OF_REPORTS = {"contracts": "Every contract has one row, and the rows lie in the file's order.", **_CONTRACT_SET}


@dataclass(frozen=True)
class History:
    """One kind of data that Theta keeps of options.

    Attributes:
        asset: the second part of its datasets' keys.
        description: what it is, as the UI says it; ``{options}`` stands for whose it is, ``{grid}`` for its instants.
        request: what asks for it.
        table: its columns.
        checks: by name, what each check verifies.
        values: the verdicts on its values.
        begins: the first day that the vendor has, on its largest plan.
        absent_tolerance: share of a root's listed contracts, 0 to 1, that a complete day may lack.
        takes_all_expirations: whether one request may ask for every expiration.
        is_listed: whether the vendor's list of contracts is one of this history: of the others it may keep less.
        legacy_files: whether the older downloader kept files of it, one a day.
        published: when a day of it is there, New York; None for the end of the session.
        thresholds: what the limits of its checks are called in a block; None where it has none.
        gather: what its values need of each row group of the session's rows; None where the contracts' summary is all.
    """

    asset: str
    description: str
    request: type[HistoryRequest]
    table: Table
    checks: Mapping[str, str]
    values: Callable[[values.DayRead], list[Verdict]]
    begins: date
    absent_tolerance: float = 0.005
    takes_all_expirations: bool = True
    is_listed: bool = False
    legacy_files: bool = False
    published: time | None = None
    thresholds: type[QuoteThresholds | IvThresholds] | None = None
    gather: Callable[[pl.DataFrame, Session], GreekSummary] | None = None

    @property
    def by_minute(self) -> bool:
        """Whether a contract has a row at each point of a grid; else it has one a day."""
        return issubclass(self.request, GridRequest)


HISTORIES: Mapping[Kind, History] = {
    "quotes": History(
        asset="option_quotes",
        description="The national best bid and offer {options}, {grid}.",
        request=QuoteRequest,
        table=QUOTES,
        checks={
            **_OF_A_GRID,
            "quotes": "No negative price or size; shares of crossed, locked, one-sided and missing quotes within "
            "thresholds.",
            **_TIMESTAMPS,
            **_INTEGRITY,
        },
        values=values.quotes,
        begins=date(2012, 6, 1),
        is_listed=True,
        legacy_files=True,
        thresholds=QuoteThresholds,
    ),
    "greeks": History(
        asset="option_greeks",
        description="First-order greeks and implied volatility {options}, {grid}. Needs the Standard tier. "
        "vega, rho and epsilon are per whole unit: divide by 100 for a point. Rows that the vendor could not solve are "
        "kept as it marks them (see `implied_vol`) and counted by the check `iv`.",
        request=GreeksRequest,
        table=GREEKS,
        checks={
            **_OF_A_GRID,
            "iv": "Volatilities were found and can be: shares of failed, zero, high and poor ones within thresholds.",
            "parity": "Near the money, calls less puts are worth the underlying less the strike.",
            "underlying": "The underlying's price is positive, fresh, alike for all contracts, and moves as prices do.",
            **_TIMESTAMPS,
            **_INTEGRITY,
        },
        values=values.greeks,
        begins=date(2017, 1, 1),  # of index options the documents say 2017 and 2020: the earlier year is a judgement
        takes_all_expirations=False,
        thresholds=IvThresholds,
        gather=lambda rows, hours: greek_summary(rows, open_=hours.open),
    ),
    "open_interest": History(
        asset="option_open_interest",
        description="Open interest {options}, as OPRA sent it on the morning of the day: that of the end of the "
        "session before.",
        request=OpenInterestRequest,
        table=OPEN_INTEREST,
        checks={
            **_OF_REPORTS,
            "open_interest": "No negative number; sent in the morning of the day.",
            **_INTEGRITY,
        },
        values=values.open_interest,
        begins=date(2012, 6, 1),
        absent_tolerance=0.2,  # many a contract that nobody holds has no open interest: 1.5 to 5.4 % were seen
    ),
    "eod": History(
        asset="option_eod",
        description="Theta's end-of-day report {options}: the day's trades and the last quote. Of several reports on "
        "one contract, as in the archive of the years before 2022, the newest.",
        request=EodRequest,
        table=EOD,
        checks={
            **_OF_REPORTS,
            "end_of_day": "Prices that moved enclose each other; made after the close; trades are of the session; "
            "bids are there.",
            **_INTEGRITY,
        },
        values=values.end_of_day,
        begins=date(2012, 6, 1),
        published=time(17, 30),  # Theta makes its reports at 17:15 New York; captures show stamps up to 17:21
    ),
}
"""By the name that a block calls it."""
