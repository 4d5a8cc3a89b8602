"""An Iceberg table of a dataset's days, for Spark, Trino, DuckDB, Polars and pyiceberg: a copy that can be thrown away.

The warehouse holds files of its own and never names one of the lake's, nor shares its bytes by a hard link: so whatever
a maintenance command of the format rewrites or deletes (``remove_orphan_files``, ``DROP TABLE ... PURGE``,
``purge_table``), the lake's days are untouched, and the same export makes the table again. That costs the room of the
days once more.

- ``<vendor>/<dataset>/data/date=2024-01-03/lake-<digest>.parquet`` holds a day, row group by row group as the lake has
  it. The digest is that of the lake's file: a day that was fetched again has another name, since readers of a table
  would be served new rows under the old count if a file were overwritten in place.
- The day is the column ``date`` of the file, too, and the table is partitioned by it: the value of a partition is read
  from the file, so a filter on ``date`` opens the files of those days and no other.
- Text is text: the lake's ``right`` is an Enum, on which readers of Iceberg fail. Integers have 64 bits in every file,
  whatever they had on a day.
- The table itself is rebuilt from the manifest after every export, as one snapshot. ``metadata/version-hint.text``
  names its newest version, as in a Hadoop catalog, and changes last.

Paths in a table are absolute: a folder that was moved is exported again.

Here: files of days, and the table over them. Not here: which days may be exported (`days`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.export.exporting import WrittenDay
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.manifest import Manifest
from data_assets.lake.errors import one_line
from data_assets.lake.lake import Lake

DAY = "date"
FILES = "data_assets.files"
SYNTHETIC = "data_assets.synthetic"
DATASET = "data_assets.dataset"
HINT = "version-hint.text"

_FILE = re.compile(r"lake-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True)
class IcebergDays:
    """The days of a dataset as a table; implements ``Exporter`` and ``Indexed``.

    Attributes:
        dataset: whose days; ``theta/option_quotes/QQQ`` becomes the table ``option_quotes_QQQ`` of ``theta``.
    """

    dataset: str
    engine: str = "iceberg"
    ticker: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """See ``Exporter``."""
        return {"partitioned by": DAY, "zone": "UTC"}

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Exporter``."""
        return ("the table is a copy, and never names a file of the lake: it can be thrown away and exported again",)

    @property
    def table(self) -> str:
        """The folder of the table, relative to the warehouse: its namespace, which is the vendor, and its name."""
        vendor, _, rest = self.dataset.partition("/")
        return f"{vendor}/{rest.replace('/', '_')}"

    def unit(self, day: date) -> str:
        """See ``Exporter``: the day itself."""
        return day.isoformat()

    def write(
        self, lake: Lake, days: Sequence[date], without: Sequence[date], folder: ExportFolder
    ) -> dict[date, WrittenDay]:
        """See ``Exporter``; files of days as they were stay until the table no longer names them."""
        manifest = folder.manifest(self.engine, self.dataset, None)
        if manifest is None:
            _refuse_foreign(folder.path / self.table, self.dataset)
        written = {}
        for day in days:
            stored = lake.audit(self.dataset, day).file
            name = f"{self.table}/data/{DAY}={day}/lake-{stored.sha256[:16]}.parquet"
            before = manifest.day(day) if manifest else None
            if not (before and before.files == (name,) and (folder.path / name).is_file()):
                folder.replace(name, _day_writer(lake, self.dataset, day))
            written[day] = WrittenDay(stored.rows, (name,))
        return written

    def index(self, manifest: Manifest, folder: ExportFolder) -> None:
        """Make the table name exactly the files of the manifest; then remove what it no longer names.

        Raises:
            ExportRefused: the table is somebody else's, or pyiceberg cannot make it; the files of days are there.
        """
        table = folder.path / self.table
        names = sorted(name for day in manifest.days for name in day.files)
        digest = hashlib.sha256("\n".join([str(table), *names]).encode()).hexdigest()
        metadata = table / "metadata"
        _refuse_foreign(table, self.dataset)
        if _said_by(metadata) != digest:
            version = _version(metadata) + 1
            properties = {
                FILES: digest,
                SYNTHETIC: str(manifest.synthetic).lower(),
                DATASET: self.dataset,
            }
            try:
                kept = _new_table(table, [str(folder.path / name) for name in names], properties, version)
            except Exception as error:
                if not type(error).__module__.startswith(("pyiceberg", "builtins", "pyarrow")):
                    raise
                raise ExportRefused(
                    f"{table}: pyiceberg cannot make the table ({one_line(error, 200)}); see to the disk, or remove "
                    "this folder, and export again"
                ) from error
            folder.replace_own(f"{self.table}/metadata/{HINT}", lambda file: file.write(f"{version}".encode()))
            for path in metadata.iterdir():
                if path.name not in {*kept, HINT}:
                    path.unlink()
        wanted = set(names)
        for path in _day_files(table):
            if str(path.relative_to(folder.path)) not in wanted:
                path.unlink()
                with suppress(OSError):  # another file lies there
                    path.parent.rmdir()


def _day_writer(lake: Lake, dataset: str, day: date) -> Any:
    def write(file: BinaryIO) -> None:
        writer = None
        for rows in lake.batches(dataset, day):
            table = _plain(rows, day)
            if writer is None:
                writer = pq.ParquetWriter(file, table.schema, compression="zstd", store_schema=False)
            writer.write_table(table, row_group_size=table.num_rows)
        if writer is not None:
            writer.add_key_value_metadata({SYNTHETIC: str(lake.synthetic).lower(), DATASET: dataset})
            writer.close()

    return write


def _plain(rows: pl.DataFrame, day: date) -> pa.Table:
    """Rows in the few types that every reader of Iceberg knows, and the day."""
    kinds: dict[type[pl.DataType], type[pl.DataType]] = {
        **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32), pl.Int64),
        pl.Enum: pl.String,
        pl.Categorical: pl.String,
        pl.Float32: pl.Float64,
    }
    plain = (pl.col(name).cast(kinds.get(dtype.base_type(), dtype)) for name, dtype in rows.schema.items())
    table = rows.select(*plain, pl.lit(day).alias(DAY)).to_arrow()
    texts = (pa.types.is_large_string, pa.types.is_string_view)
    fields = [
        pa.field(field.name, pa.string() if any(is_text(field.type) for is_text in texts) else field.type)
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _day_files(table: Path) -> Iterator[Path]:
    for path in table.glob(f"data/{DAY}=*/*"):
        if _FILE.fullmatch(path.name):
            yield path


def _version(metadata: Path) -> int:
    """The number of the table's newest version; 0 where there is none."""
    try:
        return int((metadata / HINT).read_text())
    except (OSError, ValueError):
        return 0


def _said_by(metadata: Path) -> str | None:
    """What the table's newest version says of the files that it was made of; None where there is none."""
    return _properties_of(metadata / f"v{_version(metadata)}.metadata.json").get(FILES)


def _properties_of(version: Path) -> dict[str, str]:
    try:
        return dict(json.loads(version.read_bytes())["properties"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _refuse_foreign(table: Path, dataset: str) -> None:
    """Go on only if every version of a table that lies there began as one of this dataset's exports.

    Raises:
        ExportRefused: one did not.
    """
    whose = {_properties_of(version).get(DATASET) for version in table.glob("metadata/*.metadata.json")}
    if others := whose - {dataset}:
        other = next(iter(others))
        what = "a table that no export has made" if other is None else f"the table of {other}"
        raise ExportRefused(f"{table} is {what}, and is left as it is: name another folder with --into")


def _new_table(table: Path, files: Sequence[str], properties: Mapping[str, str], version: int) -> set[str]:
    """Write a table over some files as a version of it; return the names of the metadata's files that it needs."""
    from pyiceberg.catalog.memory import InMemoryCatalog

    schema = pa.unify_schemas([pq.read_schema(file).remove_metadata() for file in files]) if files else None
    if schema is None:
        schema = pa.schema([pa.field(DAY, pa.date32())])
    catalog = InMemoryCatalog("warehouse", warehouse=str(table.parent.parent))
    try:
        catalog.create_namespace(table.parent.name)
        made = catalog.create_table(
            f"{table.parent.name}.{table.name}", schema, location=str(table), properties=dict(properties)
        )
        with made.transaction() as change, change.update_spec() as spec:
            spec.add_identity(DAY)
        if files:
            made.add_files(list(files), check_duplicate_files=False)
        needed = {Path(made.metadata_location).name}
        if snapshot := made.current_snapshot():
            needed |= {Path(snapshot.manifest_list).name}
            needed |= {Path(each.manifest_path).name for each in snapshot.manifests(made.io)}
    finally:
        catalog.engine.dispose()
    name = f"v{version}.metadata.json"
    Path(made.metadata_location).replace(table / "metadata" / name)
    return (needed - {Path(made.metadata_location).name}) | {name}
