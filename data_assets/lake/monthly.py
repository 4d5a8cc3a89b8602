"""A ticker's month in one file, built from the days of the lake: what its footer says, and writing it.

Here: which version of which day a month's file was built from, so that a reader can tell from a listing whether it
still holds. Not here: which tickers and months are built (`vendors`), and reading them as one with the days (``bars``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.counts import count_of
from data_assets.lake.errors import Corrupt, write_error
from data_assets.lake.layout import month_path
from data_assets.lake.parquet_file import NOT_SEALED, NewParquet, file_digest, reading, row_groups
from data_assets.lake.provenance import PREFIX, columns_of
from data_assets.lake.storage import Storage
from data_assets.lake.writer import StoredFile


@dataclass(frozen=True, slots=True)
class MonthProvenance:
    """What a month's file is and which days it was built from; where their rows came from, the days' own files say.

    Attributes:
        dataset: the monthly dataset's key, such as ``polygon/minute_aggs_monthly``.
        ticker: as in the rows.
        month: the first day of the month.
        source: the key of the daily dataset.
        days: the days it was built from, each with the version of its file (`Lake.day_versions`).
        lacking: the trading days that had ended by ``built_at`` and were not in the lake.
        built_at: when; with a time zone, kept in UTC.
        schema_version: of the daily dataset's columns and types.
        synthetic: whether a simulator made the rows.
        not_kept: the days that were not asked to keep the ticker, so that no row of theirs does not mean no trade; None
            where the file is older than this statement.
        by_trade_date: the days whose bars begin at 20:00 New York of the evening before (`Statement.by_trade_date`).
    """

    dataset: str
    ticker: str
    month: date
    source: str
    days: Mapping[date, str]
    lacking: tuple[date, ...]
    built_at: datetime
    schema_version: int
    synthetic: bool
    not_kept: tuple[date, ...] | None = None
    by_trade_date: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        if self.built_at.tzinfo is None:
            raise ValueError("built_at needs a time zone")
        object.__setattr__(self, "built_at", self.built_at.astimezone(UTC))


def month_metadata(provenance: MonthProvenance, rows: int, schema: pa.Schema) -> dict[str, str]:
    """The footer's key-value metadata."""
    values = {
        "dataset": provenance.dataset,
        "ticker": provenance.ticker,
        "month": f"{provenance.month:%Y-%m}",
        "source": provenance.source,
        "days": json.dumps({day.isoformat(): version for day, version in provenance.days.items()}),
        "lacking": json.dumps([day.isoformat() for day in provenance.lacking]),
        "built_at": provenance.built_at.isoformat(),
        "schema_version": str(provenance.schema_version),
        "synthetic": json.dumps(provenance.synthetic),
        "rows": str(rows),
        "columns": json.dumps(columns_of(schema)),
    }
    if provenance.not_kept is not None:
        values["not_kept"] = json.dumps([day.isoformat() for day in provenance.not_kept])
    if provenance.by_trade_date:
        values["by_trade_date"] = json.dumps([day.isoformat() for day in provenance.by_trade_date])
    return {PREFIX + key: value for key, value in values.items()}


@dataclass(frozen=True, slots=True)
class MonthFooter:
    """What the lake wrote into the footer of a month's file; the attributes are those of `Footer`."""

    provenance: MonthProvenance
    rows: int
    columns: tuple[tuple[str, str], ...]


def month_footer(metadata: Mapping[str, str]) -> MonthFooter:
    """Read back what `month_metadata` wrote.

    Raises:
        ValueError: the metadata is absent, incomplete or damaged.
    """
    try:
        values = {key.removeprefix(PREFIX): value for key, value in metadata.items()}
        provenance = MonthProvenance(
            dataset=values["dataset"],
            ticker=values["ticker"],
            month=date.fromisoformat(f"{values['month']}-01"),
            source=values["source"],
            days={date.fromisoformat(day): version for day, version in json.loads(values["days"]).items()},
            lacking=tuple(date.fromisoformat(day) for day in json.loads(values["lacking"])),
            built_at=datetime.fromisoformat(values["built_at"]),
            schema_version=int(values["schema_version"]),
            synthetic=bool(json.loads(values["synthetic"])),
            not_kept=tuple(date.fromisoformat(day) for day in json.loads(values["not_kept"]))
            if "not_kept" in values
            else None,
            by_trade_date=tuple(date.fromisoformat(day) for day in json.loads(values.get("by_trade_date", "[]"))),
        )
        columns = tuple((name, kind) for name, kind in json.loads(values["columns"]))
        return MonthFooter(provenance, int(values["rows"]), columns)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"the footer holds no whole provenance ({type(error).__name__}: {error})") from None


@dataclass(frozen=True, slots=True)
class AuditedMonth:
    """A ticker's month as it was read back, whole.

    Attributes:
        provenance: what its footer says.
        file: what the file is now.
        sealed: whether it is what was written, by its own seal; if not, only a recorded digest can tell.
    """

    provenance: MonthProvenance
    file: StoredFile
    sealed: bool


def audit_month(file: BinaryIO, name: str, where: str) -> AuditedMonth:
    """Read a month's file as a whole, every page checked, and compare it with what its footer says.

    Args:
        file: the file.
        name: its name, relative to the lake's root.
        where: its address, for errors.

    Raises:
        Corrupt: the file is damaged.
    """
    digest = file_digest(file)
    if digest.sealed is False:  # asked first: nobody knows what a decoder makes of such bytes
        raise Corrupt(NOT_SEALED, where)
    with reading(where):
        parquet = pq.ParquetFile(file)
        metadata, schema = parquet.metadata.metadata or {}, parquet.schema_arrow
    try:
        footer = month_footer({key.decode(): value.decode() for key, value in metadata.items()})
    except ValueError as error:
        raise Corrupt(str(error), where) from None
    rows = sum(frame.height for frame in row_groups(file, where))
    if rows != footer.rows:
        raise Corrupt(f"it has {count_of(rows, 'row')}, its footer says {footer.rows:,}", where)
    if columns_of(schema) != footer.columns:
        raise Corrupt(f"it has the columns {columns_of(schema)}, its footer says {footer.columns}", where)
    return AuditedMonth(footer.provenance, StoredFile(name, rows, digest.size, digest.sha256), bool(digest.sealed))


def write_month(storage: Storage, provenance: MonthProvenance, rows: pl.DataFrame, sort_by: str) -> StoredFile:
    """Bring a month's rows to disk and give the file its name: whole, synced and read back, or not at all.

    Args:
        storage: the lake's.
        provenance: whose rows they are.
        rows: sorted by ``sort_by``; none of a ticker that did not trade, so that readers need not ask the days.
        sort_by: the column of their time.

    Raises:
        ValueError: the rows are not sorted.
        LakeError: it cannot be written; what had the name before is untouched.
    """
    name = month_path(provenance.dataset, provenance.ticker, provenance.month)
    if not rows[sort_by].is_sorted():
        raise ValueError(f"{name}: the rows are not sorted by {sort_by}")
    schema = rows.clear().to_arrow().schema
    try:
        # Every time comes once, so a dictionary is larger. Differences would make a month of SPY a third smaller, and
        # fastparquet misreads them.
        file = NewParquet(storage, name, schema, (sort_by,), plain=(sort_by,))
        try:
            file.write(rows)
            file.seal(month_metadata(provenance, rows.height, schema))
            file.publish(name)
            file.release()
        finally:
            file.discard()
    except OSError as error:
        raise write_error(error, storage.write_place(name)) from error
    return StoredFile(name, file.rows, file.size, file.sha256)
