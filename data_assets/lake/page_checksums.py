"""The pages of a column chunk, each compared with its checksum before anybody decodes it.

A page's checksum is the CRC-32 of its bytes as they lie in the file, compressed, without its header. No checksum covers
the headers. So these must be of the one form in which Arrow writes them, and add up to what the footer says of the
chunk: to the page, the row and the byte.

Those of the lake's own files do. So compiled code looks at all chunks of a row group first, in less than half of the
time and while other threads run. Of anything else it says nothing, and that is decided page by page, as everything is
where there is no compiler.

Here: whether pages are what was written. Not here: decoding them (``parquet_file``), and where a chunk lies
(``lone_groups``); the same by compiled code (``page_checksums.c``). The numbers of fields are those of Parquet's
`parquet.thrift`.
"""

from __future__ import annotations

import ctypes
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_assets.compiled import functions
from data_assets.lake.errors import Corrupt
from data_assets.lake.parquet_numbers import DATA_PAGE, DICTIONARY_PAGE, PLAIN, RLE, RLE_DICTIONARY
from data_assets.lake.thrift_compact import FALSE, I32, STRUCT, NotThrift, Struct, read_struct

_HEADER = {1: I32, 2: I32, 3: I32, 4: I32}
_OF_DATA, _OF_DICTIONARY = {**_HEADER, 5: STRUCT}, {**_HEADER, 7: STRUCT}
_DATA = {1: I32, 2: I32, 3: I32, 4: I32}
_DATA_AND_BOUNDS = {**_DATA, 5: STRUCT}
_DICTIONARY = {1: I32, 2: I32, 3: FALSE}  # not said to be sorted

PAGES = {(DICTIONARY_PAGE, PLAIN): 0, (DATA_PAGE, PLAIN): 0, (DATA_PAGE, RLE_DICTIONARY): 0}
"""The kinds and encodings of the lake's pages, in the order of the C file, with no page of any."""


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    found.pages_hold.argtypes = (ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
    found.pages_hold.restype = ctypes.c_int
    return found


_FUNCTIONS = functions(__file__, _declared)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the footer says of a column chunk.

    Attributes:
        column: the column's name.
        start: where its first page begins, in bytes.
        end: where its last page ends.
        values: how many it holds, missing ones included.
        decompressed: the bytes of its pages before they were compressed, and of their headers.
        pages: how many there are of each kind and encoding.
        width: the bytes of each value in a dictionary; None where they have several lengths.
    """

    column: str
    start: int
    end: int
    values: int
    decompressed: int
    pages: dict[tuple[int, int], int]
    width: int | None


def pages_hold(data: bytes, chunks: Sequence[Chunk], where: str) -> bool:
    """Whether `every_page_holds` is true of each of the chunks; raises as that does."""
    return hold_at_once(data, chunks) or all(every_page_holds(data, chunk, where) for chunk in chunks)


def hold_at_once(data: bytes, chunks: Sequence[Chunk]) -> bool:
    """Whether compiled code sees that `every_page_holds` is true of each of the chunks; it may be without that."""
    if _FUNCTIONS is None or not all(_counts_known_pages(chunk) for chunk in chunks):
        return False
    try:
        said = np.array([_numbers(chunk) for chunk in chunks], np.int64)
    except OverflowError:  # what a damaged footer says may be more than there is memory for
        return False
    return bool(_FUNCTIONS.pages_hold(data, len(data), said.ctypes.data, len(chunks)))


def _counts_known_pages(chunk: Chunk) -> bool:
    return PAGES.keys() >= chunk.pages.keys() and all(chunk.pages.values())


def _numbers(chunk: Chunk) -> tuple[int, ...]:
    """What the C file calls a chunk."""
    pages = {**PAGES, **chunk.pages}.values()
    return chunk.start, chunk.end, chunk.values, chunk.decompressed, chunk.width or 0, *pages


def every_page_holds(data: bytes, chunk: Chunk, where: str) -> bool:
    """Compare the pages of a chunk with their checksums, and with what the footer says of them.

    Args:
        data: the bytes of a file.
        chunk: where in them, and what is said.
        where: the file, for errors.

    Returns:
        Whether all the bytes of the chunk are such pages, each with a checksum, and what is said of them holds.
        Otherwise they are another program's, or a header or the footer is damaged.

    Raises:
        Corrupt: a page is not what its checksum was made of.
    """
    view, at, values, decompressed, pages = memoryview(data), chunk.start, 0, 0, Counter[tuple[int, int]]()
    while at < chunk.end:
        try:
            header, begin = read_struct(data, at)
        except NotThrift:
            return False
        of_data = (kinds := _kinds(header)) == _OF_DATA
        if not of_data and kinds != _OF_DICTIONARY:
            return False
        kind, full, size, checksum = (header[field][1] for field in (1, 2, 3, 4))
        end = begin + size
        if not begin <= end <= chunk.end:
            return False
        if zlib.crc32(view[begin:end]) != checksum & 0xFFFFFFFF:
            raise Corrupt(f"damaged (a page of {chunk.column} is not what its checksum was made of)", where)
        said: Struct = header[5 if of_data else 7][1]
        if of_data:
            if _kinds(said) not in (_DATA, _DATA_AND_BOUNDS) or said[3][1] != RLE or said[4][1] != RLE:
                return False
            values += said[1][1]
        elif _kinds(said) != _DICTIONARY or at != chunk.start or (chunk.width and full != said[1][1] * chunk.width):
            return False
        pages[kind, said[2][1]] += 1
        decompressed += begin - at + full
        at = end
    found = Chunk(chunk.column, chunk.start, at, values, decompressed, dict(pages), chunk.width)
    return found == chunk


def _kinds(said: Struct) -> dict[int, int]:
    return {field: kind for field, (kind, _) in said.items()}
