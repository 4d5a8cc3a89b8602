"""What a day of a dataset costs: requests, rows, bytes and time.

Here: the value. Not here: the numbers of a vendor (each component), and those of days that are stored
(``backfill_cost``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DayCost:
    """What one more day adds to a backfill of many.

    Attributes:
        requests: for its data; lists, which many days may share, are not counted.
        rows: in its file.
        received: bytes that the vendor sends.
        stored: bytes of its file.
        seconds: by which the backfill takes longer, at the rate that vendor and settings allow, with as many days in
            flight as usual.
    """

    requests: float
    rows: float
    received: float
    stored: float
    seconds: float
