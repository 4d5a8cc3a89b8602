"""From which day to which a dataset goes, as blocks and people write it."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.span import EVERY_DAY, SHIPPED, Span, read_days, read_span
from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION, is_session, sessions

DAYS = st.dates(FIRST_SESSION, LAST_SESSION)


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [
        (None, None, SHIPPED),
        ("", "", SHIPPED),
        ("2012-06-01", None, Span(date(2012, 6, 1))),
        (None, "2022-06-08", Span(date(2016, 8, 4), date(2022, 6, 8))),
        ("2003-09-10", None, EVERY_DAY),
        ("2016-01-01", "2016-01-10", Span(date(2016, 1, 4), date(2016, 1, 8))),
    ],
)
def test_what_is_not_stated_is_the_defaults_and_closed_days_move_inwards(first, last, span):
    assert read_span(first, last, SHIPPED) == span
    assert is_session(span.first_day)
    assert span.last_day is None or is_session(span.last_day)


@pytest.mark.parametrize(
    ("first", "last", "complaint"),
    [
        ("soon", None, "first_day 'soon' is not a date: write it as YYYY-MM-DD, such as 2016-08-04"),
        (None, "2016-13-01", "last_day '2016-13-01' is not a date: write it as YYYY-MM-DD, such as 2016-08-04"),
        ("2003-09-09", None, "first_day 2003-09-09: the trading calendar covers 2003-09-10 to 2040-12-31"),
        ("2041-01-02", None, "first_day 2041-01-02: the trading calendar covers 2003-09-10 to 2040-12-31"),
        (None, "2041-01-02", "last_day 2041-01-02: the trading calendar ends on 2040-12-31; leave it out"),
        (None, "2016-08-03", "last_day 2016-08-03: no trading day lies between first_day 2016-08-04 and it"),
        ("2024-07-06", "2024-07-07", "last_day 2024-07-07: no trading day lies between first_day 2024-07-06 and it"),
        (None, "1999-01-04", "last_day 1999-01-04: no trading day lies between first_day 2016-08-04 and it"),
    ],
)
def test_days_that_make_no_span_are_one_line_that_names_the_setting(first, last, complaint):
    with pytest.raises(ValueError) as raised:
        read_span(first, last, SHIPPED)
    assert str(raised.value) == complaint


@given(DAYS, DAYS)
def test_a_span_holds_exactly_the_sessions_between_what_was_stated(first, last):
    stated = sessions(first, last)
    if not stated:
        with pytest.raises(ValueError):
            Span(first, last)
        return
    span = Span(first, last)
    assert (span.first_day, span.last_day) == (stated[0], stated[-1])
    assert all(day in span for day in (stated[0], stated[-1]))
    assert [day for day in sessions(FIRST_SESSION, LAST_SESSION) if day in span] == stated


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2025-03", (date(2025, 3, 1), date(2025, 3, 31))),
        ("2024-02", (date(2024, 2, 1), date(2024, 2, 29))),
        ("9999-12", (date(9999, 12, 1), date(9999, 12, 31))),
        ("2025-03-14", (date(2025, 3, 14), date(2025, 3, 14))),
    ],
)
def test_a_month_stands_for_its_days(text, days):
    assert read_days(text) == days


@given(st.one_of(st.text(max_size=8), st.from_regex(r"[0-9]{4}-[0-9]{2}", fullmatch=True)))
def test_any_other_text_is_one_line_that_says_how_days_and_months_are_written(text):
    if re.fullmatch(r"(?!0000)[0-9]{4}-(0[1-9]|1[012])", text, re.ASCII):
        first, last = read_days(text)
        assert (f"{first}", last.month) == (f"{text}-01", first.month)
        return
    with pytest.raises(ValueError, match="YYYY-MM-DD, such as 2016-08-04, or a month as YYYY-MM") as raised:
        read_days(text)
    assert len(str(raised.value).splitlines()) == 1
