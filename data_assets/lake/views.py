"""The lake for people who use SQL: a DuckDB file with one view per dataset, and `Lake.chain` and its like as macros.

Here: making that file. Not here: any data; the views read the lake's own Parquet files, and see every day added later.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.chains import GREEKS, QUOTES
from data_assets.lake.errors import LakeError, one_line
from data_assets.lake.lake import Lake
from data_assets.lake.layout import PARTITION_FILE
from data_assets.lake.storage import ENDPOINTS
from data_assets.trading_calendar import NEW_YORK

_OF_DAYS = ("date=*", "{'date': DATE}", "*")
_OF_MONTHS = (
    "ticker_folder=*/month=*",
    "{'ticker_folder': VARCHAR, 'month': VARCHAR}",
    "* EXCLUDE (ticker_folder) REPLACE (ticker_folder[2:] AS ticker)",
)
"""The folders, the types of what is in their names, and the columns: the ticker from the folder, so that it chooses."""


_ZONE = NEW_YORK.key
_ADDED = f"""
    CASE WHEN ask > 0 THEN (bid + ask) / 2 END AS mid,
    CASE WHEN ask > 0 THEN ask - bid END AS spread,
    CAST(expiration - CAST(timezone('{_ZONE}', timestamp) AS DATE) AS INTEGER) AS days_to_expiration"""
_LOCAL = f"timezone('{_ZONE}', timestamp) AS time_new_york"
_INSTANT = f"timezone('{_ZONE}', CAST(day AS DATE) + CAST(minute AS TIME))"
_AT = f"date = day AND timestamp = {_INSTANT}"

PRICES = "prices"
"""A schema of views of the bars by which `chain` knows the price of an underlying, all with the same columns."""

_IS_DATASET = "(price IS NOT NULL AND TRY_CAST(CAST(price AS VARCHAR) AS DOUBLE) IS NULL)"

_RIGHT = """CASE WHEN upper(call_or_put) IN ('C', 'CALL') THEN 'CALL' WHEN upper(call_or_put) IN ('P', 'PUT') THEN 'PUT'
            ELSE error('right ' || call_or_put || ': must be CALL or PUT') END"""

_MACROS = {
    "chain": (
        QUOTES,
        f"""(underlying, day, minute, price := NULL) AS TABLE
        WITH quoted AS (SELECT * EXCLUDE (date), {_ADDED} FROM query_table('{{views}}_' || underlying) WHERE {_AT}),
        pairs AS (
            SELECT expiration, strike, symbol, max(mid) FILTER ("right" = 'CALL') AS call_mid,
                max(mid) FILTER ("right" = 'PUT') AS put_mid
            FROM quoted WHERE bid > 0 GROUP BY ALL HAVING call_mid IS NOT NULL AND put_mid IS NOT NULL
        ),
        implied AS (
            SELECT strike + call_mid - put_mid AS by_parity FROM pairs
            ORDER BY expiration, abs(call_mid - put_mid), strike, symbol LIMIT 1
        ),
        traded AS (
            SELECT last(close ORDER BY timestamp) AS by_bars
            FROM query_table(
                '{PRICES}.' || CASE WHEN {_IS_DATASET} THEN replace(CAST(price AS VARCHAR), '/', '_') ELSE 'none' END
            )
            WHERE ticker = underlying AND date = day AND timestamp < {_INSTANT}
        ),
        known AS (
            SELECT CASE WHEN price IS NULL THEN (SELECT by_parity FROM implied)
                WHEN {_IS_DATASET} AND (SELECT by_bars FROM traded) IS NULL
                    THEN CAST(error(price || ': no bar of ' || underlying || ' on ' || day || ' before ' || minute)
                        AS DOUBLE)
                WHEN {_IS_DATASET} THEN (SELECT by_bars FROM traded)
                ELSE TRY_CAST(CAST(price AS VARCHAR) AS DOUBLE) END AS underlying_price
        )
        SELECT quoted.*, underlying_price,
            CASE WHEN underlying_price > 0 THEN strike / underlying_price END AS moneyness, {_LOCAL}
        FROM quoted CROSS JOIN known""",
    ),
    "contract": (
        QUOTES,
        f"""(underlying, expires, struck, call_or_put) AS TABLE
        SELECT * EXCLUDE (date), {_ADDED}, {_LOCAL} FROM query_table('{{views}}_' || underlying)
        WHERE expiration = expires AND strike = struck AND "right" = {_RIGHT}
            AND date <= expires ORDER BY timestamp""",
    ),
    "greeks": (
        GREEKS,
        f"""(underlying, day, minute) AS TABLE
        SELECT * EXCLUDE (date), {_ADDED},
            CASE WHEN underlying_price > 0 THEN strike / underlying_price END AS moneyness, {_LOCAL}
        FROM query_table('{{views}}_' || underlying) WHERE {_AT}""",
    ),
}
"""What `Lake` has under the same names: below which key its datasets are, and how DuckDB computes it."""


def create_views(lake: Lake, path: Path) -> list[str]:
    """Write a DuckDB database of views to ``path``, in place of what is there, and name the views.

    The columns are those of the files, by the vendor's names (`Lake.bars` has one name for each of all vendors).
    ``theta/option_quotes/QQQ`` becomes ``theta_option_quotes_QQQ``, with the day as the column ``date``; a dataset of
    months has the column ``month`` (``2024-01``). Both, and the ticker of a month, choose the files that are read.

    Beside the views stand, where the lake has such options, table macros that are called as `Lake`'s methods are:
    ``chain('QQQ', DATE '2024-01-03', TIME '10:30')``, ``greeks('SPX', DATE '2024-01-03', TIME '10:30')`` and
    ``contract('QQQ', DATE '2024-01-19', 400, 'CALL')``, which covers all days: choose some by ``timestamp``. Their
    columns are those of the methods, except that ``time_new_york`` is New York's clock without a zone. ``chain`` takes
    ``price := 303.0`` or ``price := 'polygon/minute_aggs'``, as the method does; the bars that it looks into are views
    of the schema ``prices``. ``days('theta/option_quotes/QQQ')`` has a row for each stored day, with its number of
    rows.

    A lake in an object store needs DuckDB's extension httpfs, installed once: ``duckdb.sql("INSTALL httpfs")``. Keys
    are taken from ``AWS_*`` while the file is made, and never stored in it: who opens it makes a secret first,
    ``CREATE SECRET (TYPE s3, KEY_ID ..., SECRET ..., REGION ...)``.

    A lake of an older layout is brought to the present one first, for the views speak of that.

    Example:
        >>> import duckdb
        >>> from pathlib import Path
        >>> from data_assets import Lake, create_views
        >>> create_views(Lake("lake/sandbox", synthetic=True), Path("lake.duckdb"))
        ['theta_option_quotes_QQQ']
        >>> duckdb.connect("lake.duckdb").sql(
        ...     "SELECT date, count(*) FROM theta_option_quotes_QQQ WHERE date = DATE '2024-01-03' GROUP BY date"
        ... ).fetchall()
        [(datetime.date(2024, 1, 3), 120)]

    Raises:
        LakeError: the lake is in an object store and DuckDB lacks httpfs, it is read as of a snapshot, two datasets
            would share a name, or a file cannot be moved.
    """
    if lake.as_of is not None:
        raise LakeError(
            f"DuckDB views are of the lake as it is: read it as of the snapshot {lake.as_of.name} with Lake.scan"
        )
    if remote := "://" in lake.url:
        with duckdb.connect() as connection:
            _load_httpfs(connection, lake.url)
    lake.migrate()
    views: dict[str, tuple[str, tuple[str, str, str]]] = {}
    of_days = [(dataset, _OF_DAYS) for dataset in lake.datasets()]
    of_months = [(dataset, _OF_MONTHS) for dataset in lake.monthly_datasets()]
    for dataset, layout in sorted(of_days + of_months):
        name = dataset.replace("/", "_")
        if name in views:
            raise LakeError(f"{dataset} and {views[name][0]} would both be the view {name}; rename one of the datasets")
        views[name] = dataset, layout
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        if remote:
            _load_httpfs(connection, lake.url)
            _use_environment(connection)
        for name, (dataset, (folders, types, columns)) in views.items():
            files = lake.locate(f"{dataset}/{folders}/{PARTITION_FILE}").replace("'", "''")
            source = _source(connection, files, types)
            connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} FROM {source}')
        _create_prices(connection, [name for name, _ in of_days])
        for name, (key, macro) in _MACROS.items():
            if any(dataset.startswith(f"{key}/") for dataset, _ in of_days):
                connection.execute(f"CREATE MACRO {name}{macro.format(views=key.replace('/', '_'))}")
        connection.execute(f"CREATE MACRO days(dataset) AS TABLE {_days_of(lake)}")
    return list(views)


def _create_prices(connection: duckdb.DuckDBPyConnection, datasets: Collection[str]) -> None:
    """Make the views of bars: of IB those of underlyings, below a name that all of them share."""
    quoted = [each.removeprefix(f"{QUOTES}/") for each in datasets if each.startswith(f"{QUOTES}/")]
    if not quoted:
        return
    sources = {"none": ["SELECT '' AS ticker, DATE '1970-01-01' AS date, now() AS timestamp, 0.0 AS close WHERE false"]}
    if POLYGON_BARS in datasets:
        sources[POLYGON_BARS] = [f"SELECT ticker, date, window_start AS timestamp, close FROM {_view_of(POLYGON_BARS)}"]
    sources[IB_BARS] = [
        f"SELECT '{ticker}' AS ticker, date, timestamp, close FROM {_view_of(f'{IB_BARS}/{ticker}')}"
        for ticker in quoted
        if f"{IB_BARS}/{ticker}" in datasets
    ]
    connection.execute(f"CREATE SCHEMA {PRICES}")
    for dataset, selects in sources.items():
        if selects:
            source = " UNION ALL ".join(selects)
            connection.execute(f"CREATE VIEW {PRICES}.{dataset.replace('/', '_')} AS {source}")


def _view_of(dataset: str) -> str:
    return f'main."{dataset.replace("/", "_")}"'


def _days_of(lake: Lake) -> str:
    """The stored days of a dataset, by their files' footers."""
    before, after = lake.locate(f"?/date=*/{PARTITION_FILE}").replace("'", "''").split("?")
    day = "CAST(regexp_extract(file_name, 'date=([0-9-]{10})', 1) AS DATE)"
    return (
        f"SELECT {day} AS date, num_rows AS rows "
        f"FROM parquet_file_metadata('{before}' || dataset || '{after}') ORDER BY date"
    )


def _load_httpfs(connection: duckdb.DuckDBPyConnection, url: str) -> None:
    """Make the connection read object stores.

    Raises:
        LakeError: DuckDB has no such extension installed; nothing is downloaded here.
    """
    try:
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("LOAD httpfs")
    except duckdb.Error as error:
        raise LakeError(
            f"{url}: DuckDB {duckdb.__version__} reads object stores with its extension httpfs, which cannot be loaded "
            f"({one_line(error, 120)}); query the lake with Lake.scan, or install it once, with network: "
            "python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\""
        ) from None


def _use_environment(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the connection use the keys of ``AWS_*`` until it is closed."""
    said = {
        "KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID"),
        "SECRET": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN"),
        "REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
    }
    if endpoint := next(filter(None, map(os.environ.get, ENDPOINTS)), None):
        address = urlsplit(endpoint)
        said |= {"ENDPOINT": address.netloc, "URL_STYLE": "path", "USE_SSL": str(address.scheme == "https").lower()}
    values = "".join(f", {name} '{value.replace(chr(39), chr(39) * 2)}'" for name, value in said.items() if value)
    connection.execute(f"CREATE SECRET (TYPE s3{values})")


def _source(connection: duckdb.DuckDBPyConnection, files: str, types: str) -> str:
    """The files as a table.

    DuckDB takes the types of the first file for all. Where that one holds integers of 32 bits, as option sizes once
    were, later ones may hold larger numbers: then each query looks at every file's types, which takes it longer.
    """
    source = f"read_parquet('{files}', hive_types = {types})"
    columns = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    narrow = any(dtype == "INTEGER" for _, dtype, *_ in columns)
    return f"{source[:-1]}, union_by_name = true)" if narrow else source
