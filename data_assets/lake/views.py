"""The lake for people who use SQL: a DuckDB file with one view per dataset.

Here: making that file. Not here: any data; the views read the lake's own Parquet files, and see every day added later.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.layout import PARTITION_FILE

_OF_DAYS = ("date=*", "{'date': DATE}", "*")
_OF_MONTHS = (
    "ticker_folder=*/month=*",
    "{'ticker_folder': VARCHAR, 'month': VARCHAR}",
    "* EXCLUDE (ticker_folder) REPLACE (ticker_folder[2:] AS ticker)",
)
"""The folders, the types of what is in their names, and the columns: the ticker from the folder, so that it chooses."""


def create_views(lake: Lake, path: Path) -> list[str]:
    """Write a DuckDB database of views to ``path``, in place of what is there, and name the views.

    The columns are those of the files, by the vendor's names (`Lake.bars` has one name for each of all vendors).
    ``theta/option_quotes/QQQ`` becomes ``theta_option_quotes_QQQ``, with the day as the column ``date``; a dataset of
    months has the column ``month`` (``2024-01``). Both, and the ticker of a month, choose the files that are read.

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
        LakeError: the lake is in an object store or read as of a snapshot, two datasets would share a name, or a file
            cannot be moved.
    """
    if "://" in lake.url:
        raise LakeError(
            f"{lake.url}: DuckDB views can be made of a local lake only; query an object store with Lake.scan instead"
        )
    if lake.as_of is not None:
        raise LakeError(
            f"DuckDB views are of the lake as it is: read it as of the snapshot {lake.as_of.name} with Lake.scan"
        )
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
        for name, (dataset, (folders, types, columns)) in views.items():
            files = lake.locate(f"{dataset}/{folders}/{PARTITION_FILE}").replace("'", "''")
            source = _source(connection, files, types)
            connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} FROM {source}')
    return list(views)


def _source(connection: duckdb.DuckDBPyConnection, files: str, types: str) -> str:
    """The files as a table.

    DuckDB takes the types of the first file for all. Where that one holds integers of 32 bits, as option sizes once
    were, later ones may hold larger numbers: then each query looks at every file's types, which takes it longer.
    """
    source = f"read_parquet('{files}', hive_types = {types})"
    columns = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    narrow = any(dtype == "INTEGER" for _, dtype, *_ in columns)
    return f"{source[:-1]}, union_by_name = true)" if narrow else source
