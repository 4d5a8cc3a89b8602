"""What a vendor offers of a dataset, and how far back the account's plan reaches.

Here: the value, and finding the first day of a plan. Not here: what a vendor is asked (each component), and showing it
(the command).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date

from data_assets.ingest.outcome import DayEnded, NotEntitled


@dataclass(frozen=True)
class Offer:
    """What a vendor says of a dataset.

    Attributes:
        first_day: the first day of which it has data, whatever the plan; None if it does not say.
        account: what it, or what it answers, says of the account, in a few words.
        unit: what a day is made of: contract, or ticker.
        names: of the day that was asked about, in order; empty if the plan does not include the list.
    """

    first_day: date | None
    account: str
    unit: str
    names: tuple[str, ...]


async def first_day_of_plan(days: Sequence[date], ask: Callable[[date], Awaitable[object]]) -> date | None:
    """Find the oldest of some days that the plan includes, by asking for a dozen of them.

    A plan includes all days from one on: no vendor sells others.

    Args:
        days: sessions of which the vendor has data, oldest first; not empty.
        ask: asks for a day; raises as a download does.

    Returns:
        The day; None if the plan does not include the newest either.

    Raises:
        IngestError: the vendor did not answer, or otherwise than about the plan.
    """

    async def included(day: date) -> bool:
        try:
            await ask(day)
        except DayEnded as ended:
            return not isinstance(ended.outcome, NotEntitled)
        return True

    if await included(days[0]):
        return days[0]
    if not await included(days[-1]):
        return None
    low, high = 0, len(days) - 1  # days[low] is not included, days[high] is
    while high - low > 1:
        middle = (low + high) // 2
        if await included(days[middle]):
            high = middle
        else:
            low = middle
    return days[high]
