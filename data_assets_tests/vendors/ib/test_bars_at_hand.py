"""A stored day is read once and judged once, as long as it is the same day."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_assets.lake.errors import Corrupt
from data_assets.lake.lake import Lake
from data_assets.lake.layout import partition_path
from data_assets.quality.trading_minutes import TradingMinutes
from data_assets.trading_calendar import session
from data_assets.vendors.ib import bars_at_hand, schema
from data_assets.vendors.ib.bars_at_hand import stored_bars
from data_assets.vendors.ib.day import evaluate_checks
from data_assets_tests.lake.minute_days import ib_bars, provenance_of

DATASET = "ib/bars_1m/AAPL"
DAY = date(2024, 1, 3)
HOURS = session(DAY)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), synthetic=True)


def store(lake: Lake, bars: pl.DataFrame) -> Path:
    with lake.writer(DATASET, DAY, schema.ARROW_SCHEMA, schema.SORT_BY) as writer:
        writer.write(bars)
        writer.finish(provenance_of(lake, DATASET, DAY, {})).publish()
    return Path(lake.locate(partition_path(DATASET, DAY)))


def failed(bars: pl.DataFrame, completeness: str = "strict") -> list[str]:
    found = evaluate_checks(bars, HOURS, completeness, list)  # type: ignore[arg-type]
    return [verdict.name for verdict in found if not verdict.passed]


def test_a_day_is_read_again_only_once_its_file_is_another(lake: Lake) -> None:
    bars = ib_bars("AAPL", DAY)
    file = store(lake, bars)
    with ThreadPoolExecutor(8) as threads:
        read, *again = threads.map(lambda _: stored_bars(lake, DATASET, DAY), range(8))
    assert all(each is read for each in again), "who comes second waits for what the first is reading"
    assert_frame_equal(read, bars)

    revised = bars.with_columns(pl.col("volume") + 1)
    store(lake, revised)
    assert_frame_equal(stored_bars(lake, DATASET, DAY), revised)

    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(Corrupt):
        stored_bars(lake, DATASET, DAY)
    file.unlink()
    with pytest.raises(Corrupt, match="missing"):
        stored_bars(lake, DATASET, DAY)


def test_a_day_at_hand_waits_for_no_file_that_is_being_read(lake: Lake) -> None:
    store(lake, ib_bars("AAPL", DAY))
    read = stored_bars(lake, DATASET, DAY)
    with ThreadPoolExecutor(1) as thread, bars_at_hand._reading:
        assert thread.submit(stored_bars, lake, DATASET, DAY).result(timeout=30) is read


def test_what_is_replaced_while_one_waits_is_kept_as_what_it_is(lake: Lake, tmp_path: Path) -> None:
    first = ib_bars("AAPL", DAY)
    file = store(lake, first)
    shutil.copy2(file, tmp_path / "backup")
    revised = first.with_columns(pl.col("volume") + 1)
    with ThreadPoolExecutor(1) as thread:
        with bars_at_hand._reading:
            waits = thread.submit(stored_bars, lake, DATASET, DAY)
            time.sleep(0.3)
            store(lake, revised)
        assert_frame_equal(waits.result(), revised)
    shutil.copy2(tmp_path / "backup", file)
    assert_frame_equal(stored_bars(lake, DATASET, DAY), first)


def test_another_lake_has_days_of_its_own(lake: Lake, tmp_path: Path) -> None:
    other = Lake(str(tmp_path / "other"), synthetic=True)
    bars = {each: ib_bars("AAPL", DAY).with_columns(pl.col("volume") + more) for more, each in enumerate((lake, other))}
    for each in bars:
        store(each, bars[each])
        assert_frame_equal(stored_bars(each, DATASET, DAY), bars[each])


def test_a_day_that_differs_in_one_value_is_judged_by_itself() -> None:
    bars = ib_bars("AAPL", DAY)
    assert failed(bars) == []
    at_noon = pl.col("timestamp") == bars["timestamp"][150]
    assert failed(bars.with_columns(high=pl.when(at_noon).then(pl.col("low") - 1).otherwise("high"))) == [
        "ohlc",
        "volume",
    ]
    assert failed(bars) == []
    lacking = bars.filter(~at_noon)
    assert failed(lacking) == ["bar_count"]
    assert failed(lacking, "lenient") == []
    assert failed(lacking) == ["bar_count"]


def test_a_day_in_doubt_is_compared_with_other_days_each_time() -> None:
    """They may have come meanwhile."""
    bars = ib_bars("AAPL", DAY)
    frozen = bars.with_columns(
        pl.when(pl.int_range(pl.len()) < 200).then(name).otherwise(0).alias(name) for name in ("volume", "bar_count")
    )
    usual = TradingMinutes(HOURS.minutes, 0, ())
    alone, beside = (evaluate_checks(frozen, HOURS, "strict", lambda days=days: days)[-1] for days in ([], [usual] * 5))
    assert (alone.metadata["own_days"], beside.metadata["own_days"]) == (0, 5)
