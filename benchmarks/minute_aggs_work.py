"""The contenders for days of the whole stock market, and for years of one ticker; see `work` for how they are run.

Here: from a compressed CSV on the disk to Parquet, and reading a year back. Not here: what is compared, and the bounds.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from datetime import date
from datetime import time as datetime_time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

Measured = dict[str, Any]

FILE_COLUMNS = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")


def minute_aggs(mirror: str, day: str, tickers: str) -> Measured:
    """Ours without Dagster: the cached file digested, parsed, judged, sorted, written, synced, read back, published.

    Where the cache beneath the folder is empty, the file is brought there first.

    Args:
        mirror: a folder laid out as the bucket is.
        day: YYYY-MM-DD.
        tickers: `all`, or some with commas between them.
    """
    from data_assets.lake.lake import Lake
    from data_assets.vendors.polygon.client import FlatFileStore
    from data_assets.vendors.polygon.day import MinuteAggs, MinuteAggsSource, RawCache
    from data_assets.vendors.polygon.tickers import tickers_of

    class Nobody:
        """Whom no byte interests."""

        def received(self, size: int) -> None:
            """Ignore them."""

        def parsed(self, rows: int) -> None:
            """Ignore them."""

    lake = Lake(str(Path("lake").absolute()), synthetic=False)
    cache = RawCache(Path("cache"), 10**12)
    chosen = MinuteAggs(None if tickers == "all" else tickers_of("tickers", tickers.split(",")))
    when = date.fromisoformat(day)

    async def once() -> Measured:
        source = MinuteAggsSource(chosen, lake=lake, store=FlatFileStore(Path(mirror).as_uri()), cache=cache)
        started = time.perf_counter()
        staged = await source.fetch(when, Nobody())
        stored = await asyncio.to_thread(staged.publish)
        return {
            "seconds": time.perf_counter() - started,
            "files": lake.locate(stored.path),
            "rows": stored.rows,
            "size": stored.size,
        }

    return asyncio.run(once())


def hive_by_letters(csv: str, route: str) -> Measured:
    """pyarrow: `read_csv` with types, a cast of the time, and a Hive dataset by the tickers' first two letters.

    Nothing is checked, sorted or synced.

    Args:
        csv: the compressed file.
        route: `bundle` takes the steps of the best-known bundle (fovi-llc/zipline-polygon-bundle, 2025-09): a Python
            function makes each row's letters safe for a folder's name, the rows outside the wanted span are filtered
            away (here none are), and the batches go to the writer one after another. `shortest` takes the letters as
            they are, in Arrow, and filters nothing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pcsv
    import pyarrow.dataset as pds

    shutil.rmtree("hive", ignore_errors=True)
    instant = pa.timestamp("ns", "UTC")
    types = {name: pa.float64() for name in FILE_COLUMNS}
    types |= {"ticker": pa.string(), "window_start": pa.int64(), "transactions": pa.int64()}
    parts = pds.partitioning(pa.schema([("part", pa.string())]), flavor="hive")
    started = time.perf_counter()
    options = pcsv.ConvertOptions(column_types=types, strings_can_be_null=False)
    table = pcsv.read_csv(csv, convert_options=options)
    place = table.schema.get_field_index("window_start")
    table = table.set_column(place, "window_start", table["window_start"].cast(instant))
    if route == "bundle":
        table = table.append_column("part", pa.array([_folder_of(ticker) for ticker in table["ticker"].to_pylist()]))
        first, end = pa.scalar(0, instant), pa.scalar(1 << 62, instant)
        table = table.filter((pc.field("window_start") >= first) & (pc.field("window_start") < end))
        batches = (batch for batch in table.to_batches())
        pds.write_dataset(batches, "hive", schema=table.schema, format="parquet", partitioning=parts)
    else:
        table = table.append_column("part", pc.utf8_upper(pc.utf8_slice_codeunits(table["ticker"], 0, 2)))
        pds.write_dataset(table, "hive", format="parquet", partitioning=parts)
    return {"seconds": time.perf_counter() - started, "files": str(Path("hive").absolute() / "**" / "*.parquet")}


def _folder_of(ticker: str) -> str:
    """The first two characters as capitals; an A for each that is missing or no letter."""
    letters = ticker[:2].ljust(2, "A").upper()
    return letters if letters.isalpha() else "".join(letter if letter.isalpha() else "A" for letter in letters)


def duckdb_sorted(csv: str) -> Measured:
    """DuckDB: `read_csv` with types, `COPY ... ORDER BY ticker, window_start`. Nothing is checked or synced."""
    import duckdb

    types = dict.fromkeys(FILE_COLUMNS, "DOUBLE")
    types |= {"ticker": "VARCHAR", "window_start": "BIGINT", "transactions": "BIGINT"}
    with duckdb.connect() as connection:
        started = time.perf_counter()
        connection.execute(
            f"COPY (SELECT * REPLACE (make_timestamptz(window_start // 1000) AS window_start) "
            f"FROM read_csv('{csv}', header = true, columns = {types}) ORDER BY ticker, window_start) "
            "TO 'duckdb.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
        return {"seconds": time.perf_counter() - started, "files": str(Path("duckdb.parquet").absolute())}


def ticker_year(lake_folder: str, ticker: str, start: str, end: str) -> Measured:
    """Ours: `Lake.bars`, regular minutes, collected."""
    from data_assets.lake.lake import Lake

    lake = Lake(lake_folder, synthetic=True)
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    return _read_warm(lambda: lake.bars(ticker, first, last, session="regular").collect())


def ticker_year_of_days(lake_folder: str, ticker: str, start: str, end: str) -> Measured:
    """Polars over the day files: a filter by ticker, and regular minutes by the clock in New York."""
    import polars as pl

    from data_assets.lake.lake import Lake

    lake = Lake(lake_folder, synthetic=True)
    days = lake.stored_days("polygon/minute_aggs", date.fromisoformat(start), date.fromisoformat(end))
    files = [lake.locate(f"polygon/minute_aggs/date={day}/data.parquet") for day in days]
    return _read_warm(
        lambda: _regular(pl.scan_parquet(files, hive_partitioning=False).filter(pl.col("ticker") == ticker)).collect()
    )


def ticker_year_of_csv(folder: str) -> Measured:
    """Polars over a CSV file a month, as they were kept before: times parsed, regular minutes by the clock."""
    import polars as pl

    types = {name: pl.Float64() for name in FILE_COLUMNS}
    schema = types | {"ticker": pl.String(), "window_start": pl.Datetime("us", "UTC"), "transactions": pl.Int64()}
    return _read_warm(lambda: _regular(pl.scan_csv(f"{folder}/*.csv", schema=schema)).collect())


def files_as_they_are(*files: str) -> Measured:
    """Polars over some files: every row and column, nothing asked."""
    import polars as pl

    return _read_warm(lambda: pl.scan_parquet(list(files), glob=False, hive_partitioning=False).collect())


def _regular(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Regular minutes by the clock alone: early closes are not cut, which is less work than ours does."""
    import polars as pl

    at = pl.col("window_start").dt.convert_time_zone("America/New_York").alias("time_new_york")
    clock = pl.col("time_new_york").dt.time()
    return bars.with_columns(at).filter(clock >= datetime_time(9, 30), clock < datetime_time(16, 0))


def _read_warm(read: Callable[[], pl.DataFrame]) -> Measured:
    seconds = []
    for _ in range(15):
        started = time.perf_counter()
        frame = read()
        seconds.append(time.perf_counter() - started)
    return {"seconds": median(seconds[3:]), "fastest": min(seconds), "rows": frame.height}


def polars_filtered(csv: str, tickers: str) -> Measured:
    """Polars: `scan_csv` with types, a filter by ticker, `sink_parquet`. Nothing is checked or synced."""
    import polars as pl

    types = {name: pl.Float64() for name in FILE_COLUMNS}
    schema = types | {"ticker": pl.String(), "window_start": pl.Int64(), "transactions": pl.Int64()}
    started = time.perf_counter()
    pl.scan_csv(csv, schema=schema).filter(pl.col("ticker").is_in(tickers.split(","))).sort(
        "ticker", "window_start"
    ).sink_parquet("polars.parquet")
    return {"seconds": time.perf_counter() - started, "files": str(Path("polars.parquet").absolute())}
