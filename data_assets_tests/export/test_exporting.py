"""One export from the days asked for to its manifest: refusals, files replaced as a whole, and what is recorded."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from data_assets.export.csv import csv_months
from data_assets.export.days import DaysRefused, Fault, FoundDay
from data_assets.export.exporting import export
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.frame import BarShape, bar_frame
from data_assets.export.manifest import Manifest, ManifestUnreadable, from_json
from data_assets.export.months import frame_months
from data_assets.files import locks, tempfiles
from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.lake import Lake
from data_assets_tests.lake.minute_days import day_bars, ib_bars, store_day, store_ib_day
from data_assets_tests.permissions import closed

DAYS = [date(2024, 6, 28), date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 3)]
AAPL = f"{IB_BARS}/AAPL"
Look = Callable[[Sequence[date]], list[FoundDay]]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    for day in DAYS:
        store_ib_day(lake, "AAPL", day)
    return lake


@pytest.fixture
def folder(lake: Lake, tmp_path: Path) -> ExportFolder:
    return ExportFolder(tmp_path / "out", lake)


def stored(lake: Lake, dataset: str = AAPL, **others: FoundDay) -> Look:
    """What is known of days: those in the lake are stored, but for `others`."""

    def look(days: Sequence[date]) -> list[FoundDay]:
        held = set(lake.held_days(dataset))
        usual = {day: FoundDay(day, "stored" if day in held else "missing", day in held) for day in days}
        usual |= {each.day: each for each in others.values() if each.day in usual}
        return [usual[day] for day in days]

    return look


def export_csv(
    lake: Lake, folder: ExportFolder, days: Sequence[date], look: Look | None = None, **more: object
) -> Manifest:
    return export(csv_months(AAPL, "AAPL", BarShape()), lake, days, look or stored(lake), folder, **more)


def test_a_file_for_each_month_with_the_lakes_own_numbers(lake: Lake, folder: ExportFolder) -> None:
    manifest = export_csv(lake, folder, DAYS)

    files = sorted(path.name for path in (folder.path / "AAPL").iterdir())
    assert files == ["AAPL_2024-06.csv", "AAPL_2024-07.csv"]
    with (folder.path / "AAPL/AAPL_2024-07.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 390 + 390 + 210
    assert list(rows[0]) == ["ticker", "timestamp", "open", "high", "low", "close", "volume", "trades", "vwap"]
    assert (rows[0]["ticker"], rows[0]["timestamp"]) == ("AAPL", "2024-07-01T09:30:00-04:00")
    read = bar_frame(lake, "AAPL", DAYS[1], DAYS[3], dataset=IB_BARS)
    for name in ("open", "high", "low", "close", "volume", "vwap"):
        assert [float(row[name]) for row in rows] == read[name].to_list(), "to the last digit"
    assert [each.rows for each in manifest.days] == [390, 390, 390, 210]
    assert manifest.days[1].files == ("AAPL/AAPL_2024-07.csv",)


def test_pandas_and_polars_read_a_folder_of_frames_as_one(lake: Lake, folder: ExportFolder) -> None:
    export(frame_months(AAPL, "AAPL", BarShape(label="end")), lake, DAYS, stored(lake), folder)
    whole = bar_frame(lake, "AAPL", DAYS[0], DAYS[-1], BarShape(label="end"), dataset=IB_BARS)
    assert pl.read_parquet(folder.path / "AAPL" / "*.parquet").drop("ticker").equals(whole)
    read = pd.read_parquet(folder.path / "AAPL")
    assert str(read["timestamp"].dt.tz) == "America/New_York"
    assert read["close"].tolist() == whole["close"].to_list()


def test_a_few_days_more_keep_those_that_the_month_had(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS[:3])
    manifest = export_csv(lake, folder, DAYS[3:])
    assert [each.day for each in manifest.days] == [day.isoformat() for day in DAYS]
    text = (folder.path / "AAPL/AAPL_2024-07.csv").read_text()
    assert all(f"{day}T" in text for day in DAYS[1:])


def test_a_day_that_was_fetched_again_is_replaced_and_its_revision_says_so(lake: Lake, folder: ExportFolder) -> None:
    before = export_csv(lake, folder, DAYS)
    store_ib_day(lake, "AAPL", DAYS[2], ib_bars("AAPL", DAYS[2]).with_columns(pl.col("volume") + 1_000_000))
    after = export_csv(lake, folder, DAYS[2:3])
    changed = [a.day for a, b in zip(after.days, before.days, strict=True) if a.revision != b.revision]
    assert changed == [DAYS[2].isoformat()]
    rows = pl.read_csv(folder.path / "AAPL/AAPL_2024-07.csv").filter(pl.col("volume") > 1_000_000)
    assert rows.height == 390


def test_the_manifest_says_what_it_takes_to_know_the_days_again(lake: Lake, folder: ExportFolder) -> None:
    manifest = export_csv(lake, folder, DAYS)
    path = folder.path / "_manifests" / "csv__ib.bars_1m.AAPL__AAPL.json"
    said = json.loads(path.read_text())
    assert (said["engine"], said["dataset"], said["ticker"], said["synthetic"]) == ("csv", AAPL, "AAPL", True)
    assert said["options"] == {
        "label": "start",
        "zone": "America/New_York",
        "hours": "regular",
        "every": "1m",
        "grid": False,
        "fill": False,
    }
    assert "adjusted for splits" in said["notes"][0]
    assert len({each["revision"] for each in said["days"]}) == len(DAYS)
    assert from_json(path.read_bytes()) == manifest


def test_days_that_cannot_be_trusted_stop_it_before_anything_is_written(lake: Lake, folder: ExportFolder) -> None:
    missing = date(2024, 7, 5)
    look = stored(
        lake,
        failed=FoundDay(DAYS[1], "failed", has_file=True),
        red=FoundDay(DAYS[2], "stored", has_file=True, red=("ohlc", "timestamps"), warned=("volume",)),
        hole=FoundDay(DAYS[3], "hole", has_file=False),
    )
    with pytest.raises(DaysRefused) as refused:
        export_csv(lake, folder, [*DAYS, missing], look)
    assert str(refused.value) == (
        f"{AAPL}: not exported, failed: 2024-07-01; red on a check: 2024-07-02 (ohlc, timestamps); hole: 2024-07-03; "
        f"missing: 2024-07-05; tolerate them with --allow failed --allow check --allow hole --allow missing, "
        f"leave them out with --to 2024-06-28, "
        f"or fetch them with: data-assets backfill {AAPL} --from 2024-07-01 --to 2024-07-05 --only all"
    )
    assert not folder.path.exists()

    with pytest.raises(DaysRefused, match=r"not exported, missing: 2024-07-05; .*--to 2024-07-05$"):
        export_csv(lake, folder, [*DAYS, missing], look, allow=[Fault.FAILED, Fault.CHECK, Fault.HOLE])


def test_what_is_allowed_is_exported_as_far_as_it_is_there_and_recorded(lake: Lake, folder: ExportFolder) -> None:
    look = stored(
        lake,
        failed=FoundDay(DAYS[1], "failed", has_file=True),
        red=FoundDay(DAYS[2], "stored", has_file=True, red=("ohlc",), warned=("volume",)),
        hole=FoundDay(DAYS[3], "hole", has_file=False),
    )
    manifest = export_csv(lake, folder, DAYS, look, allow=[*Fault])
    assert [(each.state, each.rows, each.allowed, each.red) for each in manifest.days] == [
        ("stored", 390, (), ()),
        ("failed", 390, ("failed",), ()),
        ("stored", 390, ("check",), ("ohlc",)),
        ("hole", 0, ("hole",), ()),
    ]
    assert (manifest.days[3].revision, manifest.days[3].files) == (None, ())
    again = export_csv(lake, folder, DAYS[1:2], look, allow=[Fault.FAILED])
    assert again.days[2].allowed == ("check",), "it was allowed when it was asked for"


def test_a_day_that_is_gone_leaves_the_export(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS)
    look = stored(lake, gone=FoundDay(DAYS[0], "hole", has_file=False))
    manifest = export_csv(lake, folder, DAYS[:1], look, allow=[Fault.HOLE])
    assert manifest.days[0].rows == 0
    assert not (folder.path / "AAPL/AAPL_2024-06.csv").exists()


def test_a_day_that_was_not_asked_to_keep_the_ticker_is_missing(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    store_day(lake, DAYS[1], day_bars(DAYS[1], "SPY"), wanted=["SPY"])
    store_day(lake, DAYS[2], day_bars(DAYS[2], "AAPL", "SPY"), wanted=["AAPL", "SPY"])
    folder = ExportFolder(tmp_path / "out", lake)
    exporter = csv_months(POLYGON_BARS, "AAPL", BarShape())
    look = stored(lake, POLYGON_BARS)
    with pytest.raises(DaysRefused, match=r"missing: 2024-07-01 \(stored without the ticker\)"):
        export(exporter, lake, DAYS[1:3], look, folder)
    manifest = export(exporter, lake, DAYS[1:3], look, folder, allow=[Fault.MISSING])
    assert [(each.rows, each.state) for each in manifest.days] == [(0, "lacking"), (390, "stored")]


def test_another_form_is_not_mixed_into_a_folder(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS)
    with pytest.raises(ExportRefused, match=r"with label start: ask for the same, or name another folder"):
        export(csv_months(AAPL, "AAPL", BarShape(label="end")), lake, DAYS, stored(lake), folder)


def test_another_vendors_bars_of_a_ticker_do_not_take_the_place_of_those_there(
    lake: Lake, folder: ExportFolder
) -> None:
    export_csv(lake, folder, DAYS[1:2])
    file = folder.path / "AAPL/AAPL_2024-07.csv"
    before = file.read_bytes()
    store_day(lake, DAYS[2], day_bars(DAYS[2], "AAPL"), wanted=["AAPL"])
    polygons = csv_months(POLYGON_BARS, "AAPL", BarShape())
    with pytest.raises(ExportRefused, match=r"holds AAPL from ib/bars_1m/AAPL, .*: name another folder with --into"):
        export(polygons, lake, DAYS[2:3], stored(lake, POLYGON_BARS), folder)
    assert file.read_bytes() == before
    export(frame_months(POLYGON_BARS, "AAPL", BarShape()), lake, DAYS[2:3], stored(lake, POLYGON_BARS), folder)


def test_what_was_allowed_of_one_day_is_not_allowed_of_another_of_its_month(lake: Lake, folder: ExportFolder) -> None:
    red = {"red": FoundDay(DAYS[1], "stored", has_file=True, red=("ohlc",))}
    export_csv(lake, folder, DAYS[1:2], stored(lake, **red), allow=[Fault.CHECK])
    export_csv(lake, folder, DAYS[2:3], stored(lake, **red))
    red["since"] = FoundDay(DAYS[2], "stored", has_file=True, red=("ohlc",))
    with pytest.raises(DaysRefused, match="red on a check: 2024-07-02 "):
        export_csv(lake, folder, DAYS[3:], stored(lake, **red))
    manifest = export_csv(lake, folder, DAYS[3:], stored(lake, **red), allow=[Fault.CHECK])
    assert [each.allowed for each in manifest.days] == [("check",), ("check",), ()]


def test_real_and_synthetic_data_never_share_a_folder(lake: Lake, folder: ExportFolder, tmp_path: Path) -> None:
    export_csv(lake, folder, DAYS)
    real = Lake(str(tmp_path / "real"), synthetic=False)
    store_ib_day(real, "AAPL", DAYS[1])
    with pytest.raises(ExportRefused, match="holds synthetic data, and real data never goes beside it"):
        export_csv(real, ExportFolder(folder.path, real), DAYS[1:2])


def test_an_export_never_lies_in_the_lake(lake: Lake) -> None:
    with pytest.raises(ExportRefused, match="lies in the lake"):
        ExportFolder(Path(lake.url) / "ib" / "out", lake)


def test_an_export_never_lies_around_the_lake_whose_files_it_would_go_through(lake: Lake) -> None:
    with pytest.raises(ExportRefused, match=r"the lake .* lies in .*: name a folder that is for exports alone"):
        ExportFolder(Path(lake.url).parent, lake)


def test_a_folder_that_cannot_be_made_is_told(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportRefused, match=r"file/out: cannot be made \(.*\): name another with --into"):
        export_csv(lake, ExportFolder(tmp_path / "file" / "out", lake), DAYS)


def test_a_folder_that_a_refused_export_takes_away_is_made_again_by_who_waited_for_it(
    lake: Lake, folder: ExportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_away: list[Path] = []
    wait_for = locks.wait_for

    def once_the_other_is_done(descriptor: int) -> None:
        if not taken_away:
            taken_away.append(folder.path)
            folder.path.rmdir()
        wait_for(descriptor)

    monkeypatch.setattr(locks, "wait_for", once_the_other_is_done)
    assert export_csv(lake, folder, DAYS[:1]).days[0].rows == 390
    assert taken_away
    assert (folder.path / "AAPL/AAPL_2024-06.csv").exists()


@pytest.mark.parametrize(("before", "taken"), [("mkdir", "."), ("open", "out")])
def test_a_folder_that_is_taken_away_before_it_is_held_is_made_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, taken: str
) -> None:
    folder = ExportFolder(tmp_path / "exports" / "out", lake)
    call = getattr(os, before)
    taken_away: list[Path] = []

    def once_the_other_is_refused(path: object, *more: object, **named: object) -> object:
        if not taken_away and path == folder.path:
            taken_away.append(tmp_path / "exports" / taken)
            taken_away[0].rmdir()
        return call(path, *more, **named)

    monkeypatch.setattr(os, before, once_the_other_is_refused)
    assert export_csv(lake, folder, DAYS[:1]).days[0].rows == 390
    assert taken_away
    assert (folder.path / "AAPL/AAPL_2024-06.csv").exists()


def test_a_persons_own_file_of_the_same_name_stays(lake: Lake, folder: ExportFolder) -> None:
    own = folder.path / "AAPL/AAPL_2024-07.csv"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(ExportRefused, match=r"AAPL_2024-07.csv is no export's, and is left as it is: move it away"):
        export_csv(lake, folder, DAYS)
    assert own.read_text() == "mine"
    look = stored(lake, gone=FoundDay(DAYS[1], "hole", has_file=False))
    export_csv(lake, folder, DAYS[1:2], look, allow=[Fault.HOLE])
    assert own.read_text() == "mine", "nor is it removed where nothing is written"
    own.unlink()
    export_csv(lake, folder, DAYS)
    assert export_csv(lake, folder, DAYS).days[-1].files == ("AAPL/AAPL_2024-07.csv",)


def test_a_file_of_another_export_stays(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS)
    before = (folder.path / "AAPL/AAPL_2024-07.csv").read_bytes()
    other = replace(csv_months(AAPL, "AAPL", BarShape()), engine="other")
    with pytest.raises(ExportRefused, match=r"is of another export \(csv__ib.bars_1m.AAPL__AAPL.json\)"):
        export(other, lake, DAYS, stored(lake), folder)
    assert (folder.path / "AAPL/AAPL_2024-07.csv").read_bytes() == before


def test_what_a_killed_export_wrote_is_still_its_own(
    lake: Lake, folder: ExportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(ExportFolder, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            export_csv(lake, folder, DAYS)
    assert (folder.path / "AAPL/AAPL_2024-06.csv").exists()
    again = ExportFolder(folder.path, lake)
    store_ib_day(lake, "MSFT", DAYS[1])
    msft = f"{IB_BARS}/MSFT"
    export(csv_months(msft, "MSFT", BarShape()), lake, DAYS[1:2], stored(lake, msft), again)
    assert [each.rows for each in export_csv(lake, again, DAYS).days] == [390, 390, 390, 210]
    assert sorted(path.suffix for path in (folder.path / "_manifests").iterdir()) == [".json", ".json"]


def test_an_export_as_of_a_snapshot_has_the_rows_of_then_and_no_others(lake: Lake, folder: ExportFolder) -> None:
    snapshot = lake.take_snapshot("study", {AAPL: DAYS})
    store_ib_day(lake, "AAPL", DAYS[2], ib_bars("AAPL", DAYS[2]).with_columns(pl.col("volume") + 1_000_000))
    then = Lake(lake.url, synthetic=True, as_of=snapshot)
    manifest = export_csv(then, folder, DAYS)
    assert manifest.options["snapshot"] == snapshot.id
    assert pl.read_csv(folder.path / "AAPL/AAPL_2024-07.csv")["volume"].max() < 1_000_000
    with pytest.raises(ExportRefused, match=f"with snapshot {snapshot.id}: ask for the same"):
        export_csv(lake, folder, DAYS)
    red = stored(then, red=FoundDay(DAYS[2], "stored", has_file=True, red=("ohlc",)))
    with pytest.raises(DaysRefused, match=r"--allow check, or export without the snapshot study, which has them as"):
        export_csv(then, folder, DAYS, red)


def test_a_file_that_could_not_be_written_leaves_the_one_before(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS)
    file = folder.path / "AAPL/AAPL_2024-07.csv"
    before = file.read_bytes()

    def breaks(_rows: pl.DataFrame, out: object) -> None:
        out.write(b"half of it")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    broken = replace(csv_months(AAPL, "AAPL", BarShape()), write_rows=breaks)
    with pytest.raises(ExportRefused, match=r"AAPL_2024-0\d.csv: cannot be written \(No space left on device\)"):
        export(broken, lake, DAYS, stored(lake), folder)
    assert file.read_bytes() == before
    assert list(tempfiles.find(folder.path)) == []


@pytest.mark.parametrize("place", [".", "_manifests"])
def test_a_folder_that_takes_nothing_is_told(lake: Lake, folder: ExportFolder, place: str) -> None:
    (folder.path / place).mkdir(parents=True)
    with closed(folder.path / place, mode=0o555), pytest.raises(ExportRefused) as refused:
        export_csv(lake, folder, DAYS)
    assert re.search(r"cannot be read or written \(Permission denied\): see to room and", str(refused.value))


def test_a_file_that_cannot_be_removed_is_told(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS)
    gone = stored(lake, gone=FoundDay(DAYS[1], "hole", has_file=False))
    with closed(folder.path / "AAPL", mode=0o555), pytest.raises(ExportRefused, match=r"AAPL_2024-07.csv: cannot be"):
        export_csv(lake, folder, DAYS[1:2], gone, allow=[Fault.HOLE])


def test_a_damaged_manifest_is_named_with_what_to_do(lake: Lake, folder: ExportFolder) -> None:
    export_csv(lake, folder, DAYS)
    path = folder.manifest_path("csv", AAPL, "AAPL")
    path.write_text("{")
    with pytest.raises(ManifestUnreadable, match=f"AAPL.json is no manifest of an export: move {folder.path} away, or"):
        export_csv(lake, folder, DAYS)
    folder.path.rename(folder.path.with_name("damaged"))
    assert len(export_csv(lake, folder, DAYS).days) == len(DAYS)
