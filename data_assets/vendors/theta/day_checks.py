"""The verdicts on a stored day of Theta options, by the rules of ``quality``.

Here: reading the file for the rules, row group by row group, so that memory does not grow with the day. Not here: which
rules judge the values (``values``), the rules, and the asset checks that show the verdicts.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from data_assets.lake.lake import Lake
from data_assets.quality import option_quotes, option_reports, price_spikes
from data_assets.quality.contract_summary import CONTRACT, merge_summaries
from data_assets.quality.option_greeks import GreekSummary
from data_assets.quality.roots import per_root
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import session
from data_assets.vendors.theta.audit import root_details
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.values import DayRead, Limits, of_root


def evaluate_checks(lake: Lake, dataset: OptionDataset, day: date, limits: Limits) -> list[Verdict]:
    """Return the verdicts on a stored day, one for each check of its history but `integrity`."""
    if not dataset.by_minute:
        return _judge_reports(lake, dataset, day, limits)
    grid, hours = dataset.grid(session(day)), session(day)
    close, option_close = grid.last_points
    # As on early closes. What the vendor writes after them (the last quote carried, or none) is not established: the
    # shares of quotes and greeks are those of the session, and the tail is described.
    goes_on = grid.window_end > hours.option_close
    contracts: list[pl.DataFrame] = []
    of_session: list[pl.DataFrame] = []
    of_tail: list[pl.DataFrame] = []
    gathered: list[GreekSummary] = []
    spikes: list[pl.DataFrame] = []
    last_two: list[tuple[Any, ...]] = []
    for batch in lake.batches(dataset.key, day):
        contracts.append(grid.pieces(batch))
        # A select is a query, which waits for threads that are at work on the next row group.
        quoted = pl.DataFrame([batch.get_column(name) for name in price_spikes.QUOTED])
        first_two = quoted.head(2).rows()
        # Where a row group ends within a contract, its quotes are compared over the border.
        if last_two and first_two and last_two[-1][: len(CONTRACT)] == first_two[0][: len(CONTRACT)]:
            border = pl.DataFrame([*last_two, *first_two], quoted.schema, orient="row")
            spikes.append(price_spikes.quote_spikes(border))
        spikes.append(price_spikes.quote_spikes(quoted))
        last_two = [*last_two, *quoted.tail(2).rows()][-2:]
        inside = batch
        if goes_on:
            after = pl.col("timestamp") > hours.option_close
            inside = batch.filter(~after)
            of_session.append(grid.pieces(inside))
            of_tail.append(grid.pieces(batch.filter(after)))
        if dataset.history.gather is not None:
            gathered.append(dataset.history.gather(inside, hours))
    summary = merge_summaries(contracts)
    held = _held(lake, dataset, day, summary)

    def grid_of(root: str) -> Verdict:
        return option_quotes.grid(
            of_root(summary, root),
            open_=hours.open,
            close=close,
            option_close=option_close,
            interval=grid.interval,
            window_end=grid.window_end if goes_on else None,
            tolerance=limits.grid_tolerance,
        )

    read = DayRead(
        hours,
        dataset.roots,
        held,
        limits,
        contracts=merge_summaries(of_session) if goes_on else summary,
        tail=merge_summaries(of_tail) if goes_on else None,
        gathered=gathered,
        spikes=pl.concat(spikes),
    )
    return [
        per_root(dataset.roots, grid_of, held),
        _contract_set(lake, dataset, day, summary, held),
        *dataset.history.values(read),
        option_quotes.timestamps(summary),
    ]


def _judge_reports(lake: Lake, dataset: OptionDataset, day: date, limits: Limits) -> list[Verdict]:
    reports = pl.concat(lake.batches(dataset.key, day))
    held = _held(lake, dataset, day, reports)
    return [
        option_reports.unique_contracts(reports),
        _contract_set(lake, dataset, day, reports.select(CONTRACT), held),
        *dataset.history.values(DayRead(session(day), dataset.roots, held, limits, contracts=reports)),
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
            of_root(contracts, root),
            listed=said.get("contracts_listed"),
            absent=said.get("contracts_absent", 0),
            absent_names=said.get("contracts_absent_names", []),
            extra=said.get("contracts_extra", 0),
            tolerance=dataset.absent_tolerance,
            confirmed=said.get("contracts_absent_confirmed", 0),
            settled=said.get("contracts_settled", 0),
        )

    return per_root(dataset.roots, judged, held)
