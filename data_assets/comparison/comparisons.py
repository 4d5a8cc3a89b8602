"""What is compared with what: two vendors' bars, or the options on an underlying with what a vendor says it costs.

Here: reading both sides of a day, and the rules that judge the result. Not here: the rules (`quality`), storing a
comparison (`source`), and the assets (`component`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import polars as pl

from data_assets.ingest.outcome import Scalar
from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS, dataset_of
from data_assets.lake.columns import Column
from data_assets.lake.lake import Lake
from data_assets.quality import parity, vendor_agreement
from data_assets.quality.differences import Differences
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import session

_INSTANT = pl.Datetime("us", "UTC")
_MINUTE = timedelta(minutes=1)

EXPIRATIONS = 2
"""How many of the nearest are read of a chain: the next one tells what the nearest no longer does on its last day."""

BARS_DIFFER = (
    "Known reasons: extremes, a trade far from the others that one vendor leaves out, in up to half of the minutes; "
    "edge, an auction that one vendor counts into the first or last minute; thin, a minute of one vendor alone with "
    "five trades or fewer; no trade, one in which nothing traded. Unknown: other. The whole day is scaled if one side "
    "is adjusted for a split."
)
LEVELS_DIFFER = (
    "Outside: the underlying costs more or less than calls and puts at the money imply, by more than their spreads."
)


class Comparison(Protocol):
    """One dataset that compares others.

    Attributes:
        dataset: its key.
        inputs: the datasets that it compares.
        columns: of its rows, the first of which orders them.
        checks: check name -> what it verifies.
        about: what is compared, for the UI.
        differences: what is recorded of those that differ.
        nothing: why there may be nothing to compare, for the reason of such a day.
    """

    @property
    def dataset(self) -> str: ...  # noqa: D102

    @property
    def inputs(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def columns(self) -> dict[str, Column]: ...  # noqa: D102

    @property
    def checks(self) -> dict[str, str]: ...  # noqa: D102

    @property
    def about(self) -> str: ...  # noqa: D102

    @property
    def differences(self) -> Differences: ...  # noqa: D102

    @property
    def nothing(self) -> str: ...  # noqa: D102

    def compare(self, lake: Lake, day: date) -> pl.DataFrame:
        """Read both sides of a day and put them side by side; without a row where they have nothing to compare.

        Raises:
            LakeError: a side cannot be read.
        """

    def judge(self, rows: pl.DataFrame) -> list[Verdict]:
        """The verdicts on a day's rows, one for each of `checks`."""

    def metrics(self, rows: pl.DataFrame) -> dict[str, Scalar]:
        """The day's numbers, for plots over many days."""

    def drawn(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Two columns for the day's picture: what the level was, and how far the sides are apart."""


@dataclass(frozen=True)
class BarComparison:
    """Minute bars of one ticker, Interactive Brokers' against Polygon's; implements ``Comparison``."""

    ticker: str

    names = ("ib", "polygon")

    @property
    def dataset(self) -> str:
        """See ``Comparison``."""
        return f"quality/cross_vendor/{self.ticker.replace(' ', '.')}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """See ``Comparison``."""
        return dataset_of(IB_BARS, self.ticker), POLYGON_BARS

    @property
    def columns(self) -> dict[str, Column]:
        """See ``Comparison``."""
        units = {"volume": "shares", "trades": "trades"}
        meanings = {
            "timestamp": "start of the minute",
            "difference": "largest difference of the four prices; null unless both vendors have the minute",
            "reason": "why the minute differs, if it does: see docs/cross_vendor.md",
        }
        columns = {}
        for name, dtype in vendor_agreement.compared_columns(*self.names).items():
            what, _, of = name.partition("_")
            meaning = meanings.get(name, f"{what} of the minute by {of}; null where it has no bar")
            unit = {"timestamp": "instant, UTC", "reason": "text"}.get(name, units.get(what, "US dollars"))
            columns[name] = Column(dtype, unit, meaning)
        return columns

    @property
    def checks(self) -> dict[str, str]:
        """See ``Comparison``."""
        return {
            "agreement": "Both vendors have the same minutes and the same prices, but for differences with a known "
            "reason.",
            "volumes": "The usual minute has comparable volumes.",
        }

    @property
    def about(self) -> str:
        """See ``Comparison``."""
        return f"the minute bars of {self.ticker} from Interactive Brokers and from Polygon"

    @property
    def differences(self) -> Differences:
        """See ``Comparison``."""
        reasons = [reason for reason in vendor_agreement.REASONS if reason != vendor_agreement.SAME]
        return Differences(
            "minutes", tuple((f"minutes_{each}", each.replace("_", " ")) for each in reasons), BARS_DIFFER
        )

    @property
    def nothing(self) -> str:
        """See ``Comparison``."""
        return "neither has a bar of regular hours"

    def compare(self, lake: Lake, day: date) -> pl.DataFrame:
        """See ``Comparison``."""
        hours = session(day)
        ib, polygon = (
            lake.bars(self.ticker, day, day, session="regular", dataset=dataset, verify=True).collect()
            for dataset in self.inputs
        )
        return vendor_agreement.compare_bars(ib, polygon, self.names, open_=hours.open, close=hours.close)

    def judge(self, rows: pl.DataFrame) -> list[Verdict]:
        """See ``Comparison``."""
        return [vendor_agreement.agreement(rows, self.names), vendor_agreement.volumes(rows, self.names)]

    def metrics(self, rows: pl.DataFrame) -> dict[str, Scalar]:
        """See ``Comparison``."""
        return dict(vendor_agreement.agreement_metrics(rows, self.names))

    def drawn(self, rows: pl.DataFrame) -> pl.DataFrame:
        """See ``Comparison``."""
        return rows.select(
            pl.coalesce("close_polygon", "close_ib").alias("price"), pl.col("difference").alias("difference")
        )


@dataclass(frozen=True)
class ParityComparison:
    """What options imply of their underlying, against its bars or the price that greeks were computed from.

    Implements ``Comparison``.

    Attributes:
        root: the underlying, such as QQQ.
        options: the dataset of its quotes.
        level: Polygon's bars, or the dataset of its greeks.
    """

    root: str
    options: str
    level: str

    @property
    def dataset(self) -> str:
        """See ``Comparison``."""
        return f"quality/parity/{self.root}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """See ``Comparison``."""
        return self.options, self.level

    @property
    def columns(self) -> dict[str, Column]:
        """See ``Comparison``."""
        return {
            "timestamp": Column(_INSTANT, "instant, UTC", "instant of the snapshot"),
            "implied": Column(pl.Float64(), "US dollars", "what calls and puts nearest to the money imply"),
            "band": Column(
                pl.Float64(),
                "US dollars",
                "half of the call's and the put's spread together, and interest until they expire",
            ),
            "level": Column(pl.Float64(), "US dollars", f"what {self.level} says at that instant"),
        }

    @property
    def checks(self) -> dict[str, str]:
        """See ``Comparison``."""
        return {"parity": "The underlying costs what its options imply, to within their spreads."}

    @property
    def about(self) -> str:
        """See ``Comparison``."""
        return f"what the quotes of {self.options} imply of {self.root}, and what {self.level} says"

    @property
    def differences(self) -> Differences:
        """See ``Comparison``."""
        return Differences("snapshots", (("outside", "outside"),), LEVELS_DIFFER)

    @property
    def nothing(self) -> str:
        """See ``Comparison``."""
        return (
            f"at no minute that {self.level} has a price of, one of the {EXPIRATIONS} nearest expirations has a strike "
            "whose call and put both have a bid and an ask"
        )

    def compare(self, lake: Lake, day: date) -> pl.DataFrame:
        """See ``Comparison``."""
        lake.audit(self.options, day)
        chain = lake.scan(self.options, day, day)
        expirations = chain.select(pl.col("expiration").unique()).collect(engine="streaming")["expiration"].sort()
        quotes = chain.filter(pl.col("expiration").is_in(expirations.head(EXPIRATIONS).to_list()))
        columns = ("symbol", "expiration", "strike", "right", "timestamp", "bid", "ask")
        implied = parity.implied_underlying(quotes.select(columns).collect())
        return implied.join(self._levels(lake, day), on="timestamp").drop_nulls()

    def _levels(self, lake: Lake, day: date) -> pl.DataFrame:
        if self.level == POLYGON_BARS:
            bars = lake.bars(self.root, day, day, session="regular", dataset=self.level, verify=True).collect()
            # A snapshot is of an instant: what had traded by then closed the minute before.
            return bars.select(pl.col("timestamp") + _MINUTE, level="close")
        lake.audit(self.level, day)
        greeks = lake.scan(self.level, day, day, columns=["timestamp", "underlying_price"])
        known = greeks.filter(pl.col("underlying_price") > 0)  # 0 is Theta's word for none
        return known.group_by("timestamp").agg(level=pl.col("underlying_price").median()).collect(engine="streaming")

    def judge(self, rows: pl.DataFrame) -> list[Verdict]:
        """See ``Comparison``."""
        return [parity.parity(rows, self.level)]

    def metrics(self, rows: pl.DataFrame) -> dict[str, Scalar]:
        """See ``Comparison``."""
        found = self.judge(rows)[0].metadata
        snapshots = int(str(found["snapshots"]))
        inside = snapshots - int(str(found["outside"]))
        return {
            "score": round(100 * inside / snapshots, 2),
            **{name: value for name, value in found.items() if isinstance(value, int | float)},
        }

    def drawn(self, rows: pl.DataFrame) -> pl.DataFrame:
        """See ``Comparison``."""
        return rows.select(level="level", gap=(pl.col("level") - pl.col("implied")).abs())
