"""Stretches of option quotes of one contract, counted by compiled code in one pass.

Here: which quotes are taken, and the table they become. Not here: what is counted, and quotes of any other form
(``contract_summary``, with Polars); the loop over the rows (``contract_runs.c``).

Quotes are taken if they are as the lake stores them: each column in one piece, of its type, without nulls, with finite
prices and strikes, and symbols of at most twelve bytes. Whoever calls must be able to count all others in another
way, to the same numbers.
"""

from __future__ import annotations

import ctypes
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from data_assets.column_memory import ColumnMemory, as_it_lies
from data_assets.compiled import functions

_SIZES = ("bid_size", "ask_size")
_INSTANT = pl.Datetime("us", "UTC")
_TYPES: dict[str, type[pl.DataType] | pl.DataType] = {
    "symbol": pl.String,
    "expiration": pl.Date,
    "strike": pl.Float64,
    "right": pl.Enum,
    "timestamp": _INSTANT,
    "bid": pl.Float64,
    "ask": pl.Float64,
    **dict.fromkeys(_SIZES, pl.Int64),
}
_RIGHT_BYTES = 1
_CONTRACT = ("symbol", "expiration", "strike", "right")
_COUNTED = (
    *("first_row", "last_row", "rows", "first_timestamp", "last_timestamp"),
    *("disordered", "outside_session", "off_grid", "crossed", "locked", "negative", "unusable"),
    *("zero_bid", "zero_ask", "no_quote", "opening_no_quote"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Quotes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in _TYPES)


class _Session(ctypes.Structure):
    _fields_ = (("open", ctypes.c_int64), ("close", ctypes.c_int64), ("interval", ctypes.c_int64))


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    of_quotes, of_session = ctypes.POINTER(_Quotes), ctypes.POINTER(_Session)
    found.summarize_contracts.argtypes = (of_quotes, ctypes.c_int64, of_session, ctypes.c_void_p)
    found.summarize_contracts.restype = ctypes.c_int64
    return found


_FUNCTIONS = functions(__file__, _declared)


def contract_runs(
    quotes: pl.DataFrame, *, open_: datetime, close: datetime, interval: timedelta
) -> pl.DataFrame | None:
    """Count the rows of each stretch of rows of one contract.

    Args:
        quotes: see `contract_summary.contract_summary`, as are the others.
        open_: the grid's first point.
        close: the last instant at which a row may lie.
        interval: the grid's step.

    Returns:
        One row per stretch, in their order, with the columns of `contract_summary`. None if the quotes are not taken.
    """
    if _FUNCTIONS is None or (columns := _columns(quotes)) is None:
        return None
    starts = {name: each.address for name, each in columns.items()}
    session = _Session((open_ - _EPOCH) // _MICROSECOND, (close - _EPOCH) // _MICROSECOND, interval // _MICROSECOND)
    counted = np.empty((quotes.height, len(_COUNTED)), np.int64)  # of which hardly any memory is touched
    runs = _FUNCTIONS.summarize_contracts(
        ctypes.byref(_Quotes(**starts)), quotes.height, ctypes.byref(session), counted.ctypes.data
    )
    if runs < 0:
        return None
    # Series by Series: a frame's own ways begin a query for this, which costs as much as the counting.
    numbers = {name: pl.Series(name, counted[:runs, place]) for place, name in enumerate(_COUNTED)}
    for name in ("first_timestamp", "last_timestamp"):
        numbers[name] = numbers[name].cast(_INSTANT)
    contracts = [quotes.get_column(name)[numbers["first_row"]] for name in _CONTRACT]
    return pl.DataFrame([*contracts, *numbers.values()])


def _columns(quotes: pl.DataFrame) -> dict[str, ColumnMemory] | None:
    """The columns as they lie in memory; None if one of them is not as expected."""
    found = {}
    for name, dtype in _TYPES.items():
        if name in _SIZES and name not in quotes.columns:
            continue
        column = quotes.get_column(name)
        if column.dtype != dtype or (memory := as_it_lies(column)) is None:
            return None
        found[name] = memory
    return found if found["right"].width == _RIGHT_BYTES else None
