"""Days that are dated by trade date: one setting, and what the checks, the months and the readers make of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.lake.kept import CALENDAR_DATE, TRADE_DATE
from data_assets.lake.lake import Lake
from data_assets.sandbox.flat_files.bucket import FlatFileBucket
from data_assets.trading_calendar import NEW_YORK, session
from data_assets.vendors.polygon.component import PolygonMinuteAggs, judge_bars
from data_assets.vendors.polygon.day import BARS_KEY, MinuteAggs, MinuteAggsSource
from data_assets.vendors.polygon.months import build_month
from data_assets.vendors.polygon.raw_cache import RawCache
from data_assets.vendors.polygon.schema import DatedBy
from data_assets.vendors.polygon.tickers import tickers_of
from data_assets_tests.lake.minute_days import as_read
from data_assets_tests.vendors.polygon.flat_file_fixtures import NOW, Meter, bucket, store_of

DAYS = (date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2))
SPY = tickers_of("tickers", ["SPY"])


async def store(lake: Lake, served: FlatFileBucket, cache: Path, day: date, dated_by: DatedBy) -> None:
    source = MinuteAggsSource(
        MinuteAggs(SPY, dated_by=dated_by),
        lake=lake,
        store=store_of(served),
        cache=RawCache(cache, 10**9),
        clock=lambda: NOW,
    )
    (await source.fetch(day, Meter())).publish()


@pytest.fixture
async def lake(tmp_path: Path) -> Lake:
    """Two days dated by calendar date, then two with a night session, dated by trade date."""
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with bucket({"kind": "night_session", "prefix": "us_stocks_sip/minute_aggs_v1/2024/02"}, days=DAYS) as served:
        for day in DAYS[:2]:
            await store(lake, served, tmp_path / "cache", day, CALENDAR_DATE)
        with pytest.raises(DayEnded, match="set dated_by: trade_date") as caught:
            await store(lake, served, tmp_path / "cache", DAYS[2], CALENDAR_DATE)
        assert isinstance(caught.value.outcome, Rejected)
        for day in DAYS[2:]:
            await store(lake, served, tmp_path / "cache", day, TRADE_DATE)
    return lake


def stored(lake: Lake, *days: date) -> pl.DataFrame:
    return pl.concat([pl.concat(lake.batches(BARS_KEY, day)) for day in days])


async def test_the_hours_that_are_checked_are_those_of_the_days_own_convention(lake: Lake) -> None:
    said = {day: {each.name: each for each in judge_bars(lake, day, SPY, SPY)} for day in DAYS}
    assert all(verdict.passed for verdicts in said.values() for verdict in verdicts.values())
    assert "04:00 to 20:00 New York" in said[DAYS[0]]["session_hours"].summary
    assert "20:00 of the evening before to 20:00 New York" in said[DAYS[2]]["session_hours"].summary


async def test_readers_get_each_day_as_it_is_stored_from_days_and_from_months_alike(lake: Lake) -> None:
    def answers() -> dict[tuple[date, date], pl.DataFrame]:
        ranges = [(first, last) for first in DAYS for last in DAYS if first <= last]
        return {each: lake.bars("SPY", *each).collect() for each in ranges}

    from_days = answers()
    for (first, last), bars in from_days.items():
        assert bars.equals(as_read(stored(lake, *(day for day in DAYS if first <= day <= last)))), (first, last)
    for month in (date(2024, 1, 1), date(2024, 2, 1)):
        build_month(lake, month, ["SPY"], now=NOW)
        found = answers()
        assert all(found[each].equals(bars) for each, bars in from_days.items())
    evening = datetime(2024, 1, 31, 20, tzinfo=NEW_YORK).astimezone(UTC)
    assert from_days[DAYS[2], DAYS[2]]["timestamp"][0] == evening
    assert from_days[DAYS[1], DAYS[1]]["timestamp"][-1] < evening
    assert lake.bars("SPY", date(2024, 2, 3), date(2024, 2, 5)).collect().is_empty(), "a month without such a day"


async def test_regular_hours_are_the_same_by_either_convention(lake: Lake) -> None:
    bars = lake.bars("SPY", DAYS[0], DAYS[-1], session="regular", grid=True).collect()
    assert bars.height == sum(session(day).minutes for day in DAYS)
    assert bars["timestamp"].dt.convert_time_zone(str(NEW_YORK)).dt.hour().is_between(9, 15).all()
    assert not bars["close"].has_nulls()


async def test_a_stored_days_footer_says_its_convention_and_a_default_says_nothing(lake: Lake) -> None:
    assert "dated_by" not in lake.provenance(BARS_KEY, DAYS[0]).details
    assert lake.provenance(BARS_KEY, DAYS[2]).details["dated_by"] == TRADE_DATE
    assert [each.by_trade_date for each in lake.statements(BARS_KEY, DAYS).values()] == [False, False, True, True]


def test_the_block_of_the_dataset_takes_the_setting() -> None:
    block = {"tickers": ["SPY"], "liquid": ["SPY"]}
    for given, expected in (({}, CALENDAR_DATE), ({"dated_by": TRADE_DATE}, TRADE_DATE)):
        component = PolygonMinuteAggs.resolve_from_dict(block | given)
        assert component.dated_by == expected
    with pytest.raises((dg.DagsterError, ValueError), match="dated_by"):
        PolygonMinuteAggs.resolve_from_dict(block | {"dated_by": "trading_day"})
