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
import pyarrow as pa

from data_assets.column_memory import as_it_lies, first_address
from data_assets.compiled import functions

_SIZES = ("bid_size", "ask_size")
_TYPES = {
    "symbol": pa.string_view(),
    "expiration": pa.date32(),
    "strike": pa.float64(),
    "right": pa.uint8(),
    "timestamp": pa.timestamp("us", "UTC"),
    "bid": pa.float64(),
    "ask": pa.float64(),
    **dict.fromkeys(_SIZES, pa.int64()),
}
_CONTRACT = ("symbol", "expiration", "strike", "right")
_COUNTED = (
    *("first_row", "last_row", "rows", "first_timestamp", "last_timestamp"),
    *("disordered", "outside_session", "off_grid", "crossed", "locked", "negative", "unusable"),
    *("zero_bid", "zero_ask", "no_quote", "opening_no_quote"),
)
_INSTANT = pl.Datetime("us", "UTC")
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
    if _FUNCTIONS is None or (arrays := _arrays(quotes)) is None:
        return None
    starts = {name: first_address(each) for name, each in arrays.items()}
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


def _arrays(quotes: pl.DataFrame) -> dict[str, pa.Array] | None:
    """The columns as they lie in memory; None if one of them is not as expected."""
    found = {}
    for name, kind in _TYPES.items():
        if name in _SIZES and name not in quotes.columns:
            continue
        array = as_it_lies(quotes.get_column(name))
        if array is None or array.type != kind:
            return None
        found[name] = array
    return found
