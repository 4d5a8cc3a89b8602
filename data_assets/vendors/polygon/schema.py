"""The columns of minute aggregates: names, types, units and meaning, and reading a day's CSV into them.

Here: what a line of `us_stocks_sip/minute_aggs_v1` means, the stored form of a day, and what makes a file's rows
unbelievable. Not here: the bytes (``client``, ``raw_cache``), and whether a day is whole or plausible (``quality``).

Sources: the vendor's page "Flat Files: Stocks, Minute Aggregates" for the columns, and real files of 2014 to 2026 for
the text. Three styles of numbers exist (276, 619.0, 607.560000), and a day may be published again in a newer one, so
types are never taken from the date or from the first rows. Volume is fractional since 2026-02-23, when exchanges began
to report parts of shares. Tickers are text whatever they look like: NA, TRUE, NAN and INF are some, case tells them
apart, and their order in the file is not that of bytes.

What mirrors made by hand do to a text is accepted if it can mean only one thing: a byte-order mark, blank lines at the
end, counts such as 8.1e+03 or 27.000000 that are whole numbers. A last row without a line end is refused however whole
it looks: its last number may be cut, and nothing else would show it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
from isal.igzip_lib import IsalError

from data_assets.counts import count_of, count_that, part_of, verb_of
from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.lake.columns import Column
from data_assets.lake.errors import one_line
from data_assets.lake.kept import CALENDAR_DATE, TRADE_DATE
from data_assets.quality.minute_bars import PRICES
from data_assets.trading_calendar import NEW_YORK, Session
from data_assets.vendors.polygon.gzip_text import MAGIC, first_line, pieces, unpacked

SCHEMA_VERSION = 1

DatedBy = Literal["calendar_date", "trade_date"]
"""Which bars a day's file holds: those of its calendar date in New York, as all files seen so far do, or those of its
trade date, which begins at 20:00 on the evening before. US exchanges that will open at night plan to count so."""

TEST_TICKERS = frozenset(
    (
        *("ATEST", "CTEST.A", "IBOT", "MTEST", "MTEST.A", "NTEST", "NTEST.H", "NTEST.I", "PTEST.X", "PTEST.Z"),
        *("CBOA", "CBOJ", "CBOL", "CBOO", "CBOT", "CBOX", "CBOY", "CBXA", "CBXJ", "CBXL", "CBXO", "CBXY"),
        *("YYJ.TEST", "ZBZX", "ZEXIT", "ZIEXT", "ZJZZT", "ZTEST", "ZTST", "ZVZZT", "ZWZZT", "ZXIET", "ZXZZT"),
        *("ZZZTA", "ZZZTE", "ZZZTS", "ZZZTT", "ZZZTX"),
    )
)
"""The tickers with which exchanges test their systems, as seen in real files; a pattern would take ZTS and CBOE."""

COLUMNS: dict[str, Column] = {
    "ticker": Column(
        pl.String(),
        "ticker",
        "ticker as the vendor spells it, case-sensitive: BRK.A is a share class, ABRpA preferred, BMYr rights, FTVw "
        "when-issued. It is the name used on that day: renamed and recycled tickers are not followed",
    ),
    "volume": Column(pl.Float64(), "shares", "shares traded, unadjusted; fractional since 2026-02-23"),
    "open": Column(pl.Float64(), "US dollars", "first eligible price of the minute, unadjusted"),
    "close": Column(pl.Float64(), "US dollars", "last eligible price of the minute, unadjusted"),
    "high": Column(pl.Float64(), "US dollars", "highest eligible price of the minute, unadjusted"),
    "low": Column(pl.Float64(), "US dollars", "lowest eligible price of the minute, unadjusted"),
    "window_start": Column(
        pl.Datetime("us", "UTC"),
        "instant, UTC",
        "start of the minute, from 04:00 to 19:59 New York. A minute without eligible trades has no row",
    ),
    "transactions": Column(pl.Int64(), "trades", "number of eligible trades"),
    "test_ticker": Column(
        pl.Boolean(), "", "whether exchanges use the ticker to test their systems; added by data_assets"
    ),
}
SCHEMA = pl.Schema({name: column.dtype for name, column in COLUMNS.items()})
ARROW_SCHEMA: pa.Schema = SCHEMA.to_frame().to_arrow().schema
SORT_BY = ("ticker", "window_start")
PLAIN = (*PRICES, "volume")
"""Columns of many values, for which a dictionary is larger and slower than the values as they are.

Volumes byte by byte (BYTE_STREAM_SPLIT) would make a day 2 % smaller, and neither Spark 3.5's default reader nor
fastparquet reads them.
"""

_VENDOR_COLUMNS = tuple(name for name in COLUMNS if name != "test_ticker")
_READ_AS = {**SCHEMA, "window_start": pl.Int64()}
_NUMBERS = (*PRICES, "volume", "transactions")
_PER_SECOND = 1_000_000_000
_PER_MICROSECOND = 1_000
_AS_THE_VENDOR = (
    "fetch the vendor's file again, or write its names in a first line, separated by commas, and compress it again"
)
_WHOLE_NUMBERS = ("window_start", "transactions")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")
_PER_MINUTE = 60 * _PER_SECOND
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NIGHT = timedelta(hours=4)  # from 20:00 to midnight
_PADDING = "\0\x1a \t\r"
_BLANK = (pl.col("ticker").str.strip_chars(_PADDING).fill_null("") == "") & pl.all_horizontal(
    pl.exclude("ticker").is_null()
)
_TICKER_BYTES = 64  # real ones have up to 10; escaped, three times as many must fit into a folder's name of 255


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the vendor's whole file holds, before any ticker is chosen from it.

    Attributes:
        rows: rows, repeats included.
        tickers: how many tickers have one.
        last_bar: the start of the last minute that any ticker has, UTC.
        minutes_present: for each minute of the regular session, in order, how many rows (tickers) it has.
        extra_columns: columns that are not stored, in the vendor's order.
        fractional_volume: whether any volume is not a whole number of shares.
    """

    rows: int
    tickers: int
    last_bar: datetime
    minutes_present: tuple[int, ...]
    extra_columns: tuple[str, ...]
    fractional_volume: bool


@dataclass(frozen=True, slots=True)
class Day:
    """A day's file, read.

    Attributes:
        bars: the chosen tickers in the columns of ``SCHEMA``, sorted by ``SORT_BY``, each (ticker, minute) once.
        tickers: those of ``bars``, sorted, each once.
        identical_duplicates: rows left out of ``bars`` because they repeat another in every value.
        file: facts of the whole file.
    """

    bars: pl.DataFrame
    tickers: pl.Series
    identical_duplicates: int
    file: FileFacts


def first_instant(day: date, dated_by: DatedBy) -> datetime:
    """The first instant of a day's bars; the last one lies before that of the next calendar day.

    Midnight in New York, or by trade date 20:00 of the evening before.
    """
    midnight = datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
    return midnight - _NIGHT if dated_by == TRADE_DATE else midnight


def read_day(
    file: bytes, line_ends: int, hours: Session, tickers: Sequence[str] | None, dated_by: DatedBy = CALENDAR_DATE
) -> Day:
    """Read a day's CSV.

    Args:
        file: the compressed file, known to be whole.
        line_ends: how many its text has, without those of blank lines at its end.
        hours: the session of the day that the file is of.
        tickers: the tickers to keep; all if None.
        dated_by: which bars are of the day.

    Raises:
        DayEnded: ``Rejected``. The header lacks or renames a column, a value does not parse, is absent, negative or not
            finite, a ticker is too long or holds what cannot be seen, a start is no whole microsecond, rows are of
            another day, one (ticker, minute) has two different rows, or the text stops inside a line or has no row.
    """
    names = _names(first_line(file))
    sent = line_ends - 1
    if not sent:
        raise _rejected("the file has a header and no row: run this day again when it is replaced")
    try:
        rows = _read(file, names)
    except OSError:  # Polars takes no zeros behind the compressed data
        rows = _read(unpacked(file), names)
    blank = rows.slice(sent).filter(pl.all_horizontal(pl.all().is_null())).height
    if rows.height == sent + blank:
        rows = rows.head(sent)
    elif rows.height == sent + 1:
        raise _rejected(_why_unended(unpacked(file), sent, len(names)))
    if rows.height != sent:
        raise _wrong_value(f"{count_that(sent, 'line', 'read')} as {count_of(rows.height, 'row')}")
    _refuse_values(rows)
    _refuse_other_days(rows["window_start"], hours.day, dated_by)
    facts = _facts(rows, _stretches(rows)["ticker"], hours, names)
    if tickers is not None:
        rows = rows.filter(pl.col("ticker").is_in(list(tickers)))
    bars, repeated = _unique(_sorted(rows))
    chosen = _stretches(bars)["ticker"]
    return Day(_stored(bars, chosen), chosen, repeated, facts)


def read_in_runs(
    file: bytes,
    line_ends: int,
    hours: Session,
    write: Callable[[pl.DataFrame], None],
    dated_by: DatedBy = CALENDAR_DATE,
) -> Day | None:
    """Read a day's CSV, all tickers, and pass it on while it is decompressed, so that writing begins before its end.

    In the vendor's files the tickers with the same first letter are together, and the letters are in order. So when the
    letter changes, the rows before it can be sorted and written as one run.

    Args:
        file: the compressed file, known to be whole.
        line_ends: how many its text has, without those of blank lines at its end.
        hours: the session of the day that the file is of.
        write: takes the runs, in the order of ``SORT_BY``, in the columns of ``SCHEMA``.
        dated_by: which bars are of the day.

    Returns:
        What `read_day` returns; None, whatever has been written, if the file is not in that order or anything in it is
        odd: `read_day` then accepts it or says what is wrong.
    """
    runs: list[pl.DataFrame] = []
    tickers: list[pl.Series] = []
    facts: list[FileFacts] = []
    try:
        header = first_line(file)
        names = _names(header)
        for rows in _by_letter(_parsed(pieces(file, header), names)):
            _refuse_values(rows)
            _refuse_other_days(rows["window_start"], hours.day, dated_by)
            run, repeated = _unique(_sorted(rows))
            if repeated or (runs and run["ticker"][0][0] <= runs[-1]["ticker"][-1][0]):
                return None
            tickers.append(_stretches(run)["ticker"])
            facts.append(_facts(run, tickers[-1], hours, names))
            runs.append(_stored(run, tickers[-1]))
            write(runs[-1])
    except (DayEnded, IsalError):  # type: ignore[misc]  # ISA-L takes a few gzip headers amiss that zlib takes
        return None
    if not facts or sum(each.rows for each in facts) != line_ends - 1:
        return None
    bars = pl.concat(runs)
    if not all(bars.select(pl.selectors.float().sum().is_finite()).row(0)):  # though those of each run were
        return None
    return Day(bars, pl.concat(tickers), 0, _together(facts))


def _parsed(texts: Iterator[bytes], names: list[str]) -> Iterator[pl.DataFrame]:
    """The rows of each text; the next one is read while they are used."""

    def read_next() -> pl.DataFrame | None:
        text = next(texts, None)
        return None if text is None else _read(text, names)

    with ThreadPoolExecutor(1, "read-csv") as pool:
        following = pool.submit(read_next)
        while (rows := following.result()) is not None:
            following = pool.submit(read_next)
            yield rows


def _by_letter(parsed: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows, cut where the first letter of the ticker changes, one or more letters at a time."""
    begun: list[pl.DataFrame] = []
    for rows in parsed:
        if rows.is_empty():  # of the header alone
            continue
        others = (~rows["ticker"].str.starts_with((rows["ticker"][-1] or "")[:1])).arg_true()
        end = int(others[-1]) + 1 if len(others) else 0
        begun.append(rows.head(end))
        if end:
            yield pl.concat(begun)
            begun = []
        begun.append(rows.slice(end))
    if begun:
        yield pl.concat(begun)


def _names(header: bytes) -> list[str]:
    if header.startswith(_UTF_16):
        raise _rejected("the text is UTF-16: save it as UTF-8, as the vendor does, and compress it again")
    if header.startswith(MAGIC):
        raise _rejected("the text inside is a gzip file itself: it was compressed twice, decompress it once")
    line = header.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    if not line:
        raise _rejected(f"the text begins with a line that is empty, or too long: {_AS_THE_VENDOR}")
    if not line.replace("\t", "").isprintable() or "\ufffd" in line:
        raise _rejected(f"what is compressed is no text (it begins with {header[:8].hex(' ')}): fetch the day again")
    names = line.split(",")
    missing = [name for name in _VENDOR_COLUMNS if name not in names]
    if missing or len(set(names)) != len(names):
        if line.startswith('"'):
            raise _rejected(
                f"the header's names stand in quotes, and the vendor's do not: write the text without quotes, and "
                f"compress it again: got {one_line(line, 200)}"
            )
        what = f"lacks {', '.join(missing)}" if missing else "names a column twice"
        raise _rejected(
            f"the header {what}: got {one_line(line, 200)}, expected {','.join(_VENDOR_COLUMNS)}; {_AS_THE_VENDOR}"
        )
    return names


def _read(text: bytes, names: list[str]) -> pl.DataFrame:
    """The vendor's columns in the stored order; the start still in nanoseconds.

    The text may be compressed: Polars decompresses while it parses. So what is not must begin with the header: what
    Polars sees in the first bytes of anything else, such as a ticker that looks like a format's mark, nobody knows.
    """
    read_as: dict[str, pl.DataType] = {name: _READ_AS.get(name, pl.String()) for name in names}
    try:
        return _read_as(text, read_as)
    except pl.exceptions.PolarsError as error:
        if _cell_in(str(error))[0] not in _WHOLE_NUMBERS:
            raise _wrong_value(_why_unreadable(str(error), len(names))) from None
    # Slowly, now that it is known that a count is spelt in a way of its own.
    try:
        rows = _read_as(text, read_as | dict.fromkeys(_WHOLE_NUMBERS, pl.String()))
    except pl.exceptions.PolarsError as error:
        raise _wrong_value(_why_unreadable(str(error), len(names))) from None
    return rows.with_columns(*(_whole_numbers(rows[name]) for name in _WHOLE_NUMBERS))


def _read_as(text: bytes, types: dict[str, pl.DataType]) -> pl.DataFrame:
    # A quote is a character like any other here: with it as a mark, a lone one would swallow the lines behind it.
    return pl.read_csv(text, schema=types, quote_char=None).select(_VENDOR_COLUMNS)


def _whole_numbers(cells: pl.Series) -> pl.Series:
    """The numbers that texts stand for, exactly; an absent text stays absent."""
    numbers = cells.cast(pl.Int64(), strict=False)
    odd = cells.filter(numbers.is_null() & cells.is_not_null()).unique(maintain_order=True)
    exact = {cell: _whole_number(cells.name, cell) for cell in odd}
    if not exact:
        return numbers
    return numbers.fill_null(cells.replace_strict(exact, default=None, return_dtype=pl.Int64()))


def _whole_number(column: str, cell: str) -> int:
    shown = one_line(cell, 200)
    if not _NUMBER.fullmatch(cell):
        raise _wrong_value(f'column {column} holds "{shown}", which does not parse')
    number = Decimal(cell)
    if number != number.to_integral_value() or number >= 1 << 63:
        raise _wrong_value(f'column {column} holds "{shown}": it must be a whole number of at most 63 bits')
    if column == "window_start" and int(number) % _PER_MINUTE:
        raise _wrong_value(f'column {column} holds "{shown}", which was rounded on its way: no minute starts there')
    return int(number)


def _cell_in(error: str) -> tuple[str, str]:
    """The column and the text of the cell that an error of Polars quotes; nothing where it quotes none."""
    found = re.match(r"could not parse `(.*?)` as dtype `[^`]*` at column '([^']*)'", error, re.DOTALL)
    return (found[2], found[1]) if found else ("", "")


def _why_unended(text: bytes, whole: int, fields: int) -> str:
    last = text.rpartition(b"\n")[2].decode("utf-8", errors="replace")
    if not last.strip(_PADDING):
        return (
            f"{count_of(len(last), 'character')} that nobody sees, such as zeros or blanks, "
            f"{verb_of(len(last), 'follow')} "
            f"the last of {count_of(whole, 'line')}: "
            "remove them, and compress it again"
        )
    shown = one_line(last, 200)
    if last.count(",") + 1 != fields:
        return f"the text stops inside a line, after {whole:,} whole ones: {shown}"
    return (
        f"the text stops inside a line, after {whole:,} whole ones, or only lacks its last line end: {shown} has all "
        f"{fields} fields, and whether its last number is whole cannot be told; if it is, end the text with a line end "
        "and compress it again"
    )


def _why_unreadable(error: str, fields: int) -> str:
    column, cell = _cell_in(error)
    if column:
        return f'column {column} holds "{one_line(cell, 200)}", which does not parse'
    if "column names" in error or "fields" in error:
        return f"a line does not have the header's {fields} fields"
    return f"the lines do not parse: {one_line(error, 200)}"


def _refuse_values(rows: pl.DataFrame) -> None:
    """Refuse what is absent, not finite, negative, no whole microsecond, or too long to be a ticker."""
    for name in rows.columns:
        column = rows[name]
        if column.has_nulls():
            if blank := rows.filter(_BLANK).height:
                raise _rejected(f"{count_that(blank, 'line', 'are')} blank: remove them, and compress it again")
            raise _wrong_value(
                f"column {name} is empty in {count_of(column.null_count(), 'row')}, or the lines are too short"
            )
        if name in _NUMBERS:
            lowest, total = column.min(), column.sum()
            assert isinstance(lowest, int | float)
            assert isinstance(total, int | float)
            if lowest < 0 or not math.isfinite(total):
                wrong = column.filter((column < 0) | ~column.is_finite())
                if wrong.is_empty():
                    raise _wrong_value(f"column {name} holds {column.max()!r}, and its sum exceeds every number")
                raise _wrong_value(
                    f"column {name} holds {wrong[0]} in {count_of(len(wrong), 'row')}: it must be a number from 0 up"
                )
    longest = rows["ticker"].str.len_bytes().max()
    assert isinstance(longest, int)
    if longest > _TICKER_BYTES:
        raise _wrong_value(f"column ticker holds a text of {longest:,} bytes: no ticker has more than {_TICKER_BYTES}")
    starts = rows["window_start"]
    odd = starts.filter(starts % _PER_MICROSECOND != 0)
    if len(odd):
        raise _wrong_value(
            f"column window_start holds {odd[0]} in {count_of(len(odd), 'row')}: no whole number of microseconds"
        )


def _refuse_other_days(starts: pl.Series, day: date, dated_by: DatedBy) -> None:
    first, end = (_nanoseconds(first_instant(each, dated_by)) for each in (day, day + timedelta(days=1)))
    others = starts.filter((starts < first) | (starts >= end))
    if len(others):
        raise _rejected(_why_other_days(starts, others, first, end, day, dated_by))


def _why_other_days(starts: pl.Series, others: pl.Series, first: int, end: int, day: date, dated_by: DatedBy) -> str:
    """Tell a file that dates its bars otherwise, by some of an evening, from one of another day."""
    night = _NIGHT // timedelta(seconds=1) * _PER_SECOND
    counted = part_of(len(others), len(starts), "row", "are")
    oldest, newest = starts.min(), starts.max()
    assert isinstance(oldest, int)
    assert isinstance(newest, int)
    # A file with bars of both evenings fits neither way of dating: each would advise the other one.
    some = len(others) < len(starts) and newest - oldest < end - first
    if some and dated_by == CALENDAR_DATE and others.is_between(first - night, first, closed="left").all():
        return (
            f"{counted} of the evening before {day}, from 20:00 New York on, as in a file that dates bars by "
            "trade date, but this dataset's are dated by calendar date; if the vendor dates them so now, set "
            f"dated_by: {TRADE_DATE} in its defs.yaml, and run this day again"
        )
    if some and dated_by == TRADE_DATE and others.is_between(end, end + night, closed="left").all():
        return (
            f"{counted} of the evening of {day}, from 20:00 New York on, as in a file that dates bars by "
            "calendar date, but this dataset's are dated by trade date; take dated_by: "
            f"{TRADE_DATE} out of its defs.yaml, and run this day again"
        )
    found = pl.from_epoch(others.head(1) // _PER_MICROSECOND, "us").dt.replace_time_zone("UTC")
    other = found.dt.convert_time_zone(NEW_YORK.key).dt.date()[0]
    return (
        f"{counted} of {other} in New York, and the file is that of {day}; "
        "the vendor has published such files: nothing of it is stored, run this day again when it is replaced"
    )


def _refuse_tickers(tickers: pl.Series) -> None:
    """Refuse what would be no name: of a folder, in a table, on a screen."""
    odd = tickers.filter(tickers.str.contains(r"[\p{Cc}\p{Cf}\p{Z}]"))
    if len(odd):
        raise _wrong_value(f"column ticker holds {odd[0]!r}: no ticker has a space or a character that cannot be seen")


def _facts(rows: pl.DataFrame, tickers: pl.Series, hours: Session, names: list[str]) -> FileFacts:
    _refuse_tickers(tickers)
    last = rows["window_start"].max()
    assert isinstance(last, int)
    minutes = (rows["window_start"].to_numpy() - _nanoseconds(hours.open)) // (60 * _PER_SECOND)
    regular = minutes[(minutes >= 0) & (minutes < hours.minutes)]
    volume = rows["volume"]
    return FileFacts(
        rows=rows.height,
        tickers=tickers.n_unique(),
        last_bar=datetime.fromtimestamp(last // _PER_SECOND, UTC),
        minutes_present=tuple(np.bincount(regular, minlength=hours.minutes).tolist()),
        extra_columns=tuple(name for name in names if name not in _VENDOR_COLUMNS),
        fractional_volume=bool((volume != volume.floor()).any()),
    )


def _together(facts: Sequence[FileFacts]) -> FileFacts:
    """The facts of runs that share no ticker, as those of the whole."""
    return FileFacts(
        rows=sum(each.rows for each in facts),
        tickers=sum(each.tickers for each in facts),
        last_bar=max(each.last_bar for each in facts),
        minutes_present=tuple(np.sum([each.minutes_present for each in facts], axis=0).tolist()),
        extra_columns=facts[0].extra_columns,
        fractional_volume=any(each.fractional_volume for each in facts),
    )


def _sorted(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted by ticker and start; ties stay in the order of the file.

    The vendor's files hold one stretch of rows per ticker, in order of time, and nearly all of those in order: then
    putting a few pieces in order is enough, and much cheaper. Nothing relies on it.
    """
    if rows.is_empty():
        return rows
    stretches = _stretches(rows)
    forward = rows["window_start"] >= rows["window_start"].shift(1)
    forward = forward.scatter(stretches["start"], values=True)
    if not (stretches["ticker"].is_unique().all() and forward.all()):
        return rows.sort(SORT_BY, maintain_order=True)
    in_order = stretches.sort("ticker")
    jumps = (in_order["start"] != in_order["end"].shift(1)).fill_null(value=True)
    starts, ends = in_order["start"].filter(jumps), in_order["end"].filter(jumps.shift(-1, fill_value=True))
    return pl.concat([rows.slice(start, end - start) for start, end in zip(starts, ends, strict=True)], rechunk=True)


def _stretches(rows: pl.DataFrame) -> pl.DataFrame:
    """Each stretch of rows of one ticker, in the order of ``rows``: the ticker, its first row and the one behind it."""
    lengths = rows["ticker"].rle().struct.unnest()
    end = lengths["len"].cum_sum().cast(pl.Int64)
    return pl.DataFrame({"ticker": lengths["value"], "start": end - lengths["len"], "end": end})


def _unique(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Sorted rows without those that repeat the one before, and how many did.

    Two rows of one ticker and minute that differ cannot both be true: the day is refused.
    """
    starts, tickers = rows["window_start"], rows["ticker"]
    again = (starts == starts.shift(1)).arg_true()
    again = again.filter(tickers.gather(again) == tickers.gather(again - 1))
    if again.is_empty():
        return rows, 0
    both = rows[pl.concat([again - 1, again])]
    differing = both.unique().group_by(SORT_BY).len().filter(pl.col("len") > 1).sort(SORT_BY)
    if differing.height:
        ticker, start, _ = differing.row(0)
        instant = datetime.fromtimestamp(start // _PER_SECOND, NEW_YORK)
        raise _rejected(
            f"{count_that(differing.height, 'minute', 'have')} rows of a ticker that differ, such as {ticker} at "
            f"{instant:%H:%M} New York: which of them is true cannot be told; nothing of the file is stored, run this "
            "day again when it is replaced"
        )
    return rows.unique(SORT_BY, keep="first", maintain_order=True), len(again)


def _stored(rows: pl.DataFrame, tickers: pl.Series) -> pl.DataFrame:
    start = pl.from_epoch(pl.col("window_start") // _PER_MICROSECOND, "us").dt.replace_time_zone("UTC")
    tests = TEST_TICKERS.intersection(tickers)
    test_ticker = pl.col("ticker").is_in(sorted(tests)) if tests else pl.lit(value=False)
    return rows.with_columns(start, test_ticker=test_ticker).select(SCHEMA.names())


def _nanoseconds(instant: datetime) -> int:
    return round(instant.timestamp()) * _PER_SECOND


def _wrong_value(reason: str) -> DayEnded:
    return _rejected(f"{reason}; nothing of the file is stored, run this day again when it is replaced")


def _rejected(reason: str) -> DayEnded:
    return DayEnded(Rejected(reason))
