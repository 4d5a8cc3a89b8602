"""The rules for a stored day of option quotes, and the day's numbers worth plotting.

Here: verdicts on the summary of one day, and the default thresholds; a block of `defs.yaml` may set others. Not here:
how the summary is counted (``contract_summary``), whether a response may be published at all (``completeness``), and
the asset checks that show the verdicts.

No rule deletes or mends a row: crossed markets, zero bids and missing quotes are counted and shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

import polars as pl

from data_assets.counts import all_that, count_of, part_of, verb_of
from data_assets.quality.naming import NAMES_SHOWN, clock, session_day, some_contracts
from data_assets.quality.thresholds import Shares
from data_assets.quality.verdict import Verdict

GRID_TOLERANCE = 0.02
"""Share of a day's contracts off the regular grid above which ``grid`` warns; ``grid_tolerance`` in a block."""


@dataclass(frozen=True, slots=True)
class QuoteThresholds(Shares):
    """Shares of a day's quotes, from 0 to 1, above which ``quotes`` warns. No vendor publishes such rates.

    Attributes:
        crossed: bid above ask. It lasts milliseconds, so a snapshot rarely shows one.
        locked: bid equal to ask; more common than crossed, in markets a cent wide.
        zero_bid: an ask without a bid, usual far out of the money: about half of a wide chain.
        zero_ask: a bid without an ask.
        no_quote: neither side, apart from the row at the open, which is always empty.
    """

    crossed: float = 0.001
    locked: float = 0.01
    zero_bid: float = 0.6
    zero_ask: float = 0.01
    no_quote: float = 0.05


def day_metrics(summary: pl.DataFrame) -> dict[str, int | float]:
    """Return the day's numbers, for plots over many days.

    Returns:
        rows, contracts, expirations; crossed_share, locked_share, zero_bid_share, zero_ask_share and no_quote_share,
        each from 0 to 1 of the rows, not counting the empty ones at the open.
    """
    return {
        "rows": int(summary["rows"].sum()),
        "contracts": summary.height,
        "expirations": summary["expiration"].n_unique(),
        **{f"{kind}_share": share for kind, share in _shares(summary).items()},
    }


def grid(
    summary: pl.DataFrame,
    *,
    open_: datetime,
    close: datetime,
    option_close: datetime,
    interval: timedelta,
    window_end: datetime | None = None,
    tolerance: float = GRID_TOLERANCE,
) -> Verdict:
    """Check that every contract has a row at each point of the session's grid.

    A contract is regular if it starts at the open, has one row per point, and ends where most contracts of its kind
    (those that expire today, those that do not) end: at one of the two closes, or at the last requested snapshot if
    that is later. How early closes, the last rows of expiring contracts, and contracts first quoted during the day
    really look is not established, so irregular contracts are described and the verdict at most warns. An empty row at
    the open is normal. Only a day without any contract is an error.

    Args:
        summary: of the whole day.
        open_: the session's open (09:30 in New York), an aware instant like the others.
        close: the underlying's close (16:00, 13:00 on early closes).
        option_close: the option session's close (16:15, 13:15 on early closes).
        interval: the grid's step.
        window_end: the last requested snapshot, if it is after the option close, as on early closes.
        tolerance: the share of irregular contracts above which the verdict warns.
    """
    if summary.is_empty():
        return Verdict("grid", passed=False, severity="error", summary="the day holds no contract", metadata={})
    last = pl.col("last_timestamp")
    ends_of_day = [end for end in (close, option_close, window_end) if end is not None]
    kind = pl.col("expiration") == session_day(close)
    points = (last - pl.col("first_timestamp")).dt.total_microseconds() // (interval // timedelta(microseconds=1)) + 1
    judged = summary.with_columns(
        starts_late=pl.col("first_timestamp") > open_,
        ends_oddly=~last.is_in(ends_of_day) | (last != last.mode().max().over(kind)),
        has_holes=points != pl.col("rows"),
    ).with_columns(pl.col("starts_late", "ends_oddly", "has_holes").fill_null(True))
    irregular = judged.filter(pl.any_horizontal("starts_late", "ends_oddly", "has_holes"))
    share = irregular.height / summary.height
    late, odd, holes = (int(judged[column].sum()) for column in ("starts_late", "ends_oddly", "has_holes"))
    ends = [
        f"{clock(end)} ({contracts:,})"
        for end, contracts in summary.group_by("last_timestamp")
        .len()
        .sort("len", "last_timestamp", descending=True)
        .iter_rows()
    ]
    where = f"contracts by last row: {', '.join(ends[:NAMES_SHOWN])}"
    if len(ends) > NAMES_SHOWN:
        where += f" and {count_of(len(ends) - NAMES_SHOWN, 'more minute')}"
    found = (
        f"{part_of(irregular.height, summary.height, 'contract')} ({share:.2%}) {verb_of(irregular.height, 'leave')} "
        f"the grid: {late:,} {verb_of(late, 'start')} late, {odd:,} {verb_of(odd, 'end')} oddly, {holes:,} "
        f"{verb_of(holes, 'have')} holes"
        if irregular.height
        else all_that(summary.height, "contract", f"hold the whole grid from {clock(open_)}")
    )
    return Verdict(
        "grid",
        passed=share <= tolerance,
        severity="warn",
        summary=f"{found}; {where}",
        metadata={
            "contracts": summary.height,
            "irregular": irregular.height,
            "irregular_share": share,
            "tolerance": tolerance,
            "start_late": late,
            "end_oddly": odd,
            "with_holes": holes,
            "empty_at_open": int((summary["opening_no_quote"] > 0).sum()),
            "contracts_by_last_row": ends[:NAMES_SHOWN],
            "irregular_contracts": some_contracts(
                irregular,
                lambda row: (
                    f"{count_of(row['rows'], 'row')}, {clock(row['first_timestamp'])} to {clock(row['last_timestamp'])}"
                ),
            ),
        },
    )


def contract_set(
    summary: pl.DataFrame,
    *,
    listed: int | None,
    absent: int,
    absent_names: Sequence[str],
    extra: int,
    tolerance: float,
    confirmed: int = 0,
    settled: int = 0,
) -> Verdict:
    """Check that the day holds the contracts that the vendor's list names.

    A day with neither contracts nor a list is an error. So is any listed contract of which the vendor said twice that
    it has no data: the day is stored, but it is not whole. Contracts settled in the morning are rightly absent.

    Args:
        summary: of the whole day.
        listed: contracts listed for the day; None if the list could not be had (a tier without that call).
        absent: how many of the listed contracts the day lacks.
        absent_names: their names, or the first few of them.
        extra: contracts of the day that are not listed.
        tolerance: the share of the listed contracts that may be absent (else an error) or extra (else a warning).
        confirmed: how many of the absent contracts were requested again, with the same response.
        settled: listed contracts, not counted in ``listed``, that were settled in the morning of the day.
    """
    contracts = summary.height
    if not contracts and listed is None:
        return Verdict(
            "contract_set",
            passed=False,
            severity="error",
            summary="neither the day nor the vendor's list holds a contract: is the root spelt as at the vendor?",
            metadata={"contracts": 0},
        )
    if listed is None:
        return Verdict(
            "contract_set",
            passed=True,
            severity="warn",
            summary=f"cannot tell: there is no contract list of the day (the vendor's is empty, or the tier lacks "
            f"it); the day holds {count_of(contracts, 'contract')}",
            metadata={"contracts": contracts},
        )
    too_many_absent = absent > tolerance * listed or confirmed > 0
    too_many_extra = extra > tolerance * listed
    shown = list(absent_names[:NAMES_SHOWN])
    found = part_of(absent, listed, "listed contract", "are absent") if absent else f"all {listed:,} listed are here"
    if shown:
        found += f" ({', '.join(shown)}{', …' if absent > len(shown) else ''})"
    if confirmed:
        found += (
            "; the vendor was asked again and has no more: backfill --only all asks for the day again; or ask Theta"
        )
    if settled:
        found += (
            f"; {settled:,} more {verb_of(settled, 'were')} settled in the morning, and "
            f"{verb_of(settled, 'have')} no data"
        )
    if extra:
        found += f"; {extra:,} of the day's {count_of(contracts, 'contract')} {verb_of(extra, 'are')} not listed"
    return Verdict(
        "contract_set",
        passed=not (too_many_absent or too_many_extra),
        severity="error" if too_many_absent else "warn",
        summary=found,
        metadata={
            "contracts": contracts,
            "listed": listed,
            "absent": absent,
            "confirmed": confirmed,
            "settled": settled,
            "extra": extra,
            "tolerance": tolerance,
            "absent_contracts": shown,
        },
    )


def quotes(summary: pl.DataFrame, thresholds: QuoteThresholds, tail: pl.DataFrame | None = None) -> Verdict:
    """Check that prices and sizes are plausible.

    A negative or unusable value is an error. Crossed, locked and one-sided markets and missing quotes do happen: they
    warn above their thresholds, as shares of the rows, not counting the empty ones at the open. Snapshots after the
    options' close, where the vendor may carry the last quote or write none, are described and not counted.

    Args:
        summary: of the session.
        thresholds: the shares above which it warns.
        tail: the summary of the rows after the options' close; None if no such snapshots were requested.
    """
    parts = [summary] if tail is None else [summary, tail]
    impossible = {kind: sum(int(part[kind].sum()) for part in parts) for kind in ("negative", "unusable")}
    shares = _shares(summary)
    limits = asdict(thresholds)
    wrong = [f"{count_of(rows, 'row')} with a {kind} price or size" for kind, rows in impossible.items() if rows]
    high = [f"{kind} {shares[kind]:.2%} (limit {limits[kind]:.2%})" for kind in limits if shares[kind] > limits[kind]]
    every = ", ".join(f"{kind} {share:.2%}" for kind, share in shares.items())
    after: dict[str, int] = {}
    if tail is not None:
        after = {"rows_after_close": int(tail["rows"].sum()), "empty_after_close": int(tail["no_quote"].sum())}
    described = (
        f"{count_of(after['rows_after_close'], 'row')} after the options' close, "
        if after.get("rows_after_close")
        else ""
    )
    described += f"{after['empty_after_close']:,} of them without a quote" if described else ""
    watched = ("negative", "unusable", "crossed", "locked", "zero_ask")
    worst = summary.filter(pl.any_horizontal(pl.col(watched) > 0)).sort(watched, descending=True, maintain_order=True)
    return Verdict(
        "quotes",
        passed=not (wrong or high),
        severity="error" if wrong else "warn",
        summary="; ".join(filter(None, ["; ".join([*wrong, *high]) or every, described])),
        metadata={
            **{f"{kind}_rows": rows for kind, rows in impossible.items()},
            **{f"{kind}_share": share for kind, share in shares.items()},
            **{f"{kind}_limit": limit for kind, limit in limits.items()},
            **after,
            "worst_contracts": some_contracts(
                worst, lambda row: ", ".join(f"{row[kind]} {kind}" for kind in watched if row[kind])
            ),
        },
    )


def timestamps(summary: pl.DataFrame) -> Verdict:
    """Check that every row lies in the session and on the grid, and that the file is in its order; else an error.

    The order is by expiration, symbol, strike, right and timestamp, with each contract's rows in one piece and no
    timestamp twice.
    """
    kinds = {
        "outside_session": "outside the session",
        "off_grid": "off the grid",
        "disordered": "not after the contract's previous row",
    }
    counts = {kind: int(summary[kind].sum()) for kind in kinds}
    in_file_order = summary.with_row_index("appearance").sort("expiration", "symbol", "strike", "right")
    misplaced = int((in_file_order["appearance"].cast(pl.Int64).diff() < 0).sum())
    scattered = int((summary["last_row"] - summary["first_row"] + 1 > summary["rows"]).sum())
    found = [f"{count_of(counts[kind], 'row')} {text}" for kind, text in kinds.items() if counts[kind]]
    if misplaced:
        found.append(f"{count_of(misplaced, 'contract')} not in the order of the file")
    if scattered:
        found.append(f"{count_of(scattered, 'contract')} in several pieces")
    rows = int(summary["rows"].sum())
    concerned = summary.filter(pl.any_horizontal(pl.col(*kinds) > 0))
    return Verdict(
        "timestamps",
        passed=not found,
        severity="error",
        summary="; ".join(found) or all_that(rows, "row", "are in session, on the grid, unique and sorted"),
        metadata={
            "rows": rows,
            **counts,
            "misplaced_contracts": misplaced,
            "scattered_contracts": scattered,
            "contracts_concerned": some_contracts(
                concerned, lambda row: ", ".join(f"{row[kind]} {kind}" for kind in kinds if row[kind])
            ),
        },
    )


def _shares(summary: pl.DataFrame) -> dict[str, float]:
    empty_at_open = int(summary["opening_no_quote"].sum())
    counted = int(summary["rows"].sum()) - empty_at_open
    rows = {field.name: int(summary[field.name].sum()) for field in fields(QuoteThresholds)}
    rows["no_quote"] -= empty_at_open
    return {kind: count / counted if counted else 0.0 for kind, count in rows.items()}
