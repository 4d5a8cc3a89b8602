"""What decodes a row group, and that it decodes nothing but what was written."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake.errors import Corrupt
from data_assets.lake.lake import Lake
from data_assets.lake.lone_groups import LoneGroups
from data_assets.lake.page_checksums import every_page_holds
from data_assets.lake.parquet_file import row_groups
from data_assets.lake.storage import open_storage
from data_assets.lake.thrift_compact import I32, I64, LIST, Struct, read_struct, write_struct
from data_assets.vendors.ib import schema as ib
from data_assets.vendors.polygon import schema as polygon
from data_assets.vendors.theta import schema as theta
from data_assets_tests.lake.conftest import s3_app, s3_server
from data_assets_tests.lake.lake_days import DATASET, DAY, provenance, quotes, store

MAGIC = 4
ROWS = quotes(expirations=2, strikes=10, minutes=20)
AS_STORED = {"compression": "zstd", "write_page_checksum": True}


def by_arrow(data: bytes) -> list[pl.DataFrame]:
    """The row groups as pyarrow reads them from the whole file."""
    parquet = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
    return [pl.DataFrame(parquet.read_row_group(group)) for group in range(parquet.num_row_groups)]


def read(data: bytes) -> list[pl.DataFrame]:
    return list(row_groups(io.BytesIO(data), "a file"))


def assert_read_as_by_arrow(data: bytes) -> None:
    found, right = read(data), by_arrow(data)
    assert len(found) == len(right)
    for mine, theirs in zip(found, right, strict=True):
        assert mine.schema == theirs.schema
        assert mine.equals(theirs)


def all_pages_hold(data: bytes) -> bool:
    """Whether Polars may decode all of a file: it is of the lake's form, and every page has its checksum."""
    metadata = pq.read_metadata(io.BytesIO(data))
    groups = LoneGroups(metadata, "a file")
    if not groups.are_as_the_lake_writes_them():
        return False
    for group in range(metadata.num_row_groups):
        start, end = groups.place(group)
        alone = groups.alone(group, data[start:end])
        if not all(every_page_holds(alone.file, chunk, "a file") for chunk in alone.chunks):
            return False
    return True


def written(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **{**AS_STORED, **options})
    return out.getvalue()


def footer_start(data: bytes) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def with_footer(data: bytes, change: Callable[[Struct], None]) -> bytes:
    """The file with what `change` makes of its first column chunk's metadata."""
    start = footer_start(data)
    fields, _ = read_struct(data, start)
    change(fields[4][1][1][0][1][1][1][0][3][1])
    footer = write_struct(fields)
    return data[:start] + footer + len(footer).to_bytes(4, "little") + data[-4:]


def flipped(data: bytes, position: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A day's file of two row groups."""
    folder = tmp_path_factory.mktemp("lake")
    rows = quotes(expirations=2, strikes=80, minutes=391)
    return (folder / store(Lake(str(folder), synthetic=True), rows).path).read_bytes()


def test_what_the_lake_writes_is_for_polars(stored: bytes) -> None:
    assert pq.read_metadata(io.BytesIO(stored)).num_row_groups == 2
    assert all_pages_hold(stored)
    assert_read_as_by_arrow(stored)


VALUES: dict[Any, list[Any]] = {
    pl.String: ["QQQ", "SPXW", "", "é"],
    pl.Date: [date(2024, 1, 3), date(1969, 7, 20)],
    pl.Datetime: [datetime(2024, 1, 3, 14, 30, tzinfo=UTC), datetime(1960, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
    pl.Float64: [0.01, -0.0, float("nan"), float("inf"), 1e300],
    pl.Float32: [0.5, -1.0],
    pl.Boolean: [True, False],
}


def made_up(schema: pl.Schema) -> pl.DataFrame:
    """Sixty rows of any schema, with missing values in every column."""

    def column(name: str, dtype: pl.DataType) -> pl.Series:
        known = list(dtype.categories) if isinstance(dtype, pl.Enum) else VALUES.get(dtype.base_type(), [0, 1, 100])
        return pl.Series(name, [known[row % len(known)] if row % 7 else None for row in range(60)], dtype)

    return pl.DataFrame([column(name, dtype) for name, dtype in schema.items()])


SCHEMAS = {
    "theta quotes": (theta.QUOTES.schema, ()),
    "theta greeks": (theta.GREEKS.schema, ()),
    "theta open interest": (theta.OPEN_INTEREST.schema, ()),
    "theta end of day": (theta.EOD.schema, ()),
    "polygon": (polygon.SCHEMA, polygon.PLAIN),
    "ib": (ib.SCHEMA, ()),
}


@pytest.mark.parametrize(("schema", "plain"), SCHEMAS.values(), ids=SCHEMAS)
def test_every_dataset_has_the_same_rows_and_types(tmp_path: Path, schema: pl.Schema, plain: tuple[str, ...]) -> None:
    lake, rows = Lake(str(tmp_path), synthetic=True), made_up(schema)
    with lake.writer(DATASET, DAY, rows.to_arrow().schema, (schema.names()[0],), plain=plain) as writer:
        writer.write(rows)
        file = writer.finish(provenance()).publish()
    data = (tmp_path / file.path).read_bytes()
    assert all_pages_hold(data)
    assert_read_as_by_arrow(data)
    assert read(data)[0].schema == schema


def by_duckdb(rows: pl.DataFrame, path: Path) -> None:
    rows = rows.cast({"right": pl.String})
    duckdb.sql(f"COPY rows TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)")


def by_polars(rows: pl.DataFrame, path: Path) -> None:
    rows.write_parquet(path, row_group_size=300)


@pytest.mark.parametrize("write", [by_duckdb, by_polars])
def test_pages_without_a_checksum_are_arrows(tmp_path: Path, write: Callable[[pl.DataFrame, Path], None]) -> None:
    write(ROWS, path := tmp_path / "file")
    data = path.read_bytes()
    assert not all_pages_hold(data)
    assert_read_as_by_arrow(data)


OF_THE_LAKE = pa.table({"price": [0.01, None, 2.5] * 50, "name": pa.array(["QQQ", None, "é"] * 50, pa.large_string())})


@pytest.mark.parametrize(
    "options",
    [{}, {"use_dictionary": False}, {"row_group_size": 40}, {"data_page_size": 16, "write_batch_size": 10}],
    ids=str,
)
def test_pages_of_the_lakes_form_are_for_polars(options: dict[str, Any]) -> None:
    data = written(OF_THE_LAKE, **options)
    assert all_pages_hold(data)
    assert_read_as_by_arrow(data)


OTHERS: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    "no checksums": (OF_THE_LAKE, {"write_page_checksum": False}),
    "second version of pages": (OF_THE_LAKE, {"data_page_version": "2.0"}),
    "snappy": (OF_THE_LAKE, {"compression": "snappy"}),
    "not compressed": (OF_THE_LAKE, {"compression": "none"}),
    "brotli": (OF_THE_LAKE, {"compression": "brotli"}),
    "byte stream split": (OF_THE_LAKE, {"use_dictionary": False, "column_encoding": {"price": "BYTE_STREAM_SPLIT"}}),
    "bloom filters": (OF_THE_LAKE, {"bloom_filter_options": {"name": {"ndv": 10}}}),
    "page index": (OF_THE_LAKE, {"write_page_index": True}),
    "never missing": (pa.table([[1, 2]], pa.schema([pa.field("a", pa.int64(), nullable=False)])), {}),
    "lists": (pa.table({"a": [[1, 2], None, []], "b": [1, 2, 3]}), {"write_statistics": False}),
    "structs": (pa.table({"a": [{"b": 1}, None], "c": ["x", "y"]}), {"write_statistics": False}),
    "dates of 64 bits": (pa.table({"a": pa.array([date(2024, 1, 3), None], pa.date64())}), {}),
    "instants of 96 bits": (
        pa.table({"a": pa.array([1, None], pa.timestamp("us", "UTC"))}),
        {"use_deprecated_int96_timestamps": True},
    ),
    "nothing but missing": (pa.table({"a": pa.nulls(3)}), {"store_schema": False}),
    "dictionaries": (pa.table({"a": pa.array(["x", None, "y"]).dictionary_encode()}), {}),
    "durations": (pa.table({"a": pa.array([1, None], pa.duration("ms"))}), {"write_statistics": False}),
    "decimals": (pa.table({"a": [Decimal("1.5"), None]}), {}),
    "bytes of one length": (pa.table({"a": pa.array([b"ab", None], pa.binary(2))}), {}),
    "numbers of every width": (
        pa.table({str(kind): pa.array([1, None], kind) for kind in (pa.int8(), pa.uint8(), pa.uint32(), pa.float32())}),
        {"store_schema": False},
    ),
    "largest unsigned": (pa.table({"a": pa.array([2**64 - 1, None], pa.uint64())}), {}),
    "local times": (pa.table({"a": pa.array([1, None], pa.timestamp("ns", "America/New_York"))}), {}),
    "documents": (pa.table({"a": pa.array(["{}", None], pa.json_())}), {"write_statistics": False}),
    "no columns": (pa.table({}), {}),
    "no rows": (OF_THE_LAKE.slice(0, 0), {}),
}


@pytest.mark.parametrize(("table", "options"), OTHERS.values(), ids=OTHERS)
def test_files_of_any_form_have_the_rows_and_types_that_arrow_finds(table: pa.Table, options: dict[str, Any]) -> None:
    assert_read_as_by_arrow(written(table, **options))


def test_a_dictionary_at_byte_zero_is_none() -> None:
    plain = written(pa.table({"a": [1.0, 2.0]}), use_dictionary=False)
    said = with_footer(plain, lambda column: column.update({11: (I64, 0)}))
    assert read(said)[0].equals(by_arrow(plain)[0])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_of_a_page_is_damage(stored: bytes, drawn: st.DataObject) -> None:
    metadata = pq.read_metadata(io.BytesIO(stored))
    group = metadata.row_group(drawn.draw(st.integers(0, 1)))
    chunk = group.column(drawn.draw(st.integers(0, group.num_columns - 1)))
    start, end = chunk.dictionary_page_offset, chunk.dictionary_page_offset + chunk.total_compressed_size
    position = drawn.draw(st.integers(start, end - 1))
    at = start
    while True:
        header, begin = read_struct(stored, at)
        if position < begin + header[3][1]:
            break
        at = begin + header[3][1]
    damaged = flipped(stored, position, drawn.draw(st.integers(0, 7)))
    if position >= begin:
        with pytest.raises(Corrupt, match=f"a page of {chunk.path_in_schema} is not what its checksum was made of"):
            read(damaged)
        return
    try:
        found = read(damaged)
    except Corrupt:
        return
    for mine, right in zip(found, read(stored), strict=True):  # of a header, not all says something of the rows
        assert mine.schema == right.schema
        assert mine.equals(right)


@pytest.mark.parametrize("page", [0, 1], ids=["dictionary", "data"])
def test_what_pyarrow_finds_in_a_header_is_found(page: int) -> None:
    """Every bit of the headers of a column whose dictionary's size can be told from its bytes."""
    data = written(pa.table({"price": [0.01, None, 2.5] * 50}))
    right, at = by_arrow(data), MAGIC
    for _ in range(page):
        header, begin = read_struct(data, at)
        at = begin + header[3][1]
    for bit in range(8 * (read_struct(data, at)[1] - at)):
        damaged = flipped(data, at + bit // 8, bit % 8)
        try:
            by_arrow(damaged)
        except Exception:  # noqa: BLE001  pyarrow's for damage are of several kinds
            with pytest.raises(Corrupt):
                read(damaged)
            continue
        try:
            found = read(damaged)
        except Corrupt:
            continue
        assert found[0].equals(right[0])


def pages_are_counted_wrongly(column: Struct) -> None:
    column[13][1][1][0][3] = (I32, 7)


def values_are_counted_wrongly(column: Struct) -> None:
    column[5] = (I64, column[5][1] - 1)


def bytes_are_counted_wrongly(column: Struct) -> None:
    column[6] = (I64, column[6][1] + 1)


def pages_end_early(column: Struct) -> None:
    column[7] = (I64, column[7][1] - 3)


@pytest.mark.parametrize(
    "change", [pages_are_counted_wrongly, values_are_counted_wrongly, bytes_are_counted_wrongly, pages_end_early]
)
def test_pages_that_are_not_what_the_footer_says_are_not_for_polars(change: Callable[[Struct], None]) -> None:
    assert not all_pages_hold(with_footer(written(OF_THE_LAKE), change))


def rows_far_behind(column: Struct) -> None:
    column[9] = (I64, 2**40)
    column.pop(11)


def rows_of_no_length(column: Struct) -> None:
    column[7] = (I64, -(2**40))


def rows_before_the_file(column: Struct) -> None:
    column[9] = (I64, -9)
    column.pop(11)


@pytest.mark.parametrize("change", [rows_far_behind, rows_of_no_length, rows_before_the_file])
def test_rows_outside_of_the_file_are_damage(change: Callable[[Struct], None]) -> None:
    with pytest.raises(Corrupt, match="its footer says that rows are where it has no bytes"):
        read(with_footer(written(pa.table({"a": [1.0, 2.0]})), change))


def test_two_types_of_a_column_are_damage() -> None:
    """pyarrow, asked about such a column, ends the process."""
    with pytest.raises(Corrupt, match="its footer says two types of a column"):
        read(with_footer(written(OF_THE_LAKE), lambda column: column.update({1: (I32, 22)})))


def test_levels_that_are_counted_wrongly_are_damage() -> None:
    """pyarrow, asked about such a column, ends the process."""

    def change(column: Struct) -> None:
        column[16][1][2] = (LIST, (I64, [0, 0, 0, 0]))

    with pytest.raises(Corrupt, match="histogram"):
        read(with_footer(written(OF_THE_LAKE), change))


def test_a_name_that_is_no_text_is_damage() -> None:
    with pytest.raises(Corrupt, match="damaged"):
        read(written(OF_THE_LAKE, store_schema=False).replace(b"price", b"pr\xffce"))


def test_bytes_that_go_while_a_file_is_read_are_damage() -> None:
    file = io.BytesIO(written(OF_THE_LAKE, row_group_size=10))
    frames = row_groups(file, "a file")
    next(frames)
    file.seek(0)
    file.truncate(10)
    with pytest.raises(Corrupt, match="damaged"):
        list(frames)


@pytest.mark.slow
def test_a_store_is_asked_once_for_the_footer_and_once_for_each_row_group(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges: list[str] = []

    def noted(environ: dict[str, Any]) -> None:
        if environ["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in environ:
            ranges.append(environ["HTTP_RANGE"])

    app = s3_app()
    with s3_server(noted, app) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=bucket_url.split("/")[2])
        lake = Lake(bucket_url, synthetic=True)
        file = store(lake, quotes(expirations=2, strikes=80, minutes=391))
        ranges.clear()
        with open_storage(bucket_url).open(file.path) as opened:
            rows = sum(frame.height for frame in row_groups(opened, file.path))
    assert rows == file.rows
    assert len(ranges) == 1 + 2, ranges


PEAK = """
import resource, sys
from data_assets.lake.parquet_file import row_groups

scale = 1 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "rb") as file:
    for number, _ in enumerate(row_groups(file, sys.argv[1])):
        if number == 7:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale - early)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_row_groups(tmp_path: Path) -> None:
    rows = quotes(expirations=1, strikes=200, minutes=300)
    with pq.ParquetWriter(path := tmp_path / "file", rows.to_arrow().schema, **AS_STORED) as writer:
        for _ in range(32):
            writer.write_table(rows.to_arrow())
    assert all_pages_hold(path.read_bytes())
    run = subprocess.run([sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 4 * rows.estimated_size()
