"""What can go wrong in the lake, as a short tree. Every text is one line and says what to do next.

Here: the errors, how an operating-system error becomes one of them, and how what others said becomes part of a line.
Not here: who raises them.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from data_assets.lake.disk_room import shortage
from data_assets.project import named_state_folder

DAMAGED, ANOTHER_FILE, MISSING = "damaged", "another file than recorded", "missing"
"""What can be wrong with a stored file, in words to follow a count of days."""

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
SOMETHING_ELSE = frozenset({errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY})
"""A folder where a file is to be, or the other way round."""


def one_line(said: object, longest: int | None = None) -> str:
    """What somebody else said, fit to stand in a message: on one line, without control characters, cut if it is long.

    Args:
        said: a text or an exception.
        longest: characters, the mark of the cut included; None for all.
    """
    printable = "".join(character if character.isprintable() else " " for character in str(said))
    line = " ".join(printable.split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


class LakeError(Exception):
    """The lake cannot do what was asked; the text names the file or setting and says what to do."""


class DiskFull(LakeError):
    """There is no room for the file (disk, quota or file-size limit)."""


class Overtaken(LakeError):
    """Another writer has stored the file since this one began with it; that one's is whole, and stays."""


class LakeUnusable(LakeError):
    """The lake as a whole, rather than one file of it, cannot be written to: its root, its marker, or its kind."""


class LakeNotThere(LakeUnusable):
    """Where the lake was, there is none now: its disk is not plugged in, or it was moved or deleted."""


class Corrupt(LakeError):
    """A stored file is not what was stored.

    Attributes:
        where: the file.
        reason: what is wrong with it, without its name.
        kind: the same in a word or two, by which many days are counted.
    """

    def __init__(self, reason: str, where: str, kind: str = DAMAGED) -> None:
        super().__init__(f"{where}: {reason}; backfill this day again to replace the file")
        self.where, self.reason, self.kind = where, reason, kind


def passed_over(_what: object, _why: LakeError) -> None:
    """Takes what cannot be looked into, for those who can do without it."""


def staging_root() -> Path:
    """The folder of this machine in which files for object stores are made: in the state folder if one is named."""
    return Path(named_state_folder() or tempfile.gettempdir(), f"data_assets-{os.getuid()}")


def write_error(error: OSError, where: str) -> LakeError:
    """Say in the lake's words why ``where`` could not be written."""
    staging = str(staging_root())
    if error.errno in NO_SPACE and where.startswith(staging):
        return DiskFull(
            f"{where}: no room for the files that are to be uploaded to the object store "
            f"({error.strerror}){shortage(Path(where))}; "
            "free space there, or set DATA_ASSETS_STATE or TMPDIR to a folder on a larger disk, then run the backfill "
            "again"
        )
    if error.errno in NO_SPACE:
        short = "" if "://" in where else shortage(Path(where))
        return DiskFull(
            f"{where}: no room to write it ({error.strerror}){short}; free space there or "
            "point DATA_ASSETS_LAKE to a larger disk, then run the backfill again"
        )
    if error.errno == errno.EROFS:
        return LakeUnusable(
            f"{where}: cannot be written, as its file system is mounted read-only; mount it for writing (a disk is "
            "remounted read-only after an error: see the system's log), then run the backfill again"
        )
    if error.errno in SOMETHING_ELSE:
        return LakeError(
            f"{where}: cannot be written, as something else lies in its place or in its folder's ({error.strerror}); "
            "move it away, then run the backfill again"
        )
    return LakeError(
        f"{where}: cannot be written ({error.strerror or error}); check the disk and the folder's permissions"
    )


def read_error(error: OSError, where: str) -> LakeError:
    """Say in the lake's words why ``where`` could not be read, when that says nothing about its content."""
    return LakeError(f"{where}: cannot be read ({error.strerror or error}); check the disk and the file's permissions")
