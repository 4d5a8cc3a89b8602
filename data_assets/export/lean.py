"""LEAN's data folder: minutes of stocks as trade bars, minutes of option quotes, one zip a day.

The layout, from LEAN's own `Data/equity/readme.md`, `Data/option/readme.md` and sample files:

- ``equity/usa/minute/spy/20240102_trade.zip`` holds ``20240102_spy_minute_trade.csv``: milliseconds since midnight in
  New York of the start of the minute, open, high, low, close in ten-thousandths of a dollar, volume; no header.
- ``option/usa/minute/qqq/20240102_quote_american.zip`` holds a file for each contract,
  ``20240102_qqq_minute_quote_american_call_4000000_20240119.csv``: the time, open, high, low, close and last size of
  the bid, then those of the ask. A side without a quote is empty, with the size 0. Options on an index are European,
  lie below ``indexoption``, and SPX and SPXW each in a folder of their own.

What is assumed: the lake has a quote at an instant T and not the minute's course. It is taken for the close of the
minute before it, which starts at T - 1 minute, and for its open, high and low too. So a backtest sees at T what was
quoted at T. The vendor's row of the opening, which has no quote on either side, has no bar.

Map and factor files say that nothing is adjusted: one name throughout, factors of 1. They are only written where there
are none: those of a data folder that has its own know more.

Here: the texts and zips. Not here: which days may be exported (`days`).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO

import polars as pl

from data_assets.export.exporting import WrittenDay, remove_former
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.frame import PRICES, TIME, BarShape, bar_frame
from data_assets.export.months import notes_on_bars
from data_assets.export.stored_rows import (
    INDEX_ROOTS,
    NO_NUMBER,
    quotes_of_day,
    rounded_values,
    that_are_numbers,
    usable_bars,
)
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import NEW_YORK

DIGITS = 4
"""LEAN's prices are whole ten-thousandths of a dollar."""

SCALE = 10**DIGITS

AMERICAN_INDEX_ROOTS = frozenset({"OEX"})

FIRST_DATE, LAST_DATE = "19980102", "20501231"
"""What LEAN's own map files begin and end with."""

NO_QUOTE = "no quote on either side"
_MINUTE = 60_000


@dataclass(frozen=True)
class LeanTrades:
    """Bars of one stock as LEAN's trade bars, extended hours included; implements ``Exporter``.

    Attributes:
        dataset: whose bars.
        ticker: whose.
        hours: ``extended`` or ``regular``.
    """

    dataset: str
    ticker: str
    hours: Any = "extended"
    engine: str = "lean"

    @property
    def options(self) -> Mapping[str, Any]:
        """See ``Exporter``."""
        return {"hours": self.hours, "label": "start", "zone": NEW_YORK.key}

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Exporter``."""
        return (*notes_on_bars(self.dataset), "map and factor files are of one name and no adjustment")

    def unit(self, day: date) -> str:
        """See ``Exporter``: the day itself."""
        return day.isoformat()

    def write(
        self, lake: Lake, days: Sequence[date], without: Sequence[date], folder: ExportFolder
    ) -> dict[date, WrittenDay]:
        """See ``Exporter``."""
        name = self.ticker.lower()
        for day in without:
            folder.remove(f"equity/usa/minute/{name}/{day:%Y%m%d}_trade.zip")
        for kind, text in (
            ("map", f"{FIRST_DATE},{name}\n{LAST_DATE},{name}\n"),
            ("factor", f"{FIRST_DATE},1,1,1\n{LAST_DATE},1,1,0\n"),
        ):
            path = f"equity/usa/{kind}_files/{name}.csv"
            folder.put(path, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
        return {day: self._write_day(lake, day, folder) for day in days}

    def _write_day(self, lake: Lake, day: date, folder: ExportFolder) -> WrittenDay:
        of_day = bar_frame(lake, self.ticker, day, day, BarShape(hours=self.hours), dataset=self.dataset)
        # LEAN takes milliseconds since midnight for those of this day.
        bars, left_out = usable_bars(day, of_day, {**dict.fromkeys(PRICES, DIGITS), "volume": 0})
        name = self.ticker.lower()
        path = f"equity/usa/minute/{name}/{day:%Y%m%d}_trade.zip"
        if bars.is_empty():
            folder.remove(path)
            return WrittenDay(0, (), left_out=left_out)
        text = trade_lines(bars)
        folder.replace(path, lambda file: _zip(file, [(f"{day:%Y%m%d}_{name}_minute_trade.csv", text)]))
        rounded = rounded_values(bars, dict.fromkeys(PRICES, DIGITS))
        return WrittenDay(bars.height, (path,), rounded, left_out)


@dataclass(frozen=True)
class LeanQuotes:
    """A day's option quotes as LEAN's quote bars, one zip for each root; implements ``Exporter``.

    Attributes:
        dataset: whose quotes.
    """

    dataset: str
    engine: str = "lean"
    ticker: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """See ``Exporter``."""
        return {"label": "start", "zone": NEW_YORK.key, "quote": "close of the minute before its instant"}

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Exporter``."""
        return (
            "a quote at T is the bar that starts at T - 1 minute, with its open, high and low equal to its close: an "
            "assumption, since the lake has no course within the minute",
        )

    def unit(self, day: date) -> str:
        """See ``Exporter``: the day itself."""
        return day.isoformat()

    def write(
        self, lake: Lake, days: Sequence[date], without: Sequence[date], folder: ExportFolder
    ) -> dict[date, WrittenDay]:
        """See ``Exporter``."""
        written = {day: self._write_day(lake, day, folder) for day in days}
        remove_former(folder, folder.manifest(self.engine, self.dataset, None), (*days, *without), written)
        return written

    def _write_day(self, lake: Lake, day: date, folder: ExportFolder) -> WrittenDay:
        """An expiration at a time: a busy day of an index is a gigabyte of text."""
        rows = quotes_of_day(lake, self.dataset, day)
        parts = rows.select("symbol", "expiration").unique().collect().sort("symbol", "expiration")
        total, left_out, no_numbers = 0, 0, 0
        rounded = dict.fromkeys(("bid", "ask"), 0)
        files = []
        for (root,), expirations in parts.group_by("symbol", maintain_order=True):
            path = quote_zip(str(root), day)

            def entries(root: object = root, expirations: pl.DataFrame = expirations) -> Iterator[tuple[str, str]]:
                nonlocal total, left_out, no_numbers
                for expiration in expirations["expiration"]:
                    of_both = (pl.col("symbol") == root) & (pl.col("expiration") == expiration)
                    of_expiration = rows.filter(of_both).collect()
                    quotes = that_are_numbers(of_expiration, {"bid": DIGITS, "ask": DIGITS})
                    no_numbers += of_expiration.height - quotes.height
                    quoted = quotes.filter((pl.col("bid") > 0) | (pl.col("ask") > 0))
                    total += quoted.height
                    left_out += quotes.height - quoted.height
                    for column, count in rounded_values(quoted, {"bid": DIGITS, "ask": DIGITS}).items():
                        rounded[column] += count
                    yield from quote_entries(quoted, str(root), day)

            folder.replace(path, lambda file, entries=entries: _zip(file, entries()))  # type: ignore[misc]
            files.append(path)
        return WrittenDay(total, tuple(files), rounded, {NO_QUOTE: left_out, NO_NUMBER: no_numbers})


def trade_lines(bars: pl.DataFrame) -> str:
    """The lines of a day's bars; whole volumes are written without a fraction, others with theirs.

    Args:
        bars: as of `frame.bar_frame`, labelled by starts, oldest first.
    """
    columns = [_milliseconds(pl.col(TIME)), *(_scaled(price) for price in PRICES), _number("volume")]
    return _lines(bars.select(pl.concat_str(columns, separator=",")).to_series())


def quote_entries(quotes: pl.DataFrame, root: str, day: date) -> Iterator[tuple[str, str]]:
    """The name and the lines of each contract's file.

    Args:
        quotes: of one root, as in the lake; rows without a quote on either side are left out already.
        root: the option root.
        day: the day.

    Raises:
        ExportRefused: a strike has more than four decimals, so that its file would have the name of another.
    """
    if rounded_values(quotes, {"strike": DIGITS})["strike"]:
        raise ExportRefused(
            f"{root} on {day}: a strike has more than four decimals, which LEAN's file names do not hold"
        )
    columns = [_milliseconds(pl.col(TIME)) - _MINUTE]
    for side in ("bid", "ask"):
        price = pl.when(pl.col(side) > 0).then(_scaled(side)).otherwise(pl.lit(""))
        columns += [price, price, price, price, pl.when(pl.col(side) > 0).then(pl.col(f"{side}_size")).otherwise(0)]
    keys = ["expiration", "strike", "right"]
    lines = (
        quotes.sort(*keys, TIME)
        .select(*keys, line=pl.concat_str(columns, separator=","))
        .group_by(keys, maintain_order=True)
        .agg(pl.col("line").str.join("\n"))
    )
    style = _style(root)
    for expiration, strike, right, text in lines.iter_rows():
        scaled = round(strike * SCALE)
        name = f"{day:%Y%m%d}_{root.lower()}_minute_quote_{style}_{right.lower()}_{scaled}_{expiration:%Y%m%d}.csv"
        yield name, f"{text}\n"


def quote_zip(root: str, day: date) -> str:
    """Where a root's quotes of a day lie in LEAN's data folder."""
    kind = "indexoption" if root in INDEX_ROOTS else "option"
    return f"{kind}/usa/minute/{root.lower()}/{day:%Y%m%d}_quote_{_style(root)}.zip"


def _style(root: str) -> str:
    return "european" if root in INDEX_ROOTS - AMERICAN_INDEX_ROOTS else "american"


def _milliseconds(instant: pl.Expr) -> pl.Expr:
    """Since midnight on New York's clock."""
    clock = instant.dt.convert_time_zone(NEW_YORK.key)
    return (clock.dt.hour().cast(pl.Int64) * 60 + clock.dt.minute()) * _MINUTE + clock.dt.second().cast(pl.Int64) * 1000


def _scaled(column: str) -> pl.Expr:
    return (pl.col(column) * SCALE).round().cast(pl.Int64)


def _number(column: str) -> pl.Expr:
    whole = pl.col(column).round() == pl.col(column)
    return pl.when(whole).then(pl.col(column).cast(pl.Int64).cast(pl.String)).otherwise(pl.col(column).cast(pl.String))


def _lines(lines: pl.Series) -> str:
    return "\n".join(lines) + "\n"


def _zip(file: BinaryIO, entries: Iterable[tuple[str, str]]) -> None:
    """A zip with no time in it: the same rows are the same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries:
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    file.seek(0, io.SEEK_END)
