"""Option quotes condensed to one row per contract, batch by batch.

Here: the counting and the merging. Not here: counting quotes of the usual form (``contract_runs``), and what a count
means for the day (``option_quotes``, ``completeness``).

A day can have ten million rows; its summary has one row per contract. The rules read summaries only, so a day is judged
batch by batch, in constant memory: for any split of the rows into batches, the merged summaries or pieces of the
batches equal the summary of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import polars as pl

from data_assets.quality.contract_runs import contract_runs

CONTRACT = ("symbol", "expiration", "strike", "right")
"""The columns that together name one option contract."""

COUNTS = (
    "disordered",
    "outside_session",
    "off_grid",
    "crossed",
    "locked",
    "negative",
    "unusable",
    "zero_bid",
    "zero_ask",
    "no_quote",
    "opening_no_quote",
)
"""The summary's columns that count rows of one kind."""

_FEW_ROWS = 16  # of a piece on average; of smaller ones a day's would take as much memory as its rows


def contract_summary(quotes: pl.DataFrame, *, open_: datetime, close: datetime, interval: timedelta) -> pl.DataFrame:
    """Count what the rules need to know, per contract.

    Right for rows in any order; fast when a contract's rows lie together, as the vendor sends them and the lake
    stores them.

    Args:
        quotes: rows in the order of the body or of the file, with the columns symbol, expiration, strike, right,
            timestamp (UTC), bid, ask (dollars), and, where there are any, bid_size and ask_size (contracts).
        open_: the session's open, an aware instant: the grid's first point.
        close: the last instant at which a row may lie. Where early closes end is not established, so this is the end
            of the window that was asked for rather than the close of a shortened session.
        interval: the grid's step.

    Returns:
        One row per contract in order of first appearance, counts as Int64:

        - symbol, expiration, strike, right
        - first_row, last_row: where in ``quotes`` its first and its last row lie, from 0
        - rows
        - first_timestamp, last_timestamp: of those two rows
        - disordered: rows whose timestamp is not after that of the same contract's previous row, repeats included
        - outside_session: rows before ``open_``, after ``close``, or without a timestamp
        - off_grid: rows not a whole number of intervals away from ``open_``
        - crossed: bid > ask > 0
        - locked: bid = ask > 0
        - negative: any price or size below zero
        - unusable: a price or size that is missing, or a price that is not a finite number
        - zero_bid: bid 0 under an ask, a genuine quote of a contract far out of the money
        - zero_ask: a bid under no ask
        - no_quote: both prices 0, the vendor's way to say that there is no quote
        - opening_no_quote: those of them that lie at the open, where the vendor's snapshot is always empty
    """
    return _join_pieces(contract_pieces(quotes, open_=open_, close=close, interval=interval))


def contract_pieces(quotes: pl.DataFrame, *, open_: datetime, close: datetime, interval: timedelta) -> pl.DataFrame:
    """Count the same for `merge_summaries`, which makes one row of the pieces of a contract.

    To look for these in each batch as well would cost as much as the counting.

    Args:
        quotes: as of ``contract_summary``, as are the others.
        open_: see there.
        close: see there.
        interval: see there.

    Returns:
        As ``contract_summary``, but a contract whose rows do not lie together may have several rows, as long as these
        are few for the batch.
    """
    runs = contract_runs(quotes, open_=open_, close=close, interval=interval)
    if runs is None:
        runs = _runs(quotes, open_, close, interval)
    return runs if runs.height * _FEW_ROWS <= quotes.height else _join_pieces(runs)


def _runs(quotes: pl.DataFrame, open_: datetime, close: datetime, interval: timedelta) -> pl.DataFrame:
    """One row for each stretch of rows of one contract."""
    sizes = tuple(name for name in ("bid_size", "ask_size") if name in quotes.columns)
    flagged = quotes.select(_flags(open_, close, interval, sizes)).with_columns(_RUNS)
    # Of most kinds a batch has no row, and to see that costs a hundredth of what counting it for each contract does.
    counted, columns = _counts(tuple(count for count in COUNTS if flagged.get_column(count).any()))
    return flagged.group_by("run", maintain_order=True).agg(counted).select(columns)


# Polars' expressions are objects of Python, and making these anew costs a batch a third of all that counting it does.

_BEGINS_RUN = pl.any_horizontal(pl.col(column).ne_missing(pl.col(column).shift()) for column in CONTRACT)
_RUNS = (
    ((pl.col("timestamp") <= pl.col("timestamp").shift()) & ~pl.col("begins_run")).alias("disordered"),
    # Grouping one sorted integer is several times cheaper than hashing four columns of every row.
    pl.col("begins_run").cum_sum().set_sorted().alias("run"),
)


@lru_cache(maxsize=16)
def _flags(open_: datetime, close: datetime, interval: timedelta, sizes: tuple[str, ...]) -> list[pl.Expr]:
    """Contract and time of each row, whether it begins another contract, and of which kinds it is."""
    timestamp, bid, ask = pl.col("timestamp"), pl.col("bid"), pl.col("ask")
    no_quote = (bid == 0) & (ask == 0)
    unusable_price = (bid.is_finite() & ask.is_finite()).fill_null(False).not_()
    microseconds = interval // timedelta(microseconds=1)
    flags = {
        "begins_run": _BEGINS_RUN,
        "outside_session": timestamp.is_between(open_, close).fill_null(False).not_(),
        "off_grid": (timestamp - open_).dt.total_microseconds() % microseconds != 0,
        "crossed": (bid > ask) & (ask > 0),
        "locked": (bid == ask) & (bid > 0),
        "negative": pl.any_horizontal(value < 0 for value in (bid, ask, *map(pl.col, sizes))),
        "unusable": pl.any_horizontal(unusable_price, *(pl.col(size).is_null() for size in sizes)),
        "zero_bid": (bid == 0) & (ask > 0),
        "zero_ask": (bid > 0) & (ask == 0),
        "no_quote": no_quote,
        "opening_no_quote": no_quote & (timestamp == open_),
    }
    return [*map(pl.col, CONTRACT), timestamp, *(flag.alias(name) for name, flag in flags.items())]


@lru_cache(maxsize=64)
def _counts(present: tuple[str, ...]) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """What is gathered of each run of rows, and the summary's columns of it."""
    rows = pl.col("rows")
    gathered = [
        pl.col(CONTRACT).first(),
        pl.len().cast(pl.Int64).alias("rows"),
        pl.col("timestamp").first().alias("first_timestamp"),
        pl.col("timestamp").last().alias("last_timestamp"),
        *(pl.col(count).sum().cast(pl.Int64) for count in present),
    ]
    columns = [
        *map(pl.col, CONTRACT),
        (rows.cum_sum() - rows).alias("first_row"),
        (rows.cum_sum() - 1).alias("last_row"),
        pl.col("rows", "first_timestamp", "last_timestamp"),
        *(pl.col(count) if count in present else pl.lit(0, pl.Int64).alias(count) for count in COUNTS),
    ]
    return gathered, columns


def merge_summaries(summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Merge the summaries of consecutive batches; a contract that several of them hold becomes one row.

    Args:
        summaries: at least one, of ``contract_summary`` or ``contract_pieces``, in the order of their batches, made
            with the same session and interval.

    Returns:
        What ``contract_summary`` of all the rows at once would give.
    """
    rows = [int(summary["rows"].sum()) for summary in summaries]
    before = np.repeat(np.cumsum([0, *rows[:-1]]), [summary.height for summary in summaries])
    merged = pl.concat(summaries)
    return _join_pieces(merged.with_columns(pl.col("first_row", "last_row") + pl.Series(before, dtype=pl.Int64)))


def _join_pieces(pieces: pl.DataFrame) -> pl.DataFrame:
    in_pieces = pieces.select(CONTRACT).is_duplicated()
    if not in_pieces.any():
        return pieces
    # Of most days a contract in a hundred is in pieces, and to group all of them costs ten times as much.
    numbered = pieces.with_row_index("piece")
    disordered_borders = pl.col("first_timestamp") <= pl.col("last_timestamp").shift()
    joined = (
        numbered.filter(in_pieces)
        .group_by(CONTRACT, maintain_order=True)
        .agg(
            pl.col("piece", "first_row", "first_timestamp").first(),
            pl.col("last_row", "last_timestamp").last(),
            pl.col("rows", *COUNTS).sum(),
            disordered_borders.sum().cast(pl.Int64).alias("disordered_borders"),
        )
        .with_columns(pl.col("disordered") + pl.col("disordered_borders"))
    )
    whole = numbered.filter(~in_pieces)
    return pl.concat([whole, joined.select(whole.columns)]).sort("piece").drop("piece")
