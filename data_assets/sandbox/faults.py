"""The faults a sandbox server can be told to show, for tests and for people who want to see recovery.

Here: what a fault is. Not here: which request it strikes (``fault_schedule``), and how a server carries it out.
The settings import this module, so it stays light.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

QUOTE_ENDPOINT = "option/history/quote"

FaultKind = Literal[
    "status",  # answer with `status` instead of data
    "disconnected",  # 474 for `seconds`, and terminal/mdds/status says DISCONNECTED meanwhile
    "large_request",  # 570 for answers above `rows`
    "stall",  # send half of the body, then nothing
    "cut",  # end the body mid-row as if it were complete
    "reset",  # send half of the body, then reset the connection
    "missing_contract",  # leave one contract in twenty out of the body
    "renamed_column",  # call `bid` something else
]
QUOTES_ONLY: frozenset[FaultKind] = frozenset({"large_request", "missing_contract", "renamed_column"})


class Fault(BaseModel):
    """One fault, and the requests it strikes: all that match, `rate` of them, or the first `times` of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    endpoint: str = QUOTE_ENDPOINT
    day: date | None = None
    rate: float = Field(default=1.0, gt=0, le=1)
    times: int | None = Field(default=None, ge=1)
    status: int | None = Field(default=None, ge=400, le=599)
    seconds: float = Field(default=2.0, gt=0)
    rows: int = Field(default=1_000_000, ge=1)

    @model_validator(mode="after")
    def _status_belongs_to_its_kind(self) -> Fault:
        if (self.kind == "status") != (self.status is not None):
            raise ValueError('"status" is given with kind "status", and only there')
        return self

    @model_validator(mode="after")
    def _kind_fits_the_endpoint(self) -> Fault:
        if self.kind in QUOTES_ONLY and self.endpoint != QUOTE_ENDPOINT:
            raise ValueError(f'"{self.kind}" changes the answer of {QUOTE_ENDPOINT} and of no other endpoint')
        return self
