"""Flags of rows, computed when they are read: what published cleaning rules would drop, as columns beside the values.

No stored value changes and none is mended; what to do about a flagged row is the reader's choice. Each flag is a
Boolean column, never null. Of minute bars:

- ``flag_ohlc``: low <= open, close <= high does not hold, a price is not above 0, volume is below 0, or one is missing.
  The usual sanity of a bar; no paper is behind it.
- ``flag_outlier``: high or low is more than 10 deviations from a rolling median of the closes. The rule of Brownlees
  and Gallo (2006) in the form of Barndorff-Nielsen, Hansen, Lunde and Shephard (2009), rule Q4 (50 quotes, 10 mean
  absolute deviations), as R's ``highfrequency::rmOutliersQuotes`` offers it.

Of option quotes and greeks, each contract by itself:

- ``flag_no_quote``: neither side.
- ``flag_zero_bid``, ``flag_zero_ask``: one side only (``highfrequency::noZeroQuotes``; a zero bid is what
  Constantinides, Jackwerth and Savov delete first).
- ``flag_crossed``: bid above ask (``highfrequency::rmNegativeSpread``; rule Q2 of Barndorff-Nielsen et al.).
- ``flag_locked``: bid equal to ask.
- ``flag_wide``: the spread is above 50 times the contract's median spread of the day (``highfrequency::rmLargeSpread``;
  rule Q3).
- ``flag_stale``: the 31st and later of rows in which a quote with a bid has not moved: prices, and sizes where stored.
  What other tools call a stale run; they publish no length, so `STALE_ROWS` is a judgement.
- ``flag_outlier``: the mid is more than 10 deviations from a rolling median of the mids.

The rolling window is `AROUND` rows on each side, within one day, with fewer at its ends; a row with fewer than `FEWEST`
priced rows around it is no outlier. It holds the row itself, which the papers leave out: of 51 values one moves the
median by half a rank. The deviation is the rolling median of the distances of each row to its own rolling median:
unlike a mean, a single bad price does not inflate it. As in Brownlees and Gallo a granularity is added, for prices that
hardly move have no deviation: `BAR_SHARE` of the median and `BAR_DOLLARS` for bars, `QUOTE_DOLLARS` for mids, which are
judgements. Flash crashes, news and the first minutes of a thin security are flagged, too: the rule sees prices, not
reasons.

Here: the flags. Not here: which rows are read, and dropping them (``lake.flagged``); verdicts on a whole day
(``minute_bars``, ``option_quotes``, ``price_spikes``).
"""

from __future__ import annotations

import polars as pl

from data_assets.quality.contract_summary import CONTRACT

AROUND = 25
DEVIATIONS = 10
FEWEST = 10

BAR_SHARE, BAR_DOLLARS = 0.005, 0.02
QUOTE_DOLLARS = 0.05

SPREADS = 50
STALE_ROWS = 30

BAR_FLAGS = ("flag_ohlc", "flag_outlier")
QUOTE_FLAGS = (
    *("flag_no_quote", "flag_zero_bid", "flag_zero_ask", "flag_crossed", "flag_locked"),
    *("flag_wide", "flag_stale", "flag_outlier"),
)

BAR_INPUT = frozenset({"open", "high", "low", "close", "volume"})
QUOTE_INPUT = frozenset({*CONTRACT, "bid", "ask", "bid_size", "ask_size"})
"""The columns that flags are computed from; sizes only where there are any."""


def bar_flags(bars: pl.DataFrame, series: pl.Series) -> pl.DataFrame:
    """The flags of bars, a row for each.

    Args:
        bars: open, high, low, close (US dollars) and volume (shares), each series together and by time.
        series: which of the bars belong together: one value for each ticker and day.

    Returns:
        The columns `BAR_FLAGS`.
    """
    opened, high, low, close = (pl.col(name) for name in ("open", "high", "low", "close"))
    prices = pl.all_horizontal(price.is_finite() & (price > 0) for price in (opened, high, low, close))
    holds = prices & (low <= pl.min_horizontal(opened, close)) & (pl.max_horizontal(opened, close) <= high)
    usual, deviation = _around(pl.when(close.is_finite() & (close > 0)).then(close))
    off = pl.max_horizontal(high - usual, usual - low)
    return (
        bars.with_columns(series.alias("_series"))
        .with_columns(usual.alias("_usual"))
        .select(
            flag_ohlc=~(holds & pl.col("volume").cast(pl.Float64).is_finite() & (pl.col("volume") >= 0)).fill_null(
                False
            ),
            flag_outlier=(off > DEVIATIONS * deviation + BAR_SHARE * pl.col("_usual") + BAR_DOLLARS).fill_null(
                value=False
            ),
        )
    )


def quote_flags(quotes: pl.DataFrame) -> pl.DataFrame:
    """The flags of option quotes of one day, a row for each.

    Args:
        quotes: the columns of a contract, bid and ask (US dollars), and bid_size and ask_size where there are any; each
            contract's together and by time.

    Returns:
        The columns `QUOTE_FLAGS`.
    """
    if quotes.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(QUOTE_FLAGS, pl.Boolean))
    bid, ask = pl.col("bid").fill_nan(None).fill_null(0.0), pl.col("ask").fill_nan(None).fill_null(0.0)
    moving = [name for name in ("bid", "ask", "bid_size", "ask_size") if name in quotes.columns]
    another = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in CONTRACT)
    moved = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in moving)
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    first = row == 0
    keyed = quotes.with_columns(
        _series=(another | first).cum_sum(),
        _unmoved=row - pl.when(another | moved | first).then(row).forward_fill(),
        _spread=pl.when(ask > 0).then(ask - bid),
        _mid=pl.when(ask > 0).then((bid + ask) / 2),
    )
    usual, deviation = _around(pl.col("_mid"))
    median_spread = pl.col("_spread").median().over("_series")
    return keyed.select(
        flag_no_quote=(bid <= 0) & (ask <= 0),
        flag_zero_bid=(bid <= 0) & (ask > 0),
        flag_zero_ask=(bid > 0) & (ask <= 0),
        flag_crossed=(bid > ask) & (ask > 0),
        flag_locked=(bid == ask) & (ask > 0),
        flag_wide=((median_spread > 0) & (pl.col("_spread") > SPREADS * median_spread)).fill_null(value=False),
        flag_stale=(bid > 0) & (ask > 0) & (pl.col("_unmoved") >= STALE_ROWS),
        flag_outlier=((pl.col("_mid") - usual).abs() > DEVIATIONS * deviation + QUOTE_DOLLARS).fill_null(value=False),
    )


def _around(price: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The rolling median of a price, and the rolling median of the distances to it, within each series."""
    window = 2 * AROUND + 1

    def median(of: pl.Expr) -> pl.Expr:
        return of.rolling_median(window, min_samples=FEWEST, center=True).over("_series")

    usual = median(price)
    return usual, median((price - usual).abs())
