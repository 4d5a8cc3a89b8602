"""DuckDB: `read_parquet` of every file under the folder."""

from __future__ import annotations

import duckdb

from readers.content import BOOLEAN, DATE, DOUBLE, INSTANT, INT16, INT64, TEXT, Content, content_of
from readers.engines.answer import answer

KINDS = {
    "DOUBLE": DOUBLE,
    "BIGINT": INT64,
    "SMALLINT": INT16,
    "VARCHAR": TEXT,
    "DATE": DATE,
    "TIMESTAMP WITH TIME ZONE": INSTANT,
    "BOOLEAN": BOOLEAN,
}


def read(folder: str) -> Content:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")  # in which instants are shown
    table = connection.sql(f"SELECT * FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)")
    kinds = {name: KINDS.get(str(dtype), str(dtype)) for name, dtype in zip(table.columns, table.types, strict=True)}
    return content_of(dict(zip(table.columns, zip(*table.fetchall(), strict=True), strict=True)), kinds)


answer(read)
