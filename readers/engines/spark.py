"""Spark: `spark.read.parquet` of the folder, with the reader and the settings that it has by default."""

from __future__ import annotations

import os
import time

from pyspark.sql import SparkSession

from readers.content import BOOLEAN, DATE, DOUBLE, INSTANT, INT16, INT64, TEXT, Content, content_of
from readers.engines.answer import answer

KINDS = {
    "double": DOUBLE,
    "bigint": INT64,
    "smallint": INT16,
    "string": TEXT,
    "date": DATE,
    "timestamp": INSTANT,
    "boolean": BOOLEAN,
}

os.environ["TZ"] = "UTC"  # collected instants are on the clock of this process
time.tzset()
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.memory", "2g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")


def read(folder: str) -> Content:
    frame = spark.read.parquet(folder)
    columns = dict(zip(frame.columns, zip(*frame.collect(), strict=True), strict=True))
    return content_of(columns, {name: KINDS.get(dtype, dtype) for name, dtype in frame.dtypes})


answer(read)
