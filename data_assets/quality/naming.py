"""How option contracts, bars and instants are written for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from data_assets.counts import count_of
from data_assets.trading_calendar import NEW_YORK

NAMES_SHOWN = 10
"""How many contracts, tickers or bars a verdict names at most."""


STRETCHES_SHOWN = 20
"""How many stretches of minutes a text names at most."""

_MINUTE = timedelta(minutes=1)


def contract_name(symbol: str, expiration: date, strike: float, right: str) -> str:
    """``QQQ 2024-01-19 400 C``: the strike in dollars without trailing zeros, the right by its initial."""
    dollars = f"{strike:.3f}".rstrip("0").rstrip(".")
    return f"{symbol} {expiration} {dollars} {right[:1]}"


def contract_names(contracts: pl.DataFrame) -> tuple[str, ...]:
    """The name of every row of a frame with the columns symbol, expiration, strike and right, in the frame's order."""
    return tuple(contract_name(*row) for row in contracts.select("symbol", "expiration", "strike", "right").iter_rows())


def some_contracts(contracts: pl.DataFrame, remark: Callable[[dict[str, Any]], str]) -> list[str]:
    """The first ten rows' names, each followed by what ``remark`` says of its row."""
    shown = contracts.head(NAMES_SHOWN)
    rows = shown.iter_rows(named=True)
    return [f"{name}: {remark(row)}" for name, row in zip(contract_names(shown), rows, strict=True)]


def clock(instant: datetime | None) -> str:
    """An aware instant as New York wall clock: ``16:15``, with seconds where there are any; ``no time`` for a null."""
    if instant is None:
        return "no time"
    local = instant.astimezone(NEW_YORK)
    return local.strftime("%H:%M:%S" if local.second or local.microsecond else "%H:%M")


def bar_name(bar: Mapping[str, Any]) -> str:
    """``SPY 09:45``: a bar's ticker, where it has one, and its start on the New York wall clock."""
    instant = clock(bar["timestamp"])
    if "ticker" not in bar:
        return instant
    return f"{bar['ticker'] if bar['ticker'] is not None else 'no ticker'} {instant}"


def minutes_text(minutes: Iterable[datetime]) -> str:
    """Minutes of one day as stretches, ``09:45, 10:03-10:07 New York``, both ends included; empty if there is none.

    After twenty stretches the rest is counted: ``…, 15:31 and 7 later minutes New York``.

    Args:
        minutes: the starts of the minutes, aware instants, in any order.
    """
    stretches: list[list[datetime]] = []
    for minute in sorted(set(minutes)):
        if stretches and minute - stretches[-1][1] == _MINUTE:
            stretches[-1][1] = minute
        else:
            stretches.append([minute, minute])
    if not stretches:
        return ""
    shown = stretches[:STRETCHES_SHOWN]
    texts = (clock(first) if first == last else f"{clock(first)}-{clock(last)}" for first, last in shown)
    later = sum((last - first) // _MINUTE + 1 for first, last in stretches[STRETCHES_SHOWN:])
    rest = f" and {count_of(later, 'later minute')}" if later else ""
    return f"{', '.join(texts)}{rest} New York"


def session_day(instant: datetime) -> date:
    """The New York date of an aware instant."""
    return instant.astimezone(NEW_YORK).date()
