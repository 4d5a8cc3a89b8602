"""What compiled code says of the pages of a row group is what is decided page by page, or it says nothing."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake import encoded_groups, page_checksums
from data_assets.lake.encoded_groups import MAGIC, FileFooter, RowGroupEncoder
from data_assets.lake.errors import Corrupt
from data_assets.lake.lone_groups import LoneGroup, LoneGroups
from data_assets.lake.page_checksums import Chunk, hold_at_once, pages_hold
from data_assets.lake.parquet_numbers import DATA_PAGE, PLAIN, RLE
from data_assets.lake.thrift_compact import BINARY, DOUBLE, I32, LIST, STRUCT, Struct, write_struct
from data_assets_tests.compiled_code import needs_compiler, said_sanitized, without_compiled_code
from data_assets_tests.lake.column_kinds import KINDS
from data_assets_tests.lake.odd_pages import hold_page_by_page, odd_group

pytestmark = needs_compiler


def stored(rows: pl.DataFrame, sort_by: Sequence[str] = (), plain: Sequence[str] = (), *, by_arrow: bool) -> LoneGroup:
    """A row group as the lake writes it, read back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded_groups, "FEWEST_ROWS", rows.height + 1 if by_arrow else 1)
        encoder = RowGroupEncoder(rows.head(0).to_arrow().schema, sort_by, plain, 1000)
        footer, group = FileFooter(encoder), encoder.encode(rows, {})
    footer.add(group, len(MAGIC))
    file = b"".join((MAGIC, group.data, footer.to_bytes({})))
    return LoneGroups(pq.read_metadata(io.BytesIO(file)), "a file").alone(0, bytes(group.data))


@st.composite
def groups(draw: st.DrawFn) -> LoneGroup:
    """Some columns, with and without nulls."""
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    height = draw(st.integers(1, 60))
    columns = []
    for name in names:
        kind, values = KINDS[name]
        some = draw(st.lists(st.none() | values if draw(st.booleans()) else values, min_size=1, max_size=6))
        if isinstance(kind, pl.Datetime):
            some = [value and value.replace(tzinfo=UTC) for value in some]
        columns.append(pl.Series(name, [some[row % len(some)] for row in range(height)], kind))
    sort_by, plain = (draw(st.lists(st.sampled_from(names), unique=True)) for _ in range(2))
    return stored(pl.DataFrame(columns), sort_by, plain, by_arrow=draw(st.booleans()))


@settings(max_examples=200)
@given(groups())
def test_every_page_that_the_lake_writes_holds_at_once(group: LoneGroup) -> None:
    assert hold_page_by_page(group.file, group.chunks)
    assert hold_at_once(group.file, group.chunks)


@settings(max_examples=200)
@given(groups(), st.data())
def test_damaged_bytes_hold_at_once_only_where_they_hold_page_by_page(group: LoneGroup, drawn: st.DataObject) -> None:
    data = bytearray(group.file)
    for _ in range(drawn.draw(st.integers(1, 3))):
        chunk = drawn.draw(st.sampled_from(group.chunks))
        data[drawn.draw(st.integers(chunk.start, chunk.end - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
    damaged = bytes(data[: drawn.draw(st.integers(0, len(data)))] if drawn.draw(st.booleans()) else data)
    if hold_at_once(damaged, group.chunks):
        assert hold_page_by_page(damaged, group.chunks)


@settings(max_examples=1000)
@given(st.integers(0, 2**32))
def test_odd_pages_hold_at_once_only_where_they_hold_page_by_page(seed: int) -> None:
    data, chunks, usual = odd_group(random.Random(seed))
    if hold_at_once(data, chunks):
        assert hold_page_by_page(data, chunks)
    else:
        assert not usual


BODY = b"what was written"
CHECKSUM = zlib.crc32(BODY)
OF_DATA: Struct = {1: (I32, 9), 2: (I32, PLAIN), 3: (I32, RLE), 4: (I32, RLE)}
HEADER: Struct = {
    **{1: (I32, DATA_PAGE), 2: (I32, 72), 3: (I32, len(BODY)), 4: (I32, CHECKSUM - (CHECKSUM >> 31 << 32))},
    5: (STRUCT, OF_DATA),
}


def of_one_page(header: bytes) -> tuple[bytes, Chunk]:
    data = header + BODY
    return data, Chunk("bid", 0, len(data), 9, len(header) + 72, {(DATA_PAGE, PLAIN): 1}, 8)


def with_bounds(bounds: Struct) -> bytes:
    return write_struct({**HEADER, 5: (STRUCT, {**OF_DATA, 5: (STRUCT, bounds)})})


USUAL = write_struct(HEADER)
SPELLED_OTHERWISE = {
    "in another order": write_struct(dict(reversed(HEADER.items()))),
    "with a number for a field that is next": b"\x05\x02" + USUAL[1:],
    "with a list of bounds": with_bounds({1: (LIST, (BINARY, []))}),
    "with bounds of numbers": with_bounds({1: (DOUBLE, 0.5)}),
    "with bounds in another order": with_bounds({2: (BINARY, b""), 1: (BINARY, b"")}),
}


@pytest.mark.parametrize("header", SPELLED_OTHERWISE.values(), ids=SPELLED_OTHERWISE)
def test_what_is_spelled_otherwise_is_decided_page_by_page(header: bytes) -> None:
    usual, chunk = of_one_page(USUAL)
    assert hold_at_once(usual, [chunk])
    data, chunk = of_one_page(header)
    assert not hold_at_once(data, [chunk])
    assert pages_hold(data, [chunk], "a file")


def test_numbers_of_more_than_64_bits_are_decided_page_by_page() -> None:
    data, chunk = of_one_page(USUAL)
    assert not hold_at_once(data, [replace(chunk, values=chunk.values + 2**64)])


def test_a_number_below_zero_is_not_taken_for_a_large_one() -> None:
    data, chunk = of_one_page(write_struct({**HEADER, 2: (I32, -1)}))
    header = len(data) - len(BODY)
    assert not hold_at_once(data, [replace(chunk, decompressed=header + 2**32 - 1)])
    assert pages_hold(data, [replace(chunk, decompressed=header - 1)], "a file")


def test_a_count_of_pages_that_are_not_there_does_not_hold() -> None:
    data, chunk = of_one_page(USUAL)
    for kind in [(DATA_PAGE, PLAIN + 8), (DATA_PAGE, 77)]:
        counted = replace(chunk, pages={**chunk.pages, kind: 0})
        assert not hold_at_once(data, [counted])
        assert not pages_hold(data, [counted], "a file")


def test_with_and_without_compiled_code_damage_is_told_in_the_same_words() -> None:
    data, chunk = of_one_page(USUAL)
    damaged = data[:-1] + b"?"
    with pytest.raises(Corrupt) as compiled:
        pages_hold(damaged, [chunk], "a file")
    with without_compiled_code():
        assert not hold_at_once(data, [chunk])
        assert pages_hold(data, [chunk], "a file")
        with pytest.raises(Corrupt) as page_by_page:
            pages_hold(damaged, [chunk], "a file")
    assert str(compiled.value) == str(page_by_page.value)


@pytest.mark.slow
def test_nothing_is_read_out_of_bounds(tmp_path: Path) -> None:
    source = Path(page_checksums.__file__).with_suffix(".c")
    held = said_sanitized(source, "data_assets_tests.lake.odd_pages", tmp_path / "sanitized.so")
    assert int(held) > 1000, "groups of pages that held to their end"
