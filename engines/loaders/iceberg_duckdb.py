"""DuckDB: the exported table by its extension iceberg, opened by its folder. Not here: what is expected."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension

from engines.loaders.bars_of_days import tell
from engines.loaders.other_days import unreadable_but

folder, day = Path(sys.argv[1]), sys.argv[2]
connection = duckdb.connect()
for extension in ("avro", "httpfs", "iceberg"):
    import_extension(extension)
    connection.execute(f"LOAD {extension}")
connection.execute("SET TimeZone = 'UTC'")
source = f"iceberg_scan('{folder}')"
count, first, last, closes, days = connection.execute(
    f"SELECT count(*), min(timestamp), max(timestamp), sum(close), count(DISTINCT date) FROM {source}"
).fetchone()
with unreadable_but(day, folder / "data"):
    (of_day,) = connection.execute(f"SELECT count(*) FROM {source} WHERE date = DATE '{day}'").fetchone()
tell(count, first.isoformat(), last.isoformat(), closes, days, of_day)
