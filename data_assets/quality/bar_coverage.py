"""The rules for what a stored day of minute bars lacks.

Here: verdicts on absent minutes, tickers and rows, and what an absence means as far as it can be told. Not here: bars
that are there (``minute_bars``, which also describes the frame), and the asset checks that show the verdicts.

A vendor writes no bar for a minute without trades, so an absent minute alone says nothing. What can be told: names
that trade in every minute lack none; a minute that most tickers lack is a hole in the market's data; a ticker that
trades in every minute and then in none has lost a stretch. Everything else is "cannot tell", and says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from statistics import median

import polars as pl

from data_assets.counts import count_of, part_of
from data_assets.quality.minute_bars import PRICES
from data_assets.quality.naming import NAMES_SHOWN, clock, minutes_text
from data_assets.quality.verdict import Severity, Verdict
from data_assets.trading_calendar import Session

MINIMUM_SHARE = 0.8
"""The share of the usual rows or tickers below which a whole file counts as truncated."""

NEIGHBOURS_NEEDED = 5
"""How many other days are needed to tell what is usual: the median of five holds if two of them are wrong."""

HOLE_SHARE = 0.5
"""The share of the session's median of trading tickers below which a minute is a hole."""

TICKERS_TO_TELL = 5
"""The median of trading tickers per minute from which on an outage can be told from a few tickers without trades."""

CONTINUOUS = 0.9
"""The share of the minutes between its first and last bar from which on a ticker trades all the time, and the share of
the session which such a ticker's first to last bar must span to be whole."""

LONG_STRETCH = 30
"""Minutes with a bar from which on a ticker can be said to trade all the time; fewer may lie together by chance."""

_REGULAR_MINUTES = 390

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class FileSize:
    """How much the vendor's whole file of a day holds, before any ticker is chosen from it.

    Attributes:
        rows: bars of all tickers.
        tickers: how many tickers have one.
    """

    rows: int
    tickers: int


@lru_cache(maxsize=4)  # several rules ask for those of one day
def regular_minutes(hours: Session) -> tuple[datetime, ...]:
    """The start of every minute of the regular session: 390, or 210 on 13:00 closes."""
    return tuple(_regular_minutes(hours))


@lru_cache(maxsize=4)
def _regular_minutes(hours: Session) -> pl.Series:
    # Of numbers: `pl.datetime_range` of instants with a zone is several small queries, which cost 25 times as much.
    first, end = ((instant - _EPOCH) // _MICROSECOND for instant in (hours.open, hours.close))
    return pl.int_range(first, end, _MINUTE_US, eager=True).cast(pl.Datetime("us", "UTC"))


def has_each_minute(bars: pl.DataFrame, hours: Session) -> bool:
    """Whether a single security's bars are those of the regular minutes, one for each, in order, and no other."""
    return bars["timestamp"].equals(_regular_minutes(hours))


def missing_minutes(bars: pl.DataFrame, hours: Session) -> list[datetime]:
    """The minutes of the regular session for which a single security has no bar, oldest first."""
    if has_each_minute(bars, hours):  # as nearly always; instants of Python's are made one by one
        return []
    found = set(bars["timestamp"].to_list())
    return [minute for minute in regular_minutes(hours) if minute not in found]


def market_holes(minutes_present: Sequence[int], hours: Session) -> list[datetime] | None:
    """The minutes of the regular session that most tickers lack: an outage, or a halt of the whole market.

    Args:
        minutes_present: for each minute of the regular session, in order, how many tickers of the file have a bar.
        hours: the session.

    Returns:
        The minutes, oldest first; None where too few tickers trade to tell.

    Raises:
        ValueError: the counts are not those of the session's minutes.
    """
    if len(minutes_present) != hours.minutes:
        raise ValueError(f"{len(minutes_present)} counts for a session of {hours.minutes} minutes: give one for each")
    counts = [tickers for tickers in minutes_present if tickers]
    if not counts or (usual := median(counts)) < TICKERS_TO_TELL:
        return None
    minutes = zip(regular_minutes(hours), minutes_present, strict=True)
    return [minute for minute, tickers in minutes if tickers < HOLE_SHARE * usual]


def session_bar_count(bars: pl.DataFrame, *, hours: Session, lenient: bool = False) -> Verdict:
    """Check that a single security has exactly one bar for each minute of the regular session.

    Args:
        bars: of one security, regular hours only.
        hours: the session, whose minutes are expected.
        lenient: accept absent minutes, for thinly traded securities, and count them. A day without any bar, or with
            more bars than expected, is an error all the same.
    """
    missing = missing_minutes(bars, hours)
    found = hours.minutes - len(missing)
    surplus = bars.height - found
    problems = []
    if not bars.height:
        problems.append(f"no bar at all, {hours.minutes} expected")
    elif missing and not lenient:
        problems.append(f"{found} of {hours.minutes} minutes; missing {minutes_text(missing)}")
    if surplus:
        problems.append(f"{count_of(surplus, 'bar')} more than the minutes of the regular session")
    accepted = f"; accepted as minutes without trades: {minutes_text(missing)}" if missing else ""
    return Verdict(
        "bar_count",
        passed=not problems,
        severity="error",
        summary="; ".join(problems) or f"{found} of {hours.minutes} minutes{accepted}",
        metadata={
            "expected_bars": hours.minutes,
            "actual_bars": bars.height,
            "missing_minutes": len(missing),
            "surplus_bars": surplus,
            "missing": minutes_text(missing),
        },
    )


def market_bar_count(
    bars: pl.DataFrame,
    *,
    hours: Session,
    liquid: Collection[str],
    size: FileSize,
    neighbours: Sequence[FileSize],
    last_bar: datetime,
    minutes_present: Sequence[int],
    minimum_share: float = MINIMUM_SHARE,
) -> Verdict:
    """Check that a day of the whole market is complete, as far as counts can tell.

    It is an error if the file ends before the close, or holds clearly fewer rows or tickers than usual, as a truncated
    file that can still be read does. On an early close fewer rows or tickers only warn, since such days are thin; rows
    are compared in proportion to the session's minutes. With too few neighbours stored, rows and tickers are not
    judged, and the verdict waits for more. A minute warns if most tickers lack it (an outage or a halt of the market),
    or if a liquid ticker alone lacks it (no trade, or a halt in that ticker).

    Args:
        bars: of the stored tickers.
        hours: the session.
        liquid: tickers that trade in every regular minute; those without any bar are left to `coverage`.
        size: of the whole file.
        neighbours: sizes of the nearest other days, in any order.
        last_bar: the start of the whole file's last minute, an aware instant.
        minutes_present: of the whole file, as `market_holes` reads it.
        minimum_share: the share of the neighbours' median, from 0 to 1, below which rows or tickers are too few.
    """
    errors: list[str] = []
    warnings: list[str] = []
    if last_bar < hours.close - timedelta(minutes=1):
        errors.append(f"the file ends at {clock(last_bar)}, before the close at {clock(hours.close)}")
    usual, shares = _against_usual(size, neighbours, hours)
    few = [f"{share:.0%} of the usual {kind}" for kind, share in shares.items() if share < minimum_share]
    if few:
        (warnings if hours.is_early_close else errors).append(f"only {' and '.join(few)}")

    holes = market_holes(minutes_present, hours)
    if holes:
        warnings.append(f"outage, or a halt of the market: most tickers lack {minutes_text(holes)}")
    in_market = set(holes or ())
    counts = _minutes_of(bars.filter(pl.col("ticker").is_in(list(liquid))), hours)
    alone: list[str] = []
    for ticker in counts["ticker"]:
        lacking = missing_minutes(bars.filter(pl.col("ticker") == ticker), hours)
        if own := [minute for minute in lacking if minute not in in_market]:
            alone.append(f"{ticker} lacks {minutes_text(own)}")
    if alone:
        more = f" and {len(alone) - NAMES_SHOWN} more" if len(alone) > NAMES_SHOWN else ""
        warnings.append(f"no trade, or a halt in one ticker: {'; '.join(alone[:NAMES_SHOWN])}{more}")

    whole = int((counts["minutes"] == hours.minutes).sum())
    held = f"{part_of(whole, counts.height, 'liquid ticker', 'have')} all {hours.minutes} regular minutes"
    told = (
        ", ".join(f"{share:.0%} of the usual {kind}" for kind, share in shares.items())
        if shares
        else f"whether that is usual cannot be told yet ({count_of(len(neighbours), 'day')} near it, "
        f"{NEIGHBOURS_NEEDED} needed)"
    )
    if holes is None:
        told += "; too few tickers to tell an outage from minutes without trades"
    facts = f"{count_of(size.rows, 'row')} of {count_of(size.tickers, 'ticker')}; {told}; {held}"
    severity: Severity = "error" if errors else "warn"
    return Verdict(
        "bar_count",
        passed=not (errors or warnings),
        severity=severity,
        summary="; ".join([*errors, *warnings]) or facts,
        metadata={
            "file_rows": size.rows,
            "file_tickers": size.tickers,
            "usual": usual,
            **{f"{kind}_share_of_usual": share for kind, share in shares.items()},
            "neighbours": len(neighbours),
            "expected_minutes": hours.minutes,
            "last_bar": clock(last_bar),
            "liquid_names": counts.height,
            "liquid_names_whole": whole,
            "market_holes": -1 if holes is None else len(holes),
            "holes": minutes_text(holes or ()),
            "names_with_holes": alone[:NAMES_SHOWN],
        },
        waits_for=0 if shares else NEIGHBOURS_NEEDED,
    )


def coverage(
    bars: pl.DataFrame,
    *,
    wanted: Sequence[str],
    liquid: Collection[str],
    hours: Session,
    holes: Sequence[datetime] | None,
) -> Verdict:
    """Tell for each wanted ticker whether the day holds it completely.

    - complete: a bar in every minute of the regular session;
    - absent: no bar at all, though the file is there;
    - partial: minutes are missing that trading alone does not explain: those of a liquid ticker, those in a hole of the
      market's data, or those before or after a stretch in which the ticker trades all the time (a halt, or its first
      day, looks the same);
    - cannot tell: minutes are missing, and a minute without trades has no bar.

    Absent and partial tickers warn, and so do those that have the bars of another (`same_bars`); a day without any of
    the wanted tickers is an error.

    Args:
        bars: of the stored tickers.
        wanted: the tickers that the day should hold; repeats do not count.
        liquid: tickers that trade in every regular minute.
        hours: the session.
        holes: what `market_holes` returned.
    """
    names = list(dict.fromkeys(wanted))
    of_wanted = bars.filter(pl.col("ticker").is_in(names))
    in_holes = pl.col("timestamp").is_in(list(holes or ())) if holes else pl.lit(value=False)
    minutes = _minutes_of(of_wanted, hours, in_holes.alias("in_holes"))
    span = (pl.col("last") - pl.col("first")).dt.total_minutes() + 1
    continuous = (pl.col("minutes") >= LONG_STRETCH) & (pl.col("minutes") >= CONTINUOUS * span)
    lost_a_stretch = continuous & (span < CONTINUOUS * hours.minutes)
    lost_in_hole = (pl.col("in_holes") < len(holes or ())) & (
        pl.col("minutes") - pl.col("in_holes") >= CONTINUOUS * (hours.minutes - len(holes or ()))
    )
    judged = (
        pl.DataFrame({"ticker": names}, schema={"ticker": pl.String})
        .join(minutes, on="ticker", how="left", maintain_order="left")
        .with_columns(
            state=pl.when(pl.col("rows").is_null())
            .then(pl.lit("absent"))
            .when(pl.col("minutes") == hours.minutes)
            .then(pl.lit("complete"))
            .when(pl.col("ticker").is_in(list(liquid)) | lost_a_stretch | lost_in_hole)
            .then(pl.lit("partial"))
            .otherwise(pl.lit("cannot_tell"))
        )
    )
    states = {
        state: judged.filter(pl.col("state") == state) for state in ("complete", "partial", "absent", "cannot_tell")
    }
    counts = {state: frame.height for state, frame in states.items()}
    expected = len(names) * hours.minutes
    share = int(judged["minutes"].sum()) / expected if expected else 1.0
    told = [
        f"{counts[state]:,} {state.replace('_', ' ')}"
        + (f" ({_some(frame)})" if state != "complete" and frame.height else "")
        for state, frame in states.items()
        if frame.height
    ]
    same = [" as ".join(tickers) for tickers in same_bars(of_wanted)]
    alike = f"; identical in every bar, which no market produces: {', '.join(same[:NAMES_SHOWN])}" if same else ""
    return Verdict(
        "coverage",
        passed=not (counts["absent"] or counts["partial"] or same),
        severity="error" if names and counts["absent"] == len(names) else "warn",
        summary=f"of {count_of(len(names), 'ticker')}: {', '.join(told)}; {share:.1%} of the regular minutes "
        f"have a bar{alike}"
        if names
        else "no ticker is wanted",
        metadata={
            "wanted": len(names),
            **counts,
            "coverage_share": share,
            "same_bars": same[:NAMES_SHOWN],
            "partial_tickers": [
                f"{row['ticker']}: {row['minutes']} of {hours.minutes} minutes, "
                f"{clock(row['first'])} to {clock(row['last'])}"
                for row in states["partial"].head(NAMES_SHOWN).iter_rows(named=True)
            ],
            "absent_tickers": states["absent"]["ticker"].head(NAMES_SHOWN).to_list(),
            "cannot_tell_tickers": states["cannot_tell"]["ticker"].head(NAMES_SHOWN).to_list(),
        },
    )


def same_bars(bars: pl.DataFrame) -> list[tuple[str, ...]]:
    """Find tickers whose bars are identical throughout, prices and volumes; each group in the order of the file.

    Users have found one security's data under the name of another (polygon-io/issues 68). That half an hour of bars
    with more than one price cannot agree by chance is a judgement; test tickers, which repeat one price, are not
    reported.
    """
    sums = bars.group_by("ticker", maintain_order=True).agg(
        rows=pl.len(), volume=pl.col("volume").sum(), close=pl.col("close").sum(), prices=pl.col("close").n_unique()
    )
    likely = sums.filter(pl.col("rows") >= LONG_STRETCH, pl.col("prices") > 1).filter(
        pl.struct("rows", "volume", "close").is_duplicated()
    )
    groups: dict[bytes, list[str]] = {}
    for ticker in likely["ticker"]:
        own = bars.filter(pl.col("ticker") == ticker).select("timestamp", *PRICES, "volume").sort("timestamp")
        groups.setdefault(own.hash_rows().to_numpy().tobytes(), []).append(ticker)
    return [tuple(tickers) for tickers in groups.values() if len(tickers) > 1]


def _against_usual(size: FileSize, neighbours: Sequence[FileSize], hours: Session) -> tuple[str, dict[str, float]]:
    """What is usual for a session of this length, and the shares of it; neither with too few neighbours."""
    if len(neighbours) < NEIGHBOURS_NEEDED:
        return "cannot tell yet", {}
    rows = median(day.rows for day in neighbours) * min(hours.minutes / _REGULAR_MINUTES, 1)
    tickers = median(day.tickers for day in neighbours)
    usual = f"{rows:,.0f} rows of {tickers:,.0f} tickers"
    return usual, {
        "rows": size.rows / rows if rows else 1.0,
        "tickers": size.tickers / tickers if tickers else 1.0,
    }


def _minutes_of(bars: pl.DataFrame, hours: Session, *flags: pl.Expr) -> pl.DataFrame:
    """Per ticker: rows; distinct regular minutes, the first and the last of them; how many of them have each flag."""
    time = pl.col("timestamp")
    regular = (time >= hours.open) & (time < hours.close) & (time.dt.second() == 0) & (time.dt.microsecond() == 0)
    counted = (
        bars.filter(regular)
        .unique(["ticker", "timestamp"])
        .with_columns(flags)
        .group_by("ticker")
        .agg(
            minutes=pl.len(),
            first=time.min(),
            last=time.max(),
            **{flag.meta.output_name(): pl.col(flag.meta.output_name()).sum() for flag in flags},
        )
    )
    rows = bars.group_by("ticker", maintain_order=True).agg(rows=pl.len())
    absent = {"minutes": 0, **{flag.meta.output_name(): 0 for flag in flags}}
    joined = rows.join(counted, on="ticker", how="left", maintain_order="left")
    return joined.with_columns(pl.col(column).fill_null(value).cast(pl.Int64) for column, value in absent.items())


def _some(frame: pl.DataFrame) -> str:
    names = ", ".join(frame["ticker"].head(NAMES_SHOWN))
    return f"{names}, …" if frame.height > NAMES_SHOWN else names
