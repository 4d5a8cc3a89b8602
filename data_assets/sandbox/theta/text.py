"""Theta's CSV, letter by letter, in each of the spellings that are known of the terminal.

Here: how a frame is spelled. Not here: what is in it.

Sources disagree on the terminal's text: the v3 OpenAPI examples have bare strings, CRLF and no fraction of a second; a
live capture of 2026-08-02 has quoted strings, LF and ``.000``. So each of the three is a choice of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import polars as pl

_GREEKS = ("delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error")
_DECIMALS = {
    "strike": 3,
    **dict.fromkeys(("bid", "ask", "open", "high", "low", "close", "underlying_price"), 2),
    **dict.fromkeys(_GREEKS, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvText:
    """How rows are spelled.

    Attributes:
        quoted: whether symbols, dates and rights stand in double quotes; timestamps never do.
        line_end: what ends each line, the last one included.
        fraction: how a whole second ends: in nothing, or in ``.000``. Beside the former, other fractions have no zeros
            at their end either.
    """

    quoted: bool = False
    line_end: Literal["\r\n", "\n"] = "\r\n"
    fraction: Literal["none", ".000"] = "none"

    def header(self, columns: Sequence[str]) -> bytes:
        """The first line."""
        return (",".join(columns) + self.line_end).encode()

    def rows(self, frame: pl.DataFrame) -> bytes:
        """The lines of ``frame``: prices with two decimals, strikes with three, greeks with four, wall-clock times."""
        spelled = frame.select(self._spelled(frame[name]) for name in frame.columns)
        text = BytesIO()
        spelled.write_csv(text, include_header=False, quote_style="never", line_terminator=self.line_end)
        return text.getvalue()

    def _spelled(self, column: pl.Series) -> pl.Series:
        if column.dtype == pl.Datetime:
            return _each_value_once(column, self._instants)
        if column.dtype == pl.Date:
            return self._text(_each_value_once(column, lambda dates: dates.dt.strftime("%Y-%m-%d")))
        if column.dtype in (pl.String, pl.Enum):
            return self._text(column.cast(pl.String))
        if column.name in _DECIMALS:
            return column.cast(pl.Decimal(12, _DECIMALS[column.name]))
        return column

    def _instants(self, instants: pl.Series) -> pl.Series:
        text = instants.dt.strftime("%Y-%m-%dT%H:%M:%S%.3f")
        return text if self.fraction == ".000" else text.str.strip_chars_end("0").str.strip_suffix(".")

    def _text(self, column: pl.Series) -> pl.Series:
        return ('"' + column + '"').alias(column.name) if self.quoted else column


def _each_value_once(column: pl.Series, spelled: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Spell dates and times by way of their few distinct values, which is five times as fast."""
    values = column.unique()
    return column.replace_strict(values, spelled(values), return_dtype=pl.String)
