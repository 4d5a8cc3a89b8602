"""Option quotes in the shapes that people ask for: one minute's chain, one contract over time.

Every column that is added is computed from the row or from the rows beside it; no stored value is changed.

- ``mid``: (bid + ask) / 2, US dollars; null where nobody asks, as at 09:30. Without a bid it is half of the ask.
- ``spread``: ask - bid, US dollars, below 0 where the market is crossed; null where ``mid`` is.
- ``days_to_expiration``: calendar days from the row's New York date.
- ``underlying_price``: see `parity_price`, or as the caller says.
- ``moneyness``: strike / underlying_price: above 1, a call is out of the money.

Here: those columns, and which rows. Not here: which files (``lake``).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from numbers import Real

import polars as pl

from data_assets.lake.bars import NEW_YORK_TIME, TIME, with_new_york_time
from data_assets.lake.errors import LakeError
from data_assets.trading_calendar import NEW_YORK

QUOTES, GREEKS = "theta/option_quotes", "theta/option_greeks"
"""Not datasets themselves: below them, each underlying has its own."""

PRICE, MONEYNESS = "underlying_price", "moneyness"


_ONE_DIGIT = re.compile(r"^(?=[0-9]:)")


def instant_of(day: date, minute: time | str) -> datetime:
    """The instant at which New York's clocks show ``minute`` on ``day``.

    Raises:
        TypeError: it is neither text nor a time.
        ValueError: it is no time of day such as ``10:30`` or ``9:30``, or has a time zone of its own.
    """
    try:
        clock = time.fromisoformat(_ONE_DIGIT.sub("0", minute.strip())) if isinstance(minute, str) else minute
    except ValueError:
        raise ValueError(f"minute {minute!r}: must be a time in New York such as 10:30") from None
    if not isinstance(clock, time):
        raise TypeError(f"minute {minute!r}: must be a time in New York such as 10:30")
    if clock.tzinfo is not None:
        raise ValueError(f"minute {minute}: is taken as New York's, and must have no time zone of its own")
    # In UTC, as rows have it: Polars 2.1 refuses to compare instants of two time zones.
    return datetime.combine(day, clock, NEW_YORK).astimezone(UTC)


def checked_price(dataset: str, price: float | str | None) -> float | str | None:
    """The price, which has to be one that an underlying can have; a dataset's key and None as they are.

    Raises:
        TypeError: it is neither a number nor the key of a dataset.
        ValueError: it is not above 0.
    """
    if price is None or isinstance(price, str):
        return price
    if not _is_number(price):
        raise TypeError(f"{dataset}: price {price!r}: must be a number, or a dataset of bars")
    if not 0 < price < math.inf:
        raise ValueError(f"{dataset}: price {price}: must be above 0, in dollars or index points")
    return float(price)


def checked_contract(dataset: str, expiration: date, strike: float) -> tuple[date, float]:
    """The expiration and the strike, which have to be what a contract can have.

    Raises:
        TypeError: the expiration is no date, or the strike no number.
        ValueError: the strike is not above 0.
    """
    expires = checked_day(f"{dataset}: expiration", expiration)
    if not _is_number(strike):
        raise TypeError(f"{dataset}: strike {strike!r}: must be a number")
    if not 0 < strike < math.inf:
        raise ValueError(f"{dataset}: strike {strike}: must be above 0, in dollars or index points")
    return expires, float(strike)


def checked_day(about: str, day: date) -> date:
    """The day as a date; a midnight without a zone, as pandas writes dates, is one.

    Raises:
        TypeError: it is no date, or an instant of which nobody can tell what it means here.
    """
    if isinstance(day, date) and not isinstance(day, datetime):
        return day
    # pandas' NaT is a datetime of which no part is a number
    if isinstance(day, datetime) and not (day.tzinfo or any((day.hour, day.minute, day.second, day.microsecond))):
        return day.date()
    raise TypeError(f"{about} {day!r}: must be a date, such as date(2024, 1, 19)")


def _is_number(value: object) -> bool:
    return isinstance(value, (Real, Decimal)) and not isinstance(value, bool)


def grid_text(rows: pl.LazyFrame) -> str:
    """Which snapshots a day has, in words."""
    instants = rows.select(pl.col(TIME).unique().sort()).collect(engine="streaming")[TIME]
    clocks = instants.dt.convert_time_zone(NEW_YORK.key).dt.strftime("%H:%M:%S").str.strip_suffix(":00")
    if len(clocks) < 2:
        return f"its one snapshot is at {clocks[0]}" if len(clocks) else "the day has no row"
    step = instants.diff().drop_nulls().mode().sort()[0]
    often = "minute" if step == timedelta(minutes=1) else f"{step.total_seconds() / 60:g} minutes"
    return f"the day has one every {often} from {clocks[0]} to {clocks[-1]}"


def nearest_contracts(rows: pl.LazyFrame, expiration: date, strike: float, day: date) -> str:
    """Which contracts of a day come nearest to one that it has not, in words."""
    listed = rows.select("expiration", "strike").unique().collect(engine="streaming")
    expirations = sorted(listed["expiration"].unique(), key=lambda each: abs(each - expiration))[:_NAMED]
    if expiration not in expirations:
        return f"the nearest expirations on {day} are {', '.join(str(each) for each in sorted(expirations))}"
    of_expiration = listed.filter(pl.col("expiration") == expiration)["strike"].unique()
    strikes = sorted(of_expiration, key=lambda each: abs(each - strike))[:_NAMED]
    return f"the nearest strikes of {expiration} on {day} are {', '.join(f'{each:g}' for each in sorted(strikes))}"


_NAMED = 3


def with_quote_columns(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """Quotes with ``mid``, ``spread``, ``days_to_expiration`` and, last, ``time_new_york``."""
    bid, ask = pl.col("bid"), pl.col("ask")
    day = pl.col(TIME).dt.convert_time_zone(NEW_YORK.key).dt.date()
    asked = pl.when(ask > 0)
    added = quotes.with_columns(
        mid=asked.then((bid + ask) / 2),
        spread=asked.then(ask - bid),
        days_to_expiration=(pl.col("expiration") - day).dt.total_days().cast(pl.Int32),
    )
    return with_new_york_time(added)


def with_moneyness(chain: pl.LazyFrame, price: float | None = None) -> pl.LazyFrame:
    """A chain with ``underlying_price``, where it has none yet, and ``moneyness``; the New York time stays last.

    Args:
        chain: with the columns of `with_quote_columns`.
        price: the underlying's; None for what put-call parity implies, or for the column that is there.
    """
    names = chain.collect_schema().names()
    if price is not None:
        chain = chain.with_columns(pl.lit(price, pl.Float64).alias(PRICE))
    elif PRICE not in names:
        chain = chain.join(parity_price(chain), how="cross", maintain_order="left")
    known = pl.when(pl.col(PRICE) > 0)  # Theta writes 0 where it has no price
    chain = chain.with_columns(known.then(pl.col("strike") / pl.col(PRICE)).alias(MONEYNESS))
    first = [name for name in chain.collect_schema().names() if name != NEW_YORK_TIME]
    return chain.select(*first, NEW_YORK_TIME)


def parity_price(chain: pl.LazyFrame) -> pl.LazyFrame:
    """The underlying's price that put-call parity implies, in one row, ``underlying_price``; null if no pair can say.

    strike + call - put, of mids, at the strike where the two are closest (of equals the lowest), in the nearest
    expiration that has a call and a put with bids at one strike. Interest and dividends until then are left out, and
    American options hold parity only within the value of early exercise: at the money and days from expiration both are
    cents. It is the price at which the options traded in that minute, from the same file.
    """
    sides = ("symbol", "expiration", "strike")
    quoted = chain.filter(pl.col("bid") > 0, pl.col("mid").is_not_null())
    call, put = (quoted.filter(pl.col("right") == right).select(*sides, "mid") for right in ("CALL", "PUT"))
    pairs = call.join(put, on=sides, suffix="_put").with_columns(difference=pl.col("mid") - pl.col("mid_put"))
    nearest = pairs.sort("expiration", pl.col("difference").abs(), "strike", "symbol")
    price = nearest.head(1).select((pl.col("strike") + pl.col("difference")).alias(PRICE))
    return price.select(pl.col(PRICE).first())  # one row, of null, where there is no pair


def of_contract(
    quotes: pl.LazyFrame, expiration: date, strike: float, right: str, root: str | None = None
) -> pl.LazyFrame:
    """The rows of one contract.

    Raises:
        ValueError: ``right`` is neither a call nor a put.
    """
    rights = {"C": "CALL", "P": "PUT", "CALL": "CALL", "PUT": "PUT"}
    if not isinstance(right, str) or right.upper() not in rights:
        raise ValueError(f"right {right!r}: must be CALL or PUT")
    wanted = quotes.filter(
        pl.col("expiration") == expiration, pl.col("strike") == strike, pl.col("right") == rights[right.upper()]
    )
    return wanted if root is None else wanted.filter(pl.col("symbol") == root)


def price_before(bars: pl.LazyFrame, dataset: str, ticker: str, instant: datetime) -> float:
    """The close of the bar that ends at ``instant``, or of the last one of its day before.

    Raises:
        LakeError: the day has no bar before it.
    """
    closes = bars.filter(pl.col(TIME) < instant).sort(TIME).select(pl.col("close").last()).collect()
    price = closes.item()
    if price is None:
        local = instant.astimezone(NEW_YORK)
        raise LakeError(
            f"{dataset}: no bar of {ticker} on {local.date()} before {local:%H:%M} New York; give the price itself "
            "as price=, or leave it out to take it from the options"
        )
    return float(price)
