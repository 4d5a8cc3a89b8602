"""The verdicts on a stored day of Theta options, by the rules of ``quality``.

Here: reading the file for the rules, row group by row group, so that memory does not grow with the day. Not here: which
rules judge the values (``values``), the rules, and the asset checks that show the verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _GroupRead:
    """What the rules need of one row group.

    Attributes:
        contracts: its contracts, in pieces for `merge_summaries`.
        of_session: the same of its rows up to the options' close, and of those after it; None if no snapshot is later.
        gathered: see ``values.DayRead``.
        spikes: its quotes that stand alone, but for those beside its borders.
        first: its first two quotes, the columns `QUOTED`, for the border before it.
        last: its last two.
    """

    contracts: pl.DataFrame
    of_session: tuple[pl.DataFrame, pl.DataFrame] | None
    gathered: GreekSummary | None
    spikes: pl.DataFrame
    first: list[tuple[Any, ...]]
    last: list[tuple[Any, ...]]


class _GroupReader:
    """Reads the row groups of a day."""

    def __init__(self, dataset: OptionDataset, day: date) -> None:
        self._hours = session(day)
        self._grid = dataset.grid(self._hours)
        self._gather = dataset.history.gather
        # As on early closes. What the vendor writes after them (the last quote carried, or none) is not established:
        # the shares of quotes and greeks are those of the session, and the tail is described.
        self._goes_on = self._grid.window_end > self._hours.option_close

    def read(self, batch: pl.DataFrame) -> _GroupRead:
        inside, of_session = batch, None
        if self._goes_on:
            after = pl.col("timestamp") > self._hours.option_close
            inside = batch.filter(~after)
            of_session = self._grid.pieces(inside), self._grid.pieces(batch.filter(after))
        # A select is a query, which waits for threads that are at work on another row group.
        quoted = pl.DataFrame([batch.get_column(name) for name in price_spikes.QUOTED])
        return _GroupRead(
            self._grid.pieces(batch),
            of_session,
            None if self._gather is None else self._gather(inside, self._hours),
            price_spikes.quote_spikes(quoted),
            quoted.head(2).rows(),
            quoted.tail(2).rows(),
        )


def _spikes(groups: Sequence[_GroupRead]) -> pl.DataFrame:
    """The quotes of a day that stand alone."""
    borders: list[list[tuple[Any, ...]]] = [[]]
    last_two = groups[0].last
    for group in groups[1:]:
        # Where a row group ends within a contract, its quotes are compared over the border.
        goes_on = last_two and group.first and last_two[-1][: len(CONTRACT)] == group.first[0][: len(CONTRACT)]
        borders.append([*last_two, *group.first] if goes_on else [])
        last_two = [*last_two, *group.last][-2:]
    schema = groups[0].spikes.select(price_spikes.QUOTED).schema
    # In one frame, for to make one costs more than to look at four quotes; each border by itself.
    quotes = pl.DataFrame([quote for border in borders for quote in border], schema, orient="row")
    found, start = [], 0
    for border, group in zip(borders, groups, strict=True):
        if border:
            found.append(price_spikes.quote_spikes(quotes.slice(start, len(border))))
            start += len(border)
        found.append(group.spikes)
    return pl.concat(found)


def evaluate_checks(lake: Lake, dataset: OptionDataset, day: date, limits: Limits) -> list[Verdict]:
    """Return the verdicts on a stored day, one for each check of its history but `integrity`."""
    if not dataset.by_minute:
        return _judge_reports(lake, dataset, day, limits)
    grid, hours = dataset.grid(session(day)), session(day)
    close, option_close = grid.last_points
    groups = list(map(_GroupReader(dataset, day).read, lake.batches(dataset.key, day)))
    parted = [group.of_session for group in groups if group.of_session is not None]
    summary = merge_summaries([group.contracts for group in groups])
    held = _held(lake, dataset, day, summary)

    def grid_of(root: str) -> Verdict:
        return option_quotes.grid(
            of_root(summary, root),
            open_=hours.open,
            close=close,
            option_close=option_close,
            interval=grid.interval,
            window_end=grid.window_end if parted else None,
            tolerance=limits.grid_tolerance,
        )

    read = DayRead(
        hours,
        dataset.roots,
        held,
        limits,
        contracts=merge_summaries([inside for inside, _ in parted]) if parted else summary,
        tail=merge_summaries([after for _, after in parted]) if parted else None,
        gathered=[group.gathered for group in groups if group.gathered is not None],
        spikes=_spikes(groups),
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
