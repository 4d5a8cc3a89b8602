"""Which stored days a day is compared with, for rules that need others to tell what is usual.

Here: the choice. Not here: the rules, and when a day is judged again because it has more neighbours
(`orchestration.waiting_checks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

NEAR = timedelta(days=90)
"""How far away a neighbour may be. A judgement: markets grow, so days years away do not tell what is usual, and a
quarter holds some sixty sessions, so that a lake with a gap of weeks still has neighbours."""


def neighbours(days: Iterable[date], day: date) -> list[date]:
    """Return those of ``days`` that are near, the nearest first; of two equally near the earlier; never ``day``."""
    near = (other for other in days if other != day and abs(other - day) <= NEAR)
    return sorted(near, key=lambda other: (abs(other - day), other))
