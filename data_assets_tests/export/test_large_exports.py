"""What an export of thousands of days costs beside the days themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from data_assets.export.days import Fault, FoundDay
from data_assets.export.exporting import export
from data_assets.export.folder import ExportFolder
from data_assets.export.lean import LeanQuotes
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import sessions

QQQ = "theta/option_quotes/QQQ"
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
