"""A vendor's limit on requests at once: so many are served, so many wait their turn, the rest are turned away.

Here: the limit and its gauges. Not here: which limit a tier has, and what a request that is turned away is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class QueueFull(Exception):
    """As many requests are in service and waiting as there may be."""


class Admission:
    """Serves ``at_once`` requests and lets ``queue`` more wait, first come, first served.

    Attributes:
        most_in_service: the highest number of requests in service at one time.
        most_seen: the highest number in service and waiting at one time.
    """

    def __init__(self, at_once: int, queue: int) -> None:
        self.most_in_service = 0
        self.most_seen = 0
        self._at_once = at_once
        self._queue = queue
        self._places = asyncio.Semaphore(at_once)
        self._in_service = 0
        self._seen = 0

    @property
    def full(self) -> bool:
        """Whether the next request is turned away."""
        return self._seen >= self._at_once + self._queue

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Raises:
            QueueFull: there is no room to wait.
        """
        if self.full:
            raise QueueFull
        self._seen += 1
        self.most_seen = max(self.most_seen, self._seen)
        try:
            async with self._places:
                self._in_service += 1
                self.most_in_service = max(self.most_in_service, self._in_service)
                try:
                    yield
                finally:
                    self._in_service -= 1
        finally:
            self._seen -= 1
