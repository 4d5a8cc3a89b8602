"""The rules for the bars of a stored day, bar by bar, and the numbers of the day worth plotting.

Here: verdicts on prices, volumes and timestamps that are there. Not here: what is absent (``bar_coverage``), and the
asset checks that show the verdicts.

The rules read one frame for every vendor, named as in ``lake.bar_columns``: ticker String, timestamp Datetime("us",
"UTC") (the start of the minute), open, high, low, close Float64 (dollars), volume (shares), trades (their number) and,
where the vendor has it, vwap Float64 (dollars). A frame of a single security may lack the ticker. Nothing here deletes
or mends a bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from data_assets.counts import all_that, count_of, count_that
from data_assets.quality.naming import NAMES_SHOWN, bar_name, clock
from data_assets.quality.verdict import Severity, Verdict
from data_assets.trading_calendar import NEW_YORK, Session

PRICES = ("open", "high", "low", "close")

VWAP_TOLERANCE = 0.005
"""Dollars by which an average may leave its bar's range: vendors round it, and to fewer places than the prices."""

_PREMARKET = 4
_AFTER_OPTIONS = timedelta(hours=3, minutes=45)
_MINUTE_US = 60_000_000


def extended_hours(hours: Session) -> tuple[datetime, datetime]:
    """When stocks trade on a day, before and after hours included: 04:00 to 20:00 in New York, UTC instants.

    On 13:00 closes trading after hours ends at 17:00. The end follows the option session's close, which an outage of
    the NYSE alone (2005-06-01) did not move.
    """
    start = datetime(hours.day.year, hours.day.month, hours.day.day, _PREMARKET, tzinfo=NEW_YORK)
    return start.astimezone(UTC), hours.option_close + _AFTER_OPTIONS


def ohlc(bars: pl.DataFrame) -> Verdict:
    """Whether each bar can be one: low <= open, close <= high, prices positive and finite, nothing negative.

    A breach is an error: no market makes such a bar.
    """
    price = pl.col(PRICES)
    usable = pl.all_horizontal((price.is_finite() & (price > 0)).fill_null(value=False))
    ordered = (pl.col("low") <= pl.min_horizontal("open", "close")) & (
        pl.max_horizontal("open", "close") <= pl.col("high")
    )
    counted = pl.all_horizontal((pl.col("volume", "trades") >= 0).fill_null(value=False))
    # NaN sorts above every number in Polars, so an average that is no number passes for a volume unless it is asked.
    finite = pl.col("volume").cast(pl.Float64).is_finite().fill_null(value=False)
    kinds = {
        "unusable": (~usable, "with a price that is absent, not finite or not above zero"),
        "inconsistent": (usable & ~ordered, "with the open or the close outside low to high"),
        "negative": (~counted | ~finite, "with a volume or a number of trades that is absent or negative"),
    }
    flags = columns_of(bars, {kind: flag for kind, (flag, _) in kinds.items()})
    counts = {kind: int(flags[kind].sum()) for kind in kinds}
    found = [f"{count_of(counts[kind], 'bar')} {text}" for kind, (_, text) in kinds.items() if counts[kind]]
    breaches = _flagged(bars, flags, found=bool(found))
    return Verdict(
        "ohlc",
        passed=not found,
        severity="error",
        summary="; ".join(found) or all_that(bars.height, "bar", "hold low <= open, close <= high above zero"),
        metadata={
            "rows": bars.height,
            **{f"{kind}_rows": rows for kind, rows in counts.items()},
            "bars_concerned": [
                f"{bar_name(bar)}: open {bar['open']}, high {bar['high']}, low {bar['low']}, close {bar['close']}, "
                f"volume {bar['volume']}, {bar['trades']} trades"
                for bar in breaches.iter_rows(named=True)
            ],
        },
    )


def timestamps(bars: pl.DataFrame) -> Verdict:
    """Whether every bar starts on a minute, no ticker has a minute twice, and the file is in its order.

    The order is by ticker (bytes of its UTF-8) and timestamp. A breach is an error.
    """
    key = _key(bars)
    time, before = pl.col("timestamp"), pl.col("timestamp").shift()
    follows = time > before
    if "ticker" in key:
        ticker, ticker_before = pl.col("ticker"), pl.col("ticker").shift()
        follows = (ticker > ticker_before) | ((ticker == ticker_before) & follows)
    flags = columns_of(
        bars,
        {
            "off_minute": (time.dt.epoch("us") % _MINUTE_US != 0).fill_null(value=False),
            "nameless": pl.any_horizontal(pl.col(key).is_null()),
            "disordered": ~follows.fill_null(value=False) & (pl.int_range(pl.len()) > 0),
        },
    )
    counts = {kind: int(flags[kind].sum()) for kind in flags.columns}
    counts["duplicated"] = bars.height - bars.select(key).n_unique() if counts["disordered"] else 0
    texts = {
        "off_minute": "do not start on a minute",
        "nameless": "have no ticker or no timestamp",
        "disordered": "do not follow the bar before them",
        "duplicated": "have the ticker and minute of another",
    }
    found = [count_that(counts[kind], "bar", text) for kind, text in texts.items() if counts[kind]]
    breaches = _flagged(bars, flags, found=bool(found))
    return Verdict(
        "timestamps",
        passed=not found,
        severity="error",
        summary="; ".join(found) or all_that(bars.height, "bar", "start on a minute, each once and in order"),
        metadata={
            "rows": bars.height,
            **{f"{kind}_rows": rows for kind, rows in counts.items()},
            "bars_concerned": [bar_name(bar) for bar in breaches.iter_rows(named=True)],
        },
    )


def session_hours(bars: pl.DataFrame, *, start: datetime, end: datetime, outside: Severity) -> Verdict:
    """Whether every bar lies in the hours that the vendor's data covers.

    Args:
        bars: of one day.
        start: the first minute, an aware instant: the session's open, or that of `extended_hours`.
        end: the end of the last minute: the session's close, or that of `extended_hours`.
        outside: how bad a bar outside is. An error where only regular hours were asked for; a warning for the extended
            ones, whose end the vendor does not document and where prints reported late can make a bar.
    """
    time = bars["timestamp"]
    early, late = time < start.astimezone(UTC), time >= end.astimezone(UTC)  # a minute that is absent is neither
    counts = {"before it": int(early.sum()), "after it": int(late.sum())}
    beyond = pl.concat([bars.filter(early), bars.filter(late)]) if any(counts.values()) else bars.clear()
    first, last = time.min(), time.max()
    assert first is None or isinstance(first, datetime)
    assert last is None or isinstance(last, datetime)
    from_evening = start.astimezone(NEW_YORK).date() < end.astimezone(NEW_YORK).date()
    covered = f"{clock(start)}{' of the evening before' if from_evening else ''} to {clock(end)} New York"
    found = [f"{count_of(rows, 'bar')} {text}" for text, rows in counts.items() if rows]
    return Verdict(
        "session_hours",
        passed=not found,
        severity=outside,
        summary=f"{covered} is covered: {'; '.join(found)}"
        if found
        else all_that(bars.height, "bar", f"start within {covered}"),
        metadata={
            "rows": bars.height,
            "rows_before": counts["before it"],
            "rows_after": counts["after it"],
            "first_bar": clock(first),
            "last_bar": clock(last),
            "bars_concerned": [bar_name(bar) for bar in beyond.head(NAMES_SHOWN).iter_rows(named=True)],
        },
    )


def volume(bars: pl.DataFrame, *, tolerance: float = VWAP_TOLERANCE) -> Verdict:
    """Whether volumes can be right, and whether each average lies in the range of its bar.

    A volume that is negative, absent or no number is an error (a vendor's "not applicable" is -1). An average outside
    its bar warns: it may count trades that the range leaves out. Bars without volume are counted only, as are
    fractional volumes (of shares, of lots, or of shares before a reverse split); the average of a bar without volume
    means nothing and is not compared.

    Args:
        bars: with the column vwap.
        tolerance: dollars by which the average may leave the bar's range.
    """
    shares = pl.col("volume").cast(pl.Float64)
    impossible = (~shares.is_finite() | (shares < 0)).fill_null(value=True)
    inside = pl.col("vwap").is_between(pl.col("low") - tolerance, pl.col("high") + tolerance)
    flags = columns_of(
        bars,
        {
            "negative": impossible,
            "vwap_outside": ~impossible & (shares > 0) & ~inside.fill_null(value=False),
            "zero_volume": (shares == 0).fill_null(value=False),
            "fractional_volume": ~impossible & (shares != shares.floor()),
        },
    )
    counts = {kind: int(flags[kind].sum()) for kind in flags.columns}
    texts = {
        "negative": "with a volume that is absent or negative",
        "vwap_outside": "with an average outside low to high",
    }
    found = [f"{count_of(counts[kind], 'bar')} {text}" for kind, text in texts.items() if counts[kind]]
    breaches = _flagged(bars, flags.select(*texts), found=True) if found else bars.clear()
    return Verdict(
        "volume",
        passed=not found,
        severity="error" if counts["negative"] else "warn",
        summary="; ".join(found)
        or f"{count_of(bars.height, 'bar')}: {counts['zero_volume']:,} without volume, "
        f"{counts['fractional_volume']:,} with a fractional volume",
        metadata={
            "rows": bars.height,
            **{f"{kind}_rows": rows for kind, rows in counts.items()},
            "tolerance": tolerance,
            "bars_concerned": [
                f"{bar_name(bar)}: volume {bar['volume']}, average {bar['vwap']}, low {bar['low']}, high {bar['high']}"
                for bar in breaches.iter_rows(named=True)
            ],
        },
    )


def day_metrics(bars: pl.DataFrame, hours: Session) -> dict[str, int | float]:
    """The day in numbers, for plots over many days.

    Returns:
        rows; tickers (1 for a frame without them); regular_rows, those of the regular session; zero_volume_rows;
        fractional_volume_rows; volume in shares; trades.
    """
    shares = pl.col("volume").cast(pl.Float64)
    numbers = columns_of(
        bars,
        {
            "rows": pl.len(),
            "tickers": pl.col("ticker").n_unique() if "ticker" in bars.columns else pl.lit(1),
            "regular_rows": ((pl.col("timestamp") >= hours.open) & (pl.col("timestamp") < hours.close)).sum(),
            "zero_volume_rows": (shares == 0).sum(),
            "fractional_volume_rows": (shares != shares.floor()).sum(),
            "volume": shares.sum(),
            "trades": pl.col("trades").sum(),
        },
    )
    return numbers.row(0, named=True)


FEW_ROWS = 10_000
"""Of these, computing a column takes less time than waking the threads that would compute several at once."""


def columns_of(bars: pl.DataFrame, columns: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Some columns computed of bars: of few bars one after another, of many as many at once as there are threads."""
    named = [expression.alias(name) for name, expression in columns.items()]
    return bars.select_seq(named) if bars.height <= FEW_ROWS else bars.select(named)


def _flagged(bars: pl.DataFrame, flags: pl.DataFrame, *, found: bool) -> pl.DataFrame:
    """The first bars with any of the flags; without asking for them where it is known that there are none."""
    if not found:
        return bars.clear()
    return bars.filter(flags.select(pl.any_horizontal(pl.all())).to_series()).head(NAMES_SHOWN)


def _key(bars: pl.DataFrame) -> list[str]:
    return ["ticker", "timestamp"] if "ticker" in bars.columns else ["timestamp"]
