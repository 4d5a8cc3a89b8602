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
_COLUMNS, _TOTAL_BYTE_SIZE, _ROWS_OF_GROUP, _SORTING_COLUMNS, _FILE_OFFSET, _TOTAL_COMPRESSED_SIZE = 1, 2, 3, 4, 5, 6
_META_DATA = 3
_DATA_PAGE_OFFSET, _DICTIONARY_PAGE_OFFSET = 9, 11

FEWEST_ROWS = 8192
"""Of a smaller row group, Arrow's one call takes as much time as the calls for each column, or less."""


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """A row group in memory.

    Attributes:
        data: its bytes in a file, wherever it lies there.
        said: what the footer of a file says of it that begins with it; None if that is yet to be read.
        footer: that footer, of a file which holds no other, where Arrow has made it.
        metadata: of that file.
    """

    data: bytes | memoryview
    said: Struct | None
    footer: bytes | None = None
    metadata: Mapping[str, str] | None = None


class RowGroupEncoder:
    """Encodes row groups of one file, in any threads; `NewParquet` says how."""

    def __init__(self, schema: pa.Schema, sort_by: Sequence[str], plain: Collection[str], most_rows: int) -> None:
        """Encode rows of ``schema``, sorted by ``sort_by``, in row groups of at most ``most_rows``."""
        self._given = RepeatedTexts(schema, plain)
        self._most_rows, self._plain, self._sort_by = most_rows, plain, sort_by
        self._chunks = ColumnChunks(most_rows)
        self._footer: bytes | None = None  # of a file that Arrow has made
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
        """Encode the rows of one row group.

        Args:
            rows: some rows.
            metadata: of the file, if it is known: of an only row group, Arrow then makes the whole footer.

        Raises:
            ValueError: the rows have not the columns of the schema.
        """
        table = self._given.table(rows)
        return self._by_columns(table) or self._by_arrow(table, metadata)

    def footer(self, metadata: Mapping[str, str]) -> Struct:
        """The footer of a file with this metadata, but for its row groups."""
        if self._footer is None:
            self._footer = self._written({}, None)[1]
        footer, _ = read_struct(self._footer)
        said = {**metadata, **self._given.metadata}
        pairs = [{1: (BINARY, key.encode()), 2: (BINARY, value.encode())} for key, value in said.items()]
        return {**footer, _KEY_VALUE_METADATA: (LIST, (STRUCT, pairs))}

    def _by_columns(self, table: pa.Table) -> EncodedGroup | None:
        """Encode a row group whose columns are all of the usual kind, and those of the schema."""
        if table.num_rows < FEWEST_ROWS or not table.schema.equals(self._given.schema):
            return None
        how = {name: {"plain": name in self._plain, "bounded": name in self._sort_by} for name in table.column_names}
        if not all(self._chunks.takes(table.column(name), **how[name]) for name in how):
            return None
        pieces: list[bytes | memoryview] = []
        columns: list[Struct] = []
        at, decompressed = len(MAGIC), 0
        for name in how:
            chunk = self._chunks.chunk(name, table.column(name), **how[name])
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
            _TOTAL_BYTE_SIZE: (I64, decompressed),
            _ROWS_OF_GROUP: (I64, table.num_rows),
            **({_SORTING_COLUMNS: (LIST, (STRUCT, order))} if order else {}),
            _FILE_OFFSET: (I64, len(MAGIC)),
            _TOTAL_COMPRESSED_SIZE: (I64, at - len(MAGIC)),
        }
        return EncodedGroup(b"".join(pieces), said)

    def _by_arrow(self, table: pa.Table, metadata: Mapping[str, str]) -> EncodedGroup:
        data, self._footer = self._written(metadata, table)
        return EncodedGroup(data, None, self._footer, metadata)

    def _written(self, metadata: Mapping[str, str], table: pa.Table | None) -> tuple[memoryview, bytes]:
        """What lies between the beginning and the footer of Arrow's file, and the footer."""
        out = pa.BufferOutputStream()
        with self._new_writer(out) as writer:
            writer.add_key_value_metadata({**metadata, **self._given.metadata})
            if table is not None:
                writer.write_table(table, row_group_size=self._most_rows)
        file = memoryview(out.getvalue())
        start = len(file) - 8 - int.from_bytes(file[-8:-4], "little")
        return file[len(MAGIC) : start], bytes(file[start:-8])


class FileFooter:
    """What a file says of its row groups, which are told in their order."""

    def __init__(self, encoder: RowGroupEncoder) -> None:
        """Describe row groups of an encoder."""
        self._encoder = encoder
        self._rows = 0
        self._row_groups: list[bytes] = []
        self._last: tuple[EncodedGroup, int] | None = None

    def add(self, group: EncodedGroup, at: int) -> None:
        """Say that the next row group begins at the byte ``at`` of the file."""
        self._say_last()  # now, while others are encoded, and not of all of them at the file's end
        self._last = group, at

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """The end of a file with this metadata."""
        only = self._last[0] if self._last is not None and not self._row_groups else None
        if only is not None and only.footer is not None and only.metadata == metadata:
            return ending(only.footer)  # it lies where Arrow put it; most files have no other
        self._say_last()
        groups = LIST, (STRUCT, self._row_groups)
        return ending(
            write_struct({**self._encoder.footer(metadata), _NUM_ROWS: (I64, self._rows), _ROW_GROUPS: groups})
        )

    def _say_last(self) -> None:
        if self._last is None:
            return
        (group, at), self._last = self._last, None
        said = group.said
        if said is None:
            assert group.footer is not None
            footer, _ = read_struct(group.footer)
            _, (_, (said,)) = footer[_ROW_GROUPS]
        by = at - len(MAGIC)
        _move_offset(said, _FILE_OFFSET, by)
        _, (_, columns) = said[_COLUMNS]
        for column in columns:
            _move_column(column, by)
        self._rows += said[_ROWS_OF_GROUP][1]
        self._row_groups.append(write_struct(said))


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
