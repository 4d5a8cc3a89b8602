from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_assets.lake.lake import Lake, LakeError
from data_assets.lake.monthly import MonthProvenance
from data_assets.lake.views import create_views
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store, widths
from data_assets_tests.lake.minute_days import day_bars, store_day, store_ib_day


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


def test_the_macros_give_what_the_methods_give(lake, tmp_path):
    """With numbers of their own: DuckDB computes all of it again."""
    greeks = quotes(seed=3).with_columns(underlying_price=pl.Series([303.0, 0.0] * (quotes().height // 2)))
    for day in (DAY, DAY.replace(day=4)):
        store(lake, quotes(seed=day.day), day=day)
    store(lake, greeks, dataset="theta/option_greeks/SPX")
    create_views(lake, tmp_path / "lake.duckdb")
    expiration = quotes()["expiration"][-1]
    asked = {
        "FROM chain('QQQ', DATE '2024-01-03', TIME '09:32')": lake.chain("QQQ", DAY, "09:32"),
        "FROM greeks('SPX', DATE '2024-01-03', TIME '09:31')": lake.greeks("SPX", DAY, "09:31"),
        f"FROM contract('QQQ', DATE '{expiration}', 302.5, 'PUT')": lake.contract(
            "QQQ", expiration, 302.5, "PUT", DAY, expiration
        ),
        f"FROM contract('QQQ', DATE '{expiration}', 302.5, 'c')": lake.contract(
            "QQQ", expiration, 302.5, "c", DAY, expiration
        ),
    }
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        with pytest.raises(duckdb.Error, match="right X: must be CALL or PUT"):
            connection.sql(f"FROM contract('QQQ', DATE '{expiration}', 302.5, 'X')").fetchall()
        for question, answer in asked.items():
            expected = answer.collect().drop("time_new_york")
            found = connection.sql(question).pl()
            assert found.columns == [*expected.columns, "time_new_york"]
            numbers = ["strike", "bid", "ask", "mid", "spread", "days_to_expiration", "underlying_price", "moneyness"]
            order = ["expiration", "strike", "right", "timestamp"]
            both = [
                frame.with_columns(pl.col("right").cast(pl.String), pl.col("timestamp").dt.convert_time_zone("UTC"))
                .select(
                    *(name for name in [*order, *numbers] if name in expected.columns and name not in order), *order
                )
                .sort(*order, "bid")  # the two days have the same instants
                for frame in (found, expected)
            ]
            assert expected.height > 0
            assert_frame_equal(*both, rel_tol=1e-12)


def test_days_and_a_contract_have_the_arguments_and_columns_of_the_methods(lake, tmp_path):
    first, last = date(2024, 1, 2), date(2024, 1, 9)
    expiration = DAY + timedelta(days=2)
    for day in (DAY, date(2024, 1, 5)):
        store(lake, quotes(seed=day.day), day=day)
    create_views(lake, tmp_path / "lake.duckdb")
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        for asked, bounds in {
            "": (),
            f", DATE '{first}', DATE '{last}'": (first, last),
            f", start := '{first}'": (first, None),
            f""", "end" := '{last}'""": (None, last),
        }.items():
            found = connection.sql(f"FROM days('{DATASET}'{asked})").pl()
            assert_frame_equal(found, lake.days(DATASET, *bounds).cast({"state": pl.String}), check_dtypes=False)
            assert found.height >= 3, "a session that is not stored has a row, too"
        for asked, more in {
            f", DATE '{DAY}', DATE '{DAY}'": {"start": DAY, "end": DAY},
            f""", "end" := DATE '{DAY}', root := 'QQQ'""": {"end": DAY, "root": "QQQ"},
            "": {},
        }.items():
            found = connection.sql(f"FROM contract('QQQ', '{expiration}', 302.5, 'PUT'{asked})").pl()
            expected = lake.contract("QQQ", expiration, 302.5, "PUT", **more).collect()
            assert found.columns == expected.columns
            assert found["bid"].sort().to_list() == expected["bid"].sort().to_list()
            assert found.height == (10 if not more else 5)


def test_what_the_methods_refuse_the_macros_refuse(lake, tmp_path):
    store(lake, quotes())
    store(lake, quotes().with_columns(underlying_price=303.0), dataset="theta/option_greeks/SPX")
    store_ib_day(lake, "QQQ", DAY)
    create_views(lake, tmp_path / "lake.duckdb")
    day = f"DATE '{DAY}'"
    wrong = {
        "days('nope')": "nope: there is no view of it; there are ib/bars_1m/QQQ, theta/option_greeks/SPX,",
        "days('theta/option_quotes/QQ')": r"did you mean theta/option_quotes/QQQ\?",
        f"chain('qqq', {day}, TIME '09:31')": r"theta/option_quotes/qqq: there is no view of it; did you mean QQQ\?",
        f"chain('QQQ', {day}, TIME '09:31:30')": "no snapshot at 09:31:30 New York; the day has 5, from 09:30:00",
        f"greeks('SPX', {day}, TIME '16:00')": "SPX 2024-01-03: there is no snapshot at 16:00:00",
        "chain('QQQ', DATE '2024-01-04', TIME '09:31')": "QQQ: the lake does not hold 2024-01-04",
        f"chain('QQQ', {day}, TIME '09:31', price := -1)": "price -1: must be above 0",
        f"chain('QQQ', {day}, TIME '09:31', price := 'nan')": "price nan: must be above 0",
        f"contract('QQQ', {day}, 300.25, 'C')": "no day of the range has a quote of 2024-01-03 300.25 C",
        f"contract('QQQ', {day}, -300, 'C')": "strike -300: must be above 0",
        f"contract('QQQ', {day}, 300, 'C', DATE '2024-01-03', DATE '2024-01-02')": "before it starts on 2024-01-03",
        f"contract('QQQ', {day}, 300, 'C', DATE '2024-01-04')": "no day of the range|before it starts on 2024-01-04",
        "days('theta/option_quotes/QQQ', DATE '2024-01-03', DATE '2024-01-02')": "before it starts on 2024-01-03",
    }
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        for call, said in wrong.items():
            for query in (f"FROM {call}", f"SELECT count(*) FROM {call}"):
                with pytest.raises(duckdb.Error, match=said):
                    connection.sql(query).fetchall()
        with pytest.raises(duckdb.Error, match="there is no snapshot"):
            connection.sql(f"FROM chain('QQQ', {day}, TIME '16:00') WHERE strike = 300 AND bid > 1").fetchall()


def test_the_chain_takes_the_price_as_the_method_does(lake, tmp_path):
    store(lake, quotes())
    store_day(lake, DAY, day_bars(DAY, "QQQ", "SPY"))
    store_ib_day(lake, "QQQ", DAY)
    store_ib_day(lake, "AAPL", DAY)
    create_views(lake, tmp_path / "lake.duckdb")
    columns = ["expiration", "strike", "right", "underlying_price", "moneyness"]
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        for asked, price in {
            "": None,
            ", price := 303": 303.0,
            ", price := 303.25": 303.25,
            ", price := 'polygon/minute_aggs'": "polygon/minute_aggs",
            ", price := 'ib/bars_1m'": "ib/bars_1m",
        }.items():
            expected = lake.chain("QQQ", DAY, "09:33", price=price).select(columns).collect()
            found = connection.sql(f"FROM chain('QQQ', DATE '{DAY}', TIME '09:33'{asked})").pl().select(columns)
            of_both = [each.cast({"right": pl.String}).sort(columns) for each in (found, expected)]
            assert expected.height > 0
            assert_frame_equal(*of_both, rel_tol=1e-12)
        with pytest.raises(duckdb.Error, match="ib/bars_1m: no bar of QQQ on 2024-01-03 before 09:30"):
            connection.sql(f"FROM chain('QQQ', DATE '{DAY}', TIME '09:30', price := 'ib/bars_1m')").fetchall()
        for price, says in {
            "polygon/nope": "price polygon/nope: there is no view of it; there are polygon/minute_aggs, ib/bars_1m",
            "polygon/minute_agg": "there is no view of it; did you mean polygon/minute_aggs?",
        }.items():
            with pytest.raises(duckdb.InvalidInputException, match=says):
                connection.sql(f"FROM chain('QQQ', DATE '{DAY}', TIME '09:33', price := '{price}')").fetchall()


def test_a_lake_without_options_has_no_macro_of_them(lake, tmp_path):
    store(lake, quotes(), dataset="ib/bars_1m/SPY")
    create_views(lake, tmp_path / "lake.duckdb")
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT day, rows FROM days('ib/bars_1m/SPY')").fetchall() == [(DAY, quotes().height)]
        with pytest.raises(duckdb.Error, match="chain"):
            connection.sql("FROM chain('QQQ', DATE '2024-01-03', TIME '09:32')")


def test_the_views_of_a_bucket_are_read_by_httpfs_where_duckdb_has_it(bucket_url, tmp_path):
    lake = Lake(bucket_url, synthetic=True)
    store(lake, quotes())
    database = tmp_path / "lake.duckdb"
    try:
        duckdb.connect().execute("LOAD httpfs")
    except duckdb.Error:
        with pytest.raises(LakeError, match=r"extension httpfs, .*Lake\.scan.*INSTALL httpfs") as refused:
            create_views(lake, database)
        assert "\n" not in str(refused.value)
        assert not database.exists()
    else:
        assert create_views(lake, database) == ["theta_option_quotes_QQQ"]
        assert b"AWS_SECRET" not in database.read_bytes()
