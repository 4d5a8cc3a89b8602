"""The faults a sandbox server can be told to show, for tests and for people who want to see recovery.

Here: what a fault is. Not here: which request it strikes (``fault_schedule``), and how a server carries it out.
The settings import this module, so it stays light.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

QUOTE_ENDPOINT = "option/history/quote"
GREEKS_ENDPOINT = "option/history/greeks/first_order"
OPEN_INTEREST_ENDPOINT = "option/history/open_interest"
EOD_ENDPOINT = "option/history/eod"
CONTRACTS_ENDPOINT = "option/list/contracts/quote"
THETA_HISTORIES = (QUOTE_ENDPOINT, GREEKS_ENDPOINT, OPEN_INTEREST_ENDPOINT, EOD_ENDPOINT)
IB_HISTORICAL_DATA = "ib/historical_data"
IB_HEAD_TIMESTAMP = "ib/head_timestamp"
IB_CONTRACT_DETAILS = "ib/contract_details"

FaultKind = Literal[
    "status",  # answer with `status` instead of data, and perhaps `text`
    "disconnected",  # 474 for `seconds`, and terminal/mdds/status says DISCONNECTED meanwhile
    "large_request",  # 570 for answers above `rows`
    "stall",  # send half of the body, then nothing
    "cut",  # end the body mid-row as if it were complete
    "reset",  # send half of the body, then reset the connection
    "missing_contract",  # leave one contract in twenty out of the body
    "renamed_column",  # call `bid`, or `open_interest`, something else
    "volume_only",  # end of day: what did not trade has one trade of the evening before, which moved no price
    "carried_tail",  # snapshots go on to 16:15 on shortened sessions too, each like the last one
    "zero_tail",  # the same without any quote
    "empty_greeks",  # no greeks in one minute of a hundred, as of an index without a price
    "large_sizes",  # bid and ask sizes of three billion, a row in a hundred
    "revised",  # the vendor's second thoughts: a bid, or a number of contracts, moves in one row of a hundred
    "quote_spike",  # a quote at noon is ten times its neighbours, in each block of rows
    "repeated_messages",  # open interest: every contract is sent again, at once or later, perhaps with another number
    "empty_expiration",  # the farthest expiration of each root has no history, though it is listed
    "one_row",  # the last contract of the body has one row alone, like a test contract that nobody traded
    "replayed",  # the first rows of the body are sent twice
    "settled_listed",  # the list of contracts still names those settled in the morning of the day
    "words",  # Theta: 200 with `text` in place of a table; by default what goes with 472
    "no_data",  # IB: 162 without data, or 200 for a contract, though there is some
    "pacing",  # IB: 162 pacing violation
    "permissions",  # IB: 162 no market data permissions
    "tws_error",  # IB: `code` with `text`, which ends the request
    "hmds_disconnect",  # IB: 165, then nothing
    "silence",  # IB: nothing at all
    "half_frame",  # IB: half of the answer, then the end of the connection
    "half_frame_reset",  # IB: half of the answer, then a reset
    "endless_frame",  # IB: the beginning of an answer of two gigabytes, and no end of it
    "advisory",  # IB: `code` with `text` of the request, and then the answer; or nothing, if `silent`
    "notice",  # IB: the same of no request
    "handshake_only",  # IB: for `seconds` no answers, though connections are taken and greeted
    "connection_lost",  # IB: 1100 to every client, 1102 after `seconds`, only then the answers; or `code` meanwhile
    "farm_lost",  # IB: the same with 2105 and 2106
    "restart",  # IB: no connections and no listener for `seconds`
    "short_day",  # IB: the last tenth of the bars is missing
    "wrong_count",  # IB: one bar more announced than sent
    "bad_bar",  # IB: one bar's high below its low
    "price_spike",  # IB: one bar's high ten times what it was
    "fractional_volume",  # IB: volumes in round lots, with fractions
    "wrong_session",  # IB: the bars of the session before
    "frozen",  # IB: from half an hour after the open on, bars of the last close without volume and trades
    "flat",  # IB: such bars all day
    "silent_bars",  # IB: a minute without trades has such a bar, too
    "revised_bars",  # IB: one bar in a hundred has closed a cent higher, on more volume
    "reverse_split",  # IB: prices and volumes as a later reverse split, one for ten, leaves them
]
THETA_ROWS_OF: dict[FaultKind, tuple[str, ...]] = {
    "volume_only": (EOD_ENDPOINT,),
    "carried_tail": (QUOTE_ENDPOINT, GREEKS_ENDPOINT),
    "zero_tail": (QUOTE_ENDPOINT, GREEKS_ENDPOINT),
    "empty_greeks": (GREEKS_ENDPOINT,),
    "large_sizes": (QUOTE_ENDPOINT, EOD_ENDPOINT),
    "revised": THETA_HISTORIES,
    "quote_spike": (QUOTE_ENDPOINT, GREEKS_ENDPOINT),
    "repeated_messages": (OPEN_INTEREST_ENDPOINT,),
    "one_row": (QUOTE_ENDPOINT, GREEKS_ENDPOINT),
    "settled_listed": (CONTRACTS_ENDPOINT,),
}
"""Rows that are valid and not what one expects, and what has them (``theta.unusual``)."""

HISTORIES_ONLY: frozenset[FaultKind] = frozenset(
    ("large_request", "missing_contract", "renamed_column", "empty_expiration", "replayed", *THETA_ROWS_OF)
) - {"settled_listed"}
IB_BARS_ONLY: frozenset[FaultKind] = frozenset(
    {
        *("short_day", "wrong_count", "bad_bar", "price_spike", "fractional_volume", "wrong_session"),
        *("frozen", "flat", "silent_bars", "reverse_split", "revised_bars"),
    }
)
_IB_REQUESTS_TO_HMDS: frozenset[FaultKind] = frozenset({"pacing", "permissions", "hmds_disconnect"})
_IB_SAID: frozenset[FaultKind] = frozenset({"tws_error", "advisory", "notice"})
_IB_OUTAGES: frozenset[FaultKind] = frozenset({"connection_lost", "farm_lost"})
_IB_ANY_REQUEST: frozenset[FaultKind] = (
    _IB_SAID
    | _IB_OUTAGES
    | frozenset({"no_data", "silence", "half_frame", "half_frame_reset", "endless_frame", "restart", "handshake_only"})
)
_IB_ENDPOINTS: dict[str, frozenset[FaultKind]] = {
    IB_HISTORICAL_DATA: IB_BARS_ONLY | _IB_REQUESTS_TO_HMDS | _IB_ANY_REQUEST,
    IB_HEAD_TIMESTAMP: _IB_REQUESTS_TO_HMDS | _IB_ANY_REQUEST,
    IB_CONTRACT_DETAILS: _IB_ANY_REQUEST,
}


class Fault(BaseModel):
    """One fault, and the requests it strikes: all that match, `rate` of them, or the first `times` of them.

    The first `skip` requests that match pass it unharmed.

    Without an `endpoint` a fault strikes the requests for its vendor's data: quotes, or what has such rows, or bars.
    `symbol` narrows a fault of IB to one ticker.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    endpoint: str = QUOTE_ENDPOINT
    day: date | None = None
    symbol: str | None = None
    rate: float = Field(default=1.0, gt=0, le=1)
    times: int | None = Field(default=None, ge=1)
    skip: int = Field(default=0, ge=0)
    status: int | None = Field(default=None, ge=400, le=599)
    seconds: float = Field(default=2.0, gt=0)
    rows: int = Field(default=1_000_000, ge=1)
    code: int | None = Field(default=None, ge=100, le=99_999)
    text: str = ""
    silent: bool = False

    @model_validator(mode="before")
    @classmethod
    def _strike_the_vendors_data(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "endpoint" in given:
            return given
        kind = str(given.get("kind"))
        if kind in _IB_ENDPOINTS[IB_HISTORICAL_DATA]:
            return {**given, "endpoint": IB_HISTORICAL_DATA}
        return {**given, "endpoint": THETA_ROWS_OF[kind][0]} if kind in THETA_ROWS_OF else given

    @model_validator(mode="after")
    def _status_belongs_to_its_kind(self) -> Fault:
        if (self.kind == "status") != (self.status is not None):
            raise ValueError('"status" is given with kind "status", and only there')
        return self

    @model_validator(mode="after")
    def _code_belongs_to_its_kind(self) -> Fault:
        needed, known = self.kind in _IB_SAID, self.kind in _IB_SAID | _IB_OUTAGES
        if (needed and self.code is None) or (not known and self.code is not None):
            raise ValueError(
                f'"code", perhaps with "text", is given with kind {_listed(_IB_SAID)}, may be given with '
                f"{_listed(_IB_OUTAGES)}, and nowhere else"
            )
        if self.text and self.code is None and self.kind not in ("status", "words"):
            raise ValueError('"text" is given with a "code", or with the kinds "status" and "words", and only there')
        if self.silent and self.kind not in ("advisory", "notice"):
            raise ValueError('"silent" is given with kind "advisory" or "notice", and only there')
        return self

    @model_validator(mode="after")
    def _kind_fits_the_vendor(self) -> Fault:
        strikes_ib = self.endpoint in _IB_ENDPOINTS
        if strikes_ib and self.kind not in _IB_ENDPOINTS[self.endpoint]:
            known = ", ".join(sorted(_IB_ENDPOINTS[self.endpoint]))
            raise ValueError(f'"{self.kind}" does not strike {self.endpoint}; what does: {known}')
        if not strikes_ib and self.kind in _IB_ENDPOINTS[IB_HISTORICAL_DATA]:
            raise ValueError(f'"{self.kind}" strikes {", ".join(_IB_ENDPOINTS)} and no other endpoint')
        if not strikes_ib and self.symbol is not None:
            raise ValueError(f'"symbol" narrows the faults of {", ".join(_IB_ENDPOINTS)} and of no other endpoint')
        return self

    @model_validator(mode="after")
    def _kind_fits_the_endpoint(self) -> Fault:
        if self.kind in HISTORIES_ONLY and self.endpoint not in THETA_HISTORIES:
            raise ValueError(f'"{self.kind}" changes the rows of {", ".join(THETA_HISTORIES)} and of no other endpoint')
        if self.endpoint not in (having := THETA_ROWS_OF.get(self.kind, (self.endpoint,))):
            raise ValueError(f'"{self.kind}" changes the rows of {", ".join(having)} and of no other endpoint')
        return self


def _listed(kinds: frozenset[FaultKind]) -> str:
    return " or ".join(f'"{kind}"' for kind in sorted(kinds))
