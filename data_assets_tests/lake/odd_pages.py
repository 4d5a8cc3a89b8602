"""Compares many small groups of odd pages with a library of its own, and ends well if no access is out of bounds.

Run by test_pages_at_once.py in a process of its own, because only a process that was started with the sanitizers' own
library can load such code. The pages are drawn from a fixed seed.
"""

from __future__ import annotations

import ctypes
import random
import sys
import zlib
from collections import Counter
from dataclasses import replace
from typing import Any

from data_assets.lake import page_checksums
from data_assets.lake.errors import Corrupt
from data_assets.lake.page_checksums import Chunk, every_page_holds, hold_at_once
from data_assets.lake.parquet_numbers import DATA_PAGE, DICTIONARY_PAGE, PLAIN, RLE, RLE_DICTIONARY
from data_assets.lake.thrift_compact import (
    BINARY,
    DOUBLE,
    FALSE,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    Struct,
    write_struct,
)
from data_assets_tests.exact_memory import copied, freed, room

GROUPS = 20_000
EXTREMES = (-1, 0, 1, 3, 2**31 - 1, -(2**31), 2**31, 2**32, 2**63 - 1, -(2**63))
BOUNDS: dict[int, list[tuple[int, Any]]] = {
    1: [(BINARY, b"\0" * 8), (BINARY, b"")],
    3: [(I64, 0), (I64, 700)],
    5: [(BINARY, b"a" * 200), (BINARY, b"\xff")],
    7: [(TRUE, None), (FALSE, None)],
}
ODD_FIELDS: list[tuple[int, Any]] = [
    (LIST, (I32, [1, 2])),
    (STRUCT, {1: (I32, 0)}),
    (BINARY, b"abc"),
    (DOUBLE, 0.5),
    (I64, 2**40),
    (TRUE, None),
]


class ExactlySized:
    """The function of a library, whose every argument is in memory of exactly its size, as the sanitizers see it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.held = 0

    def pages_hold(self, data: bytes, size: int, chunks: int, count: int) -> int:
        file, said = room(size), copied(chunks, count * 8 * 8)
        ctypes.memmove(file, data, size)
        found: int = self._library.pages_hold(
            *(ctypes.c_void_p(file), ctypes.c_int64(size), ctypes.c_void_p(said), ctypes.c_int64(count))
        )
        freed(file, said)
        self.held += found
        return found


def odd_group(pick: random.Random) -> tuple[bytes, list[Chunk], bool]:
    """Bytes, chunks that are said to be in them, and whether all of it is of the lake's form and holds."""
    usual = pick.random() < 0.3

    def odd() -> bool:
        return not usual and pick.random() < 0.03

    data, chunks = bytearray(b"PAR1"), []
    for _ in range(pick.randint(0, 3)):
        width = pick.choice([None, 4, 8])
        start, values, decompressed, pages = len(data), 0, 0, Counter[tuple[int, int]]()
        for place in range(pick.randint(0, 3)):
            body = pick.randbytes(pick.choice([0, 1, 15, 16, 17, 300]))
            in_dictionary = (place == 0 or odd()) and pick.random() < 0.5
            rows = pick.choice([0, 1, 63, 64, 122_880])
            full = (rows * width if in_dictionary and width else pick.choice([0, 5, 2**20])) + odd()
            kind, encoding = DICTIONARY_PAGE, PLAIN
            said: Struct = {1: (I32, rows), 2: (I32, PLAIN), 3: (FALSE, None)}
            if not in_dictionary:
                kind, encoding = DATA_PAGE, pick.choice([PLAIN, RLE_DICTIONARY])
                said = {1: (I32, rows), 2: (I32, encoding), 3: (I32, RLE), 4: (I32, RLE)}
                if pick.random() < 0.5:
                    bounds = {field: pick.choice(some) for field, some in BOUNDS.items() if pick.random() < 0.5}
                    said[5] = STRUCT, changed(bounds, pick) if odd() else bounds
            checksum = zlib.crc32(body)
            header: Struct = {
                **{1: (I32, kind), 2: (I32, full), 3: (I32, len(body)), 4: (I32, checksum - (checksum >> 31 << 32))},
                7 if in_dictionary else 5: (STRUCT, changed(said, pick) if odd() else said),
            }
            written = write_struct(changed(header, pick) if odd() else header)
            data += written + body
            values += 0 if in_dictionary else rows
            decompressed += len(written) + full
            pages[kind, encoding] += 1
        chunk = Chunk("price", start, len(data), values, decompressed, dict(pages), width)
        chunks.append(otherwise_said(chunk, pick) if odd() else chunk)
    while odd():
        at = pick.randrange(len(data))
        if pick.random() < 0.1:
            del data[at:]
            break
        data[at] = pick.randrange(256)
    return bytes(data), chunks, usual


def changed(fields: Struct, pick: random.Random) -> Struct:
    """The same fields but for one, or in another order."""
    field = pick.choice([*fields, 9, 40])
    if pick.random() < 0.1:
        return dict(reversed(fields.items()))
    if pick.random() < 0.2:
        return {each: said for each, said in fields.items() if each != field}
    kind, value = fields.get(field, (I32, 0))
    if kind == I32 and pick.random() < 0.9:
        return {**fields, field: (I32, pick.choice([*EXTREMES, value - 1, value + 1]))}
    return {**fields, field: pick.choice(ODD_FIELDS)}


def otherwise_said(chunk: Chunk, pick: random.Random) -> Chunk:
    """A chunk of which something else is said."""
    if pick.random() < 0.2:
        kind = pick.choice(
            [(DATA_PAGE, PLAIN), (DATA_PAGE, RLE_DICTIONARY), (DICTIONARY_PAGE, PLAIN), (DATA_PAGE, RLE)]
        )
        return replace(chunk, pages={**chunk.pages, kind: pick.choice([*EXTREMES, 2**64])})
    field = pick.choice(["start", "end", "values", "decompressed"])
    value = getattr(chunk, field)
    return replace(chunk, **{field: pick.choice([*EXTREMES, value - 1, value + 1, value + 2**64])})


def hold_page_by_page(data: bytes, chunks: list[Chunk]) -> bool:
    """What is decided without compiled code."""
    try:
        return all(every_page_holds(data, chunk, "a file") for chunk in chunks)
    except Corrupt:
        return False


def main(library: str) -> None:
    """Print how many groups of pages held at once, each of which also does page by page."""
    sized = ExactlySized(ctypes.CDLL(library))
    page_checksums._FUNCTIONS = sized  # type: ignore[assignment]
    pick = random.Random(11)
    for _ in range(GROUPS):
        data, chunks, usual = odd_group(pick)
        if hold_at_once(data, chunks):
            assert hold_page_by_page(data, chunks)
        else:
            assert not usual
    print(sized.held)


if __name__ == "__main__":
    main(sys.argv[1])
