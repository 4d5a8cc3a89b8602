"""The one vocabulary of minute bars, and where the bars of a ticker are found.

Files keep the vendor's names for their columns. Whoever reads bars across vendors, the rules of ``quality`` and
`Lake.bars`, knows one name for each thing:

- ``ticker``: String; as stored, or, where a dataset holds one ticker alone, the name that was asked for.
- ``timestamp``: Datetime("us", "UTC"), the start of the minute.
- ``open``, ``high``, ``low``, ``close``: Float64, US dollars.
- ``volume``: Float64, shares.
- ``trades``: Int64, how many trades the bar is made of.
- ``vwap``: Float64, US dollars: the average price, weighted by volume. Polygon's flat files have none, so that bars
  read from them lack this column: no bar gets an average that nobody computed.

Here: names. Not here: units and meaning of a vendor's columns (its ``schema``), and which files answer (``bars``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import polars as pl

from data_assets.lake.columns import Column, documented

BAR_COLUMNS = ("ticker", "timestamp", "open", "high", "low", "close", "volume", "trades", "vwap")

POLYGON_BARS = "polygon/minute_aggs"
"""A dataset of many tickers: each day holds a column ``ticker``."""

IB_BARS = "ib/bars_1m"
"""Not a dataset itself: below it, each ticker has its own."""

_READ_AS = {"window_start": "timestamp", "transactions": "trades", "bar_count": "trades", "average": "vwap"}

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def in_one_vocabulary(bars: Frame) -> Frame:
    """Stored bars with their columns by the names above, in that order; what the vocabulary lacks comes last, as it is.

    Args:
        bars: of one vendor, as stored; those that are named so already stay as they are.
    """
    stored = bars.collect_schema().names()
    by_name = {_READ_AS.get(name, name): name for name in stored}
    known = [name for name in BAR_COLUMNS if name in by_name]
    others = [name for name in by_name if name not in BAR_COLUMNS]
    return bars.select_seq(pl.col(by_name[name]).alias(name) for name in known + others)


def documented_bars(columns: Mapping[str, Column]) -> dict[str, tuple[str, str]]:
    """`documented`, with the name by which a column is read where that is another one."""
    return {
        name: (kind, f"{meaning} (read as {_READ_AS[name]})" if name in _READ_AS else meaning)
        for name, (kind, meaning) in documented(columns).items()
    }


def dataset_of(dataset: str, ticker: str) -> str:
    """The dataset that holds a ticker's bars: for ``ib/bars_1m`` the ticker's own below it, any other as it is.

    IB's ``BRK B`` is ``BRK.B`` there, as other vendors spell it.

    Raises:
        ValueError: IB spells no ticker so, or the dataset is that of another ticker.
    """
    if dataset != IB_BARS and not dataset.startswith(f"{IB_BARS}/"):
        return dataset
    if ticker != ticker.upper():
        raise ValueError(f"{IB_BARS}: IB spells tickers in capitals, such as AAPL or BRK B, and not {ticker}")
    own = f"{IB_BARS}/{ticker.replace(' ', '.')}"
    if dataset not in (IB_BARS, own):
        raise ValueError(f"{dataset} holds no bars of {ticker}: ask for dataset='{IB_BARS}'")
    return own
