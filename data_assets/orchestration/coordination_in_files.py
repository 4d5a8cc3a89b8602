"""Coordination of the processes of one machine, by locks on files in the history's folder.

A lock says that a process lives where a process id could not: ids are used again, clocks are set, machines are renamed.
The kernel lets go of it when the process ends, however it ends.

Here: `coordination.Coordination` in files. Not here: a history that several machines share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from dagster import RunRecord

from data_assets.files import locks
from data_assets.ingest.state_file import StateFile
from data_assets.orchestration import start_time
from data_assets.orchestration.account_lock import account_lock
from data_assets.wiring import state_folder

KEPT_SECONDS = 86_400.0

_held: dict[Path, BinaryIO] = {}
"""The lock files of the runs that live in this process."""


class CoordinationInFiles:
    """See `coordination.Coordination`.

    Args:
        folder: the history's; the same for all its processes.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._runs = self._folder / "living_runs"

    def hold(self, run_id: str) -> None:
        """See `Coordination`."""
        path = self._runs / run_id
        path.parent.mkdir(parents=True, exist_ok=True)
        unclaimed = path.with_suffix(".new")
        file = unclaimed.open("wb")
        locks.wait_for(file)
        unclaimed.rename(path)  # not earlier: whoever finds it without its lock takes the run for dead
        _held[path] = file

    def held(self) -> set[str]:
        """See `Coordination`."""
        return {path.name for path in _held if path.parent == self._runs}

    def forget(self, run_id: str) -> None:
        """See `Coordination`."""
        path = self._runs / run_id
        path.unlink(missing_ok=True)
        if (file := _held.pop(path, None)) is not None:
            file.close()

    def abandon(self, run_id: str) -> None:
        """See `Coordination`: its file stays, and nobody holds it."""
        _held.pop(self._runs / run_id).close()

    def is_gone(self, record: RunRecord, *, patient: bool = False) -> bool:
        """See `Coordination`: at once, as a lock needs no patience."""
        try:
            file = (self._runs / record.dagster_run.run_id).open("rb")
        except FileNotFoundError:
            return start_time.is_over(record)
        with file:
            return locks.take(file)

    def forget_all_but(self, unfinished: Collection[str]) -> None:
        """See `Coordination`; a run that is only now being created has a young file."""
        for path in self._runs.glob("*"):
            if path.name not in unfinished and time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)

    def account(
        self,
        vendor: str,
        say: Callable[[str], object],
        stop: Callable[[], bool] = lambda: False,
        places: int = 1,
    ) -> AbstractContextManager[None]:
        """See `Coordination`."""
        return account_lock(self._folder, vendor, say, stop, places)

    def shared(self, name: str) -> StateFile:
        """See `Coordination`: a file in the vendors' state folder."""
        return StateFile(state_folder() / f"{name}.json")
