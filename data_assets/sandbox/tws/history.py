"""What the simulated TWS knows of the past: minute bars, head timestamps and schedules of sessions.

Here: the answer to a request that has passed the checks, as rows and as fields on the wire. Not here: the checks
(``tws.requests``), pacing (``tws.pacing``), and what a fault does to a connection (``tws.server``).

The bars are those of the shared synthetic market: the same prices, volumes and trades as every other vendor's. As with
IB, a bar's time is its start, and the filter for regular hours follows early closes. IB says neither what it answers
for a minute without trades nor for a day without a session: here the one has no bar (a fault makes it one), and the
other no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl

from data_assets.sandbox.faults import FaultKind
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.sandbox.tws.requests import HMDS, SCHEDULE, HeadRequest, HistoryRequest, Refused, Span, Unit
from data_assets.sandbox.tws.stocks import SMART, TIME_ZONE, Stock, hours
from data_assets.sandbox.tws.wire import Field
from data_assets.trading_calendar import (
    NEW_YORK,
    Session,
    is_session,
    next_session,
    previous_session,
    session,
    sessions,
)

_SERVED = ("1 min", "TRADES")
_CALENDAR_DAYS: dict[Unit, int] = {"D": 1, "W": 7, "M": 30, "Y": 365}
_A_MOMENT = timedelta(microseconds=1)
_SHARES_IN_A_LOT = 100
_SPLIT = 10
_ONE_IN = 100
_STANDING_STILL = {"frozen": timedelta(minutes=30), "flat": timedelta(0), "silent_bars": timedelta(days=1)}
_WALL_CLOCK = f"%Y%m%d %H:%M:%S {TIME_ZONE}"
_SCHEDULE_CLOCK = "%Y%m%d-%H:%M:%S"  # in the zone that the message names: this dash does not mean UTC
_HEAD_CLOCK = "%Y%m%d-%H:%M:%S"  # UTC


class TwsHistory:
    """The past up to now.

    Args:
        first_day: there is no data before it, nor before a stock's listing.
        now: the current time, aware; what is later does not exist yet.
    """

    def __init__(self, *, first_day: date, now: Callable[[], datetime]) -> None:
        self._first_day = first_day
        self._now = now

    def head(self, stock: Stock, request: HeadRequest) -> tuple[Field, ...]:
        """The fields of message 88: when the data of ``stock`` begins, which is its first session's opening.

        Raises:
            Refused: 162, there is none yet.
        """
        begins = hours(stock, self._first_session(stock), extended=not request.use_rth)[0].astimezone(UTC)
        if begins > self._now():
            raise no_head()
        text = str(int(begins.timestamp())) if request.format_date == 2 else f"{begins:{_HEAD_CLOCK}}"
        return 88, request.req_id, text

    def bars(self, stock: Stock, request: HistoryRequest, span: Span) -> pl.DataFrame:
        """The bars asked for, oldest first, in the columns of ``minute_bars``.

        Raises:
            Refused: 162, there are none, or they are not of the one kind that there is here.
        """
        if (request.bar_size, request.shows) != _SERVED or request.keep_up_to_date:
            raise Refused(162, f"{HMDS}The sandbox serves {' '.join(_SERVED)} bars of the past, and schedules")
        first = self._first_session(stock)
        frames = [
            _within(minute_bars(stock.symbol, day), *hours(stock, day, extended=not request.use_rth))
            for day in days(span)
            if day >= first
        ]
        if not frames:
            raise no_data(stock, request)
        start = _seconds_before(span) if span.unit == "S" else None
        found = _within(pl.concat(frames), start, min(span.end, self._now()))
        if found.is_empty():
            raise no_data(stock, request)
        return found

    def bars_of_the_session_before(self, stock: Stock, request: HistoryRequest, span: Span) -> pl.DataFrame:
        """The bars that a request for the session before would have had.

        Raises:
            Refused: 162, there are none.
        """
        before = previous_session(max(days(span), default=_last_day(span)))
        return self.bars(stock, request, replace(span, end=session(before).close))

    def schedule(self, stock: Stock, request: HistoryRequest, span: Span) -> tuple[Field, ...]:
        """The fields of message 106: the sessions of the span, whose days are counted by the calendar here.

        Raises:
            Refused: 162, there is none.
        """
        spanned = days(span) if span.unit == "S" else _calendar_days(span)
        if not spanned:
            raise Refused(162, f"{HMDS}HMDS query returned no data: {request.contract.symbol}@{SMART} {SCHEDULE}")
        begin_end = [hours(stock, day, extended=not request.use_rth) for day in spanned]
        return (
            *(106, request.req_id, f"{begin_end[0][0]:{_SCHEDULE_CLOCK}}", f"{begin_end[-1][1]:{_SCHEDULE_CLOCK}}"),
            *(stock.time_zone, len(spanned)),
            *_flat(
                (f"{begin:{_SCHEDULE_CLOCK}}", f"{end:{_SCHEDULE_CLOCK}}", f"{day:%Y%m%d}")
                for day, (begin, end) in zip(spanned, begin_end, strict=True)
            ),
        )

    def _first_session(self, stock: Stock) -> date:
        return next_session(max(self._first_day, stock.listed) - timedelta(days=1))


def days(span: Span) -> list[date]:
    """The sessions that bars of ``span`` come from, oldest first.

    A span of days ends with the day its end falls on in New York, be it a session or not, and goes back over sessions.
    """
    last = _last_day(span)
    if span.unit == "S":
        return sessions(_seconds_before(span).astimezone(NEW_YORK).date(), last)
    if span.unit != "D":
        return _calendar_days(span)
    wanted = span.amount if is_session(last) else span.amount - 1
    reached = sessions(last - timedelta(days=10 + 2 * span.amount), last)  # at least two days in three are sessions
    return reached[len(reached) - wanted :] if len(reached) > wanted else reached


def bar_fields(request: HistoryRequest, span: Span, bars: pl.DataFrame, announced: int) -> tuple[Field, ...]:
    """The fields of message 17.

    Args:
        request: what was asked.
        span: what it means.
        bars: in the columns of ``minute_bars``.
        announced: the number of bars that the message claims to hold.
    """
    local = pl.col("timestamp").dt.convert_time_zone(str(NEW_YORK))
    time = {
        1: local.dt.strftime(_WALL_CLOCK),
        2: pl.col("timestamp").dt.epoch("s"),
        3: local.dt.strftime(f"%m%d %H:%M:%S {TIME_ZONE}"),
    }[request.format_date]
    rows = bars.select(time, "open", "high", "low", "close", "volume", "vwap", "trades").iter_rows()
    begin, end = bars["timestamp"][0].astimezone(NEW_YORK), span.end.astimezone(NEW_YORK)
    return (17, request.req_id, f"{begin:{_WALL_CLOCK}}", f"{end:{_WALL_CLOCK}}", announced, *_flat(rows))


def spoiled(bars: pl.DataFrame, kind: FaultKind) -> pl.DataFrame:
    """``bars`` as a fault of this kind shows them; unchanged for faults that leave the rows alone."""
    if kind == "short_day":
        return bars.head(bars.height - max(1, bars.height // 10))
    if kind == "fractional_volume":
        return bars.with_columns(pl.col("volume") / _SHARES_IN_A_LOT)
    if kind == "bad_bar":
        spoilt = pl.int_range(pl.len()) == bars.height // 2
        return bars.with_columns(high=pl.when(spoilt).then((pl.col("low") - 0.01).round(2)).otherwise("high"))
    if kind == "price_spike":
        return bars.with_columns(
            high=pl.col("high") * pl.when(pl.int_range(pl.len()) == bars.height // 2).then(10).otherwise(1)
        )
    if kind == "revised_bars":
        struck = (pl.int_range(pl.len()) % _ONE_IN == 0) & (pl.col("close") < pl.col("high"))
        return bars.with_columns(
            close=(pl.col("close") + struck.cast(pl.Float64) / 100).round(2),
            volume=pl.col("volume") + struck.cast(pl.Int64),
        )
    if kind == "reverse_split":
        prices = pl.col("open", "high", "low", "close", "vwap")
        return bars.with_columns((prices * _SPLIT).round(4), pl.col("volume") / _SPLIT)
    if kind in _STANDING_STILL:
        regular = session(bars["timestamp"][0].astimezone(NEW_YORK).date())
        return _standing_still(bars, regular, regular.open + _STANDING_STILL[kind])
    return bars


def _standing_still(bars: pl.DataFrame, regular: Session, alive: datetime) -> pl.DataFrame:
    """A bar for each regular minute: where it has none, or none before ``alive``, it repeats the last close.

    Before the first trade that is the day's first price.
    """
    minutes = pl.datetime_range(regular.open, regular.close, "1m", closed="left", eager=True, time_unit="us")
    grid = pl.DataFrame({"timestamp": minutes.dt.convert_time_zone("UTC")})
    told = grid.join(bars.filter(pl.col("timestamp") < alive), on="timestamp", how="left", maintain_order="left")
    last = pl.col("close").forward_fill().fill_null(bars["open"][0])
    prices = [pl.col(name).fill_null(last) for name in ("open", "high", "low", "close", "vwap")]
    return told.with_columns(*prices, pl.col("volume", "trades").fill_null(0)).select(bars.columns)


def no_data(stock: Stock, request: HistoryRequest) -> Refused:
    """What TWS says where it finds nothing, for whatever reason."""
    shown = request.shows.replace("_", " ").title()
    return Refused(162, f"{HMDS}HMDS query returned no data: {stock.symbol}@{request.contract.exchange} {shown}")


def no_head() -> Refused:
    """What TWS says of a contract whose data has no beginning."""
    return Refused(162, f"{HMDS}No head time stamp")


def _last_day(span: Span) -> date:
    return (span.end - _A_MOMENT).astimezone(NEW_YORK).date()


def _seconds_before(span: Span) -> datetime:
    return span.end - timedelta(seconds=span.amount)


def _calendar_days(span: Span) -> list[date]:
    last = _last_day(span)
    return sessions(last - timedelta(days=_CALENDAR_DAYS[span.unit] * span.amount - 1), last)


def _within(bars: pl.DataFrame, start: datetime | None, end: datetime) -> pl.DataFrame:
    inside = pl.col("timestamp") < end.astimezone(UTC)
    return bars.filter(inside if start is None else inside & (pl.col("timestamp") >= start.astimezone(UTC)))


def _flat(rows: Iterable[tuple[Field, ...]]) -> Iterable[Field]:
    return (field for row in rows for field in row)
