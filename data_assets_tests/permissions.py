"""Being bound by the permissions of files, as everybody but root is: tests often run as root, whom none of them stops.

Here: giving that privilege up and taking it back. Not here: any expectation.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION = 0x20080522  # of Linux's capget and capset, the third: two words of each set
_IGNORING_PERMISSIONS = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def closed(*folders: Path, mode: int = 0) -> Iterator[None]:
    """Folders that nobody may look into, for this thread and those that it starts while the context lasts."""
    before = {folder: folder.stat().st_mode & 0o777 for folder in folders}
    with _bound_by_permissions():
        for folder in folders:
            folder.chmod(mode)
        try:
            yield
        finally:
            for folder in reversed(folders):
                folder.chmod(before[folder])


@contextmanager
def _bound_by_permissions() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("only Linux lets root give up its privilege for a while")
    libc, header, sets = ctypes.CDLL(None, use_errno=True), _Header(_VERSION, 0), (_Sets * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    effective = sets[0].effective
    sets[0].effective = effective & ~_IGNORING_PERMISSIONS
    assert libc.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = effective
        assert libc.capset(ctypes.byref(header), sets) == 0
