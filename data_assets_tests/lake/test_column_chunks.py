"""Column chunks made without Arrow's writer are those that it makes, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake import dictionary_places, encoded_groups
from data_assets.lake.column_chunks import ColumnChunks
from data_assets.lake.encoded_groups import FileFooter, RowGroupEncoder
from data_assets.lake.parquet_file import ROW_GROUP_ROWS
from data_assets.vendors.polygon import schema as polygon
from data_assets.vendors.theta.schema import GREEKS, QUOTES
from data_assets_tests.compiled_code import needs_compiler, said_sanitized, without_compiled_code
from data_assets_tests.lake.column_kinds import KINDS

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_groups, "FEWEST_ROWS", 1)


def told(rows: pl.DataFrame, sort_by: Sequence[str] = (), plain: Sequence[str] = ()) -> tuple[bytes, ...]:
    """The bytes of a row group and of another behind it, and what is said of both."""
    encoder = RowGroupEncoder(rows.head(0).to_arrow().schema, sort_by, plain, ROW_GROUP_ROWS)
    footer, group = FileFooter(encoder), encoder.encode(rows, {})
    footer.add(group, 4)
    footer.add(another := encoder.encode(rows.head(1), {}), 4 + len(group.data))
    return bytes(group.data), bytes(another.data), footer.to_bytes({"a": "b"})


def by_arrow(rows: pl.DataFrame, sort_by: Sequence[str] = (), plain: Sequence[str] = ()) -> tuple[bytes, ...]:
    with without_compiled_code():
        return told(rows, sort_by, plain)


@contextmanager
def without_arrow() -> Iterator[None]:
    """No row group is Arrow's work meanwhile."""

    def refuse(*_: object) -> None:
        raise AssertionError("Arrow was asked to encode this row group")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowGroupEncoder, "_by_arrow", refuse)
        yield


@st.composite
def columns(draw: st.DrawFn) -> tuple[pl.DataFrame, bool, bool]:
    """A column in several pieces, whether it is a sort column, and whether it is plain."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind, values = KINDS[name]
    some = draw(st.lists(values, min_size=1, max_size=draw(st.sampled_from([1, 3, 20]))))
    stretches = st.tuples(st.integers(0, 300), st.sampled_from([1, 1, 1, 7, 8, 9, 40, 504, 505, 1000]))
    picked = [
        some[n % len(some)] for n, rows in draw(st.lists(stretches, min_size=1, max_size=60)) for _ in range(rows)
    ]
    if isinstance(kind, pl.Datetime):
        picked = [value.replace(tzinfo=UTC) for value in picked]
    column = pl.DataFrame({name: pl.Series(picked, dtype=kind)})
    cuts = sorted(draw(st.lists(st.integers(0, column.height), max_size=3)))
    ends = zip([0, *cuts], [*cuts, column.height], strict=True)
    pieces = pl.concat([column.slice(start, end - start) for start, end in ends], rechunk=False)
    return pieces, draw(st.booleans()), draw(st.booleans()) and not isinstance(kind, pl.Enum)


@settings(max_examples=400)
@given(columns())
def test_a_column_is_as_arrow_makes_it(drawn: tuple[pl.DataFrame, bool, bool]) -> None:
    column, sorted_, plain = drawn
    sort_by, as_they_are = column.columns[: int(sorted_)], column.columns[: int(plain)]
    assert told(column, sort_by, as_they_are) == by_arrow(column, sort_by, as_they_are)


@pytest.mark.parametrize("distinct", [2, 3, 200, 256, 257, 40_000, 65_536, 65_537, 100_000, ROW_GROUP_ROWS])
@pytest.mark.parametrize("kind", [pl.Int32, pl.Float64])
def test_places_of_any_width_are_packed_as_arrow_packs_them(distinct: int, kind: type[pl.DataType]) -> None:
    numbers = np.random.default_rng(7).permutation(ROW_GROUP_ROWS) % distinct
    numbers[1000:1100] = numbers[1000]
    rows = pl.DataFrame({"bid": numbers}).select((pl.col("bid") / 4).cast(kind))
    with without_arrow():
        ours = told(rows, ["bid"])
    assert ours == by_arrow(rows, ["bid"])


@pytest.mark.parametrize(
    ("schema", "sort_by", "plain"),
    [
        (QUOTES.arrow_schema, ("symbol", "expiration", "strike", "right", "timestamp"), ()),
        (GREEKS.arrow_schema, ("symbol", "expiration", "strike", "right", "timestamp"), ()),
        (polygon.ARROW_SCHEMA, polygon.SORT_BY, polygon.PLAIN),
    ],
    ids=["quotes", "greeks", "bars"],
)
def test_rows_of_the_datasets_are_not_arrows_work(
    schema: pa.Schema, sort_by: Sequence[str], plain: Sequence[str]
) -> None:
    columns = pl.Schema(schema)
    first = {
        name: "SPX" if kind == pl.String else kind.categories[0] if isinstance(kind, pl.Enum) else 0
        for name, kind in columns.items()
    }
    rows = pl.DataFrame([pl.Series(name, [value] * 9).cast(columns[name]) for name, value in first.items()])
    in_pieces = pl.concat([rows, rows], rechunk=False)
    with without_arrow():
        ours = told(in_pieces, sort_by, plain)
    assert ours == by_arrow(in_pieces, sort_by, plain)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("bid", [1.0, None, 2.0]),
        pl.Series("bid", [1.0, float("nan"), 2.0]),
        pl.Series("is_test", [True, False, True]),  # as a sort column
        pl.Series("small", [1, 2, 3], dtype=pl.UInt8),
        pl.Series("timestamp", [1, 2, 3], dtype=pl.Datetime("ns")),
        pl.Series("note", ["a" * 5000, "b", "a" * 5000]),
        pl.Series("list", [[1], [2], [3]]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_what_is_not_usual_is_arrows_work(column: pl.Series) -> None:
    before = pl.Series("size", [1] * len(column))
    rows = pl.DataFrame([before, column])
    sort_by = [] if column.dtype == pl.List else [column.name]
    with pytest.raises(AssertionError, match="Arrow was asked"), without_arrow():
        told(rows, sort_by)
    assert told(rows, sort_by) == by_arrow(rows, sort_by)


def test_nothing_is_encoded_that_arrow_will_encode_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    chunk = ColumnChunks.chunk

    def noted(chunks: ColumnChunks, name: str, *given: Any, **how: Any) -> object:
        encoded.append(name)
        return chunk(chunks, name, *given, **how)

    monkeypatch.setattr(ColumnChunks, "chunk", noted)
    rows = pl.DataFrame({"size": [1, 2, 3], "vega": [1.0, None, 2.0]})
    assert told(rows) == by_arrow(rows)
    assert encoded == [*rows.columns], "those of the row group of one row alone, which has no null"


@pytest.mark.slow
def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path) -> None:
    source = Path(dictionary_places.__file__).with_suffix(".c")
    packed = said_sanitized(source, "data_assets_tests.lake.odd_places", tmp_path / "sanitized.so")
    assert int(packed) > 1000, "columns whose places were packed"
