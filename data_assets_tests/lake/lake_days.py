"""Made-up days of option quotes, and how the tests store them."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from data_assets.files import tempfiles
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StoredFile

DATASET = "theta/option_quotes/QQQ"
DAY = date(2024, 1, 3)
SORT_BY = ("expiration", "strike", "right", "timestamp")
COLUMNS = {
    "symbol": pl.String(),
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "right": pl.Enum(["CALL", "PUT"]),
    "timestamp": pl.Datetime("us", "UTC"),
    "bid_size": pl.Int64(),
    "bid_exchange": pl.Int16(),
    "bid": pl.Float64(),
    "bid_condition": pl.Int16(),
    "ask_size": pl.Int64(),
    "ask_exchange": pl.Int16(),
    "ask": pl.Float64(),
    "ask_condition": pl.Int16(),
}
SCHEMA = pl.DataFrame(schema=COLUMNS).to_arrow().schema


def quotes(expirations: int = 3, strikes: int = 4, minutes: int = 5, seed: int = 0, first: int = 0) -> pl.DataFrame:
    """A sorted day of ``expirations * strikes * 2 * minutes`` rows; expirations are numbered from ``first``."""
    row = pl.col("row")
    contract = row // minutes
    noise = (row + pl.col("expiration").to_physical() * 1_000_003).hash(seed=seed)
    days = pl.select(row=pl.int_range(expirations * strikes * 2 * minutes)).with_columns(
        expiration=pl.lit(DAY) + pl.duration(days=contract // (2 * strikes) + first)
    )
    return days.select(
        symbol=pl.lit("QQQ"),
        expiration="expiration",
        strike=300 + contract // 2 % strikes * 2.5,
        right=pl.when(contract % 2 == 0).then(pl.lit("CALL")).otherwise(pl.lit("PUT")),
        timestamp=pl.lit(datetime(2024, 1, 3, 14, 30, tzinfo=UTC)) + pl.duration(minutes=row % minutes),
        bid_size=noise % 200,
        bid_exchange=noise % 70,
        bid=noise % 9973 / 100,
        bid_condition=50,
        ask_size=noise % 190,
        ask_exchange=noise % 60,
        ask=noise % 9967 / 100,
        ask_condition=50,
    ).cast(COLUMNS)


def widths() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A day as it was stored when sizes had 32 bits, and one whose sizes need more."""
    narrow = quotes(seed=1).cast({"bid_size": pl.Int32, "ask_size": pl.Int32})
    return narrow, quotes(seed=2).with_columns(bid_size=pl.lit(3_000_000_000, pl.Int64))


def provenance(dataset: str = DATASET, day: date = DAY, *, synthetic: bool = True, **more: object) -> Provenance:
    return Provenance(
        dataset=dataset,
        day=day,
        source="http://127.0.0.1:25503/v3/option/history/quote?symbol=QQQ&expiration=*",
        fetched_at=datetime(2024, 1, 4, 2, 0, tzinfo=UTC) + timedelta(microseconds=7),
        schema_version=1,
        raw_sha256="ab" * 32,
        raw_size=1234,
        synthetic=synthetic,
        **more,
    )


def store(lake: Lake, *frames: pl.DataFrame, dataset: str = DATASET, day: date = DAY, **more: object) -> StoredFile:
    schema = frames[0].to_arrow().schema if frames else SCHEMA
    with lake.writer(dataset, day, schema, SORT_BY) as writer:
        for frame in frames:
            writer.write(frame)
        return writer.finish(provenance(dataset, day, synthetic=lake.synthetic, **more)).publish()


def stored(lake: Lake, dataset: str = DATASET, day: date = DAY) -> pl.DataFrame:
    return lake.scan(dataset, day, day).collect()


def temp_files(folder: Path) -> list[Path]:
    return list(tempfiles.find(folder))


def python_path() -> dict[str, str]:
    """The environment in which a subprocess finds this module."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


def pieces(frame: pl.DataFrame, size: int) -> list[pl.DataFrame]:
    return list(frame.iter_slices(size))
