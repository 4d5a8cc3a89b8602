"""(k) What it costs that every engine reads the files: plain volumes and times, and option sizes of 64 bits.

The same rows are encoded in memory by pyarrow as the lake has them and as they were once, or could be, smaller; size
and seconds are those of the whole file. Only reported: `make readers` shows what is had for it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.inputs import flat_file_day, quote_day
from benchmarks.minute_aggs import STYLES
from benchmarks.results import Result, print_table
from data_assets.lake.parquet_file import ROW_GROUP_ROWS
from data_assets.sandbox.flat_files.rows import rows
from data_assets.trading_calendar import NEW_YORK, sessions
from data_assets.vendors.polygon import schema as bars
from data_assets.vendors.theta.schema import QUOTES

CONTRACTS = 5_972
MONTH, TICKERS = date(2024, 1, 1), ("SPY",)
REPETITIONS = 7
SPLIT, DIFFERENCES = "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"


@dataclass(frozen=True, slots=True)
class Form:
    """One way to hold rows: the rows, and the encoding of each column without a dictionary."""

    table: pa.Table
    encodings: Mapping[str, str]


def run() -> list[Result]:
    """Measure each choice beside the one it was preferred to."""
    results = []
    plain = dict.fromkeys(bars.PLAIN, "PLAIN")
    for style, day in STYLES.items():
        table = _day(style, day)
        ours, other = Form(table, plain), Form(table, plain | {"volume": SPLIT})
        results += _compared(f"(k) {style} volumes of a day, plain over byte by byte", ours, other)
    table = _month()
    ours, other = Form(table, {bars.SORT_BY[-1]: "PLAIN"}), Form(table, {bars.SORT_BY[-1]: DIFFERENCES})
    results += _compared("(k) times of a ticker's month, plain over differences", ours, other)
    wide = _quotes()
    narrow = wide.cast({"bid_size": pl.Int32, "ask_size": pl.Int32})
    ours, other = Form(wide.to_arrow(), {}), Form(narrow.to_arrow(), {})
    return results + _compared("(k) sizes of a day of quotes, 64 bits over 32", ours, other)


def _compared(claim: str, ours: Form, other: Form) -> list[Result]:
    rounds = [(_encoded(ours), _encoded(other)) for _ in range(REPETITIONS)]
    (size, _), (other_size, _) = rounds[0]
    seconds, other_seconds = (median(each[place][1] for each in rounds) for place in (0, 1))
    ratio = median(each[0][1] / each[1][1] for each in rounds)
    print(f"{claim}: {ours.table.num_rows:,} rows, {REPETITIONS} alternating repetitions")
    print_table(
        ["", "bytes", "seconds"],
        [["ours", f"{size:,}", f"{seconds:.3f}"], ["other", f"{other_size:,}", f"{other_seconds:.3f}"]],
    )
    return [Result(f"{claim}, bytes", f"{size / other_size:.3f}"), Result(f"{claim}, seconds", f"{ratio:.2f}")]


def _encoded(form: Form) -> tuple[int, float]:
    sink = io.BytesIO()
    started = time.perf_counter()
    pq.write_table(
        form.table,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        use_dictionary=[name for name in form.table.column_names if name not in form.encodings],
        column_encoding=dict(form.encodings) or None,
        write_page_checksum=True,
        write_statistics=False,
    )
    return sink.tell(), time.perf_counter() - started


def _day(style: str, day: date) -> pa.Table:
    types = {**bars.SCHEMA, "window_start": pl.Int64(), "transactions": pl.Float64()}
    return _stored(pl.read_csv(flat_file_day(style, day).file, schema_overrides=types)).to_arrow()


def _month() -> pa.Table:
    days = sessions(MONTH, date(2024, 1, 31))
    return _stored(pl.concat(rows(TICKERS, day, fractional=False) for day in days)).to_arrow()


def _stored(frame: pl.DataFrame) -> pl.DataFrame:
    times = pl.from_epoch(pl.col("window_start") // 1000, "us").dt.replace_time_zone("UTC")
    typed = frame.with_columns(times, test_ticker=pl.col("ticker").is_in(list(bars.TEST_TICKERS)))
    return typed.select(bars.SCHEMA.names()).cast(dict(bars.SCHEMA)).sort(bars.SORT_BY)


def _quotes() -> pl.DataFrame:
    frame = pl.read_csv(
        quote_day(CONTRACTS).csv, schema_overrides={"timestamp": pl.String(), "expiration": pl.String()}
    )
    times = pl.col("timestamp").str.to_datetime(time_unit="us", time_zone=str(NEW_YORK)).dt.convert_time_zone("UTC")
    typed = frame.with_columns(times, pl.col("expiration").str.to_date())
    return (
        typed.select(QUOTES.schema.names()).cast(dict(QUOTES.schema)).sort("expiration", "strike", "right", "timestamp")
    )
