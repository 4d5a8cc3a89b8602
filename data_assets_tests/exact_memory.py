"""Memory of exactly the size that is asked for, in which the sanitizers see each access beside it."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)
_libc.malloc.argtypes, _libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
_libc.free.argtypes = (ctypes.c_void_p,)


def room(size: int) -> int:
    """The address of so many bytes, to be freed."""
    address: int = _libc.malloc(size)
    return address


def copied(start: int, size: int) -> int:
    """The address of a copy of so many bytes, to be freed."""
    copy = room(size)
    ctypes.memmove(copy, start, size)
    return copy


def freed(*addresses: int) -> None:
    """Give memory back."""
    for address in addresses:
        _libc.free(address)
