"""How option contracts and instants are written for a person.

Here: text only. Not here: what is worth saying about them (the rules).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import polars as pl

from data_assets.trading_calendar import NEW_YORK

NAMES_SHOWN = 10
"""How many contracts a verdict names at most."""


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


def session_day(instant: datetime) -> date:
    """The New York date of an aware instant."""
    return instant.astimezone(NEW_YORK).date()
