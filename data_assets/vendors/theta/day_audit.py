"""The facts about a fetched day, as the file's footer and the day's metadata show them.

Here: the facts and these two forms. Not here: collecting them (``whole_day``, ``by_expiration``, ``reports``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from data_assets.ingest.outcome import Scalar
from data_assets.quality.option_quotes import day_metrics
from data_assets.vendors.theta.audit import Comparisons, ContractList, ShortEnd, absent_count, footer_details
from data_assets.vendors.theta.parts import Body


@dataclass(frozen=True, slots=True)
class DayAudit:
    """A day's bodies and contracts, audited.

    Attributes:
        summary: one row per contract, with its number of rows.
        source: where the bodies came from.
        raw_sha256: digest of the bodies; if they did not come one after another, of their digests.
        raw_size: bytes of the bodies.
        bodies: how many bodies there were.
        line_end: CRLF or LF.
        extra_columns: columns that are not stored.
        listed: the vendor's contract list.
        comparisons: the comparison with the list, by root.
        stale_expirations: contracts that had expired before the day.
        short_ends: the short ends of bodies that end inside a contract and were believed.
        superseded: reports that are not stored because they were repeated or replaced by a newer one; None for
            snapshots.
        more: further details for the footer.
    """

    summary: pl.DataFrame
    source: str
    raw_sha256: str
    raw_size: int
    bodies: int
    line_end: str
    extra_columns: frozenset[str]
    listed: ContractList
    comparisons: Comparisons
    stale_expirations: int = 0
    short_ends: tuple[ShortEnd, ...] = ()
    superseded: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def details(self) -> dict[str, Any]:
        """Return the details for the footer."""
        return {
            "requests": self.bodies,
            "line_end": self.line_end,
            "extra_columns": sorted(self.extra_columns),
            "stale_expirations": self.stale_expirations,
            **footer_details(self.comparisons, self.listed),
            **({"short_ends": [end.what for end in self.short_ends]} if self.short_ends else {}),
            **({} if self.superseded is None else {"superseded_reports": self.superseded}),
            **self.more,
        }

    def metadata(self, seconds: float, *, by_minute: bool) -> dict[str, Scalar]:
        """Return the metadata of the day's materialization.

        Args:
            seconds: how long the day took.
            by_minute: whether its summary is a summary of snapshots.
        """
        rows = int(self.summary["rows"].sum())
        counts = {
            "rows": rows,
            "contracts": self.summary.height,
            "expirations": self.summary["expiration"].n_unique(),
        }
        metadata: dict[str, Scalar] = {
            **(day_metrics(self.summary) if by_minute else counts),
            "raw_megabytes": round(self.raw_size / 1e6, 3),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds),
            "requests": self.bodies,
            "stale_expirations": self.stale_expirations,
        }
        if (absent := absent_count(self.comparisons)) is not None:
            metadata["absent_contracts"] = absent
        if self.short_ends:
            metadata["bodies_with_a_short_end"] = len(self.short_ends)
        if self.superseded is not None:
            metadata["superseded_reports"] = self.superseded
        if self.extra_columns:
            metadata["extra_columns"] = ", ".join(sorted(self.extra_columns))
        return metadata


def digest_of_digests(bodies: Sequence[Body]) -> str:
    """Return one digest for bodies that came in any order: that of their digests as text, in the order of the file."""
    return hashlib.sha256("".join(body.raw_sha256 for body in bodies).encode()).hexdigest()
