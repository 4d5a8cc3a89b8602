"""The vendor's files, each made once for all tests of a process: the same arguments make the same bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache

from data_assets.sandbox.flat_files.files import FlatFiles


class RememberedFiles(FlatFiles):
    """Files whose bodies are kept."""

    def body(self, day: date, revision: int = 0) -> bytes:
        if not self.is_listed(day):
            return super().body(day, revision)  # which says so
        struck = self.faults if self._faults(day) else ()
        return _made(replace(self, now=_when_all_are_listed, faults=struck), day, revision)


@cache
def _made(files: FlatFiles, day: date, revision: int) -> bytes:
    return FlatFiles.body(files, day, revision)


def _when_all_are_listed() -> datetime:
    return datetime(2100, 1, 1, tzinfo=UTC)
