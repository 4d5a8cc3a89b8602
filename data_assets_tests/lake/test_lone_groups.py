"""The file that is made of a row group is as if its footer were taken apart and written as a whole."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_assets.lake.encoded_groups import MAGIC, ending
from data_assets.lake.lone_groups import LoneGroups
from data_assets.lake.thrift_compact import I64, LIST, STRUCT, Struct, read_struct, write_struct
from data_assets_tests.lake.test_page_checksums import OF_THE_LAKE, OTHERS, with_footer, written

PLACES = {9, 11}
"""The fields of a column that say where its pages and its dictionary are."""
LEFT_OUT = {10, 12, 14, 15}


def footer_of(data: bytes) -> Struct:
    """What Arrow understands of a file's footer."""
    out = io.BytesIO()
    pq.read_metadata(io.BytesIO(data)).write_metadata_file(out)
    return read_struct(out.getvalue(), len(MAGIC))[0]


def whole(footer: Struct, data: bytes, rows: int, groups: list[Struct]) -> bytes:
    return MAGIC + data + ending(write_struct({**footer, 3: (I64, rows), 4: (LIST, (STRUCT, groups))}))


def written_whole(footer: Struct, number: int, start: int, data: bytes) -> bytes:
    """The file of a row group whose bytes begin at ``start``."""
    group = footer[4][1][1][number]
    columns = []
    for chunk in group[1][1][1]:
        column = {
            field: (kind, value + len(MAGIC) - start if field in PLACES else value)
            for field, (kind, value) in chunk[3][1].items()
            if field not in LEFT_OUT and (field, value) != (11, 0)
        }
        columns.append({2: (I64, 0), 3: (STRUCT, column)})
    alone = {1: (LIST, (STRUCT, columns)), 2: group[2], 3: group[3]}
    return whole(footer, data, group[3][1], [alone])


FILES = {
    "row groups of the lake's form": written(OF_THE_LAKE, row_group_size=20),
    "a dictionary at byte zero": with_footer(
        written(OF_THE_LAKE, use_dictionary=False), lambda column: column.update({11: (I64, 0)})
    ),
    "metadata": written(OF_THE_LAKE.replace_schema_metadata({"data_assets.dataset": "theta", "a": "é" * 300})),
    "many columns": written(pa.table({str(number): [number] for number in range(40)})),
    **{name: written(table, **options) for name, (table, options) in OTHERS.items()},
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_file_of_a_row_group_is_that_of_a_footer_written_whole(data: bytes) -> None:
    footer, groups = footer_of(data), LoneGroups(pq.read_metadata(io.BytesIO(data)), "a file")
    assert groups.without_groups() == whole(footer, b"", 0, [])
    for number in range(len(footer[4][1][1])):
        start, end = groups.place(number)
        alone = groups.alone(number, data[start:end])
        assert alone.file == written_whole(footer, number, start, data[start:end])


def described(footer: Struct, number: int) -> list[Any]:
    """What is said of the column chunks of a row group, where they are in the whole file."""
    found = []
    for chunk in footer[4][1][1][number][1][1][1]:
        said = {field: value for field, (_, value) in chunk[3][1].items()}
        start = min(said[9], said.get(11) or said[9])
        pages = {(page[1][1], page[2][1]): page[3][1] for page in said[13][1]}
        name = b".".join(said[3][1]).decode()
        found.append((name, start, start + said[7], said[5], said[6], pages))
    return found


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_chunks_of_a_row_group_are_those_that_the_footer_describes(data: bytes) -> None:
    footer, groups = footer_of(data), LoneGroups(pq.read_metadata(io.BytesIO(data)), "a file")
    for number in range(len(footer[4][1][1])):
        start, end = groups.place(number)
        by = start - len(MAGIC)
        chunks = groups.alone(number, data[start:end]).chunks
        found = [(c.column, c.start + by, c.end + by, c.values, c.decompressed, c.pages) for c in chunks]
        assert found == described(footer, number)
        assert start == min((first for _, first, *_ in found), default=0)
        assert end == max((behind for _, _, behind, *_ in found), default=0)
