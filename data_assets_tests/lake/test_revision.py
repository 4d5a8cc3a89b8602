"""The difference between two revisions of a day, however their rows come in frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.revision import Difference, difference

KEYS, PRICES = ("group", "minute"), ("open", "close")
PRICE = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.0, 3.0]))
DAYS = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 3)), st.tuples(PRICE, PRICE), min_size=1)


def frame(rows: dict[tuple[int, int], tuple[float | None, float | None]]) -> pl.DataFrame:
    columns = {"group": pl.Int64, "minute": pl.Int64, "open": pl.Float64, "close": pl.Float64}
    return pl.DataFrame([(*key, *rows[key]) for key in sorted(rows)], schema=columns, orient="row")


def pieces(rows: pl.DataFrame, cuts: Sequence[int]) -> Iterator[pl.DataFrame]:
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < rows.height), rows.height]
    return (rows.slice(first, end - first) for first, end in pairwise(bounds))


@given(DAYS, DAYS, st.lists(st.integers(1, 20)), st.lists(st.integers(1, 20)))
def test_it_counts_as_a_comparison_of_all_rows_does(before, after, cuts, other_cuts):
    both = before.keys() & after.keys()
    altered = [key for key in both if before[key] != after[key]]
    changes = [
        abs(new / old - 1)
        for key in altered
        for old, new in zip(before[key], after[key], strict=True)
        if old and new is not None
    ]
    found = difference(pieces(frame(before), cuts), pieces(frame(after), other_cuts), KEYS, PRICES)
    assert (found.rows_before, found.rows_added, found.rows_removed, found.rows_altered) == (
        len(before),
        len(after.keys() - both),
        len(before.keys() - both),
        len(altered),
    )
    assert found.largest_price_change == pytest.approx(max(changes, default=0))
    assert found.is_none == (before == after)


def test_that_most_prices_moved_alike_is_told_from_a_few_that_did():
    before = {(0, minute): (100.0 + minute, 100.0) for minute in range(10)}
    split = {key: (open_ / 4, close / 4) for key, (open_, close) in before.items()}
    few = {**before, (0, 3): (25.0, 25.0)}
    assert difference([frame(before)], [frame(split)], KEYS, PRICES).usual_price_ratio == pytest.approx(0.25)
    assert difference([frame(before)], [frame(few)], KEYS, PRICES) == Difference(10, 0, 0, 1, pytest.approx(78 / 103))
