"""The tickers of a defs.yaml: what a list wants on a day, and what is said of one that is wrong."""

from datetime import date, timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.kept import Name
from data_assets.vendors.polygon.tickers import Tickers, tickers_of

RENAMED_ON = date(2022, 6, 9)
BEFORE = RENAMED_ON - timedelta(days=1)


def read(text):
    return tickers_of("tickers", yaml.safe_load(text))


def test_a_renamed_ticker_is_wanted_under_the_name_of_its_day():
    tickers = read("[SPY, {ticker: META, first_day: 2022-06-09, was: FB}, SPY]")
    assert tickers.on(BEFORE) == ("FB", "SPY")
    assert tickers.on(RENAMED_ON) == ("META", "SPY")
    assert tickers.between(BEFORE, RENAMED_ON) == ("FB", "META", "SPY")
    assert tickers.with_days == (Name("META", RENAMED_ON, was="FB"),)


def test_a_name_before_that_says_itself_since_when():
    tickers = read(
        "[{ticker: META, first_day: 2022-06-09, was: FB}, {ticker: FB, first_day: 2012-05-18, last_day: 2022-06-08}]"
    )
    assert tickers.on(date(2012, 5, 17)) == ()
    assert tickers.on(date(2012, 5, 18)) == tickers.on(BEFORE) == ("FB",)
    assert tickers.on(RENAMED_ON) == ("META",)


def test_a_name_that_comes_back_is_wanted_in_both_stretches():
    tickers = read(
        """
        - {ticker: QQQ, first_day: 2011-03-23, was: QQQQ}
        - {ticker: QQQQ, first_day: 2004-12-01, last_day: 2011-03-22, was: QQQ}
        """
    )
    days = (date(2004, 11, 30), date(2004, 12, 1), date(2011, 3, 22), date(2011, 3, 23))
    assert [tickers.on(day) for day in days] == [("QQQ",), ("QQQQ",), ("QQQQ",), ("QQQ",)]


def test_a_name_may_end():
    tickers = read("[SPY, {ticker: TWTR, last_day: 2022-10-27}]")
    assert tickers.on(date(2022, 10, 27)) == ("SPY", "TWTR")
    assert tickers.on(date(2022, 10, 28)) == ("SPY",)
    assert tickers.is_name("TWTR", date(2022, 10, 27))
    assert not tickers.is_name("TWTR", date(2022, 10, 28))
    assert tickers.is_name("SPY", BEFORE)
    assert tickers.is_name("KO", BEFORE), "nothing is known of it"


DAYS = st.dates(date(2003, 9, 10), date(2030, 1, 1))


@given(st.dates(date(2004, 1, 1), date(2029, 1, 1)), DAYS)
def test_of_a_renamed_ticker_one_name_is_wanted_on_every_day(renamed_on, day):
    tickers = Tickers((Name("META", renamed_on, was="FB"),))
    assert tickers.on(day) == (("META",) if day >= renamed_on else ("FB",))
    assert [name for name in ("META", "FB") if tickers.is_name(name, day)] == list(tickers.on(day))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "tickers: write a list of tickers with at least one"),
        ("SPY", "tickers: write a list of tickers"),
        ("[ON, SPY]", r'tickers: True is no text; YAML reads ON, NO, .*\["ON", SPY\]'),
        ("[SPY, null]", "tickers: None is no text"),
        ("[{ticker: META, first: 2022-06-09}]", r"tickers: .* has 'first'; it may have ticker, first_day"),
        ("[{first_day: 2022-06-09}]", "tickers: .* lacks the key ticker"),
        ("[{ticker: META, first_day: '2022-13-09'}]", "tickers: META: first_day is '2022-13-09'; write a day as YYYY"),
        ("[{ticker: META, was: FB}]", "tickers: META: was takes another name, and first_day"),
        ("[{ticker: META, first_day: 2022-06-09, was: NO}]", "tickers: False is no text"),
        (
            "[{ticker: A, first_day: 2022-06-09, last_day: 2022-06-08}]",
            "tickers: A: its last_day 2022-06-08 lies before",
        ),
    ],
)
def test_a_list_that_is_wrong_says_what_to_write(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        read(text)
    assert "\n" not in str(caught.value)
