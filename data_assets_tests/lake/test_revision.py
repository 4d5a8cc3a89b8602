"""The difference between two revisions of a day, however their rows come in frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.revision import Difference, PriceChange, difference

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
    assert found.metadata["largest_price_change"] == pytest.approx(max(changes, default=0))
    assert found.is_none == (before == after)


def test_that_most_prices_moved_alike_is_told_from_a_few_that_did():
    before = {(0, minute): (100.0 + minute, 100.0) for minute in range(10)}
    split = {key: (open_ / 4, close / 4) for key, (open_, close) in before.items()}
    few = {**before, (0, 3): (25.0, 25.0)}
    assert difference([frame(before)], [frame(split)], KEYS, PRICES).usual_price_ratio == pytest.approx(0.25)
    change = PriceChange("share", "open", 103.0, 25.0, {"group": 0, "minute": 3})
    assert difference([frame(before)], [frame(few)], KEYS, PRICES) == Difference(10, 0, 0, 1, change)
    assert change.size == pytest.approx(78 / 103)
    assert change.of == "0 3, open 103 to 25"


def test_of_options_dollars_tell_more_than_shares():
    """A cent that becomes two has doubled; the call at the money that moved by 35 cents is what matters."""
    minute = datetime(2024, 1, 3, 15, 31, tzinfo=UTC)
    rows = {
        "symbol": ["QQQ", "QQQ"],
        "expiration": [date(2024, 1, 19)] * 2,
        "strike": [400.0, 500.0],
        "right": ["CALL", "CALL"],
        "timestamp": [minute] * 2,
    }
    before = pl.DataFrame({**rows, "bid": [7.2, 0.01], "ask": [7.3, 0.0]})
    after = pl.DataFrame({**rows, "bid": [7.55, 0.02], "ask": [7.3, 0.1]})
    found = difference([before], [after], list(rows), ("bid", "ask"))
    assert found.text == (
        "of 2 rows 0 added, 0 removed, 2 altered; largest price change $0.35: "
        "QQQ 2024-01-19 400 CALL 2024-01-03 10:31, bid 7.2 to 7.55"
    )
    assert found.metadata["largest_price_change"] == pytest.approx(0.35)
    assert found.metadata["largest_price_change_in"] == "dollars"

    interest = pl.DataFrame({**rows, "open_interest": [1000, 5]})
    fewer = pl.DataFrame({**rows, "open_interest": [10, 0]})
    counted = difference([interest], [fewer], list(rows), ("open_interest",))
    assert "largest price change 990 contracts: QQQ 2024-01-19 400 CALL" in counted.text


def test_of_bars_a_share_with_ticker_and_minute():
    rows = {"ticker": ["AAPL", "SPY"], "window_start": [datetime(2024, 7, 3, 15, 31, tzinfo=UTC)] * 2}
    before = pl.DataFrame({**rows, "close": [100.0, 500.0]})
    after = pl.DataFrame({**rows, "close": [125.0, 501.0]})
    found = difference([before], [after], list(rows), ("close",))
    assert found.text.endswith("largest price change 25.00%: AAPL 2024-07-03 11:31, close 100 to 125")
    assert difference([before], [before], list(rows), ("close",)).text == "of 2 rows 0 added, 0 removed, 0 altered"
