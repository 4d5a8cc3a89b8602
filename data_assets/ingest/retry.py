"""How many attempts a day gets, and how long the pauses between them are.

Here: the budgets and the pauses, by class of error. Not here: making the attempts (`engine`), and which vendor status
belongs to which class (`vendors`).

A pause is drawn at random below a ceiling that doubles (exponential backoff with full jitter), so that days that failed
together do not come back together. After a refusal for asking too much, the pause is longer and at least half its
ceiling, because jitter down to zero would repeat the refused request at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from data_assets.ingest.outcome import Throttled, Transient


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a run is with one day.

    Attributes:
        attempts: attempts at a day that may fail, including the first.
        throttled_attempts: refusals for asking too much (HTTP 429 and its like). They have a budget of their own,
            because such a refusal concerns the run and not the day.
        base_seconds: ceiling of the pause after the first failure; each further failure doubles it.
        throttled_base_seconds: the same for refusals.
        cap_seconds: no pause is longer.
        outage_seconds: how long a vendor may be down before the run gives up.
    """

    attempts: int = 4
    throttled_attempts: int = 10
    base_seconds: float = 1.0
    throttled_base_seconds: float = 5.0
    cap_seconds: float = 60.0
    outage_seconds: float = 900.0


class RetryBudget:
    """Counts the failed attempts at one day, and says how long to wait before the next."""

    def __init__(self, policy: RetryPolicy, rng: Random) -> None:
        self._policy = policy
        self._rng = rng
        self._failed = 0
        self._throttled = 0

    def pause_after(self, error: Transient) -> float | None:
        """Count an attempt that ended with `error`.

        Returns:
            Seconds to wait before the next attempt, or None if the attempts of this kind are used up.
        """
        if isinstance(error, Throttled):
            self._throttled += 1
            if self._throttled >= self._policy.throttled_attempts:
                return None
            ceiling = self._ceiling(self._policy.throttled_base_seconds, self._throttled)
            return self._rng.uniform(ceiling / 2, ceiling)
        self._failed += 1
        if self._failed >= self._policy.attempts:
            return None
        return self._rng.uniform(0, self._ceiling(self._policy.base_seconds, self._failed))

    def _ceiling(self, base: float, count: int) -> float:
        return min(self._policy.cap_seconds, base * 2.0 ** (count - 1))

    def spent(self) -> str:
        """Say in words what was used up: `gave up after 4 failed attempts`."""
        kinds = ((self._failed, "failed attempt", "failed attempts"), (self._throttled, "refusal", "refusals"))
        return "gave up after " + " and ".join(f"{n} {one if n == 1 else many}" for n, one, many in kinds if n)
