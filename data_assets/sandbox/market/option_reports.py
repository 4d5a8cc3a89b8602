"""What the option market reports once a day: open interest in the morning, the day's trades and last quotes after it.

Here: one row per contract of the synthetic chain. Not here: the quotes themselves (``option_chain``), when a report is
out, text and protocol.

Sources: Theta v3 OpenAPI, ``/option/history/open_interest`` (sent by OPRA at about 06:30, for the end of the day
before; perhaps not at all where there is none) and ``/option/history/eod`` (made by Theta at 17:15). That no contract
has a bid in the reports of shortened sessions, and that contracts appear twice in those before 2022, users found.
"""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from data_assets.sandbox.market.market import Floats, generator
from data_assets.sandbox.market.option_chain import Listing, open_price
from data_assets.trading_calendar import session

REPORTED_TWICE_BEFORE = date(2022, 1, 1)
"""Days before it are in the vendor's end-of-day archive twice."""

_OPEN_INTEREST_SENT = (6.5 * 3600, 6.5 * 3600 + 6)
_EOD_MADE = (17.25 * 3600, 17.25 * 3600 + 360)
_SECOND_PASS = timedelta(minutes=47)
_PRICES_KEPT = 4
_SILENT = 0.5
_QUOTE = ("bid_size", "bid_exchange", "bid", "bid_condition", "ask_size", "ask_exchange", "ask", "ask_condition")
_PRICES = ("open", "high", "low", "close")


def open_interest(listing: Listing) -> pl.DataFrame:
    """The contracts outstanding at the end of the day before, as sent on the morning of ``listing.day``.

    Returns:
        One row per contract, calls and puts of a strike together: symbol, expiration, strike, right, timestamp
        Datetime("us") (New York wall clock, some seconds after 06:30), open_interest Int64, null where nothing is sent:
        for half of the contracts that nobody holds.
    """
    return pl.concat([_block_open_interest(block) for block in listing.blocks()])


def eod(listing: Listing) -> pl.DataFrame:
    """The day's trades and the last quote of every contract.

    Returns:
        One row per contract in the order of ``open_interest``: symbol, expiration, strike, right; created (when the
        report was made) and last_trade (midnight where there was none), Datetime("us") of New York's wall clock; open,
        high, low, close Float64 (dollars, 0 without a trade); volume and count (contracts and trades) Int64; the eight
        columns of the day's last quote. In shortened sessions no contract has a bid.
    """
    return pl.concat([_block_eod(block) for block in listing.blocks()])


def reported_twice(reports: pl.DataFrame) -> pl.DataFrame:
    """Every report a second time, made 47 minutes later, as the vendor's archive holds the years before 2022.

    The later one comes first: in which order they come is not known, and nobody shall rely on one.
    """
    place = np.repeat(np.arange(reports.height), 2)
    later = pl.Series(np.tile([True, False], reports.height))
    return reports[place].with_columns(pl.when(later).then(pl.col("created") + _SECOND_PASS).otherwise("created"))


def traded(listing: Listing) -> pl.DataFrame:
    """The contracts that ``eod`` shows with a trade, without making the report."""
    return pl.concat([block.contracts().filter(pl.Series(_trades(block).ravel() > 0)) for block in listing.blocks()])


def _block_open_interest(block: Listing) -> pl.DataFrame:
    shape = (len(block.strikes), 2)
    held = generator("open interest", block.symbol, block.expiration, block.strikes[0])
    popular = 6000 * _interest(block)[:, None] * held.lognormal(0, 1.2, shape)
    today = generator("open interest", block.symbol, block.expiration, block.strikes[0], block.day)
    outstanding = (popular * today.uniform(0.9, 1.1, shape)).astype(np.int64)
    sent = (outstanding > 0) | (today.random(shape) >= _SILENT)
    seconds = today.uniform(*_OPEN_INTEREST_SENT, shape)
    return block.contracts().with_columns(
        timestamp=_instants(block, seconds.ravel()),
        open_interest=pl.when(pl.Series(sent.ravel())).then(pl.Series(outstanding.ravel())),
    )


def _block_eod(block: Listing) -> pl.DataFrame:
    contracts, minutes = 2 * len(block.strikes), np.array(block.minutes)
    quotes = block.quotes()
    bid, ask = (quotes[side].to_numpy().reshape(contracts, len(minutes)) for side in ("bid", "ask"))
    random = generator("eod", block.symbol, block.day, block.expiration, block.strikes[0])
    count = _trades(block).ravel()
    volume = count + (count * random.exponential(4, contracts)).astype(np.int64)

    # The first, the last and some trades between them; fewer trades than are kept leave the last one repeated.
    when = np.sort(random.integers(1, len(minutes), (contracts, _PRICES_KEPT)), axis=1)
    kept = np.minimum(np.arange(_PRICES_KEPT), np.maximum(count, 1)[:, None] - 1)
    when = np.take_along_axis(when, kept, axis=1)
    sold = np.take_along_axis(random.random(when.shape) < _SILENT, kept, axis=1)
    at_bid, at_ask = (np.take_along_axis(side, when, axis=1) for side in (bid, ask))
    price = np.where(sold & (at_bid > 0), at_bid, at_ask) * (count > 0)[:, None]
    shown = dict(zip(_PRICES, (price[:, 0], price.max(axis=1), price.min(axis=1), price[:, -1]), strict=True))

    last_trade = (minutes[when[:, -1]] + random.random(contracts)) * 60 * (count > 0)
    no_bid = {"bid_size": 0, "bid": 0.0} if session(block.day).is_early_close else {}
    return block.contracts().with_columns(
        created=_instants(block, random.uniform(*_EOD_MADE, contracts)),
        last_trade=_instants(block, last_trade),
        **{name: pl.Series(values) for name, values in shown.items()},
        volume=pl.Series(volume),
        count=pl.Series(count),
        **{
            name: pl.lit(no_bid[name], quotes.schema[name])
            if name in no_bid
            else quotes[name][len(minutes) - 1 :: len(minutes)]
            for name in _QUOTE
        },
    )


def _trades(block: Listing) -> npt.NDArray[np.int64]:
    """How often each contract trades on the day; shape (strikes, 2 rights)."""
    random = generator("trades", block.symbol, block.day, block.expiration, block.strikes[0])
    shape = (len(block.strikes), 2)
    return random.poisson(30 * _interest(block)[:, None] * random.lognormal(0, 1, shape)).astype(np.int64)


def _interest(block: Listing) -> Floats:
    """How much the market cares for each strike: 1 for one at the money that expires soon."""
    years = max((block.expiration - block.day).days, 1) / 365
    away = np.abs(np.log(np.array(block.strikes) / open_price(block.symbol, block.day)))
    interest: Floats = np.exp(-2.5 * away / (0.02 + 0.2 * math.sqrt(years))) / (1 + 3 * years)
    return interest


def _instants(block: Listing, seconds: Floats) -> pl.Series:
    """Seconds after midnight as wall-clock times, in whole milliseconds."""
    return pl.Series(np.datetime64(block.day, "us") + (seconds * 1000).astype("timedelta64[ms]"))
