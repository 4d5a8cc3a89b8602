"""What a file system is short of, where it takes nothing more: bytes or inodes, or it takes nothing at all.

Here: asking it. Not here: what is then said of a file of the lake (`errors`), of the run history, or of another cache.

The operating system has one error for both: "No space left on device" is also said where terabytes are free and the
file system holds as many files as it can.
"""

from __future__ import annotations

import os
from pathlib import Path

INODES_SPARE = 16
"""Fewer free ones count as none (a judgement): what could not be finished has given back a folder and a file or two."""

BYTES_SPARE = 1_000_000
"""Less counts as full (a judgement): SQLite alone takes tens of kilobytes before its first row."""


def shortage(path: Path) -> str:
    """What the file system of a path is short of, as `: ` and words to go after "no room"; empty if it is of nothing.

    Args:
        path: a file or folder, there or not: the nearest folder above it that is there tells.
    """
    found = _file_system(path)
    if found is None or not found.f_blocks:  # as /proc, which keeps no files: it has no room, and is short of none
        return ""
    free = found.f_bavail * found.f_frsize
    if free < BYTES_SPARE:
        return f": {free / 1e6:.1f} MB are free there"
    if found.f_files and found.f_favail < INODES_SPARE:  # file systems without a table of inodes say 0 of 0
        return (
            f": its file system is out of inodes, although {free / 1e6:,.0f} MB are free: it holds as many files as it "
            "can, so delete files there, of whatever size"
        )
    return ""


def nearest_there(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there.

    Raises:
        OSError: nobody may look.
    """
    return next(each for each in (path, *path.parents) if each.exists())


def is_read_only(path: Path) -> bool:
    """Whether the file system of a path is mounted read-only."""
    found = _file_system(path)
    return found is not None and bool(found.f_flag & os.ST_RDONLY)


def _file_system(path: Path) -> os.statvfs_result | None:
    for folder in (path, *path.parents):
        try:
            return os.statvfs(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None
