"""Lines of Theta's CSV that are spelled as nearly all are, read by compiled code in a third of a general parser's time.

Here: which fields are taken, and the table they become. Not here: lines of any other spelling, and what is wrong with
them (``schema`` reads those, with Polars); the loop over the bytes (``strict_lines.c``).

A field is taken if it is spelled in the one way of its kind, as in every known capture: the symbol and the right in
capitals; dates and times as YYYY-MM-DD and YYYY-MM-DDTHH:MM:SS with up to six digits of a fraction, times of the day
that was asked for alone; these four with or without double quotes; numbers as digits, with a point or none, and
without an exponent. What the vendor's model computes may be NaN. Each number becomes the double nearest to it. At the
first field that is not like this, a block is declined as a whole. Nothing is refused here: whoever calls must be able
to read the block in another way, to the same values.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pyarrow as pa

from data_assets.column_memory import NewColumns
from data_assets.compiled import functions

_SKIPPED, _SYMBOL, _RIGHT, _DATE, _INSTANT, _PRICE, _MODEL, _LONG, _SHORT = range(9)  # as in the C file

_OF_TYPE: Mapping[pl.DataType, int] = {
    pl.Date(): _DATE,
    pl.Datetime("us", "UTC"): _INSTANT,
    pl.Float64(): _PRICE,
    pl.Int64(): _LONG,
    pl.Int16(): _SHORT,
}


class _Column(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("values", ctypes.c_void_p))


class _Asked(ctypes.Structure):
    _fields_ = (
        ("symbol", ctypes.c_char_p),
        ("symbol_length", ctypes.c_int64),
        ("day", ctypes.c_char_p),
        ("midnight", ctypes.c_int64),
    )


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    found.count_lines.argtypes = (ctypes.c_void_p, ctypes.c_int64)
    found.count_lines.restype = ctypes.c_int64
    found.read_lines.argtypes = (
        *(ctypes.c_void_p, ctypes.c_int64),
        *(ctypes.POINTER(_Column), ctypes.c_int32, ctypes.c_int64),
        ctypes.POINTER(_Asked),
    )
    found.read_lines.restype = ctypes.c_int32
    return found


_FUNCTIONS = functions(__file__, _declared)


def is_compiled() -> bool:
    """Whether the compiled code is there; without it every block is declined."""
    return _FUNCTIONS is not None


class StrictLines:
    """Reads blocks of whole lines of one body; safe to call from several threads."""

    def __init__(
        self,
        names: Sequence[str],
        columns: pl.Schema,
        *,
        symbol: str,
        day: date,
        offset: timedelta,
        computed: Collection[str] = (),
    ) -> None:
        """Learn the body's columns.

        Args:
            names: of the fields of a line, in their order.
            columns: what the rows become, in this order, each of them in ``names``; a column of text is the symbol, an
                enum of two is the right, and other fields are not stored.
            symbol: what stands in the symbol's field of each line.
            day: the New York date of all times.
            offset: of that day's clock from UTC.
            computed: the columns that may hold NaN.
        """
        self._names, self._columns, self._symbol = names, columns, symbol
        self._fields = [_field(columns.get(name), name in computed) for name in names]
        midnight = datetime.combine(day, time(), UTC) - offset
        self._asked = _Asked(
            symbol.encode(),
            len(symbol.encode()),
            f"{day}T".encode(),
            (midnight - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1),
        )
        # Of other symbols the text would have to be quoted, or could be read in two ways.
        self._functions = _FUNCTIONS if symbol.isascii() and symbol.isalnum() else None

    def read(self, *pieces: bytes | memoryview) -> pl.DataFrame | None:
        """Read pieces of whole lines into ``columns``, in the order they came, each value as it is written.

        Returns:
            None if they are declined, all of them.
        """
        if self._functions is None:
            return None
        texts = [pa.py_buffer(piece) for piece in pieces if len(piece)]  # where they lie, without a copy
        counts = [self._functions.count_lines(text.address, text.size) for text in texts]
        rows = sum(counts)
        read = NewColumns(self._columns, rows)
        fields = (_Column * len(self._fields))(
            *(_Column(kind, read.addresses.get(name)) for name, kind in zip(self._names, self._fields, strict=True))
        )
        stored = [(field, read.widths[name]) for name, field in zip(self._names, fields, strict=True) if field.values]
        asked = ctypes.byref(self._asked)
        for text, count in zip(texts, counts, strict=True):
            if not self._functions.read_lines(text.address, text.size, fields, len(fields), count, asked):
                return None
            for field, width in stored:
                field.values += count * width  # the next piece's rows follow
        columns = read.written()
        return pl.DataFrame(
            {
                name: columns[name] if name in columns else pl.repeat(self._symbol, rows, eager=True)
                for name in self._columns
            }
        )


def _field(wanted: pl.DataType | None, computed: bool) -> int:
    if wanted is None:
        return _SKIPPED
    if isinstance(wanted, pl.String):
        return _SYMBOL
    if isinstance(wanted, pl.Enum):
        return _RIGHT
    kind = _OF_TYPE[wanted]
    return _MODEL if computed else kind
