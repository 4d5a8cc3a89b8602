"""A lake of every dataset: three synthetic days in two months, as the command brings them in.

Here: the command's runs, and what the project's own reader finds afterwards. Not here: any other reader.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from data_assets.lake.lake import Lake
from data_assets.lake.layout import month_path
from readers.content import BOOLEAN, DATE, DOUBLE, INSTANT, INT16, INT64, TEXT, Content, content_of
from readers.environments import PROJECT

FIRST, LAST = date(2026, 2, 27), date(2026, 3, 3)
SEVERAL_ROW_GROUPS, SMALL = "160", "10"  # contracts of a day and root
DAILY, MONTHLY = "polygon/minute_aggs", "polygon/minute_aggs_monthly"
TICKERS = ("SPY", "NA", "AIGpA")  # one that looks like no value, and one that its folder spells otherwise
ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY"}
"""What the engines' oldest versions read of every type, and so all that a file of the lake may have."""

_KINDS = {
    pl.Float64(): DOUBLE,
    pl.Int64(): INT64,
    pl.Int16(): INT16,
    pl.String(): TEXT,
    pl.Enum(["CALL", "PUT"]): TEXT,
    pl.Date(): DATE,
    pl.Datetime("us", "UTC"): INSTANT,
    pl.Boolean(): BOOLEAN,
}


def new_project(folder: Path) -> Path:
    """Make a project in `folder`, with the shipped datasets."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(PROJECT / "defs", folder / "defs")
    return folder


def fill(folder: Path) -> Lake:
    """Make a project in `folder` and let it fill its lake."""
    new_project(folder)
    dates = ["--from", str(FIRST), "--to", str(LAST)]
    run_command(folder, "backfill", "theta/option_quotes/SPX", *dates, contracts=SEVERAL_ROW_GROUPS)
    run_command(folder, "backfill", "theta", "polygon", "ib", *dates)
    return Lake(str(folder / "lake" / "sandbox"), synthetic=True)


def run_command(folder: Path, *arguments: str, contracts: str = SMALL) -> None:
    """Run `data-assets` in the sandbox profile of a project."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DATA_ASSETS_", "POLYGON_"))},
        "DAGSTER_HOME": str(folder),
        "DATA_ASSETS_PROFILE": "sandbox",
        "DATA_ASSETS_SANDBOX_CONTRACTS": contracts,
        "POLYGON_TICKERS": "all",
    }
    command = Path(sys.executable).with_name("data-assets")
    subprocess.run([str(command), *arguments], cwd=folder, env=environment, check=True)


def contents(lake: Lake) -> Iterator[tuple[str, str, Content]]:
    """Every folder that people read whole: its name, where it is, and what the project's own reader finds in it."""
    for dataset in lake.datasets():
        rows = lake.scan(dataset, FIRST, LAST).collect()
        days = [str(day) for day in lake.held_days(dataset, FIRST, LAST)]
        yield dataset, lake.locate(dataset), _content(rows, {"date": days})
    bars = {
        name: _bars(lake, name)
        for name in sorted(lake.scan(DAILY, FIRST, LAST, ["ticker"]).collect()["ticker"].unique())
    }
    months = {"month": [f"{FIRST:%Y-%m}", f"{LAST:%Y-%m}"]}
    folders = months | {"ticker_folder": [f"_{name}" for name in bars]}
    yield MONTHLY, lake.locate(MONTHLY), _content(pl.concat(bars.values()), folders)
    for name in TICKERS:
        folder = month_path(MONTHLY, name, FIRST.replace(day=1)).split("/month=")[0]
        yield folder, lake.locate(folder), _content(bars[name], months)


def _bars(lake: Lake, ticker: str) -> pl.DataFrame:
    return lake.scan(DAILY, FIRST, LAST).filter(pl.col("ticker") == ticker).collect()


def _content(rows: pl.DataFrame, folders: dict[str, list[str]]) -> Content:
    columns = {name: rows[name].to_list() for name in rows.columns}
    content = content_of(columns, {name: _KINDS[dtype] for name, dtype in rows.schema.items()})
    return content | {"folders": folders}


def foreign_encodings(lake: Lake) -> dict[str, list[str]]:
    """Of each file that has another encoding than `ENCODINGS`, which columns have it."""
    found = {}
    for path in Path(lake.url).rglob("*.parquet"):
        groups = pq.read_metadata(path)
        columns = {
            chunk.path_in_schema
            for group in range(groups.num_row_groups)
            for chunk in map(groups.row_group(group).column, range(groups.num_columns))
            if not ENCODINGS.issuperset(chunk.encodings)
        }
        if columns:
            found[str(path)] = sorted(columns)
    return found
