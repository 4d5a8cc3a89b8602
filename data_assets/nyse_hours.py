"""When every session of the NYSE opens and closes, early closes included, by pandas-market-calendars.

Computing them means importing pandas and takes most of a second, in every command and every process that Dagster
starts. So they are computed once per version of the library and then read from a file in the user's cache folder (or
the folder that `DATA_ASSETS_STATE` names). The file may be deleted at any time, and the folder may be read-only.

Here: the hours, and that file. Not here: any question about them (``trading_calendar``).
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

from data_assets.project import named_state_folder

_FORMAT = 1
"""Raise it with every change of what is computed or how it is written."""

Hours = dict[date, tuple[datetime, datetime]]
"""Open and close, UTC, by the session's day; oldest first."""


def hours(first: date, last: date) -> Hours:
    """Return the hours of every session from `first` to `last`, both included."""
    file = _cache_file(first, last)
    found = None if file is None else _read(file)
    if found is None:
        found = _from_library(first, last)
        if file is not None:
            _keep(file, found)
    return found


def _cache_file(first: date, last: date) -> Path | None:
    made_with = "-".join(f"{name}-{version(name)}" for name in ("pandas-market-calendars", "pandas", "tzdata"))
    try:
        folder = named_state_folder() or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "data_assets")
    except RuntimeError:  # a user without a home
        return None
    return folder / f"nyse-{_FORMAT}-{first}-{last}-{made_with}.json"


def _from_library(first: date, last: date) -> Hours:
    import pandas_market_calendars

    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(first, last, tz="UTC")
    columns = (schedule[column].array.to_pydatetime() for column in ("market_open", "market_close"))
    opens, closes = ([moment.replace(tzinfo=UTC) for moment in column] for column in columns)
    return dict(zip(schedule.index.date, zip(opens, closes, strict=True), strict=True))


def _read(file: Path) -> Hours | None:
    """The hours in the file; None unless it is there and whole."""
    try:
        digest, text = file.read_text("ascii").split("\n", 1)
    except (OSError, ValueError):
        return None
    if digest != _digest(text):
        return None
    return {
        date.fromisoformat(day): (datetime.fromtimestamp(opened, UTC), datetime.fromtimestamp(closed, UTC))
        for day, opened, closed in json.loads(text)
    }


def _keep(file: Path, found: Hours) -> None:
    rows = [(str(day), int(opened.timestamp()), int(closed.timestamp())) for day, (opened, closed) in found.items()]
    text = json.dumps(rows)
    with suppress(OSError):  # without the file, the next process works them out again
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="ascii", dir=file.parent, prefix=file.name, delete=False) as temporary:
            try:
                temporary.write(f"{_digest(text)}\n{text}")
                temporary.flush()
                Path(temporary.name).replace(file)
            except BaseException:
                Path(temporary.name).unlink()
                raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
