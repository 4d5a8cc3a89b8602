"""A row group as a Parquet file of its own in memory: its bytes as they were read, and a footer that says no more.

So a reader that takes files decodes the very bytes that were checked, and each is fetched once.

Here: where a row group lies, and its footer. Not here: its pages (``page_checksums``), and decoding (``parquet_file``).
The numbers of fields are those of Parquet's `parquet.thrift`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow.parquet as pq

from data_assets.lake.encoded_groups import MAGIC, ending
from data_assets.lake.errors import Corrupt
from data_assets.lake.page_checksums import PAGES, Chunk
from data_assets.lake.parquet_numbers import (
    BOOLEAN,
    BYTE_ARRAY,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    OPTIONAL,
    ZSTD,
)
from data_assets.lake.thrift_compact import I64, LIST, STRUCT, Struct, read_list, read_struct, write_fields

_WIDTHS = {INT32: 4, INT64: 8, FLOAT: 4, DOUBLE: 8}

_TYPES = frozenset({BOOLEAN, *_WIDTHS, BYTE_ARRAY})
_LEVELS = frozenset({(0, 0), (0, 2)})  # of a flat column whose values may be missing
_OF_A_CHUNK = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 16})  # what Arrow says of one, for the lake
_LEFT_OUT = frozenset({10, 12, 14, 15})  # other places (index, filter) and the bounds

# The footer, row groups, one of them, column chunks, one of them, and what it says of its column. Whatever is in that
# stays as it is written.
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class LoneGroup:
    """A Parquet file of one row group.

    Attributes:
        file: its bytes.
        chunks: its column chunks, where they are in ``file``.
    """

    file: bytes
    chunks: list[Chunk]


class LoneGroups:
    """Makes a file of each row group of another."""

    def __init__(self, metadata: pq.FileMetaData, where: str) -> None:
        """Take the footer apart.

        Raises:
            Corrupt: it says of a row group's columns other types than of the file's. pyarrow ends the process when it
                is asked about such a column.
        """
        footer = io.BytesIO()
        metadata.write_metadata_file(footer)  # as Arrow has understood it, and without another read of the file
        said, _ = read_struct(footer.getvalue(), len(MAGIC), _DEPTH)
        # Of the groups' own footers, all but the third and the fourth field is the same.
        self._before = write_fields({field: said[field] for field in said if field < 3}, 0)
        self._behind = write_fields({field: said[field] for field in said if field > 4}, 4) + b"\0"
        self._schema: list[Struct] = _items(said, 2)[1:]  # behind the one that stands for the file
        self._groups: list[Struct] = _items(said, 4)
        self._columns = [[_said(chunk, 3) or {} for chunk in _items(group, 1)] for group in self._groups]
        types = [_said(column, 1) for column in self._schema if not _said(column, 5)]
        if any([_said(column, 1) for column in columns] != types for columns in self._columns):
            raise Corrupt("damaged (its footer says two types of a column)", where)

    def are_as_the_lake_writes_them(self) -> bool:
        """Whether columns are flat and of simple types, compressed with zstd, and have a dictionary or are plain."""
        return all(_said(column, 1) in _TYPES and _said(column, 3) == OPTIONAL for column in self._schema) and all(
            _OF_A_CHUNK.issuperset(column)
            and _said(column, 4) == ZSTD
            and _said(column, 5) == _said(group, 3)
            and PAGES.keys() >= _pages(_said(column, 13)).keys()
            and _levels(_said(column, 16)) in _LEVELS
            for group, columns in zip(self._groups, self._columns, strict=True)
            for column in columns
        )

    def place(self, group: int) -> tuple[int, int]:
        """Where the first byte of a row group is, and the one behind its last, by what the footer says."""
        places = [_place(column) for column in self._columns[group]]
        return min((start for start, _ in places), default=0), max((end for _, end in places), default=0)

    def alone(self, group: int, data: bytes) -> LoneGroup:
        """The row group whose bytes are ``data``.

        Its footer does not say what a reader may take for granted, though it is yet to be compared with the rows, such
        as their order and the bounds of columns.
        """
        said = self._groups[group]
        by = len(MAGIC) - self.place(group)[0]
        columns = [_moved(column, by) for column in self._columns[group]]
        chunks = [{2: (I64, 0), 3: (STRUCT, column)} for column in columns]
        alone: Struct = {1: (LIST, (STRUCT, chunks)), 2: said[2], 3: said[3]}
        return LoneGroup(self._file(data, said[3][1], [alone]), [_chunk(column) for column in columns])

    def without_groups(self) -> bytes:
        """A file of the same columns that has no row group."""
        return self._file(b"", 0, [])

    def _file(self, data: bytes, rows: int, groups: list[Struct]) -> bytes:
        differs = write_fields({3: (I64, rows), 4: (LIST, (STRUCT, groups))}, 2)
        return b"".join((MAGIC, data, ending(self._before + differs + self._behind)))


def _place(column: Struct) -> tuple[int, int]:
    """Where the first byte of a column chunk is, and the one behind its last."""
    start, dictionary = _said(column, 9), _said(column, 11)
    if dictionary is not None and 0 < dictionary < start:  # some writers say 0 where there is none
        start = dictionary
    return start, start + _said(column, 7)


def _chunk(column: Struct) -> Chunk:
    start, end = _place(column)
    return Chunk(
        _name(_said(column, 3)),
        start,
        end,
        _said(column, 5),
        _said(column, 6),
        _pages(_said(column, 13)),
        _WIDTHS.get(_said(column, 1)),
    )


@lru_cache
def _name(path: bytes) -> str:
    return b".".join(read_list(path)).decode(errors="replace")


@lru_cache
def _pages(counted: bytes | None) -> dict[tuple[int, int], int]:
    """How many pages of each kind and encoding a column chunk has, to be read only; not every program says it."""
    pages = [] if counted is None else read_list(counted)
    return {(_said(each, 1), _said(each, 2)): _said(each, 3) for each in pages}


@lru_cache
def _levels(sizes: bytes | None) -> tuple[int, int]:
    """How many levels of repetition and of definition are counted; pyarrow ends the process at a wrong number."""
    said = {} if sizes is None else read_struct(sizes)[0]
    return len(_items(said, 2)), len(_items(said, 3))


def _moved(column: Struct, by: int) -> Struct:
    """A column chunk that lies elsewhere, without its bounds and without what lies outside of it."""
    moved = {field: said for field, said in column.items() if field not in _LEFT_OUT}
    moved[9] = I64, _said(column, 9) + by
    if _said(moved, 11) == 0:
        del moved[11]  # as `_place` reads it
    elif 11 in moved:
        moved[11] = I64, _said(column, 11) + by
    return moved


def _said(fields: Struct, number: int) -> Any:
    return fields[number][1] if number in fields else None


def _items(fields: Struct, number: int) -> list[Any]:
    items: list[Any] = fields[number][1][1] if number in fields else []
    return items
