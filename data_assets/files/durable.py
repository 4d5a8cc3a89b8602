"""Names that survive a power cut: folders, and files that take the place of others as a whole.

Here: what has to be synced, in which order. Not here: temporary names and their locks (``tempfiles``).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and its missing parents, each durably.

    Raises:
        FileNotFoundError: one of them is a link to what is not there.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    if folder.is_symlink():
        text = f"it is a link to {folder.readlink()}, which is not there"
        raise FileNotFoundError(errno.ENOENT, text, str(folder))
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync(file: BinaryIO) -> None:
    """Bring all that was written to an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def rename(temp: Path, target: Path) -> None:
    """Give a synced file its name, in place of what has it, and make the name survive a power cut."""
    temp.replace(target)
    sync_folder(target.parent)
