"""The verdicts on a stored day of Theta options, by the rules of ``quality``.

Here: which rules a kind of dataset has, and the reading of the file for them, row group by row group, so that memory
does not grow with the day. Not here: the rules, and the asset checks that show the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from data_assets.lake.lake import Lake
from data_assets.quality import option_greeks, option_quotes, option_reports
from data_assets.quality.contract_summary import CONTRACT, merge_summaries
from data_assets.quality.option_greeks import GreekSummary, IvThresholds
from data_assets.quality.option_quotes import QuoteThresholds
from data_assets.quality.roots import per_root
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import previous_session, session
from data_assets.vendors.theta.audit import root_details
from data_assets.vendors.theta.dataset import Kind, OptionDataset

_GRID = "Every contract has a row at each point of the session's grid; irregular ones are counted and named."
_CONTRACT_SET = "The day holds the contracts that the vendor's own list names; absent ones are named."
_TIMESTAMPS = "Every row lies in the session and on the grid, unique and in the file's order."
_INTEGRITY = "The stored file is the one that was recorded: sha256, page checksums, row count, schema."
_CONTRACTS = "Every contract has one row, and the rows lie in the file's order."

CHECKS: Mapping[Kind, Mapping[str, str]] = {
    "quotes": {
        "grid": _GRID,
        "contract_set": _CONTRACT_SET,
        "quotes": "No negative price or size; shares of crossed, locked, one-sided and missing quotes within "
        "thresholds.",
        "timestamps": _TIMESTAMPS,
        "integrity": _INTEGRITY,
    },
    "greeks": {
        "grid": _GRID,
        "contract_set": _CONTRACT_SET,
        "iv": "Volatilities were found and can be: shares of failed, zero, high and poor ones within thresholds.",
        "parity": "Near the money, calls less puts are worth the underlying less the strike.",
        "underlying": "The underlying's price is positive, fresh, alike for all contracts, and moves as prices do.",
        "timestamps": _TIMESTAMPS,
        "integrity": _INTEGRITY,
    },
    "open_interest": {
        "contracts": _CONTRACTS,
        "contract_set": _CONTRACT_SET,
        "open_interest": "No negative number; sent in the morning of the day.",
        "integrity": _INTEGRITY,
    },
    "eod": {
        "contracts": _CONTRACTS,
        "contract_set": _CONTRACT_SET,
        "end_of_day": "Prices that moved enclose each other; made after the close; trades are of the session; "
        "bids are there.",
        "integrity": _INTEGRITY,
    },
}
"""By kind: the checks and what each verifies."""


@dataclass(frozen=True)
class Limits:
    """What is still usual.

    Attributes:
        grid_tolerance: share of contracts off the regular grid above which `grid` warns.
        quotes: for quotes.
        iv: for greeks.
    """

    grid_tolerance: float = 0.02
    quotes: QuoteThresholds = field(default_factory=QuoteThresholds)
    iv: IvThresholds = field(default_factory=IvThresholds)


def judge(lake: Lake, dataset: OptionDataset, day: date, limits: Limits) -> list[Verdict]:
    """The verdicts on a stored day, one for each of `CHECKS` but `integrity`."""
    if not dataset.by_minute:
        return _judge_reports(lake, dataset, day)
    grid, hours = dataset.grid(session(day)), session(day)
    close, option_close = grid.last_points
    # As on early closes. What the vendor writes after them (the last quote carried, or none) is not established: the
    # shares of quotes and greeks are those of the session, and the tail is described.
    goes_on = grid.window_end > hours.option_close
    contracts: list[pl.DataFrame] = []
    of_session: list[pl.DataFrame] = []
    of_tail: list[pl.DataFrame] = []
    greeks: list[GreekSummary] = []
    for batch in lake.batches(dataset.key, day):
        contracts.append(grid.summary(batch))
        inside = batch
        if goes_on:
            after = pl.col("timestamp") > hours.option_close
            inside = batch.filter(~after)
            of_session.append(grid.summary(inside))
            of_tail.append(grid.summary(batch.filter(after)))
        if dataset.kind == "greeks":
            greeks.append(option_greeks.greek_summary(inside, open_=hours.open))
    summary = merge_summaries(contracts)
    session_summary = merge_summaries(of_session) if goes_on else summary
    tail = merge_summaries(of_tail) if goes_on else None
    held = _held(lake, dataset, day, summary)

    def grid_of(root: str) -> Verdict:
        return option_quotes.grid(
            _of(summary, root),
            open_=hours.open,
            close=close,
            option_close=option_close,
            interval=grid.interval,
            window_end=grid.window_end if goes_on else None,
            tolerance=limits.grid_tolerance,
        )

    def quotes_of(root: str) -> Verdict:
        return option_quotes.quotes(
            _of(session_summary, root), limits.quotes, None if tail is None else _of(tail, root)
        )

    if dataset.kind == "greeks":
        values = _judge_greeks(dataset, option_greeks.merge_greek_summaries(greeks), day, limits, held)
    else:
        values = [per_root(dataset.roots, quotes_of, held)]
    return [
        per_root(dataset.roots, grid_of, held),
        _contract_set(lake, dataset, day, summary, held),
        *values,
        option_quotes.timestamps(summary),
    ]


def _judge_greeks(
    dataset: OptionDataset, greeks: GreekSummary, day: date, limits: Limits, held: set[str]
) -> list[Verdict]:
    hours, roots = session(day), dataset.roots
    return [
        per_root(roots, lambda root: option_greeks.iv(greeks.of(root), limits.iv), held),
        per_root(roots, lambda root: option_greeks.parity(greeks.of(root), close=hours.close), held),
        per_root(
            roots, lambda root: option_greeks.underlying(greeks.of(root), open_=hours.open, close=hours.close), held
        ),
    ]


def _judge_reports(lake: Lake, dataset: OptionDataset, day: date) -> list[Verdict]:
    reports = pl.concat(lake.batches(dataset.key, day))
    held = _held(lake, dataset, day, reports)
    if dataset.kind == "eod":
        option_close, previous = session(day).option_close, previous_session(day)
        values = per_root(
            dataset.roots,
            lambda root: option_reports.end_of_day(
                _of(reports, root), day=day, previous=previous, option_close=option_close
            ),
            held,
        )
    else:
        values = per_root(dataset.roots, lambda root: option_reports.open_interest(_of(reports, root), day=day), held)
    return [
        option_reports.unique_contracts(reports),
        _contract_set(lake, dataset, day, reports.select(CONTRACT), held),
        values,
    ]


def _held(lake: Lake, dataset: OptionDataset, day: date, contracts: pl.DataFrame) -> set[str]:
    """The roots of which the day holds a contract, or the vendor's list names one."""
    details = lake.provenance(dataset.key, day).details
    listed = {root for root in dataset.roots if root_details(details, root).get("contracts_listed")}
    return listed | set(contracts["symbol"].unique())


def _contract_set(lake: Lake, dataset: OptionDataset, day: date, contracts: pl.DataFrame, held: set[str]) -> Verdict:
    details = lake.provenance(dataset.key, day).details

    def judged(root: str) -> Verdict:
        said = root_details(details, root)
        return option_quotes.contract_set(
            _of(contracts, root),
            listed=said.get("contracts_listed"),
            absent=said.get("contracts_absent", 0),
            absent_names=said.get("contracts_absent_names", []),
            extra=said.get("contracts_extra", 0),
            tolerance=dataset.absent_tolerance,
            confirmed=said.get("contracts_absent_confirmed", 0),
            settled=said.get("contracts_settled", 0),
        )

    return per_root(dataset.roots, judged, held)


def _of(frame: pl.DataFrame, root: str) -> pl.DataFrame:
    return frame.filter(pl.col("symbol") == root)
