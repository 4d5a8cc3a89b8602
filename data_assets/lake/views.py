"""The lake for people who use SQL: a DuckDB file with one view per dataset, and `Lake.chain` and its like as macros.

Here: making that file. Not here: any data; the views read the lake's own Parquet files, and see every day added later.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.chains import GREEKS, QUOTES
from data_assets.lake.errors import LakeError, one_line
from data_assets.lake.lake import Lake
from data_assets.lake.layout import PARTITION_FILE
from data_assets.lake.provenance import PREFIX
from data_assets.lake.storage import ENDPOINTS
from data_assets.trading_calendar import NEW_YORK, sessions

_OF_DAYS = ("date=*", "{'date': DATE}", "*")
_OF_MONTHS = (
    "ticker_folder=*/month=*",
    "{'ticker_folder': VARCHAR, 'month': VARCHAR}",
    "* EXCLUDE (ticker_folder) REPLACE (ticker_folder[2:] AS ticker)",
)
"""The folders, the types of what is in their names, and the columns: the ticker from the folder, so that it chooses."""


_NAMED = 5
"""Datasets that an error names."""

_ZONE = NEW_YORK.key
_ADDED = f"""
    CASE WHEN q.ask > 0 THEN (q.bid + q.ask) / 2 END AS mid,
    CASE WHEN q.ask > 0 THEN q.ask - q.bid END AS spread,
    CAST(q.expiration - CAST(timezone('{_ZONE}', q.timestamp) AS DATE) AS INTEGER) AS days_to_expiration"""
_CLOCK = f"timezone('{_ZONE}', q.timestamp)"
_LOCAL = f"{_CLOCK} AS time_new_york"
_INSTANT = f"timezone('{_ZONE}', CAST(day AS DATE) + CAST(minute AS TIME))"
_AT = f"q.date = day AND q.timestamp = {_INSTANT}"
_NO_SUCH = """error('{what}' || {asked} || ': there is no view of it' || coalesce('; did you mean ' || list_filter(
    {known}, lambda name: levenshtein(lower(name), lower({asked})) <= 2)[1] || '?', '; there are {names}')
    || ' (a dataset that is new since: create_views again)')"""
_QUOTES = """query_table(CASE WHEN underlying IN ({quoted}) THEN '{views}_' || underlying
    ELSE {no_such} END) AS q"""
_THERE = f"""there AS (
    SELECT CASE
        WHEN (SELECT count(*) FROM {_QUOTES} WHERE {_AT}) > 0 THEN true
        WHEN (SELECT count(*) FROM {_QUOTES} WHERE q.date = day) = 0
            THEN error('{{key}}/' || underlying || ': the lake does not hold ' || day)
        ELSE error('{{key}}/' || underlying || ' ' || day || ': there is no snapshot at ' || minute || ' New York; '
            || (SELECT 'the day has ' || count(DISTINCT q.timestamp) || ', from ' || CAST(min({_CLOCK}) AS TIME)
                || ' to ' || CAST(max({_CLOCK}) AS TIME) FROM {_QUOTES} WHERE q.date = day)) END AS is_there
)"""
"""Whether a day has a snapshot at a minute: a table without a row would not tell that from one without options."""

PRICES = "prices"
"""A schema of views of the bars by which `chain` knows the price of an underlying, all with the same columns."""

SESSIONS = "sessions"
"""A table of the exchange's sessions, by which `days` knows which of them are not stored."""

_IS_DATASET = "(price IS NOT NULL AND TRY_CAST(CAST(price AS VARCHAR) AS DOUBLE) IS NULL)"
_NUMBER = "TRY_CAST(CAST(price AS VARCHAR) AS DOUBLE)"

_RIGHT = """CASE WHEN upper("right") IN ('C', 'CALL') THEN 'CALL' WHEN upper("right") IN ('P', 'PUT') THEN 'PUT'
            ELSE error('right ' || "right" || ': must be CALL or PUT') END"""

_FIRST = "coalesce(CAST(start AS DATE), DATE '1900-01-01')"
_LAST = f"""CASE WHEN least({{last}}, CAST("end" AS DATE)) < {_FIRST}
    THEN error('the range ends on ' || least({{last}}, CAST("end" AS DATE)) || ', before it starts on ' || start)
    ELSE least({{last}}, CAST("end" AS DATE)) END"""
"""The bounds of a range of days; LEAST passes over a NULL."""

_MACROS = {
    "chain": (
        QUOTES,
        f"""(underlying, day, minute, price := NULL) AS TABLE
        WITH {_THERE},
        quoted AS (SELECT q.* EXCLUDE (date), {_ADDED}, {_LOCAL} FROM {_QUOTES} WHERE {_AT}),
        pairs AS (
            SELECT q.expiration, q.strike, q.symbol, max(q.mid) FILTER (q."right" = 'CALL') AS call_mid,
                max(q.mid) FILTER (q."right" = 'PUT') AS put_mid
            FROM quoted AS q WHERE q.bid > 0 GROUP BY ALL HAVING call_mid IS NOT NULL AND put_mid IS NOT NULL
        ),
        implied AS (
            SELECT strike + call_mid - put_mid AS by_parity FROM pairs
            ORDER BY expiration, abs(call_mid - put_mid), strike, symbol LIMIT 1
        ),
        traded AS (
            SELECT last(close ORDER BY timestamp) AS by_bars
            FROM query_table(
                '{PRICES}.' || CASE WHEN NOT {_IS_DATASET} THEN 'none'
                    WHEN CAST(price AS VARCHAR) IN ({{priced}}) THEN replace(CAST(price AS VARCHAR), '/', '_')
                    ELSE {{no_price}} END
            )
            WHERE ticker = underlying AND date = day AND timestamp < {_INSTANT}
        ),
        known AS (
            SELECT CASE WHEN price IS NULL THEN (SELECT by_parity FROM implied)
                WHEN {_IS_DATASET} AND (SELECT by_bars FROM traded) IS NULL
                    THEN CAST(error(price || ': no bar of ' || underlying || ' on ' || day || ' before ' || minute)
                        AS DOUBLE)
                WHEN {_IS_DATASET} THEN (SELECT by_bars FROM traded)
                ELSE {_NUMBER} END AS underlying_price
        )
        SELECT q.* EXCLUDE (time_new_york), known.underlying_price,
            CASE WHEN known.underlying_price > 0 THEN q.strike / known.underlying_price END AS moneyness,
            q.time_new_york
        FROM quoted AS q CROSS JOIN known WHERE (SELECT is_there FROM there) AND CASE
            WHEN price IS NULL OR {_IS_DATASET} OR ({_NUMBER} > 0 AND isfinite({_NUMBER})) THEN true
            ELSE error('price ' || price || ': must be above 0, in dollars or index points') END""",
    ),
    "contract": (
        QUOTES,
        f"""(underlying, expiration, strike, "right", start := NULL, "end" := NULL, root := NULL) AS TABLE
        WITH found AS (
            SELECT q.* EXCLUDE (date), {_ADDED}, {_LOCAL} FROM {_QUOTES}
            WHERE q.expiration = CAST(expiration AS DATE) AND q.strike = strike AND q."right" = {_RIGHT}
                AND (root IS NULL OR q.symbol = root)
                AND q.date BETWEEN {_FIRST} AND {_LAST.format(last="CAST(expiration AS DATE)")}
        ),
        there AS (
            SELECT CASE WHEN NOT (strike > 0) THEN error('strike ' || strike || ': must be above 0')
                WHEN (SELECT count(*) FROM found) > 0 THEN true
                ELSE error('{{key}}/' || underlying || ': no day of the range has a quote of ' || expiration || ' '
                    || strike || ' ' || "right") END AS is_there
        )
        SELECT q.* FROM found AS q WHERE (SELECT is_there FROM there) ORDER BY q.timestamp""",
    ),
    "greeks": (
        GREEKS,
        f"""(underlying, day, minute) AS TABLE
        WITH {_THERE}
        SELECT q.* EXCLUDE (date), {_ADDED},
            CASE WHEN q.underlying_price > 0 THEN q.strike / q.underlying_price END AS moneyness, {_LOCAL}
        FROM {_QUOTES} WHERE {_AT} AND (SELECT is_there FROM there)""",
    ),
}
"""What `Lake` has under the same names: below which key its datasets are, and how DuckDB computes it.

A macro's parameter hides a column of its name: columns are written with their table, ``q``.
"""


def create_views(lake: Lake, path: Path) -> list[str]:
    """Write a DuckDB database of views to ``path``, in place of what is there, and name the views.

    The columns are those of the files, by the vendor's names (`Lake.bars` has one name for each of all vendors).
    ``theta/option_quotes/QQQ`` becomes ``theta_option_quotes_QQQ``, with the day as the column ``date``; a dataset of
    months has the column ``month`` (``2024-01``). Both, and the ticker of a month, choose the files that are read.

    Beside the views stand table macros that are called as `Lake`'s methods are, with the same arguments in the same
    order, and have the same columns, except that ``time_new_york`` is New York's clock without a zone:
    ``chain('QQQ', DATE '2024-01-03', TIME '10:30', price := 'polygon/minute_aggs')``,
    ``greeks('SPX', DATE '2024-01-03', TIME '10:30')``,
    ``contract('QQQ', DATE '2024-01-19', 400, 'CALL', DATE '2024-01-03', DATE '2024-01-19', root := 'QQQ')`` and
    ``days('theta/option_quotes/QQQ', DATE '2024-01-02', DATE '2024-01-31')``. What a method does without may be left
    out; by name it is ``start :=`` and, as END is a word of SQL, ``"end" :=``. The first three are there where the lake
    has such options. What is an error of a method is one here, too; a damaged file, which `Lake.days` calls
    ``unreadable``, is an error of DuckDB that names it. The bars that ``chain`` looks into are views of the schema
    ``prices``; ``sessions`` is a table of the exchange's sessions.

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
        priced = _create_prices(connection, [name for name, _ in of_days])
        prices = {
            "priced": _literals(priced) or "NULL",
            "no_price": _no_such("price ", "CAST(price AS VARCHAR)", priced or ["no bars"]),
        }
        datasets = [dataset for dataset, _ in of_days]
        for name, (key, macro) in _MACROS.items():
            if below := [each.removeprefix(f"{key}/") for each in datasets if each.startswith(f"{key}/")]:
                words = {"key": key, "views": key.replace("/", "_"), "quoted": _literals(below), **prices}
                no_such = _no_such(f"{key}/", "underlying", below)
                connection.execute(f"CREATE MACRO {name}{macro.format(**words, no_such=no_such)}")
        connection.execute(
            f"CREATE TABLE {SESSIONS} AS SELECT unnest(?::DATE[]) AS day", [sessions(date.min, date.max)]
        )
        connection.execute(
            f'CREATE MACRO days(dataset, start := NULL, "end" := NULL) AS TABLE {_days_of(lake, datasets)}'
        )
    return list(views)


def _literals(texts: Iterable[str]) -> str:
    return ", ".join("'{}'".format(text.replace("'", "''")) for text in texts)


def _no_such(what: str, asked: str, known: Sequence[str]) -> str:
    """An expression that ends the query, as nothing of that name has a view; it names one that is spelt nearly so."""
    names = ", ".join(known[:_NAMED]) + (f" and {len(known) - _NAMED} more" if len(known) > _NAMED else "")
    return _NO_SUCH.format(what=what, asked=asked, known=f"[{_literals(known)}]", names=names.replace("'", "''"))


def _create_prices(connection: duckdb.DuckDBPyConnection, datasets: Collection[str]) -> list[str]:
    """Make the views of bars: of IB those of underlyings, below a name that all of them share; return the names."""
    quoted = [each.removeprefix(f"{QUOTES}/") for each in datasets if each.startswith(f"{QUOTES}/")]
    if not quoted:
        return []
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
    return [dataset for dataset, selects in sources.items() if selects and dataset != "none"]


def _view_of(dataset: str) -> str:
    return f'main."{dataset.replace("/", "_")}"'


def _days_of(lake: Lake, datasets: Sequence[str]) -> str:
    """The sessions of a dataset, by the footers of the stored days' files."""
    before, after = lake.locate(f"?/date=*/{PARTITION_FILE}").replace("'", "''").split("?")
    files = f"""CASE WHEN dataset IN ({_literals(datasets)}) THEN '{before}' || dataset || '{after}'
        ELSE {_no_such("", "dataset", datasets)} END"""
    said = ", ".join(
        f"CAST(max(decode(value)) FILTER (decode(key) = '{PREFIX}{name}') AS {kind}) AS {name}"
        for name, kind in {"fetched_at": "TIMESTAMPTZ", "written_at": "TIMESTAMPTZ", "source": "VARCHAR"}.items()
    )
    return f"""
        WITH counted AS (
            SELECT CAST(regexp_extract(file_name, 'date=([0-9-]{{10}})', 1) AS DATE) AS day, num_rows AS rows, file_name
            FROM parquet_file_metadata({files})
        ),
        said AS (SELECT file_name, {said} FROM parquet_kv_metadata({files}) GROUP BY file_name),
        stored AS (SELECT counted.*, said.* EXCLUDE (file_name) FROM counted JOIN said USING (file_name)),
        bounds AS (
            SELECT coalesce(CAST(start AS DATE), min(stored.day)) AS oldest,
                coalesce(CAST("end" AS DATE), max(stored.day)) AS newest FROM stored
        ),
        asked AS (SELECT day FROM {SESSIONS} UNION SELECT day FROM stored)
        SELECT asked.day, CASE WHEN stored.rows IS NULL THEN 'not stored' ELSE 'stored' END AS state,
            stored.rows, stored.fetched_at, stored.written_at, stored.source
        FROM asked CROSS JOIN bounds LEFT JOIN stored ON stored.day = asked.day
        WHERE asked.day BETWEEN bounds.oldest AND bounds.newest
            AND asked.day BETWEEN {_FIRST} AND {_LAST.format(last="DATE '9999-12-31'")} ORDER BY asked.day"""


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
