"""`create_views` and its macros over a lake in a bucket, with DuckDB's extension httpfs. Not here: what is expected."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension

from data_assets import Lake, create_views

url, day = sys.argv[1], sys.argv[2]
import_extension("httpfs")
with tempfile.TemporaryDirectory() as folder:
    database = Path(folder) / "lake.duckdb"
    views = create_views(Lake(url, synthetic=True), database)
    kept = (
        b"AWS_SECRET" in database.read_bytes() or os.environ["AWS_SECRET_ACCESS_KEY"].encode() in database.read_bytes()
    )
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("LOAD httpfs")
        connection.execute("SET TimeZone = 'UTC'")
        endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', "
            f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', REGION 'us-east-1', ENDPOINT '{endpoint}', "
            "URL_STYLE 'path', USE_SSL false)"
        )

        def ask(question: str) -> list[tuple[object, ...]]:
            return connection.execute(question).fetchall()

        (count, closes), *_ = ask(f"SELECT count(*), sum(bid) FROM {views[-1]} WHERE date = DATE '{day}'")
        (chain,), *_ = ask(f"SELECT count(*) FROM chain('QQQ', DATE '{day}', TIME '10:00')")
        days = ask("SELECT day, rows FROM days('theta/option_quotes/QQQ')")
print(
    json.dumps(
        {
            "rows": count,
            "views": views,
            "sum of bids": round(float(str(closes)), 2),
            "contracts of a minute": chain,
            "days": [[str(day), rows] for day, rows in days],
            "the secret stands in the file": kept,
        }
    )
)
