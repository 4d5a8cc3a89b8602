"""Finds and packs places of many small columns with a library of its own, and ends well if no access is out of bounds.

Run by test_column_chunks.py in a process of its own, because only a process that was started with the sanitizers' own
library can load such code. The values are drawn from a fixed seed.
"""

from __future__ import annotations

import ctypes
import random
import sys

import numpy as np
import pyarrow as pa

from data_assets.lake import dictionary_places
from data_assets.lake.dictionary_places import FEWEST_SLOTS, DictionaryPlaces
from data_assets_tests.exact_memory import copied, freed, room

COLUMNS = 2_000


class ExactlySized:
    """The functions of a library, whose arguments are in memory of exactly their size, as the sanitizers see it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.find_places.restype = ctypes.c_uint32
        library.pack_places.restype = ctypes.c_int64

    def find_places(self, pieces: ctypes.Array, count: int, size: int, distinct: int, slots: int, places: int) -> int:  # type: ignore[type-arg]
        rows = sum(piece.rows for piece in pieces)
        for piece in pieces:
            piece.values = copied(piece.values, piece.rows * size)
        sizes = {distinct: rows * max(size, 4), slots: max(8 * rows, FEWEST_SLOTS) * 4, places: rows * 4}
        rooms = {to: room(bytes_) for to, bytes_ in sizes.items()}
        found: int = self._library.find_places(
            pieces, ctypes.c_int64(count), ctypes.c_int64(size), *map(ctypes.c_void_p, rooms.values())
        )
        for to, at in rooms.items():
            ctypes.memmove(to, at, sizes[to])
        freed(*rooms.values(), *(piece.values for piece in pieces))
        return found

    def pack_places(self, places: int, rows: int, bits: int, packed: int) -> int:
        copy, at = copied(places, rows * 4), room(5 * rows + 64)
        size: int = self._library.pack_places(
            ctypes.c_void_p(copy), ctypes.c_int64(rows), ctypes.c_int64(bits), ctypes.c_void_p(at)
        )
        ctypes.memmove(packed, at, size)
        freed(copy, at)
        return size


def column(pick: random.Random) -> tuple[pa.ChunkedArray, np.dtype[np.signedinteger]]:
    """Values in a few pieces, in runs of some length, of which there are few or many."""
    kind, stored = pick.choice([(pa.int16(), np.int32), (pa.int32(), np.int32), (pa.int64(), np.int64)])
    most, longest = pick.choice([1, 2, 9, 300, 30_000]), pick.choice([1, 9, 40])
    pieces = []
    for _ in range(pick.randint(1, 3)):
        values: list[int] = []
        for _ in range(pick.choice([1, 5, 60, 600])):
            values += [pick.randint(-most, most)] * pick.randint(1, longest)
        pieces.append(pa.array(values, kind))
    return pa.chunked_array(pieces), np.dtype(stored)


def main(library: str) -> None:
    """Print how many columns were packed, each after its places were looked at."""
    dictionary_places._FUNCTIONS = ExactlySized(ctypes.CDLL(library))  # type: ignore[assignment]
    pick = random.Random(11)
    for _ in range(COLUMNS):
        values, stored = column(pick)
        places = DictionaryPlaces(len(values))
        distinct, where = places.found(values, stored)
        assert distinct[where].tolist() == values.to_pylist()
        places.packed(where, pick.choice([len(distinct), 70_000, 1 << 32]))
    print(COLUMNS)


if __name__ == "__main__":
    main(sys.argv[1])
