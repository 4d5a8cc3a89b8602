"""The rule for a price that stands alone: far off the prices before and after it, which agree with each other.

Here: which bars of a day, and which quotes, have such a price, and what a check says of them. Not here: bars and quotes
that cannot be (``minute_bars``, ``option_quotes``).

A trade reported with a wrong price, or a digit that slipped, makes a bar that holds every rule of its own. So do real
flash crashes, and no vendor's file tells one from the other: a spike is therefore named, counted and warned of, and
never keeps a day from being stored. What counts as one is a judgement. It rests on the day alone, on these facts:

- US exchanges call a trade clearly erroneous from 10 % off the price of a stock of up to 25 dollars in regular hours
  and from 20 % outside of them, and less for dearer stocks (Nasdaq's rule 11890, NYSE's 7.10);
- a fall that lasts, a halt that ends at another price, news and the first trade of a day move the prices on one side
  only: they are compared with both;
- a lively security moves as far as that in every other minute: its own day says how far is usual;
- of a security with few bars that cannot be said, and bids and asks far apart make its trades jump: twice the price is
  asked for;
- a warrant of two cents trades at four in the next minute, and an option quoted at ten at thirty: a difference of a few
  cents is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import polars as pl

from data_assets.quality.bar_coverage import LONG_STRETCH
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.naming import NAMES_SHOWN, bar_name, clock, contract_name
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import Session

AROUND = 5
"""Bars before and bars after one whose median it is compared with: two of them may be wrong as well."""

OFF = 0.1
OFF_OUTSIDE = 0.2
"""The share of the price around it from which one is off, in regular hours and outside of them."""

OFF_SELDOM = 1.0
"""The same where a security has fewer than `LONG_STRETCH` bars: twice the price, or half of it."""

FEWEST = 5
"""Bars of a day below which nothing can be said."""

OFF_USUAL = 5
"""How many times the moves of the security's liveliest tenth of minutes (of few bars: the median move) a spike is off
at least."""

OFF_DOLLARS = 0.15
"""A difference below that is none: limit bands of stocks below 0.75 dollars are as wide."""

OFF_QUOTE = 1.0
"""The share by which a bid lies above the asks around it, or an ask so far below the bids, to be off."""

OFF_QUOTE_DOLLARS = 1.0

QUOTED = (*CONTRACT, "timestamp", "bid", "ask")
"""The columns that `quote_spikes` reads."""


@dataclass(frozen=True, slots=True)
class Spikes:
    """Prices that stand alone.

    Attributes:
        count: bars, or quotes, with such a price.
        names: of how many securities.
        concerned: the first of them in words, those that are furthest off first.
    """

    count: int
    names: int
    concerned: tuple[str, ...]

    def told_in(self, verdict: Verdict) -> Verdict:
        """A verdict on the same rows that says these, too: one that passes becomes a warning."""
        metadata = verdict.metadata | {"spikes": self.count}
        if not self.count:
            return replace(verdict, metadata=metadata)
        more = f" and {self.count - 1:,} more" if self.count > 1 else ""
        found = f"a price stands alone, a bad one or a flash: {self.concerned[0]}{more}"
        return replace(
            verdict,
            passed=False,
            severity="warn" if verdict.passed else verdict.severity,
            summary=found if verdict.passed else f"{verdict.summary}; {found}",
            metadata=metadata | {"spiking_names": self.names, "spikes_concerned": list(self.concerned)},
        )


def bar_spikes(bars: pl.DataFrame, hours: Session) -> Spikes:
    """The bars whose high, or low, is far off the closes around them: off those before, and off those after.

    A bar at an end of the day has its own open, or close, for the side that is not there.

    Args:
        bars: as ``minute_bars`` describes them, each ticker's together and by time.
        hours: the session.
    """
    # Most tickers have no two prices as far apart as a spike is, and the medians are costly.
    lowest, highest = pl.col("low").min(), pl.col("high").max()
    far_apart = (lowest <= 0) | (highest.is_infinite()) | (highest / lowest - 1 > OFF)
    looks = {"bars": pl.len(), "far_apart": far_apart}
    of_many = "ticker" in bars.columns
    looked = bars.group_by("ticker").agg(**looks) if of_many else bars.select_seq(ticker=pl.lit(""), **looks)
    likely = looked["ticker"].filter((looked["bars"] >= FEWEST) & looked["far_apart"])
    if likely.is_empty():
        return Spikes(0, 0, ())
    keyed = bars if of_many else bars.with_columns(ticker=pl.lit(""))
    price = pl.col("open", "high", "low", "close")
    found = keyed.filter(pl.col("ticker").is_in(likely.implode())).filter(
        pl.all_horizontal((price.is_finite() & (price > 0)).fill_null(value=False))
    )
    close, before_close = pl.col("close"), pl.col("close").shift()
    before = close.rolling_median(AROUND, min_samples=1).shift().over("ticker")
    after = close.reverse().rolling_median(AROUND, min_samples=1).shift().reverse().over("ticker")
    moved = pl.max_horizontal(pl.col("high") / pl.col("low"), close / before_close, before_close / close) - 1
    regular = (pl.col("timestamp") >= hours.open) & (pl.col("timestamp") < hours.close)
    seldom = pl.len().over("ticker") < LONG_STRETCH
    floor = pl.when(seldom).then(OFF_SELDOM).when(regular).then(OFF).otherwise(OFF_OUTSIDE)
    # Of few bars, a spike and the way back from it are more than a tenth.
    usual = pl.when(seldom).then(moved.median().over("ticker")).otherwise(moved.quantile(0.9).over("ticker"))
    judged = found.with_columns(
        before=before.fill_null(pl.col("open")),
        after=after.fill_null(close),
        limit=pl.max_horizontal(floor, OFF_USUAL * usual),
    ).with_columns(top=pl.max_horizontal("before", "after"), bottom=pl.min_horizontal("before", "after"))
    above = (pl.col("high") / pl.col("top") - 1, pl.col("high") - pl.col("top"))
    below = (pl.col("bottom") / pl.col("low") - 1, pl.col("bottom") - pl.col("low"))
    judged = judged.with_columns(
        up=pl.when(above[1] >= OFF_DOLLARS).then(above[0]).otherwise(0.0),
        down=pl.when(below[1] >= OFF_DOLLARS).then(below[0]).otherwise(0.0),
    )
    spikes = judged.filter(pl.max_horizontal("up", "down") > pl.col("limit")).sort(
        pl.max_horizontal("up", "down"), descending=True, maintain_order=True
    )
    named = spikes.head(NAMES_SHOWN)
    if "ticker" not in bars.columns:
        named = named.drop("ticker")
    return Spikes(
        spikes.height,
        spikes["ticker"].n_unique(),
        tuple(f"{bar_name(bar)}: {_off(bar)}" for bar in named.iter_rows(named=True)),
    )


_TIMES = 1 + OFF_QUOTE
_AROUND_QUOTE = {"low": pl.Float64(), "high": pl.Float64()}


def _leaps(quotes: pl.DataFrame) -> pl.Series:
    """Where a quote leaves those of the minute before behind: only there the minute after is looked at, too.

    A contract's first quote is far off the last one of the contract before it, which says nothing. By NumPy, because
    an expression of Polars wakes up its threads, which costs more than this.
    """
    bid, ask = quotes["bid"].to_numpy(), quotes["ask"].to_numpy()  # what is null is no number there
    with np.errstate(over="ignore"):  # what is too large for a number is as large as can be, as in Polars
        times_ask = _TIMES * ask
    up = (ask[:-1] > 0) & (bid[1:] > times_ask[:-1])
    down = (ask[1:] > 0) & (bid[:-1] > times_ask[1:])
    after = np.flatnonzero(up | down) + 1
    for name in ("strike", "right"):
        if len(after):
            values = quotes[name].to_physical().to_numpy()
            after = after[values[after] == values[after - 1]]
    return pl.Series(after, dtype=pl.Int64)


@lru_cache(maxsize=16)
def _no_spikes(of: tuple[pl.DataType, ...]) -> pl.DataFrame:
    """None, of quotes of these types; to make the frame costs more than to look at a row group's quotes."""
    return pl.DataFrame(schema={**dict(zip(QUOTED, of, strict=True)), **_AROUND_QUOTE})


def quote_spikes(quotes: pl.DataFrame) -> pl.DataFrame:
    """The quotes whose bid lies far above the asks of the minutes before and after, or whose ask far below their bids.

    An ask that is far off alone, or no bid, is a wide market, as when a market maker steps back for a moment, and none.
    Nothing is said of the first and the last quote of a contract, nor beside a minute without a quote.

    Args:
        quotes: the columns `QUOTED`, prices in dollars; each contract's together and by time.

    Returns:
        Those rows: these columns, and low and high of the quotes around it, dollars.
    """
    at = _leaps(quotes)
    if at.is_empty():  # as of nearly every row group
        return _no_spikes(tuple(quotes.get_column(name).dtype for name in QUOTED)).clone()
    at = at.filter((at > 0) & (at < quotes.height - 1))
    times, bid, ask = _TIMES, pl.col("bid"), pl.col("ask")
    quoted = quotes.select(QUOTED)
    mine, before, after = (quoted[at + step] for step in (0, -1, 1))
    same = [mine[name] == beside[name] for name in CONTRACT for beside in (before, after)]
    numbers = [three[name].is_finite() for three in (mine, before, after) for name in ("bid", "ask")]
    around = mine.with_columns(
        low=pl.min_horizontal(before["bid"], after["bid"]),
        high=pl.max_horizontal(before["ask"], after["ask"]),
        asked=pl.min_horizontal(before["ask"], after["ask"]) > 0,
    ).filter(*same, *numbers)
    up = pl.col("asked") & (bid > times * pl.col("high")) & (bid - pl.col("high") >= OFF_QUOTE_DOLLARS)
    down = (ask > 0) & (pl.col("low") > times * ask) & (pl.col("low") - ask >= OFF_QUOTE_DOLLARS)
    return around.filter(up | down).drop("asked")


def told_of_quotes(spikes: pl.DataFrame) -> Spikes:
    """What `quote_spikes` found, in words."""
    off = pl.max_horizontal(pl.col("bid") / pl.col("high"), pl.col("low") / pl.col("ask"))
    named = spikes.sort(off, descending=True, maintain_order=True).head(NAMES_SHOWN)
    return Spikes(
        spikes.height,
        spikes.select(CONTRACT).n_unique() if spikes.height else 0,
        tuple(
            f"{contract_name(*(row[column] for column in CONTRACT))} {clock(row['timestamp'])}: "
            f"{row['bid']:,.10g} bid at {row['ask']:,.10g}, around it {row['low']:,.10g} to {row['high']:,.10g}"
            for row in named.iter_rows(named=True)
        ),
    )


def _off(bar: dict[str, float]) -> str:
    side = "high" if bar["up"] >= bar["down"] else "low"
    return f"{side} {bar[side]:,.10g}, around it {bar['bottom']:,.10g} to {bar['top']:,.10g}"
