"""The record of an export: of each day which file of the lake it came from, what was tolerated, and what was written.

Here: the value and its JSON. Not here: where it lies (`folder`).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any

VERSION = 1


class ManifestUnreadable(ValueError):
    """A manifest is damaged or of a newer version; the text says so."""


@dataclass(frozen=True, slots=True)
class ExportedDay:
    """One day of an export.

    Attributes:
        day: YYYY-MM-DD.
        state: of the day in the lake when it was exported.
        revision: the seal of the day's file, which is another one for other bytes; where the file has none, what the
            storage tells of it; null for a day without a file.
        rows: rows written; 0 for a day without a file.
        files: the files that hold the day, relative to the folder.
        allowed: what spoke against the day, and was tolerated (`--allow`).
        red: its checks that failed as errors.
        warned: its checks that failed as warnings.
        rounded: values that the format could not hold as they are, by column, and how many there were.
        left_out: rows that were not written, by reason, and how many there were.
    """

    day: str
    state: str
    revision: str | None
    rows: int
    files: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    red: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    rounded: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one export into a folder holds.

    Attributes:
        engine: the format.
        dataset: whose days.
        ticker: of bars, whose; null for a dataset that is exported as a whole.
        synthetic: whether a simulator made the data.
        options: how it was written: label, zone and so on. An export keeps those that it began with.
        notes: what to know of the data before it is used, such as whether prices are adjusted.
        tool: the version of data_assets that wrote last.
        written_at: when it did, UTC.
        days: the days, oldest first.
    """

    engine: str
    dataset: str
    ticker: str | None
    synthetic: bool
    options: Mapping[str, Any]
    notes: tuple[str, ...]
    tool: str
    written_at: str
    days: tuple[ExportedDay, ...] = ()

    def with_days(self, days: Iterable[ExportedDay], *, written_at: datetime, tool: str) -> Manifest:
        """The same with some days in place of what was said of them."""
        by_day = {each.day: each for each in self.days} | {each.day: each for each in days}
        kept = tuple(by_day[day] for day in sorted(by_day))
        return replace(self, days=kept, written_at=written_at.isoformat(timespec="seconds"), tool=tool)

    def day(self, day: date) -> ExportedDay | None:
        """What is said of a day, if anything."""
        text = day.isoformat()
        place = bisect_left(self.days, text, key=lambda each: each.day)
        return self.days[place] if place < len(self.days) and self.days[place].day == text else None

    def to_json(self) -> bytes:
        """As it is stored."""
        return (json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n").encode()


def from_json(text: bytes) -> Manifest:
    """The manifest of a stored text.

    Raises:
        ManifestUnreadable: it is none, or one of a newer version.
    """
    try:
        said = json.loads(text)
        if said.pop("version") != VERSION:
            raise ManifestUnreadable("was written by a newer version of data_assets")
        days = tuple(_day(each) for each in said.pop("days"))
        return Manifest(**{**said, "notes": tuple(said["notes"]), "days": days})
    except ManifestUnreadable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ManifestUnreadable("is no manifest of an export") from error


def _day(said: dict[str, Any]) -> ExportedDay:
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in said.items()}
    return ExportedDay(**values)
