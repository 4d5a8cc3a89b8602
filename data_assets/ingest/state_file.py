"""Small JSON files that processes share and that outlive them.

Here: one writer at a time, and a file that is whole whatever happens to its writer. Not here: what is remembered, and
where several machines share it (`shared_state`).

The lock is a file beside it, because replacing a file also replaces what a lock would be held on. Nothing is synced to
disk: after a power failure the file may be empty, and whoever reads it has to cope with a damaged one anyway.
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from data_assets.files import locks
from data_assets.ingest.outcome import RunEnded
from data_assets.ingest.shared_state import DAMAGED, T
from data_assets.lake.disk_room import shortage
from data_assets.lake.errors import NO_SPACE

LOOK_AGAIN_SECONDS = 0.02

Sleep = Callable[[float], Awaitable[object]]


class Damaged(ValueError):
    """The file is there, and holds no JSON."""


class StateFile:
    """One file and its lock; implements ``shared_state.SharedState`` for the processes of one machine.

    Attributes:
        path: the file; its folder is made when it is first used.
    """

    def __init__(self, path: Path, sleep: Sleep = asyncio.sleep, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._sleep = sleep
        self._clock = clock

    @property
    def name(self) -> str:
        """See ``SharedState``."""
        return str(self.path)

    async def change(self, how: Callable[[Any, float], tuple[Any, T]]) -> T:
        """See ``SharedState``; the clock is this machine's.

        Raises:
            RunEnded: the file, its folder or its lock cannot be used.
        """
        async with self.locked():
            try:
                found = self.read()
            except Damaged:
                found = DAMAGED
            value, said = how(found, self._clock())
            self.write(value)
            return said

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Keep every other process, and every other object of this one, from the file while the context lasts.

        Raises:
            RunEnded: the folder or the lock cannot be made.
        """
        lock = self._open_lock()
        with lock:
            while not locks.take(lock):
                await self._sleep(
                    LOOK_AGAIN_SECONDS
                )  # no blocking lock: its holder may be stopped, and the loop goes on
            yield

    def read(self) -> Any:
        """What the file holds; None where there is none.

        Raises:
            Damaged: it is no JSON.
            RunEnded: it cannot be read.
        """
        try:
            return json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise Damaged(str(error)) from None
        except OSError as error:
            raise self._unusable(error) from error

    def write(self, value: Any) -> None:
        """Replace what the file holds; while the lock is held.

        Raises:
            RunEnded: it cannot be written.
        """
        temp = self.path.with_name(f".{self.path.name}.tmp")  # one name: only the lock's holder is at it
        try:
            temp.write_text(json.dumps(value), encoding="utf-8")
            temp.replace(self.path)
        except OSError as error:
            with suppress(OSError):  # which the next write replaces
                temp.unlink(missing_ok=True)
            raise self._unusable(error) from error

    def _open_lock(self) -> BinaryIO:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self.path.with_name(f"{self.path.name}.lock").open("wb")
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> RunEnded:
        said = f"{self.path}: cannot be used ({error.strerror})"
        if error.errno in NO_SPACE:
            return RunEnded(f"{said}{shortage(self.path)}; make room on its disk, then run again")
        if error.errno == errno.EROFS:
            return RunEnded(f"{said}; mount its file system for writing, then run again")
        return RunEnded(f"{said}; make it and its folder readable and writable, then run again")
