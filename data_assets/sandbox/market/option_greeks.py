"""First-order greeks of the synthetic chain, computed from its quotes the way Theta computes them.

Here: the vendor's units, its day count, its marks for what it cannot solve. Not here: the formulas (``black_scholes``),
the quotes (``option_chain``), text and protocol.

Source: Theta v3 OpenAPI, ``/option/history/greeks/first_order``, whose examples settle what its text leaves open. Their
epsilon over delta and price is the time to expiration: whole days over 365. Its parameter ``version`` adds that an
option on its last day has the real time that is left, an hour at the least. The synthetic market knows no interest and
no dividends.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.sandbox.market.black_scholes import implied_deviation, sensitivities
from data_assets.sandbox.market.market import Floats, minute_of_day, prices
from data_assets.sandbox.market.option_chain import Listing, is_index, underlying
from data_assets.trading_calendar import session

FAILED_VOLATILITY, FAILED_ERROR = 0.25, 100.0
"""What stands in ``implied_vol`` and ``iv_error`` where there is no quote to solve for."""

_GREEKS = ("delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error")
_DAYS_PER_YEAR = 365
_MINUTES_PER_YEAR = 365 * 24 * 60
_LEAST_MINUTES = 60
_WORTH_LIMIT = 0.9


def greeks(listing: Listing) -> pl.DataFrame:
    """The greeks of every contract at every minute of the day, in the rows of ``listing.quotes()``.

    Returns:
        The vendor's 17 columns in the vendor's order: symbol, expiration, strike, right, timestamp, bid and ask as the
        quotes have them; Float64:

        - delta: dollars per dollar of the underlying
        - theta: dollars per calendar day
        - vega: dollars per 1.00 of volatility, a hundred points of it
        - rho: dollars per 1.00 of interest
        - epsilon: dollars per 1.00 of dividend yield
        - lambda: per cent per per cent of the underlying
        - implied_vol: a year's, 0.25 for 25 %
        - iv_error: the model's value at that volatility over the midpoint, less one

        underlying_timestamp Datetime("us"), New York wall clock; underlying_price Float64, dollars.

        At the open there is no quote: ``implied_vol`` is 0.25, ``iv_error`` 100, and the greeks are those at that
        volatility; on an index, which has no price yet, the price and they are 0. Where the midpoint is not above the
        intrinsic value no volatility fits: it is 0, delta 1 or -1, and everything else but the error 0.
    """
    return pl.concat([_block_greeks(block) for block in listing.blocks()])


def _block_greeks(block: Listing) -> pl.DataFrame:
    quotes = block.quotes().select("symbol", "expiration", "strike", "right", "timestamp", "bid", "ask")
    minutes = np.array(block.minutes)
    spot = prices(underlying(block.symbol), block.day, int(minutes[0]), int(minutes[-1]))
    strike = np.array(block.strikes)[:, None]
    years = _years(block, minutes)
    middle = ((quotes["bid"] + quotes["ask"]) / 2).to_numpy().reshape(len(block.strikes), 2, len(minutes))
    sides = [_side(middle[:, place], spot, strike, years, call=place == 0) for place in (0, 1)]
    columns = np.stack(sides, axis=2)  # greek, strike, right, minute
    shown = spot.copy()
    if is_index(block.symbol):
        columns[:-2, ..., 0] = 0
        shown[0] = 0
    return quotes.with_columns(
        *(pl.Series(name, values.ravel()) for name, values in zip(_GREEKS, columns, strict=True)),
        pl.col("timestamp").alias("underlying_timestamp"),
        pl.Series("underlying_price", np.tile(shown, 2 * len(block.strikes))),
    )


def _side(middle: Floats, spot: Floats, strike: Floats, years: Floats, call: bool) -> npt.NDArray[np.float64]:
    """The greeks of the calls or the puts in the order of ``_GREEKS``; shape (greeks, strikes, minutes)."""
    sign = 1 if call else -1
    intrinsic = np.maximum(sign * (spot - strike), 0)
    worth, most = middle - intrinsic, _WORTH_LIMIT * np.minimum(spot, strike)
    quoted = middle > 0
    solved = quoted & (worth > 0) & (worth < most)
    root = np.sqrt(years)
    found = implied_deviation(np.where(solved, worth, most / 2), spot, strike)
    deviation = np.where(solved, found, FAILED_VOLATILITY * root)
    model = sensitivities(spot, strike, deviation, call)
    priced = np.where(model.value > 0, model.value, math.inf)
    flat = quoted & ~solved
    of_model = np.where(
        flat,
        0,
        (
            -model.slope * deviation / (2 * years * _DAYS_PER_YEAR),
            model.slope * root,
            years * (spot * model.delta - model.value),
            -years * spot * model.delta,
            model.delta * spot / priced,
            deviation / root,
        ),
    )
    error = np.where(flat, intrinsic, model.value) / np.where(quoted, middle, 1) - 1
    return np.stack((np.where(flat, sign, model.delta), *of_model, np.where(quoted, error, FAILED_ERROR)))


def _years(block: Listing, minutes: npt.NDArray[np.int64]) -> Floats:
    """The vendor's time to expiration at each minute."""
    days = (block.expiration - block.day).days
    if days:
        return np.full(len(minutes), days / _DAYS_PER_YEAR)
    left = minute_of_day(session(block.day).close) - minutes
    return np.maximum(left, _LEAST_MINUTES) / _MINUTES_PER_YEAR
