"""What a loader that reads bars by day prints for `engines`. Not here: reading them, and what is expected."""

from __future__ import annotations

import json


def tell(rows: int, first: str, last: str, closes: float, days: int, of_day: int) -> None:
    """Print what was found.

    Args:
        rows: bars of all days.
        first: the earliest timestamp, ISO 8601 in UTC.
        last: the latest.
        closes: the sum of all closes.
        days: how many days there are.
        of_day: bars of one day while no other day's file could be read.
    """
    print(
        json.dumps(
            {
                "rows": rows,
                "first": first,
                "last": last,
                "sum of closes": round(closes, 4),
                "days": days,
                "bars of a day, the other days unreadable": of_day,
            }
        )
    )
