"""Whether a day is complete, by the vendor's contract list, and what the footer says about it.

Here: the comparison root by root, which responses are not believed at once, and which days are not stored at all. Not
here: whether a single body is whole (``intake``), what is remembered of a response (``short_answers``), and the
verdicts on the stored day (``day_checks``).

`option/list/contracts/quote` names the contracts that a complete day holds. A body or a day that lacks more of them
than is tolerated is requested again, and so is an empty response. If the same response comes once more, it is the
vendor's last word and outranks its list: the day is stored as it is, and `contract_set` fails and names what is absent.
This has limits. No more than the dataset's ``absent_limit`` of a root's listed contracts may be absent; but the list is
one of quotes, so in other histories a root may be absent altogether, as open interest is on a root's first day. And a
body that both stops inside its last contract and lacks contracts was cut, however often it comes.

Contracts that expire on the day have no data if they are settled by its opening prices (SPX, VIX, VIXW and others).
Which roots these are is learnt from the vendor: their earlier expirations were not quoted on the last day either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from data_assets.counts import count_of
from data_assets.ingest.outcome import DayEnded, Rejected, Transient
from data_assets.quality.completeness import ListComparison, absent_contracts
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.intake import BodyEnd
from data_assets.vendors.theta.short_answers import ShortAnswer, ShortAnswerMemory

if TYPE_CHECKING:
    from data_assets.vendors.theta.terminal import OptionSource

NAMES_KEPT = 50


@dataclass(frozen=True, slots=True)
class ContractList:
    """The vendor's contract list for a day.

    Attributes:
        contracts: the columns of ``contract_summary.CONTRACT``; None if there is no list.
        why_not: why there is none.
    """

    contracts: pl.DataFrame | None
    why_not: str = "the account's tier lacks the call"

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing."""
        return self.contracts is None or self.contracts.is_empty()

    def of(self, request: HistoryRequest) -> pl.DataFrame | None:
        """Return the contracts that the response to a request must hold; None if no list tells."""
        if self.contracts is None or self.contracts.is_empty():
            return None
        asked = pl.col("symbol") == request.symbol
        if request.expiration != "*":
            asked &= pl.col("expiration") == date.fromisoformat(request.expiration)
        if request.right != "both":
            asked &= pl.col("right") == request.right.upper()
        return self.contracts.filter(asked)


Comparisons = Mapping[str, ListComparison | None]
"""By root; None if there is no list to compare with."""


async def compare(
    arrived: pl.DataFrame,
    listed: ContractList,
    dataset: OptionDataset,
    day: date,
    bodies: OptionSource,
    memory: ShortAnswerMemory,
    *,
    silent: Mapping[str, str],
    short_ends: Iterable[ShortEnd] = (),
) -> dict[str, ListComparison | None]:
    """Compare a day's contracts with the list, root by root, so that a small root cannot hide behind a large one.

    Args:
        arrived: one row per contract.
        listed: the vendor's list.
        dataset: what was requested, each root as a whole.
        day: the trading day.
        bodies: where the contracts came from.
        memory: what is remembered of earlier responses.
        silent: roots of which nothing came, with the vendor's words.
        short_ends: the short ends of bodies that were believed all the same.

    Raises:
        ShortAnswer: contracts are absent, and not for the second time.
        DayEnded: ``Rejected``: more are absent than are accepted on the vendor's word.
    """
    settled = await settled_roots(arrived, listed, dataset.roots, day, bodies)
    tolerance = dataset.absent_tolerance
    found, again = compared(arrived, listed, dataset.roots, day, settled), []
    for root, comparison in found.items():
        request = dataset.request(day, root)
        if comparison is None or not is_short(comparison, tolerance):
            memory.forget(request, "absent")
        elif memory.repeated(request, "absent", comparison.absent):
            found[root] = replace(comparison, confirmed=len(comparison.absent))
        elif root in silent:
            again.append(contradiction(silent[root], comparison.listed))
        else:
            again.append(f"the body stopped short: {shortage(comparison, tolerance)}")
    if again:
        raise ShortAnswer(f"{'; '.join(again)}; {memory.advice}")
    found = with_short_ends(found, short_ends)
    refuse_too_many(found, dataset, set(silent))
    return found


async def settled_roots(
    arrived: pl.DataFrame, listed: ContractList, roots: Iterable[str], day: date, bodies: OptionSource
) -> frozenset[str]:
    """Return the roots whose contracts that expire on ``day`` were settled in its morning, by the vendor's data.

    Only a root whose list names such contracts, and of which none came, is examined.
    """
    if listed.contracts is None or listed.is_empty:
        return frozenset()
    expiring = pl.col("expiration") == day
    here = set() if arrived.is_empty() else set(arrived.filter(expiring)["symbol"].cast(pl.String).unique())
    unquoted = set(listed.contracts.filter(expiring)["symbol"].cast(pl.String).unique()) - here
    return frozenset(
        [root for root in roots if root in unquoted and await bodies.trades_on_last_day(root, day) is False]
    )


def compared(
    arrived: pl.DataFrame, listed: ContractList, roots: Iterable[str], day: date, settled: Collection[str]
) -> dict[str, ListComparison | None]:
    """Return what is absent and what is extra, by root; None if there is no list of the root."""
    found: dict[str, ListComparison | None] = dict.fromkeys(roots)
    if listed.contracts is None:
        return found
    came = listed.contracts.clear() if arrived.is_empty() else arrived
    for root in found:
        of_root = listed.contracts.filter(pl.col("symbol") == root)
        if not of_root.is_empty():
            here = came.filter(pl.col("symbol") == root)
            found[root] = absent_contracts(here, of_root, day=day, morning_settled=settled)
    return found


def with_short_ends(
    found: Mapping[str, ListComparison | None], short_ends: Iterable[ShortEnd]
) -> dict[str, ListComparison | None]:
    """Count the absent contracts of roots with a short end as confirmed, however few.

    Such a body came twice, and its end shows that they are more than a difference between the list and the history.
    """
    short = {end.root for end in short_ends}
    return {
        root: replace(each, confirmed=len(each.absent)) if each is not None and root in short else each
        for root, each in found.items()
    }


def refuse_too_many(
    found: Mapping[str, ListComparison | None], dataset: OptionDataset, silent: Collection[str]
) -> None:
    """Reject a day that lacks more of a root's contracts than are accepted on the vendor's word.

    Raises:
        DayEnded: ``Rejected``.
    """
    for root, comparison in found.items():
        if comparison is None or not comparison.confirmed or not is_short(comparison, dataset.absent_limit):
            continue
        if root in silent and not dataset.history.is_listed:
            continue
        raise DayEnded(
            Rejected(
                f"{shortage(comparison, dataset.absent_tolerance)}; the vendor said so twice, but its word is taken "
                f"for {dataset.absent_limit:.0%} at most: ask Theta about them, or raise absent_limit in defs.yaml, "
                "and run this day again"
            )
        )


@dataclass(frozen=True, slots=True)
class ShortEnd:
    """A body that was believed although it ends inside its last contract, compared with the others.

    Attributes:
        root: the option root.
        what: how it ends.
    """

    root: str
    what: str


async def short_end(
    request: HistoryRequest,
    end: BodyEnd,
    summary: pl.DataFrame,
    listed: ContractList,
    tolerance: float,
    bodies: OptionSource,
    memory: ShortAnswerMemory,
) -> ShortEnd | None:
    """Decide whether a body may end inside its last contract: it does if it came twice like that and lacks no other.

    The last contract may be an untraded test contract with a single row.

    Args:
        request: what was requested.
        end: how the body ended.
        summary: of the body, or of all bodies so far.
        listed: the vendor's list.
        tolerance: share of the listed contracts that may be absent.
        bodies: where it came from.
        memory: what is remembered of earlier responses.

    Returns:
        None if its last contract goes on as long as the others.

    Raises:
        ShortAnswer: it may or may not have been cut.
        Transient: it was cut.
    """
    if end.short is None:
        memory.forget(request, "last-contract")
        return None
    if not memory.repeated(request, "last-contract", [end.short, count_of(end.rows, "row")]):
        raise ShortAnswer(f"{request}: the body stopped short: {end.short}; {memory.advice}")
    what_else = "no list tells whether contracts are absent too"
    if (known := listed.of(request)) is not None:
        came = summary.filter(pl.col("symbol") == request.symbol)
        settled = await settled_roots(came, listed, [request.symbol], request.day, bodies)
        comparison = absent_contracts(came, known, day=request.day, morning_settled=settled)
        if not is_short(comparison, tolerance):
            return ShortEnd(request.symbol, end.short)
        what_else = shortage(comparison, tolerance)
    raise Transient(
        f"{request}: the body stopped short: {end.short}, and {what_else}: it came like this before, so it was cut; "
        f"{_smaller(request)}"
    )


def _smaller(request: HistoryRequest) -> str:
    if request.right != "both":
        return "no request is smaller: ask Theta about this expiration"
    unit = "expiration (or right)" if request.expiration == "*" else "right"
    return f"make requests smaller with request_by: {unit} in defs.yaml"


def contradiction(no_data: str, listed: int) -> str:
    """Say that the vendor holds nothing although its list names contracts."""
    return (
        f"{no_data}, though its own list names {count_of(listed, 'contract')} for that day: the two "
        "contradict each other"
    )


def is_short(comparison: ListComparison, share: float) -> bool:
    """Whether more than this share of the listed contracts are absent."""
    return len(comparison.absent) > share * comparison.listed


def shortage(comparison: ListComparison, tolerance: float) -> str:
    """Say how many contracts are absent, and which."""
    absent = len(comparison.absent)
    extra = f", while {comparison.extra:,} came that are not listed" if comparison.extra else ""
    return (
        f"{absent:,} of {comparison.listed:,} listed contracts are absent "
        f"({absent / comparison.listed:.1%}, {tolerance:.1%} tolerated): {some(comparison.absent)}{extra}"
    )


def footer_details(comparisons: Comparisons, listed: ContractList) -> dict[str, Any]:
    """Return what the file's footer says about the comparison: flat for one root, under ``roots`` for several."""
    of_roots = {root: _root_details(comparison, listed) for root, comparison in comparisons.items()}
    return next(iter(of_roots.values())) if len(of_roots) == 1 else {"roots": of_roots}


def root_details(details: Mapping[str, Any], root: str) -> Mapping[str, Any]:
    """Return one root's part of `footer_details`, read back."""
    of_root: Mapping[str, Any] = details.get("roots", {}).get(root, details)
    return of_root


def _root_details(comparison: ListComparison | None, listed: ContractList) -> dict[str, Any]:
    if comparison is None:
        why = listed.why_not if listed.contracts is None else "the vendor has no list for this day"
        return {"contract_list": f"cannot tell: {why}"}
    counts = {"contracts_absent_confirmed": comparison.confirmed, "contracts_settled": comparison.settled}
    return {
        "contracts_listed": comparison.listed,
        "contracts_absent": len(comparison.absent),
        "contracts_absent_names": list(comparison.absent[:NAMES_KEPT]),
        "contracts_extra": comparison.extra,
        **{name: count for name, count in counts.items() if count},
    }


def absent_count(comparisons: Comparisons) -> int | None:
    """Count the absent contracts of all roots; None if no list tells."""
    known = [len(comparison.absent) for comparison in comparisons.values() if comparison is not None]
    return sum(known) if known else None


def some(names: Iterable[str], shown: int = 5) -> str:
    """Write the first few of some names."""
    listed = list(names)
    return ", ".join(listed[:shown]) + (" and others" if len(listed) > shown else "")
