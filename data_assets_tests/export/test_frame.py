"""Bars as backtests take them: labels, zones, hours, lengths and grids, from days that the lake really holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from data_assets.export.folder import ExportRefused
from data_assets.export.frame import BarShape, bar_frame, stretches_missing, to_pandas
from data_assets.lake.bar_columns import IB_BARS
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import session
from data_assets_tests.lake.minute_days import day_bars, ib_bars, store_day, store_ib_day

WHOLE, SHORT, WINTER = date(2024, 7, 2), date(2024, 7, 3), date(2024, 11, 4)  # 13:00 on the second
THIN = "THIN"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("frame") / "lake"), synthetic=True)
    for day in (WHOLE, SHORT, WINTER):
        bars = day_bars(day, "SPY")
        thin = bars.gather_every(3).with_columns(ticker=pl.lit(THIN))
        store_day(lake, day, pl.concat([bars, thin]))
        store_ib_day(lake, "AAPL", day)
    return lake


def clock(bars: pl.DataFrame) -> tuple[str, str]:
    return bars["timestamp"][0].strftime("%H:%M %z"), bars["timestamp"][-1].strftime("%H:%M %z")


@pytest.mark.parametrize(
    ("shape", "first", "last", "count"),
    [
        (BarShape(), "09:30 -0400", "15:59 -0400", 390),
        (BarShape(label="end"), "09:31 -0400", "16:00 -0400", 390),
        (BarShape(zone="UTC"), "13:30 +0000", "19:59 +0000", 390),
        (BarShape(every="5m"), "09:30 -0400", "15:55 -0400", 78),
        (BarShape(every="5m", label="end"), "09:35 -0400", "16:00 -0400", 78),
        (BarShape(every="30m", label="end"), "10:00 -0400", "16:00 -0400", 13),
    ],
)
def test_a_session_under_the_label_the_zone_and_the_length_asked_for(
    lake: Lake, shape: BarShape, first: str, last: str, count: int
) -> None:
    bars = bar_frame(lake, "SPY", WHOLE, WHOLE, shape)
    assert (*clock(bars), bars.height) == (first, last, count)


def test_an_early_close_and_winter_time(lake: Lake) -> None:
    assert bar_frame(lake, "SPY", SHORT, SHORT, BarShape(every="5m", label="end")).height == 42
    assert clock(bar_frame(lake, "SPY", WINTER, WINTER, BarShape(zone="UTC"))) == ("14:30 +0000", "20:59 +0000")
    assert clock(bar_frame(lake, "SPY", WINTER, WINTER)) == ("09:30 -0500", "15:59 -0500")


def test_the_values_are_those_of_the_lake(lake: Lake) -> None:
    stored = lake.bars("SPY", WHOLE, WHOLE).collect()
    bars = bar_frame(lake, "SPY", WHOLE, WHOLE, BarShape(hours="extended", label="end", zone="UTC"))
    assert bars.drop("timestamp").equals(stored.select(bars.columns).drop("timestamp"))
    assert (bars["timestamp"] - stored["timestamp"]).unique().to_list() == [timedelta(minutes=1)]
    assert bars.height > 390, "before and after hours too"


def test_a_longer_bar_has_the_first_open_the_last_close_and_the_sums(lake: Lake) -> None:
    minutes = bar_frame(lake, "AAPL", WHOLE, WHOLE, dataset=IB_BARS).head(5)
    first = bar_frame(lake, "AAPL", WHOLE, WHOLE, BarShape(every="5m"), dataset=IB_BARS).row(0, named=True)
    assert first["open"] == minutes["open"][0]
    assert first["close"] == minutes["close"][-1]
    assert (first["high"], first["low"]) == (minutes["high"].max(), minutes["low"].min())
    assert (first["volume"], first["trades"]) == (minutes["volume"].sum(), minutes["trades"].sum())
    assert first["vwap"] == pytest.approx((minutes["vwap"] * minutes["volume"]).sum() / minutes["volume"].sum())


def test_a_grid_has_every_bar_and_says_by_nulls_what_did_not_trade(lake: Lake) -> None:
    as_it_is = bar_frame(lake, THIN, WHOLE, SHORT)
    grid = bar_frame(lake, THIN, WHOLE, SHORT, BarShape(grid=True))
    assert as_it_is.height < grid.height == 390 + 210
    assert grid.drop_nulls("close").equals(as_it_is)
    filled = bar_frame(lake, THIN, WHOLE, SHORT, BarShape(grid=True, fill=True))
    assert filled["volume"].null_count() == 0
    assert filled["close"].null_count() <= 2, "but before a session's first trade"


def test_a_longer_bar_of_a_grid_in_which_nothing_traded_is_null(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    ten = session(WHOLE).open + timedelta(minutes=30)
    bars = day_bars(WHOLE, "SPY").filter(~pl.col("window_start").is_between(ten, ten + timedelta(minutes=6)))
    store_day(lake, WHOLE, bars)
    grid = bar_frame(lake, "SPY", WHOLE, WHOLE, BarShape(every="5m", grid=True))
    assert grid.height == 78
    (empty,) = grid.filter(pl.col("close").is_null()).rows(named=True)
    assert empty["timestamp"].astimezone(UTC) == ten
    assert (empty["open"], empty["volume"], empty["trades"]) == (None, None, None)


def test_missing_stretches_are_counted_and_nights_are_not(lake: Lake) -> None:
    assert stretches_missing(bar_frame(lake, "SPY", WHOLE, SHORT)) == 0
    thin = bar_frame(lake, THIN, WHOLE, SHORT)
    assert stretches_missing(thin) >= thin.height - 3
    assert stretches_missing(bar_frame(lake, THIN, WHOLE, SHORT, BarShape(grid=True))) == 0


def test_two_bars_of_one_minute_are_refused(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    bars = ib_bars("AAPL", WHOLE)
    store_ib_day(lake, "AAPL", WHOLE, pl.concat([bars.head(3), bars.slice(2)]))
    with pytest.raises(ExportRefused, match=r"two bars of 2024-07-02 13:32 UTC.*--only all"):
        bar_frame(lake, "AAPL", WHOLE, WHOLE, dataset=IB_BARS)


def test_of_an_evening_in_winter_the_day_to_fetch_is_new_yorks(tmp_path: Path) -> None:
    """At 19:59 in New York it is 00:59 of the next day in UTC."""
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    bars = day_bars(WINTER, "AAPL")
    store_day(lake, WINTER, pl.concat([bars, bars.tail(1)]), wanted=["AAPL"])
    with pytest.raises(ExportRefused, match=r"two bars of 2024-11-05 00:\d\d UTC.*--from 2024-11-04 --to 2024-11-04"):
        bar_frame(lake, "AAPL", WINTER, WINTER, BarShape(hours="extended"))


def test_a_damaged_day_is_not_exported(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    path = Path(lake.locate(store_ib_day(lake, "AAPL", WHOLE).path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(Exception, match="damaged"):
        bar_frame(lake, "AAPL", WHOLE, WHOLE, dataset=IB_BARS)


def test_pandas_has_the_timestamps_as_its_index_with_their_zone(lake: Lake) -> None:
    frame = to_pandas(bar_frame(lake, "SPY", WHOLE, SHORT), names="capital")
    assert list(frame.columns[:5]) == ["Open", "High", "Low", "Close", "Volume"]
    assert str(frame.index.tz) == "America/New_York"
    naive = to_pandas(bar_frame(lake, "SPY", WHOLE, SHORT, BarShape(label="end")), naive=True)
    assert naive.index.tz is None
    assert naive.index[0].to_pydatetime() == datetime(2024, 7, 2, 9, 31)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"zone": "New York"}, "zone 'New York'"),
        ({"label": "middle"}, "label 'middle': must be one of start, end"),
        ({"every": "2m"}, "every '2m'"),
        ({"grid": True, "hours": "extended"}, "regular hours"),
        ({"fill": True}, "grid"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BarShape(**wrong)
