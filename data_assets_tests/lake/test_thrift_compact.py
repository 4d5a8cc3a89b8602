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
    read_list,
    read_struct,
    write_fields,
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


@given(_structs(2), st.integers(1, 5))
def test_what_is_left_as_its_bytes_is_written_again(fields: Struct, depth: int) -> None:
    written = write_struct(fields)
    found, end = read_struct(written, 0, depth)
    assert end == len(written)
    assert write_struct(found) == written


def test_of_what_lies_deeper_there_are_the_bytes() -> None:
    inner: Struct = {1: (I32, 5), 2: (LIST, (I32, [1, 2]))}
    fields: Struct = {1: (I32, 7), 2: (STRUCT, inner), 3: (LIST, (STRUCT, [inner])), 4: (BINARY, b"ab")}
    written = write_struct(fields)
    found, _ = read_struct(written, 0, 1)
    assert {field: found[field] for field in (1, 4)} == {field: fields[field] for field in (1, 4)}
    assert found[2] == (STRUCT, write_struct(inner))
    assert read_list(found[3][1]) == [inner]
    deeper, _ = read_struct(written, 0, 2)
    assert deeper[2] == (STRUCT, {**inner, 2: (LIST, b"\x25\x02\x04")})
    assert deeper[3] == (LIST, (STRUCT, [write_struct(inner)]))


@given(_structs(2), st.data())
def test_fields_that_are_written_apart_are_those_of_one_struct(fields: Struct, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(fields)))
    first, second = dict(list(fields.items())[:cut]), dict(list(fields.items())[cut:])
    apart = write_fields(first, 0) + write_fields(second, max(first, default=0)) + b"\0"
    assert apart == write_struct(fields)


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
