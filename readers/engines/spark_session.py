"""Spark on this machine, with the reader and the settings that it has by default. Not here: what is read."""

from __future__ import annotations

import os
import time

from pyspark.sql import SparkSession

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
