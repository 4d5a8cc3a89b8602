"""The synthetic market as the stock vendor's flat files: one compressed CSV file of minute bars per day.

Here: which files there are at a time, what is in them, and a folder laid out like the bucket. Not here: the bucket over
S3 (`flat_files.bucket`).

Sources: the vendor's flat-file documentation for the key layout and "by approximately 11:00 AM ET the following day";
real files for the columns, the text and the order of tickers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import polars as pl

from data_assets.sandbox.flat_files.damage import damaged_file, damaged_rows, damaged_text
from data_assets.sandbox.flat_files.faults import ANSWER_KINDS, FlatFileFault, FlatFileFaultKind
from data_assets.sandbox.flat_files.rows import FRACTIONAL_FROM, rows
from data_assets.sandbox.flat_files.text import Style, csv, gzipped, style_of
from data_assets.sandbox.flat_files.tickers import securities_on
from data_assets.sandbox.market.market import uniform
from data_assets.trading_calendar import NEW_YORK, is_session, sessions, utc_now

DATASET = "us_stocks_sip/minute_aggs_v1"
SUFFIX = ".csv.gz"

_PUBLISHED_AT = time(11, 0)
_UNFINISHED = ".unfinished"


class NotListed(LookupError):
    """The vendor has no file of the day asked for, or not yet; the text says which day."""


@cache  # a listing makes those of all years
def key(day: date) -> str:
    """The key of a day's file, such as ``us_stocks_sip/minute_aggs_v1/2024/01/2024-01-03.csv.gz``."""
    return f"{DATASET}/{day:%Y/%m}/{day}{SUFFIX}"


def day_of(name: str) -> date | None:
    """The day whose file has the key ``name``; None where it is no such key."""
    try:
        day = date.fromisoformat(name.removesuffix(SUFFIX).rpartition("/")[2])
    except ValueError:
        return None
    return day if name == key(day) else None


@dataclass(frozen=True, kw_only=True)
class FlatFiles:
    """The files that the vendor has at a time. The same arguments make the same bytes in every process.

    Attributes:
        tickers: how many tickers the market has; 60 make about 13,000 rows a day, 11,500 about 1.9 million.
        style: how numbers are printed; None for the style of the day's years.
        first_day: there is no file before it.
        faults: what is wrong with some files. Those of a bucket's answers are shown by a bucket alone.
        fault_seed: decides which days a fault with a rate strikes.
        now: the current time, aware; a file is listed from 11:00 in New York on the day after its own.
        says_synthetic: whether the files, and a bucket's answers, say that they are no real data, which the live
            profile refuses. Only a test of the live profile has a reason to hide it.
    """

    tickers: int = 60
    style: Style | None = None
    first_day: date = date(2016, 1, 4)
    faults: tuple[FlatFileFault, ...] = ()
    fault_seed: int = 0
    now: Callable[[], datetime] = utc_now
    says_synthetic: bool = True

    def days(self) -> list[date]:
        """The days whose files are listed now, oldest first."""
        return [day for day in sessions(self.first_day, self._today()) if self.is_listed(day)]

    def keys(self, prefix: str = "") -> list[str]:
        """The keys listed now that begin with ``prefix``, in order."""
        possible = (key(day) for day in sessions(self.first_day, self._today()))
        return [name for name in possible if name.startswith(prefix) and self._is_listed_key(name)]

    def is_listed(self, day: date) -> bool:
        """Whether the file of ``day`` is there now."""
        if day < self.first_day or not is_session(day) or self._fault(day, "missing_file"):
            return False
        late = self._fault(day, "late_file")
        published = datetime.combine(day + timedelta(days=1), _PUBLISHED_AT, NEW_YORK).astimezone(UTC)
        return self.now() >= published + timedelta(hours=late.hours if late else 0)

    def rows(self, day: date, revision: int = 0) -> pl.DataFrame:
        """The rows of the file of ``day`` as its text has them: the vendor's columns, see `flat_file_rows.rows`.

        Args:
            day: a day whose file is listed.
            revision: how often the file was replaced since it was published.

        Raises:
            NotListed: there is no such file now.
        """
        if not self.is_listed(day):
            raise NotListed(f"the sandbox has no flat file of {day} at {self.now():%Y-%m-%d %H:%M} UTC")
        fractional = day >= FRACTIONAL_FROM and self._style(day, revision) == "decimal"
        revision = self._revision(day, revision)
        securities, names = securities_on(self.tickers, day)
        frame = rows(securities, day, fractional=fractional, revision=revision)
        if names:
            frame = frame.with_columns(pl.col("ticker").replace(names))
        for fault in self._faults(day):
            frame = damaged_rows(frame, fault, day)
        return frame

    def body(self, day: date, revision: int = 0) -> bytes:
        """The file of ``day``, compressed CSV. For the arguments and the errors see `rows`."""
        text = csv(self.rows(day, revision), self._style(day, revision))
        for fault in self._faults(day):
            text = damaged_text(text, fault)
        body = gzipped(text, says_synthetic=self.says_synthetic)
        for fault in self._faults(day):
            body = damaged_file(body, fault)
        return body

    def write_folder(self, root: Path, days: Iterable[date]) -> None:
        """Make ``root`` a mirror of the bucket for ``days``, at any time and from several processes at once.

        A day's file appears whole or not at all. A file that is already there with the same bytes is not touched, so
        that it keeps its time and, for an object store over folders, its ETag. Files of ``days`` that the vendor does
        not list are removed; those of other days stay.
        """
        for day in days:
            path = root / key(day)
            if not self.is_listed(day):
                path.unlink(missing_ok=True)
                continue
            body = self.body(day)
            if not (path.is_file() and path.read_bytes() == body):
                _put(path, body, beside=root / _UNFINISHED)

    def _today(self) -> date:
        return self.now().astimezone(NEW_YORK).date()

    def _is_listed_key(self, name: str) -> bool:
        day = day_of(name)
        return day is not None and self.is_listed(day)

    def _revision(self, day: date, replaced: int) -> int:
        return replaced + (self._fault(day, "republished_file") is not None)

    def _style(self, day: date, replaced: int) -> Style:
        """The newest style for a file that took another's place, whatever its day."""
        return self.style or ("decimal" if self._revision(day, replaced) else style_of(day))

    def _faults(self, day: date) -> list[FlatFileFault]:
        """The faults of the file of ``day``."""
        return [
            fault
            for place, fault in enumerate(self.faults)
            if fault.kind not in ANSWER_KINDS
            and fault.day in (None, day)
            and key(day).startswith(fault.prefix)
            and uniform("flat file fault", self.fault_seed, place, day) < fault.rate
        ]

    def _fault(self, day: date, kind: FlatFileFaultKind) -> FlatFileFault | None:
        return next((fault for fault in self._faults(day) if fault.kind == kind), None)


def _put(path: Path, body: bytes, beside: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.mkdir(exist_ok=True)
    with NamedTemporaryFile(dir=beside, delete=False) as file:
        file.write(body)
    Path(file.name).replace(path)
