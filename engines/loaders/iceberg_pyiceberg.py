"""pyiceberg: the exported table, opened by its folder. Not here: what is expected."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.compute as pc
from pyiceberg.table import StaticTable

from engines.loaders.other_days import unreadable_but

folder, day = Path(sys.argv[1]), sys.argv[2]
table = StaticTable.from_metadata(str(folder))
bars = table.scan().to_arrow()
of_day = table.scan(row_filter=f"date = '{day}'")
with unreadable_but(day, folder / "data"):
    rows = of_day.to_arrow().num_rows
print(
    json.dumps(
        {
            "rows": bars.num_rows,
            "first": pc.min(bars["timestamp"]).as_py().isoformat(),
            "last": pc.max(bars["timestamp"]).as_py().isoformat(),
            "sum of closes": round(pc.sum(bars["close"]).as_py(), 4),
            "days": pc.count_distinct(bars["date"]).as_py(),
            "bars of a day, the other days unreadable": rows,
        }
    )
)
