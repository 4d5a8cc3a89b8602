"""Two vendors' minute bars of one ticker and day, held against each other.

Differences are expected, and never mended. The vendors' own documents say why: Interactive Brokers leaves trades out
that were far from the quote (combinations, blocks, derivatively priced ones), so that its volume is below that of the
consolidated tape, and adjusts for splits up to the day of the request; Polygon's bars are unadjusted, and made of the
trades whose conditions allow it. So what is compared is whether the prices of a minute are the same to a tick, and
what is not the same is told by its likely reason.

Here: the comparison of a day, and the verdicts on it. Not here: where bars come from, and how a comparison is stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from data_assets.counts import count_of
from data_assets.quality.split_jumps import usual_factor
from data_assets.quality.verdict import Verdict

TICK, SMALL_TICK = 0.01, 0.0001
"""US dollars: in what steps quotes move from one dollar on, and below it (Rule 612 of Regulation NMS)."""

SAME, EXTREMES, EDGE, THIN, NO_TRADE, SCALED, OTHER = (
    "same",
    "extremes",
    "edge",
    "thin",
    "no_trade",
    "scaled",
    "other",
)
REASONS = (SAME, EXTREMES, EDGE, THIN, NO_TRADE, SCALED, OTHER)
EXPLAINED = (EXTREMES, EDGE, THIN, NO_TRADE)

PRICES = ("open", "high", "low", "close")
FEW_TRADES = 5
"""In a minute that one vendor alone has: so few may all be of conditions that the other one leaves out. A judgement."""

OTHER_SCALE = 0.02
"""How far the median ratio of the closes may be from one; a split moves it by a fifth at least."""

ONE_FACTOR = (0.9, 0.001)
"""Of how many of the minutes in common the closes have to differ by one factor, and to within which share of the price
or a tick of either side, for a day to be scaled. Two securities do not keep their ratio for a day. A judgement."""

FEW_EXTREMES = 0.5
"""Share of the minutes in common whose highs and lows may differ alone: one trade in most minutes is no trade far from
the others. A judgement."""

SHIFTS = (-60, -1, 1, 60)
"""Minutes by which labels are off where ends were taken for starts, or one zone's hours for another's."""

LONG_GAP = 5
"""Minutes in a row that one vendor alone has, from which on they are named. A judgement."""

TOLERANCE = 0.02
"""Share of minutes that differ for no known reason, above which `agreement` warns. A judgement."""

VOLUME_BAND = (0.3, 1.1)
"""Median ratio of the volumes, the first vendor's to the second's, outside of which `volumes` warns. A judgement."""


def compared_columns(first: str, second: str) -> pl.Schema:
    """The columns of a comparison: those of `compare_bars`."""
    sides: dict[str, Any] = {}
    for name in (*PRICES, "volume"):
        sides |= {f"{name}_{first}": pl.Float64(), f"{name}_{second}": pl.Float64()}
    sides |= {f"trades_{first}": pl.Int64(), f"trades_{second}": pl.Int64()}
    return pl.Schema(
        {"timestamp": pl.Datetime("us", "UTC"), **sides, "difference": pl.Float64(), "reason": pl.Enum(sorted(REASONS))}
    )


def compare_bars(
    first: pl.DataFrame, second: pl.DataFrame, names: tuple[str, str], *, open_: datetime, close: datetime
) -> pl.DataFrame:
    """Put two vendors' bars of a regular session side by side, and say of each minute why it differs.

    Args:
        first: bars of one ticker and session: timestamp (start of the minute, UTC), open, high, low, close (dollars),
            volume (shares), trades (their number).
        second: the same of the other vendor.
        names: what the two are called in the columns, such as ("ib", "polygon").
        open_: the session's open, an aware instant.
        close: its close.

    Returns:
        One row for each minute that either has, in order of time: ``timestamp``; of each vendor ``open_NAME``,
        ``high_NAME``, ``low_NAME``, ``close_NAME``, ``volume_NAME`` and ``trades_NAME``, null where it has no bar;
        ``difference``: the largest of the four differences of prices, in dollars, null unless both have the minute;
        and ``reason``:

        - ``same``: all four prices are the same to a tick;
        - ``extremes``: open and close are, and high or low is not: one vendor leaves out a trade far from the others.
          In more than half of the minutes that is no reason;
        - ``edge``: the first or the last minute, into which one vendor counts an auction that the other does not;
        - ``thin``: one vendor alone has the minute, with so few trades that the other may count none of them. Where the
          two have no minute in common, neither this nor ``edge`` is a reason: one of them lacks the security;
        - ``no_trade``: one vendor alone has the minute, as a bar in which nothing was traded;
        - ``scaled``: the prices of the whole day differ by one factor, as those before a split do;
        - ``other``: none of these.
    """
    sides = [
        bars.select("timestamp", *(pl.col(name).alias(f"{name}_{of}") for name in (*PRICES, "volume", "trades")))
        for bars, of in zip((first, second), names, strict=True)
    ]
    joined = sides[0].join(sides[1], on="timestamp", how="full", coalesce=True).sort("timestamp")
    both = _both(names)
    in_common = joined.filter(both).height
    same = both & _same_prices(names)
    trades = pl.max_horizontal(f"trades_{names[0]}", f"trades_{names[1]}").fill_null(0)
    edges = pl.col("timestamp").is_in([open_, close - timedelta(minutes=1)])
    extremes = both & _same_prices(names, ("open", "close"))
    few = joined.filter(extremes & ~same & ~edges).height <= FEW_EXTREMES * in_common
    reason = (
        pl.when(pl.lit(_is_scaled(joined, names)) & both)
        .then(pl.lit(SCALED))
        .when(same)
        .then(pl.lit(SAME))
        .when(edges & pl.lit(in_common > 0))
        .then(pl.lit(EDGE))
        .when(extremes & pl.lit(few))
        .then(pl.lit(EXTREMES))
        .when(~both & (trades == 0))
        .then(pl.lit(NO_TRADE))
        .when(~both & (trades <= FEW_TRADES) & pl.lit(in_common > 0))
        .then(pl.lit(THIN))
        .otherwise(pl.lit(OTHER))
    )
    columns = compared_columns(*names)
    apart = pl.max_horizontal((pl.col(f"{name}_{names[0]}") - pl.col(f"{name}_{names[1]}")).abs() for name in PRICES)
    compared = joined.with_columns(difference=pl.when(both).then(apart), reason=reason)
    return compared.select(columns.names()).cast(columns)


def _both(names: tuple[str, str]) -> pl.Expr:
    """Whether both vendors have the minute."""
    return pl.all_horizontal(pl.col(f"close_{name}").is_not_null() for name in names)


def _tick(price: pl.Expr) -> pl.Expr:
    """With what floating point adds to it."""
    return pl.when(price < 1).then(SMALL_TICK).otherwise(TICK) * 1.001


def _same_prices(names: tuple[str, str], prices: Sequence[str] = PRICES) -> pl.Expr:
    sides = [(pl.col(f"{price}_{names[0]}"), pl.col(f"{price}_{names[1]}")) for price in prices]
    return pl.all_horizontal((one - other).abs() < _tick(pl.max_horizontal(one, other)) for one, other in sides)


def _is_scaled(joined: pl.DataFrame, names: tuple[str, str]) -> bool:
    """Whether the closes differ by one factor, as far as prices are written."""
    first, second = (pl.col(f"close_{name}") for name in names)
    closes = joined.filter(first > 0, second > 0)
    ratio = closes.select((first / second).median()).item()
    if ratio is None or max(ratio, 1 / ratio) <= 1 + OTHER_SCALE:
        return False
    most, share = ONE_FACTOR
    written = pl.max_horizontal(share * first, _tick(first), ratio * _tick(second))
    fits = (first - ratio * second).abs() <= pl.min_horizontal(written, first * OTHER_SCALE / 2)
    return bool(closes.select(fits.mean()).item() >= most)


def agreement_metrics(compared: pl.DataFrame, names: tuple[str, str]) -> dict[str, int | float]:
    """The day's numbers, for plots over many days.

    Returns:
        ``score``: 100 times the share of minutes that are the same or differ for a known reason; ``minutes``;
        ``minutes_same``, ``minutes_explained`` and ``minutes_unexplained``, and ``minutes_REASON`` for each other
        reason (`compare_bars`); ``only_NAME`` for each vendor;
        ``largest_difference`` in dollars; ``price_ratio`` and ``volume_ratio``: medians of the first vendor's closes
        and volumes to the second's, 0 where they have no minute in common.
    """
    first, second = names
    counts = dict(compared.group_by("reason").len().iter_rows())
    explained = sum(counts.get(reason, 0) for reason in EXPLAINED)
    same, minutes = counts.get(SAME, 0), compared.height
    ratios = compared.select(
        price=(pl.col(f"close_{first}") / pl.col(f"close_{second}")).median(),
        volume=(pl.col(f"volume_{first}") / pl.col(f"volume_{second}")).filter(pl.col(f"volume_{second}") > 0).median(),
        largest=pl.col("difference").max(),
        only_first=pl.col(f"close_{second}").is_null().sum(),
        only_second=pl.col(f"close_{first}").is_null().sum(),
    ).row(0, named=True)
    return {
        "score": round(100 * (same + explained) / minutes, 2) if minutes else 0.0,
        "minutes": minutes,
        "minutes_same": same,
        "minutes_explained": explained,
        "minutes_unexplained": minutes - same - explained,
        **{f"minutes_{reason}": counts.get(reason, 0) for reason in REASONS if reason != SAME},
        f"only_{first}": ratios["only_first"],
        f"only_{second}": ratios["only_second"],
        "largest_difference": ratios["largest"] or 0.0,
        "price_ratio": ratios["price"] or 0.0,
        "volume_ratio": ratios["volume"] or 0.0,
    }


def agreement(compared: pl.DataFrame, names: tuple[str, str], tolerance: float = TOLERANCE) -> Verdict:
    """Check that the vendors have the same minutes and prices, but for differences with a known reason; else warn.

    Args:
        compared: as `compare_bars` returns it.
        names: of the two vendors, as there.
        tolerance: the share of minutes that may differ for no known reason.
    """
    metrics = agreement_metrics(compared, names)
    minutes, unexplained = int(metrics["minutes"]), int(metrics["minutes_unexplained"])
    counts = compared.group_by("reason").len().sort("len", "reason", descending=[True, False])
    by_reason = ", ".join(f"{count:,} {reason}" for reason, count in counts.iter_rows())
    said = f"{count_of(minutes, 'minute')}: {by_reason}" if minutes else "neither vendor has a bar"
    said += "".join(f"; {words}" for words in _of_the_whole_day(compared, names, float(metrics["price_ratio"])))
    worst = compared.filter(pl.col("reason") == OTHER).sort("difference", descending=True, nulls_last=True).head(10)
    return Verdict(
        "agreement",
        passed=bool(minutes) and unexplained <= tolerance * minutes,
        severity="warn",
        summary=said,
        metadata={
            **metrics,
            "tolerance": tolerance,
            "worst_minutes": [_minute(row, names) for row in worst.iter_rows(named=True)],
        },
    )


def _of_the_whole_day(compared: pl.DataFrame, names: tuple[str, str], ratio: float) -> list[str]:
    """What many minutes have in common, in words."""
    first, second = names
    if compared.filter(_both(names)).is_empty():
        empty = [name for name in names if compared[f"close_{name}"].count() == 0]
        return [f"{empty[0]} has no bar" if empty else "they have no minute in common"]
    said = []
    off = ratio > 0 and math.isfinite(ratio) and max(ratio, 1 / ratio) > 1 + OTHER_SCALE
    if compared["reason"].eq(SCALED).any():
        why = "a split" if usual_factor(ratio) else f"a split (none is usual by {ratio:.4g}) or a stock dividend"
        said.append(
            f"the prices of {first} are {ratio:.4g} times those of {second}: one of them is adjusted for {why} that "
            "the other is not"
        )
    elif off:
        said.append(
            f"the prices of {first} are about {ratio:.4g} times those of {second}, but not by one factor: are both of "
            "one security?"
        )
    elif (shift := _shift(compared, names)) is not None:
        by, cause = ("a minute", "ends") if abs(shift) == 1 else (f"{abs(shift)} minutes", "the hours of another zone")
        said.append(
            f"the bars of {first} are those of {second} {by} {'later' if shift > 0 else 'earlier'}: one of them is "
            f"labelled by {cause}"
        )
    for name in names:
        lacking = compared.filter(pl.col(f"close_{name}").is_null(), pl.col("reason") != NO_TRADE)
        begins = pl.col("timestamp").diff().ne_missing(timedelta(minutes=1)).cum_sum()
        gaps = lacking.group_by(begins.alias("gap"), maintain_order=True).agg(
            first=pl.col("timestamp").min(), last=pl.col("timestamp").max(), minutes=pl.len()
        )
        for gap in gaps.filter(pl.col("minutes") >= LONG_GAP).sort("minutes", descending=True).head(1).to_dicts():
            said.append(f"{name} has no bar from {gap['first']:%H:%M} to {gap['last']:%H:%M} UTC")
    return said


def _shift(compared: pl.DataFrame, names: tuple[str, str]) -> int | None:
    """By how many minutes the second vendor's bars are to be moved to be the first's; None if by none."""
    if 2 * compared.select(_same_prices(names).fill_null(value=False).sum()).item() >= compared.height:
        return None
    one, other = (
        compared.filter(pl.col(f"close_{name}").is_not_null()).select("timestamp", pl.selectors.ends_with(f"_{name}"))
        for name in names
    )
    for shift in SHIFTS:
        moved = other.with_columns(pl.col("timestamp") + timedelta(minutes=shift)).join(one, on="timestamp")
        same = moved.select(_same_prices(names).sum()).item()
        if same >= ONE_FACTOR[0] * moved.height and 2 * moved.height >= min(one.height, other.height) > 0:
            return shift
    return None


def _minute(row: dict[str, Any], names: tuple[str, str]) -> str:
    sides = []
    for name in names:
        prices = [row[f"{price}_{name}"] for price in PRICES]
        sides.append(f"{name} no bar" if prices[3] is None else f"{name} {' '.join(f'{price:g}' for price in prices)}")
    return f"{row['timestamp']:%H:%M} UTC: {', '.join(sides)}"


def volumes(compared: pl.DataFrame, names: tuple[str, str], band: tuple[float, float] = VOLUME_BAND) -> Verdict:
    """Check that the usual minute has comparable volumes; else warn, and say what the ratio looks like.

    Args:
        compared: as `compare_bars` returns it.
        names: of the two vendors, as there.
        band: from which to which median ratio, first to second, nothing is wrong. On a day that is scaled, a split has
            changed the volumes as well, and they are compared in the same shares.
    """
    first, second = (f"volume_{name}" for name in names)
    scaled = bool(compared["reason"].eq(SCALED).any())
    of_prices = (pl.col(f"close_{names[0]}") / pl.col(f"close_{names[1]}")).median() if scaled else pl.lit(1.0)
    traded = compared.with_columns(in_shares=of_prices).filter(pl.col(first).is_not_null(), pl.col(second) > 0)
    traded = traded.select(ratio=pl.col(first) / pl.col(second) * pl.col("in_shares"))
    if traded.is_empty():
        return Verdict("volumes", passed=True, severity="warn", summary="no minute in common has a volume")
    ratio = traded["ratio"]
    median, low, high = (float(ratio.quantile(share, "linear") or 0.0) for share in (0.5, 0.05, 0.95))
    said = f"{names[0]} has {median:.3g} times the volume of {names[1]} in the usual minute ({low:.3g} to {high:.3g})"
    if scaled:
        said += ", counted in the shares of one side of the split"
    if 0.005 <= median <= 0.02:
        said += f"; {names[0]} counts in lots of a hundred"
    return Verdict(
        "volumes",
        passed=band[0] <= median <= band[1],
        severity="warn",
        summary=said,
        metadata={"median_ratio": median, "ratio_p05": low, "ratio_p95": high, "minutes": ratio.len()},
    )
