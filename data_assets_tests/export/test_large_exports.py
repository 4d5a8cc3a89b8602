"""What an export of thousands of days costs beside the days themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from data_assets.export.days import Fault, FoundDay
from data_assets.export.exporting import export
from data_assets.export.folder import BEING_WRITTEN, ExportFolder, ExportRefused
from data_assets.export.lean import LeanQuotes, quote_zip
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import sessions
from data_assets_tests.export.test_lean import at, quote, store_quotes

QQQ, SPX = "theta/option_quotes/QQQ", "theta/option_quotes/SPX"
DAYS = sessions(date(2023, 1, 3), date(2023, 10, 31))


def missing(days: Sequence[date]) -> list[FoundDay]:
    return [FoundDay(day, "missing", has_file=False) for day in days]


def test_the_manifest_is_not_written_again_after_each_day(tmp_path: Path) -> None:
    """It names all days, so the time of an export would grow with their square."""
    lake, written = Lake(str(tmp_path / "lake"), synthetic=True), set()
    folder = ExportFolder(tmp_path / "exports", lake)
    path = folder.manifest_path("lean", QQQ, None)

    def look(_done: int, _of: int) -> None:
        written.add((path.stat().st_ino, path.stat().st_mtime_ns))

    manifest = export(LeanQuotes(QQQ), lake, DAYS, missing, folder, allow={Fault.MISSING}, progress=look)
    assert len(DAYS) > 200
    assert len(written) < len(DAYS) / 3
    assert len(manifest.days) == len(DAYS)
    assert folder.manifest("lean", QQQ, None) == manifest


def test_what_was_written_before_a_failure_is_in_the_manifest(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    folder = ExportFolder(tmp_path / "exports", lake)

    def end(done: int, of: int) -> None:
        if done == of - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(LeanQuotes(QQQ), lake, DAYS[:100], missing, folder, allow={Fault.MISSING}, progress=end)
    manifest = folder.manifest("lean", QQQ, None)
    assert manifest is not None
    assert [each.day for each in manifest.days] == [day.isoformat() for day in DAYS[:99]]


NEW = sessions(date(2024, 7, 1), date(2024, 7, 3))


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Lake, ExportFolder]:
    """A lake with three new days of two roots, and an export of so many others that these are a small part of them."""
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    for day in NEW:
        rows = (quote(at(9, 31, day), 1.0, 1.1, root=root, strike=5500.0) for root in ("SPX", "SPXW"))
        store_quotes(lake, SPX, *rows, day=day)
    folder = ExportFolder(tmp_path / "exports", lake)
    export(LeanQuotes(SPX), lake, DAYS[:100], missing, folder, allow={Fault.MISSING})
    return lake, folder


def of_lean(lake: Lake, folder: ExportFolder, days: Sequence[date]) -> int:
    def stored(days: Sequence[date]) -> list[FoundDay]:
        return [FoundDay(day, "stored", has_file=True) for day in days]

    return sum(each.rows for each in export(LeanQuotes(SPX), lake, days, stored, folder).days)


def test_what_a_failure_leaves_of_a_day_is_still_the_exports_own(begun: tuple[Lake, ExportFolder]) -> None:
    lake, folder = begun
    persons = folder.path / quote_zip("SPXW", NEW[1])
    persons.parent.mkdir(parents=True)
    persons.write_text("mine")
    with pytest.raises(ExportRefused, match=f"{persons.name} is no export's, and is left as it is"):
        of_lean(lake, folder, NEW)
    assert (folder.path / quote_zip("SPX", NEW[1])).exists()
    persons.unlink()
    assert of_lean(lake, folder, NEW) == 2 * len(NEW)
    assert not (folder.path / "_manifests" / BEING_WRITTEN).exists()


def test_what_a_killed_writer_left_is_still_the_exports_own_after_other_days(
    begun: tuple[Lake, ExportFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, folder = begun

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(ExportFolder, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            of_lean(lake, folder, NEW)
    assert of_lean(lake, folder, NEW[:1]) == 2
    assert of_lean(lake, folder, NEW) == 2 * len(NEW)
    assert not (folder.path / "_manifests" / BEING_WRITTEN).exists()


def test_a_file_is_claimed_on_the_disk_before_it_is_there(
    begun: tuple[Lake, ExportFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file whose claim a power cut took, the next export would say that it is somebody else's."""
    lake, folder = begun
    journal = folder.path / "_manifests" / BEING_WRITTEN
    claimed: set[str] = set()
    sync, replaced = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        if journal.exists() and os.path.samestat(os.fstat(descriptor), journal.stat()):
            claimed.update(line.split("\t")[1] for line in journal.read_text().splitlines())

    unclaimed: list[str] = []

    def replace(temp: Path, target: Path) -> Path:
        if target.suffix == ".zip" and str(target.relative_to(folder.path)) not in claimed:
            unclaimed.append(target.name)
        return replaced(temp, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    assert of_lean(lake, folder, NEW[:1]) == 2
    assert unclaimed == []
    assert len(claimed) == 2
