"""Rows of a row group against the bounds that a footer says of others."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing.parametric import column, dataframes

from data_assets.lake import group_bounds
from data_assets.lake.group_bounds import outside_bounds

KINDS = [
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64),
    *(pl.Date, pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.Datetime("ms"), pl.String, pl.Boolean),
    pl.Enum(["CALL", "PUT"]),
]


def said_of(rows: pl.DataFrame) -> pq.RowGroupMetaData:
    file = io.BytesIO()
    pq.write_table(rows.to_arrow(), file)
    return pq.ParquetFile(file).metadata.row_group(0)


def expected(said: pq.RowGroupMetaData, rows: pl.DataFrame) -> str | None:
    """By Python, value by value."""
    for place, name in enumerate(rows.columns):
        bounds, values = said.column(place).statistics, rows[name]
        if not bounds.has_min_max:
            continue
        lowest, highest = bounds.min, bounds.max
        if isinstance(values.dtype, pl.Datetime):
            values, lowest, highest = values.to_physical(), bounds.min_raw, bounds.max_raw
        if any(not lowest <= value <= highest for value in values.drop_nulls().to_list()):
            return name
    return None


@given(data=st.data(), kind=st.sampled_from(KINDS), nulls=st.booleans())
def test_the_first_column_outside_its_bounds_is_named(data: st.DataObject, kind: pl.DataType, nulls: bool):
    values = st.floats(allow_nan=False, width=32) if kind.is_float() else None
    of_that_kind = dataframes(
        [column(name, strategy=values, dtype=kind, allow_null=nulls) for name in ("one", "two")], min_size=1, max_size=6
    )
    of, rows = data.draw(of_that_kind), data.draw(of_that_kind)
    assert outside_bounds(said_of(of), of) is None
    assert outside_bounds(said_of(of), rows) == expected(said_of(of), rows)


USUAL = pl.DataFrame(
    {
        "expiration": [date(2024, 1, 5), date(2024, 1, 19)],
        "strike": [390.0, 410.0],
        "right": pl.Series(["CALL", "PUT"], dtype=pl.Enum(["CALL", "PUT"])),
        "timestamp": [datetime(2024, 1, 3, 14, 30, tzinfo=UTC), datetime(2024, 1, 3, 14, 31, tzinfo=UTC)],
        "bid_size": [1, 300],
        "bid_exchange": pl.Series([1, 50], dtype=pl.Int16),
    }
)


def test_usual_columns_are_looked_at_quickly_alone(monkeypatch: pytest.MonkeyPatch):
    said = said_of(USUAL)

    def slowly(values: pl.Series, _: pq.Statistics) -> bool:
        raise AssertionError(f"{values.name} was not seen to be within its bounds")

    monkeypatch.setattr(group_bounds, "_within", slowly)
    assert outside_bounds(said, USUAL) is None
    assert outside_bounds(said_of(USUAL.slice(1)), USUAL.slice(1)) is None


@pytest.mark.parametrize("name", USUAL.columns)
@pytest.mark.parametrize("end", [0, 1])
def test_a_value_beyond_either_end_is_found(name: str, end: int):
    same = USUAL[name].new_from_index(end, 2)
    assert outside_bounds(said_of(USUAL.with_columns(same)), USUAL) == name


def test_neither_look_loads_pandas(tmp_path: Path):
    """Which pyarrow would, for an instant, or an array as NumPy's."""
    USUAL.write_parquet(tmp_path / "file")
    program = (
        "import sys, polars as pl, pyarrow.parquet as pq; from data_assets.lake.group_bounds import outside_bounds;"
        f"rows = pl.read_parquet({str(tmp_path / 'file')!r}).cast({{'right': pl.Enum(['CALL', 'PUT'])}});"
        "pq.write_table(rows.tail(1).to_arrow(), sys.argv[1]);"
        "said = pq.ParquetFile(sys.argv[1]).metadata.row_group(0);"
        "assert [outside_bounds(said, rows.tail(1).with_columns(rows[name].head(1))) for name in rows.columns]"
        " == rows.columns;"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "another")], check=True)
