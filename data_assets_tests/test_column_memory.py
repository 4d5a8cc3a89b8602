"""Columns as they lie in memory: where, how wide, and for how long."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import polars as pl
import pytest

from data_assets.column_memory import NewColumns, as_it_lies

RIGHT = pl.Enum(["CALL", "PUT"])
OF_NUMBERS = {
    **{dtype: np.dtype(f"i{width}") for dtype, width in ((pl.Int8, 1), (pl.Int16, 2), (pl.Int32, 4), (pl.Int64, 8))},
    **{dtype: np.dtype(f"u{width}") for dtype, width in ((pl.UInt8, 1), (pl.UInt16, 2), (pl.UInt32, 4))},
    **{pl.UInt64: np.dtype("u8"), pl.Float32: np.dtype("f4"), pl.Float64: np.dtype("f8")},
    **{pl.Date: np.dtype("i4"), pl.Datetime("us", "UTC"): np.dtype("i8"), pl.Datetime("ms"): np.dtype("i8")},
}
ROWS = 50_000  # whose memory, once it is free, is taken by whoever asks next


@pytest.mark.parametrize("dtype", OF_NUMBERS, ids=str)
@pytest.mark.parametrize("first", [0, 7])
def test_values_lie_where_it_says_as_long_as_it_is_held(dtype: pl.DataType, first: int):
    values = np.arange(ROWS) % 100
    column = pl.Series(values).cast(dtype).slice(first)
    memory = as_it_lies(column)
    assert memory is not None
    del column
    gc.collect()
    taken = [pl.Series(np.full(ROWS, 77)).cast(dtype) for _ in range(20)]
    lying = np.frombuffer(ctypes.string_at(memory.address, memory.rows * memory.width), OF_NUMBERS[dtype])
    assert (lying == values[first:]).all()
    assert (memory.rows, memory.dtype, len(taken)) == (ROWS - first, dtype, 20)


def test_an_enum_lies_as_places_and_a_text_as_its_view():
    places = as_it_lies(pl.Series(["PUT", "CALL"], dtype=RIGHT))
    texts = as_it_lies(pl.Series(["SPX", "SPXW", "SPX"]))
    assert places is not None
    assert texts is not None
    assert (ctypes.string_at(places.address, 2), places.width) == (b"\1\0", 1)
    views = [ctypes.string_at(texts.address + row * texts.width, 16) for row in range(3)]
    assert texts.width == 16
    assert views[0] == views[2] != views[1]
    assert views[1] == (4).to_bytes(4, "little") + b"SPXW".ljust(12, b"\0")


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([1, None]),
        pl.concat([pl.Series([1]), pl.Series([2])], rechunk=False),
        pl.Series([True, False]),
        pl.Series(["CALL", "PUT"], dtype=pl.Categorical),
        pl.Series([[1], [2]]),
    ],
    ids=["a null", "two pieces", "flags", "categories that grow", "lists"],
)
def test_others_are_not_given(column: pl.Series):
    assert as_it_lies(column) is None


def test_what_was_written_becomes_columns_of_their_types():
    dtypes = {"strike": pl.Float64(), "right": RIGHT, "at": pl.Datetime("us", "UTC"), "size": pl.Int16()}
    new = NewColumns(dtypes, 3)
    assert new.widths == {"strike": 8, "right": 1, "at": 8, "size": 2}
    ctypes.memmove(new.addresses["strike"], np.array([390.0, 400.0, 410.0]).tobytes(), 24)
    ctypes.memmove(new.addresses["right"], b"\0\1\0", 3)
    ctypes.memmove(new.addresses["at"], np.array([0, 1, 2]).tobytes(), 24)
    ctypes.memmove(new.addresses["size"], np.array([1, -1, 300], np.int16).tobytes(), 6)
    written = pl.DataFrame(new.written())
    del new
    gc.collect()
    assert written.schema == dtypes
    assert written["strike"].to_list() == [390.0, 400.0, 410.0]
    assert written["right"].to_list() == ["CALL", "PUT", "CALL"]
    assert written["at"].to_physical().to_list() == [0, 1, 2]
    assert written["size"].to_list() == [1, -1, 300]
