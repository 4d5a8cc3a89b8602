"""The calendar against independent rules and against the exchanges' special days."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pandas_market_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets import trading_calendar as calendar
from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION, NotASession

NEW_YORK = ZoneInfo("America/New_York")
TOKYO = ZoneInfo("Asia/Tokyo")
ALL = calendar.sessions(FIRST_SESSION, LAST_SESSION)
DAYS = st.dates(FIRST_SESSION, LAST_SESSION)
INNER_DAYS = st.dates(FIRST_SESSION + timedelta(days=7), LAST_SESSION - timedelta(days=7))


def local(moment: datetime) -> time:
    return moment.astimezone(NEW_YORK).time()


def nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def scheduled_early_closes(first_year: int, last_year: int) -> list[date]:
    """The NYSE's rule since 2003: the day after Thanksgiving; December 24 and July 3 from Monday to Thursday."""
    found = [date(2003, 12, 26)]  # once, the Friday after a Thursday's Christmas
    for year in range(first_year, last_year + 1):
        found.append(nth_weekday(year, 11, 3, 4) + timedelta(days=1))
        found.extend(day for day in (date(year, 7, 3), date(year, 12, 24)) if day.weekday() < 4)
    return sorted(day for day in found if day >= FIRST_SESSION)


def test_the_number_of_sessions_is_the_known_one():
    assert len(calendar.sessions(date(2016, 8, 4), date(2024, 8, 2))) == 2012
    assert len(calendar.sessions(date(2003, 9, 10), date(2026, 12, 31))) == 5865
    assert (ALL[0], ALL[-1]) == (FIRST_SESSION, LAST_SESSION)
    assert LAST_SESSION.year == 2040  # whole years: the next day is New Year's


@pytest.mark.parametrize(
    ("closed", "before", "after"),
    [
        ("2004-06-11", "2004-06-10", "2004-06-14"),  # mourning for President Reagan
        ("2007-01-02", "2006-12-29", "2007-01-03"),  # President Ford
        ("2012-10-29", "2012-10-26", "2012-10-31"),  # Hurricane Sandy
        ("2012-10-30", "2012-10-26", "2012-10-31"),
        ("2018-12-05", "2018-12-04", "2018-12-06"),  # President G. H. W. Bush
        ("2025-01-09", "2025-01-08", "2025-01-10"),  # President Carter
        ("2024-07-04", "2024-07-03", "2024-07-05"),
    ],
)
def test_a_special_closure_is_no_session_and_the_error_names_its_neighbours(closed, before, after):
    day = date.fromisoformat(closed)
    assert not calendar.is_session(day)
    assert day in calendar.closures(2004, 2025)
    with pytest.raises(NotASession) as raised:
        calendar.session(day)
    assert str(raised.value) == f"{closed} is a market holiday; the nearest sessions are {before} and {after}"


def test_a_weekend_is_named_as_one_and_days_outside_the_calendar_name_its_extent():
    with pytest.raises(
        NotASession, match="2024-07-06 is a weekend day; the nearest sessions are 2024-07-05 and 2024-07-08"
    ):
        calendar.session(date(2024, 7, 6))
    for outside in (FIRST_SESSION - timedelta(days=1), LAST_SESSION + timedelta(days=2)):
        assert not calendar.is_session(outside)
        with pytest.raises(NotASession, match="covers 2003-09-10 to 2040-12-31"):
            calendar.session(outside)


def test_every_early_close_is_at_13_00_on_the_days_the_exchange_s_rule_gives_and_no_other():
    at_13 = [day for day in ALL if local(calendar.session(day).close) == time(13, 0)]
    assert at_13 == scheduled_early_closes(2003, 2040)
    assert len([day for day in at_13 if day.year <= 2026]) == 51
    for day in at_13:
        found = calendar.session(day)
        assert (found.minutes, found.is_early_close, local(found.option_close)) == (210, True, time(13, 15))


def test_the_one_odd_close_and_the_two_late_opens_are_exact():
    outage = calendar.session(date(2005, 6, 1))
    assert (local(outage.close), outage.minutes, outage.is_early_close) == (time(15, 56), 386, True)
    assert local(outage.option_close) == time(16, 15)  # the outage was the NYSE's alone
    late = [calendar.session(day) for day in (date(2004, 6, 7), date(2006, 12, 27))]
    assert [(local(found.open), found.minutes, found.is_early_close) for found in late] == [
        (time(9, 32), 388, False)
    ] * 2


def test_every_other_session_is_09_30_to_16_00_and_16_15_in_new_york_whatever_the_clock_change():
    special = {*scheduled_early_closes(2003, 2040), date(2005, 6, 1), date(2004, 6, 7), date(2006, 12, 27)}
    for found in map(calendar.session, ALL):
        assert found.open.tzinfo is found.close.tzinfo is found.option_close.tzinfo is UTC
        assert found.open.astimezone(NEW_YORK).date() == found.day
        if found.day not in special:
            hours = (local(found.open), local(found.close), local(found.option_close))
            assert hours == (time(9, 30), time(16, 0), time(16, 15)), found.day
            assert (found.minutes, found.is_early_close) == (390, False)


def test_both_clock_changes_of_every_year_move_the_open_in_utc():
    moved: dict[int, list[date]] = {}
    normal = (day for day in ALL if local(calendar.session(day).open) == time(9, 30))
    for before, after in pairwise(normal):
        if calendar.session(before).open.time() != calendar.session(after).open.time():
            moved.setdefault(after.year, []).append(after)
    for year in range(2004, 2041):
        if year < 2007:  # the Energy Policy Act of 2005 moved both Sundays
            changes = [nth_weekday(year, 4, 6, 1), nth_weekday(year, 11, 6, 1) - timedelta(days=7)]
        else:
            changes = [nth_weekday(year, 3, 6, 2), nth_weekday(year, 11, 6, 1)]
        assert moved[year] == [calendar.next_session(sunday) for sunday in changes]


def test_the_option_calendar_of_the_library_differs_only_where_it_is_known_to_be_wrong():
    """Red when the library learns the missing closes, or forgets others: the module's docstring is to change then."""
    cboe = pandas_market_calendars.get_calendar("CBOE_Index_Options").schedule(FIRST_SESSION, LAST_SESSION, tz="UTC")
    assert list(cboe.index.date) == ALL
    differing = [
        day
        for day, close in zip(ALL, cboe["market_close"], strict=True)
        if calendar.session(day).option_close != close.to_pydatetime()
    ]
    assert differing == [day for day in scheduled_early_closes(2003, 2040) if day.month == 12]
    assert len(differing) == 22


def test_closures_are_the_weekdays_between_sessions_of_whole_years():
    closed = calendar.closures(2016, 2040)
    assert all(day.isoweekday() <= 5 for day in closed)
    weekdays = [date(2016, 1, 1) + timedelta(days=n) for n in range((date(2040, 12, 31) - date(2016, 1, 1)).days + 1)]
    weekdays = [day for day in weekdays if day.isoweekday() <= 5]
    assert sorted([*closed, *calendar.sessions(date(2016, 1, 1), date(2040, 12, 31))]) == weekdays
    assert calendar.closures(2025, 2025)[:2] == [date(2025, 1, 1), date(2025, 1, 9)]


def test_closures_of_the_first_year_begin_with_the_calendar():
    assert calendar.closures(2003, 2003) == [date(2003, 11, 27), date(2003, 12, 25)]


@pytest.mark.parametrize("years", [(2002, 2010), (2039, 2041)])
def test_closures_of_a_year_that_is_not_known_are_refused(years):
    with pytest.raises(ValueError, match="known for 2003 to 2040"):
        calendar.closures(*years)


@given(INNER_DAYS)
def test_previous_and_next_are_inverse_and_leave_nothing_between(day):
    before, after = calendar.previous_session(day), calendar.next_session(day)
    assert before < day < after
    assert calendar.is_session(before)
    assert calendar.is_session(after)
    own = [day] if calendar.is_session(day) else []
    assert calendar.sessions(before, after) == [before, *own, after]
    assert calendar.next_session(before) == (own or [after])[0]
    assert calendar.previous_session(after) == (own or [before])[0]


@given(DAYS, DAYS)
def test_sessions_are_exactly_the_days_that_are_sessions(start, end):
    span = [start + timedelta(days=n) for n in range(min((end - start).days + 1, 400))]
    assert calendar.sessions(start, span[-1] if span else end) == [day for day in span if calendar.is_session(day)]


def test_the_ends_of_the_calendar_have_no_neighbour_beyond():
    with pytest.raises(NotASession, match="no session before 2003-09-10"):
        calendar.previous_session(FIRST_SESSION)
    with pytest.raises(NotASession, match="no session after 2040-12-31"):
        calendar.next_session(LAST_SESSION)
    assert calendar.sessions(date.min, date.max) == ALL


@given(
    st.datetimes(
        datetime.fromisoformat("2004-01-01"),
        datetime.fromisoformat("2040-12-30"),
        timezones=st.sampled_from([UTC, NEW_YORK, TOKYO]),
    )
)
def test_the_last_ended_session_has_ended_and_the_next_has_not(now):
    ended = calendar.last_ended_session(now)
    assert calendar.session(ended).option_close <= now
    assert calendar.session(calendar.next_session(ended)).option_close > now


@pytest.mark.parametrize("zone", [UTC, NEW_YORK, TOKYO])
def test_a_session_ends_with_the_late_option_trading_to_the_second_in_whatever_zone(zone):
    close = calendar.session(date(2024, 12, 24)).option_close.astimezone(zone)
    assert calendar.last_ended_session(close) == date(2024, 12, 24)
    assert calendar.last_ended_session(close - timedelta(seconds=1)) == date(2024, 12, 23)


def test_a_moment_without_zone_or_outside_the_calendar_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        calendar.last_ended_session(datetime.fromisoformat("2024-07-03T12:00"))
    with pytest.raises(NotASession, match="ends before 2041-06-03"):
        calendar.last_ended_session(datetime(2041, 6, 3, 12, tzinfo=UTC))
    with pytest.raises(NotASession, match="no session before"):
        calendar.last_ended_session(datetime(2003, 9, 10, 12, tzinfo=UTC))


def test_importing_the_calendar_does_not_yet_import_pandas():
    code = "import sys, data_assets.trading_calendar; print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
