"""One ticker's bars as a frame that a backtest can take: labelled, in a zone, of the hours and the length asked for.

A bar is stored under the start of its minute. An engine that acts on a bar when its label has come takes one under its
end, or it looks a minute ahead: so backtrader and nautilus_trader do, while vectorbt and backtesting.py take either.
An engine that resamples by ends makes 79 five-minute bars of a session that is labelled by starts: 09:30 alone is one.

Here: the frame, and pandas' form of it. Not here: which days may be exported (`days`), and files (`months`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from data_assets.export.folder import ExportRefused
from data_assets.lake.bar_columns import BAR_COLUMNS, POLYGON_BARS
from data_assets.lake.bars import Hours
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import NEW_YORK

if TYPE_CHECKING:
    import pandas as pd

Label = Literal["start", "end"]
Length = Literal["1m", "5m", "15m", "30m"]
Names = Literal["lower", "capital"]

TIME = "timestamp"
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class BarShape:
    """How bars are to look.

    Attributes:
        label: whether the timestamp is the start of the bar, as in the lake, or its end.
        zone: of the timestamps, a name of the IANA database.
        hours: ``regular`` or ``extended``, as of `Lake.bars`.
        every: the length of a bar. Longer ones than a minute begin on the clock, at 09:30, 09:35 and so on.
        grid: a row for each bar of the regular session, with nulls where nothing traded.
        fill: on the grid, carry the last close of the session on, with a volume of 0.

    Raises:
        ValueError: the zone is none, or ``grid`` and ``fill`` lack what they need.
    """

    label: Label = "start"
    zone: str = "America/New_York"
    hours: Hours = "regular"
    every: Length = "1m"
    grid: bool = False
    fill: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("label", Label), ("hours", Hours), ("every", Length)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ValueError(f"{name} {value!r}: must be one of {', '.join(get_args(kind))}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"zone {self.zone!r} is none of the IANA database, such as America/New_York or UTC"
            ) from None
        if self.grid and self.hours != "regular":
            raise ValueError("grid is a grid of regular minutes: ask for regular hours with it")
        if self.fill and not self.grid:
            raise ValueError("fill fills the minutes of a grid: ask for grid with it")


def bar_frame(
    lake: Lake,
    ticker: str,
    start: date,
    end: date,
    shape: BarShape | None = None,
    *,
    dataset: str = POLYGON_BARS,
) -> pl.DataFrame:
    """One ticker's bars from ``start`` to ``end``, both inclusive New York dates; each file is verified first.

    Args:
        lake: the lake.
        ticker: as of `Lake.bars`.
        start: the first day.
        end: the last day.
        shape: how the bars are to look; by default minutes of regular hours, by their starts, in New York time.
        dataset: whose bars: ``polygon/minute_aggs``, ``ib/bars_1m``, or the ticker's own dataset below that.

    Returns:
        ``timestamp`` (Datetime("us", zone)), ``open``, ``high``, ``low``, ``close`` (US dollars), ``volume`` (shares),
        ``trades``, and ``vwap`` where the vendor has one; each timestamp once, in order. A longer bar has the first
        open, the last close, the sums, and the vwap of its minutes by their volumes.

    Raises:
        ExportRefused: two rows have one timestamp, which most engines take without a word, and count twice.
        LakeError: as `Lake.bars`.
    """
    shape = shape or BarShape()
    bars = lake.bars(
        ticker,
        start,
        end,
        session=shape.hours,
        grid=shape.grid,
        fill=shape.fill,
        verify=True,
        dataset=dataset,
    ).collect()
    bars = bars.select(name for name in BAR_COLUMNS if name in bars.columns and name != "ticker")
    steps = bars[TIME].diff().drop_nulls()
    if len(steps) and (steps.dt.total_microseconds() <= 0).any():
        first = bars.filter(pl.col(TIME).diff().dt.total_microseconds() <= 0).select(
            pl.col(TIME), clock=pl.col(TIME).dt.convert_time_zone(NEW_YORK.key)
        )
        where, clock = first.row(0)  # after 19:00 in New York's winter, UTC is at the next day
        raise ExportRefused(
            f"{dataset}: {ticker} has two bars of {where:%Y-%m-%d %H:%M} UTC, or bars out of order, which no engine "
            f"would notice; fetch the day again: data-assets backfill {dataset} --from {clock:%Y-%m-%d} "
            f"--to {clock:%Y-%m-%d} --only all"
        )
    if shape.every != "1m":
        bars = _longer(bars, shape.every)
    if shape.label == "end":
        bars = bars.with_columns(pl.col(TIME).dt.offset_by(shape.every))
    return bars.with_columns(pl.col(TIME).dt.convert_time_zone(shape.zone))


def _longer(bars: pl.DataFrame, every: Length) -> pl.DataFrame:
    """Bars of several minutes; on a grid, those in which nothing traded have nulls."""
    price = pl.col("close").is_not_null()
    columns = [
        pl.col("open").filter(price).first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").filter(price).last(),
        *(pl.when(price.any()).then(pl.col(name).sum()).alias(name) for name in ("volume", "trades")),
    ]
    if "vwap" in bars.columns:
        traded = pl.col("vwap").is_not_null() & (pl.col("volume") > 0)
        weighed = (pl.col("vwap") * pl.col("volume")).filter(traded).sum() / pl.col("volume").filter(traded).sum()
        columns.append(pl.when(traded.any()).then(weighed).alias("vwap"))
    return bars.group_by_dynamic(TIME, every=every).agg(columns)


def stretches_missing(bars: pl.DataFrame, every: Length = "1m") -> int:
    """How often bars of one day are further apart than their length.

    vectorbt takes the time between bars from pandas, which finds none as soon as one stretch is missing or a night lies
    between. Then it has no frequency, and what needs one, such as a Sharpe ratio, is an error. It wants ``freq=`` said.
    """
    days = bars[TIME].dt.convert_time_zone("America/New_York").dt.date()
    longest = {"1m": 1, "5m": 5, "15m": 15, "30m": 30}[every]
    apart = (bars[TIME].diff().dt.total_minutes() > longest) & (days == days.shift(1))
    return int(apart.sum())


def to_pandas(bars: pl.DataFrame, *, names: Names = "lower", naive: bool = False) -> pd.DataFrame:
    """A frame of `bar_frame` as pandas has it: the timestamps are the index.

    Args:
        bars: the frame.
        names: ``lower`` for backtrader and vectorbt; ``capital`` (``Open``, ``High``, ...) for backtesting.py, which
            refuses others.
        naive: without their zone, as its wall clock shows them: backtrader would turn them into UTC, and 09:30 into
            13:30 or 14:30.

    Raises:
        ExportRefused: ``naive`` would give two instants one name, as in the hour in which clocks are set back.
    """
    frame = bars.to_pandas().set_index(TIME)
    if naive:
        frame.index = frame.index.tz_localize(None)
        if not frame.index.is_unique:
            raise ExportRefused("two bars have one time on that zone's clock: take another zone, or keep it")
    return frame.rename(columns=str.capitalize) if names == "capital" else frame


def shape_options(shape: BarShape) -> Mapping[str, object]:
    """A shape as the manifest records it."""
    return {name: getattr(shape, name) for name in BarShape.__slots__}
