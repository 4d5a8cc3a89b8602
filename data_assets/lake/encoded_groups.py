"""Row groups that are encoded in memory, each for itself, and then put into one Parquet file.

The bytes of a row group depend on no other; only the offsets that the footer says of it are those of its place. So
whoever makes them, the offsets are moved, and the file is byte for byte the one that Arrow's writer makes of all its
row groups: Arrow's writer encodes them in any thread, and columns of the usual kind are encoded without it, which takes
half the time.

Here: encoding one row group, and the footer of them all. Not here: the columns (``column_chunks``), which rows are a
row group, and the file (``parquet_file``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.lake.column_chunks import ColumnChunks
from data_assets.lake.repeated_texts import RepeatedTexts
from data_assets.lake.thrift_compact import (
    BINARY,
    FALSE,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    Struct,
    read_struct,
    write_struct,
)

MAGIC = b"PAR1"  # a file's first bytes and its last ones

_BATCH_ROWS = 16_384  # encoded at a time; Arrow's 1,024 cost a twentieth more for the same bytes

# Of parquet.thrift: FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_NUM_ROWS, _ROW_GROUPS, _KEY_VALUE_METADATA = 3, 4, 5
_COLUMNS, _ROWS_OF_GROUP, _FILE_OFFSET = 1, 3, 5
_META_DATA = 3
_DATA_PAGE_OFFSET, _DICTIONARY_PAGE_OFFSET = 9, 11


FEWEST_ROWS = 8192
"""Of a smaller row group, Arrow's one call takes less time than the calls for each column."""


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """A row group in memory.

    Attributes:
        data: its bytes in a file, wherever it lies there.
        said: what the footer of a file says of it that begins with it.
    """

    data: bytes | memoryview
    said: Struct


class RowGroupEncoder:
    """Encodes row groups of one file, in any threads; `NewParquet` says how."""

    def __init__(self, schema: pa.Schema, sort_by: Sequence[str], plain: Collection[str], most_rows: int) -> None:
        """Encode rows of ``schema``, sorted by ``sort_by``, in row groups of at most ``most_rows``."""
        self._given = RepeatedTexts(schema, plain)
        self._most_rows, self._plain, self._sort_by = most_rows, plain, sort_by
        self._chunks = ColumnChunks(most_rows)
        self._footer: Struct | None = None  # of one that Arrow has made
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

    def encode(self, rows: pl.DataFrame) -> EncodedGroup:
        """Encode the rows of one row group."""
        table = self._given.table(rows)
        return self._by_columns(table) or self._by_arrow(table)

    def footer(self, metadata: Mapping[str, str]) -> Struct:
        """The footer of a file with this metadata, but for its row groups."""
        footer = self._footer or self._written(None)[1]
        said = {**metadata, **self._given.metadata}
        pairs = [{1: (BINARY, key.encode()), 2: (BINARY, value.encode())} for key, value in said.items()]
        return {**footer, _KEY_VALUE_METADATA: (LIST, (STRUCT, pairs))}

    def _by_columns(self, table: pa.Table) -> EncodedGroup | None:
        """Encode a row group whose columns are all of the usual kind."""
        if table.num_rows < FEWEST_ROWS:
            return None
        pieces: list[bytes | memoryview] = []
        columns: list[Struct] = []
        at, decompressed = len(MAGIC), 0
        for name in table.column_names:
            chunk = self._chunks.chunk(
                name, table.column(name), plain=name in self._plain, bounded=name in self._sort_by
            )
            if chunk is None:
                return None
            pieces += chunk.pages
            _move_column(chunk.said, at)
            columns.append(chunk.said)
            at += chunk.size
            decompressed += chunk.decompressed
        order = [  # ascending, missing values first
            {1: (I32, table.column_names.index(name)), 2: (FALSE, None), 3: (TRUE, None)} for name in self._sort_by
        ]
        said: Struct = {
            _COLUMNS: (LIST, (STRUCT, columns)),
            2: (I64, decompressed),
            _ROWS_OF_GROUP: (I64, table.num_rows),
            **({4: (LIST, (STRUCT, order))} if order else {}),
            _FILE_OFFSET: (I64, len(MAGIC)),
            6: (I64, at - len(MAGIC)),
        }
        return EncodedGroup(b"".join(pieces), said)

    def _by_arrow(self, table: pa.Table) -> EncodedGroup:
        data, self._footer = self._written(table)
        _, (_, (row_group,)) = self._footer[_ROW_GROUPS]
        return EncodedGroup(data, row_group)

    def _written(self, table: pa.Table | None) -> tuple[memoryview, Struct]:
        """What lies between the beginning and the footer of Arrow's file, and the footer."""
        out = pa.BufferOutputStream()
        with self._new_writer(out) as writer:
            writer.add_key_value_metadata(self._given.metadata)
            if table is not None:
                writer.write_table(table, row_group_size=self._most_rows)
        file = memoryview(out.getvalue())
        start = len(file) - 8 - int.from_bytes(file[-8:-4], "little")
        footer, _ = read_struct(bytes(file[start:-8]))
        return file[len(MAGIC) : start], footer


class FileFooter:
    """What a file says of its row groups, which are told in their order."""

    def __init__(self) -> None:
        self._rows = 0
        self._row_groups: list[bytes] = []

    def add(self, group: EncodedGroup, at: int) -> None:
        """Say that the next row group begins at the byte ``at`` of the file."""
        by = at - len(MAGIC)
        _move_offset(group.said, _FILE_OFFSET, by)
        _, (_, columns) = group.said[_COLUMNS]
        for column in columns:
            _move_column(column, by)
        self._rows += group.said[_ROWS_OF_GROUP][1]
        self._row_groups.append(write_struct(group.said))  # now, while others are encoded, and not at the file's end

    def to_bytes(self, footer: Struct) -> bytes:
        """The end of a file whose footer says all but its row groups."""
        groups = LIST, (STRUCT, self._row_groups)
        return ending(write_struct({**footer, _NUM_ROWS: (I64, self._rows), _ROW_GROUPS: groups}))


def ending(footer: bytes) -> bytes:
    """The end of a file that has this footer."""
    return footer + len(footer).to_bytes(4, "little") + MAGIC


def _move_column(column: Struct, by: int) -> None:
    """Say of a column chunk that it lies so many bytes further on."""
    _, chunk = column[_META_DATA]
    _move_offset(chunk, _DATA_PAGE_OFFSET, by)
    if _DICTIONARY_PAGE_OFFSET in chunk:
        _move_offset(chunk, _DICTIONARY_PAGE_OFFSET, by)


def _move_offset(fields: Struct, number: int, by: int) -> None:
    kind, offset = fields[number]
    fields[number] = kind, offset + by
