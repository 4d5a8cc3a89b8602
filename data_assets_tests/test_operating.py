"""The code of docs/operating.md does what they say."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_assets.lake.lake import Lake
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.lake.minute_days import day_bars, store_day

DAYS = [date(2024, 7, 1), date(2024, 7, 2)]


def test_pandas_duckdb_and_polars_find_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(str(tmp_path / "lake" / "sandbox"), synthetic=True)
    for day in DAYS:
        store_day(lake, day, day_bars(day, "SPY", "QQQ"))
    (code,) = re.findall(r"```python\n(.*?)```", (SOURCES / "docs" / "operating.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)

    found: dict[str, Any] = {}
    exec(code, found)  # as a reader of the page does

    volumes = [
        sorted(found["polars"]["volume"].to_list()),
        sorted(found["duck"]["volume"].to_list()),
        sorted(found["pandas"]["volume"].tolist()),
    ]
    stored = sorted(volume for day in DAYS for volume in day_bars(day, "SPY")["volume"].to_list())
    assert volumes == [stored, stored, stored]
