"""Work on files in a thread that a cancellation waits for, while the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], undo: Callable[[T], object] = lambda _: None) -> T:
    """Do work in a thread. A cancellation waits for its end, so that no file appears after the cancellation.

    Args:
        work: what to do.
        undo: what to do with its result if the task was cancelled meanwhile.
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
