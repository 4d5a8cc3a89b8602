"""The rules for a stored day of first-order greeks, and the summary that they read.

Here: summarizing a day batch by batch, and verdicts on the summary. Not here: grid, contract set and order, whose rules
are those of quotes (``option_quotes`` on ``contract_summary``), and the asset checks that show the verdicts.

A day can have ten million rows. Its summary has a row per contract, a row per root and minute, and the quotes of the
strike nearest to the money per expiration and minute: for any split of the rows into batches, the merged summaries of
the batches equal the summary of the whole. No rule deletes or mends a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

import polars as pl

from data_assets.counts import count_of, part_of, verb_of
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.naming import NAMES_SHOWN, clock, session_day, some_contracts
from data_assets.quality.thresholds import Shares
from data_assets.quality.verdict import Verdict

FAILED_ERROR = 100.0
"""The ``iv_error`` from which on the vendor found no volatility; that of a solved row is a small fraction."""

POOR_ERROR = 0.5
"""The ``iv_error`` from which on a volatility fits its price poorly."""

HIGH_VOLATILITY = 5.0
"""500 % a year: the solver diverged, or the option costs a cent, far from the money on its last day."""

NEAR_THE_MONEY = 0.02
"""How far from the underlying, as a share of it, a strike may lie to count for put-call parity."""

_GREEKS = ("delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error")
_COUNTS = ("opening", "failed", "opening_failed", "zero", "high", "poor", "negative", "unusable", "impossible_delta")
_MONEY = ("symbol", "expiration", "timestamp", "right")
_ROUNDING = 1e-9
_DAYS_PER_YEAR = 365


@dataclass(frozen=True, slots=True)
class GreekSummary:
    """The summary of a day of greeks, or of a batch of it.

    Attributes:
        contracts: one row per contract in order of first appearance: symbol, expiration, strike, right; Int64 counts

            - rows; opening: those at the open, where there is no quote to solve for
            - failed: ``iv_error`` of 100 or more; opening_failed: those of them at the open
            - zero: a volatility of 0, which the vendor gives if the price is not above the intrinsic value
            - high: a volatility above 500 %; poor: an error of 50 % or more that is not failed
            - negative: a volatility below 0; impossible_delta: a delta beyond -1 or 1
            - unusable: a greek or the underlying's price that is missing or not a finite number, as the model leaves
              them if an index has no price

            and lowest_vol, highest_vol: of the solved rows.
        underlying: one row per symbol and timestamp: low, high (of its positive prices, dollars), rows, absent (price
            0, missing or no number), negative, later (rows whose price is younger than the row), lag (the oldest one's
            age).
        money: the quoted rows of the strike nearest to the underlying, per symbol, expiration, timestamp and right, as
            far as it is within 2 %: strike, middle, half_spread, underlying_price (dollars).
    """

    contracts: pl.DataFrame
    underlying: pl.DataFrame
    money: pl.DataFrame

    def of(self, symbol: str) -> GreekSummary:
        """Return the part of one option root."""
        return GreekSummary(
            *(frame.filter(pl.col("symbol") == symbol) for frame in (self.contracts, self.underlying, self.money))
        )


@dataclass(frozen=True, slots=True)
class IvThresholds(Shares):
    """Shares of a day's rows, from 0 to 1, above which ``iv`` warns; rows that fail at the open do not count.

    No vendor publishes such rates. A published capture of SPX and SPXW minutes before a close, 13,536 contracts of up
    to 60 days, had 12.7 % zero, 0.8 % above 500 % and 0.2 % poor.

    Attributes:
        failed: no volatility was found.
        zero: the price is not above the intrinsic value, usual deep in the money.
        high: a volatility above 500 % a year.
        poor: a volatility whose model price is off by half or more.
        unusable: a greek that is empty or not a finite number.
    """

    failed: float = 0.05
    zero: float = 0.25
    high: float = 0.05
    poor: float = 0.05
    unusable: float = 0.05


def greek_summary(greeks: pl.DataFrame, *, open_: datetime) -> GreekSummary:
    """Summarize rows for the rules.

    Rows may be in any order; it is fast if a contract's rows lie together.

    Args:
        greeks: the columns symbol, expiration, strike, right, timestamp (UTC), bid, ask, the eight greeks,
            underlying_timestamp (UTC) and underlying_price (dollars).
        open_: the session's open, an aware instant.
    """
    return GreekSummary(_contracts(greeks, open_), _underlying(greeks), _money(greeks))


def merge_greek_summaries(summaries: Sequence[GreekSummary]) -> GreekSummary:
    """Merge the summaries of consecutive batches.

    Args:
        summaries: at least one, in the order of their batches, made with the same open.
    """
    return GreekSummary(
        _join_contracts(pl.concat([summary.contracts for summary in summaries])),
        _join_underlying(pl.concat([summary.underlying for summary in summaries])),
        _nearest(pl.concat([summary.money for summary in summaries])),
    )


def iv(summary: GreekSummary, thresholds: IvThresholds) -> Verdict:
    """Check that the vendor found volatilities, and that they are plausible.

    A negative volatility and a delta beyond -1 or 1 are errors. Rows that could not be solved, or only poorly, are kept
    as the vendor marks them (an ``iv_error`` of 100, NaN, an empty cell), counted, and warned of above the thresholds.
    That an empty cell means no more than that is a judgement.
    """
    contracts = summary.contracts
    kinds = {
        "negative": "a negative volatility",
        "impossible_delta": "a delta beyond -1 or 1",
    }
    counts = {kind: int(contracts[kind].sum()) for kind in kinds}
    shares, limits = _shares(contracts), asdict(thresholds)
    wrong = [f"{count_of(rows, 'row')} with {kinds[kind]}" for kind, rows in counts.items() if rows]
    high = [f"{kind} {shares[kind]:.2%} (limit {limits[kind]:.2%})" for kind in limits if shares[kind] > limits[kind]]
    every = ", ".join(f"{kind} {share:.2%}" for kind, share in shares.items())
    lowest, highest = contracts.select(pl.col("lowest_vol").min(), pl.col("highest_vol").max()).row(0)
    span = "no volatility was solved" if lowest is None else f"solved volatilities {lowest:.4f} to {highest:.4f}"
    watched = ("unusable", "negative", "impossible_delta", "failed", "poor", "high")
    worst = contracts.with_columns(failed=pl.col("failed") - pl.col("opening_failed"))
    worst = worst.filter(pl.any_horizontal(pl.col(watched) > 0)).sort(watched, descending=True, maintain_order=True)
    return Verdict(
        "iv",
        passed=not (wrong or high),
        severity="error" if wrong else "warn",
        summary="; ".join([*([*wrong, *high] or [every]), span]),
        metadata={
            **{f"{kind}_rows": rows for kind, rows in counts.items()},
            "unusable_rows": int(contracts["unusable"].sum()),
            **{f"{kind}_share": share for kind, share in shares.items()},
            **{f"{kind}_limit": limit for kind, limit in limits.items()},
            **({} if lowest is None else {"lowest_vol": lowest, "highest_vol": highest}),
            "failed_at_open": int(contracts["opening_failed"].sum()),
            "worst_contracts": some_contracts(
                worst, lambda row: ", ".join(f"{row[kind]} {kind}" for kind in watched if row[kind])
            ),
        },
    )


def parity(
    summary: GreekSummary,
    *,
    close: datetime,
    band: float = 0.002,
    carry: float = 0.06,
    longest: timedelta = timedelta(days=60),
    tolerance: float = 0.05,
) -> Verdict:
    """Check put-call parity: near the money, call minus put is about underlying minus strike; at most a warning.

    For each expiration and minute the strike nearest to the underlying is taken, if call and put are quoted. The
    midpoints may be off parity by both half spreads, by ``band``, and by ``carry`` for the time to expiration, because
    interest and dividends are not known here.

    Args:
        summary: of the whole day.
        close: the underlying's close; an index has no price of its own after it.
        band: a share of the underlying's price.
        carry: the most that interest minus dividends can be per year, in either direction.
        longest: the longest time to expiration of a pair that is judged; the allowance grows with this time.
        tolerance: the share of pairs off parity above which the verdict warns.
    """
    day = session_day(close)
    before = summary.money.filter(pl.col("timestamp") <= close, pl.col("expiration") <= day + longest)
    calls, puts = (before.filter(pl.col("right") == right).drop("right") for right in ("CALL", "PUT"))
    pairs = calls.join(puts, on=["symbol", "expiration", "timestamp", "strike"], suffix="_put", maintain_order="left")
    if pairs.is_empty():
        return Verdict(
            "parity",
            passed=True,
            severity="warn",
            summary="cannot tell: no strike near the money has both sides quoted",
        )
    price, years = (
        pl.col("underlying_price"),
        (pl.col("expiration") - day).dt.total_days() / _DAYS_PER_YEAR,
    )
    judged = pairs.with_columns(
        gap=(pl.col("middle") - pl.col("middle_put")) - (price - pl.col("strike")),
        room=pl.col("half_spread") + pl.col("half_spread_put") + price * (band + carry * years),
    )
    outside = judged.filter(pl.col("gap").abs() > pl.col("room")).sort(
        (pl.col("gap").abs() - pl.col("room")) / price, descending=True, maintain_order=True
    )
    share = outside.height / judged.height
    typical = judged.select((pl.col("gap").abs() / price).median()).item()
    return Verdict(
        "parity",
        passed=share <= tolerance,
        severity="warn",
        summary=f"{part_of(outside.height, judged.height, 'pair')} of call and put next to the money ({share:.2%}) "
        f"{verb_of(outside.height, 'leave')} "
        f"parity with the underlying by more than spreads, {band:.2%} and a carry of {carry:.0%} a year",
        metadata={
            "pairs": judged.height,
            "outside": outside.height,
            "outside_share": share,
            "tolerance": tolerance,
            "typical_gap_share": typical,
            "worst_pairs": some_contracts(
                outside.with_columns(right=pl.lit("CALL")),
                lambda row: f"at {clock(row['timestamp'])} off by {row['gap']:+.2f}, {row['room']:.2f} allowed",
            ),
        },
    )


def underlying(
    summary: GreekSummary,
    *,
    open_: datetime,
    close: datetime,
    path: pl.DataFrame | None = None,
    near: float = 0.01,
    far: float = 0.2,
    jump: float = 0.03,
    apart: float = 0.005,
    stale: timedelta = timedelta(minutes=5),
    absent: float = 0.01,
) -> Verdict:
    """Check that the underlying's price behind the greeks is plausible.

    A negative price, a price newer than its row, and a price away from a given path are errors. A price warns if it is
    absent (0, or not a number; an index has none at the open), old, different from that of other contracts at the same
    instant, far from the day's median, or jumps from minute to minute.

    Args:
        summary: of the whole day.
        open_: the session's open, an aware instant.
        close: the underlying's close; age and jumps are judged up to it.
        path: timestamp (UTC) and price of the underlying from another source, if there is one.
        near: how far from the path a price may be, as a share of it.
        far: how far from the day's median, as a share of it.
        jump: how far from the price at the timestamp before, as a share of it.
        apart: how far apart the prices at one instant may be, as a share.
        stale: how old a price may be.
        absent: the share of rows without a price, not counting the open, above which the verdict warns.
    """
    minutes = summary.underlying.sort("symbol", "timestamp")
    priced = minutes.drop_nulls("low").with_columns(
        median=pl.col("low").median().over("symbol"),
        step=(pl.col("low") / pl.col("low").shift().over("symbol") - 1).abs(),
    )
    in_session = pl.col("timestamp").is_between(open_, close)
    impossible = {
        "negative_rows": (int(minutes["negative"].sum()), "rows with a negative price"),
        "later_rows": (int(minutes["later"].sum()), "rows whose underlying price is newer than the row"),
    }
    if path is not None:
        beside = priced.join(path.select("timestamp", "price"), on="timestamp", maintain_order="left")
        off_path = beside.filter(pl.col("price") > 0, _beyond(pl.col("price"), near)).height
        impossible["off_path"] = (off_path, f"instants more than {near:.0%} away from the path")
    unusual = {
        "far_from_median": (priced.filter(_beyond(pl.col("median"), far)), f"more than {far:.0%} from the median"),
        "jumps": (priced.filter(in_session, pl.col("step") > jump), f"more than {jump:.0%} from the minute before"),
        "apart": (priced.filter(pl.col("high") > pl.col("low") * (1 + apart)), f"prices more than {apart:.1%} apart"),
        "stale": (priced.filter(in_session, pl.col("lag") > stale), f"prices older than {stale}"),
    }
    at_open = pl.col("timestamp") == open_
    without, rows = minutes.filter(~at_open).select(pl.col("absent", "rows").sum()).row(0)
    wrong = [f"{count:,} {text}" for count, text in impossible.values() if count]
    odd = [f"{count_of(instants.height, 'instant')}: {text}" for instants, text in unusual.values() if instants.height]
    if without > absent * rows:
        odd.append(f"{part_of(without, rows, 'row')} after the open without a price (limit {absent:.0%})")
    lowest, highest = priced.select(pl.col("low").min(), pl.col("high").max()).row(0)
    span = (
        "no price at all"
        if lowest is None
        else f"{lowest:,.2f} to {highest:,.2f} at {count_of(priced.height, 'instant')}"
    )
    return Verdict(
        "underlying",
        passed=lowest is not None and not (wrong or odd),
        severity="error" if wrong else "warn",
        summary="; ".join([*wrong, *odd, span]),
        metadata={
            "instants": priced.height,
            "rows_without_price": without,
            "without_price_at_open": int(minutes.filter(at_open)["absent"].sum()),
            **{kind: count for kind, (count, _) in impossible.items()},
            **{kind: instants.height for kind, (instants, _) in unusual.items()},
            **{f"{kind}_at": _some_instants(instants) for kind, (instants, _) in unusual.items()},
        },
    )


def _beyond(level: pl.Expr, share: float) -> pl.Expr:
    return (pl.col("low") < (1 - share) * level) | (pl.col("high") > (1 + share) * level)


def _some_instants(instants: pl.DataFrame) -> list[str]:
    shown = instants.head(NAMES_SHOWN).iter_rows(named=True)
    return [f"{row['symbol']} {clock(row['timestamp'])}: {row['low']:,.2f} to {row['high']:,.2f}" for row in shown]


def _contracts(greeks: pl.DataFrame, open_: datetime) -> pl.DataFrame:
    volatility, error = pl.col("implied_vol"), pl.col("iv_error")
    opening, failed = pl.col("timestamp") == open_, error.abs() >= FAILED_ERROR
    solved = ~failed & (volatility > 0)
    usable = pl.all_horizontal(pl.col(*_GREEKS, "underlying_price").is_finite()).fill_null(value=False)
    flagged = greeks.select(
        *CONTRACT,
        begins_run=pl.any_horizontal(pl.col(column).ne_missing(pl.col(column).shift()) for column in CONTRACT),
        opening=opening,
        failed=failed,
        opening_failed=failed & opening,
        zero=~failed & (volatility == 0),
        high=~failed & volatility.is_finite() & (volatility > HIGH_VOLATILITY),
        poor=~failed & (error.abs() >= POOR_ERROR),
        negative=volatility.is_finite() & (volatility < 0),
        unusable=~usable,
        impossible_delta=pl.col("delta").is_finite() & (pl.col("delta").abs() > 1 + _ROUNDING),
        solved_vol=pl.when(solved & volatility.is_finite()).then(volatility),
    ).with_columns(run=pl.col("begins_run").cum_sum().set_sorted())
    runs = flagged.group_by("run", maintain_order=True).agg(
        pl.col(CONTRACT).first(),
        rows=pl.len().cast(pl.Int64),
        **{count: pl.col(count).sum().cast(pl.Int64) for count in _COUNTS},
        lowest_vol=pl.col("solved_vol").min(),
        highest_vol=pl.col("solved_vol").max(),
    )
    return _join_contracts(runs.drop("run"))


def _join_contracts(pieces: pl.DataFrame) -> pl.DataFrame:
    return pieces.group_by(CONTRACT, maintain_order=True).agg(
        pl.col("rows", *_COUNTS).sum(), pl.col("lowest_vol").min(), pl.col("highest_vol").max()
    )


def _underlying(greeks: pl.DataFrame) -> pl.DataFrame:
    price, age = pl.col("underlying_price"), pl.col("timestamp") - pl.col("underlying_timestamp")
    positive = price.filter(price.is_finite() & (price > 0))
    return _join_underlying(
        greeks.group_by("symbol", "timestamp").agg(
            low=positive.min(),
            high=positive.max(),
            rows=pl.len().cast(pl.Int64),
            absent=((price == 0) | price.is_finite().fill_null(value=False).not_()).sum().cast(pl.Int64),
            negative=(price < 0).sum().cast(pl.Int64),
            later=(age < timedelta(0)).sum().cast(pl.Int64),
            lag=age.max(),
        )
    )


def _join_underlying(pieces: pl.DataFrame) -> pl.DataFrame:
    return (
        pieces.group_by("symbol", "timestamp")
        .agg(
            pl.col("low").min(),
            pl.col("high").max(),
            pl.col("rows", "absent", "negative", "later").sum(),
            pl.col("lag").max(),
        )
        .sort("symbol", "timestamp")
    )


def _money(greeks: pl.DataFrame) -> pl.DataFrame:
    price, strike, bid, ask = (pl.col(name) for name in ("underlying_price", "strike", "bid", "ask"))
    away = (strike - price).abs()
    near = greeks.lazy().filter(away <= NEAR_THE_MONEY * price, price > 0, bid > 0, ask >= bid)
    return _nearest(
        near.select(
            *_MONEY, "strike", middle=(bid + ask) / 2, half_spread=(ask - bid) / 2, underlying_price=price
        ).collect()
    )


def _nearest(quotes: pl.DataFrame) -> pl.DataFrame:
    """One row per key: the strike nearest to the underlying, the lower one of two equally near."""
    away = (pl.col("strike") - pl.col("underlying_price")).abs()
    return quotes.sort(*_MONEY, away, "strike", maintain_order=True).unique(_MONEY, keep="first", maintain_order=True)


def _shares(contracts: pl.DataFrame) -> dict[str, float]:
    at_open = int(contracts["opening_failed"].sum())
    counted = int(contracts["rows"].sum()) - at_open
    rows = {field.name: int(contracts[field.name].sum()) for field in fields(IvThresholds)}
    rows["failed"] -= at_open
    return {kind: count / counted if counted else 0.0 for kind, count in rows.items()}
