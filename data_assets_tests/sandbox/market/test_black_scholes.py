"""The pricing model against the textbook's formulas, in the standard library's arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_assets.sandbox.market.black_scholes import implied_deviation, sensitivities, time_value

dollars = st.floats(5, 7000)
moneyness = st.floats(-0.8, 0.8)
deviations = st.floats(0.002, 1.5)


def one(number: float) -> np.ndarray:
    return np.array([number])


def normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def textbook(spot: float, strike: float, deviation: float) -> tuple[float, float]:
    """Values of the call and the put."""
    d1 = math.log(spot / strike) / deviation + deviation / 2
    d2 = d1 - deviation
    return (
        spot * normal(d1) - strike * normal(d2),
        strike * normal(-d2) - spot * normal(-d1),
    )


@given(dollars, moneyness, deviations)
def test_values_are_the_textbooks(spot, away, deviation):
    strike = spot * math.exp(away)
    for call, expected in zip((True, False), textbook(spot, strike, deviation), strict=True):
        got = sensitivities(one(spot), one(strike), one(deviation), call)
        assert got.value[0] == pytest.approx(expected, rel=1e-4, abs=1e-6 * spot)
        intrinsic = max(spot - strike if call else strike - spot, 0)
        assert got.value[0] - intrinsic == pytest.approx(
            time_value(one(spot), one(strike), one(deviation))[0], abs=1e-9 * spot
        )


@given(dollars, moneyness, st.floats(0.01, 1.0), st.booleans())
def test_sensitivities_are_the_slopes_of_the_value(spot, away, deviation, call):
    """Central differences of the textbook's value."""
    strike = spot * math.exp(away)
    got = sensitivities(one(spot), one(strike), one(deviation), call)

    def value(s: float, w: float) -> float:
        return textbook(s, strike, w)[0 if call else 1]

    step = 1e-4 * spot
    by_spot = (value(spot + step, deviation) - value(spot - step, deviation)) / (2 * step)
    by_deviation = (value(spot, deviation * 1.0001) - value(spot, deviation * 0.9999)) / (0.0002 * deviation)
    assert got.delta[0] == pytest.approx(by_spot, abs=2e-4)
    assert got.slope[0] == pytest.approx(by_deviation, rel=1e-3, abs=1e-5 * spot)


@given(dollars, moneyness, deviations)
def test_the_deviation_comes_back_from_its_value(spot, away, deviation):
    strike = spot * math.exp(away)
    worth = time_value(one(spot), one(strike), one(deviation))
    assume(1e-6 * spot < worth[0] < 0.9 * min(spot, strike))
    found = implied_deviation(worth, one(spot), one(strike))
    assert time_value(one(spot), one(strike), found)[0] == pytest.approx(worth[0], rel=1e-3)
    assert found[0] == pytest.approx(deviation, rel=1e-3)
