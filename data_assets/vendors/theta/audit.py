"""Whether a day is complete, by the vendor's own list of contracts, and what the footer says of that.

Here: the comparison root by root, what may not be believed at once, and what may not be stored at all. Not here:
whether a single body is whole (``intake``), what is remembered of an answer (``short_answers``), and the verdicts on
the stored day (``day_checks``).

`option/list/contracts/quote` names the contracts that a complete day holds. A body or a day that lacks more of them
than is tolerated is asked for again, and so is an empty answer. The same answer once more is the vendor's last word,
which outranks its list: what there is becomes the day, and `contract_set` fails and names what is absent. There are
limits to that. Of a root's listed contracts no more than the dataset's ``absent_limit`` may be absent; the list is one
of quotes, though, so of other histories a root may be absent altogether, as open interest is on a root's first day. And
a body that both stops inside its last contract and lacks contracts was cut, however often it comes.

Contracts that expire on the day have no data if they are settled by its opening prices (SPX, VIX, VIXW and others).
Which roots are is learnt from the vendor: of theirs, no former expiration was quoted on its last day either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

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


Comparisons = Mapping[str, ListComparison | None]
"""By root; None where there is no list to compare with."""


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
    """A day's contracts against the list, root by root, so that a small root cannot hide behind a large one.

    Args:
        arrived: one row per contract.
        listed: the vendor's list.
        dataset: what was asked for, each root as a whole.
        day: the trading day.
        bodies: where they came from.
        memory: what is remembered of the answers before.
        silent: roots of which nothing came, with the vendor's words.
        short_ends: of bodies that were believed all the same.

    Raises:
        ShortAnswer: contracts are absent, and not for the second time.
        DayEnded: ``Rejected``: so many are that the vendor's word is not taken for it.
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
    """The roots whose contracts that expire on ``day`` were settled in its morning, by what the vendor holds of them.

    Only a root whose list names such contracts, and of which none came, is looked into.
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
    """What is absent and what is extra, by root; None where there is no list of it."""
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
    """Where a body ended inside its last contract, the contracts that it lacks count as confirmed, however few.

    It came twice; and its end is a sign that they are no mere difference between the list and the history.
    """
    short = {end.root for end in short_ends}
    return {
        root: replace(each, confirmed=len(each.absent)) if each is not None and root in short else each
        for root, each in found.items()
    }


def refuse_too_many(
    found: Mapping[str, ListComparison | None], dataset: OptionDataset, silent: Collection[str]
) -> None:
    """Refuse a day that lacks more of a root's contracts than the vendor's word is taken for.

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
    """A body that ends inside its last contract, by the measure of the others, and was believed.

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
    """Whether a body may end inside its last contract: it came twice like that, and lacks no other contract.

    An untraded test contract with a single row may come last.

    Args:
        request: what was asked.
        end: how the body ended.
        summary: of the body, or of all bodies so far.
        listed: the vendor's list.
        tolerance: share of the listed contracts that may be absent.
        bodies: where it came from.
        memory: what is remembered of the answers before.

    Returns:
        None where it ends as bodies do.

    Raises:
        ShortAnswer: it may have been cut, and may not.
        Transient: it was cut.
    """
    if end.short is None:
        memory.forget(request, "last-contract")
        return None
    if not memory.repeated(request, "last-contract", [end.short, f"{end.rows} rows"]):
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
        "make requests smaller with request_by: expiration (or right) in defs.yaml"
    )


def contradiction(no_data: str, listed: int) -> str:
    """Words for an answer that there is nothing, where the list names contracts."""
    return f"{no_data}, though its own list names {listed:,} contracts for that day: the two contradict each other"


def is_short(comparison: ListComparison, share: float) -> bool:
    """Whether more than this share of the listed contracts are absent."""
    return len(comparison.absent) > share * comparison.listed


def shortage(comparison: ListComparison, tolerance: float) -> str:
    """How many contracts are absent, and which."""
    absent = len(comparison.absent)
    extra = f", while {comparison.extra:,} came that are not listed" if comparison.extra else ""
    return (
        f"{absent:,} of {comparison.listed:,} listed contracts are absent "
        f"({absent / comparison.listed:.1%}, {tolerance:.1%} tolerated): {some(comparison.absent)}{extra}"
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
    counts = {"contracts_absent_confirmed": comparison.confirmed, "contracts_settled": comparison.settled}
    return {
        "contracts_listed": comparison.listed,
        "contracts_absent": len(comparison.absent),
        "contracts_absent_names": list(comparison.absent[:NAMES_KEPT]),
        "contracts_extra": comparison.extra,
        **{name: count for name, count in counts.items() if count},
    }


def absent_count(comparisons: Comparisons) -> int | None:
    """Absent contracts of all roots; None where no list tells."""
    known = [len(comparison.absent) for comparison in comparisons.values() if comparison is not None]
    return sum(known) if known else None


def some(names: Iterable[str], shown: int = 5) -> str:
    """The first of some names."""
    listed = list(names)
    return ", ".join(listed[:shown]) + (" and others" if len(listed) > shown else "")
