"""What the picture of a day of options shows: the underlying and the spread, minute by minute; of reports, the strikes.

Here: both, from the contracts of the nearest expiration, and what calls and puts have at each strike. Not here: drawing
(``orchestration.day_picture``).
"""

from __future__ import annotations

import polars as pl

ROWS = 100_000
"""Looked at, from the beginning of the file, where the nearest expiration lies: 250 contracts of a full session. A
judgement: a picture shall cost milliseconds, and the spreads of the nearest expiration tell most of the day."""

EVERY = 5
"""Minutes between the points of a picture."""


def of_quotes(rows: pl.LazyFrame) -> pl.DataFrame:
    """The underlying by put-call parity, which needs no other vendor: strike + call - put, where the two are closest.

    Args:
        rows: the columns of quotes, in the file's order.
    """
    quoted = _nearest(rows, "strike", "right")
    quoted = quoted.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2)
    calls, puts = (quoted.filter(pl.col("right") == right) for right in ("CALL", "PUT"))
    both = calls.join(puts, on=["timestamp", "strike"], suffix="_of_put")
    apart = pl.col("mid") - pl.col("mid_of_put")
    at_the_money = (pl.col("strike") + apart).get(apart.abs().arg_min())
    return _side_by_side(both.group_by("timestamp").agg(at_the_money.alias("underlying by parity")), quoted)


def of_greeks(rows: pl.LazyFrame) -> pl.DataFrame:
    """The underlying as Theta sends it with greeks.

    Args:
        rows: the columns of greeks, in the file's order.
    """
    quoted = _nearest(rows, "underlying_price")
    known = quoted.filter(pl.col("underlying_price") > 0).group_by("timestamp")
    return _side_by_side(known.agg(pl.col("underlying_price").mean().alias("underlying")), quoted)


def of_open_interest(rows: pl.LazyFrame) -> pl.DataFrame:
    """The open interest of calls and of puts, strike by strike, of all expirations.

    Args:
        rows: the columns of open interest.
    """
    return _by_strike(rows, "open_interest")


def of_reports(rows: pl.LazyFrame) -> pl.DataFrame:
    """The volume of calls and of puts, strike by strike, of all expirations.

    Args:
        rows: the columns of end-of-day reports.
    """
    return _by_strike(rows, "volume")


def _by_strike(rows: pl.LazyFrame, column: str) -> pl.DataFrame:
    what = column.replace("_", " ")
    sums = {right: pl.col(column).filter(pl.col("right") == right).sum() for right in ("CALL", "PUT")}
    named = {f"{what} of {right.lower()}s": each for right, each in sums.items()}
    return rows.group_by("strike").agg(**named).sort("strike").drop("strike").collect()


def _nearest(rows: pl.LazyFrame, *columns: str) -> pl.DataFrame:
    """What is offered of the nearest expiration, every few minutes; a bid of zero is one, as of what is worthless."""
    first = rows.head(ROWS).select("expiration", "timestamp", "bid", "ask", *columns).collect()
    quoted = first.filter(pl.col("timestamp").dt.minute() % EVERY == 0, pl.col("ask") > pl.col("bid"))
    return quoted.filter(pl.col("expiration") == pl.col("expiration").min())


def _side_by_side(underlying: pl.DataFrame, quoted: pl.DataFrame) -> pl.DataFrame:
    spread = quoted.group_by("timestamp").agg((pl.col("ask") - pl.col("bid")).median().alias("median spread"))
    return underlying.join(spread, on="timestamp").sort("timestamp").drop("timestamp")
