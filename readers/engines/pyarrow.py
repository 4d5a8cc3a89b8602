"""pyarrow: a dataset of the folder with hive partitioning."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds

from readers.content import BOOLEAN, DATE, DOUBLE, INSTANT, INT16, INT64, TEXT, Content, content_of
from readers.engines.answer import answer

KINDS = {
    pa.float64(): DOUBLE,
    pa.int64(): INT64,
    pa.int16(): INT16,
    pa.large_string(): TEXT,
    pa.date32(): DATE,
    pa.timestamp("us", "UTC"): INSTANT,
    pa.bool_(): BOOLEAN,
}


def read(folder: str) -> Content:
    table = ds.dataset(folder, partitioning="hive").to_table()
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return content_of(columns, {field.name: _kind(field.type) for field in table.schema})


def _kind(dtype: pa.DataType) -> str:
    is_text = pa.types.is_dictionary(dtype) and pa.types.is_string(dtype.value_type)
    return TEXT if is_text else KINDS.get(dtype, str(dtype))


answer(read)
