import math
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.quality.minute_bars import day_metrics, extended_hours, ohlc, session_hours, timestamps, volume
from data_assets.quality.naming import clock
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import NEW_YORK, session
from data_assets_tests.quality.bar_days import HALF_HOURS, HOURS, MINUTE, alone, at, market

GOOD = market("AAPL", "ABRpA", "SPY")
START, END = extended_hours(HOURS)


def all_verdicts(bars: pl.DataFrame) -> dict[str, Verdict]:
    verdicts = (
        ohlc(bars),
        timestamps(bars),
        session_hours(bars, start=START, end=END, outside="warn"),
        volume(bars),
    )
    return {verdict.name: verdict for verdict in verdicts}


@pytest.mark.parametrize("bars", [GOOD, alone(), GOOD.head(0)], ids=["market", "one security", "no bar"])
def test_a_good_day_passes_every_rule(bars):
    assert [(v.name, v.passed) for v in all_verdicts(bars).values()] == [
        ("ohlc", True),
        ("timestamps", True),
        ("session_hours", True),
        ("volume", True),
    ]


NAN = float("nan")
BEFORE = datetime(2024, 1, 3, 3, 59, tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    ("bars", "broken"),
    [
        pytest.param(at(GOOD, [5], low=1e6), {"ohlc": "error", "volume": "warn"}, id="low above all"),
        pytest.param(at(GOOD, [5], high=0.01), {"ohlc": "error", "volume": "warn"}, id="high below all"),
        pytest.param(at(GOOD, [5], open=1e6), {"ohlc": "error"}, id="open above high"),
        pytest.param(at(GOOD, [5], close=0.01), {"ohlc": "error"}, id="close below low"),
        pytest.param(at(GOOD, [5], open=0.0), {"ohlc": "error"}, id="a price of zero"),
        pytest.param(at(GOOD, [5], close=NAN), {"ohlc": "error"}, id="a price that is no number"),
        pytest.param(at(GOOD, [5], high=math.inf), {"ohlc": "error"}, id="an infinite price"),
        pytest.param(at(GOOD, [5], close=None), {"ohlc": "error"}, id="an absent price"),
        pytest.param(at(GOOD, [5], trades=-1), {"ohlc": "error"}, id="a negative number of trades"),
        pytest.param(at(GOOD, [5], trades=None), {"ohlc": "error"}, id="an absent number of trades"),
        pytest.param(at(GOOD, [5], volume=-1), {"ohlc": "error", "volume": "error"}, id="a negative volume"),
        pytest.param(at(GOOD, [5], volume=None), {"ohlc": "error", "volume": "error"}, id="an absent volume"),
        pytest.param(at(GOOD, [5], vwap=0.01), {"volume": "warn"}, id="an average below low"),
        pytest.param(at(GOOD, [5], vwap=NAN), {"volume": "warn"}, id="an average that is no number"),
        pytest.param(at(GOOD, [5], vwap=None), {"volume": "warn"}, id="an absent average"),
        pytest.param(GOOD.head(100).vstack(GOOD.slice(99)), {"timestamps": "error"}, id="a bar twice"),
        pytest.param(GOOD.reverse(), {"timestamps": "error"}, id="backwards"),
        pytest.param(GOOD.sort("timestamp", "ticker"), {"timestamps": "error"}, id="by time first"),
        pytest.param(at(GOOD, [5], ticker=None), {"timestamps": "error"}, id="no ticker"),
        pytest.param(at(GOOD, [5], timestamp=None), {"timestamps": "error"}, id="no timestamp"),
        pytest.param(
            at(GOOD, [0], timestamp=GOOD["timestamp"][0] + timedelta(seconds=1)),
            {"timestamps": "error"},
            id="off the minute",
        ),
        pytest.param(at(GOOD, [0], timestamp=BEFORE), {"session_hours": "warn"}, id="before 04:00"),
        pytest.param(at(GOOD, [GOOD.height - 1], timestamp=END), {"session_hours": "warn"}, id="at 20:00"),
    ],
)
def test_a_broken_day_breaks_its_rules_and_no_other(bars, broken):
    assert {name: v.severity for name, v in all_verdicts(bars).items() if not v.passed} == broken


def test_order_is_that_of_bytes():
    """The vendor's order is another one (ABRpA before ABRN), and so are those of dictionaries."""
    bytes_order = market("ABRN", "ABRpA")
    assert timestamps(bytes_order).passed
    vendors_order = pl.concat(bytes_order.partition_by("ticker", maintain_order=True)[::-1])
    verdict = timestamps(vendors_order)
    assert verdict.metadata["disordered_rows"] == 1
    assert verdict.metadata["bars_concerned"] == [f"ABRN {clock(bytes_order['timestamp'][0])}"]
    assert verdict.metadata["duplicated_rows"] == 0


def test_a_duplicate_apart_from_its_twin_is_found():
    verdict = timestamps(pl.concat([GOOD, GOOD.head(2)]))
    assert verdict.metadata["duplicated_rows"] == 2
    assert "2 bars have the ticker and minute of another" in verdict.summary


def test_up_to_ten_bars_are_named():
    verdict = ohlc(at(GOOD, list(range(3, 20)), high=0.01))
    assert verdict.metadata["inconsistent_rows"] == 17
    named = verdict.metadata["bars_concerned"]
    assert len(named) == 10
    first = GOOD.row(3, named=True)
    assert named[0].startswith(f"AAPL {clock(first['timestamp'])}: open {first['open']}, high 0.01, low {first['low']}")


def test_a_security_without_ticker_is_named_by_its_minute():
    assert ohlc(at(alone(), [2], open=-1.0)).metadata["bars_concerned"][0].startswith("09:32: open -1.0")


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        (date(2024, 1, 3), (9, 0), (25, 0)),
        (date(2024, 7, 3), (8, 0), (21, 0)),
        (date(2024, 11, 29), (9, 0), (22, 0)),
        (date(2005, 6, 1), (8, 0), (24, 0)),
        (date(2024, 3, 11), (8, 0), (24, 0)),
    ],
)
def test_extended_hours_in_utc(day, start, end):
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    expected = tuple(midnight + timedelta(hours=h, minutes=m) for h, m in (start, end))
    assert extended_hours(session(day)) == expected
    assert all(instant.utcoffset() == timedelta() for instant in extended_hours(session(day)))


def test_regular_hours_only():
    bars = GOOD.filter(pl.col("ticker") == "SPY")
    verdict = session_hours(bars, start=HOURS.open, end=HOURS.close, outside="error")
    early = bars.filter(pl.col("timestamp") < HOURS.open).height
    late = bars.filter(pl.col("timestamp") >= HOURS.close).height
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert (verdict.metadata["rows_before"], verdict.metadata["rows_after"]) == (early, late)
    assert early
    assert late
    assert session_hours(alone(), start=HOURS.open, end=HOURS.close, outside="error").passed


def test_a_half_day_ends_at_17():
    bars = market("SPY", day=HALF_HOURS.day)
    start, end = extended_hours(HALF_HOURS)
    assert session_hours(bars, start=start, end=end, outside="warn").passed
    late = at(bars, [bars.height - 1], timestamp=end)
    verdict = session_hours(late, start=start.astimezone(NEW_YORK), end=end.astimezone(NEW_YORK), outside="warn")
    assert verdict.summary == "04:00 to 17:00 New York is covered: 1 bar after it"


def test_volume_counts_what_is_odd_but_right():
    bars = at(at(alone(), [1, 2], volume=0, vwap=0.0), [], volume=0).with_columns(pl.col("volume").cast(pl.Float64))
    bars = at(bars, [4, 5, 6], volume=10.5)
    verdict = volume(bars)
    assert verdict.passed
    assert (verdict.metadata["zero_volume_rows"], verdict.metadata["fractional_volume_rows"]) == (2, 3)
    assert "2 without volume, 3 with a fractional volume" in verdict.summary


def test_a_rounded_average_may_leave_the_range_a_little():
    bars = at(alone(), [3], low=100.0, high=100.0, open=100.0, close=100.0, vwap=100.004)
    assert volume(bars).passed
    assert volume(bars, tolerance=0.003).metadata["vwap_outside_rows"] == 1


def test_day_metrics():
    metrics = day_metrics(GOOD, HOURS)
    regular = GOOD.filter(pl.col("timestamp").is_between(HOURS.open, HOURS.close, closed="left"))
    assert metrics == {
        "rows": GOOD.height,
        "tickers": 3,
        "regular_rows": regular.height,
        "zero_volume_rows": 0,
        "fractional_volume_rows": 0,
        "volume": GOOD["volume"].sum(),
        "trades": GOOD["trades"].sum(),
    }
    assert day_metrics(alone(), HOURS)["tickers"] == 1
    assert day_metrics(GOOD.head(0), HOURS)["volume"] == 0


PRICE = st.sampled_from([None, NAN, math.inf, -1.0, 0.0, 1.0, 2.0, 3.0])
COUNT = st.sampled_from([None, -1, 0, 5])
BAR = st.fixed_dictionaries(dict.fromkeys(("open", "high", "low", "close"), PRICE) | {"volume": COUNT, "trades": COUNT})


def can_be(bar) -> bool:
    prices = [bar[column] for column in ("low", "open", "close", "high")]
    if any(price is None or not math.isfinite(price) or price <= 0 for price in prices):
        return False
    low, open_, close, high = prices
    counted = all(bar[column] is not None and bar[column] >= 0 for column in ("volume", "trades"))
    return counted and low <= min(open_, close) <= max(open_, close) <= high


@settings(max_examples=200, deadline=None)
@given(st.lists(BAR, max_size=6))
def test_ohlc_finds_exactly_the_bars_that_cannot_be(rows):
    schema = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64) | {"trades": pl.Int64}
    bars = pl.DataFrame(rows, schema=schema).with_columns(
        timestamp=pl.lit(HOURS.open) + pl.int_range(pl.len()) * pl.duration(minutes=1)
    )
    wrong = [n for n, row in enumerate(rows) if not can_be(row)]
    verdict = ohlc(bars)
    assert verdict.passed == (not wrong)
    assert [text[:5] for text in verdict.metadata["bars_concerned"]] == [f"09:{30 + n}" for n in wrong]


STAMP = st.builds(
    lambda minute, second: HOURS.open + minute * MINUTE + timedelta(seconds=second),
    st.integers(0, 3),
    st.sampled_from([0, 0, 0, 1]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["A", "AA", "AAp", "a", "É", "Z"]), STAMP), max_size=6))
def test_timestamps_pass_exactly_what_is_aligned_unique_and_sorted(keys):
    bars = pl.DataFrame(keys, schema={"ticker": pl.String, "timestamp": pl.Datetime("us", "UTC")}, orient="row")
    in_order = sorted(set(keys), key=lambda key: (key[0].encode(), key[1])) == keys
    aligned = all(stamp.second == 0 for _, stamp in keys)
    verdict = timestamps(bars)
    assert verdict.passed == (in_order and aligned)
    assert verdict.metadata["duplicated_rows"] == len(keys) - len(set(keys))
    stamps = bars.select("timestamp")
    assert timestamps(stamps).passed == (aligned and sorted(set(stamps["timestamp"])) == stamps["timestamp"].to_list())
