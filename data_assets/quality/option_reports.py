"""The rules for stored days of open interest and of end-of-day reports: one row per contract.

Here: choosing among several reports for a contract, and verdicts. Not here: the contract set, whose rule is
``completeness.absent_contracts`` with ``option_quotes.contract_set``, as for quotes.

Sources: Theta v3 OpenAPI, ``/option/history/open_interest`` and ``/option/history/eod``. In the vendor's archive every
contract of the years before 2022 has two reports, and on some days four, which differ in ``created`` alone; a user
reported this on 2026-07-29, and that the last one counts. OPRA sends open interest "normally once a day", so perhaps
again. By the vendor's page "Trade Conditions" a trade's condition says which columns it changes: trades in extended
hours and of multilateral compression add volume and no price, late trades set the high or the low but not the last. A
day's report also counts the extended hours of the evening before.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from data_assets.counts import count_of, count_that, part_of
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.naming import contract_names, some_contracts
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import NEW_YORK

_FILE_ORDER = ("expiration", "symbol", "strike", "right")
_OPEN_INTEREST_SENT = (timedelta(hours=6), timedelta(hours=9, minutes=30))
QUOTES_SINCE = date(2023, 12, 1)
"""By Theta's documentation (hist-option-eod), reports before this day may lack quotes."""

_PRICES = ("open", "high", "low", "close")
_EVENING_BEGINS = timedelta(hours=20)
"""When the next session's trades begin, New York time: extended hours begin at 20:15 and end at 17:00 at the latest."""

_REPORTED = ("volume", "count", "bid_size", "bid", "ask_size", "ask")


def newest_reports(reports: pl.DataFrame, made: str) -> pl.DataFrame:
    """Keep the newest report of each contract, in the order of the frame; identical rows count once.

    Reports of one contract that differ though made at one instant are all kept, for ``unique_contracts`` to find.

    Args:
        reports: as they were sent.
        made: the column that says when a report was made: ``created``, or ``timestamp`` for open interest.
    """
    newest = pl.col(made) == pl.col(made).max().over(CONTRACT)
    return reports.filter(newest).unique(maintain_order=True)


def unique_contracts(reports: pl.DataFrame) -> Verdict:
    """Check that every contract has one row and that the rows are in the order of the file; else an error."""
    repeated = reports.group_by(CONTRACT, maintain_order=True).len().filter(pl.col("len") > 1)
    in_order = reports.select(_FILE_ORDER).equals(reports.select(_FILE_ORDER).sort(_FILE_ORDER))
    found = []
    if repeated.height:
        such = contract_names(repeated.head(1))[0]
        found.append(f"{count_that(repeated.height, 'contract', 'have several rows')}, such as {such}")
    if not in_order:
        found.append(f"the rows are not sorted by {', '.join(_FILE_ORDER)}")
    if reports.is_empty():
        found.append("the day holds no contract")
    return Verdict(
        "contracts",
        passed=not found,
        severity="error",
        summary="; ".join(found) or f"{count_of(reports.height, 'contract')}, each with one row, sorted",
        metadata={
            "rows": reports.height,
            "repeated_contracts": repeated.height,
            "contracts_repeated": some_contracts(repeated, lambda row: f"{row['len']} rows"),
        },
    )


def open_interest(reports: pl.DataFrame, *, day: date) -> Verdict:
    """Check that a morning's open interest is plausible.

    A missing or negative number is an error. A row that was not sent on the morning of the day, 06:00 to 09:30 in New
    York, warns: it is the open interest of another day.

    Args:
        reports: the columns of the vendor, timestamp in UTC.
        day: the trading day; the numbers are those at the end of the previous session.
    """
    unusable = reports.filter((pl.col("open_interest") < 0) | pl.col("open_interest").is_null())
    first, last = (_at(day, clock) for clock in _OPEN_INTEREST_SENT)
    elsewhen = reports.filter(pl.col("timestamp").is_between(first, last).fill_null(value=False).not_())
    found = [f"{count_of(unusable.height, 'contract')} with a negative or missing number"] if unusable.height else []
    if elsewhen.height:
        found.append(count_that(elsewhen.height, "row", f"were not sent in the morning of {day}"))
    total = int(reports["open_interest"].sum())
    nobody = reports.filter(pl.col("open_interest") == 0).height
    return Verdict(
        "open_interest",
        passed=not found,
        severity="error" if unusable.height else "warn",
        summary="; ".join(found)
        or f"{count_of(total, 'contract')} outstanding in {reports.height:,}; {nobody:,} that nobody holds",
        metadata={
            "contracts": reports.height,
            "outstanding": total,
            "held_by_nobody": nobody,
            "unusable": unusable.height,
            "sent_elsewhen": elsewhen.height,
            "contracts_concerned": some_contracts(
                pl.concat([unusable, elsewhen]), lambda row: f"{row['open_interest']} at {row['timestamp']}"
            ),
        },
    )


def end_of_day(
    reports: pl.DataFrame, *, day: date, previous: date, option_close: datetime, no_bid: float = 0.9
) -> Verdict:
    """Check that a day's end-of-day reports, one per contract (``newest_reports``), are plausible.

    These are errors: a negative or missing value; a low or high that does not enclose the open and close that trades
    have set; volume or prices without a trade. These warn: reports made before the options' close; trades without
    volume; trades of another session; a day without bids, as users found on shortened sessions; a day without any quote
    or trade, as users found too; and, from ``QUOTES_SINCE`` on, a day without any quote, which is only mentioned on an
    earlier day. Contracts whose trades set no price, or not all four, and those last traded on the evening before are
    counted. That the evening begins at 20:00 New York of the previous session is a judgement.

    Args:
        reports: one row per contract: the columns of the vendor, created and last_trade in UTC.
        day: the trading day.
        previous: the session before it.
        option_close: the option session's close, an aware instant.
        no_bid: the share of quoted contracts without a bid above which the verdict warns.
    """
    moved = {name: pl.when(pl.col(name) > 0).then(pl.col(name)) for name in _PRICES}  # 0 where no trade moved it
    busy = pl.col("count") > 0
    values = pl.col(*_PRICES, *_REPORTED)
    midnight = _at(day, timedelta(0))
    wrong = {
        "unusable": pl.any_horizontal(values.is_null() | (values < 0)) | pl.any_horizontal(_not_finite()),
        "inconsistent": (moved["low"] > pl.min_horizontal(moved["open"], moved["close"], moved["high"]))
        | (moved["high"] < pl.max_horizontal(moved["open"], moved["close"])),
        "moved_untraded": ~busy & pl.any_horizontal(pl.col("volume", *_PRICES) > 0),
    }
    odd = {
        "made_early": (pl.col("created") < option_close).fill_null(value=True),
        "no_volume": busy & (pl.col("volume") == 0),
        "traded_elsewhen": busy
        & ~pl.col("last_trade").is_between(_at(previous, _EVENING_BEGINS), pl.col("created")).fill_null(value=False),
    }
    priced = pl.sum_horizontal(pl.col(name) > 0 for name in _PRICES)
    usual = {
        "moved_no_price": busy & (priced == 0),
        "moved_some_prices": busy & priced.is_between(1, len(_PRICES) - 1),
        "traded_evening_before": busy & (pl.col("last_trade") < midnight),
    }
    said = {
        "unusable": "with a negative, missing or non-finite value",
        "inconsistent": "whose low and high do not enclose open and close",
        "moved_untraded": "with volume or a price and no trade",
        "made_early": "made before the options' close",
        "no_volume": "with a trade and no volume",
        "traded_elsewhen": "whose last trade is of another session or later than the report",
    }
    judged = reports.with_columns(
        **{kind: breach.fill_null(value=False) for kind, breach in {**wrong, **odd, **usual}.items()},
    )
    counts = {kind: int(judged[kind].sum()) for kind in said}
    described = {kind: int(judged[kind].sum()) for kind in usual}
    quoted = reports.filter(pl.col("ask") > 0)
    without_bid = quoted.filter(pl.col("bid") == 0).height / quoted.height if quoted.height else 0.0
    found = [f"{count:,} reports {said[kind]}" for kind, count in counts.items() if count]
    unquoted = reports.height > 0 and reports.filter((pl.col("bid") > 0) | (pl.col("ask") > 0)).is_empty()
    if unquoted and not judged["count"].sum():
        found.append("no contract has a trade or a quote: download the day again once the vendor has made its reports")
    elif unquoted and day >= QUOTES_SINCE:
        found.append("no contract has a quote: download the day again, and ask Theta if it stays so")
    if without_bid > no_bid:
        found.append(f"{without_bid:.1%} of the quoted contracts have no bid, as in reports of shortened sessions")
    traded = reports.filter(busy).height
    fine = f"{part_of(traded, reports.height, 'contract')} traded"
    if described["moved_no_price"]:
        fine += f", {described['moved_no_price']:,} without moving a price"
    if unquoted:
        fine += f", none with a quote, which Theta's reports may lack before {QUOTES_SINCE}"
    return Verdict(
        "end_of_day",
        passed=not found,
        severity="error" if any(counts[kind] for kind in wrong) else "warn",
        summary="; ".join(found) or fine,
        metadata={
            "contracts": reports.height,
            "traded": traded,
            "volume": int(reports["volume"].sum()),
            "without_bid_share": without_bid,
            **counts,
            **described,
            "contracts_concerned": some_contracts(
                judged.filter(pl.any_horizontal(*said)), lambda row: ", ".join(kind for kind in said if row[kind])
            ),
        },
    )


def _not_finite() -> pl.Expr:
    return ~pl.col(*_PRICES, "bid", "ask").is_finite()


def _at(day: date, clock: timedelta) -> datetime:
    """An instant of New York's wall clock, in UTC like the columns."""
    return (datetime.combine(day, datetime.min.time(), NEW_YORK) + clock).astimezone(UTC)
