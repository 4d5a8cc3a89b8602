from dataclasses import replace
from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest

from data_assets.lake.lake import Lake, LakeError
from data_assets.lake.monthly import MonthProvenance
from data_assets.lake.views import create_views
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store, widths


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "it's a lake"), synthetic=True)


def test_one_view_per_dataset_with_the_day_as_a_column(lake, tmp_path):
    store(lake, quotes())
    store(lake, quotes(seed=1), dataset="theta/option_quotes/SPX")
    database = tmp_path / "lake.duckdb"
    assert create_views(lake, database) == ["theta_option_quotes_QQQ", "theta_option_quotes_SPX"]
    store(lake, quotes(seed=2), day=DAY.replace(day=4))
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.sql(
            'SELECT date, count(*), sum(ask) FROM "theta_option_quotes_QQQ" GROUP BY date ORDER BY date'
        ).fetchall()
    assert rows == [
        (DAY, quotes().height, pytest.approx(quotes()["ask"].sum())),
        (DAY.replace(day=4), quotes().height, pytest.approx(quotes(seed=2)["ask"].sum())),
    ]


@pytest.mark.parametrize("tickers", [("TRUE",), ("INF",), ("NA", "ABRPA", "ABRpA"), ("50%", "%41", "_x")])
def test_months_are_a_view_with_every_ticker_as_it_is_spelt(lake, tmp_path, tickers):
    start = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)
    built = MonthProvenance(
        dataset="polygon/minute_aggs_monthly",
        ticker="",
        month=date(2024, 1, 1),
        source="polygon/minute_aggs",
        days={start.date(): "1"},
        lacking=(),
        built_at=start,
        schema_version=1,
        synthetic=True,
    )
    for number, ticker in enumerate(tickers):
        rows = pl.DataFrame({"ticker": [ticker], "window_start": [start], "close": [float(number)]})
        lake.write_month(replace(built, ticker=ticker), rows, "window_start")

    assert create_views(lake, tmp_path / "lake.duckdb") == ["polygon_minute_aggs_monthly"]
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        rows = connection.sql("SELECT ticker, month, close FROM polygon_minute_aggs_monthly ORDER BY close").fetchall()
        last = f"SELECT close FROM polygon_minute_aggs_monthly WHERE ticker = '{tickers[-1]}'"
        one = connection.sql(last).fetchall()
        _, *others = sorted(tmp_path.rglob("data.parquet"))  # the first one tells DuckDB the columns
        for path in others:
            if pl.read_parquet(path, hive_partitioning=False)["ticker"].item() != tickers[-1]:
                path.write_bytes(b"")
        assert connection.sql(last).fetchall() == one, "the ticker chooses the files that are opened"
    assert rows == [(ticker, "2024-01", float(number)) for number, ticker in enumerate(tickers)]
    assert one == [(float(len(tickers) - 1),)]


@pytest.mark.parametrize("older_first", [True, False])
def test_a_view_holds_sizes_of_both_widths(lake, tmp_path, older_first):
    narrow, wide = widths()
    for day, frame in enumerate((narrow, wide) if older_first else (wide, narrow), start=3):
        store(lake, frame, day=DAY.replace(day=day))
    create_views(lake, tmp_path / "lake.duckdb")
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        found = connection.sql('SELECT max(bid_size), count(*) FROM "theta_option_quotes_QQQ"').fetchall()
    assert found == [(3_000_000_000, narrow.height + wide.height)]


def test_views_are_made_anew(lake, tmp_path):
    store(lake, quotes())
    create_views(lake, tmp_path / "lake.duckdb")
    store(lake, quotes(), dataset="ib/bars_1m/SPY")
    assert create_views(lake, tmp_path / "lake.duckdb") == ["ib_bars_1m_SPY", "theta_option_quotes_QQQ"]


def test_two_datasets_never_share_a_view(lake, tmp_path):
    store(lake, quotes())
    store(lake, quotes(), dataset=DATASET.replace("/", "_"))
    with pytest.raises(LakeError, match="theta_option_quotes_QQQ"):
        create_views(lake, tmp_path / "lake.duckdb")


def test_an_object_store_gets_no_views(bucket_url, tmp_path):
    with pytest.raises(LakeError, match="local lake"):
        create_views(Lake(bucket_url, synthetic=True), tmp_path / "lake.duckdb")
