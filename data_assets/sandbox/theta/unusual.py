"""Rows of Theta that are valid and not what one expects.

Here: what a fault of such a kind makes of the usual rows. Not here: which request it strikes, and faults that are none
of the vendor's words (``theta.server``).

Sources: Theta's page "Trade Conditions", by which a trade need not move every column (multilateral compression and
trades of extended hours add volume and no price), and its OpenAPI, by which OPRA sends open interest "normally once a
day". That greeks which are no number come as empty cells in some ways of access, users found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from data_assets.sandbox.market.option_greeks import FAILED_ERROR, FAILED_VOLATILITY

_EVENING = timedelta(hours=20, minutes=31)
_COMPRESSED = {"volume": 25, "count": 1}
_SENT_AGAIN = timedelta(minutes=45)
_CORRECTION = 100
_WINDOW_END = timedelta(hours=16, minutes=15)
_ONE_IN = 100
_NOON = 12
_LARGE = 3_000_000_000
_GREEKS = ("delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error")


def _volume_only(eod: pl.DataFrame) -> pl.DataFrame:
    """What did not trade has one trade of 25 contracts, at 20:31 of the evening before, which moved no price."""
    untraded = pl.col("count") == 0
    evening = pl.col("created").dt.truncate("1d") - timedelta(days=1) + _EVENING
    return eod.with_columns(
        pl.when(untraded).then(evening).otherwise("last_trade").alias("last_trade"),
        *(pl.when(untraded).then(value).otherwise(name).alias(name) for name, value in _COMPRESSED.items()),
    )


def _repeated_messages(open_interest: pl.DataFrame) -> pl.DataFrame:
    """Every row twice: by turns as it was, the same number 45 minutes later, and another number 45 minutes later.

    The later one comes first: in which order they come is not known, and nobody shall rely on one.
    """
    place = np.repeat(np.arange(open_interest.height), 2)
    turn, again = pl.Series(place % 3), pl.Series(np.tile([True, False], open_interest.height))
    return open_interest[place].with_columns(
        pl.when(again & (turn > 0)).then(pl.col("timestamp") + _SENT_AGAIN).otherwise("timestamp").alias("timestamp"),
        pl.when(again & (turn > 1))
        .then(pl.col("open_interest") + _CORRECTION)
        .otherwise("open_interest")
        .alias("open_interest"),
    )


def _empty_greeks(greeks: pl.DataFrame) -> pl.DataFrame:
    """No greek in one row of a hundred, the first one included."""
    return greeks.with_columns(pl.when(pl.int_range(pl.len()) % _ONE_IN != 0).then(pl.col(_GREEKS)))


def _large_sizes(quotes: pl.DataFrame) -> pl.DataFrame:
    """Sizes beyond 32 bits on both sides of one row in a hundred, the first one included."""
    rare = pl.int_range(pl.len()) % _ONE_IN == 0
    sizes = (pl.col(name).cast(pl.Int64) for name in ("bid_size", "ask_size"))
    return quotes.with_columns(pl.when(~rare).then(size).otherwise(_LARGE) for size in sizes)


def _quote_spike(quotes: pl.DataFrame) -> pl.DataFrame:
    """The dearest quote at noon, of the rows at hand, is ten times what it was."""
    noon = pl.col("timestamp").dt.hour() == _NOON
    dearest = (pl.col("bid") * noon).arg_max()
    struck = noon & (pl.int_range(pl.len()) == dearest)
    return quotes.with_columns(
        pl.when(struck).then(pl.col(name) * 10).otherwise(name).alias(name) for name in ("bid", "ask")
    )


def last_contract_with_one_row(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The blocks of a body whose last contract, an untraded one for tests, has its first row and no other."""
    contract = ("symbol", "expiration", "strike", "right")
    held: pl.DataFrame | None = None
    for frame in frames:
        if held is not None:
            yield held
        held = frame
    if held is not None:
        last = held.join(held.tail(1), on=contract, how="semi").height
        yield held.head(held.height - last + 1)


def _carried_tail(rows: pl.DataFrame) -> pl.DataFrame:
    """Every contract's snapshots go on until 16:15, like its last one."""
    return _with_tail(rows, {})


def _zero_tail(rows: pl.DataFrame) -> pl.DataFrame:
    """Every contract's snapshots go on until 16:15 without a quote, and with greeks that could not be solved."""
    zero = dict.fromkeys(("bid", "ask", "bid_size", "ask_size", *_GREEKS), 0.0)
    return _with_tail(rows, {**zero, "implied_vol": FAILED_VOLATILITY, "iv_error": FAILED_ERROR})


def _with_tail(rows: pl.DataFrame, values: Mapping[str, float]) -> pl.DataFrame:
    numbered = rows.with_columns(contract=pl.struct("expiration", "strike", "right").rle_id())
    last = numbered.group_by("contract", maintain_order=True).last().select(numbered.columns)
    steps = rows["timestamp"].diff()
    step = steps.filter(steps > timedelta(0)).min()
    assert isinstance(step, timedelta)
    end = pl.col("timestamp").dt.truncate("1d") + _WINDOW_END
    times = pl.datetime_ranges(pl.col("timestamp") + step, end, interval=step)
    tail = last.with_columns(timestamp=times).filter(pl.col("timestamp").list.len() > 0)
    tail = tail.explode("timestamp").with_columns(
        pl.lit(value, rows.schema[name]).alias(name) for name, value in values.items() if name in rows.columns
    )
    together = pl.concat([numbered, tail]).sort("contract", maintain_order=True)
    return together.drop("contract")


def _revised(rows: pl.DataFrame) -> pl.DataFrame:
    """The vendor's second thoughts, in one row of a hundred: a bid is half, or a number of contracts one more."""
    struck = pl.int_range(pl.len()) % _ONE_IN == 0
    name = "bid" if "bid" in rows.columns else "open_interest"
    changed = (pl.col(name) / 2).round(2) if name == "bid" else pl.col(name) + 1
    return rows.with_columns(pl.when(struck).then(changed).otherwise(name).alias(name))


UNUSUAL_ROWS: Mapping[str | None, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "carried_tail": _carried_tail,
    "zero_tail": _zero_tail,
    "empty_greeks": _empty_greeks,
    "large_sizes": _large_sizes,
    "revised": _revised,
    "quote_spike": _quote_spike,
    "volume_only": _volume_only,
    "repeated_messages": _repeated_messages,
}
"""By kind of fault: from a block of whole contracts as they usually are, New York wall clock, to the unusual ones."""
