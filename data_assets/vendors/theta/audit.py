"""Whether a day is complete, by the vendor's own list of contracts, and what the footer says of that.

Here: the comparison root by root, and what may not be believed. Not here: whether a single body is whole (``intake``),
and the verdicts on the stored day (``judge``).

`option/list/contracts/quote` names the contracts that a complete day holds. A body or a day that lacks more of them
than is tolerated is asked for again; it never becomes a short day. Neither does an empty answer: no data is believed
only where the list names nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from data_assets.ingest.outcome import Transient
from data_assets.quality.completeness import ListComparison, absent_contracts
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.plan import has_data

NAMES_KEPT = 50


@dataclass(frozen=True, slots=True)
class ContractList:
    """The vendor's list of a day.

    Attributes:
        contracts: the columns of ``contract_summary.CONTRACT``; None where there is no such list.
        why_not: why there is none.
    """

    contracts: pl.DataFrame | None
    why_not: str = "the account's tier lacks the call"

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing."""
        return self.contracts is None or self.contracts.is_empty()

    def of(self, request: HistoryRequest) -> pl.DataFrame | None:
        """The contracts that the answer to a request must hold; None where no list tells."""
        if self.contracts is None or self.contracts.is_empty():
            return None
        asked = pl.col("symbol") == request.symbol
        if request.expiration != "*":
            asked &= pl.col("expiration") == date.fromisoformat(request.expiration)
        if request.right != "both":
            asked &= pl.col("right") == request.right.upper()
        return self.contracts.filter(asked)

    def alive(self, request: HistoryRequest) -> int:
        """How many contracts with data on the day it names for a request."""
        listed = self.of(request)
        if listed is None:
            return 0
        last_days = listed["expiration"].value_counts()
        return sum(count for last, count in last_days.iter_rows() if has_data(request.symbol, last, request.day))


def refuse_contradiction(no_data: str, listed: ContractList, requests: Iterable[HistoryRequest]) -> None:
    """Raise where the vendor's list names contracts for requests of which it says that it holds nothing.

    Raises:
        Transient: it does.
    """
    if alive := sum(listed.alive(request) for request in requests):
        raise Transient(
            f"{no_data}, though its own list names {alive:,} contracts of that day: the two contradict each other, and "
            "no data is believed only without such a list; ask again later"
        )


Comparisons = Mapping[str, ListComparison | None]
"""By root; None where there is no list to compare with."""


def compare(
    arrived: pl.DataFrame, listed: ContractList, roots: Iterable[str], day: date, tolerance: float
) -> Comparisons:
    """A day's contracts against the list, root by root, so that a small root cannot hide behind a large one.

    Args:
        arrived: one row per contract.
        listed: the vendor's list.
        roots: the roots that the day must hold.
        day: the trading day.
        tolerance: share of a root's listed contracts that may be absent.

    Raises:
        Transient: more of them are absent.
    """
    found: dict[str, ListComparison | None] = {}
    for root in roots:
        of_root = None if listed.contracts is None else listed.contracts.filter(pl.col("symbol") == root)
        if of_root is None or of_root.is_empty():
            found[root] = None
            continue
        comparison = absent_contracts(arrived.filter(pl.col("symbol") == root), of_root, day=day)
        if is_short(comparison, tolerance):
            raise Transient(f"the body stopped short: {shortage(comparison, tolerance)}")
        found[root] = comparison
    return found


def is_short(comparison: ListComparison, tolerance: float) -> bool:
    """Whether more contracts are absent than is tolerated."""
    return len(comparison.absent) > tolerance * comparison.listed


def shortage(comparison: ListComparison, tolerance: float) -> str:
    """How many contracts are absent, and which."""
    absent = len(comparison.absent)
    return (
        f"{absent:,} of {comparison.listed:,} listed contracts are absent "
        f"({absent / comparison.listed:.1%}, {tolerance:.1%} tolerated): {some(comparison.absent)}"
    )


def footer_details(comparisons: Comparisons, listed: ContractList) -> dict[str, Any]:
    """What the file's footer says of the comparison: flat for one root, under ``roots`` for several."""
    of_roots = {root: _root_details(comparison, listed) for root, comparison in comparisons.items()}
    return next(iter(of_roots.values())) if len(of_roots) == 1 else {"roots": of_roots}


def root_details(details: Mapping[str, Any], root: str) -> Mapping[str, Any]:
    """One root's part of `footer_details`, read back."""
    of_root: Mapping[str, Any] = details.get("roots", {}).get(root, details)
    return of_root


def _root_details(comparison: ListComparison | None, listed: ContractList) -> dict[str, Any]:
    if comparison is None:
        why = listed.why_not if listed.contracts is None else "the vendor has no list for this day"
        return {"contract_list": f"cannot tell: {why}"}
    return {
        "contracts_listed": comparison.listed,
        "contracts_absent": len(comparison.absent),
        "contracts_absent_names": list(comparison.absent[:NAMES_KEPT]),
        "contracts_extra": comparison.extra,
    }


def absent_count(comparisons: Comparisons) -> int | None:
    """Absent contracts of all roots; None where no list tells."""
    known = [len(comparison.absent) for comparison in comparisons.values() if comparison is not None]
    return sum(known) if known else None


def some(names: Iterable[str], shown: int = 5) -> str:
    """The first of some names."""
    listed = list(names)
    return ", ".join(listed[:shown]) + (" and others" if len(listed) > shown else "")
