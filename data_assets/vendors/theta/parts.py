"""The finished requests of an unfinished day on disk, so that nothing that has arrived whole is requested twice.

Here: what a part is, and when it may be used again. Not here: files, digests and age (``lake.unfinished``), and which
parts make a day (``plan``).

A part is the response to a request for one expiration. It is used again only for a request with exactly the same
parameters, and its contracts are compared with the vendor's list again as if it had just arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from data_assets.lake.unfinished import UnfinishedDay
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.intake import Grid
from data_assets.vendors.theta.schema import SCHEMA_VERSION, Table

_CONSTANT = ("symbol", "expiration")


@dataclass(frozen=True, slots=True)
class Body:
    """What came for one request.

    Attributes:
        request: the request, in words.
        rows: its rows.
        raw_size: its bytes.
        raw_sha256: their digest.
        line_end: CRLF or LF.
        extra_columns: columns that are not stored.
        fetched_at: when it was complete, ISO 8601.
        short_end: how it ends inside a contract, if it was believed although it does.
    """

    request: str
    rows: int
    raw_size: int
    raw_sha256: str
    line_end: str
    extra_columns: tuple[str, ...]
    fetched_at: str
    short_end: str | None = None

    def note(self) -> dict[str, Any]:
        """Return it as JSON values, without those that are None."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Part:
    """A request that is done.

    Attributes:
        request: the request.
        summary: one row per contract.
        body: what came.
    """

    request: HistoryRequest
    summary: pl.DataFrame
    body: Body


class Parts:
    """The parts of one day."""

    def __init__(self, pieces: UnfinishedDay, table: Table, grid: Grid) -> None:
        """Look after the parts in ``pieces``, whose context is open."""
        self._pieces = pieces
        self._table = table
        self._grid = grid

    def names(self) -> set[str]:
        """Return the names (`part_name`) of the parts that are there; they have not been read yet."""
        return self._pieces.names()

    def find(self, request: HistoryRequest) -> Part | None:
        """Read the part of a request back; None if there is none that can be trusted."""
        found = self._pieces.get(part_name(request))
        if found is None:
            return None
        rows, note = found
        if note.get("asked") != asked(request) or not isinstance(note.get("body"), Mapping):
            return None
        body = note["body"]
        return Part(
            request,
            self._grid.summary(self._with_constants(rows, request)),
            Body(**{**body, "extra_columns": tuple(body["extra_columns"])}),
        )

    def keep(self, request: HistoryRequest, rows: pl.DataFrame, summary: pl.DataFrame, body: Body) -> Part:
        """Write a whole response to disk.

        Raises:
            LakeError: it cannot be written.
        """
        note = {"asked": asked(request), "body": body.note()}
        self._pieces.put(part_name(request), rows.drop(_CONSTANT), note)
        return Part(request, summary, body)

    def rows(self, part: Part) -> pl.DataFrame | None:
        """Return the rows of a part in the table's columns; None if they have been damaged since."""
        found = self._pieces.get(part_name(part.request))
        return None if found is None else self._with_constants(found[0], part.request)

    def _with_constants(self, rows: pl.DataFrame, request: HistoryRequest) -> pl.DataFrame:
        expiration = date.fromisoformat(request.expiration)
        return rows.with_columns(symbol=pl.lit(request.symbol), expiration=pl.lit(expiration)).select(
            *self._table.columns
        )


def part_name(request: HistoryRequest) -> str:
    """Return the name of a request's part among those of its day."""
    return f"{request.symbol}-{request.expiration}-{request.right}"


def asked(request: HistoryRequest) -> dict[str, str]:
    """Return all parameters of a request; a response to any other request is not used for it."""
    return {**request.params(), "endpoint": request.endpoint, "schema_version": str(SCHEMA_VERSION)}
