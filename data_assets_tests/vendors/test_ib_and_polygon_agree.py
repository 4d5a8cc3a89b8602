"""The same sessions from two vendors, each through its own protocol: IB's bars and Polygon's are those of one market.

Interactive Brokers by the real ib_async over TCP, Polygon by flat files over S3, both into one lake. What is compared
is what a reader of the lake gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from data_assets.lake.lake import Lake
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.sandbox.tws.stocks import STOCKS, Stock
from data_assets.trading_calendar import session
from data_assets.vendors.ib.contracts import Ticker
from data_assets.vendors.ib.day import IbBarsSource
from data_assets.vendors.polygon.day import MinuteAggs, MinuteAggsSource
from data_assets.vendors.polygon.raw_cache import RawCache
from data_assets.vendors.polygon.tickers import tickers_of
from data_assets_tests.vendors.ib.ib_client_fixtures import opened
from data_assets_tests.vendors.polygon.flat_file_fixtures import NOW, Meter, bucket, store_of

REGULAR, HALF = date(2024, 1, 3), date(2024, 7, 3)
SPRING = (date(2024, 3, 8), date(2024, 3, 11))  # clocks went forward in between
AUTUMN = (date(2025, 10, 31), date(2025, 11, 3))  # and back
WITH_FRACTIONS = date(2026, 3, 9)
DAYS = (REGULAR, *SPRING, HALF, *AUTUMN, WITH_FRACTIONS)

LIQUID, THIN = "AAPL", "TPC"
TICKERS = (Ticker(LIQUID), Ticker(THIN, completeness="lenient"))
COMPARED = ("open", "high", "low", "close", "whole_shares", "trades")


@contextmanager
def both_in(lake: Lake, folder: Path) -> Iterator[tuple[MinuteAggsSource, SandboxTws]]:
    stocks = (*STOCKS, Stock(THIN, "NYSE", "TUTOR PERINI CORP", date(1972, 1, 3)))
    with bucket(days=DAYS) as flat_files, SandboxTws(stocks=stocks, pacing_scale=0) as tws:
        cache = RawCache(folder / "cache", 10**9)
        store, wanted = store_of(flat_files), MinuteAggs(tickers_of("tickers", (LIQUID, THIN)))
        yield MinuteAggsSource(wanted, lake=lake, store=store, cache=cache, clock=lambda: NOW), tws


@pytest.fixture
async def lake(tmp_path: Path) -> Lake:
    """Both vendors' days."""
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with both_in(lake, tmp_path) as (polygon, tws):
        async with opened(tws, tmp_path) as ib:
            for day in DAYS:
                (await polygon.fetch(day, Meter())).publish()
                for ticker in TICKERS:
                    (await IbBarsSource(ticker, lake=lake, client=ib.client).fetch(day, Meter())).publish()
    return lake


def of_ib(lake: Lake, symbol: str, day: date) -> pl.DataFrame:
    return compared(lake.bars(symbol, day, day, dataset="ib/bars_1m"))


def of_polygon(lake: Lake, symbol: str, day: date) -> pl.DataFrame:
    """Polygon's minutes with trades, extended hours with them."""
    return compared(lake.bars(symbol, day, day).filter(pl.col("trades") > 0))


def compared(bars: pl.LazyFrame) -> pl.DataFrame:
    rows = bars.with_columns(whole_shares=pl.col("volume").floor())
    return rows.select("timestamp", *COMPARED).collect()


async def test_minutes_with_trades_are_the_same_at_both_vendors(lake: Lake) -> None:
    for day in DAYS:
        hours = session(day)
        in_session = pl.col("timestamp").is_between(hours.open, hours.close, closed="left")
        for symbol in (LIQUID, THIN):
            ib, polygon = of_ib(lake, symbol, day), of_polygon(lake, symbol, day)
            assert ib["timestamp"].equals(polygon.filter(in_session)["timestamp"]), f"{symbol} {day}: other minutes"
            together = ib.join(polygon, on="timestamp", suffix="_polygon")
            assert together.height == (hours.minutes if symbol == LIQUID else ib.height) > 100
            for column in COMPARED:
                apart = together.filter(pl.col(column) != pl.col(f"{column}_polygon"))
                assert apart.is_empty(), f"{symbol} {day}, {column}: {apart}"
            assert polygon.height > ib.height, "Polygon's hours are longer"


async def test_the_days_differ_in_what_they_were_chosen_for(lake: Lake) -> None:
    """Seven days alike would prove less."""
    first = {day: of_ib(lake, LIQUID, day)["timestamp"][0] for day in DAYS}
    assert {day: f"{first[day]:%H:%M}" for day in (*SPRING, *AUTUMN)} == {
        SPRING[0]: "14:30",
        SPRING[1]: "13:30",
        AUTUMN[0]: "13:30",
        AUTUMN[1]: "14:30",
    }
    assert {day: of_ib(lake, LIQUID, day).height for day in (REGULAR, HALF)} == {REGULAR: 390, HALF: 210}
    assert of_ib(lake, LIQUID, HALF)["timestamp"][-1] == session(HALF).close - timedelta(minutes=1)
    assert of_ib(lake, THIN, REGULAR).height < 390
    volumes = lake.scan("polygon/minute_aggs", WITH_FRACTIONS, WITH_FRACTIONS).collect()["volume"]
    assert (volumes != volumes.floor()).any()
