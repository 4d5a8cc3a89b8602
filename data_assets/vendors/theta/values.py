"""What is judged of the values in a stored day, history by history, by the rules of ``quality``.

Here: which rules a history's values are held to. Not here: reading the file for them (``day_checks``), and the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from data_assets.quality import option_greeks, option_quotes, option_reports
from data_assets.quality.option_greeks import GreekSummary, IvThresholds
from data_assets.quality.option_quotes import QuoteThresholds
from data_assets.quality.roots import per_root
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import Session, previous_session


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


@dataclass(frozen=True)
class DayRead:
    """A stored day as its rules are given it.

    Attributes:
        hours: its session.
        roots: the option roots that it may hold.
        held: those that it holds, or should.
        limits: what is still usual.
        contracts: of snapshots, one row per contract by the session's rows; of reports, the reports.
        tail: of snapshots, the same by the rows after the options' close; None where the window ends there.
        gathered: what the history gathers of each row group besides.
    """

    hours: Session
    roots: tuple[str, ...]
    held: set[str]
    limits: Limits
    contracts: pl.DataFrame
    tail: pl.DataFrame | None = None
    gathered: Sequence[GreekSummary] = ()


def of_root(frame: pl.DataFrame, root: str) -> pl.DataFrame:
    """The rows of one option root."""
    return frame.filter(pl.col("symbol") == root)


def quotes(read: DayRead) -> list[Verdict]:
    """Bids, asks and their sizes."""

    def judged(root: str) -> Verdict:
        tail = None if read.tail is None else of_root(read.tail, root)
        return option_quotes.quotes(of_root(read.contracts, root), read.limits.quotes, tail)

    return [per_root(read.roots, judged, read.held)]


def greeks(read: DayRead) -> list[Verdict]:
    """Volatilities, the parity of calls and puts, and the underlying's price."""
    found, hours = option_greeks.merge_greek_summaries(list(read.gathered)), read.hours
    return [
        per_root(read.roots, lambda root: option_greeks.iv(found.of(root), read.limits.iv), read.held),
        per_root(read.roots, lambda root: option_greeks.parity(found.of(root), close=hours.close), read.held),
        per_root(
            read.roots,
            lambda root: option_greeks.underlying(found.of(root), open_=hours.open, close=hours.close),
            read.held,
        ),
    ]


def open_interest(read: DayRead) -> list[Verdict]:
    """Numbers of open contracts, and when they were sent."""

    def judged(root: str) -> Verdict:
        return option_reports.open_interest(of_root(read.contracts, root), day=read.hours.day)

    return [per_root(read.roots, judged, read.held)]


def end_of_day(read: DayRead) -> list[Verdict]:
    """The day's trades, its last quote, and when the report was made."""
    hours, previous = read.hours, previous_session(read.hours.day)

    def judged(root: str) -> Verdict:
        reports = of_root(read.contracts, root)
        return option_reports.end_of_day(reports, day=hours.day, previous=previous, option_close=hours.option_close)

    return [per_root(read.roots, judged, read.held)]
