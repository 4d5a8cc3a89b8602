"""fastparquet: a `ParquetFile` of the folder, as a pandas frame."""

from __future__ import annotations

from typing import Any

import fastparquet
import pandas as pd

from readers.content import BOOLEAN, DOUBLE, INT16, INT64, TEXT, Content, content_of
from readers.engines.answer import answer

MIDNIGHT = "datetime64[ns]"
KINDS = {"float64": DOUBLE, "Int64": INT64, "Int16": INT16, "object": TEXT, "boolean": BOOLEAN}


def read(folder: str) -> Content:
    frame = fastparquet.ParquetFile(folder).to_pandas()
    kinds = {name: KINDS.get(str(dtype), str(dtype)) for name, dtype in frame.dtypes.items()}
    return content_of({name: _values(frame[name]) for name in frame.columns}, kinds)


def _values(column: pd.Series) -> list[Any]:
    """As Python values: a midnight is the day it begins, where the kind says that days are shown so."""
    values = [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
    if str(column.dtype) == MIDNIGHT:
        return [value.date() if value == value.normalize() else value for value in values]
    return values


answer(read)
