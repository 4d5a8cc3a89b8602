"""Exports as assets: asked for when their days change, written month by month, and failed where a day is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from pyiceberg.table import StaticTable

from data_assets.cli.project import definitions
from data_assets.export.component import ExportOf
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import datasets_of_this_process
from data_assets_tests.cli.called import Call
from data_assets_tests.lake.minute_days import ib_bars, store_ib_day
from data_assets_tests.orchestration.in_process import AssetInProcess, of_day, of_days, open_project

AAPL = "ib/bars_1m/AAPL"
TABLE = dg.AssetKey(["export", "iceberg", *AAPL.split("/")])
CSV, LEAN = dg.AssetKey(["export", "csv", *AAPL.split("/")]), dg.AssetKey(["export", "zips"])
DAYS = [date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1), date(2024, 7, 2)]
JUNE, JULY = "2024-06-01", "2024-07-01"
BLOCK = f"""
type: data_assets.export.component.Exports
attributes:
  exports:
    - {{engine: csv, dataset: {AAPL}, label: end, into: out}}
    - {{engine: lean, dataset: {AAPL}, name: zips}}
    - {{engine: iceberg, dataset: {AAPL}, into: warehouse}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[AssetInProcess]:
    with open_project(tmp_path) as instance:
        block = tmp_path / "defs" / "exports" / "defs.yaml"
        block.parent.mkdir(parents=True)
        block.write_text(BLOCK)
        yield AssetInProcess(tmp_path, instance, CSV)


@pytest.fixture
def lake(project: AssetInProcess, call: Call) -> Lake:
    """Two days of each of two months, recorded."""
    lake = Lake(str(project.folder / "lake" / "live"), synthetic=False)
    for day in DAYS:
        store_ib_day(lake, "AAPL", day)
    assert call("reconcile", AAPL).code == 0
    return lake


def recorded(project: AssetInProcess, month: str, key: dg.AssetKey = CSV) -> dict[str, object]:
    """What the newest materialization of a month says."""
    of_month = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[month])
    (newest,) = project.instance.fetch_materializations(of_month, limit=1).records
    assert newest.asset_materialization is not None
    return {name: value.value for name, value in newest.asset_materialization.metadata.items()}


def files(folder: Path) -> dict[str, int]:
    """The data files below a folder, and when each was written."""
    found = [path for path in folder.rglob("*") if path.is_file() and "_manifests" not in path.parts]
    return {path.name: path.stat().st_mtime_ns for path in found}


def test_months_are_written_and_only_what_has_changed_is_written_again(project: AssetInProcess, lake: Lake) -> None:
    assert project.materialize(of_days(JUNE, JULY)).success
    out = project.folder / "out"
    assert sorted(files(out)) == ["AAPL_2024-06.csv", "AAPL_2024-07.csv"]
    july = recorded(project, JULY)
    assert (july["days"], july["rows"], july["folder"]) == (2, 780, str(out))
    assert project.times_materialized() == {JUNE: 1, JULY: 1}, "each month once"
    manifest = json.loads(Path(str(july["manifest"])).read_text())
    assert (manifest["options"]["label"], len(manifest["days"])) == ("end", 4)

    before = files(out)
    store_ib_day(lake, "AAPL", DAYS[3], ib_bars("AAPL", DAYS[3]).with_columns(pl.col("volume") + 1_000_000))
    assert project.materialize(of_days(JUNE, JULY)).success
    after = files(out)
    assert after["AAPL_2024-06.csv"] == before["AAPL_2024-06.csv"]
    replaced = pl.read_csv(out / "AAPL" / "AAPL_2024-07.csv").filter(pl.col("volume") > 1_000_000)
    assert replaced.height == 390

    (out / "AAPL" / "AAPL_2024-06.csv").unlink()
    assert project.materialize(of_day(JUNE)).success
    assert sorted(files(out)) == sorted(before), "a file that is gone is written again"


def test_of_a_format_with_daily_files_one_changed_day_is_one_file(project: AssetInProcess, lake: Lake) -> None:
    zips = AssetInProcess(project.folder, project.instance, LEAN)
    assert zips.materialize(of_day(JULY)).success
    folder = project.folder / "exports" / "live" / "lean"
    before = files(folder)
    assert sorted(before) == ["20240701_trade.zip", "20240702_trade.zip", "aapl.csv"]
    assert recorded(project, JULY, LEAN)["days"] == 2
    store_ib_day(lake, "AAPL", DAYS[2], ib_bars("AAPL", DAYS[2]).with_columns(pl.col("volume") + 1))
    assert zips.materialize(of_day(JULY)).success
    assert {name for name, when in files(folder).items() if when != before[name]} == {"20240701_trade.zip"}


def test_a_table_gets_its_months_one_after_another(project: AssetInProcess, lake: Lake) -> None:
    """Each month makes the table again, with the days that the others have put into it."""
    table = AssetInProcess(project.folder, project.instance, TABLE)
    for month, rows in ((JUNE, 780), (JULY, 1560)):
        assert table.materialize(of_day(month)).success
        of_table = StaticTable.from_metadata(str(project.folder / "warehouse" / "ib" / "bars_1m_AAPL"))
        assert of_table.scan().to_arrow().num_rows == rows
    assert recorded(project, JULY, TABLE)["rows"] == 780


def test_a_month_with_a_missing_day_fails_and_names_it_while_the_others_are_written(
    project: AssetInProcess, lake: Lake
) -> None:
    lake._storage.delete(f"{AAPL}/date={DAYS[2]}/data.parquet")
    ended = project.materialize(of_days(JUNE, JULY))
    assert not ended.success
    assert f"2024-07: {AAPL}: not exported, missing: {DAYS[2]}" in project.messages(ended.run_id)
    assert sorted(files(project.folder / "out")) == ["AAPL_2024-06.csv"]
    assert project.times_materialized() == {JUNE: 1}

    empty = project.materialize(of_day("2023-01-01"))
    assert "run: data-assets backfill ib/bars_1m/AAPL --from 2023-01 --to 2023-01" in project.messages(empty.run_id)


def test_a_dataset_that_no_block_defines_is_named(
    project: AssetInProcess, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions()
    monkeypatch.delitem(datasets_of_this_process, AAPL)
    assert f"no block of the project defines {AAPL}" in project.messages(project.materialize(of_day(JULY)).run_id)


def test_a_month_is_asked_for_when_its_days_change(project: AssetInProcess) -> None:
    """By Dagster's own evaluation of the condition, over the events that the runs of days leave."""

    def asked(cursor: dg.AssetDaemonCursor | None) -> tuple[set[str], dg.AssetDaemonCursor]:
        selection = dg.AssetSelection.assets(CSV)
        result = dg.evaluate_automation_conditions(
            definitions(), project.instance, asset_selection=selection, cursor=cursor
        )
        return {str(each) for each in result.get_requested_partitions(CSV)}, result.cursor

    def stored(day: date) -> None:
        project.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key=AAPL.split("/"), partition=str(day))
        )

    nothing, cursor = asked(None)
    stored(DAYS[1])
    june, cursor = asked(cursor)
    again, cursor = asked(cursor)
    stored(DAYS[1])
    stored(DAYS[2])
    both, _ = asked(cursor)
    assert (nothing, june, again, both) == (set(), {JUNE}, set(), {JUNE, JULY})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"engine": "csv", "dataset": "polygon/minute_aggs"}, "say whose bars with ticker"),
        ({"engine": "lean", "dataset": AAPL, "label": "end"}, "leave label out"),
        ({"engine": "csv", "dataset": AAPL, "zone": "Mars"}, "zone 'Mars'"),
        ({"engine": "csv", "dataset": AAPL, "name": "a/b"}, "name 'a/b'"),
        ({"engine": "csv", "dataset": AAPL, "allow": ["everything"]}, "'missing', 'failed', 'hole' or 'check'"),
    ],
)
def test_what_makes_no_sense_is_said_when_the_block_is_read(values: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ExportOf(**values).exporter()


def test_of_a_wrong_block_one_line_is_said_and_the_datasets_go_on(project: AssetInProcess, call: Call) -> None:
    block = project.folder / "defs" / "exports" / "defs.yaml"
    block.write_text(BLOCK.replace("engine: lean", "engine: csv").replace(", name: zips", ""))
    ended = call("gaps", AAPL, "--days", "1")
    assert f"export/csv/{AAPL} twice: give one a name" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "0 of 1 sessions stored" in ended.stdout
