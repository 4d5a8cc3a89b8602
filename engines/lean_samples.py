"""LEAN's sample days, read by its documented format and written again by ours, byte by byte.

Bars of stocks are compared as a whole. Quote bars have a course within the minute, which the lake's quotes have not: of
them the names, times, closes and sizes are compared.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from data_assets.export.lean import quote_entries, quote_zip, trade_lines
from data_assets.trading_calendar import NEW_YORK

PRICES = ("open", "high", "low", "close")
CLOSES = ("column_1", "column_5", "column_6", "column_10", "column_11")


def differing_samples(data: Path) -> tuple[int, list[str]]:
    """How many files come out as they are, and which do not."""
    paths = sorted(data.glob("equity/usa/minute/*/*_trade.zip"))
    quotes = [
        path for kind in ("option", "indexoption") for path in sorted(data.glob(f"{kind}/usa/minute/*/*_quote_*.zip"))
    ]
    different = [str(path) for path in paths if not _same_trades(path)]
    different += [str(path) for path in quotes if not _same_quotes(path, data)]
    return len(paths) + len(quotes) - len(different), different


def _day(path: Path) -> date:
    return datetime.strptime(path.name[:8], "%Y%m%d").replace(tzinfo=NEW_YORK).date()


def _instant(day: date, column: str, later: timedelta = timedelta()) -> pl.Expr:
    midnight = datetime.combine(day, time()) + later
    clock = pl.lit(midnight) + pl.duration(milliseconds=pl.col(column))
    return clock.dt.replace_time_zone(NEW_YORK.key).dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))


def _same_trades(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    rows = pl.read_csv(io.StringIO(text), has_header=False, new_columns=["ms", *PRICES, "volume"])
    bars = rows.select(
        _instant(_day(path), "ms").alias("timestamp"),
        *(pl.col(name) / 10_000 for name in PRICES),
        pl.col("volume").cast(pl.Float64),
    )
    return trade_lines(bars).rstrip("\n") == text.rstrip("\n")  # some of the samples end without a line end


def _same_quotes(path: Path, data: Path) -> bool:
    day, root = _day(path), path.parent.name.upper()
    wanted, frames = {}, []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            right, strike, expiration = name.removesuffix(".csv").split("_")[-3:]
            types = {f"column_{place}": pl.Int64 for place in range(1, 12)}
            rows = pl.read_csv(archive.read(name), has_header=False, schema=types)
            wanted[name] = _closes(rows)
            frames.append(
                rows.select(
                    pl.lit(datetime.strptime(expiration, "%Y%m%d").replace(tzinfo=NEW_YORK).date()).alias("expiration"),
                    pl.lit(int(strike) / 10_000).alias("strike"),
                    pl.lit(right.upper()).alias("right"),
                    _instant(day, "column_1", timedelta(minutes=1)).alias("timestamp"),
                    *(
                        expression
                        for side, price, size in (("bid", "column_5", "column_6"), ("ask", "column_10", "column_11"))
                        for expression in (
                            (pl.col(price).fill_null(0) / 10_000).alias(side),
                            pl.when(pl.col(price) > 0).then(pl.col(size)).otherwise(0).alias(f"{side}_size"),
                        )
                    ),
                )
            )
    written = {
        name: _closes(
            pl.read_csv(text.encode(), has_header=False, schema={f"column_{n}": pl.Int64 for n in range(1, 12)})
        )
        for name, text in quote_entries(pl.concat(frames), root, day)
    }
    return quote_zip(root, day) == str(path.relative_to(data)) and written == wanted


def _closes(rows: pl.DataFrame) -> list[tuple[int | None, ...]]:
    return rows.select(CLOSES).rows()
