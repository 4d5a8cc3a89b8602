"""The tickers of one of the vendor's files.

Here: reading them, and nothing else of the file. Not here: a day's bars (``schema``).
"""

from __future__ import annotations

import io

import polars as pl

from data_assets.vendors.polygon.gzip_text import first_line, pieces

TICKER = "ticker"


def tickers_in(file: bytes) -> tuple[str, ...]:
    """Return the tickers of a whole gzip file, sorted; none where it has no such column."""
    header = first_line(file)
    if TICKER not in header.decode("utf-8", errors="replace").strip().split(","):
        return ()
    of_pieces = [
        pl.read_csv(io.BytesIO(piece), columns=[TICKER], schema_overrides={TICKER: pl.String})[TICKER].unique()
        for piece in pieces(file, header)
    ]
    return tuple(sorted({ticker for found in of_pieces for ticker in found.drop_nulls()}))
