"""Which tickers a stored day was asked to keep: the difference between "did not trade" and "nobody kept it".

A day's footer says under ``wanted`` whose rows were taken from the vendor's file: ``all``, or names. A ticker without a
row that is among them had no trade; of one that is not, the day says nothing. A dataset that holds one ticker alone
needs no such statement: its days keep that ticker. ``names`` beside it says on which days a
name is that of its security, and what it was called before.

Here: the statement, the one judgement on it, and what both mean to a reader. Not here: who chooses tickers (`vendors`),
and which files a reader takes (``bars``). Files that are older than the statement count as asked for everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

import polars as pl

from data_assets.dataset_names import nearest
from data_assets.lake.errors import LakeError
from data_assets.lake.patient_store import POLARS_OPTIONS
from data_assets.lake.provenance import PREFIX
from data_assets.lake.storage import Storage
from data_assets.trading_calendar import next_session

ALL = "all"
CALENDAR_DATE: Final = "calendar_date"
TRADE_DATE: Final = "trade_date"

STRETCHES_SHOWN = 3
FOOTERS_AT_ONCE = 16

_SPELLING = re.compile(r"[A-Z0-9][A-Z0-9.prw]*")
"""The vendor marks preferred shares, rights and when-issued ones by p, r and w behind a root of capitals, and classes
by a dot; it has no other lower-case letters and no other signs. So a day of all tickers tells that ``qqq``, ``BRK B``
and ``I:SPX`` are none, and not what ``TPC`` beside ``TpC`` is."""

_BETWEEN = re.compile(r"[^A-Z0-9]+")


class NotKept(LakeError):
    """Days are stored that were not asked to keep a ticker: that they hold no row of it does not mean no trade.

    Attributes:
        ticker: as it was asked for.
        days: those of the range, oldest first.
    """

    def __init__(self, text: str, ticker: str, days: Sequence[date]) -> None:
        super().__init__(text)
        self.ticker, self.days = ticker, tuple(days)


@dataclass(frozen=True, slots=True)
class Name:
    """A ticker, and the days on which it is the name of one security: it may be another's on others.

    Attributes:
        ticker: the name, as the vendor spells it.
        first_day: the first of these days; None if there is no bound.
        last_day: the last of them; None while the security still has the name.
        was: what the security was called until the day before ``first_day``.
    """

    ticker: str
    first_day: date | None = None
    last_day: date | None = None
    was: str | None = None

    def __post_init__(self) -> None:
        if not self.ticker or self.was == "":
            raise ValueError("a ticker has at least one character")
        if self.first_day and self.last_day and self.last_day < self.first_day:
            raise ValueError(f"{self.ticker}: its last_day {self.last_day} lies before its first_day {self.first_day}")
        if self.was is not None and (self.first_day is None or self.was == self.ticker):
            raise ValueError(f"{self.ticker}: was takes another name, and first_day, from which on it is {self.ticker}")

    def is_on(self, day: date) -> bool:
        """Whether the security has the name on a day."""
        return (self.first_day or day) <= day <= (self.last_day or day)

    @property
    def span(self) -> str:
        """Its days, as a person writes them."""
        ends = (("from", self.first_day), ("to", self.last_day))
        return " ".join(f"{word} {day}" for word, day in ends if day is not None)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a day's footer says of the tickers in it.

    Attributes:
        wanted: the names that were kept; ``all``; None where the file is older than the statement.
        names: what was known of renamed tickers when it was stored.
        by_trade_date: whether bars from 20:00 New York of the evening before on are among the day's, as its footer says
            under ``dated_by``; otherwise they are those of its calendar date.
    """

    wanted: frozenset[str] | str | None
    names: tuple[Name, ...] = ()
    by_trade_date: bool = False

    def keeps(self, ticker: str) -> bool:
        """Whether the day would hold the ticker's bars if it had any."""
        if self.wanted is None:
            return True
        if self.wanted == ALL:
            return _SPELLING.fullmatch(ticker) is not None
        return ticker in self.wanted

    def lacks(self, asked: Sequence[str] | str) -> list[str]:
        """Those of the tickers ``asked`` for (or ``all``) that the day was not asked to keep."""
        if asked == ALL:
            return [] if self.wanted in (None, ALL) else [ALL]
        return [ticker for ticker in asked if self.wanted != ALL and not self.keeps(ticker)]


def statement(details: Mapping[str, Any]) -> Statement:
    """What the details of a day's provenance say."""
    wanted, names = details.get("wanted"), details.get("names", ())
    return Statement(
        wanted if wanted is None or wanted == ALL else frozenset(wanted),
        tuple(Name(each["ticker"], _day(each, "first_day"), _day(each, "last_day"), each.get("was")) for each in names),
        details.get("dated_by") == TRADE_DATE,
    )


def _day(name: Mapping[str, str], key: str) -> date | None:
    return date.fromisoformat(name[key]) if key in name else None


def names_detail(names: Iterable[Name]) -> list[dict[str, str]]:
    """The names as `statement` reads them back."""
    return [
        {
            "ticker": name.ticker,
            **{
                key: day.isoformat()
                for key, day in (("first_day", name.first_day), ("last_day", name.last_day))
                if day is not None
            },
            **({} if name.was is None else {"was": name.was}),
        }
        for name in names
    ]


def statements(storage: Storage, versions: Mapping[str, str]) -> dict[str, Statement]:
    """The statements of day files: their footers alone are read, and of one version once in a process.

    Ten years of days take a quarter of a second from a local disk. The event log, which could say the same, takes
    several.

    Args:
        storage: the lake's.
        versions: name -> version (`Storage.versions`).
    """
    located = [(storage.locate(name), version) for name, version in versions.items()]
    if located and "://" in located[0][0]:
        with ThreadPoolExecutor(FOOTERS_AT_ONCE) as readers:
            said = list(readers.map(_statement_of, *zip(*located, strict=True)))
    else:
        said = [_statement_of(*each) for each in located]
    return dict(zip(versions, said, strict=True))


@lru_cache(maxsize=20_000)
def _statement_of(file: str, _version: str) -> Statement:
    """What a file says; of one that cannot be read nothing is known, and its reader tells why."""
    try:
        metadata = pl.read_parquet_metadata(file, storage_options=POLARS_OPTIONS, credential_provider=None)
        return _shared(statement(json.loads(metadata[PREFIX + "details"])))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, TypeError, KeyError):
        return Statement(None)


@lru_cache(maxsize=256)
def _shared(said: Statement) -> Statement:
    """One object for the thousands of days that say the same."""
    return said


def names_before(names: Iterable[Name], ticker: str) -> list[Name]:
    """What a security has been called, newest first: each name with its first and last day, the oldest without a first.

    Args:
        names: what is known of renamed tickers.
        ticker: what it is called now.
    """
    renamed = {(name.ticker, name.first_day): name.was for name in names if name.was is not None}
    found: list[Name] = []
    last = date.max
    while days := [day for now, day in renamed if now == ticker and day is not None and day <= last]:
        found.append(Name(ticker, max(days), last))
        ticker, last = renamed[ticker, max(days)], max(days) - timedelta(days=1)
    return [*found, Name(ticker, None, last)]


def stretches(days: Sequence[date]) -> str:
    """Trading days, oldest first, as a person writes them: those that follow each other as one stretch."""
    found: list[list[date]] = []
    for day in days:
        if found and next_session(found[-1][-1]) == day:
            found[-1].append(day)
        else:
            found.append([day])
    texts = [f"{each[0]}" if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in found]
    more = f" and {len(found) - STRETCHES_SHOWN} more stretches" if len(found) > STRETCHES_SHOWN else ""
    return f"{', '.join(texts[:STRETCHES_SHOWN])}{more}" + (f" ({len(days):,} days)" if len(days) > 1 else "")


def not_kept(dataset: str, ticker: str, days: Sequence[date], newest: Statement | None, elsewhere: str = "") -> NotKept:
    """The error that says what to do.

    Args:
        dataset: the daily dataset.
        ticker: as it was asked for.
        days: those that were not asked to keep it, oldest first.
        newest: what the newest of them says; None where its month alone is still there.
        elsewhere: words on where else the ticker is, to follow the advice.
    """
    newest = newest or Statement(None)
    text = f"{dataset}: {ticker} was not kept on {stretches(days)}, so that no row there does not mean no trade; "
    name = next((name for name in newest.names if name.ticker == ticker and not name.is_on(days[-1])), None)
    later = next((name for name in newest.names if name.was == ticker and name.is_on(days[-1])), None)
    if spelt := _spelt(ticker, newest.wanted):
        text += f"tickers are spelt as the vendor spells them: ask for {' or '.join(spelt)}"
    elif name is not None and name.was is not None:
        text += f"until {name.first_day} it was called {name.was}: follow_renames=True joins the two"
    elif name is not None:
        text += f"defs.yaml keeps it {name.span}: ask for these days"
    elif later is not None:
        text += f"from {later.first_day} on it is called {later.ticker}: follow_renames=True of that name joins the two"
    else:
        near = nearest(sorted(newest.wanted), ticker) if isinstance(newest.wanted, frozenset) else None
        text += (
            (f"did you mean {near}? If not, " if near else "")
            + "add it to tickers in defs.yaml (or to POLYGON_TICKERS) and run: "
            f"data-assets backfill {dataset} --from {days[0]} --to {days[-1]}"
        )
    return NotKept(f"{text}{elsewhere}; accept_not_kept=True leaves these days out", ticker, days)


def _spelt(ticker: str, wanted: frozenset[str] | str | None) -> list[str]:
    """How the ticker may have been meant."""
    meant = _BETWEEN.sub(".", ticker.rpartition(":")[2].upper()).strip(".")
    if isinstance(wanted, frozenset):
        return sorted(name for name in wanted if _BETWEEN.sub(".", name.upper()) == meant)
    return [meant] if wanted == ALL and meant else []
