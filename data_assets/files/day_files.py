"""Lines appended to files by day, by any number of processes.

`YYYY-MM-DD.jsonl` has a day's lines; where it has reached its size, `YYYY-MM-DD.2.jsonl` goes on. Nothing is renamed,
so whoever follows a file keeps it; a writer holds the file's lock for the one write that a line is.

Here: the files, their size, and deleting old ones. Not here: what is in a line.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from data_assets.files import locks

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(\.errors)?(\.\d+)?\.jsonl")
"""Errors lay beside the others once."""


def append_line(folder: Path, day: date, line: bytes, *, size: int, days: int) -> None:
    """Append a line to the file of a day; the first one of a file deletes what is too old.

    Args:
        folder: made if it is not there.
        day: in the file's name.
        line: without its end.
        size: bytes at which the day goes on in another file.
        days: how many days are left, with this one.

    Raises:
        OSError: it could not be written. What a full disk has cut off stands in a line of its own.
    """
    path, is_new = _file(folder, str(day), len(line) + 1, size)
    if is_new:
        folder.mkdir(parents=True, exist_ok=True)
        _delete_before(folder, day - timedelta(days=days - 1))
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        locks.wait_for(descriptor)  # a line that is being written ends without its end until it is
        end = os.lseek(descriptor, 0, os.SEEK_END)
        is_cut_off = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        os.write(descriptor, (b"\n" if is_cut_off else b"") + line + b"\n")
    finally:
        os.close(descriptor)


def _file(folder: Path, stem: str, more: int, size: int) -> tuple[Path, bool]:
    """The first part of a day that has room for so many bytes more, and whether it is new."""
    part = 1
    while True:
        path = folder / f"{stem}{f'.{part}' if part > 1 else ''}.jsonl"
        try:
            if path.stat().st_size + more <= size:
                return path, False
        except FileNotFoundError:
            return path, True
        part += 1


def _delete_before(folder: Path, first: date) -> None:
    for path in folder.iterdir():
        if (found := _NAME.fullmatch(path.name)) and found[1] < first.isoformat():
            with suppress(FileNotFoundError):  # another process was quicker
                path.unlink()
