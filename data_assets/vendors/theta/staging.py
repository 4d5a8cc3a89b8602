"""Work on a day's files in threads, and the staged day that comes of it.

Here: threads that a cancellation waits for, and publishing. Not here: what is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import Scalar, Stored
from data_assets.lake.errors import LakeError
from data_assets.lake.unfinished import UnfinishedDay
from data_assets.lake.writer import StagedFile

T = TypeVar("T")


async def in_thread(work: Callable[[], T], undo: Callable[[T], object] = lambda _: None) -> T:
    """Do work in a thread; a cancellation, and each further one, waits for its end, so that no file appears after it.

    Args:
        work: what to do.
        undo: what to do with its result if nobody waits for it any more.
    """
    at_work = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(at_work)
    except asyncio.CancelledError:
        while not at_work.done():  # who awaits a task and is cancelled cancels it too, and so may its owner
            with suppress(asyncio.CancelledError):
                await asyncio.wait([at_work])
        if at_work.exception() is None:
            undo(at_work.result())
        raise


class StagedOptions:
    """A day on disk under a temporary name; implements ``ingest.source.StagedDay``."""

    def __init__(self, staged: StagedFile, metadata: dict[str, Scalar], unfinished: UnfinishedDay) -> None:
        """Hold a staged day.

        Args:
            staged: its file.
            metadata: for its materialization.
            unfinished: what was kept of it meanwhile, of no use once it is published.
        """
        self._staged = staged
        self._metadata = metadata
        self._unfinished = unfinished

    def publish(self) -> Stored:
        """See ``StagedDay``."""
        try:
            stored = self._staged.publish()
        except LakeError as error:
            raise ending_of(error) from error
        self._unfinished.clear()
        return Stored(stored.path, stored.rows, stored.size, stored.sha256, self._metadata)

    def discard(self) -> None:
        """See ``StagedDay``."""
        self._staged.discard()
