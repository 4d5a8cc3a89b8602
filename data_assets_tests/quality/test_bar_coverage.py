from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.quality.bar_coverage import (
    FileSize,
    coverage,
    market_bar_count,
    market_holes,
    missing_minutes,
    regular_minutes,
    session_bar_count,
)
from data_assets.quality.naming import minutes_text
from data_assets.sandbox.market.minute_bars import LIQUID
from data_assets_tests.quality.bar_days import DAY, HALF_DAY, HALF_HOURS, HOURS, MINUTE, alone, market, without

THIN = "ABRpA"
BARS = market(*LIQUID, THIN)
USUAL = [FileSize(rows=rows, tickers=11_400) for rows in (1_700_000, 1_800_000, 1_850_000, 1_900_000, 1_750_000)]
SIZE = FileSize(rows=1_800_000, tickers=11_390)
TEN = HOURS.open + 30 * MINUTE


def count_of(bars=BARS, *, whole_file=None, hours=HOURS, **changed):
    arguments = {"liquid": LIQUID, "size": SIZE, "neighbours": USUAL} | changed
    whole_file = bars if whole_file is None else whole_file
    return market_bar_count(
        bars,
        hours=hours,
        last_bar=whole_file["timestamp"].max(),
        minutes_present=minutes_present(whole_file, hours),
        **arguments,
    )


def minutes_present(bars, hours=HOURS):
    trading = dict(bars.group_by("timestamp").agg(pl.col("ticker").n_unique()).iter_rows())
    return [trading.get(minute, 0) for minute in regular_minutes(hours)]


def coverage_of(bars, wanted=(*LIQUID, THIN), holes=(), hours=HOURS):
    return coverage(bars, wanted=wanted, liquid=LIQUID, hours=hours, holes=holes)


def test_regular_minutes():
    assert regular_minutes(HOURS)[:2] == (HOURS.open, HOURS.open + MINUTE)
    assert regular_minutes(HOURS)[-1] == HOURS.close - MINUTE
    assert (len(regular_minutes(HOURS)), len(regular_minutes(HALF_HOURS))) == (390, 210)


@pytest.mark.parametrize(("day", "hours"), [(DAY, HOURS), (HALF_DAY, HALF_HOURS)])
def test_a_security_with_every_minute(day, hours):
    verdict = session_bar_count(alone(day=day), hours=hours)
    assert (verdict.name, verdict.passed) == ("bar_count", True)
    assert verdict.metadata["expected_bars"] == verdict.metadata["actual_bars"] == hours.minutes


def test_a_security_that_lacks_minutes_says_which():
    bars = without(alone(), TEN + 3 * MINUTE, 5).filter(pl.col("timestamp") != TEN - 15 * MINUTE)
    verdict = session_bar_count(bars, hours=HOURS)
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert verdict.summary == "384 of 390 minutes; missing 09:45, 10:03-10:07 New York"
    lenient = session_bar_count(bars, hours=HOURS, lenient=True)
    assert lenient.passed
    assert lenient.metadata["missing_minutes"] == 6
    assert lenient.metadata["missing"] == "09:45, 10:03-10:07 New York"


@pytest.mark.parametrize("lenient", [True, False])
def test_no_bar_and_too_many_bars_are_errors_however_lenient(lenient):
    assert "no bar at all, 390 expected" in session_bar_count(alone().head(0), hours=HOURS, lenient=lenient).summary
    twice = pl.concat([alone(), alone().head(2)])
    verdict = session_bar_count(twice, hours=HOURS, lenient=lenient)
    assert (verdict.passed, verdict.metadata["surplus_bars"]) == (False, 2)
    swapped = pl.concat([alone().head(389), alone().tail(1).with_columns(pl.col("timestamp") + timedelta(hours=1))])
    assert not session_bar_count(swapped, hours=HOURS, lenient=lenient).passed


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 389)))
def test_the_missing_minutes_are_exactly_those_taken_away(gone):
    bars = alone().filter(~pl.int_range(pl.len()).is_in(list(gone)))
    missing = missing_minutes(bars, HOURS)
    assert missing == [HOURS.open + n * MINUTE for n in sorted(gone)]
    shown, later = read_back(minutes_text(missing))
    assert shown == sorted(gone)[: len(shown)]
    assert len(shown) + later == len(gone)


def test_a_text_of_many_stretches_counts_the_rest():
    text = minutes_text([HOURS.open + n * MINUTE for n in range(0, 390, 2)])
    assert read_back(text) == (list(range(0, 40, 2)), 175)
    assert text.endswith(", 10:06, 10:08 and 175 later minutes New York")


def read_back(text: str) -> tuple[list[int], int]:
    """What a person reads from the text: minutes after 09:30, and how many more there are."""
    if not text:
        return [], 0
    assert text.endswith(" New York")
    named, _, more = text.removesuffix(" New York").partition(" and ")
    later, _, noun = more.partition(" later ")
    assert noun == ("" if not more else "minute" if later == "1" else "minutes")
    minutes = []
    for stretch in named.split(", "):
        first, _, last = stretch.partition("-")
        numbers = [int(clock[:2]) * 60 + int(clock[3:]) - 570 for clock in (first, last or first)]
        assert (numbers[0] < numbers[1]) == bool(last)
        minutes += range(numbers[0], numbers[1] + 1)
    assert len(named.split(", ")) <= 20
    return minutes, int(later or 0)


def test_a_whole_market_day():
    verdict = count_of()
    assert (verdict.name, verdict.passed, verdict.severity) == ("bar_count", True, "warn")
    assert "10 of 10 liquid tickers have all 390 regular minutes" in verdict.summary
    assert "100% of the usual rows, 100% of the usual tickers" in verdict.summary
    half = market(*LIQUID, day=HALF_DAY)
    assert count_of(half, hours=HALF_HOURS, size=FileSize(1_000_000, 11_000)).passed


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (FileSize(1_430_000, 11_390), "only 79% of the usual rows"),
        (FileSize(1_800_000, 9_000), "only 79% of the usual tickers"),
        (FileSize(0, 0), "only 0% of the usual rows and 0% of the usual tickers"),
    ],
)
def test_a_truncated_file_that_can_be_read(size, text):
    verdict = count_of(size=size)
    assert (verdict.passed, verdict.severity, verdict.summary) == (False, "error", text)
    assert count_of(size=size, neighbours=USUAL[:4]).passed
    assert count_of(size=size, minimum_share=0.0).passed


def test_without_enough_neighbours_it_cannot_tell_yet_and_waits_for_them():
    verdict = count_of(neighbours=USUAL[:4])
    assert verdict.passed
    assert "cannot be told yet (4 days near it, 5 needed)" in verdict.summary
    assert verdict.metadata["usual"] == "cannot tell yet"
    assert (verdict.waits_for, count_of().waits_for) == (5, 0)


def test_a_thin_early_close_only_warns():
    half = market(*LIQUID, day=HALF_DAY)
    verdict = count_of(half, hours=HALF_HOURS, size=FileSize(600_000, 11_000))
    assert (verdict.passed, verdict.severity) == (False, "warn")


def test_a_file_that_ends_before_the_close():
    whole = BARS.filter(pl.col("timestamp") < HOURS.close)
    assert count_of(whole).passed
    cut = BARS.filter(pl.col("timestamp") < HOURS.close - MINUTE)
    verdict = count_of(cut)
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert verdict.summary.startswith("the file ends at 15:58, before the close at 16:00")


def test_a_hole_in_one_name_is_no_trade():
    verdict = count_of(without(BARS, TEN, 2, "SPY"))
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.summary == "no trade, or a halt in one ticker: SPY lacks 10:00-10:01 New York"


def test_a_hole_in_most_names_is_an_outage():
    verdict = count_of(without(BARS, TEN, 2, *LIQUID[:9]))
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.summary == "outage, or a halt of the market: most tickers lack 10:00-10:01 New York"
    assert verdict.metadata["market_holes"] == 2
    assert verdict.metadata["liquid_names_whole"] == 1


def test_holes_are_those_of_the_whole_file_not_of_the_stored_tickers():
    stored = without(market("SPY", "QQQ"), TEN, 2)
    verdict = count_of(stored, whole_file=BARS)
    assert verdict.summary.startswith("no trade, or a halt in one ticker: QQQ lacks 10:00-10:01")


def test_a_name_that_lacks_more_than_the_market():
    bars = without(without(BARS, TEN, 2), TEN + 5 * MINUTE, 1, "SPY")
    summary = count_of(bars).summary
    assert "most tickers lack 10:00-10:01 New York" in summary
    assert "SPY lacks 10:05 New York" in summary


def test_too_few_tickers_to_tell():
    few = market("SPY", "QQQ")
    assert market_holes(minutes_present(few), HOURS) is None
    verdict = count_of(few)
    assert verdict.passed
    assert "too few tickers to tell an outage" in verdict.summary
    assert market_holes([0] * 390, HOURS) is None


def test_a_liquid_name_that_is_absent_is_left_to_coverage():
    bars = BARS.filter(pl.col("ticker") != "META")
    assert count_of(bars).metadata["liquid_names"] == 9
    verdict = coverage_of(bars)
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.metadata["absent_tickers"] == ["META"]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 389), max_size=150))
def test_market_holes_are_exactly_the_minutes_most_tickers_lack(gone):
    counts = [40 if n in gone else 100 + n % 30 for n in range(390)]
    holes = [HOURS.open + n * MINUTE for n in sorted(gone)]
    assert market_holes(counts, HOURS) == holes
    assert market_holes([0 if n in gone else 100 for n in range(390)], HOURS) == holes


def test_counts_of_another_session_are_refused():
    with pytest.raises(ValueError, match="210 counts for a session of 390 minutes"):
        market_holes([100] * 210, HOURS)


def test_coverage_of_a_good_day():
    verdict = coverage_of(BARS)
    assert verdict.passed
    assert (verdict.metadata["complete"], verdict.metadata["cannot_tell"]) == (10, 1)
    thin = missing_minutes(BARS.filter(pl.col("ticker") == THIN), HOURS)
    assert verdict.metadata["coverage_share"] == pytest.approx(1 - len(thin) / (11 * 390))
    assert verdict.metadata["cannot_tell_tickers"] == [THIN]


def test_coverage_of_a_half_day():
    assert coverage_of(market(*LIQUID, day=HALF_DAY), LIQUID, hours=HALF_HOURS).metadata["coverage_share"] == 1.0


def test_a_liquid_name_without_a_minute_is_partial():
    verdict = coverage_of(without(BARS, TEN, 1, "SPY"))
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.metadata["partial_tickers"] == ["SPY: 389 of 390 minutes, 09:30 to 15:59"]


def as_ticker(name, bars):
    return bars.with_columns(ticker=pl.lit(name))


def test_a_ticker_with_the_bars_of_another_is_named():
    """polygon-io/issues 68: one security's data under the name of another."""
    taken = as_ticker("MSFT", BARS.filter(pl.col("ticker") == "AAPL"))
    others = BARS.filter(pl.col("ticker") != "MSFT")
    verdict = coverage_of(pl.concat([others, taken]).sort("ticker", "timestamp"))
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.metadata["same_bars"] == ["AAPL as MSFT"]
    assert "identical in every bar, which no market produces: AAPL as MSFT" in verdict.summary
    almost = taken.with_columns(volume=pl.col("volume") + (pl.int_range(pl.len()) == 5).cast(pl.Int8))
    assert coverage_of(pl.concat([others, almost]).sort("ticker", "timestamp")).passed
    few = pl.concat([others, taken.head(20)]).filter(
        ~pl.col("ticker").is_in(["AAPL", "MSFT"]) | (pl.col("timestamp") <= taken["timestamp"][19])
    )
    assert coverage_of(few).metadata["same_bars"] == []
    test_ticker = BARS.filter(pl.col("ticker") == THIN).with_columns(
        pl.lit(10.0).alias(price) for price in ("open", "high", "low", "close")
    )
    repeated = pl.concat([BARS, as_ticker("ZVZZT", test_ticker), as_ticker("ZWZZT", test_ticker)])
    assert coverage_of(repeated, [*LIQUID, THIN, "ZVZZT", "ZWZZT"]).passed


def test_a_name_that_trades_all_the_time_and_then_not_at_all_is_partial():
    spy = as_ticker("XYZ", BARS.filter(pl.col("ticker") == "SPY"))
    for bars in (
        spy.filter(pl.col("timestamp") < HOURS.open + 200 * MINUTE),
        spy.filter(pl.col("timestamp") >= HOURS.open + 200 * MINUTE),
    ):
        assert coverage_of(bars, ["XYZ"]).metadata["partial"] == 1
    a_few = spy.filter(pl.col("timestamp") >= TEN).head(29)
    assert coverage_of(a_few, ["XYZ"]).metadata["cannot_tell"] == 1
    now_and_then = spy.gather_every(3)
    assert coverage_of(now_and_then, ["XYZ"]).metadata["cannot_tell"] == 1


def test_a_name_that_lacks_the_market_hole_is_partial():
    holes = [TEN, TEN + MINUTE]
    spy = as_ticker("XYZ", BARS.filter(pl.col("ticker") == "SPY"))
    lacking = without(spy, TEN, 2)
    assert coverage_of(lacking, ["XYZ"], holes).metadata["partial"] == 1
    assert coverage_of(lacking, ["XYZ"], None).metadata["cannot_tell"] == 1
    elsewhere = without(spy, TEN + 9 * MINUTE, 2)
    assert coverage_of(elsewhere, ["XYZ"], holes).metadata["cannot_tell"] == 1


def test_bars_before_and_after_hours_alone():
    early = as_ticker("XYZ", BARS.filter(pl.col("ticker") == "SPY", pl.col("timestamp") < HOURS.open))
    verdict = coverage_of(early, ["XYZ"])
    assert verdict.metadata["cannot_tell_tickers"] == ["XYZ"]
    assert verdict.metadata["coverage_share"] == 0.0


def test_a_day_without_any_wanted_ticker_is_an_error():
    verdict = coverage_of(BARS, ["NOPE", "spy"])
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert verdict.summary == "of 2 tickers: 2 absent (NOPE, spy); 0.0% of the regular minutes have a bar"
    assert coverage_of(BARS, []).passed


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*LIQUID, THIN, "NOPE", "NA", "TRUE"]), min_size=1))
def test_every_wanted_ticker_has_one_state(wanted):
    verdict = coverage_of(BARS, wanted)
    states = [verdict.metadata[state] for state in ("complete", "partial", "absent", "cannot_tell")]
    names = set(wanted)
    assert states == [len(names & set(LIQUID)), 0, len(names & {"NOPE", "NA", "TRUE"}), len(names & {THIN})]
    assert verdict.metadata["wanted"] == sum(states) == len(names)


def test_more_than_ten_are_counted_and_ten_named():
    wanted = [f"X{n}" for n in range(30)]
    verdict = coverage_of(BARS, [*wanted, "SPY"])
    assert verdict.metadata["absent"] == 30
    assert verdict.metadata["absent_tickers"] == wanted[:10]
    assert "30 absent (X0, X1," in verdict.summary
