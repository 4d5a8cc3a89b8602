import io
import math
from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_assets.quality.contract_summary import CONTRACT, COUNTS, contract_summary, merge_summaries
from data_assets_tests.quality.quote_days import (
    CLOSE,
    MINUTE,
    OPEN,
    OPTION_CLOSE,
    SCHEMA,
    Contract,
    chain,
    pieces_of,
    quotes_of,
    summary_of,
)

VENDOR_ROWS = """\
symbol,expiration,strike,right,timestamp,bid_size,bid_exchange,bid,bid_condition,ask_size,ask_exchange,ask,ask_condition
AAPL,2024-11-08,220.000,CALL,2024-11-04T09:30:00,0,42,0.00,50,0,42,0.00,50
AAPL,2024-11-08,220.000,CALL,2024-11-04T09:31:00,598,5,4.55,50,424,9,4.70,50
AAPL,2024-11-08,220.000,CALL,2024-11-04T09:32:00,58,46,4.30,50,221,11,4.40,50
AAPL,2024-11-08,220.000,CALL,2024-11-04T09:33:00,394,43,3.90,50,45,47,4.00,50
AAPL,2024-11-08,220.000,CALL,2024-11-04T09:34:00,194,11,4.15,50,121,11,4.30,50
"SPXW","2012-06-08",1050.000,"CALL",2012-06-01T15:45:00.000,275,5,226.30,50,191,5,229.20,50
"SPXW","2012-06-08",1050.000,"PUT",2012-06-01T15:45:00.000,718,5,0.05,50,1639,5,0.10,50
"""


def vendor_rows() -> pl.DataFrame:
    text = pl.read_csv(io.StringIO(VENDOR_ROWS), infer_schema=False)
    stamp = pl.col("timestamp").str.to_datetime(time_unit="us").dt.replace_time_zone("America/New_York")
    return text.with_columns(stamp.dt.convert_time_zone("UTC"), pl.col("expiration").str.to_date()).cast(SCHEMA)


def test_the_vendors_own_sample_rows():
    rows = vendor_rows()
    apple = rows.filter(pl.col("symbol") == "AAPL")
    open_ = apple["timestamp"][0]
    (summary,) = contract_summary(apple, open_=open_, close=open_ + timedelta(minutes=405), interval=MINUTE).iter_rows(
        named=True
    )
    assert summary == {
        "symbol": "AAPL",
        "expiration": date(2024, 11, 8),
        "strike": 220.0,
        "right": "CALL",
        "first_row": 0,
        "last_row": 4,
        "rows": 5,
        "first_timestamp": open_,
        "last_timestamp": open_ + 4 * MINUTE,
        **dict.fromkeys(COUNTS, 0),
        "no_quote": 1,
        "opening_no_quote": 1,
    }
    whole = contract_summary(rows, open_=open_, close=open_ + timedelta(minutes=405), interval=MINUTE)
    assert whole.select("symbol", "right", "rows", "outside_session", "off_grid").rows() == [
        ("AAPL", "CALL", 5, 0, 0),
        ("SPXW", "CALL", 1, 1, 0),
        ("SPXW", "PUT", 1, 1, 0),
    ]


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ({"bid": 1.0, "ask": 1.05}, set()),
        ({"bid": 1.06, "ask": 1.05}, {"crossed"}),
        ({"bid": 1.05, "ask": 1.05}, {"locked"}),
        ({"bid": 0.0, "ask": 0.01, "bid_size": 0}, {"zero_bid"}),
        ({"bid": 1.05, "ask": 0.0, "ask_size": 0}, {"zero_ask"}),
        ({"bid": 0.0, "ask": 0.0}, {"no_quote"}),
        ({"bid": -1.0}, {"negative"}),
        ({"ask": -1.0}, {"negative"}),
        ({"bid": -1.0, "ask": -1.0}, {"negative"}),
        ({"bid_size": -1}, {"negative"}),
        ({"ask_size": -1}, {"negative"}),
        ({"bid": None}, {"unusable"}),
        ({"ask": None}, {"unusable"}),
        ({"bid_size": None}, {"unusable"}),
        ({"ask_size": None}, {"unusable"}),
        ({"ask": math.inf}, {"unusable"}),
        ({"ask": math.nan}, {"unusable"}),
        ({"timestamp": None}, {"outside_session"}),
        ({"timestamp": OPEN + timedelta(minutes=7, seconds=1)}, {"off_grid"}),
        ({"timestamp": OPEN + timedelta(minutes=7, microseconds=1)}, {"off_grid"}),
        ({"timestamp": OPEN + 6 * MINUTE}, {"disordered"}),
    ],
)
def test_one_changed_row_is_counted_once_and_as_nothing_else(values, counted):
    good = quotes_of(Contract())
    row = pl.int_range(pl.len()) == 7
    changed = good.with_columns(
        pl.when(row).then(pl.lit(value, dtype=SCHEMA[column])).otherwise(pl.col(column)).alias(column)
        for column, value in values.items()
    )
    counts = summary_of(changed).select(COUNTS).row(0, named=True)
    before = summary_of(good).select(COUNTS).row(0, named=True)
    assert {kind: counts[kind] - before[kind] for kind in COUNTS if counts[kind] != before[kind]} == dict.fromkeys(
        counted, 1
    )


def test_the_sessions_two_ends_belong_to_it():
    quotes = quotes_of(Contract(start=OPEN - MINUTE, end=OPTION_CLOSE + MINUTE))
    assert summary_of(quotes)["outside_session"].to_list() == [2]
    assert summary_of(quotes, close=CLOSE)["outside_session"].to_list() == [17]


def test_only_the_row_at_the_open_is_an_opening_row():
    quotes = quotes_of(Contract(end=OPEN + 4 * MINUTE)).with_columns(bid=0.0, ask=0.0)
    assert summary_of(quotes).select("no_quote", "opening_no_quote").rows() == [(5, 1)]


def test_an_empty_frame_has_an_empty_summary_that_merges():
    empty = summary_of(quotes_of())
    some = summary_of(quotes_of(Contract()))
    assert empty.is_empty()
    assert_frame_equal(merge_summaries([empty, some, empty]), some)


PRICES = st.sampled_from([-1.0, 0.0, 1.0, 1.05, math.inf, None])
SIZES = st.sampled_from([-1, 0, 10, None])
ROWS = st.tuples(
    st.sampled_from([("QQQ", date(2024, 1, 5), s, r) for s in (400.0, 412.5) for r in ("CALL", "PUT")]),
    st.sampled_from([OPEN + n * timedelta(seconds=30) for n in range(-2, 12)]),
    PRICES,
    PRICES,
    SIZES,
    SIZES,
)


def frame(rows) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (*contract, stamp, b_size, 5, bid, 50, a_size, 9, ask, 50)
            for contract, stamp, bid, ask, b_size, a_size in rows
        ],
        schema=SCHEMA,
        orient="row",
    )


def counted_by_hand(rows) -> list[tuple]:
    """What the summary must hold, row by row in plain Python, in the columns' order."""
    close = OPEN + 4 * MINUTE
    found: dict[tuple, dict] = {}
    for index, (contract, stamp, bid, ask, bid_size, ask_size) in enumerate(rows):
        entry = found.setdefault(
            contract,
            {"first_row": index, "last_row": 0, "rows": 0, "first_timestamp": stamp, "last_timestamp": None}
            | dict.fromkeys(COUNTS, 0),
        )
        both = bid is not None and ask is not None
        usable = both and math.isfinite(bid) and math.isfinite(ask) and bid_size is not None and ask_size is not None
        kinds = {
            "disordered": entry["last_timestamp"] is not None and stamp <= entry["last_timestamp"],
            "outside_session": not OPEN <= stamp <= close,
            "off_grid": stamp.second != 0,
            "crossed": both and bid > ask > 0,
            "locked": both and bid == ask > 0,
            "negative": any(value is not None and value < 0 for value in (bid, ask, bid_size, ask_size)),
            "unusable": not usable,
            "zero_bid": both and bid == 0 < ask,
            "zero_ask": both and ask == 0 < bid,
            "no_quote": both and bid == ask == 0,
            "opening_no_quote": both and bid == ask == 0 and stamp == OPEN,
        }
        for kind, holds in kinds.items():
            entry[kind] += holds
        entry |= {"last_row": index, "rows": entry["rows"] + 1, "last_timestamp": stamp}
    return [(*contract, *entry.values()) for contract, entry in found.items()]


@settings(deadline=None)
@given(st.lists(ROWS, max_size=30))
def test_any_rows_in_any_order_are_counted_as_by_hand(rows):
    assert summary_of(frame(rows), close=OPEN + 4 * MINUTE).rows() == counted_by_hand(rows)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=30), st.integers(1, 40), st.data())
def test_batches_merged_equal_the_whole(rows, times, data):
    quotes = frame([row for row in rows for _ in range(times)])  # of few rows a piece, or of many
    cuts = sorted(data.draw(st.lists(st.integers(0, quotes.height), max_size=6)))
    counted = data.draw(st.sampled_from([summary_of, pieces_of]))
    batches = [counted(quotes[a:b]) for a, b in pairwise([0, *cuts, quotes.height])]
    assert_frame_equal(merge_summaries(batches), summary_of(quotes))
    middle = data.draw(st.integers(0, len(batches)))
    halves = [merge_summaries(half) for half in (batches[:middle], batches[middle:]) if half]
    assert_frame_equal(merge_summaries(halves), summary_of(quotes))


def test_a_contract_that_comes_back_is_a_piece_more_and_rows_in_turn_are_none():
    one, other = quotes_of(Contract()), quotes_of(Contract(right="PUT"))
    back = pl.concat([one[:100], other, one[100:]])
    assert pieces_of(back).height == 3
    assert_frame_equal(merge_summaries([pieces_of(back)]), summary_of(back))
    in_turn = pl.concat([one, other]).sort("timestamp")
    assert pieces_of(in_turn).height == 2  # in pieces they would take more memory than the rows
    assert_frame_equal(pieces_of(in_turn), summary_of(in_turn))


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(6)), st.integers(20, 400))
def test_a_good_day_cut_anywhere_and_its_contracts_in_any_order(order, batch):
    contracts = [Contract(c.expiration, c.strike, c.right, end=OPEN + 60 * MINUTE) for c in chain(strikes=1)]
    day = quotes_of(*contracts)
    permuted = quotes_of(*(contracts[i] for i in order))
    merged = merge_summaries([summary_of(permuted[at : at + batch]) for at in range(0, permuted.height, batch)])
    assert_frame_equal(merged, summary_of(permuted))
    places = ("first_row", "last_row")
    assert_frame_equal(merged.drop(places).sort(CONTRACT), summary_of(day).drop(places).sort(CONTRACT))


@settings(deadline=None, max_examples=40)
@given(st.sets(st.integers(0, 6 * 61 - 1)))
def test_planted_crossed_rows_are_counted_exactly(planted):
    day = quotes_of(*(Contract(c.expiration, c.strike, c.right, end=OPEN + 60 * MINUTE) for c in chain(strikes=1)))
    hit = pl.int_range(pl.len()).is_in(list(planted))
    crossed = day.with_columns(bid=pl.when(hit).then(2.0).otherwise("bid"), ask=pl.when(hit).then(1.9).otherwise("ask"))
    before, after = (summary_of(quotes).select(pl.col(COUNTS).sum()).row(0, named=True) for quotes in (day, crossed))
    at_open = sum(row % 61 == 0 for row in planted)
    assert after == before | {
        "crossed": len(planted),
        "no_quote": before["no_quote"] - at_open,
        "opening_no_quote": before["opening_no_quote"] - at_open,
    }
