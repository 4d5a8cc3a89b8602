"""Row groups that are encoded side by side, each as a file of its own in memory, and then put into one Parquet file.

Arrow's writer encodes the row groups of a file one after another, in one thread. But the bytes of one depend on no
other; only the offsets that the footer says of it are those of its place. So its bytes are taken as they are, the
offsets are moved, and the file is byte for byte the one that Arrow's writer makes of all its row groups.

Here: encoding one row group, and the footer of them all. Not here: which rows are a row group, and the file
(``parquet_file``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.lake.repeated_texts import RepeatedTexts
from data_assets.lake.thrift_compact import I64, LIST, STRUCT, Struct, read_struct, write_struct

MAGIC = b"PAR1"  # a file's first bytes and its last ones

_BATCH_ROWS = 16_384  # encoded at a time; Arrow's 1,024 cost a twentieth more for the same bytes

# Of parquet.thrift: FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_NUM_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS, _ROWS_OF_GROUP, _FILE_OFFSET = 1, 3, 5
_META_DATA = 3
_DATA_PAGE_OFFSET, _DICTIONARY_PAGE_OFFSET = 9, 11


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """A row group in memory.

    Attributes:
        data: its bytes in a file, wherever it lies there.
        footer: that of a file which begins with it and holds no other.
    """

    data: memoryview
    footer: bytes


class RowGroupEncoder:
    """Encodes row groups of one file, in any thread, several at a time; `NewParquet` says how."""

    def __init__(self, schema: pa.Schema, sort_by: Sequence[str], plain: Collection[str], most_rows: int) -> None:
        """Encode rows of ``schema``, sorted by ``sort_by``, in row groups of at most ``most_rows``."""
        self._given = RepeatedTexts(schema, plain)
        self._most_rows = most_rows
        order = [(column, "ascending") for column in sort_by]
        self._new_writer = partial(
            pq.ParquetWriter,
            schema=self._given.schema,
            store_schema=False,
            compression="zstd",
            use_dictionary=[column for column in schema.names if column not in plain],
            write_page_checksum=True,
            write_batch_size=_BATCH_ROWS,
            # Arrow's own choice, pages of 20,000 rows, compresses worse and reads slower; no reader skips pages.
            max_rows_per_page=most_rows,
            write_statistics=list(sort_by),  # of the others, a row group holds nearly every value
            sorting_columns=pq.SortingColumn.from_ordering(schema, order, null_placement="at_start"),
        )

    def encode(self, rows: pl.DataFrame, metadata: Mapping[str, str]) -> EncodedGroup:
        """Encode the rows of one row group; those of a file's last one, perhaps none, with the file's metadata."""
        out = pa.BufferOutputStream()
        with self._new_writer(out) as writer:
            writer.add_key_value_metadata({**metadata, **self._given.metadata})
            if rows.height:
                writer.write_table(self._given.table(rows), row_group_size=self._most_rows)
        file = memoryview(out.getvalue())
        length = int.from_bytes(file[-8:-4], "little")
        return EncodedGroup(data=file[len(MAGIC) : -8 - length], footer=bytes(file[-8 - length : -8]))


class FileFooter:
    """What a file says of its row groups, which are told in their order."""

    def __init__(self) -> None:
        self._before: list[Struct] = []
        self._last: tuple[bytes, int] | None = None

    def add(self, group: EncodedGroup, at: int) -> None:
        """Say that the next row group begins at the byte ``at`` of the file."""
        if self._last is not None:  # read now, while others are encoded, and not all of them at the file's end
            _, row_group = _moved(*self._last)
            self._before.append(row_group)
        self._last = group.footer, at

    def to_bytes(self) -> bytes:
        """The end of the file: the footer of its last row group, which has the metadata, with all row groups in it."""
        assert self._last is not None
        footer, _ = self._last
        if self._before:  # an only one lies where it was encoded; most files have no other
            fields, row_group = _moved(*self._last)
            row_groups = [*self._before, row_group]
            fields[_NUM_ROWS] = I64, sum(each[_ROWS_OF_GROUP][1] for each in row_groups)
            fields[_ROW_GROUPS] = LIST, (STRUCT, row_groups)
            footer = write_struct(fields)
        return ending(footer)


def ending(footer: bytes) -> bytes:
    """The end of a file that has this footer."""
    return footer + len(footer).to_bytes(4, "little") + MAGIC


def _moved(encoded: bytes, at: int) -> tuple[Struct, Struct]:
    """The footer of an encoded row group, and what it says of it where it lies in the file."""
    footer, _ = read_struct(encoded)
    _, (_, (row_group,)) = footer[_ROW_GROUPS]
    _move(row_group, at - len(MAGIC))
    return footer, row_group


def _move(row_group: Struct, by: int) -> None:
    """Say of a row group that it lies so many bytes further on."""
    _move_offset(row_group, _FILE_OFFSET, by)
    _, (_, columns) = row_group[_COLUMNS]
    for column in columns:
        _, chunk = column[_META_DATA]
        _move_offset(chunk, _DATA_PAGE_OFFSET, by)
        if _DICTIONARY_PAGE_OFFSET in chunk:
            _move_offset(chunk, _DICTIONARY_PAGE_OFFSET, by)


def _move_offset(fields: Struct, number: int, by: int) -> None:
    kind, offset = fields[number]
    fields[number] = kind, offset + by
