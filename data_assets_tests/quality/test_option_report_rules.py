"""The rules of open interest and end-of-day reports, on the synthetic market's and on broken ones."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.quality.completeness import absent_contracts
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.option_quotes import contract_set
from data_assets.quality.option_reports import end_of_day, newest_reports, open_interest, unique_contracts
from data_assets.sandbox.market import option_reports
from data_assets.sandbox.market.option_chain import chain
from data_assets.trading_calendar import NEW_YORK, previous_session, session
from data_assets_tests.quality.greek_days import DAY, HOURS, ROOTS, stored

LISTINGS = [listing for root in ROOTS for listing in chain(root, DAY, 400)]
INTEREST = stored(pl.concat(option_reports.open_interest(each) for each in LISTINGS)).drop_nulls("open_interest")
REPORTS = stored(pl.concat(option_reports.eod(each) for each in LISTINGS))
HOUR = timedelta(hours=1)
PREVIOUS = previous_session(DAY)
TRADED = pl.col("count") > 0
first = pl.int_range(pl.len()) == 0


def first_of(kind: pl.Expr) -> pl.Expr:
    return kind & (kind.cum_sum() == 1)


def changed(frame: pl.DataFrame, where: pl.Expr, **values: object) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(where)
        .then(value if isinstance(value, pl.Expr) else pl.lit(value, frame.schema[name]))
        .otherwise(pl.col(name))
        .alias(name)
        for name, value in values.items()
    )


def test_a_good_day_keeps_every_rule():
    listed = pl.concat(each.contracts() for each in LISTINGS)
    for frame, tolerance in ((INTEREST, 0.2), (REPORTS, 0.0)):
        comparison = absent_contracts(frame, listed, day=DAY)
        found = contract_set(
            frame,
            listed=comparison.listed,
            absent=len(comparison.absent),
            absent_names=comparison.absent,
            extra=comparison.extra,
            tolerance=tolerance,
        )
        assert found.passed, found.summary
        assert unique_contracts(frame).passed
    assert open_interest(INTEREST, day=DAY).passed
    verdict = end_of_day(REPORTS, day=DAY, previous=PREVIOUS, option_close=HOURS.option_close)
    assert verdict.passed
    assert verdict.summary == f"{REPORTS.filter(TRADED).height:,} of 800 contracts traded"


def test_several_rows_and_a_wrong_order_are_found():
    twice = unique_contracts(pl.concat([REPORTS[:3], REPORTS[2:]]))
    assert (twice.passed, twice.severity, twice.metadata["repeated_contracts"]) == (False, "error", 1)
    swapped = unique_contracts(pl.concat([REPORTS[1:2], REPORTS[:1], REPORTS[2:]]))
    assert not swapped.passed
    assert "not sorted" in swapped.summary
    assert not unique_contracts(REPORTS.clear()).passed


@pytest.mark.parametrize(
    ("broken", "severity"),
    [
        (changed(INTEREST, first, open_interest=-1), "error"),
        (changed(INTEREST, first, open_interest=None), "error"),
        (changed(INTEREST, first, timestamp=HOURS.open + HOUR), "warn"),
        (changed(INTEREST, first, timestamp=HOURS.open - 25 * HOUR), "warn"),
        (changed(INTEREST, first, timestamp=None), "warn"),
    ],
)
def test_open_interest_that_cannot_be_is_found(broken, severity):
    verdict = open_interest(broken, day=DAY)
    assert (verdict.passed, verdict.severity) == (False, severity)
    assert len(verdict.metadata["contracts_concerned"]) == 1


@pytest.mark.parametrize(
    ("kind", "severity", "broken"),
    [
        ("unusable", "error", changed(REPORTS, first, bid=-0.05)),
        ("unusable", "error", changed(REPORTS, first, ask=float("nan"))),
        ("unusable", "error", changed(REPORTS, first, ask_size=None)),
        ("inconsistent", "error", changed(REPORTS, first_of(TRADED), low=pl.col("close") + 1)),
        ("inconsistent", "error", changed(REPORTS, first_of(TRADED), high=pl.min_horizontal("open", "close") - 0.01)),
        ("inconsistent", "error", changed(REPORTS, first_of(TRADED), open=0.0, close=0.0, high=1.0, low=2.0)),
        ("moved_untraded", "error", changed(REPORTS, first_of(~TRADED), volume=5)),
        ("moved_untraded", "error", changed(REPORTS, first_of(~TRADED), open=1.0)),
        ("no_volume", "warn", changed(REPORTS, first_of(TRADED), volume=0)),
        ("made_early", "warn", changed(REPORTS, first, created=HOURS.close)),
        ("traded_elsewhen", "warn", changed(REPORTS, first_of(TRADED), last_trade=HOURS.open - 24 * HOUR)),
        ("traded_elsewhen", "warn", changed(REPORTS, first_of(TRADED), last_trade=HOURS.open - 14 * HOUR)),
        ("traded_elsewhen", "warn", changed(REPORTS, first_of(TRADED), last_trade=HOURS.open + 24 * HOUR)),
    ],
)
def test_a_report_that_cannot_be_is_found(kind, severity, broken):
    verdict = end_of_day(broken, day=DAY, previous=PREVIOUS, option_close=HOURS.option_close)
    assert (verdict.passed, verdict.severity) == (False, severity)
    counts = {
        name: verdict.metadata[name]
        for name in ("unusable", "inconsistent", "moved_untraded", "no_volume", "made_early", "traded_elsewhen")
    }
    assert {name: count for name, count in counts.items() if count} == {kind: 1}
    assert kind in verdict.metadata["contracts_concerned"][0]


NO_PRICE = {"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}


@pytest.mark.parametrize(
    ("kind", "unusual"),
    [
        ("moved_no_price", changed(REPORTS, first_of(~TRADED), volume=25, count=1)),
        ("moved_no_price", changed(REPORTS, first_of(TRADED), **NO_PRICE)),
        ("moved_some_prices", changed(REPORTS, first_of(TRADED), close=0.0)),
        ("moved_some_prices", changed(REPORTS, first_of(TRADED), open=0.0, close=0.0)),
        ("moved_some_prices", changed(REPORTS, first_of(TRADED), high=0.0, low=0.0)),
        ("traded_evening_before", changed(REPORTS, first_of(TRADED), last_trade=HOURS.open - 13 * HOUR)),
    ],
    ids=["compressed", "compressed alone", "late", "late alone", "last alone", "evening"],
)
def test_a_trade_need_not_move_every_column_and_what_it_moved_is_counted(kind, unusual):
    verdict = end_of_day(unusual, day=DAY, previous=PREVIOUS, option_close=HOURS.option_close)
    assert verdict.passed, verdict.summary
    counts = {name: verdict.metadata[name] for name in ("moved_no_price", "moved_some_prices", "traded_evening_before")}
    assert {name: count for name, count in counts.items() if count} == {kind: 1}


@pytest.mark.parametrize(
    ("day", "previous"), [(date(2024, 1, 8), date(2024, 1, 5)), (date(2024, 9, 3), date(2024, 8, 30))]
)
def test_the_evening_before_is_that_after_the_previous_session(day, previous):
    """Extended hours of a Monday begin on Sunday, those of a Tuesday after a holiday as early as on Sunday too."""
    reports = stored(pl.concat(option_reports.eod(each) for each in chain("SPXW", day, 100)))
    sunday = datetime(previous.year, previous.month, previous.day, 20, 31, tzinfo=NEW_YORK) + timedelta(days=2)
    sunday = sunday.astimezone(UTC)
    evening = changed(reports, first_of(TRADED), last_trade=sunday)
    verdict = end_of_day(evening, day=day, previous=previous, option_close=session(day).option_close)
    assert (verdict.passed, verdict.metadata["traded_evening_before"]) == (True, 1)


def test_a_shortened_session_without_bids_is_warned_of():
    day = date(2024, 7, 3)
    reports = stored(pl.concat(option_reports.eod(each) for each in chain("SPXW", day, 100)))
    verdict = end_of_day(reports, day=day, previous=previous_session(day), option_close=session(day).option_close)
    assert (verdict.passed, verdict.severity, verdict.metadata["without_bid_share"]) == (False, "warn", 1.0)


def test_a_day_of_nothing_but_zeros_is_warned_of_and_one_of_quotes_alone_is_not():
    nothing = changed(REPORTS, pl.lit(value=True), volume=0, count=0, **NO_PRICE)
    verdict = end_of_day(nothing, day=DAY, previous=PREVIOUS, option_close=HOURS.option_close)
    assert verdict.passed, verdict.summary
    nothing = changed(nothing, pl.lit(value=True), bid=0.0, ask=0.0, bid_size=0, ask_size=0)
    verdict = end_of_day(nothing, day=DAY, previous=PREVIOUS, option_close=HOURS.option_close)
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.summary.startswith("no contract has a trade or a quote")


@pytest.mark.parametrize("day", [date(2023, 11, 30), date(2023, 12, 1)])
def test_trades_without_any_quote_are_said_of_days_whose_reports_may_lack_them_and_warned_of_later(day):
    """As the vendor's page on end-of-day reports has it; a day whose quotes were lost looks the same."""
    reports = stored(pl.concat(option_reports.eod(each) for each in chain("SPX", day, 50)))
    reports = changed(reports, pl.lit(value=True), bid=0.0, ask=0.0, bid_size=0, ask_size=0)
    verdict = end_of_day(reports, day=day, previous=previous_session(day), option_close=session(day).option_close)
    assert verdict.passed == (day < date(2023, 12, 1))
    assert verdict.severity == "warn"
    assert ("no contract has a quote" in verdict.summary) == (not verdict.passed)
    assert ("none with a quote" in verdict.summary) == verdict.passed


def test_doubled_reports_are_resolved_to_the_last():
    day = date(2021, 12, 31)
    once = stored(pl.concat(option_reports.eod(each) for each in chain("SPXW", day, 64)))
    twice = stored(
        option_reports.reported_twice(
            once.with_columns(pl.col("created", "last_trade").dt.replace_time_zone(None)).sort(CONTRACT)
        )
    )
    assert not unique_contracts(twice).passed
    resolved = newest_reports(twice, "created")
    assert unique_contracts(resolved).passed
    assert resolved.drop("created", "last_trade").equals(once.drop("created", "last_trade"))
    assert (resolved["created"] > once["created"]).all()


stamps = st.integers(0, 5).map(
    lambda minutes: datetime.fromisoformat("2021-12-31T22:15+00:00") + timedelta(minutes=minutes)
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 4), stamps, st.integers(0, 2)), min_size=1, max_size=30))
def test_of_each_contract_the_last_report_is_kept_and_ties_that_differ_are_not_hidden(drawn):
    contracts = REPORTS.select(CONTRACT)[:5]
    frame = pl.concat(
        [
            contracts[[place for place, _, _ in drawn]],
            pl.DataFrame({"created": [stamp for _, stamp, _ in drawn], "volume": [volume for *_, volume in drawn]}),
        ],
        how="horizontal",
    )
    kept = newest_reports(frame, "created")
    for place in range(5):
        mine = [(stamp, volume) for drawn_place, stamp, volume in drawn if drawn_place == place]
        newest = {each for each in mine if each[0] == max(mine)[0]} if mine else set()
        rows = kept.join(contracts[place : place + 1], on=CONTRACT).select("created", "volume").rows()
        assert sorted(rows) == sorted(newest)
