"""nautilus_trader's ParquetDataCatalog: bars of a stock, and quotes of options by contract, one file a day each.

The layout is that which nautilus_trader 1.231.0 writes itself, and was read from its files; it is written without the
package, which needs a newer Python than this project:

- ``data/bar/<bar type>/<from>_<to>.parquet`` and ``data/quote_tick/<instrument>/<from>_<to>.parquet``: prices and
  sizes as 16-byte little-endian integers, scaled by 10^16, times as nanoseconds since 1970 in UTC; the instrument and
  its precisions stand in the metadata.
- ``data/equity/<instrument>/`` and ``data/option_contract/<instrument>/`` hold a row that describes the instrument.

A file is named after the whole day in New York, and not after its first and last row: so a day that was fetched again
has the same name and is replaced. The catalog itself would skip it without a word, or refuse it.

A bar's time is its end, or a strategy would see it a minute ahead. An instrument has one precision, whatever the day:
files of unequal ones can be written, and the whole instrument cannot be read again. What has more digits is rounded and
counted. The lake does not know where a stock is listed, so its venue is ``US``; that of options is ``OPRA``.

Here: names, rows and instruments. Not here: which days may be exported (`days`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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

BAR_DIGITS, QUOTE_DIGITS = 4, 2
"""Digits of prices: stocks trade in hundredths of a cent, options in cents. Sizes have none: as the instruments say."""

FIXED_DIGITS = 16
NO_ASK = "no ask: nautilus_trader would fill an order at 0"
LAST_TRADE = time(16, 15)
"""On New York's clock, when a contract ends on its expiration: a judgement, as late as any trades."""

_MINUTE = timedelta(minutes=1)
_ROWS_PER_GROUP = 5_000  # as the catalog's own
_WHOLE = pa.binary(16)
_CONTRACT = ["symbol", "expiration", "strike", "right"]


@dataclass(frozen=True)
class NautilusBars:
    """Minute bars of one stock; implements ``Exporter``.

    Attributes:
        dataset: whose bars.
        ticker: whose.
        hours: ``regular`` or ``extended``.
    """

    dataset: str
    ticker: str
    hours: Any = "regular"
    engine: str = "nautilus"

    @property
    def options(self) -> Mapping[str, Any]:
        """See ``Exporter``."""
        return {"hours": self.hours, "label": "end", "zone": "UTC", "price_precision": BAR_DIGITS, "size_precision": 0}

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Exporter``."""
        return (*notes_on_bars(self.dataset), "the venue is US: the lake does not know where a stock is listed")

    def unit(self, day: date) -> str:
        """See ``Exporter``: the day itself."""
        return day.isoformat()

    def write(
        self, lake: Lake, days: Sequence[date], without: Sequence[date], folder: ExportFolder
    ) -> dict[date, WrittenDay]:
        """See ``Exporter``."""
        instrument = f"{self.ticker}.US"
        bar_type = f"{instrument}-1-MINUTE-LAST-EXTERNAL"
        path = f"data/bar/{bar_type}"
        for day in without:
            folder.remove(f"{path}/{day_file(day)}")
        _describe(folder, _equity(instrument, self.ticker))
        written = {}
        digits = {**dict.fromkeys(PRICES, BAR_DIGITS), "volume": 0}
        for day in days:
            shape = BarShape(label="end", hours=self.hours)
            of_day = bar_frame(lake, self.ticker, day, day, shape, dataset=self.dataset)
            # The catalog looks into a file by the times in its name.
            bars, left_out = usable_bars(day, of_day, digits, _MINUTE)
            name = f"{path}/{day_file(day)}"
            if bars.is_empty():
                folder.remove(name)
                written[day] = WrittenDay(0, (), left_out=left_out)
                continue
            table = _fixed(bars, digits).replace_schema_metadata(
                {"bar_type": bar_type, **_said(instrument, BAR_DIGITS)}
            )
            folder.replace(name, _parquet(table))
            written[day] = WrittenDay(bars.height, (name,), rounded_values(bars, digits), left_out)
        return written


@dataclass(frozen=True)
class NautilusQuotes:
    """A day's option quotes as quote ticks, a file for each contract; implements ``Exporter``.

    Attributes:
        dataset: whose quotes.
    """

    dataset: str
    engine: str = "nautilus"
    ticker: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """See ``Exporter``."""
        return {"zone": "UTC", "price_precision": QUOTE_DIGITS, "size_precision": 0}

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Exporter``."""
        return (
            f"a contract ends at {LAST_TRADE:%H:%M} in New York on its expiration: an assumption",
            "crossed quotes and bids of 0 are as they are stored",
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
        """An expiration at a time: the quotes of a busy day are gigabytes."""
        rows = quotes_of_day(lake, self.dataset, day).rename(
            {"bid": "bid_price", "ask": "ask_price"}
        )  # as the catalog names them
        digits = {"bid_price": QUOTE_DIGITS, "ask_price": QUOTE_DIGITS, "bid_size": 0, "ask_size": 0}
        total, left_out, no_numbers = 0, 0, 0
        rounded = dict.fromkeys(digits, 0)
        files = []
        for expiration in rows.select("expiration").unique().collect().to_series().sort():
            of_expiration = rows.filter(pl.col("expiration") == expiration).collect()
            quotes = that_are_numbers(of_expiration, digits)
            no_numbers += of_expiration.height - quotes.height
            asked = quotes.filter(pl.col("ask_price") > 0)
            total, left_out = total + asked.height, left_out + quotes.height - asked.height
            for name, count in rounded_values(asked, digits).items():
                rounded[name] += count
            for (root, _, strike, right), of_contract in asked.sort(*_CONTRACT, TIME).group_by(
                _CONTRACT, maintain_order=True
            ):
                symbol = osi_symbol(str(root), expiration, float(str(strike)), str(right))
                instrument = f"{symbol}.OPRA"
                _describe(folder, _option(instrument, self.dataset.rpartition("/")[2], expiration, str(strike)))
                table = _fixed(of_contract, digits)
                table = table.replace_schema_metadata(_said(instrument, QUOTE_DIGITS))
                path = f"data/quote_tick/{instrument}/{day_file(day)}"
                folder.replace(path, _parquet(table))
                files.append(path)
        return WrittenDay(total, tuple(files), rounded, {NO_ASK: left_out, NO_NUMBER: no_numbers})


def day_file(day: date) -> str:
    """The name of a day's file: its first and its last nanosecond in New York, as the catalog writes instants."""
    start = datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
    last = datetime.combine(day + timedelta(days=1), time(), NEW_YORK).astimezone(UTC) - timedelta(seconds=1)
    return f"{start:%Y-%m-%dT%H-%M-%S}-000000000Z_{last:%Y-%m-%dT%H-%M-%S}-999999999Z.parquet"


def osi_symbol(root: str, expiration: date, strike: float, right: str) -> str:
    """The contract's symbol as the options exchanges write it, such as ``QQQ   240719C00400000``.

    Raises:
        ExportRefused: a strike has more than three decimals, so that two contracts would have one symbol.
    """
    thousandths = round(strike * 1000)
    if abs(thousandths - strike * 1000) > 1e-6:
        raise ExportRefused(f"{root}: the strike {strike} has more than three decimals, which no symbol holds")
    return f"{root:<6}{expiration:%y%m%d}{right[0]}{thousandths:08d}"


def _fixed(rows: pl.DataFrame, digits: Mapping[str, int]) -> pa.Table:
    """Columns as the catalog's fixed-point numbers, and each row's time twice: when it was, and when it was known."""
    columns = {name: _whole(rows[name], count) for name, count in digits.items()}
    times = rows[TIME].dt.epoch("ns").cast(pl.UInt64).to_arrow()
    columns |= {"ts_event": times, "ts_init": times}
    return pa.table(columns, schema=pa.schema([pa.field(name, each.type, False) for name, each in columns.items()]))


def _whole(values: pl.Series, digits: int) -> pa.Array:
    """128-bit integers; a decimal of pyarrow is one in memory."""
    scaled = (values.cast(pl.Float64) * 10**digits).round().cast(pl.Int64).to_arrow().cast(pa.decimal128(20, 0))
    factor = pa.scalar(Decimal(10 ** (FIXED_DIGITS - digits)), pa.decimal128(FIXED_DIGITS - digits + 1, 0))
    product = pc.multiply(scaled, factor)
    return pa.Array.from_buffers(_WHOLE, len(product), [None, product.buffers()[1]], offset=product.offset)


def _said(instrument: str, digits: int) -> dict[str, str]:
    return {"instrument_id": instrument, "price_precision": str(digits), "size_precision": "0"}


def _parquet(table: pa.Table) -> Any:
    def write(file: BinaryIO) -> None:
        pq.write_table(table, file, row_group_size=_ROWS_PER_GROUP)

    return write


def _describe(folder: ExportFolder, of: tuple[str, pa.Table]) -> None:
    """Write an instrument, unless it is there."""
    kind, table = of
    instant = "1970-01-01T00-00-00-000000000Z"
    name = f"data/{kind}/{table['id'][0].as_py()}/{instant}_{instant}.parquet"
    folder.put(name, _parquet(table))


def _equity(instrument: str, ticker: str) -> tuple[str, pa.Table]:
    own = {"max_quantity": None, "min_quantity": None, "isin": None}
    values = {"id": instrument, "raw_symbol": ticker, **_priced(BAR_DIGITS), **own}
    return "equity", _instrument("Equity", values)


def _option(instrument: str, underlying: str, expiration: date, strike: str) -> tuple[str, pa.Table]:
    symbol = instrument.removesuffix(".OPRA")
    ends = datetime.combine(expiration, LAST_TRADE, NEW_YORK).timestamp()
    values = {
        "id": instrument,
        "raw_symbol": symbol,
        "underlying": underlying,
        "asset_class": "INDEX" if symbol[:6].strip() in INDEX_ROOTS else "EQUITY",
        "exchange": None,
        "option_kind": "CALL" if symbol[12] == "C" else "PUT",
        "strike_price": f"{float(strike):.3f}",
        "activation_ns": 0,
        "expiration_ns": int(ends) * 10**9,
        **_priced(QUOTE_DIGITS),
        "size_precision": 0,
        "size_increment": "1",
        "multiplier": "100",
    }
    return "option_contract", _instrument("OptionContract", values)


def _priced(digits: int) -> dict[str, Any]:
    increment = f"{Decimal(1).scaleb(-digits)}"
    return {"currency": "USD", "price_precision": digits, "price_increment": increment, "lot_size": "1"}


def _instrument(kind: str, values: Mapping[str, Any]) -> pa.Table:
    values = {
        **values,
        **dict.fromkeys(("margin_init", "margin_maint", "maker_fee", "taker_fee"), "0"),
        "info": b"null",
        "ts_event": 0,
        "ts_init": 0,
    }
    columns = {name: pa.array([value], _kind(name)) for name, value in values.items()}
    return pa.table(columns).replace_schema_metadata({"class": kind})


def _kind(name: str) -> pa.DataType:
    """A column's type as the catalog writes it, but for dictionaries, which its reader does not ask for."""
    if name.endswith("_ns") or name.startswith("ts_"):
        return pa.uint64()
    if name.endswith("_precision"):
        return pa.uint8()
    return pa.binary() if name == "info" else pa.string()
