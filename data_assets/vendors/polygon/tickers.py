"""The tickers of a `defs.yaml`: which of them are wanted on which day.

The vendor's files name a security as it was called on that day: FB until 2022-06-08, META from 2022-06-09 on. Outside
these days either name is another security, or none. So a name may have a span of days, and a former name:

    tickers: [SPY, {ticker: META, first_day: 2022-06-09, was: FB}]

keeps SPY on every day, META from its first day on and FB before it. To say since when the former name was in use, give
it an entry of its own: {ticker: FB, first_day: 2012-05-18, last_day: 2022-06-08}.

Here: reading such a list, and which tickers it wants on a day. Not here: what a name is, and how a stored day states
its names (`lake.kept`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

from data_assets.lake.kept import Name

_KEYS = ("ticker", "first_day", "last_day", "was")


@dataclass(frozen=True)
class Tickers:
    """Names with the days on which they are wanted.

    Attributes:
        names: in the order of the list; a name without days is wanted on every day.
    """

    names: tuple[Name, ...]
    _of_active: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, init=False, compare=False)

    def on(self, day: date) -> tuple[str, ...]:
        """Return the names wanted on a day, sorted, each once."""
        return self.between(day, day)

    def between(self, first: date, last: date) -> tuple[str, ...]:
        """Return the names wanted on any of the days from ``first`` to ``last``, sorted, each once."""
        active = tuple(
            name.ticker
            for name in self._spans
            if (name.first_day is None or name.first_day <= last) and (name.last_day is None or first <= name.last_day)
        )
        if active not in self._of_active:  # of thousands of days, a few differ
            self._of_active[active] = tuple(sorted({*self._always, *active}))
        return self._of_active[active]

    def is_name(self, ticker: str, day: date) -> bool:
        """Whether the list does not say that the security has another name on that day."""
        spans = [name for name in self._spans if name.ticker == ticker]
        return not spans or ticker in self._always or any(name.is_on(day) for name in spans)

    @property
    def with_days(self) -> tuple[Name, ...]:
        """Those of the list that have days."""
        return tuple(name for name in self.names if name.first_day or name.last_day)

    @cached_property
    def _always(self) -> frozenset[str]:
        return frozenset(name.ticker for name in self.names if not (name.first_day or name.last_day))

    @cached_property
    def _spans(self) -> tuple[Name, ...]:
        """The names that have days, and those that they were before."""
        spans = list(self.with_days)
        for name in self.with_days:
            if name.was is None or name.first_day is None:
                continue
            known = any(
                other.ticker == name.was and other.last_day is not None and other.last_day < name.first_day
                for other in self.with_days
            )
            if not known:
                spans.append(Name(name.was, None, name.first_day - timedelta(days=1)))
        return tuple(spans)


def tickers_of(setting: str, listed: object) -> Tickers:
    """Read a list of a `defs.yaml`.

    Args:
        setting: its name, for errors.
        listed: as YAML has it: texts, and mappings with ``ticker``, ``first_day``, ``last_day`` and ``was``.

    Raises:
        ValueError: one line that says what is wrong with which entry, and what to write.
    """
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise ValueError(f"{setting}: write a list of tickers with at least one, such as [SPY, QQQ]")
    return Tickers(tuple(_name(setting, entry) for entry in listed))


def _name(setting: str, entry: object) -> Name:
    if isinstance(entry, str):
        return Name(_ticker(setting, entry))
    if not isinstance(entry, dict):
        return Name(_ticker(setting, entry))
    if unknown := [key for key in entry if key not in _KEYS]:
        raise ValueError(f"{setting}: {entry} has {unknown[0]!r}; it may have {', '.join(_KEYS)}")
    if "ticker" not in entry:
        raise ValueError(f"{setting}: {entry} lacks the key ticker")
    was = entry.get("was")
    try:
        return Name(
            _ticker(setting, entry["ticker"]),
            _day(entry, "first_day"),
            _day(entry, "last_day"),
            None if was is None else _ticker(setting, was),
        )
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(f"{setting}: ") else f"{setting}: {text}") from None


def _ticker(setting: str, written: object) -> str:
    if isinstance(written, str) and written:
        return written
    raise ValueError(
        f"{setting}: {written!r} is no text; YAML reads ON, NO, YES, TRUE and NULL as other values: "
        'put such a ticker into quotes, as in ["ON", SPY]'
    )


def _day(entry: dict[str, object], key: str) -> date | None:
    written = entry.get(key)
    if written is None or isinstance(written, date):
        return written
    try:
        return date.fromisoformat(str(written))
    except ValueError:
        raise ValueError(f"{entry['ticker']}: {key} is {written!r}; write a day as YYYY-MM-DD") from None
