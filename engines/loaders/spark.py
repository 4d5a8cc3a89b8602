"""Spark: the lake's own folder, with the reader and the settings that it has by default. Not here: what is expected."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as of

from engines.loaders.other_days import unreadable_but

folder, day = Path(sys.argv[1]), sys.argv[2]
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
bars = spark.read.parquet(str(folder))
(whole,) = bars.agg(
    of.count("*"), of.min("timestamp"), of.max("timestamp"), of.sum("close"), of.count_distinct("date")
).collect()
with unreadable_but(day, folder):
    of_day = bars.where(of.col("date") == day).count()
print(
    json.dumps(
        {
            "rows": whole[0],
            "first": f"{whole[1].isoformat()}+00:00",
            "last": f"{whole[2].isoformat()}+00:00",
            "sum of closes": round(whole[3], 4),
            "days": whole[4],
            "bars of a day, the other days unreadable": of_day,
        }
    )
)
