"""How the vendor has printed its flat files over the years.

Here: rows into a compressed CSV file. Not here: the rows (`flat_files.rows`).

Seen in real files: up to 2024 whole dollars stand bare (``276``), later they keep a zero (``619.0``), and since the day
of fractional volumes every price and volume has six decimals (``607.560000``). Lines end with a line feed, nothing is
quoted, no number has an exponent. A file may be published again years later in the newest style.
"""

from __future__ import annotations

import gzip
from datetime import date
from io import BytesIO
from typing import Literal

import polars as pl

from data_assets.sandbox.flat_files.rows import FRACTIONAL_FROM
from data_assets.sandbox.loopback import SYNTHETIC_SERVER

Style = Literal["integer", "float", "decimal"]

SYNTHETIC_NAME = f"{SYNTHETIC_SERVER}.csv"
"""The original file's name (FNAME, RFC 1952) in the gzip header of a synthetic file."""

_FLOAT_FROM = date(2025, 1, 1)
_DECIMALS = 6
_LEVEL = 6


def style_of(day: date) -> Style:
    """The style in which the file of ``day`` was first printed."""
    if day >= FRACTIONAL_FROM:
        return "decimal"
    return "float" if day >= _FLOAT_FROM else "integer"


def csv(frame: pl.DataFrame, style: Style) -> bytes:
    """The header and the rows of ``frame`` in ``style``; only ``decimal`` can print fractional volumes."""
    if style == "decimal":
        return frame.write_csv(float_precision=_DECIMALS, quote_style="never").encode()
    whole = pl.selectors.by_name("volume", require_all=False).cast(pl.Int64)
    text = frame.with_columns(whole).write_csv(quote_style="never").encode()
    return text.replace(b".0,", b",") if style == "integer" else text


def gzipped(text: bytes, *, says_synthetic: bool) -> bytes:
    """``text`` compressed, without a time in the header: the same bytes whenever it is made.

    Args:
        text: what is compressed.
        says_synthetic: whether the header names `SYNTHETIC_NAME` as the original file, which readers pass over. It
            stays with the file wherever it is copied to.
    """
    body = BytesIO()
    name = SYNTHETIC_NAME if says_synthetic else ""
    with gzip.GzipFile(name, "wb", _LEVEL, body, mtime=0) as file:
        file.write(text)
    return body.getvalue()
