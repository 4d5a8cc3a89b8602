"""Column chunks as Arrow's Parquet writer makes them, byte for byte, of columns of the usual kind.

Such a column has no nulls, and flags, numbers, dates, instants, or texts that come as places in a dictionary. Its chunk
is a page with the dictionary and one with the places; of a plain column, one page with the values. All else is Arrow's
work.

Here: which columns are taken, their pages, and what the footer says of them. Not here: finding the places
(``dictionary_places``), and the row group (``encoded_groups``). The numbers of fields are those of Parquet's
`parquet.thrift`.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_assets.column_memory import value_bytes
from data_assets.lake.dictionary_places import DictionaryPlaces, is_compiled
from data_assets.lake.parquet_numbers import (
    BOOLEAN,
    BYTE_ARRAY,
    DATA_PAGE,
    DICTIONARY_PAGE,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    PLAIN,
    RLE,
    RLE_DICTIONARY,
    ZSTD,
)
from data_assets.lake.thrift_compact import (
    BINARY,
    FALSE,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    Struct,
    put_varint,
    write_struct,
)

_STORED: dict[pa.DataType, tuple[int, np.dtype[Any]]] = {  # type in the file, and what its values are
    pa.int16(): (INT32, np.dtype(np.int32)),
    pa.int32(): (INT32, np.dtype(np.int32)),
    pa.date32(): (INT32, np.dtype(np.int32)),
    pa.int64(): (INT64, np.dtype(np.int64)),
    pa.float32(): (FLOAT, np.dtype(np.float32)),
    pa.float64(): (DOUBLE, np.dtype(np.float64)),
}
_NUMBERS = {2: pa.int16(), 4: pa.int32(), 8: pa.int64()}  # of so many bytes, to be looked at as they lie
_INSTANT = (INT64, np.dtype(np.int64))

_LONGEST_TEXT = 1000  # bytes; of longer ones Arrow may leave the bounds out
_FEW_VALUES = 8  # up to which looking for each of them is faster than counting them together
_MOST_ROWS = 125_000  # of 8 bytes, a page of values and a dictionary of them are below 1 MiB, at which Arrow ends them


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """A column chunk in memory.

    Attributes:
        pages: its bytes, one piece after another.
        size: how many they are.
        decompressed: how many they would be without compression.
        said: what the footer of a file says of it that begins with it.
    """

    pages: list[bytes]
    size: int
    decompressed: int
    said: Struct


@dataclass(frozen=True, slots=True)
class _Dictionary:
    """The distinct values of a column.

    Attributes:
        stored: their bytes in a page.
        count: how many they are.
        bounds: what is said of the lowest and the highest; nothing if they are not asked for.
        text_bytes: how long the texts of all rows are; None of numbers.
    """

    stored: bytes | memoryview
    count: int
    bounds: Struct
    text_bytes: int | None = None


def _stored(kind: pa.DataType) -> tuple[int, np.dtype[Any]] | None:
    """Type in the file of numbers, dates and instants, and what its values are."""
    return _INSTANT if pa.types.is_timestamp(kind) and kind.unit == "us" else _STORED.get(kind)


class ColumnChunks:
    """Encodes columns of one file, in any thread."""

    def __init__(self, most_rows: int) -> None:
        """Take columns of at most ``most_rows``."""
        self._most_rows = min(most_rows, _MOST_ROWS)
        self._of_thread = threading.local()

    def takes(self, column: pa.ChunkedArray, *, plain: bool, bounded: bool) -> bool:
        """Whether a column is of the usual kind, as far as that is seen without a look at its values; see `chunk`."""
        if column.null_count or len(column) > self._most_rows or not is_compiled():
            return False
        if pa.types.is_dictionary(column.type):
            return not plain
        if pa.types.is_boolean(column.type):
            return not bounded
        return _stored(column.type) is not None

    def chunk(self, name: str, column: pa.ChunkedArray, *, plain: bool, bounded: bool) -> ColumnChunk | None:
        """Encode a column.

        Args:
            name: the column.
            column: its rows, one or more.
            plain: hold the values as they are, not as places in a dictionary.
            bounded: say the lowest and the highest.

        Returns:
            None if it is not of the usual kind, which `takes` may not have seen: a bound that is no number, a long
            text, or texts that come in several dictionaries.
        """
        kind = column.type
        if pa.types.is_dictionary(kind):
            return self._texts(name, column.chunks, bounded=bounded)
        if pa.types.is_boolean(kind):
            return self._flags(name, column)
        stored = _stored(kind)
        assert stored is not None, f"{name}: {kind} is no kind of column that is taken"
        if plain:
            return self._plain(name, column, *stored, bounded=bounded)
        physical, dtype = stored
        values, places = self._places().found(column, dtype)
        bounds = _bounds(values) if bounded else {}
        if bounds is None:
            return None
        found = _Dictionary(values.view(np.uint8).data, len(values), bounds)
        return self._in_dictionary(name, physical, found, places)

    def _places(self) -> DictionaryPlaces:
        found: DictionaryPlaces | None = getattr(self._of_thread, "places", None)
        if found is None:
            found = self._of_thread.places = DictionaryPlaces(self._most_rows)
        return found

    def _texts(self, name: str, pieces: Sequence[pa.DictionaryArray], *, bounded: bool) -> ColumnChunk | None:
        dictionary = pieces[0].dictionary
        if not all(piece.dictionary.equals(dictionary) for piece in pieces):
            return None
        texts = [text.encode() for text in dictionary.to_pylist()]
        if max(map(len, texts)) > _LONGEST_TEXT:
            return None
        indices = np.concatenate([piece.indices.to_numpy() for piece in pieces])
        rows_of = _rows_of(indices, len(texts))
        used = [text for text, rows in zip(texts, rows_of, strict=True) if rows]
        found = _Dictionary(
            b"".join(len(text).to_bytes(4, "little") + text for text in texts),
            len(texts),
            _said_bounds(min(used), max(used)) if bounded else {},
            sum(len(text) * rows for text, rows in zip(texts, rows_of, strict=True)),
        )
        return self._in_dictionary(name, BYTE_ARRAY, found, indices.astype(np.uint32))

    def _in_dictionary(
        self, name: str, kind: int, dictionary: _Dictionary, places: npt.NDArray[np.uint32]
    ) -> ColumnChunk:
        not_sorted = {1: (I32, dictionary.count), 2: (I32, PLAIN), 3: (FALSE, None)}
        first = _page(dictionary.stored, DICTIONARY_PAGE, PLAIN, {7: (STRUCT, not_sorted)})
        rows, packed = len(places), self._places().packed(places, dictionary.count)
        second = _data_page(packed, RLE_DICTIONARY, rows, dictionary.bounds)
        return _chunk(name, kind, rows, [first, second], dictionary.bounds, dictionary.text_bytes)

    def _flags(self, name: str, column: pa.ChunkedArray) -> ColumnChunk:
        """Bits, of which nobody makes a dictionary."""
        flags = np.concatenate([piece.to_numpy(zero_copy_only=False) for piece in column.chunks])
        page = _data_page(np.packbits(flags, bitorder="little").data, PLAIN, len(flags), {})
        return _chunk(name, BOOLEAN, len(flags), [page], {}, None)

    def _plain(
        self, name: str, column: pa.ChunkedArray, kind: int, dtype: np.dtype[Any], *, bounded: bool
    ) -> ColumnChunk | None:
        as_numbers = _NUMBERS[value_bytes(column.type)]
        values = np.concatenate([array.view(as_numbers).to_numpy() for array in column.chunks])
        if values.itemsize != dtype.itemsize:
            values = values.astype(dtype)
        values, rows = values.view(dtype), len(column)
        bounds = _bounds(values) if bounded else {}
        if bounds is None:
            return None
        page = _data_page(values.view(np.uint8).data, PLAIN, rows, bounds)
        return _chunk(name, kind, rows, [page], bounds, None)


@dataclass(frozen=True, slots=True)
class _Page:
    kind: int
    encoding: int
    header: bytes
    body: bytes
    decompressed: int

    @property
    def size(self) -> int:
        return len(self.header) + len(self.body)


def _page(content: bytes | memoryview, kind: int, encoding: int, said: Struct) -> _Page:
    # As bytes: for a buffer of its own, Arrow gives Python's lock away six times instead of two, and waits for it.
    body = pa.Codec("zstd", compression_level=1).compress(content, asbytes=True)
    checksum = zlib.crc32(body)
    header = write_struct(
        {
            1: (I32, kind),
            2: (I32, len(content)),
            3: (I32, len(body)),
            4: (I32, checksum - (checksum >> 31 << 32)),
            **said,
        }
    )
    return _Page(kind, encoding, header, body, len(header) + len(content))


def _rows_of(places: npt.NDArray[np.integer], values: int) -> list[int]:
    """How many rows have each of so many values."""
    if values > _FEW_VALUES:
        return np.bincount(places, minlength=values).tolist()
    return [int(np.count_nonzero(places == place)) for place in range(values)]


def _data_page(values: memoryview, encoding: int, rows: int, bounds: Struct) -> _Page:
    said = {1: (I32, rows), 2: (I32, encoding), 3: (I32, RLE), 4: (I32, RLE), 5: (STRUCT, bounds)}
    return _page(b"".join((_levels(rows), values)), DATA_PAGE, encoding, {5: (STRUCT, said)})


def _levels(rows: int) -> bytes:
    """Of each row that it has a value: a run of so many ones."""
    run = bytearray()
    put_varint(run, rows << 1)
    run.append(1)
    return len(run).to_bytes(4, "little") + run


def _bounds(values: npt.NDArray[Any]) -> Struct | None:
    """What is said of the lowest and the highest number; None if one of them is none."""
    lowest, highest = values.min(), values.max()
    if lowest != lowest:
        return None
    if values.dtype.kind == "f":  # either zero counts as the other, so the bounds are those of both
        lowest, highest = (-abs(lowest) if lowest == 0 else lowest), (abs(highest) if highest == 0 else highest)
    # The first two are an older form, which texts have not, for they were compared wrongly.
    older: Struct = {1: (BINARY, highest.tobytes()), 2: (BINARY, lowest.tobytes())}
    return older | _said_bounds(lowest.tobytes(), highest.tobytes())


def _said_bounds(lowest: bytes, highest: bytes) -> Struct:
    return {3: (I64, 0), 5: (BINARY, highest), 6: (BINARY, lowest), 7: (TRUE, None), 8: (TRUE, None)}


def _chunk(
    name: str, kind: int, rows: int, pages: Sequence[_Page], bounds: Struct, text_bytes: int | None
) -> ColumnChunk:
    size, decompressed = sum(page.size for page in pages), sum(page.decompressed for page in pages)
    sizes: Struct = {} if text_bytes is None else {1: (I64, text_bytes)}
    with_dictionary = len(pages) > 1
    said: Struct = {
        1: (I32, kind),
        2: (LIST, (I32, [PLAIN, RLE, RLE_DICTIONARY] if with_dictionary else [RLE, PLAIN])),
        3: (LIST, (BINARY, [name.encode()])),
        4: (I32, ZSTD),
        5: (I64, rows),
        6: (I64, decompressed),
        7: (I64, size),
        9: (I64, size - pages[-1].size),
        **({11: (I64, 0)} if with_dictionary else {}),
        **({12: (STRUCT, bounds)} if bounds else {}),
        13: (
            LIST,
            (STRUCT, [{1: (I32, page.kind), 2: (I32, page.encoding), 3: (I32, 1)} for page in pages]),
        ),
        16: (STRUCT, {**sizes, 2: (LIST, (I64, [])), 3: (LIST, (I64, [0, rows]))}),
    }
    pieces = [piece for page in pages for piece in (page.header, page.body)]
    return ColumnChunk(pieces, size, decompressed, {2: (I64, 0), 3: (STRUCT, said)})
