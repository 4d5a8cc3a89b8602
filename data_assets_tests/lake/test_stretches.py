"""Compiled code puts rows of the usual form in the order in which Polars puts them, and no others."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from data_assets.lake import stretches as module
from data_assets.lake.row_order import in_order
from data_assets.lake.stretches import stretches
from data_assets_tests.compiled_code import needs_compiler, said_sanitized, without_compiled_code
from data_assets_tests.lake.lake_days import COLUMNS, SORT_BY, quotes

NAN = float("nan")
CONTRACTS = st.tuples(
    st.sampled_from(["QQQ", "QQQ", "", "A LONGER NAME", "A LONGER NAMES"]),
    st.sampled_from([date(2024, 1, 5), date(2024, 1, 12), date(1882, 1, 1)]),
    st.sampled_from([400.0, 412.5, 0.0, -0.0, NAN]),
    st.sampled_from(["CALL", "PUT"]),
)
# Few starts and lengths: stretches of a contract then often touch each other, and lie across one another.
TIMES = st.builds(
    lambda start, rows, step: [start + n * step for n in range(rows)], *(st.integers(0, 9),) * 2, st.integers(0, 1)
)
DAYS = st.lists(st.tuples(CONTRACTS, TIMES), min_size=1, max_size=12)


def frame_of(day: list) -> pl.DataFrame:
    open_ = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)
    rows = [
        (*contract, open_ + minute * timedelta(minutes=1), row, 1, row / 7, 50, -row, 1, 0.05, 50)
        for contract, minutes in day
        for row, minute in enumerate(minutes)
    ]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row").with_columns(bid_size=pl.int_range(pl.len()))


def by_polars(frames: list[pl.DataFrame], sort_by: list[str]) -> pl.DataFrame:
    with without_compiled_code():
        return pl.concat(in_order(list(frames), sort_by).batches(10_000))


@needs_compiler
@settings(max_examples=500, deadline=None)
@given(DAYS, st.lists(st.integers(0, 60), max_size=3), st.sampled_from([1, 3, 16, 1_000]), st.booleans())
def test_rows_are_put_in_order_as_by_polars(day, cuts, size, symbol_first):
    rows = frame_of(day)
    borders = sorted({0, rows.height, *(cut for cut in cuts if cut < rows.height)})
    frames = [rows[a:b] for a, b in pairwise(borders)]
    if not frames:
        return
    sort_by = ["symbol", *SORT_BY[:3], "timestamp"] if symbol_first else [*SORT_BY[:3], "timestamp"]
    expected = rows.sort(sort_by, maintain_order=True)
    assert_frame_equal(by_polars(frames, sort_by), expected)
    ordered = in_order(frames, sort_by)
    assert frames == [], "rows that are held twice"
    batches = list(ordered.batches(size))
    assert {batch.height for batch in batches[:-1]} <= {size}
    assert all(column.n_chunks() == 1 for batch in batches for column in batch)
    assert_frame_equal(pl.concat(batches), expected)
    group = sort_by[0]
    lengths = expected[group].rle().struct.unnest()
    values, rows_of_each = ordered.groups()
    assert_series_equal(values, lengths["value"], check_names=False)
    assert rows_of_each.to_list() == lengths["len"].to_list()


@needs_compiler
def test_whole_contracts_are_taken_in_any_order():
    day = quotes(expirations=3, strikes=4, minutes=30)
    contracts = day.partition_by("expiration", "strike", "right", maintain_order=True)
    shuffled = pl.concat(contracts[::-1], rechunk=True)
    ordered = stretches([shuffled[:100], shuffled[100:]], SORT_BY)  # in the middle of a contract
    assert ordered is not None
    assert_frame_equal(pl.concat(ordered.batches(64)), day)


@needs_compiler
def test_a_frame_of_a_few_rows_declines_nothing():
    day = quotes(minutes=20)
    ordered = stretches([day[:1], day[1:22], day[22:]], SORT_BY)
    assert ordered is not None
    assert_frame_equal(pl.concat(ordered.batches(1_000)), day)
    assert stretches([day[::20]], SORT_BY) is None  # a row of each contract


@needs_compiler
@pytest.mark.parametrize("minute", [0, 5])
def test_a_contract_that_comes_back_is_taken_where_it_goes_on(minute):
    day = quotes(expirations=1, strikes=2, minutes=10)
    first, again = day[:6], day[5 + minute // 5 : 10]
    other = day[10:]
    ordered = stretches([pl.concat([other, first, again], rechunk=True)], SORT_BY)
    assert ordered is not None
    assert_frame_equal(pl.concat(ordered.batches(100)), pl.concat([first, again, other]))


@needs_compiler
def test_stretches_that_lie_across_one_another_are_left_to_polars():
    day = quotes(expirations=1, strikes=1, minutes=20)[:20]
    assert stretches([day], SORT_BY) is not None
    assert stretches([pl.concat([day, day], rechunk=True)], SORT_BY) is None
    assert (
        stretches([day.filter(pl.int_range(pl.len()) % 2 == 0), day.filter(pl.int_range(pl.len()) % 2 == 1)], SORT_BY)
        is None
    )


@needs_compiler
@pytest.mark.parametrize(
    "changed",
    [
        *(pl.when(pl.int_range(pl.len()) > 0).then(pl.col(name)).alias(name) for name in ("symbol", "strike", "bid")),
        pl.col("timestamp").cast(pl.Date),
        (pl.col("bid") > 1).alias("bid"),
        pl.concat_list("bid").alias("bid"),
        pl.int_range(pl.len()).cast(pl.String).alias("symbol"),
        pl.col("symbol").cast(pl.Categorical),
    ],
    ids=str,
)
def test_anything_else_is_left_to_polars(changed):
    day = quotes(minutes=20)
    assert stretches([day], SORT_BY) is not None
    odd = day.with_columns(changed)
    assert stretches([odd], SORT_BY) is None
    assert_frame_equal(pl.concat(in_order([odd], SORT_BY).batches(50)), odd.sort(SORT_BY, maintain_order=True))


@needs_compiler
def test_columns_in_pieces_and_one_sort_column_are_left_to_polars():
    day = quotes(minutes=20)
    assert stretches([pl.concat([day, day], rechunk=False)], SORT_BY) is None
    assert stretches([day], ["timestamp"]) is None


@needs_compiler
@pytest.mark.slow
def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path):
    source = Path(module.__file__).with_suffix(".c")
    taken = said_sanitized(source, "data_assets_tests.lake.odd_stretches", tmp_path / "sanitized.so")
    assert int(taken) > 1000, "frames whose rows were copied"
