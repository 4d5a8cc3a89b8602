import duckdb
import pytest
from lake_days import DATASET, DAY, quotes, store

from data_assets.lake.lake import Lake, LakeError
from data_assets.lake.views import create_views


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
