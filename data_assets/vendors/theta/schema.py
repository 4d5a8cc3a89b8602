"""Theta's option columns: names, types, units and meaning, and reading the vendor's CSV into them.

Here: what a line of `option/history/quote` and of the two list calls means, and the stored form of a day of quotes.
Not here: fetching them (``client``), and whether a day is whole or plausible (``day``, ``quality``).

The columns are the vendor's (Theta v3 OpenAPI, `/option/history/quote`), read by header, because captures of the same
call differ in order, quoting, line ends and fractions of a second. Values are stored as they came: only types and the
time zone are made explicit.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.quality.contract_summary import CONTRACT
from data_assets.trading_calendar import NEW_YORK

SCHEMA_VERSION = 1
RIGHT = pl.Enum(["CALL", "PUT"])


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column.

    Attributes:
        dtype: its Polars type.
        unit: what its numbers count.
        meaning: what it says, with what to know before using it.
    """

    dtype: pl.DataType
    unit: str
    meaning: str


_EXCHANGE = "Theta exchange code: 5 CBOE, 6 ISE, 7 ARCA, 9 PHLX, 42 C2, 60 BATS, 69 PERL and others"
_CONDITION = "Theta quote condition: 50 national best bid and offer (nearly every row), 5 locked, 16 crossed and others"

COLUMNS: dict[str, Column] = {
    "symbol": Column(pl.String(), "root", "option root, such as QQQ or SPXW"),
    "expiration": Column(pl.Date(), "date", "expiration date; before 2015 it may be a Saturday"),
    "strike": Column(pl.Float64(), "US dollars", "strike price"),
    "right": Column(RIGHT, "CALL or PUT", "right to buy (CALL) or to sell (PUT)"),
    "timestamp": Column(
        pl.Datetime("us", "UTC"),
        "instant, UTC",
        "instant of the snapshot: the row is the last quote known then, not an average. "
        "At 09:30 New York every side is 0, as no quote is carried in from before the open",
    ),
    "bid_size": Column(pl.Int32(), "contracts", "size at the best bid; 0 where there is no bid"),
    "bid_exchange": Column(pl.Int16(), "code", _EXCHANGE),
    "bid": Column(
        pl.Float64(),
        "US dollars per share",
        "best bid; 0 with an ask above 0 is a real quote, 0 on both sides is no quote",
    ),
    "bid_condition": Column(pl.Int16(), "code", _CONDITION),
    "ask_size": Column(pl.Int32(), "contracts", "size at the best ask; 0 where there is no ask"),
    "ask_exchange": Column(pl.Int16(), "code", _EXCHANGE),
    "ask": Column(pl.Float64(), "US dollars per share", "best ask; 0 on both sides is no quote"),
    "ask_condition": Column(pl.Int16(), "code", _CONDITION),
}
SCHEMA = pl.Schema({name: column.dtype for name, column in COLUMNS.items()})
ARROW_SCHEMA: pa.Schema = SCHEMA.to_frame().to_arrow().schema
SORT_BY = ("expiration", "strike", "right", "timestamp")

_TEXT_RIGHT = pl.Enum(["CALL", "PUT", "C", "P"])  # position modulo 2 is the right
_SECONDS = "%Y-%m-%dT%H:%M:%S"
_DATE = "%Y-%m-%d"
_LINE_FEED = ord("\n")
_REPEATED = 50  # how often a block repeats each of its timestamps if the next ones are expected to hold the same


@dataclass(frozen=True, slots=True)
class _KnownTimes:
    """The distinct timestamps of a block as they were sent, and the instant of each."""

    texts: pl.Enum
    instants: pl.Series


class QuoteReader:
    """Reads the lines of one body of quotes, whose header has been seen; safe to call from several threads."""

    def __init__(self, header: bytes, symbol: str, day: date) -> None:
        """Learn the body's columns.

        Args:
            header: the first line, with or without its line end.
            symbol: the root that was asked for.
            day: the New York date that was asked for.

        Raises:
            DayEnded: ``Rejected``, if a column is missing, renamed or doubled.
        """
        self._names = _names(header, list(COLUMNS))
        self._symbol = symbol
        self._day = day
        self._offset = utc_offset(day)
        self._known_times: _KnownTimes | None = None

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns the vendor sent that are not stored, in its order."""
        return tuple(name for name in self._names if name not in COLUMNS)

    def read(self, lines: bytes) -> pl.DataFrame:
        """Read whole lines into the columns of ``SCHEMA``, in the order they came.

        Raises:
            DayEnded: ``Rejected``, naming the column and the value that does not parse, or the rows of another day.
        """
        raw, timestamps = self._read_known_times(lines) or self._read_any_times(lines)
        frame = raw.with_columns(_symbol(self._symbol), _expiration(), _right(), timestamps.alias("timestamp"))
        _refuse_absent_values(frame, raw)
        self._refuse_other_days(frame["timestamp"])
        if raw["timestamp"].dtype == pl.String():
            self._learn_times(raw["timestamp"])
        return frame

    def _read_known_times(self, lines: bytes) -> tuple[pl.DataFrame, pl.Series] | None:
        """As ``_read_any_times``, if all timestamps are known; None where one is not, or where the lines do not parse.

        The points of a grid come back with every contract, and to look one up is many times cheaper than to parse it.
        """
        if (known := self._known_times) is None:
            return None
        try:
            raw = _read(lines, self._names, COLUMNS, self._symbol, timestamp=known.texts)
        except DayEnded:  # as text they read well, or the reason is found
            return None
        return raw, known.instants.gather(raw["timestamp"].to_physical())

    def _read_any_times(self, lines: bytes) -> tuple[pl.DataFrame, pl.Series]:
        raw = _read(lines, self._names, COLUMNS, self._symbol)
        return raw, self._instants(raw["timestamp"])

    def _learn_times(self, texts: pl.Series) -> None:
        distinct = texts.unique()
        worth_it = len(distinct) * _REPEATED <= len(texts)
        self._known_times = _KnownTimes(pl.Enum(distinct), self._instants(distinct)) if worth_it else None

    def _instants(self, texts: pl.Series) -> pl.Series:
        return (_timestamp(texts) - self._offset).dt.replace_time_zone("UTC")

    def _refuse_other_days(self, timestamps: pl.Series) -> None:
        first, last = timestamps.min(), timestamps.max()
        start = datetime.combine(self._day, time(), UTC) - self._offset
        end = start + timedelta(days=1)
        if isinstance(first, datetime) and isinstance(last, datetime) and not start <= first <= last < end:
            asked = timestamps.is_between(start, end, closed="left")
            others = timestamps.filter(~asked).dt.convert_time_zone(NEW_YORK.key).dt.date()
            raise _rejected(
                f"{len(others)} rows are of {others[0]}, and not of {self._day} (New York), which was asked for"
            )


def read_contracts(body: bytes, symbol: str) -> pl.DataFrame:
    """Read an answer of `option/list/contracts/quote`: the contracts of one root, unsorted, each once.

    Returns:
        The columns of ``CONTRACT``, typed as in ``SCHEMA``; no rows where the vendor lists none.

    Raises:
        DayEnded: ``Rejected``, as for quotes.
    """
    header, _, lines = body.partition(b"\n")
    raw = _read(lines, _names(header, CONTRACT), CONTRACT, symbol)
    frame = raw.with_columns(_symbol(symbol), _expiration(), _right())
    _refuse_absent_values(frame, raw)
    return frame.unique(maintain_order=True)


def read_expirations(body: bytes, symbol: str) -> list[date]:
    """Read an answer of `option/list/expirations`: every expiration the root ever had, sorted.

    Raises:
        DayEnded: ``Rejected``, as for quotes.
    """
    header, _, lines = body.partition(b"\n")
    columns = ("symbol", "expiration")
    raw = _read(lines, _names(header, columns), columns, symbol)
    frame = raw.with_columns(_expiration())
    _refuse_absent_values(frame, raw)
    return frame["expiration"].unique().sort().to_list()


def utc_offset(day: date) -> timedelta:
    """What New York's clock is ahead of UTC (so it is negative) on the whole of ``day``.

    One number for a whole day: New York changes its clocks on Sundays at 02:00, when no market is open.

    Raises:
        ValueError: the clocks change on ``day``.
    """
    start = datetime.combine(day, time(), NEW_YORK)
    offset = start.utcoffset()
    if offset is None or offset != datetime.combine(day, time.max, NEW_YORK).utcoffset():
        raise ValueError(f"New York's clocks change on {day}, so its wall-clock times are not one offset from UTC")
    return offset


def _names(header: bytes, wanted: Sequence[str]) -> list[str]:
    text = header.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    names = next(csv.reader([text]), [])
    missing = [name for name in wanted if name not in names]
    if missing or len(set(names)) != len(names):
        what = f"lacks {', '.join(missing)}" if missing else "names a column twice"
        raise _rejected(f"the header {what}: got {_short(text)}, expected {','.join(wanted)}")
    return names


def _read(
    lines: bytes,
    names: list[str],
    wanted: Sequence[str] | dict[str, Column],
    symbol: str,
    *,
    timestamp: pl.Enum | None = None,
) -> pl.DataFrame:
    """The wanted columns in their order; dates and times still text, because Polars would guess their format."""
    read_as = {name: _read_as(name, symbol) if name in wanted else pl.String() for name in names}
    if timestamp is not None:
        read_as["timestamp"] = timestamp
    try:
        # Polars reads in several chunks; joining them once is cheaper than every later step's own work on each of them.
        rows = pl.read_csv(lines, has_header=False, schema=read_as).select(*wanted).rechunk()
    except pl.exceptions.PolarsError as error:
        raise _rejected(_why_unreadable(str(error), len(names), symbol)) from None
    # Four times faster than bytes.count, and other threads can run meanwhile.
    line_ends = int(np.count_nonzero(np.frombuffer(lines, np.uint8) == _LINE_FEED))
    sent = line_ends + (lines[-1:] not in (b"\n", b""))
    if rows.height != sent:
        raise _rejected(f"{sent:,} lines read as {rows.height:,} rows: a quoted field goes on over the end of its line")
    return rows


def _read_as(name: str, symbol: str) -> pl.DataType:
    if name == "symbol":
        return pl.Enum([symbol])
    if name == "right":
        return _TEXT_RIGHT
    dtype = COLUMNS[name].dtype
    return pl.String() if dtype.is_temporal() else dtype


def _why_unreadable(error: str, fields: int, symbol: str) -> str:
    found = re.match(r"could not parse `(.*?)` as dtype `[^`]*` at column '([^']*)'", error, re.DOTALL)
    if found:
        value, column = found.groups()
        asked = f", and {symbol} was asked for" if column == "symbol" else ""
        return f'column {column} holds "{_short(value)}", which does not parse{asked}'
    if "fields" in error or "schema" in error.lower():
        return f"a line does not have the header's {fields} fields"
    return f"the lines do not parse: {_short(error)}"


def _symbol(asked: str) -> pl.Expr:
    """As text. It was read as an enum of this one value, and repeating that is cheaper than looking each one up."""
    return pl.when(pl.col("symbol").is_not_null()).then(pl.lit(asked)).alias("symbol")


def _expiration() -> pl.Expr:
    return pl.col("expiration").str.to_date(_DATE, strict=False)


def _right() -> pl.Expr:
    return (pl.col("right").to_physical() % 2).cat.to(RIGHT)


def _timestamp(text: pl.Series) -> pl.Series:
    """New York wall clock, without its zone. Whole seconds, with a zero fraction or none, read six times faster."""
    fraction = len(text) > 0 and "." in (text[0] or "")
    whole = text.str.strip_suffix(".000") if fraction else text
    seconds = whole.str.to_datetime(_SECONDS, time_unit="us", strict=False, cache=False)
    if not seconds.has_nulls():
        return seconds
    return text.str.to_datetime(_SECONDS + "%.f", time_unit="us", strict=False, cache=False)


def _refuse_absent_values(frame: pl.DataFrame, raw: pl.DataFrame) -> None:
    """Refuse what did not become a value: an empty field, a line too short, a date that is none, NaN, infinity."""
    for name in frame.columns:
        column = frame[name]
        if not column.has_nulls() and (not column.dtype.is_float() or math.isfinite(column.sum())):
            continue
        absent = (~column.is_finite() if column.dtype.is_float() else column.is_null()).fill_null(value=True)
        value = raw[name].filter(absent)[0]
        shown = "is empty" if value is None else f'holds "{_short(str(value))}", which does not parse,'
        raise _rejected(f"column {name} {shown} in {absent.sum()} rows")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."


def _rejected(reason: str) -> DayEnded:
    return DayEnded(Rejected(reason))
