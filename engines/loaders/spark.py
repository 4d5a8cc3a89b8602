"""Spark: the lake's own folder, with the reader and the settings that it has by default. Not here: what is expected."""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import functions as of

from engines.loaders.bars_of_days import tell
from engines.loaders.other_days import unreadable_but
from readers.engines.spark_session import spark

folder, day = Path(sys.argv[1]), sys.argv[2]
bars = spark.read.parquet(str(folder))
(whole,) = bars.agg(
    of.count("*"), of.min("timestamp"), of.max("timestamp"), of.sum("close"), of.count_distinct("date")
).collect()
with unreadable_but(day, folder):
    of_day = bars.where(of.col("date") == day).count()
count, first, last, closes, days = whole
tell(count, f"{first.isoformat()}+00:00", f"{last.isoformat()}+00:00", closes, days, of_day)
