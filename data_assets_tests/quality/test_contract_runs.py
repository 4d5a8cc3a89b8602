"""Compiled code counts quotes of the usual form as Polars does, and no others."""

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_assets.quality import contract_runs as module
from data_assets.quality.contract_runs import contract_runs
from data_assets_tests.compiled_code import needs_compiler, said_sanitized, without_compiled_code
from data_assets_tests.quality.quote_days import (
    MINUTE,
    OPEN,
    OPTION_CLOSE,
    SCHEMA,
    Contract,
    chain,
    quotes_of,
    summary_of,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = st.one_of(
    st.sampled_from([OPEN + n * timedelta(seconds=30) for n in range(-2, 12)]),
    st.sampled_from([OPTION_CLOSE, OPTION_CLOSE + timedelta(microseconds=1), EPOCH, EPOCH - MINUTE]),
    st.datetimes(timezones=st.just(UTC)),
)
PRICES = st.one_of(
    st.sampled_from([-1.0, -0.0, 0.0, 1.0, 1.05, 5e-324]), st.floats(allow_nan=False, allow_infinity=False)
)
SIZES = st.sampled_from([-1, 0, 10, -(2**63), 2**63 - 1])
CONTRACTS = st.builds(
    lambda symbol, day, strike, right: (symbol, day, strike, right),
    st.sampled_from(["QQQ", "Q", "", "TWELVELETTER", "TWELVELETTES"]),
    st.sampled_from([date(2024, 1, 5), date(1882, 1, 1)]),
    st.sampled_from([400.0, 412.5, 0.0, -0.0]),
    st.sampled_from(["CALL", "PUT"]),
)
STRETCHES = st.lists(
    st.tuples(CONTRACTS, st.lists(st.tuples(INSTANTS, PRICES, PRICES, SIZES, SIZES), min_size=1, max_size=4)),
    max_size=8,
)


def frame_of(stretches: list) -> pl.DataFrame:
    rows = [
        (*contract, instant, bid_size, 1, bid, 50, ask_size, 1, ask, 50)
        for contract, quotes in stretches
        for instant, bid, ask, bid_size, ask_size in quotes
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def compiled(quotes: pl.DataFrame, **changed: object) -> pl.DataFrame | None:
    return contract_runs(quotes, **{"open_": OPEN, "close": OPTION_CLOSE, "interval": MINUTE, **changed})


@needs_compiler
@settings(max_examples=400, deadline=None)
@given(STRETCHES, st.integers(0, 5), st.sets(st.sampled_from(["bid_size", "ask_size"])))
def test_it_counts_what_polars_counts(stretches, cut, without):
    quotes = frame_of(stretches)[cut:].drop(without)  # what does not begin with a buffer is at an offset in it
    assert compiled(quotes) is not None
    found = summary_of(quotes)
    with without_compiled_code():
        assert_frame_equal(found, summary_of(quotes), check_exact=True)


@needs_compiler
def test_a_stored_day_is_taken():
    day = quotes_of(*chain())
    runs = compiled(day)
    assert runs is not None
    assert runs.height == len(chain())
    assert runs["rows"].sum() == day.height


def with_an_odd_row(name: str, value: object) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value, SCHEMA[name])).otherwise(pl.col(name)).alias(name)


@needs_compiler
@pytest.mark.parametrize(
    "changed",
    [
        *(with_an_odd_row(name, value) for name in ("bid", "ask") for value in (math.nan, math.inf, -math.inf)),
        *(with_an_odd_row("strike", value) for value in (math.nan, math.inf)),
        with_an_odd_row("symbol", "THIRTEENCHARS"),
        *(with_an_odd_row(name, None) for name in SCHEMA if not name.endswith(("exchange", "condition"))),
        pl.col("bid_size").cast(pl.Int32),
        pl.col("timestamp").dt.cast_time_unit("ns"),
        pl.col("timestamp").dt.convert_time_zone("America/New_York"),
        pl.col("strike").cast(pl.Float32),
        pl.col("right").cast(pl.String),
        pl.col("right").cast(pl.String).cast(pl.Enum(["CALL", "PUT", *map(str, range(300))])),
    ],
    ids=str,
)
def test_anything_else_is_left_to_polars(changed):
    quotes = quotes_of(Contract())
    assert compiled(quotes) is not None
    assert compiled(quotes.with_columns(changed)) is None


@needs_compiler
def test_columns_in_pieces_are_left_to_polars():
    half = quotes_of(Contract())
    assert compiled(pl.concat([half, half], rechunk=False)) is None


@needs_compiler
def test_a_step_of_no_time_is_declined():
    assert compiled(quotes_of(Contract()), interval=timedelta(0)) is None


@needs_compiler
def test_no_quotes_are_no_runs():
    empty = compiled(quotes_of())
    assert empty is not None
    assert empty.is_empty()
    assert empty.schema == summary_of(quotes_of(Contract())).schema


@needs_compiler
@pytest.mark.slow
def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path):
    source = Path(module.__file__).with_suffix(".c")
    taken = said_sanitized(source, "data_assets_tests.quality.odd_quotes", tmp_path / "sanitized.so")
    assert int(taken) > 1000, "frames that were counted to their end"
