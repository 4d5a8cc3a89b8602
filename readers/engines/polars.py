"""Polars: `scan_parquet` of every file under the folder."""

from __future__ import annotations

import polars as pl

from readers.content import BOOLEAN, DATE, DOUBLE, INSTANT, INT16, INT64, TEXT, Content, content_of
from readers.engines.answer import answer

KINDS = {
    pl.Float64(): DOUBLE,
    pl.Int64(): INT64,
    pl.Int16(): INT16,
    pl.String(): TEXT,
    pl.Date(): DATE,
    pl.Datetime("us", "UTC"): INSTANT,
    pl.Boolean(): BOOLEAN,
}


def read(folder: str) -> Content:
    frame = pl.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
    categories = TEXT
    try:
        rows = frame.collect()
    except pl.exceptions.StringCacheMismatchError:
        categories = "text, in a StringCache"
        with pl.StringCache():
            rows = frame.collect()
    kinds = {
        name: categories if dtype == pl.Categorical else KINDS.get(dtype, str(dtype))
        for name, dtype in rows.schema.items()
    }
    return content_of({name: rows[name].to_list() for name in rows.columns}, kinds)


answer(read)
