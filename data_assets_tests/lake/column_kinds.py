"""Columns of every kind that a day may have, for the properties of what is written of them."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
from hypothesis import strategies as st

KINDS = {
    "ticker": (pl.String(), st.sampled_from(["SPX", "SPXW", "", "é", "a" * 300])),
    "note": (pl.String(), st.text(max_size=5)),
    "right": (pl.Enum(["CALL", "PUT"]), st.sampled_from(["CALL", "PUT"])),
    "expiration": (pl.Date(), st.dates(date(1960, 1, 1), date(2040, 1, 1))),
    "timestamp": (pl.Datetime("us", "UTC"), st.datetimes(datetime(1960, 1, 1), datetime(2040, 1, 1))),  # noqa: DTZ001
    "strike": (pl.Float64(), st.floats() | st.sampled_from([0.0, -0.0, 0.05, 12.35])),
    "vega": (pl.Float32(), st.floats(width=32)),
    "size": (pl.Int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300)),
    "trades": (pl.Int32(), st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3)),
    "exchange": (pl.Int16(), st.integers(-(2**15), 2**15 - 1)),
    "is_test": (pl.Boolean(), st.booleans()),
}
"""Type and values of each column, by its name."""
