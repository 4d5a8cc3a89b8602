"""What the underlying costs by the options on it, held against what a vendor says that it costs.

By put-call parity a call less a put at one strike is worth the underlying less the strike, but for interest and
dividends until expiration. Of the nearest expiration these are cents, so the quotes of a chain say what the underlying
is worth, to within their spread.

Here: the implied price of each snapshot, and the verdict. Not here: reading chains and bars.
"""

from __future__ import annotations

import polars as pl

from data_assets.counts import part_of, verb_of
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import NEW_YORK

STRIKES = 5
"""Those nearest to the money, whose two mids are nearest to each other; the median of what they imply counts."""

TOLERANCE = 0.05
"""Share of snapshots whose level lies outside the band, above which `parity` warns. A judgement."""

CARRY = 0.06
"""Share of the level, for each year until expiration, by which interest may move what options imply. A judgement: 5.5 %
was the upper bound of the Federal Reserve's target in 2023. A month before expiration it comes to 0.5 % of the level, a
day before it to 0.02 %: so of an underlying with monthly expirations alone little is judged, and nothing falsely."""

LEAST_BAND = 0.0005
"""Share of the level that is never a difference: interest and dividends of a day or two. A judgement."""

COLUMNS = pl.Schema({"timestamp": pl.Datetime("us", "UTC"), "implied": pl.Float64(), "band": pl.Float64()})


def implied_underlying(quotes: pl.DataFrame) -> pl.DataFrame:
    """The price of the underlying that the quotes of the nearest expiration imply, snapshot by snapshot.

    Of a snapshot in which that one has no pair, as in its last hours, when what is out of the money has no bid, or once
    it has settled in the morning, the next one counts.

    Args:
        quotes: symbol (the root, for SPX and SPXW settle at different times and are no pair), expiration, strike
            (dollars), right (CALL or PUT), timestamp (UTC), bid, ask (dollars).

    Returns:
        One row per snapshot with at least one strike that is quoted on both sides as a call and as a put:
        ``timestamp``; ``implied``: strike plus call mid less put mid, dollars, the median of the strikes nearest to the
        money; ``band``: half of both spreads together, dollars, the median of the same strikes, and what interest until
        the expiration may come to (`CARRY`).
    """
    sound = quotes.filter(pl.col("bid") > 0, pl.col("ask") >= pl.col("bid")).select(
        "timestamp",
        "symbol",
        "expiration",
        "strike",
        "right",
        mid=(pl.col("bid") + pl.col("ask")) / 2,
        half_spread=(pl.col("ask") - pl.col("bid")) / 2,
    )
    calls, puts = (sound.filter(pl.col("right") == right).drop("right") for right in ("CALL", "PUT"))
    pairs = (
        calls.join(puts, on=["timestamp", "symbol", "expiration", "strike"], suffix="_put")
        .filter(pl.col("expiration") == pl.col("expiration").min().over("timestamp"))
        .with_columns(apart=(pl.col("mid") - pl.col("mid_put")).abs())
    )
    nearest = pairs.filter(pl.col("apart").rank("ordinal").over("timestamp") <= STRIKES)
    return (
        nearest.group_by("timestamp")
        .agg(
            implied=(pl.col("strike") + pl.col("mid") - pl.col("mid_put")).median(),
            band=(pl.col("half_spread") + pl.col("half_spread_put") + _carry()).median(),
        )
        .sort("timestamp")
        .cast(COLUMNS)
    )


def _carry() -> pl.Expr:
    """Dollars, by the strike, which is near the level; none on the day of the expiration itself."""
    day = pl.col("timestamp").dt.convert_time_zone(NEW_YORK.key).dt.date()
    return pl.col("strike") * CARRY * (pl.col("expiration") - day).dt.total_days() / 365


def parity(compared: pl.DataFrame, level_of: str, tolerance: float = TOLERANCE) -> Verdict:
    """Check that the level lies within the band around what the options imply; else warn.

    Args:
        compared: one row per snapshot: timestamp, implied, band and level (dollars), none of them null.
        level_of: whose level it is, for the summary.
        tolerance: the share of snapshots that may lie outside.
    """
    if compared.is_empty():
        return Verdict("parity", passed=True, severity="warn", summary="cannot tell: no snapshot has both")
    judged = compared.with_columns(
        gap=pl.col("level") - pl.col("implied"),
        allowed=pl.max_horizontal("band", pl.col("level") * LEAST_BAND),
    ).with_columns(outside=pl.col("gap").abs() > pl.col("allowed"))
    outside, gap = int(judged["outside"].sum()), float(judged["gap"].median())  # type: ignore[arg-type]
    worst = judged.filter("outside").sort(pl.col("gap").abs(), descending=True).head(10)
    return Verdict(
        "parity",
        passed=outside <= tolerance * judged.height,
        severity="warn",
        summary=f"{part_of(outside, judged.height, 'snapshot')} of {level_of} {verb_of(outside, 'lie')} outside "
        "what the options imply; "
        f"usually {gap:+.3f} dollars apart",
        metadata={
            "snapshots": judged.height,
            "outside": outside,
            "outside_share": outside / judged.height,
            "median_gap": gap,
            "tolerance": tolerance,
            "worst_snapshots": [
                f"{row['timestamp']:%H:%M} UTC: {row['level']:g}, implied {row['implied']:.2f} give or take "
                f"{row['allowed']:.2f}"
                for row in worst.iter_rows(named=True)
            ],
        },
    )
