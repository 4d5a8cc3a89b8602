"""What is said of a stored day's file that is looked at again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import DayFiles, Recorded
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store


def test_rows_are_counted_where_they_were_recorded(tmp_path: Path) -> None:
    lake, files = Lake(str(tmp_path), synthetic=True), DayFiles(DATASET)
    whole = "as recorded: sha256, page checksums, schema"
    for minutes, counted in ((1, "8 rows"), (200, "1,600 rows")):
        file = store(lake, quotes(expirations=1, minutes=minutes))
        for rows, said in ((file.rows, f"{whole}, {counted}"), (None, whole)):
            assert files.verify(lake, DAY, Recorded(file.sha256, rows, datetime.now(UTC))).said == said

    recorded = Recorded(file.sha256, file.rows, datetime(2024, 1, 4, tzinfo=UTC))
    store(lake, quotes(expirations=1, minutes=1).head(1))
    assert files.verify(lake, DAY, recorded).said.startswith("its 1 row is whole by the file's own seal, and newer")
