"""The synthetic market: the same in every process, plausible, and without seams between days."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.sandbox.market.market import FIRST_MINUTE, LAST_MINUTE, generator, price_band, prices, uniform
from data_assets.trading_calendar import NotASession, next_session, sessions
from data_assets_tests.sandbox.market.two_processes import said_by_two_processes

DAYS = sessions(date(2012, 6, 1), date(2030, 12, 31))
any_day = st.sampled_from(DAYS)
any_symbol = st.sampled_from(["QQQ", "SPX", "SPY", "AAPL", "ZZZ"])

FINGERPRINT = """
from datetime import date
from hashlib import sha256
from data_assets.sandbox.market.market import prices
from data_assets.sandbox.market.option_chain import chain
digest = sha256(prices("QQQ", date(2024, 7, 3)).tobytes())
for listing in chain("SPXW", date(2024, 7, 3), 64):
    digest.update(listing.quotes().write_csv().encode())
print(digest.hexdigest())
"""


def test_every_process_sees_the_same_market():
    first, second = said_by_two_processes(FINGERPRINT)
    assert first == second != ""


def test_seeds_are_pinned_so_that_no_release_changes_the_market_unseen():
    assert uniform("a", 1) == pytest.approx(0.8721468929600746, abs=1e-15)
    assert generator("a", 1).integers(0, 1000, 3).tolist() == [411, 626, 972]


@settings(deadline=None, max_examples=60)
@given(any_symbol, any_day)
def test_a_path_is_whole_positive_and_in_cents(symbol, day):
    path = prices(symbol, day)
    assert len(path) == LAST_MINUTE - FIRST_MINUTE + 1 == 961
    assert (path > 0).all()
    assert np.array_equal(path, np.round(path, 2))
    assert 0 < path.std() < 0.05 * path.mean()
    assert np.abs(np.diff(np.log(path))).max() < 0.02


@settings(deadline=None, max_examples=60)
@given(any_symbol, st.sampled_from(DAYS[:-1]))
def test_a_day_begins_where_the_last_one_ended(symbol, day):
    following = next_session(day)
    evening, morning = prices(symbol, day)[-1], prices(symbol, following)[0]
    assert morning == pytest.approx(evening, abs=0.011)
    opening = prices(symbol, following, 570, 570)[0]
    assert opening == pytest.approx(prices(symbol, day, 960, 960)[0], rel=0.04)


@settings(deadline=None, max_examples=60)
@given(any_day)
def test_levels_are_those_of_the_real_indices(day):
    assert 440 < prices("QQQ", day).min() <= prices("QQQ", day).max() < 630
    assert 4900 < prices("SPX", day).min() <= prices("SPX", day).max() < 7000


def test_a_slice_is_part_of_the_whole_day():
    day = date(2024, 7, 3)
    assert np.array_equal(prices("QQQ", day, 570, 975), prices("QQQ", day)[570 - 240 : 975 - 240 + 1])


def test_symbols_and_days_differ():
    a, b, c = prices("QQQ", DAYS[0]), prices("SPY", DAYS[0]), prices("QQQ", DAYS[1])
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_unknown_symbols_have_a_level_of_their_own():
    bands = {price_band(f"X{number}") for number in range(50)}
    assert len(bands) == 50
    assert all(10 < low < high < 600 for low, high in bands)


def test_the_path_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        prices("QQQ", DAYS[0])[0] = 1.0


@pytest.mark.parametrize(("first", "last"), [(239, 300), (300, 299), (240, 1201)])
def test_minutes_outside_the_day_are_refused(first, last):
    with pytest.raises(ValueError, match="outside"):
        prices("QQQ", DAYS[0], first, last)


def test_a_closed_day_has_no_path():
    with pytest.raises(NotASession):
        prices("QQQ", date(2024, 7, 4))
