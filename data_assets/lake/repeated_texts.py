"""Columns of text as they are encoded best: each stretch of rows with the same text said once.

In sorted rows a text stands in thousands of rows, one after another. Given row by row, Arrow copies and looks up each
of them, which for a day of quotes is an eighth of all encoding; given as places in a dictionary, it writes these. The
file's bytes are the same, as long as the texts of a row group fit a dictionary page of Arrow's (1 MiB): of more, it
would write the rest as they are, and it writes a dictionary that it is given as a whole. No dataset has so many.

Here: the form that is given. Not here: the file (``parquet_file``).
"""

from __future__ import annotations

import base64
from collections.abc import Collection

import numpy as np
import polars as pl
import pyarrow as pa

_SCHEMA_KEY = "ARROW:schema"
_FEW = 4  # rows of a stretch on average, for looking for stretches to be worth it


class RepeatedTexts:
    """Gives rows to the writer of one file.

    Attributes:
        schema: what the writer is made with, without `store_schema`.
        metadata: what goes into the file instead, so that readers find the schema of the rows.
    """

    def __init__(self, schema: pa.Schema, plain: Collection[str]) -> None:
        """Give rows of ``schema``, the columns of ``plain`` as they are."""
        self._texts = [
            field.name for field in schema if pa.types.is_large_string(field.type) and field.name not in plain
        ]
        self.schema = pa.schema(
            field.with_type(pa.dictionary(pa.int32(), field.type)) if field.name in self._texts else field
            for field in schema
        )
        self.metadata = {_SCHEMA_KEY: base64.b64encode(schema.serialize().to_pybytes()).decode()}

    def table(self, rows: pl.DataFrame) -> pa.Table:
        """Rows for the writer, which refuses those that have not the columns of the schema."""
        kept = {name: rows.get_column(name) for name in rows.columns if name not in self._texts}
        others = pl.DataFrame(kept).to_arrow()
        columns = {
            name: _by_stretches(rows.get_column(name)) if name in self._texts else others.column(name)
            for name in rows.columns
        }
        return pa.table(columns)


def _by_stretches(texts: pl.Series) -> pa.Array:
    if len(texts) and texts.null_count() == 0:
        if (texts == texts[0]).all():  # as in most files, and told four times as fast
            return pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(texts), np.int32)), texts[:1].to_arrow())
        stretches = texts.rle().struct
        if len(lengths := stretches.field("len")) * _FEW <= len(texts):
            said = stretches.field("value").to_arrow().dictionary_encode()
            places = np.repeat(said.indices.to_numpy(), lengths.to_numpy())
            return pa.DictionaryArray.from_arrays(pa.array(places), said.dictionary)
    return texts.to_arrow().dictionary_encode()
