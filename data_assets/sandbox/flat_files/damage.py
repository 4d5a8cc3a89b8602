"""What a fault does to a flat file: to its rows, or to its bytes.

Here: rows in and rows out, bytes in and bytes out. Not here: which file is struck (`flat_files`), and faults of the
bucket's answers (`flat_files.bucket`).
"""

from __future__ import annotations

import gzip
import zlib
from datetime import date, timedelta

import polars as pl

from data_assets.sandbox.flat_files.faults import FlatFileFault
from data_assets.sandbox.flat_files.rows import NANOSECONDS_PER_MINUTE
from data_assets.sandbox.market.market import minute_of_day
from data_assets.trading_calendar import session

_ELEVEN, _NOON = 11 * 60, 12 * 60
_ONE_IN = 200
_DAY = timedelta(days=1) // timedelta(minutes=1) * NANOSECONDS_PER_MINUTE
_PADDING = 512
_NIGHT = (-4 * 60, -4 * 60 + 1, -1, 0, 60, 4 * 60 - 1)
"""Minutes after midnight in New York, those of the evening before below zero."""

_BLOCK_ROWS = 10_000
_TRAILER = 8  # CRC-32 and length, four bytes each (RFC 1952)


def damaged_rows(frame: pl.DataFrame, fault: FlatFileFault, day: date) -> pl.DataFrame:
    """``frame``, a file's rows, with ``fault`` in it; unchanged where the fault is none of rows."""
    start = pl.col("window_start")
    match fault.kind:
        case "wrong_date":
            return frame.with_columns(start + _DAY)
        case "duplicate_rows":
            return _again(frame, frame.gather_every(_ONE_IN))
        case "conflicting_rows":
            return _again(frame, frame.gather_every(_ONE_IN).with_columns(pl.col("volume") + 1))
        case "night_session":
            rank = pl.int_range(pl.len()).over("ticker")
            night = frame.filter(rank < len(_NIGHT)).with_columns(window_start=rank.filter(rank < len(_NIGHT)))
            minutes = {place: _moment(day, minute) for place, minute in enumerate(_NIGHT)}
            return _again(frame, night.with_columns(pl.col("window_start").replace_strict(minutes)))
        case "split_blocks":
            morning = start < _moment(day, _NOON)
            return pl.concat([frame.filter(morning), frame.filter(~morning)])
        case "hole":
            gone = start.is_between(_moment(day, _ELEVEN), _moment(day, _ELEVEN + fault.minutes), closed="left")
            return frame.filter(~gone)
        case "high_spike":
            struck = (pl.col("ticker") == fault.ticker) & (start == _moment(day, _NOON))
            return frame.with_columns(high=pl.when(struck).then(pl.col("high") * 10).otherwise("high"))
        case "stops_at_noon":
            return frame.filter(start < _moment(day, _NOON))
        case "absent_ticker":
            return frame.filter(pl.col("ticker") != fault.ticker)
        case "few_tickers":
            tickers = frame["ticker"].unique(maintain_order=True)
            kept = [fault.ticker, *tickers.head(int(fault.share * len(tickers)))]
            return frame.filter(pl.col("ticker").is_in(kept))
        case "renamed_volume":
            return frame.rename({"volume": "size"})
        case "missing_transactions":
            return frame.drop("transactions")
    return frame


def damaged_text(text: bytes, fault: FlatFileFault) -> bytes:
    """``text``, a file's CSV, with ``fault`` in it; unchanged where the fault is none of text."""
    match fault.kind:
        case "byte_order_mark":
            return b"\xef\xbb\xbf" + text
        case "blank_last_line":
            return text + b"\n"
        case "no_last_line_end":
            return text.removesuffix(b"\n")
        case "odd_counts":
            header, first, *others = text.removesuffix(b"\n").split(b"\n")
            rest, _, count = others[-1].rpartition(b",")
            return b"\n".join((header, first + b".000000", *others[:-1], rest + b",%e" % int(count), b""))
    return text


def damaged_file(body: bytes, fault: FlatFileFault) -> bytes:
    """``body``, a gzip file, with ``fault`` in it; unchanged where the fault is none of bytes."""
    if fault.kind == "truncated_gzip":
        return body[: len(body) * 2 // 3]
    if fault.kind == "zero_padding":
        return body + bytes(_PADDING)
    if fault.kind == "gzip_bomb":
        return body + _packed_again(gzip.decompress(body).splitlines(keepends=True)[-1], fault.rows)
    if fault.kind == "wrong_crc":
        return body[:-_TRAILER] + bytes(byte ^ 0xFF for byte in body[-_TRAILER:-4]) + body[-4:]
    return body


def _packed_again(row: bytes, times: int) -> bytes:
    """A member of a gzip file that holds a row so many times; never all of them in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    blocks, rest = divmod(times, _BLOCK_ROWS)
    packed = [packer.compress(row * _BLOCK_ROWS) for _ in range(blocks)]
    return b"".join((*packed, packer.compress(row * rest), packer.flush()))


def _moment(day: date, minute: int) -> int:
    """Nanoseconds since the epoch of a minute after midnight in New York."""
    hours = session(day)
    opened = round(hours.open.timestamp()) // 60 * NANOSECONDS_PER_MINUTE
    return opened + (minute - minute_of_day(hours.open)) * NANOSECONDS_PER_MINUTE


def _again(frame: pl.DataFrame, extra: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with each row of ``extra`` behind the row of the same ticker and minute."""
    order = frame.select("ticker").unique(maintain_order=True).with_row_index("place")
    both = pl.concat([frame, extra]).join(order, on="ticker", maintain_order="left")
    return both.sort("place", "window_start", maintain_order=True).drop("place")
