"""Messages of Thrift's compact protocol are read to what they say, and written again byte for byte."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.thrift_compact import (
    BINARY,
    BYTE,
    DOUBLE,
    FALSE,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    NotThrift,
    Struct,
    read_struct,
    write_struct,
)

_NUMBERS = {I16: 15, I32: 31, I64: 63}


def _values(deep: int) -> st.SearchStrategy[tuple[int, Any]]:
    kinds = [
        *(st.tuples(st.just(kind), st.integers(-(2**bits), 2**bits - 1)) for kind, bits in _NUMBERS.items()),
        st.tuples(st.just(BYTE), st.integers(0, 255)),
        st.tuples(st.just(DOUBLE), st.floats(allow_nan=False)),
        st.tuples(st.just(BINARY), st.binary(max_size=300)),
    ]
    if deep:
        kinds.append(st.tuples(st.just(STRUCT), _structs(deep - 1)))
        kinds.append(
            st.sampled_from([I32, BINARY]).flatmap(
                lambda kind: st.tuples(
                    st.just(LIST),
                    st.tuples(
                        st.just(kind),
                        st.lists(st.binary(max_size=3) if kind == BINARY else st.integers(-9, 9), max_size=20),
                    ),
                )
            )
        )
    return st.one_of(kinds)


def _structs(deep: int) -> st.SearchStrategy[Struct]:
    flags = st.tuples(st.sampled_from([TRUE, FALSE]), st.none())
    fields = st.dictionaries(st.integers(1, 60), _values(deep) | flags, max_size=6)
    return fields.map(lambda found: dict(sorted(found.items())))


@given(_structs(2), st.binary(max_size=5))
def test_what_is_written_is_read_again(fields: Struct, behind: bytes) -> None:
    written = write_struct(fields)
    assert read_struct(written + behind) == (fields, len(written))


def _footer(rows: int) -> bytes:
    out = io.BytesIO()
    table = pa.table({"price": [float(row) for row in range(rows)], "name": ["QQQ"] * rows})
    pq.write_table(table, out, row_group_size=7, sorting_columns=[pq.SortingColumn(0)])
    data = out.getvalue()
    length = int.from_bytes(data[-8:-4], "little")
    return data[-8 - length : -8]


@pytest.mark.parametrize("rows", [0, 5, 200])
def test_a_footer_is_written_again_byte_for_byte(rows: int) -> None:
    footer = _footer(rows)
    fields, end = read_struct(footer)
    assert end == len(footer)
    assert fields[3] == (I64, rows)  # as parquet.thrift numbers them
    assert write_struct(fields) == footer


@given(st.data())
def test_damaged_bytes_are_no_message_or_another(data: st.DataObject) -> None:
    footer = bytearray(_footer(20))
    for _ in range(data.draw(st.integers(1, 3))):
        footer[data.draw(st.integers(0, len(footer) - 1))] = data.draw(st.integers(0, 255))
    cut = footer[: data.draw(st.integers(0, len(footer)))]
    try:
        _, end = read_struct(bytes(cut))
    except NotThrift:
        return
    assert end <= len(cut)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x18\x05ab", "ends in the middle"),
        (b"\x16" + b"\xff" * 11, "more than 64 bits"),
        (b"\x1c" * 40, "nests too deeply"),
        (b"\x19\x19" + b"\x19" * 40, "nests too deeply"),
        (b"\x1b\x00", "type 11"),
        (b"\x19\xfc\xff\xff\xff\x7f", "ends in the middle"),
    ],
)
def test_what_is_no_message_is_said(data: bytes, said: str) -> None:
    with pytest.raises(NotThrift, match=said):
        read_struct(data)
