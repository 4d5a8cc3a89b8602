"""The Black-Scholes model without interest and dividends: values, the deviation behind a value, sensitivities.

Here: pure formulas on arrays. Not here: where spots, strikes and volatilities come from, and a vendor's units.

Everything is written with the *deviation*, volatility times the square root of the time to expiration, and with the
Mills ratio M(x), the upper tail of the normal distribution over its density at x. With D = |log(spot / strike)| /
deviation, call and put at one strike are both worth their intrinsic value plus the same time value

    sensitivity * (M(D - deviation / 2) - M(D + deviation / 2)),

where the sensitivity, sqrt(spot * strike / 2 pi) * exp(-(D**2 + deviation**2 / 4) / 2), is also the time value's slope
in the deviation. Far from the money this keeps the digits that a difference of two tails loses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_assets.sandbox.market.market import Floats

_LOWEST, _HIGHEST, _PER_UNIT = -8, 40, 1000
_NEWTON_STEPS = 6
_WIDEST = 2.0 * -_LOWEST
_MILLS: Floats = np.array(
    [
        math.sqrt(math.pi / 2) * math.erfc(x / math.sqrt(2)) * math.exp(x * x / 2)
        for x in (place / _PER_UNIT for place in range(_LOWEST * _PER_UNIT, 36 * _PER_UNIT))
    ]
    + [1 / x - 1 / x**3 + 3 / x**5 for x in (place / _PER_UNIT for place in range(36 * _PER_UNIT, 40 * _PER_UNIT + 2))]
)


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """What moves the value of a call or put; all arrays have one shape.

    Attributes:
        value: dollars.
        delta: dollars per dollar of the spot, -1 to 1.
        slope: dollars per unit of deviation, which is vega over the square root of the time.
    """

    value: Floats
    delta: Floats
    slope: Floats


def time_value(spot: Floats, strike: Floats, deviation: Floats) -> Floats:
    """Dollars that a call or a put at ``strike`` is worth above its intrinsic value."""
    distance = np.minimum(np.abs(np.log(spot / strike)) / deviation, _HIGHEST - 1)
    return _slope(spot, strike, distance, deviation) * (
        _mills(distance - deviation / 2) - _mills(distance + deviation / 2)
    )


def implied_deviation(worth: Floats, spot: Floats, strike: Floats) -> Floats:
    """The deviation at which ``time_value`` is ``worth``.

    Newton's method on the logarithm of the value, from below: the value's logarithm is concave in the deviation, so the
    steps never pass the root. They stop after a fixed number; what they leave open is far below a cent.

    Args:
        worth: dollars above 0 and below both spot and strike; elsewhere the answer means nothing.
        spot: dollars above 0.
        strike: dollars above 0.
    """
    apart = np.abs(np.log(spot / strike))
    scale = np.sqrt(spot * strike / (2 * math.pi))
    short = np.log(scale / worth)
    # Two lower bounds: the value at the money, and the exponential alone of the value away from it.
    deviation = np.maximum(worth / scale, apart / np.sqrt(2 * np.maximum(short, 0) + 2))
    for _ in range(_NEWTON_STEPS):
        distance = apart / deviation
        width = _mills(distance - deviation / 2) - _mills(distance + deviation / 2)
        logarithm = short - (distance * distance + deviation * deviation / 4) / 2 + np.log(width)
        deviation = np.minimum(deviation - logarithm * width, _WIDEST)
    return deviation


def sensitivities(spot: Floats, strike: Floats, deviation: Floats, call: bool) -> Sensitivities:
    """Value, delta and slope of the calls, or of the puts, at ``strike``."""
    distance = np.minimum(np.abs(np.log(spot / strike)) / deviation, _HIGHEST - 1)
    slope = _slope(spot, strike, distance, deviation)
    near, far = _mills(distance - deviation / 2), _mills(distance + deviation / 2)
    of_call = np.where(spot < strike, slope * near / spot, 1 - slope * far / spot)
    intrinsic = np.maximum(spot - strike if call else strike - spot, 0)
    return Sensitivities(intrinsic + slope * (near - far), of_call if call else of_call - 1, slope)


def _slope(spot: Floats, strike: Floats, distance: Floats, deviation: Floats) -> Floats:
    slope: Floats = np.sqrt(spot * strike / (2 * math.pi)) * np.exp(
        -(distance * distance + deviation * deviation / 4) / 2
    )
    return slope


def _mills(x: Floats) -> Floats:
    """The Mills ratio by linear interpolation, which is right to a millionth."""
    place = (np.clip(x, _LOWEST, _HIGHEST) - _LOWEST) * _PER_UNIT
    below = place.astype(np.int32)
    left = _MILLS[below]
    ratio: Floats = left + (_MILLS[below + 1] - left) * (place - below)
    return ratio
