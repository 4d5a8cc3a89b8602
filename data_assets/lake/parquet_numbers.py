"""The numbers by which a Parquet file names types, pages, encodings and compression: those of `parquet.thrift`."""

from __future__ import annotations

BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY = 0, 1, 2, 4, 5, 6
OPTIONAL = 1
DATA_PAGE, DICTIONARY_PAGE = 0, 2
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
ZSTD = 6
