"""A dataset's days as an Iceberg table: read by pyiceberg and Polars, pruned by the day, never the lake's own files.

`make test-engines` has DuckDB read it too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.table import StaticTable

from data_assets.export.days import FoundDay
from data_assets.export.exporting import export
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.formats import ExportAsked, exporter_of
from data_assets.export.iceberg import HINT, IcebergDays
from data_assets.export.manifest import Manifest
from data_assets.lake.lake import Lake
from data_assets_tests.lake.lake_days import DATASET, quotes, store, stored, widths

DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 2, 1)]
TABLE = "theta/option_quotes_QQQ"
pytestmark = pytest.mark.filterwarnings("ignore:Iceberg scan planning with the polars_iceberg plugin")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    for number, day in enumerate(DAYS):
        store(lake, quotes(seed=number), day=day)
    return lake


@pytest.fixture
def folder(lake: Lake, tmp_path: Path) -> ExportFolder:
    return ExportFolder(tmp_path / "ware house", lake)


def in_lake(lake: Lake, days: Sequence[date]) -> list[FoundDay]:
    held = lake.stored_days(DATASET)
    return [FoundDay(day, "stored" if day in held else "missing", day in held) for day in days]


def make(lake: Lake, folder: ExportFolder, days: Sequence[date] = DAYS, **more: object) -> Manifest:
    return export(IcebergDays(DATASET), lake, days, lambda days: in_lake(lake, days), folder, **more)


def newest(folder: ExportFolder) -> Path:
    metadata = folder.path / TABLE / "metadata"
    return metadata / f"v{(metadata / HINT).read_text()}.metadata.json"


def table(folder: ExportFolder) -> StaticTable:
    """By the folder alone, as any reader without a catalog opens it."""
    return StaticTable.from_metadata(str(folder.path / TABLE))


def read(folder: ExportFolder) -> pl.DataFrame:
    return pl.scan_iceberg(str(newest(folder))).collect()


def data_files(folder: ExportFolder) -> set[Path]:
    return set((folder.path / TABLE / "data").rglob("*.parquet"))


def test_the_rows_are_the_lakes_and_text_is_text(lake: Lake, folder: ExportFolder) -> None:
    manifest = make(lake, folder)
    assert [each.rows for each in manifest.days] == [120] * 3
    of_lake = pl.concat(stored(lake, day=day).with_columns(pl.lit(day).alias("date")) for day in DAYS)
    wanted = of_lake.cast({name: pl.Int64 for name, dtype in of_lake.schema.items() if dtype == pl.Int16})
    wanted = wanted.cast({"right": pl.String})
    found = read(folder).sort("date", *("expiration", "strike", "right", "timestamp"))
    assert found.equals(wanted.sort("date", *("expiration", "strike", "right", "timestamp")))
    by_pyiceberg = pl.DataFrame(table(folder).scan().to_arrow())
    assert by_pyiceberg.select(found.columns).sort(found.columns).equals(found.sort(found.columns))
    file = pq.ParquetFile(next(iter(data_files(folder))))
    assert b"ARROW:schema" not in file.metadata.metadata
    assert file.metadata.metadata[b"data_assets.synthetic"] == b"true"
    assert json.loads(newest(folder).read_text())["properties"]["data_assets.synthetic"] == "true"


def test_a_filter_on_the_day_opens_no_other_days_file(lake: Lake, folder: ExportFolder) -> None:
    make(lake, folder)
    for path in data_files(folder):
        if f"date={DAYS[1]}" not in path.parts:
            path.unlink()
    (planned,) = table(folder).scan(row_filter=f"date = '{DAYS[1]}'").plan_files()
    assert planned.file.partition[0] is not None
    assert table(folder).scan(row_filter=f"date = '{DAYS[1]}'").to_arrow().num_rows == 120
    of_day = pl.scan_iceberg(str(newest(folder))).filter(pl.col("date") == DAYS[1])
    assert of_day.collect().height == 120
    with pytest.raises(FileNotFoundError):
        table(folder).scan().to_arrow()


def test_no_maintenance_of_the_table_reaches_the_lake(lake: Lake, folder: ExportFolder) -> None:
    make(lake, folder)
    root = Path(lake.url).resolve()
    assert not any(str(root) in path.read_text(errors="replace") for path in (folder.path / TABLE).rglob("metadata/*"))
    assert all(path.stat().st_nlink == 1 for path in data_files(folder))
    before = {day: lake.audit(DATASET, day).file.sha256 for day in DAYS}
    catalog = InMemoryCatalog("any")
    catalog.create_namespace("theta")
    catalog.register_table("theta.quotes", str(newest(folder)))
    catalog.purge_table("theta.quotes")
    assert not data_files(folder), "the files of the table are gone"
    assert {day: lake.audit(DATASET, day).file.sha256 for day in DAYS} == before
    make(lake, folder)
    assert read(folder).height == 360, "and the same export makes it again"


def test_a_day_that_was_fetched_again_has_another_file(lake: Lake, folder: ExportFolder) -> None:
    make(lake, folder)
    before, version = data_files(folder), newest(folder)
    old = {path for path in before if f"date={DAYS[1]}" in path.parts}
    store(lake, quotes(strikes=5, seed=9), day=DAYS[1])
    make(lake, folder, [DAYS[1]])
    assert before - data_files(folder) == old
    assert read(folder).group_by("date").len().sort("date").rows() == [(DAYS[0], 120), (DAYS[1], 150), (DAYS[2], 120)]
    assert not version.exists()
    assert len(list(newest(folder).parent.iterdir())) == 4, "one version, its two lists of files, and the hint"

    version, times = newest(folder), {path: path.stat().st_mtime_ns for path in data_files(folder)}
    make(lake, folder)
    assert newest(folder) == version, "nothing has changed, so nothing is written"
    assert {path: path.stat().st_mtime_ns for path in data_files(folder)} == times


def test_days_of_two_widths_and_a_day_that_is_gone(lake: Lake, folder: ExportFolder) -> None:
    narrow, wide = widths()
    store(lake, narrow, day=DAYS[0])
    store(lake, wide, day=DAYS[1])
    make(lake, folder)
    assert read(folder)["bid_size"].max() == 3_000_000_000

    lake._storage.delete(f"{DATASET}/date={DAYS[2]}/data.parquet")
    make(lake, folder, allow=["missing"])
    assert set(read(folder)["date"]) == set(DAYS[:2])
    assert len(data_files(folder)) == 2


def test_what_a_killed_export_left_is_finished_by_the_next(
    lake: Lake, folder: ExportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(lake, folder, DAYS[:2])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(IcebergDays, "index", killed)
        with pytest.raises(KeyboardInterrupt):
            make(lake, folder, DAYS[2:])
    assert read(folder).height == 240, "the table is as it was"
    make(lake, folder, DAYS[2:])
    assert read(folder).height == 360


def test_a_table_of_somebody_else_stays_as_it_is(lake: Lake, folder: ExportFolder) -> None:
    catalog = InMemoryCatalog("theirs", warehouse=str(folder.path))
    catalog.create_namespace("theta")
    rows = stored(lake, day=DAYS[0]).select("strike").to_arrow()
    theirs = catalog.create_table("theta.option_quotes_QQQ", rows.schema, location=str(folder.path / TABLE))
    theirs.append(rows)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(ExportRefused, match="a table that no export has made"):
        make(lake, folder)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(folder.path.rglob("lake-*.parquet"))


def test_two_datasets_are_never_one_table(lake: Lake, folder: ExportFolder) -> None:
    make(lake, folder)
    other = "theta/option_quotes_QQQ"
    store(lake, quotes(), dataset=other, day=DAYS[0])
    with pytest.raises(ExportRefused, match=f"is the table of {DATASET}, and is left as it is"):
        export(IcebergDays(other), lake, DAYS[:1], lambda days: [FoundDay(day, "stored", True) for day in days], folder)
    assert read(folder).height == 360


def test_without_pyiceberg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiceberg", None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'data-assets\[iceberg\]'"):
        exporter_of(ExportAsked("iceberg", DATASET))


def test_what_it_does_not_take() -> None:
    for dataset, more, says in (
        ("polygon/minute_aggs", {"ticker": "SPY"}, "leave --ticker"),
        ("polygon/minute_aggs_monthly", {}, "export that"),
        (DATASET, {"shape": {"hours": "regular"}}, "leave --ticker and --hours out"),
    ):
        with pytest.raises(ValueError, match=says):
            exporter_of(ExportAsked("iceberg", dataset, **more))
    assert exporter_of(ExportAsked("iceberg", "polygon/minute_aggs")).table == "polygon/minute_aggs"
