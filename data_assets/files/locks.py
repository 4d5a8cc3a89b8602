"""Locks on open files, which the kernel takes from a process that dies, however it dies.

Here: taking one, at once or after a wait. Not here: which file stands for what. An exclusive lock wants a file that is
open for writing: network file systems refuse it otherwise. On a folder, which cannot be, it holds on local disks.
"""

from __future__ import annotations

import fcntl
from typing import BinaryIO


def take(file: BinaryIO | int) -> bool:
    """Take the exclusive lock of an open file, or say that another open file has it; nothing is waited for."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for(file: BinaryIO | int) -> None:
    """Take the exclusive lock of an open file as soon as nobody has it."""
    fcntl.flock(file, fcntl.LOCK_EX)


def share(file: BinaryIO | int) -> None:
    """Hold the lock of an open file together with others who share it, as soon as nobody has it for himself."""
    fcntl.flock(file, fcntl.LOCK_SH)
