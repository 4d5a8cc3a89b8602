"""A trading day of IB's minute bars: requested, audited, and staged in the lake, or kept aside.

Here: what makes a day complete, and IB's retry policy (`RETRY`). Not here: sending requests (``client``), the columns
(``schema``), the rules of bars (``quality``), and retrying (the engine).

A day is stored if it has a bar for each minute of the calendar's session, every bar is possible, and there are as many
minutes with trades as is plausible for this ticker (``quality.trading_minutes``): IB's feed can freeze for hours and
still send all bars, with the last close and without volume. IB does not say whether a response is whole, a short one
looks just like a whole one, and it is not documented whether a minute without trades has a bar. So for tickers that
trade seldom, absent minutes can be accepted, and are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import polars as pl

from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import (
    DayEnded,
    NoData,
    NotPublished,
    Rejected,
    Scalar,
)
from data_assets.ingest.retry import RetryPolicy
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.ingest.staged_day import StagedDayFile
from data_assets.lake.bar_columns import in_one_vocabulary
from data_assets.lake.errors import Corrupt, LakeError, passed_over
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StagedFile
from data_assets.quality import minute_bars
from data_assets.quality.bar_coverage import missing_minutes, session_bar_count
from data_assets.quality.naming import clock as clock_text
from data_assets.quality.naming import minutes_text
from data_assets.quality.neighbours import NEAR, neighbours
from data_assets.quality.price_spikes import bar_spikes
from data_assets.quality.split_jumps import NEAR as NIGHTS
from data_assets.quality.split_jumps import adjacent, jumps_around, splits
from data_assets.quality.trading_minutes import TradingMinutes, trades, trading_minutes
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import NEW_YORK, Session, session, utc_now
from data_assets.vendors.ib import schema
from data_assets.vendors.ib.bars_at_hand import stored_bars
from data_assets.vendors.ib.contracts import Completeness, Ticker

if TYPE_CHECKING:  # ib_async comes with them, which the definitions load without
    from data_assets.vendors.ib.client import IbClient, SessionBars

RETRY = RetryPolicy(attempts=3, throttled_attempts=6, base_seconds=2.0, outage_seconds=6 * 3600.0)
"""Three attempts at a day. The outage may be as long as a weekend reset, which the client waits out; the client has
limits of its own for all other waits."""

MAX_CONCURRENCY = 1
"""One day at a time: the request budget sets the pace, not the time that a response takes."""


USUAL_DAYS = 10
"""How many of a ticker's nearest stored days a day is compared with."""


@cache
def _ib_async_version() -> str:
    return version("ib_async")


def own_days(lake: Lake, dataset: str, day: date) -> list[TradingMinutes]:
    """Return how a ticker traded on the stored days nearest to one, earlier or later; damaged days do not count.

    Raises:
        LakeError: the lake cannot be read.
    """
    found = []
    for other in neighbours(lake.held_days(dataset, day - NEAR, day + NEAR, unreadable=passed_over), day)[:USUAL_DAYS]:
        with suppress(Corrupt):  # which is that day's own fault: its integrity says so
            found.append(trading_minutes(in_one_vocabulary(stored_bars(lake, dataset, other)), session(other)))
    return found


def evaluate_checks(
    bars: pl.DataFrame, hours: Session, completeness: Completeness, own_days: Callable[[], Sequence[TradingMinutes]]
) -> list[Verdict]:
    """Return the verdicts on a day of bars, stored or about to be; an error keeps it from being stored.

    A day is judged before it is stored, and again as it was read back from the disk. Where the rows are the same, so is
    what the rules say of them, unless they looked at other days.

    Args:
        bars: rows of ``schema.SCHEMA``, sorted by timestamp.
        hours: the session.
        completeness: of the ticker.
        own_days: returns how the ticker traded on other days; called only if this day is in doubt.
    """
    global _last_judged  # replaced as a whole, so that no thread needs a lock
    asked = (hours, completeness)
    if _last_judged is not None and _last_judged.asked == asked and _last_judged.bars.equals(bars):
        return list(_last_judged.verdicts)
    rows = in_one_vocabulary(bars)
    looked = False

    def other_days() -> Sequence[TradingMinutes]:
        nonlocal looked
        looked = True
        return own_days()

    verdicts = [
        session_bar_count(rows, hours=hours, lenient=completeness == "lenient"),
        bar_spikes(rows, hours).told_in(minute_bars.ohlc(rows)),
        minute_bars.timestamps(rows),
        minute_bars.session_hours(rows, start=hours.open, end=hours.close, outside="error"),
        minute_bars.volume(rows),
        trades(rows, hours=hours, own_days=other_days, lenient=completeness == "lenient"),
    ]
    if not looked:
        _last_judged = _Judged(asked, bars, verdicts)
    return verdicts


@dataclass(frozen=True)
class _Judged:
    """A day of bars, and what the rules say of it, whatever other days are like."""

    asked: tuple[Session, Completeness]
    bars: pl.DataFrame
    verdicts: list[Verdict]


_last_judged: _Judged | None = None


def unknown_splits(lake: Lake, ticker: Ticker, day: date, bars: pl.DataFrame) -> Verdict:
    """The verdict on the nights before and after a stored day; damaged days do not count.

    IB adjusts what it sends, so bars of one scale have no jump at all.

    Args:
        lake: holds the days.
        ticker: whose.
        day: the day.
        bars: its rows, as stored.

    Raises:
        LakeError: the lake cannot be read.
    """
    dataset = ticker.dataset
    ends = {day: _ends(ticker, day, bars)}
    for other in adjacent(lake.held_days(dataset, day - NIGHTS, day + NIGHTS, unreadable=passed_over), day):
        with suppress(Corrupt):  # which is that day's own fault
            ends[other] = _ends(ticker, other, stored_bars(lake, dataset, other))
    advice = [lake.told_of_jump(dataset, ticker.symbol, jump).advice for _, jump in jumps_around(day, ends)]
    return splits(advice, len(ends) - 1)


def _ends(ticker: Ticker, day: date, bars: pl.DataFrame) -> pl.DataFrame:
    """`session_ends` of one ticker, whose file is in order."""
    hours, time = session(day), bars["timestamp"]
    regular = (time >= hours.open) & (time < hours.close)
    ends = {"open": bars["open"].filter(regular).head(1), "close": bars["close"].filter(regular).tail(1)}
    return pl.DataFrame({"ticker": [ticker.symbol] * len(ends["open"]), **ends})


def not_yet(hours: Session, now: datetime) -> str | None:
    """Say why it is too early to request a day, or return None.

    It can be requested a quarter of an hour after the close: IB compresses and corrects bars after the fact, and the
    last minute holds the closing auction.
    """
    if now < hours.option_close:
        return (
            f"the session of {hours.day} ends at {clock_text(hours.close)} New York: ask again from "
            f"{clock_text(hours.option_close)} on, when its last bars have settled"
        )
    return None


class IbBarsSource:
    """Minute bars of one ticker, for the engine; implements ``ingest.source.Source``."""

    def __init__(
        self, ticker: Ticker, *, lake: Lake, client: IbClient, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Bind a ticker to where its bars come from and where they go.

        Args:
            ticker: what to fetch; ``ticker.dataset`` is its key in the lake.
            lake: where the day is staged.
            client: an open client, shared by all days and tickers of the run.
            clock: the current instant, aware.
        """
        self._ticker = ticker
        self._lake = lake
        self._client = client
        self._clock = clock

    async def wait_until_up(self) -> None:
        """See ``Source``: returns when TWS serves history again."""
        await self._client.wait_until_up()

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``. A day that is cancelled while its request is in flight is still stored, if it comes soon."""
        hours = session(day)
        if reason := not_yet(hours, self._clock()):
            raise DayEnded(NotPublished(reason))
        head = await self._client.head_timestamp(self._ticker)
        if head is not None and day < head.astimezone(NEW_YORK).date():
            begins = head.astimezone(NEW_YORK).date()
            raise DayEnded(
                NoData(f"IB's history of {self._ticker.symbol} begins on {begins} (head timestamp)", tried=False)
            )
        answer = await self._client.session_bars(self._ticker, hours)
        # Nothing is awaited from here on: a run that is told to stop keeps the day that it has received.
        meter.received(answer.raw_size)
        meter.parsed(answer.bars.height)
        bars = answer.bars if answer.bars["timestamp"].is_sorted() else answer.bars.sort("timestamp")
        try:
            verdicts = evaluate_checks(
                bars, hours, self._ticker.completeness, partial(own_days, self._lake, self._ticker.dataset, day)
            )
            breaches = [verdict for verdict in verdicts if not verdict.passed and verdict.severity == "error"]
            if breaches and answer.doubt:
                raise self._client.disbelieved(self._named(_found(breaches), hours), answer.doubt)
            if breaches:
                raise DayEnded(Rejected(self._reject(bars, hours, answer, breaches)))
            staged = self._write(bars, self._provenance(bars, hours, answer), rejected=False)
        except LakeError as error:
            raise ending_of(error) from error
        return StagedDayFile(staged, self._metadata(bars, hours, answer))

    def _reject(self, bars: pl.DataFrame, hours: Session, answer: SessionBars, breaches: Sequence[Verdict]) -> str:
        """Keep the bars aside, and return the reason, which says where."""
        found = _found(breaches)
        provenance = self._provenance(bars, hours, answer, rejected=found)
        stored = self._write(bars, provenance, rejected=True).publish()
        return (
            f"{self._named(found, hours)}; nothing was stored, the bars are kept for you to look at in "
            f"{self._lake.locate(stored.path)}; run the day again later, and ask IB's support if it stays so"
        )

    def _named(self, found: str, hours: Session) -> str:
        return f"{found} - Symbol: {self._ticker.symbol}, Date: {hours.day}"

    def _write(self, bars: pl.DataFrame, provenance: Provenance, *, rejected: bool) -> StagedFile:
        writer = self._lake.writer(
            provenance.dataset, provenance.day, schema.ARROW_SCHEMA, schema.SORT_BY, rejected=rejected
        )
        with writer:
            writer.write(bars)
            return writer.finish(provenance)

    def _provenance(
        self, bars: pl.DataFrame, hours: Session, answer: SessionBars, rejected: str | None = None
    ) -> Provenance:
        details: dict[str, object] = {
            "contract_id": answer.contract_id,
            "account": self._client.account_kind,
            "server_version": self._client.server_version,
            "ib_async": _ib_async_version(),
            "requests": answer.requests,
            "completeness": self._ticker.completeness,
            "expected_bars": hours.minutes,
            "missing_minutes": minutes_text(missing_minutes(bars, hours)),
            "volume_unit": _volume_unit(bars, answer),
        }
        if answer.said:
            details["said_by_ib"] = list(answer.said)
        if rejected is not None:
            details["rejected"] = rejected
        return Provenance(
            dataset=self._ticker.dataset,
            day=hours.day,
            source=answer.source,
            fetched_at=answer.fetched_at,
            schema_version=schema.SCHEMA_VERSION,
            raw_sha256=answer.raw_sha256,
            raw_size=answer.raw_size,
            synthetic=self._lake.synthetic,
            details=details,
        )

    def _metadata(self, bars: pl.DataFrame, hours: Session, answer: SessionBars) -> dict[str, Scalar]:
        numbers = minute_bars.day_metrics(in_one_vocabulary(bars), hours)
        last = bars["timestamp"][-1]
        return {
            "expected_bars": hours.minutes,
            "actual_bars": bars.height,
            "missing_minutes": len(missing_minutes(bars, hours)),
            "last_timestamp": last.isoformat(),
            "zero_volume_bars": numbers["zero_volume_rows"],
            "fractional_volume_bars": numbers["fractional_volume_rows"],
            "volume": numbers["volume"],
            "volume_unit": _volume_unit(bars, answer),
            "trades": numbers["trades"],
            "requests": answer.requests,
            "raw_megabytes": round(answer.raw_size / 1e6, 6),
        }


def _volume_unit(bars: pl.DataFrame, answer: SessionBars) -> schema.VolumeUnit:
    return schema.volume_unit(bars, fetched_on=answer.fetched_at.astimezone(NEW_YORK).date())


def _found(breaches: Sequence[Verdict]) -> str:
    return "; ".join(f"{verdict.name}: {verdict.summary}" for verdict in breaches)
