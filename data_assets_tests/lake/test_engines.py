"""Any engine that is given a dataset's folder reads the days, or the months, that the lake holds, and nothing else."""

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from data_assets.lake.lake import Lake
from data_assets.lake.monthly import MonthProvenance
from data_assets_tests.lake.lake_days import DATASET, DAY, SCHEMA, SORT_BY, provenance, python_path, quotes, temp_files
from data_assets_tests.lake.minute_days import MONTHLY

NEXT_DAY = DAY.replace(day=4)

ODD_TICKERS = [
    *("A", "BRK.A", "ABRpA", "ABRPA", "..", ".", "a/b", "../../A", "50%", "É A", "~", "_x", "a=b", "%41"),
    *("INF", "inf", "Infinity", "NAN", "nan", "007", "2024", "-1", "1e5", "1_000", "0x10", "1L", "1.5"),
    *("TRUE", "true", "False", "t", "NA", "na", "NULL", "null", "None", "__HIVE_DEFAULT_PARTITION__"),
    *("2024-01-02", "2024-01", "20240102", "12:30", "today", "epoch", "MAY"),
]


def with_duckdb(folder: Path) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")  # in which instants are shown
        return connection.sql(f"SELECT * FROM read_parquet('{folder}/**/*.parquet')").pl()


def with_polars(folder: Path) -> pl.DataFrame:
    return pl.scan_parquet(folder).collect()


def with_pandas(folder: Path) -> pl.DataFrame:
    return pl.from_pandas(pd.read_parquet(folder))


def with_pyarrow(folder: Path) -> pl.DataFrame:
    return pl.DataFrame(ds.dataset(folder, partitioning="hive").to_table())


def with_hive_rules(folder: Path) -> pl.DataFrame:
    """As Spark lists a folder: all but hidden files, each under the same keys, none of them a column of the file."""
    frames, keys = [], set()
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(part[0] == "." or (part[0] == "_" and "=" not in part) for part in parts):
            continue
        pairs = [part.split("=", 1) for part in parts[:-1]]
        keys.add(tuple(name for name, _ in pairs))
        frame = pl.read_parquet(path, hive_partitioning=False)
        assert not {name for name, _ in pairs} & set(frame.columns)
        frames.append(frame.with_columns(**{name: pl.lit(unquote(value)) for name, value in pairs}))
    assert len(keys) == 1, keys
    return pl.concat(frames)


ENGINES = [with_duckdb, with_polars, with_pandas, with_pyarrow, with_hive_rules]

pytestmark = [pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__), pytest.mark.slow]


def stage(lake, day=DAY, *, seed=0, rejected=False):
    with lake.writer(DATASET, day, SCHEMA, SORT_BY, rejected=rejected) as writer:
        writer.write(quotes(seed=seed))
        return writer.finish(provenance(day=day))


def two_days(lake):
    for day in (DAY, NEXT_DAY):
        stage(lake, day).publish()


def assert_reads(engine, lake, *seeds):
    """The days that the lake itself reads, each once, and nothing else."""
    found = engine(Path(lake.url) / DATASET)
    held = lake.scan(DATASET, DAY, NEXT_DAY).collect()
    assert found.height == held.height
    assert found["bid"].sum() == pytest.approx(held["bid"].sum())
    assert sorted(map(str, found["date"].unique())) == [str(DAY), str(NEXT_DAY)]


def test_a_republished_and_a_rejected_day_count_once(tmp_path, engine):
    lake = Lake(str(tmp_path), synthetic=True)
    two_days(lake)
    stage(lake, seed=1).publish(keep_previous=True)
    stage(lake, NEXT_DAY, seed=2, rejected=True).publish()
    stage(lake, date(2024, 1, 5), rejected=True).publish()
    assert_reads(engine, lake)


def test_a_day_that_is_being_written_is_not_met(tmp_path, engine):
    lake = Lake(str(tmp_path), synthetic=True)
    two_days(lake)
    staged = [stage(lake, seed=1), stage(lake, date(2024, 1, 5))]  # one in place of a day, and one where there is none
    with lake.unfinished(DATASET, DAY) as pieces, lake.unfinished(DATASET, date(2024, 1, 8)) as others:
        pieces.put("20240119", quotes(), {})
        others.put("20240119", quotes(), {})
        assert_reads(engine, lake)
    assert_reads(engine, lake)
    for each in staged:
        each.discard()
    assert_reads(engine, lake)


# Dies while a day that is there is replaced, at the chosen call.
WRITER = """
import os, signal, sys
from pathlib import Path
from data_assets_tests.lake.lake_days import *

lake = Lake(sys.argv[1], synthetic=True)
with lake.unfinished(DATASET, DAY) as pieces:
    pieces.put("20240119", quotes(), {})
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
        writer.write(quotes(seed=1))
        staged = writer.finish(provenance())
        if sys.argv[2] == "rename":
            Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            staged.publish(keep_previous=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The lakes that killed writers left."""
    folders = {instant: tmp_path_factory.mktemp("lake") for instant in ("staged", "rename")}
    for instant, folder in folders.items():
        two_days(Lake(str(folder), synthetic=True))
        process = subprocess.run(
            [sys.executable, "-c", WRITER, str(folder), instant], env=python_path(), check=False, timeout=100
        )
        assert process.returncode == -signal.SIGKILL
        assert len(temp_files(folder / "_unfinished")) == 1
    return folders


@pytest.mark.parametrize("instant", ["staged", "rename"])
def test_what_a_killed_writer_leaves_is_not_met(killed, engine, instant):
    assert_reads(engine, Lake(str(killed[instant]), synthetic=True))


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    """A lake with two months of tickers that look like something else."""
    lake = Lake(str(tmp_path_factory.mktemp("lake")), synthetic=True)
    start = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)
    built = MonthProvenance(
        dataset=MONTHLY,
        ticker="",
        month=date(2024, 1, 1),
        source="polygon/minute_aggs",
        days={start.date(): "1"},
        lacking=(),
        built_at=start,
        schema_version=1,
        synthetic=True,
    )
    for ticker in ODD_TICKERS:
        for month in (1, 2):
            rows = pl.DataFrame(
                {
                    "ticker": [ticker, ticker],
                    "volume": [100.0, 12.5],
                    "window_start": [start.replace(month=month), start.replace(month=month, minute=31)],
                    "transactions": [3, month],
                }
            )
            lake.write_month(
                replace(built, ticker=ticker, month=date(2024, month, 1)),
                rows.with_columns(pl.col("window_start").dt.cast_time_unit("us")),
                "window_start",
            )
    return lake


def content(frame):
    """The file's own columns, in an order that no engine promises."""
    return frame.select("ticker", "volume", "window_start", "transactions").sort("ticker", "window_start")


def test_the_months_of_all_tickers_are_read_as_they_are(months, engine):
    found = engine(Path(months.url) / MONTHLY)
    rows = content(found)
    assert dict(rows.schema) == {
        "ticker": pl.String(),
        "volume": pl.Float64(),
        "window_start": pl.Datetime("us", "UTC"),
        "transactions": pl.Int64(),
    }
    assert rows["ticker"].to_list() == sorted(name for name in ODD_TICKERS for _ in range(4))
    assert rows["transactions"].to_list() == [3, 1, 3, 2] * len(ODD_TICKERS)
    folders = found.select(pl.col("ticker_folder", "month").cast(pl.String), "ticker").unique()
    assert set(folders["month"]) == {"2024-01", "2024-02"}
    assert (folders["ticker_folder"] == "_" + folders["ticker"]).all()


def test_the_months_of_one_ticker_are_read_as_they_are(months, engine):
    for folder in (Path(months.url) / MONTHLY).iterdir():
        rows = content(engine(folder))
        assert rows.schema["ticker"] == pl.String()
        assert folder.name.startswith("ticker_folder=_")
        assert unquote(folder.name.removeprefix("ticker_folder=_")) == rows["ticker"].unique().item()
        assert rows["transactions"].to_list() == [3, 1, 3, 2]
