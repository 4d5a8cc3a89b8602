"""Theta's option columns: names, types, units and meaning, and reading the vendor's CSV into them.

Here: what a line of the four histories (quotes, first-order greeks, open interest, end of day) and of the list calls
means, and its stored form. Not here: fetching them (``client``), and whether a day is whole or plausible (``day``,
``quality``).

The columns are the vendor's (Theta v3 OpenAPI, `/option/history/...`), read by header, because captures of the same
call differ in order, quoting, line ends and fractions of a second. Values are stored as they came: only types and the
time zone are made explicit. The vendor's sentinels for missing values are stored too; the columns' meanings name them.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from data_assets.counts import count_of, count_that
from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.lake.columns import Column
from data_assets.lake.errors import one_line
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.naming import clock, contract_name
from data_assets.trading_calendar import NEW_YORK
from data_assets.vendors.theta.strict_lines import StrictLines

SCHEMA_VERSION = 2
"""Version 1 had sizes of 32 bits; a lake may hold days of both, which `Lake.scan` and the views read as one."""

RIGHT = pl.Enum(["CALL", "PUT"])

_INSTANT = pl.Datetime("us", "UTC")
_EXCHANGE = "Theta exchange code: 5 CBOE, 6 ISE, 7 ARCA, 9 PHLX, 42 C2, 60 BATS, 69 PERL and others"
_CONDITION = "Theta quote condition: 50 national best bid and offer (nearly every row), 5 locked, 16 crossed and others"
_PER_POINT = "divide by 100 for the change per percentage point"
_NO_PRICE = "0, NaN or null where Theta had no price of the underlying"


@dataclass(frozen=True)
class Table:
    """The columns of one history.

    Attributes:
        columns: by name, in the vendor's order, which is the stored one.
        dated_by: the column whose New York date is the requested day.
        may_be_dated_later: whether that date may also be a later one.
        computed: float columns that are results of the vendor's model, not prices: NaN, infinities and empty cells (as
            null) are stored.
    """

    columns: Mapping[str, Column]
    dated_by: str = "timestamp"
    may_be_dated_later: bool = False
    computed: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def schema(self) -> pl.Schema:
        """Name and Polars type of each column."""
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Name and Arrow type of each column."""
        return self.schema.to_frame().to_arrow().schema

    @cached_property
    def instants(self) -> tuple[str, ...]:
        """The columns that hold an instant."""
        return tuple(name for name, dtype in self.schema.items() if dtype == _INSTANT)


_CONTRACT_COLUMNS = {
    "symbol": Column(pl.String(), "root", "option root, such as QQQ or SPXW"),
    "expiration": Column(pl.Date(), "date", "expiration date; before 2015 it may be a Saturday"),
    "strike": Column(pl.Float64(), "US dollars", "strike price"),
    "right": Column(RIGHT, "CALL or PUT", "right to buy (CALL) or to sell (PUT)"),
}
_QUOTE_COLUMNS = {
    # Sizes of 64 bits take no more room than of 32, for what is stored of most are places in a dictionary.
    "bid_size": Column(pl.Int64(), "contracts", "size at the best bid; 0 where there is no bid"),
    "bid_exchange": Column(pl.Int16(), "code", _EXCHANGE),
    "bid": Column(
        pl.Float64(),
        "US dollars per share",
        "best bid; 0 with an ask above 0 is a real quote, 0 on both sides is no quote",
    ),
    "bid_condition": Column(pl.Int16(), "code", _CONDITION),
    "ask_size": Column(pl.Int64(), "contracts", "size at the best ask; 0 where there is no ask"),
    "ask_exchange": Column(pl.Int16(), "code", _EXCHANGE),
    "ask": Column(pl.Float64(), "US dollars per share", "best ask; 0 on both sides is no quote"),
    "ask_condition": Column(pl.Int16(), "code", _CONDITION),
}
_SNAPSHOT = Column(
    _INSTANT,
    "instant, UTC",
    "time of the snapshot: the row holds the last quote at that time, not an average over the interval. "
    "At 09:30 New York both sides are 0, because no quote is carried over from before the open",
)
_MODEL_COLUMNS = {
    "delta": Column(
        pl.Float64(),
        "US dollars per dollar of the underlying",
        f"change in option price per dollar of the underlying; {_NO_PRICE}",
    ),
    "theta": Column(pl.Float64(), "US dollars per calendar day", "change in option price per calendar day"),
    "vega": Column(
        pl.Float64(),
        "US dollars per 1.00 of volatility",
        f"change in option price per 1.00 (100 percentage points) of volatility; {_PER_POINT}",
    ),
    "rho": Column(
        pl.Float64(),
        "US dollars per 1.00 of interest",
        f"change in option price per 1.00 (100 percentage points) of the interest rate; {_PER_POINT}",
    ),
    "epsilon": Column(
        pl.Float64(),
        "US dollars per 1.00 of dividend yield",
        f"change in option price per 1.00 (100 percentage points) of dividend yield; {_PER_POINT}",
    ),
    "lambda": Column(
        pl.Float64(),
        "per cent per per cent",
        "elasticity: per cent change in option price per one per cent of the underlying",
    ),
    "implied_vol": Column(
        pl.Float64(),
        "per year, 0.25 is 25 %",
        "volatility at which the model prices the option at its midpoint. Sentinels: 0.25 with an iv_error of 100 or "
        "more, or -100 or less, means that Theta found no solution (always so at 09:30); exactly 0 with delta 1 or -1 "
        "and the other greeks 0 means that the midpoint is not above the intrinsic value",
    ),
    "iv_error": Column(
        pl.Float64(),
        "share of the midpoint",
        "error of the solution: the model's price at implied_vol divided by the midpoint, minus 1",
    ),
}

QUOTES = Table({**_CONTRACT_COLUMNS, "timestamp": _SNAPSHOT, **_QUOTE_COLUMNS})
"""`/option/history/quote`: the best bid and offer at each point of a grid."""

GREEKS = Table(
    {
        **_CONTRACT_COLUMNS,
        "timestamp": _SNAPSHOT,
        "bid": _QUOTE_COLUMNS["bid"],
        "ask": _QUOTE_COLUMNS["ask"],
        **_MODEL_COLUMNS,
        "underlying_timestamp": Column(_INSTANT, "instant, UTC", "time of the underlying's price"),
        "underlying_price": Column(
            pl.Float64(),
            "US dollars, or index points",
            "price of the underlying that the row was computed from; 0 where there was none, as for an index at 09:30",
        ),
    },
    computed=frozenset(_MODEL_COLUMNS),
)
"""`/option/history/greeks/first_order`: what the vendor computes at each point of a grid, in the vendor's units."""

OPEN_INTEREST = Table(
    {
        **_CONTRACT_COLUMNS,
        "timestamp": Column(_INSTANT, "instant, UTC", "when OPRA sent it, about 06:30 New York on the day"),
        "open_interest": Column(
            pl.Int64(),
            "contracts",
            "contracts outstanding at the end of the previous session; a contract that nobody holds may have no row. "
            "If OPRA sent several messages for a contract, the newest is stored",
        ),
    }
)
"""`/option/history/open_interest`: one row per contract."""

EOD = Table(
    {
        **_CONTRACT_COLUMNS,
        "created": Column(
            _INSTANT,
            "instant, UTC",
            "when Theta made the report, about 17:15 New York; if there are several for a contract, the newest is "
            "stored",
        ),
        "last_trade": Column(
            _INSTANT,
            "instant, UTC",
            "time of the last trade, which may be on the evening before; midnight New York if there was none",
        ),
        **{
            name: Column(
                pl.Float64(), "US dollars per share", f"{which} trade price; 0 if no trade that sets prices took place"
            )
            for name, which in {"open": "first", "high": "highest", "low": "lowest", "close": "last"}.items()
        },
        "volume": Column(pl.Int64(), "contracts", "contracts traded"),
        "count": Column(pl.Int64(), "trades", "number of trades"),
        **_QUOTE_COLUMNS,
    },
    dated_by="created",
    may_be_dated_later=True,  # the archive of the years before 2022 was built in several passes
)
"""`/option/history/eod`: one report per contract on the day's trades, with its last quote."""

_EVERY_COLUMN = {**EOD.columns, **GREEKS.columns, **OPEN_INTEREST.columns, **QUOTES.columns}
_TEXT_RIGHT = pl.Enum(["CALL", "PUT", "C", "P"])  # position modulo 2 is the right
_TIMES = ("timestamp", "created")
_NEXT = "ask for the day again; if it stays so, update the terminal, or send Theta this line"
_SECONDS = "%Y-%m-%dT%H:%M:%S"
_DATE = "%Y-%m-%d"
_FIRST = datetime.combine(date.min, time()) + timedelta(days=1)  # of other years no instant could be shown
_LAST = datetime.combine(date.max, time()) - timedelta(days=1)
_LINE_FEED = ord("\n")
_REPEATED = 50  # how often a block repeats each of its timestamps if the next ones are expected to hold the same


@dataclass(frozen=True, slots=True)
class Asked:
    """What the rows of a body must match.

    Attributes:
        symbol: the option root.
        day: the New York date.
        expiration: the one expiration; None for any.
        right: CALL or PUT; None for both.
    """

    symbol: str
    day: date
    expiration: date | None = None
    right: str | None = None


@dataclass(frozen=True, slots=True)
class _KnownTimes:
    """The distinct timestamps of a block as they were sent, and the instant of each."""

    texts: pl.Enum
    instants: pl.Series


class RowReader:
    """Reads the lines of one body, whose header has been seen; safe to call from several threads."""

    def __init__(self, table: Table, header: bytes, asked: Asked) -> None:
        """Learn the body's columns.

        Args:
            table: the history that was asked for.
            header: the first line, with or without its line end.
            asked: what the rows must be about.

        Raises:
            DayEnded: ``Rejected``, if a column is missing, renamed or doubled.
        """
        self._table = table
        self._names = _names(header, list(table.columns))
        self._asked = asked
        self._start = datetime.combine(asked.day, time())  # New York's wall clock
        self._offset = utc_offset(asked.day)
        self._known_times: dict[str, _KnownTimes] = {}
        self._strict = StrictLines(
            self._names,
            table.schema,
            symbol=asked.symbol,
            day=asked.day,
            offset=self._offset,
            computed=table.computed,
        )

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns that the vendor sent and that are not stored, in its order."""
        return tuple(name for name in self._names if name not in self._table.columns)

    def read(self, *pieces: bytes | memoryview) -> pl.DataFrame:
        """Read pieces of whole lines into the columns of the table, in the order they came.

        Raises:
            DayEnded: ``Rejected``, naming the column, the value that does not parse, its contract and time, or the rows
                of another day, expiration or right.
        """
        frame = self._strict.read(*pieces)
        if frame is None:
            frame = self._read_any_spelling(b"".join(pieces))
        self._refuse_others(frame)
        return frame

    def _read_any_spelling(self, lines: bytes) -> pl.DataFrame:
        known = self._known_times  # another thread may learn others meanwhile
        raw = self._read_known_times(lines, known)
        if raw is None:
            raw = self._read(lines)
        instants = [self._column(raw[name], known) for name in self._table.instants]
        frame = raw.with_columns(_symbol(self._asked.symbol), _expiration(), _right(), *instants)
        _refuse_absent_values(frame, raw, self._table.computed, self._table.dated_by)
        self._learn_times(raw)
        return frame

    def _read(self, lines: bytes, **read_as: pl.DataType) -> pl.DataFrame:
        return _read(lines, self._names, self._table.columns, [self._asked.symbol], **read_as)

    def _read_known_times(self, lines: bytes, known: Mapping[str, _KnownTimes]) -> pl.DataFrame | None:
        """As ``_read``, with known times as such; None where a time is not known, or where the lines do not parse.

        The points of a grid come back with every contract, and to look one up is many times cheaper than to parse it.
        """
        if not known:
            return None
        try:
            return self._read(lines, **{name: times.texts for name, times in known.items()})
        except DayEnded:  # as text they read well, or the reason is found
            return None

    def _column(self, times: pl.Series, known: Mapping[str, _KnownTimes]) -> pl.Series:
        if times.dtype == pl.String:
            return self._instants(times).alias(times.name)
        return known[times.name].instants.gather(times.to_physical()).alias(times.name)

    def _learn_times(self, raw: pl.DataFrame) -> None:
        if all(raw[name].dtype != pl.String for name in self._table.instants):
            return
        known = {}
        for name in self._table.instants:
            if raw[name].dtype == pl.String:
                distinct = raw[name].drop_nulls().unique()
                if len(distinct) * _REPEATED <= len(raw):
                    known[name] = _KnownTimes(pl.Enum(distinct), self._instants(distinct))
        self._known_times = known

    def _instants(self, texts: pl.Series) -> pl.Series:
        wall_clock = _timestamp(texts)
        first, last = wall_clock.min(), wall_clock.max()
        of_the_day = isinstance(first, datetime) and isinstance(last, datetime) and self._holds(first, last)
        if of_the_day or len(wall_clock) == wall_clock.null_count():
            return (wall_clock - self._offset).dt.replace_time_zone("UTC")
        zoned = wall_clock.dt.replace_time_zone(NEW_YORK.key, ambiguous="earliest", non_existent="null")
        return zoned.dt.convert_time_zone("UTC")

    def _holds(self, first: datetime, last: datetime) -> bool:
        return self._start <= first <= last < self._start + timedelta(days=1)

    def _refuse_others(self, frame: pl.DataFrame) -> None:
        asked, dated = self._asked, frame[self._table.dated_by]
        start = self._start.replace(tzinfo=UTC) - self._offset
        end = datetime.max.replace(tzinfo=UTC) if self._table.may_be_dated_later else start + timedelta(days=1)
        first, last = dated.min(), dated.max()
        if isinstance(first, datetime) and isinstance(last, datetime) and not start <= first <= last < end:
            others = dated.filter(~dated.is_between(start, end, closed="left"))
            found = others.dt.convert_time_zone(NEW_YORK.key).dt.date()[0]
            raise _rejected(
                f"{count_that(len(others), 'row', 'are')} of {found}, and not of {asked.day} (New York), which "
                "was asked for"
            )
        for name, wanted in (("expiration", asked.expiration), ("right", asked.right)):
            if wanted is not None and len(others := frame[name].filter(frame[name] != wanted)):
                raise _rejected(
                    f"{count_that(len(others), 'row', 'have')} the {name} {others[0]}, and not {wanted}, which "
                    "was asked for"
                )


def read_rows(table: Table, body: bytes, asked: Asked) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a whole body at once.

    Returns:
        Its rows in the columns of ``table``, and the names of the columns that are not stored.

    Raises:
        DayEnded: ``Rejected``, as for `RowReader`.
    """
    header, _, lines = body.partition(b"\n")
    reader = RowReader(table, header, asked)
    return reader.read(lines) if lines else table.schema.to_frame(), reader.extra_columns


def read_contracts(body: bytes, symbols: Sequence[str]) -> pl.DataFrame:
    """Read a response of `option/list/contracts/quote`: the contracts of some roots, unsorted, each once.

    Returns:
        The columns of ``CONTRACT``, typed as in ``QUOTES``; no rows if the vendor lists none.

    Raises:
        DayEnded: ``Rejected``, as for quotes.
    """
    header, _, lines = body.partition(b"\n")
    raw = _read(lines, _names(header, CONTRACT), CONTRACT, symbols)
    frame = raw.with_columns(pl.col("symbol").cast(pl.String), _expiration(), _right())
    _refuse_absent_values(frame, raw)
    return frame.unique(maintain_order=True)


def read_expirations(body: bytes, symbols: Sequence[str]) -> dict[str, list[date]]:
    """Read a response of `option/list/expirations`: every expiration that each root ever had, sorted.

    Raises:
        DayEnded: ``Rejected``, as for quotes.
    """
    header, _, lines = body.partition(b"\n")
    columns = ("symbol", "expiration")
    raw = _read(lines, _names(header, columns), columns, symbols)
    frame = raw.with_columns(pl.col("symbol").cast(pl.String), _expiration())
    _refuse_absent_values(frame, raw)
    known = frame.unique().sort("expiration")
    return {symbol: known.filter(pl.col("symbol") == symbol)["expiration"].to_list() for symbol in symbols}


def read_dates(body: bytes) -> list[date]:
    """Read a response of `option/list/dates`: the days for which there is data, in the vendor's order.

    Raises:
        DayEnded: ``Rejected``, as for quotes.
    """
    header, _, lines = body.partition(b"\n")
    place = _names(header, ("date",)).index("date")
    try:
        rows = csv.reader(lines.decode().splitlines())
        return [date.fromisoformat(row[place]) for row in rows]
    except (ValueError, IndexError, csv.Error) as error:
        raise _rejected(f"a line of the list of days holds no date: {one_line(error, 200)}") from None


def utc_offset(day: date) -> timedelta:
    """Return the offset of New York's clock from UTC, a negative number, on ``day``.

    A trading day has a single offset: New York changes its clocks on Sundays at 02:00, when no market is open.

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
    try:
        names = next(csv.reader([text]), [])
    except csv.Error:  # such as packed bytes under a name that says plain
        names = []
    missing = [name for name in wanted if name not in names]
    if missing or len(set(names)) != len(names):
        what = f"lacks {', '.join(missing)}" if missing else "names a column twice"
        raise _rejected(f"the header {what}: got {one_line(text, 200)}, expected {','.join(wanted)}")
    return names


def _read(
    lines: bytes,
    names: list[str],
    wanted: Collection[str],
    symbols: Sequence[str],
    **read_as: pl.DataType,
) -> pl.DataFrame:
    """The wanted columns in their order; dates and times still text, because Polars would guess their format."""
    types = {name: _read_as(name, symbols) if name in wanted else pl.String() for name in names}
    try:
        # Polars reads in several chunks; joining them once is cheaper than every later step's own work on each of them.
        rows = pl.read_csv(lines, has_header=False, schema={**types, **read_as}).select(*wanted).rechunk()
    except pl.exceptions.PolarsError as error:
        raise _rejected(_why_unreadable(str(error), lines, names, symbols)) from None
    if b'"' in lines:  # else every line is a row
        line_ends = int(np.count_nonzero(np.frombuffer(lines, np.uint8) == _LINE_FEED))  # lets other threads run
        sent = line_ends + (lines[-1:] not in (b"\n", b""))
        if rows.height != sent:
            raise _rejected(
                f"{count_that(sent, 'line', 'read')} as {count_of(rows.height, 'row')}: a quoted field spans "
                "the end of its line"
            )
    return rows


def _read_as(name: str, symbols: Iterable[str]) -> pl.DataType:
    if name == "symbol":
        return pl.Enum(symbols)
    if name == "right":
        return _TEXT_RIGHT
    dtype = _EVERY_COLUMN[name].dtype
    return pl.String() if dtype.is_temporal() else dtype


def _why_unreadable(error: str, lines: bytes, names: list[str], symbols: Iterable[str]) -> str:
    found = re.match(r"could not parse `(.*?)` as dtype `[^`]*` at column '([^']*)'", error, re.DOTALL)
    if found:
        value, column = found.groups()
        asked = f", and {', '.join(symbols)} was asked for" if column == "symbol" else ""
        where = _row_with(lines, names, column, value)
        return f'column {column} holds "{one_line(value, 200)}", which does not parse{asked}{where}'
    if "fields" in error or "schema" in error.lower():
        return f"a line does not have the header's {len(names)} fields"
    return f"the lines do not parse: {one_line(error, 200)}"


def _row_with(lines: bytes, names: list[str], column: str, value: str) -> str:
    """The contract and time of the first row with a value, as the vendor wrote them; empty where it is not found."""
    try:
        texts = pl.read_csv(lines, has_header=False, schema=dict.fromkeys(names, pl.String()))
    except pl.exceptions.PolarsError:
        return ""
    rows = texts.filter(pl.col(column) == value).head(1)
    known = [name for name in (*CONTRACT, *_TIMES) if name in names]
    text = " ".join(filter(None, rows.select(known).row(0))) if rows.height else ""
    return f", in the row of {one_line(text, 200)}" if text else ""


def _symbol(asked: str) -> pl.Expr:
    """As text. It was read as an enum of this one value, and repeating that is cheaper than looking each one up."""
    return pl.when(pl.col("symbol").is_not_null()).then(pl.lit(asked)).alias("symbol")


def _expiration() -> pl.Expr:
    dates = pl.col("expiration").str.to_date(_DATE, strict=False)
    return pl.when(dates.is_between(date.min, date.max)).then(dates).alias("expiration")


def _right() -> pl.Expr:
    return (pl.col("right").to_physical() % 2).cat.to(RIGHT)


def _timestamp(text: pl.Series) -> pl.Series:
    """Read New York wall clock times, without the zone; whole seconds, perhaps with a zero fraction, go faster."""
    fraction = len(text) > 0 and "." in (text[0] or "")
    whole = text.str.strip_suffix(".000") if fraction else text
    wall_clock = whole.str.to_datetime(_SECONDS, time_unit="us", strict=False, cache=False)
    if wall_clock.has_nulls():
        wall_clock = text.str.to_datetime(_SECONDS + "%.f", time_unit="us", strict=False, cache=False)
    return wall_clock.set(~wall_clock.is_between(_FIRST, _LAST), None)


def _refuse_absent_values(
    frame: pl.DataFrame, raw: pl.DataFrame, computed: Collection[str] = (), dated_by: str | None = None
) -> None:
    """Refuse what did not become a value: an empty field, a line too short, a date that is none.

    NaN and infinity are refused too. In the columns ``computed`` all of them are welcome.
    """
    for name in frame.columns:
        if name in computed:
            continue
        column = frame[name]
        finite = column.dtype.is_float()
        if not column.has_nulls() and (not finite or math.isfinite(column.sum())):
            continue
        absent = (~column.is_finite() if finite else column.is_null()).fill_null(value=True)
        first = absent.arg_max() or 0
        value = raw[name][first]
        shown = "is empty" if value is None else f'holds "{one_line(value, 200)}", which does not parse,'
        where = _row_name(frame.row(first, named=True), dated_by)
        raise _rejected(f"column {name} {shown} in {count_of(int(absent.sum()), 'row')}, the first of {where}")


def _row_name(row: Mapping[str, Any], dated_by: str | None) -> str:
    """Write the contract and time of a row, as far as they are there."""
    contract = [row[name] for name in CONTRACT]
    known = " ".join(str(value) for value in contract if value is not None) or "no contract"
    name = known if None in contract else contract_name(*contract)
    return name if dated_by is None else f"{name} at {clock(row[dated_by])} New York"


def _rejected(reason: str) -> DayEnded:
    return DayEnded(Rejected(f"{reason}; {_NEXT}"))
