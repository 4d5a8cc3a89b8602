"""The bars of a ticker's stored days, those that were read last without reading them again.

Whoever records a day asks for its bars several times, for its picture, its first rows and its checks, and the next
day's check compares it with that one. A file that has been replaced or written to since is read again.

Here: what is kept, and for how long. Not here: reading (``lake``), and the questions (``day``).
"""

from __future__ import annotations

from datetime import date
from threading import Lock

import polars as pl

from data_assets.lake.lake import Lake
from data_assets.lake.storage import UNREADABLE

KEPT = 3
"""Days in memory, of all tickers together: one that is recorded, and its neighbours; 25 kB each."""

_Key = tuple[str, str, date, str]
"""Lake, dataset, day and version of the file."""

_kept: tuple[tuple[_Key, pl.DataFrame], ...] = ()
_reading = Lock()
"""A day is judged while it is shown, and who comes second is to find what the first has read."""


def stored_bars(lake: Lake, dataset: str, day: date) -> pl.DataFrame:
    """The bars of a stored day, every page checked when they were read.

    Raises:
        Corrupt: the file is missing or damaged.
        LakeError: it cannot be read.
    """
    global _kept  # replaced as a whole, so that it is looked into without the lock
    if (bars := _at_hand(_key(lake, dataset, day))) is not None:
        return bars
    with _reading:
        key = _key(lake, dataset, day)  # as it is now, before it is read: what is replaced meanwhile is read again
        if (bars := _at_hand(key)) is None:
            bars = pl.concat(lake.batches(dataset, day))
            if key[-1] not in ("", UNREADABLE):
                _kept = ((key, bars), *_kept[: KEPT - 1])
        return bars


def _key(lake: Lake, dataset: str, day: date) -> _Key:
    return lake.url, dataset, day, lake.day_versions(dataset, [day]).get(day, "")


def _at_hand(key: _Key) -> pl.DataFrame | None:
    return next((bars for of_day, bars in _kept if of_day == key), None)
