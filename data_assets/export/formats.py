"""The formats by name, and what each of them takes.

Here: from what a person or a block asks for to the exporter that writes it. Not here: any format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from data_assets.export.csv import csv_months
from data_assets.export.exporting import Exporter
from data_assets.export.frame import BarShape
from data_assets.export.iceberg import IcebergDays
from data_assets.export.lean import LeanQuotes, LeanTrades
from data_assets.export.months import frame_months
from data_assets.export.nautilus import NautilusBars, NautilusQuotes
from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.layout import monthly_dataset

QUOTES = "theta/option_quotes/"
"""Not a dataset itself: below it, each symbol has its own."""

_OF_QUOTES: Mapping[str, Callable[..., Exporter]] = {"lean": LeanQuotes, "nautilus": NautilusQuotes}
_OF_BARS: Mapping[str, Callable[..., Exporter]] = {"lean": LeanTrades, "nautilus": NautilusBars}


@dataclass(frozen=True, slots=True)
class ExportAsked:
    """What to export, and how.

    Attributes:
        engine: the format's name.
        dataset: the dataset's key.
        ticker: of a dataset of many tickers, whose bars.
        shape: the fields of `BarShape` that are not the usual ones.
    """

    engine: str
    dataset: str
    ticker: str | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)


def exporter_of(asked: ExportAsked) -> Exporter:
    """The exporter for what was asked.

    Raises:
        ValueError: the format does not take the dataset, a ticker is missing or of no use, or the package that the
            format needs is not installed; one line.
    """
    if asked.engine == "iceberg":
        return _table_of(asked)
    if asked.engine in _OF_QUOTES and asked.dataset.startswith(QUOTES):
        if asked.ticker is not None or asked.shape:
            raise ValueError(f"{asked.dataset} is exported as a whole: leave --ticker and --hours out")
        return _OF_QUOTES[asked.engine](asked.dataset)
    ticker = _ticker(asked)
    if asked.engine in _OF_BARS:
        if useless := sorted(asked.shape.keys() - {"hours"}):
            raise ValueError(f"{asked.engine} says itself how its bars look: leave --{' and --'.join(useless)} out")
        return _OF_BARS[asked.engine](asked.dataset, ticker, **asked.shape)
    shape = BarShape(**asked.shape)
    return {"frame": frame_months, "csv": csv_months}[asked.engine](asked.dataset, ticker, shape)


def _table_of(asked: ExportAsked) -> Exporter:
    if asked.dataset == monthly_dataset(POLYGON_BARS):
        raise ValueError(f"{asked.dataset} holds the same bars as {POLYGON_BARS}: export that")
    if asked.ticker is not None or asked.shape:
        raise ValueError(f"{asked.dataset} is exported as a whole: leave --ticker and --hours out")
    if find_spec("pyiceberg") is None:
        raise ValueError(
            "iceberg is written with pyiceberg, which is not installed: pip install 'data-assets[iceberg]'"
        )
    return IcebergDays(asked.dataset)


def _ticker(asked: ExportAsked) -> str:
    """Whose bars.

    Raises:
        ValueError: the dataset has no bars, or does not say whose are meant.
    """
    if asked.dataset.startswith(f"{IB_BARS}/"):
        own = asked.dataset.removeprefix(f"{IB_BARS}/")
        if asked.ticker not in (None, own):
            raise ValueError(f"{asked.dataset} holds no bars of {asked.ticker}: leave --ticker out")
        return own
    if asked.dataset == POLYGON_BARS:
        if asked.ticker is None:
            raise ValueError(f"{asked.dataset} holds many tickers: say whose bars with --ticker")
        return asked.ticker
    if asked.dataset == monthly_dataset(POLYGON_BARS):
        raise ValueError(f"{asked.dataset} holds the same bars as {POLYGON_BARS}: export that, it reads the months")
    takes = f"{', '.join(_OF_QUOTES)} and iceberg take it" if asked.dataset.startswith(QUOTES) else "iceberg takes it"
    raise ValueError(f"{asked.dataset} holds nothing that {asked.engine} takes; {takes}")
