"""Spark: `spark.read.parquet` of the folder, with the reader and the settings that it has by default."""

from __future__ import annotations

from readers.content import BOOLEAN, DATE, DOUBLE, INSTANT, INT16, INT64, TEXT, Content, content_of
from readers.engines.answer import answer
from readers.engines.spark_session import spark

KINDS = {
    "double": DOUBLE,
    "bigint": INT64,
    "smallint": INT16,
    "string": TEXT,
    "date": DATE,
    "timestamp": INSTANT,
    "boolean": BOOLEAN,
}


def read(folder: str) -> Content:
    frame = spark.read.parquet(folder)
    columns = dict(zip(frame.columns, zip(*frame.collect(), strict=True), strict=True))
    return content_of(columns, {name: KINDS.get(dtype, dtype) for name, dtype in frame.dtypes})


answer(read)
