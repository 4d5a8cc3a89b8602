"""Bars as text: a file for each ticker and month, with a header, as people kept them before they had a lake.

Times are written with their offset from UTC, numbers with as many digits as it takes to read the same number again.

Here: the text. Not here: which bars are in which file (`months`).
"""

from __future__ import annotations

from typing import BinaryIO

import polars as pl

from data_assets.export.frame import BarShape
from data_assets.export.months import BarMonths

TIMES = "%Y-%m-%dT%H:%M:%S%:z"


def csv_months(dataset: str, ticker: str, shape: BarShape) -> BarMonths:
    """CSV files, such as ``SPY/SPY_2024-01.csv``."""

    def write(rows: pl.DataFrame, file: BinaryIO) -> None:
        rows.write_csv(file, datetime_format=TIMES)

    return BarMonths("csv", dataset, ticker, shape, ".csv", write)
