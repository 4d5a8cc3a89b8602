"""What the processes that use one vendor account remember together, such as when it was last asked.

On one machine that is a file (`state_file`). Where the run history lies in a database, runs of several machines use the
account, and it lies there. A vendor's client is handed one and does not know which.

Here: the interface, and where a run finds its own. Not here: what is remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

DAMAGED = object()
"""Stands for a value that was remembered and cannot be read."""


class SharedState(Protocol):
    """One value, of what JSON knows."""

    @property
    def name(self) -> str:
        """What messages call it."""

    async def change(self, how: Callable[[Any, float], tuple[Any, T]]) -> T:
        """Replace the value, while nobody else reads or replaces it.

        Args:
            how: takes the value (None where there is none yet, `DAMAGED` where it cannot be read) and the seconds since
                1970, by the one clock of all who share it; returns the new value, and what this returns. It may not
                wait for anything.

        Raises:
            RunEnded: it cannot be read or written; the text says what to do.
        """


shared_states: ContextVar[Callable[[str], SharedState] | None] = ContextVar("shared_states", default=None)
"""Gives the shared state of a name; set around all that may ask a vendor. None where there is no run history."""
