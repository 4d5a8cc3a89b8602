"""pyiceberg: the exported table, opened by its folder. Not here: what is expected."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.compute as pc
from pyiceberg.table import StaticTable

from engines.loaders.bars_of_days import tell
from engines.loaders.other_days import unreadable_but

folder, day = Path(sys.argv[1]), sys.argv[2]
table = StaticTable.from_metadata(str(folder))
bars = table.scan().to_arrow()
of_day = table.scan(row_filter=f"date = '{day}'")
with unreadable_but(day, folder / "data"):
    rows = of_day.to_arrow().num_rows
first, last = (found(bars["timestamp"]).as_py().isoformat() for found in (pc.min, pc.max))
closes, days = pc.sum(bars["close"]).as_py(), pc.count_distinct(bars["date"]).as_py()
tell(bars.num_rows, first, last, closes, days, rows)
