"""pandas: a folder of frames as one. Not here: what is expected."""

from __future__ import annotations

import json
import sys

import pandas as pd

bars = pd.read_parquet(sys.argv[1])
times = bars["timestamp"]
print(
    json.dumps(
        {
            "rows": len(bars),
            "first": times.iloc[0].isoformat(),
            "last": times.iloc[-1].isoformat(),
            "zone": str(times.dt.tz),
            "sum of closes": round(float(bars["close"].sum()), 4),
            "bars of the first day": int((times.dt.date == times.iloc[0].date()).sum()),
        }
    )
)
