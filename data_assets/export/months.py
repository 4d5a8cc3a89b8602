"""One ticker's bars as a file for each month: what the formats ``csv`` and ``frame`` share.

Here: which bars are in which file, and their names. Not here: how bars look (`frame`), and how a file is written
(`csv`, and Parquet here).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO

import polars as pl

from data_assets.export.exporting import WrittenDay
from data_assets.export.folder import ExportFolder
from data_assets.export.frame import BarShape, bar_frame, shape_options
from data_assets.lake.bar_columns import IB_BARS
from data_assets.lake.lake import Lake
from data_assets.lake.layout import escape_ticker

IB_ADJUSTED = "prices and volumes are adjusted for splits up to the day on which each session was fetched"
NO_FREQUENCY = "vectorbt finds no frequency where a night or a missing stretch lies between bars: pass freq to it"
UNADJUSTED = "prices are not adjusted: a split is a jump between two days"


def notes_on_bars(dataset: str) -> tuple[str, ...]:
    """What to know of a dataset's bars before they are used."""
    return (IB_ADJUSTED,) if dataset.startswith(IB_BARS) else (UNADJUSTED,)


@dataclass(frozen=True)
class BarMonths:
    """Bars of one ticker, by month; implements ``Exporter``.

    Attributes:
        engine: ``frame`` or ``csv``.
        dataset: whose bars.
        ticker: whose.
        shape: how they look.
        suffix: of the files' names.
        write_rows: writes the rows of a month.
    """

    engine: str
    dataset: str
    ticker: str
    shape: BarShape
    suffix: str
    write_rows: Callable[[pl.DataFrame, BinaryIO], object] = field(repr=False)

    @property
    def options(self) -> Mapping[str, Any]:
        """See ``Exporter``."""
        return shape_options(self.shape)

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Exporter``."""
        return (*notes_on_bars(self.dataset), *((NO_FREQUENCY,) if self.engine == "frame" else ()))

    def unit(self, day: date) -> str:
        """See ``Exporter``: its month."""
        return f"{day:%Y-%m}"

    def file(self, unit: str) -> str:
        """The name of a month's file, such as ``SPY/SPY_2024-01.csv``."""
        name = escape_ticker(self.ticker)
        return f"{name}/{name}_{unit}{self.suffix}"

    def write(
        self, lake: Lake, days: Sequence[date], without: Sequence[date], folder: ExportFolder
    ) -> dict[date, WrittenDay]:
        """See ``Exporter``."""
        of_days = {day: self._bars(lake, day) for day in days}
        name = self.file(self.unit([*days, *without][0]))
        if not any(bars.height for bars in of_days.values()):
            folder.remove(name)
            return {}
        rows = pl.concat(of_days.values()).select(pl.lit(self.ticker).alias("ticker"), pl.all())
        folder.replace(name, lambda file: self.write_rows(rows, file))
        return {day: WrittenDay(bars.height, (name,)) for day, bars in of_days.items()}

    def _bars(self, lake: Lake, day: date) -> pl.DataFrame:
        return bar_frame(lake, self.ticker, day, day, self.shape, dataset=self.dataset)


def frame_months(dataset: str, ticker: str, shape: BarShape) -> BarMonths:
    """Parquet files, of which pandas and Polars read a folder as one frame."""

    def write(rows: pl.DataFrame, file: BinaryIO) -> None:
        rows.write_parquet(file, statistics=True)

    return BarMonths("frame", dataset, ticker, shape, ".parquet", write)
