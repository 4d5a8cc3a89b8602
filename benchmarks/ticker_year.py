"""(h) A year of one ticker's regular minutes, as a backtest loads it: from the monthly files, from days, from CSV.

The lake holds the days of ten tickers, which is the default, so a day file is small; with all tickers in it, reading
days would cost more than shown here.

Beside them two floors: Polars over the same months, every row and no question which of them still hold; and Polars over
one file that holds the answer and nothing else.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks.inputs import CACHE, SOURCES
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Worker
from data_assets.lake.lake import Lake
from data_assets.lake.layout import month_path
from data_assets.lake.provenance import Provenance
from data_assets.sandbox.flat_files.rows import rows
from data_assets.sandbox.market.minute_bars import LIQUID
from data_assets.trading_calendar import sessions
from data_assets.vendors.polygon import months, schema

YEAR = 2024
TICKER = "SPY"
REPETITIONS = 5
BOUND_SECONDS = 0.010

OURS, DAYS, CSV = "ours: Lake.bars", "Polars, a file a day", "Polars, a CSV a month"
MONTHS, ANSWER = "floor: Polars, the months as they are", "floor: Polars, the answer in one file"


def run() -> list[Result]:
    """Measure warm reads, each contender in a process of its own."""
    lake, csv = _year()
    start, end = f"{YEAR}-01-01", f"{YEAR}-12-31"
    of_year = [date(YEAR, month, 1) for month in range(1, 13)]
    work = {
        OURS: ("ticker_year", str(lake), TICKER, start, end),
        DAYS: ("ticker_year_of_days", str(lake), TICKER, start, end),
        CSV: ("ticker_year_of_csv", str(csv)),
        MONTHS: ("files_as_they_are", *(str(lake / month_path(months.MONTHLY, TICKER, each)) for each in of_year)),
        ANSWER: ("files_as_they_are", str(_answer(lake))),
    }
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(*each, folder=CACHE)) for name, each in work.items()}
        rounds = [{name: worker.once() for name, worker in workers.items()} for _ in range(REPETITIONS)]
    print(f"{rounds[0][OURS]['rows']:,} regular minutes of {TICKER} in {YEAR}; warm, {REPETITIONS} alternating rounds")
    print_table(
        ["", "milliseconds", "fastest", "rows", "ratio to ours"],
        [
            [
                name,
                f"{1000 * median(each[name]['seconds'] for each in rounds):.1f}",
                f"{1000 * min(each[name]['fastest'] for each in rounds):.1f}",
                f"{rounds[0][name]['rows']:,}",
                f"{median(each[name]['seconds'] / each[OURS]['seconds'] for each in rounds):.1f}",
            ]
            for name in work
        ],
    )
    seconds = median(each[OURS]["seconds"] for each in rounds)

    def over_days(name: str) -> str:
        return f"{median(each[name]['seconds'] / each[DAYS]['seconds'] for each in rounds):.2f}"

    return [
        at_most(f"(h) a year of {TICKER}'s regular minutes, warm", 1000 * seconds, 1000 * BOUND_SECONDS, "{:.1f} ms"),
        Result("(h) the same over Polars on a file a day", over_days(OURS)),
        Result("(h) that ratio's floor: the months as they are", over_days(MONTHS)),
        Result("(h) that ratio's floor: the answer in one file", over_days(ANSWER)),
    ]


def _answer(lake: Path) -> Path:
    """The rows that are asked for, as ours returns them, in one file as Polars writes it."""
    file = CACHE / f"minutes-{YEAR}-answer.parquet"
    bars = Lake(str(lake), synthetic=True).bars(TICKER, date(YEAR, 1, 1), date(YEAR, 12, 31), session="regular")
    bars.collect().write_parquet(file)
    return file


def _year() -> tuple[Path, Path]:
    """A lake with the days and months of the year, and the ticker's CSV by month; made at the first call."""
    folder = CACHE / f"minutes-{YEAR}"
    lake_folder, csv = folder / "lake", folder / "csv"
    if folder.exists():
        return lake_folder, csv
    print(f"making {folder.relative_to(SOURCES)}", flush=True)
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "csv").mkdir(parents=True)
    lake = Lake(str(unfinished / "lake"), synthetic=True)
    days = sessions(date(YEAR, 1, 1), date(YEAR, 12, 31))
    for day in days:
        _store(lake, day)
    for month in sorted({day.replace(day=1) for day in days}):
        months.build_month(lake, month, LIQUID, now=datetime.now(UTC))
        bars = lake.scan(months.DAILY, month, max(day for day in days if day.month == month.month))
        of_ticker = bars.filter(pl.col("ticker") == TICKER).drop("test_ticker").collect()
        of_ticker.write_csv(unfinished / "csv" / f"{TICKER}_{month:%Y-%m}.csv")
    unfinished.rename(folder)
    return lake_folder, csv


def _store(lake: Lake, day: date) -> None:
    bars = rows(sorted(LIQUID), day, fractional=False).with_columns(
        pl.from_epoch(pl.col("window_start") // 1000, "us").dt.replace_time_zone("UTC"), test_ticker=pl.lit(value=False)
    )
    provenance = Provenance(
        dataset=months.DAILY,
        day=day,
        source="synthetic",
        fetched_at=datetime.now(UTC),
        schema_version=schema.SCHEMA_VERSION,
        raw_sha256="",
        raw_size=0,
        synthetic=True,
    )
    with lake.writer(months.DAILY, day, schema.ARROW_SCHEMA, schema.SORT_BY, whole_groups=True) as writer:
        writer.write(bars.select(schema.SCHEMA.names()))
        writer.finish(provenance).publish()
