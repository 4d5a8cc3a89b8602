"""Polars: the exported table by `scan_iceberg`, with the reader that it picks. Not here: what is expected."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import polars as pl

from engines.loaders.bars_of_days import tell
from engines.loaders.other_days import unreadable_but

folder, day = Path(sys.argv[1]), sys.argv[2]
metadata = folder / "metadata"
bars = pl.scan_iceberg(str(metadata / f"v{(metadata / 'version-hint.text').read_text()}.metadata.json"))
time = pl.col("timestamp")
whole = bars.select(
    pl.len(), time.min().alias("first"), time.max().alias("last"), pl.col("close").sum(), pl.col("date").n_unique()
).collect()
with unreadable_but(day, folder / "data"):
    of_day = bars.filter(pl.col("date") == date.fromisoformat(day)).collect().height
count, first, last, closes, days = whole.row(0)
tell(count, first.isoformat(), last.isoformat(), closes, days, of_day)
