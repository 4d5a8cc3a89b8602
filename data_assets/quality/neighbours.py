"""Which stored days a day is compared with, where a rule needs others to say what is usual.

Here: the choice. Not here: the rules, and when a day is judged again because it has more neighbours (`ingest`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

NEAR = timedelta(days=90)
"""How far a neighbour may be: markets grow, and what was usual years before or after says nothing. A judgement: a
quarter holds some sixty sessions, so that a lake with a gap of weeks still has neighbours."""


def neighbours(days: Iterable[date], day: date) -> list[date]:
    """Those of ``days`` that are near, the nearest first, the earlier one of two; never ``day`` itself."""
    near = (other for other in days if other != day and abs(other - day) <= NEAR)
    return sorted(near, key=lambda other: (abs(other - day), other))
