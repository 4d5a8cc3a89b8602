"""DuckDB: the lake's own folder, read by its hive keys. Not here: what is expected."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from engines.loaders.bars_of_days import tell
from engines.loaders.other_days import unreadable_but

folder, day = Path(sys.argv[1]), sys.argv[2]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(
    f"CREATE VIEW bars AS FROM read_parquet('{folder}/date=*/data.parquet', hive_types = {{'date': DATE}})"
)
count, first, last, closes, days = connection.execute(
    "SELECT count(*), min(timestamp), max(timestamp), sum(close), count(DISTINCT date) FROM bars"
).fetchone()
with unreadable_but(day, folder):
    (of_day,) = connection.execute(f"SELECT count(*) FROM bars WHERE date = DATE '{day}'").fetchone()
tell(count, first.isoformat(), last.isoformat(), closes, days, of_day)
