"""Which rules of ``quality`` judge the values of a stored day, history by history.

Here: the choice of rules, and the limits of one dataset. Not here: reading the file for them (``day_checks``), and the
rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from data_assets.quality import option_greeks, option_quotes, option_reports, price_spikes
from data_assets.quality.option_greeks import GreekSummary, IvThresholds
from data_assets.quality.option_quotes import QuoteThresholds
from data_assets.quality.roots import per_root
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import Session, previous_session


@dataclass(frozen=True)
class Limits:
    """Limits above which the checks of a dataset warn.

    Attributes:
        grid_tolerance: share of contracts off the regular grid above which `grid` warns.
        quotes: shares above which `quotes` warns.
        iv: shares above which `iv` warns.
    """

    grid_tolerance: float = option_quotes.GRID_TOLERANCE
    quotes: QuoteThresholds = field(default_factory=QuoteThresholds)
    iv: IvThresholds = field(default_factory=IvThresholds)


@dataclass(frozen=True)
class DayRead:
    """A stored day in the form that its rules take.

    Attributes:
        hours: its session.
        roots: the option roots that it may hold.
        held: the roots that it holds, or should hold.
        limits: the dataset's limits.
        contracts: for snapshots, a summary of the session's rows, one row per contract; for reports, the reports.
        tail: for snapshots, the same summary of the rows after the options' close; None if no snapshot is later.
        gathered: for each row group, what `History.gather` made of it.
        spikes: for snapshots, the quotes that stand alone (``price_spikes.quote_spikes``); None for reports.
    """

    hours: Session
    roots: tuple[str, ...]
    held: set[str]
    limits: Limits
    contracts: pl.DataFrame
    tail: pl.DataFrame | None = None
    gathered: Sequence[GreekSummary] = ()
    spikes: pl.DataFrame | None = None

    def with_spikes(self, verdict: Verdict, root: str) -> Verdict:
        """A verdict on the quotes of one option root that says those of them that stand alone, too."""
        if self.spikes is None:
            return verdict
        return price_spikes.told_of_quotes(of_root(self.spikes, root)).told_in(verdict)


def of_root(frame: pl.DataFrame, root: str) -> pl.DataFrame:
    """The rows of one option root."""
    return frame.filter(pl.col("symbol") == root)


def quotes(read: DayRead) -> list[Verdict]:
    """Judge bids, asks and their sizes."""

    def judged(root: str) -> Verdict:
        tail = None if read.tail is None else of_root(read.tail, root)
        judgement = option_quotes.quotes(of_root(read.contracts, root), read.limits.quotes, tail)
        return read.with_spikes(judgement, root)

    return [per_root(read.roots, judged, read.held)]


def greeks(read: DayRead) -> list[Verdict]:
    """Judge volatilities, the parity of calls and puts, and the underlying's price."""
    found, hours = option_greeks.merge_greek_summaries(list(read.gathered)), read.hours

    def of_volatilities(root: str) -> Verdict:
        return read.with_spikes(option_greeks.iv(found.of(root), read.limits.iv), root)

    return [
        per_root(read.roots, of_volatilities, read.held),
        per_root(read.roots, lambda root: option_greeks.parity(found.of(root), close=hours.close), read.held),
        per_root(
            read.roots,
            lambda root: option_greeks.underlying(found.of(root), open_=hours.open, close=hours.close),
            read.held,
        ),
    ]


def open_interest(read: DayRead) -> list[Verdict]:
    """Judge the numbers of open contracts, and when they were sent."""

    def judged(root: str) -> Verdict:
        return option_reports.open_interest(of_root(read.contracts, root), day=read.hours.day)

    return [per_root(read.roots, judged, read.held)]


def end_of_day(read: DayRead) -> list[Verdict]:
    """Judge the day's trades, its last quote, and when the report was made."""
    hours, previous = read.hours, previous_session(read.hours.day)

    def judged(root: str) -> Verdict:
        reports = of_root(read.contracts, root)
        return option_reports.end_of_day(reports, day=hours.day, previous=previous, option_close=hours.option_close)

    return [per_root(read.roots, judged, read.held)]
