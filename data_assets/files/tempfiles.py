"""Temporary files that say whether their writer lives.

A writer holds the lock of its temporary file from creation to rename or removal. The kernel drops the
lock when the writer dies, however it dies, so a temporary file whose lock can be had belongs to nobody.

Here: making, locking, finding and sweeping them. Not here: what is written into them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from data_assets.files import locks
from data_assets.files.durable import make_folder

TRIES = 100

_TEMP = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


def is_temp(name: str) -> bool:
    """Whether a bare file name is that of a temporary file of the lake."""
    return _TEMP.fullmatch(name) is not None


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[os.stat_result]:
    """Hold an existing folder's lock, which no other process or thread then holds; whoever dies drops it.

    Yields:
        What the system says of the folder that is held, whatever has its name by now.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        locks.wait_for(descriptor)
        yield os.fstat(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Make a folder that its owner alone can use, in a place where everybody may make folders.

    Raises:
        PermissionError: somebody else has made it, or others can write into it; the text says what to do.
    """
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it is not a folder of yours: remove it, or set TMPDIR", str(folder))
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "others can write into it: remove it, or set TMPDIR", str(folder))
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)


def create(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """Make a locked temporary file for the target ``name`` in ``folder``.

    The lock lives as long as the returned file is open.

    Raises:
        OSError: the file cannot be made there.
    """
    for tries_left in reversed(range(TRIES)):
        make_folder(folder)
        path = folder / f".{name}.{secrets.token_hex(8)}.tmp"
        try:
            file = path.open("x+b")  # read too: what is published is the open file, whatever has its name by then
        except FileNotFoundError:  # a sweep took the still empty folder away in between
            if not tries_left:
                raise
            continue
        locks.wait_for(file)
        if is_at(file, path):
            return path, file
        file.close()  # a sweep had the lock between open and flock, and removed the file
    raise OSError(errno.EAGAIN, "sweeps took every new temporary file", str(folder))


def remove(path: Path) -> None:
    """Remove a temporary file, and its folder where nothing else is in it."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def find(root: Path) -> Iterator[Path]:
    """Every temporary file under ``root``, whoever owns it."""
    for folder, _, files in os.walk(root, followlinks=True):
        yield from (Path(folder, name) for name in files if is_temp(name))


def find_folders(root: Path, name: str) -> Iterator[Path]:
    """Every folder of that name under ``root``."""
    for folder, folders, _ in os.walk(root, followlinks=True):
        if name in folders:
            yield Path(folder, name)


def sweep(paths: Iterable[Path]) -> list[Path]:
    """Remove those of ``paths`` whose writer is dead; say which they were."""
    removed = []
    for path in paths:
        try:
            file = path.open("r+b")  # network file systems want write access for an exclusive lock
        except OSError:  # finished in between, another user's, or on a disk that takes nothing: nobody's loss
            continue
        with file:
            if locks.take(file) and is_at(file, path):
                remove(path)
                removed.append(path)
    return removed


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether ``path`` still names the open ``file``, and not another one or none."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
