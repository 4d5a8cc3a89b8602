"""The faults that the sandbox's flat files and their bucket can be told to show.

Here: what a fault is, and which days it strikes. Not here: how it is carried out: in the file (`flat_files.damage`,
`flat_files`), or in the answer to a request (`flat_files.bucket`). The settings import this module, so it stays light.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FlatFileFaultKind = Literal[
    # Faults of a file, whoever reads it
    "late_file",  # listed `hours` later than usual
    "missing_file",  # never listed
    "republished_file",  # the second version: rows changed, added and removed
    "truncated_gzip",  # ends in the middle of the compressed data
    "wrong_crc",  # the checksum at its end is that of other data
    "wrong_date",  # every row is stamped a day late, as in the real file of 2019-08-12
    "duplicate_rows",  # some rows twice
    "conflicting_rows",  # some (ticker, minute) twice, with different values
    "night_session",  # some tickers have rows from 20:00 of the evening before on, as trade dates would have it
    "split_blocks",  # whole, but every ticker's rows in two blocks
    "hole",  # no ticker has a row in `minutes` minutes from 11:00
    "high_spike",  # the high of one bar of `ticker`, at noon, is ten times what it was
    "stops_at_noon",  # a valid file without the afternoon
    "absent_ticker",  # no row of `ticker`
    "few_tickers",  # a valid file with the rows of `ticker` and of `share` of the tickers, the first ones
    "renamed_volume",  # its column `volume` is called something else
    "byte_order_mark",  # its text begins with one, as a mirror that went through an editor
    "blank_last_line",  # its text ends with one
    "no_last_line_end",  # its last row, whole, has none
    "odd_counts",  # its first number of trades reads like 27.000000, its last like 8.1e+03
    "zero_padding",  # zeros behind the compressed data, as a tape pads
    "gzip_bomb",  # its last row `rows` more times, which takes few bytes
    "missing_transactions",  # its column `transactions` is not there
    # Faults of an answer of the bucket
    "forbidden",  # 403 to GET and HEAD, while the listing shows the file
    "slow_down",  # 503 to GET and HEAD
    "listing_slow_down",  # 503 to a listing
    "file_status",  # `status` with the S3 error `code`, or with a web page if there is none, to GET and HEAD
    "listing_status",  # the same to a listing
    "other_region",  # 400 to everything: requests should be signed for eu-west-1
    "web_page",  # 200 and a sign-in page to everything, as a guest network answers
    "cut_body",  # fewer bytes than declared, then the end of the connection
    "reset_body",  # half of the body, then a reset connection
    "damaged_body",  # as many bytes as declared, some of them wrong
    "replaced_file",  # a new version takes the file's place just before it is read
]
ANSWER_KINDS: frozenset[FlatFileFaultKind] = frozenset(
    {
        *("forbidden", "slow_down", "listing_slow_down", "file_status", "listing_status", "other_region", "web_page"),
        *("cut_body", "reset_body", "damaged_body", "replaced_file"),
    }
)
"""The kinds that only a bucket shows, request by request; a folder of files does not."""

LISTING_KINDS: frozenset[FlatFileFaultKind] = frozenset({"listing_slow_down", "listing_status"})
REQUEST_KINDS: frozenset[FlatFileFaultKind] = frozenset({"other_region", "web_page"})
"""Those of listings and objects alike."""

_STATUS_KINDS: frozenset[FlatFileFaultKind] = frozenset({"file_status", "listing_status"})


class FlatFileFault(BaseModel):
    """One fault, and the files it strikes: those of `day`, or whose key begins with `prefix`, or `rate` of them.

    A fault of an answer strikes `rate` of the requests for these files, or the first `times` of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FlatFileFaultKind
    day: date | None = None
    prefix: str = ""
    rate: float = Field(default=1.0, gt=0, le=1)
    times: int | None = Field(default=None, ge=1)
    hours: float = Field(default=48.0, gt=0)
    minutes: int = Field(default=5, ge=1, le=60)
    ticker: str = Field(default="SPY", min_length=1)
    rows: int = Field(default=12_000_000, ge=1)
    share: float = Field(default=0.1, ge=0, lt=1)
    status: int | None = Field(default=None, ge=300, le=599)
    code: str = ""

    @model_validator(mode="after")
    def _times_count_requests(self) -> FlatFileFault:
        if self.times is not None and self.kind not in ANSWER_KINDS:
            raise ValueError(f'"times" counts requests, and "{self.kind}" lies in the file: leave "times" out')
        return self

    @model_validator(mode="after")
    def _a_listing_has_no_day(self) -> FlatFileFault:
        if self.kind in LISTING_KINDS and self.day is not None:
            raise ValueError(f'a listing has no day: give "{self.kind}" a "prefix" or nothing')
        return self

    @model_validator(mode="after")
    def _status_belongs_to_its_kinds(self) -> FlatFileFault:
        if (self.kind in _STATUS_KINDS) != (self.status is not None) or (self.code and self.status is None):
            kinds = " or ".join(f'"{kind}"' for kind in sorted(_STATUS_KINDS))
            raise ValueError(f'"status", perhaps with "code", is given with {kinds}, and only there')
        return self
