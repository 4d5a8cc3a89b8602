"""A column's values as places in a dictionary of them, by compiled code.

Parquet holds a column as its distinct values, in the order in which they come, and for each row the place of its value
among these, in runs and packed bits. Arrow's writer looks up and writes value by value; this does it in a third of the
time, to the same bytes.

Here: the dictionary and the places. Not here: which columns are taken, pages, compression (``column_chunks``); the
loops over the rows (``dictionary_places.c``).
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_assets.column_memory import first_address, value_bytes
from data_assets.compiled import functions

FEWEST_SLOTS = 1024


class _Piece(ctypes.Structure):
    _fields_ = (("values", ctypes.c_void_p), ("rows", ctypes.c_int64))


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    found.find_places.argtypes = (
        *(ctypes.POINTER(_Piece), ctypes.c_int64, ctypes.c_int64),
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    )
    found.find_places.restype = ctypes.c_uint32
    found.pack_places.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    found.pack_places.restype = ctypes.c_int64
    return found


_FUNCTIONS = functions(__file__, _declared)


def is_compiled() -> bool:
    """Whether `DictionaryPlaces` can be used."""
    return _FUNCTIONS is not None


class DictionaryPlaces:
    """The places of one column after another, in memory that they share: what is returned holds until the next call."""

    def __init__(self, rows: int) -> None:
        """Take columns of at most so many rows."""
        self._distinct = np.empty(rows, np.int64)
        self._slots = np.empty(max(8 * rows, FEWEST_SLOTS), np.uint32)
        self._places = np.empty(rows, np.uint32)
        self._packed = np.empty(1 + 5 * rows + 64, np.uint8)

    def found(self, column: pa.ChunkedArray, stored: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]:
        """The distinct values of a column, and the place of each row's value among them.

        Args:
            column: of whole numbers of 2 bytes, or of anything of 4 or 8, which is compared by its bits; without nulls.
            stored: the type of the values in a file, which knows no numbers of 2 bytes.
        """
        assert _FUNCTIONS is not None
        pieces = [_Piece(first_address(piece), len(piece)) for piece in column.chunks if len(piece)]
        count = _FUNCTIONS.find_places(
            *((_Piece * len(pieces))(*pieces), len(pieces), value_bytes(column.type)),
            *(self._distinct.ctypes.data, self._slots.ctypes.data, self._places.ctypes.data),
        )
        return self._distinct.view(stored)[:count], self._places[: len(column)]

    def packed(self, places: npt.NDArray[np.uint32], values: int) -> memoryview:
        """The places among so many values as they lie in a page, behind the byte that says their width in bits."""
        assert _FUNCTIONS is not None
        bits = max((values - 1).bit_length(), 1)
        self._packed[0] = bits
        size = _FUNCTIONS.pack_places(places.ctypes.data, len(places), bits, self._packed[1:].ctypes.data)
        return self._packed[: 1 + size].data
