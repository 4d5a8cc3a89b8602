"""A trading day of Theta option quotes: fetched, parsed while it arrives, audited, and staged in the lake.

Here: what makes a day complete, and in how many requests it is had. Not here: the wire (``client``), the columns
(``schema``), retries (the engine), and the judgement of plausible values (the checks, on the stored file).

The vendor's CSV has no trailer and no row count, and the terminal may end a broken answer cleanly. A body is therefore
whole only if its last line ends, its last contract goes on as long as the others, and the contracts are those that
`option/list/contracts/quote` names for the day. A body that is not whole is asked for again; it never becomes a short
day. Irregular days are not refused here: the checks describe them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from time import perf_counter

import polars as pl

from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    IngestError,
    NoData,
    NotPublished,
    RunEnded,
    Scalar,
    Stored,
    Transient,
)
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.lake.errors import DiskFull, LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StagedFile
from data_assets.quality.completeness import ListComparison, absent_contracts
from data_assets.quality.option_quotes import day_metrics
from data_assets.trading_calendar import NEW_YORK, Session, session
from data_assets.vendors.theta import schema
from data_assets.vendors.theta.client import INTERVALS, LargeRequest, QuoteRequest, ThetaClient
from data_assets.vendors.theta.intake import Intake

OUTAGE_SECONDS = 600.0
"""How long a terminal may be away: its first start alone, with its self-update, can take five minutes."""

NAMES_KEPT = 50
_START_TIME = "09:30:00"
_RESET_ENDS = timedelta(hours=1, minutes=45)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class QuotesDataset:
    """What to fetch, a few lines of a `defs.yaml`.

    Attributes:
        key: the dataset's key in the lake, such as theta/option_quotes/QQQ.
        symbol: option root.
        interval: one of ``client.INTERVALS``.
        end_time: last snapshot of the day, New York wall clock, HH:MM:SS.
        absent_tolerance: share of the listed contracts, 0 to 1, that may be absent from a complete day.
    """

    key: str
    symbol: str
    interval: str = "1m"
    end_time: str = "16:15:00"
    absent_tolerance: float = 0.005

    def __post_init__(self) -> None:
        if self.interval not in INTERVALS:
            raise ValueError(f"interval {self.interval!r}: must be one of {', '.join(INTERVALS)}")
        try:
            last = datetime.strptime(self.end_time, "%H:%M:%S").time()  # noqa: DTZ007  a time of day has no zone
        except ValueError:
            raise ValueError(f"end_time {self.end_time!r}: must be HH:MM:SS in New York, such as 16:15:00") from None
        if last <= time.fromisoformat(_START_TIME):
            raise ValueError(f"end_time {self.end_time!r}: must be after {_START_TIME}, the open in New York")
        if not 0 <= self.absent_tolerance <= 1:
            raise ValueError(f"absent_tolerance {self.absent_tolerance}: must be a share from 0 to 1, such as 0.005")

    def request(self, day: date) -> QuoteRequest:
        """The whole day as one request."""
        return QuoteRequest(self.symbol, day, self.interval, _START_TIME, self.end_time)

    def last_snapshot(self, day: date) -> datetime:
        """The instant of the last snapshot asked for, UTC."""
        wall_clock = datetime.strptime(f"{day} {self.end_time}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        return wall_clock - schema.utc_offset(day)

    def last_points(self, hours: Session) -> tuple[datetime, datetime]:
        """The last points of the grid that a contract can reach by the underlying's close and by the option close.

        The grid begins at the open, and the window that was asked for may end before a close: snapshots of an hour end
        at 15:30 for both.
        """
        interval, window_end = INTERVALS[self.interval], self.last_snapshot(hours.day)

        def reached(end: datetime) -> datetime:
            return hours.open + (min(end, window_end) - hours.open) // interval * interval

        return reached(hours.close), reached(hours.option_close)


def not_yet(hours: Session, now: datetime) -> str | None:
    """Why it is too early to ask for a day, or None.

    Theta serves the current day, but "data from the previous day isn't available from 00:00 ET to 01:45 ET" (the
    vendor's page "Data Issues").
    """
    if now < hours.option_close:
        return f"the session of {hours.day} ends at {_clock(hours.option_close)} New York: ask again after that"
    midnight = datetime.combine(hours.day + timedelta(days=1), datetime.min.time(), NEW_YORK)
    if midnight <= now < midnight + _RESET_ENDS:
        return (
            f"Theta does not serve {hours.day} between 00:00 and 01:45 New York of the next day: ask again after that"
        )
    return None


class ThetaQuotesSource:
    """Option quotes of one root, for the engine; implements ``ingest.source.Source``."""

    def __init__(
        self, dataset: QuotesDataset, *, lake: Lake, client: ThetaClient, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        """Bind a dataset to where it comes from and where it goes.

        Args:
            dataset: what to fetch.
            lake: where the day is staged.
            client: an open client; its limit of requests is shared by all days.
            clock: the current instant, with a time zone.
        """
        self._dataset = dataset
        self._lake = lake
        self._client = client
        self._clock = clock

    async def wait_until_up(self) -> None:
        """See ``Source``: returns when the terminal is connected and serves this root's expirations."""
        await self._client.wait_until_up(self._dataset.symbol, seconds=OUTAGE_SECONDS)

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        hours = session(day)
        if reason := not_yet(hours, self._clock()):
            raise DayEnded(NotPublished(reason))
        started = perf_counter()
        listed = await self._client.listed_contracts(self._dataset.symbol, day)
        try:
            with self._intake(hours, meter) as intake:
                await self._take(self._dataset.request(day), intake, listed)
                comparison = _audit(intake, listed, self._dataset.absent_tolerance)
                staged = await intake.finish(self._provenance(intake, listed, comparison))
        except LakeError as error:
            raise _ending(error) from error
        return _StagedQuotes(staged, _metadata(intake, comparison, perf_counter() - started))

    def _intake(self, hours: Session, meter: DayMeter) -> Intake:
        return Intake(
            self._lake.writer(self._dataset.key, hours.day, schema.ARROW_SCHEMA, schema.SORT_BY),
            symbol=self._dataset.symbol,
            hours=hours,
            window_end=self._dataset.last_snapshot(hours.day),
            last_points=self._dataset.last_points(hours),
            interval=INTERVALS[self._dataset.interval],
            meter=meter,
        )

    async def _take(self, request: QuoteRequest, intake: Intake, listed: pl.DataFrame | None) -> None:
        """Take in a request's body; where it is too large for the vendor, those of its parts."""
        try:
            await self._take_body(request, intake, listed)
        except LargeRequest as error:
            for part in await self._parts(request, listed, str(error)):
                await self._take(part, intake, listed)

    async def _take_body(self, request: QuoteRequest, intake: Intake, listed: pl.DataFrame | None) -> None:
        try:
            async with self._client.quotes(request) as chunks:
                rows = await intake.body(chunks)
        except DayEnded as ended:
            if not isinstance(ended.outcome, NoData):
                raise
            if request.expiration == "*" and request.right == "both":
                _refuse_contradiction(ended.outcome.reason, listed, request.day)
                raise
            return
        if not rows and listed is not None and listed.is_empty():
            return
        if not rows:
            raise Transient(f"the body stopped short: a header and no row ({self._client.url(request)})")

    async def _parts(self, request: QuoteRequest, listed: pl.DataFrame | None, why: str) -> list[QuoteRequest]:
        """Half of the rights first, then one expiration at a time."""
        if request.right == "both":
            return [replace(request, right=right) for right in ("call", "put")]
        if request.expiration != "*":
            raise DayEnded(Failed(f"{why}, and one expiration and right cannot be split: take a longer interval"))
        if listed is None or listed.is_empty():
            known = await self._client.expirations(request.symbol)
            expirations = [expiration for expiration in known if expiration >= request.day]
        else:
            expirations = listed["expiration"].unique().sort().to_list()
        return [replace(request, expiration=f"{expiration:%Y-%m-%d}") for expiration in expirations]

    def _provenance(self, intake: Intake, listed: pl.DataFrame | None, comparison: ListComparison | None) -> Provenance:
        details: dict[str, object] = {
            "requests": intake.bodies,
            "line_end": intake.line_end,
            "extra_columns": sorted(intake.extra_columns),
            "stale_expirations": intake.stale_expirations(),
        }
        if comparison is None:
            why = "the account's tier lacks the call" if listed is None else "the vendor has no list for this day"
            details["contract_list"] = f"cannot tell: {why}"
        else:
            details["contracts_listed"] = comparison.listed
            details["contracts_absent"] = len(comparison.absent)
            details["contracts_absent_names"] = list(comparison.absent[:NAMES_KEPT])
            details["contracts_extra"] = comparison.extra
        return Provenance(
            dataset=self._dataset.key,
            day=intake.hours.day,
            source=self._client.url(self._dataset.request(intake.hours.day)),
            fetched_at=self._clock(),
            schema_version=schema.SCHEMA_VERSION,
            raw_sha256=intake.raw_sha256,
            raw_size=intake.raw_size,
            synthetic=self._lake.synthetic,
            details=details,
        )


class _StagedQuotes:
    """A day on disk under a temporary name; implements ``ingest.source.StagedDay``."""

    def __init__(self, staged: StagedFile, metadata: dict[str, Scalar]) -> None:
        self._staged = staged
        self._metadata = metadata

    def publish(self) -> Stored:
        """See ``StagedDay``."""
        try:
            stored = self._staged.publish()
        except LakeError as error:
            raise _ending(error) from error
        return Stored(stored.path, stored.rows, stored.size, stored.sha256, self._metadata)

    def discard(self) -> None:
        """See ``StagedDay``."""
        self._staged.discard()


def _ending(error: LakeError) -> IngestError:
    """The run, where no other day could be stored either; else this day, whose own folder or file it is."""
    if isinstance(error, DiskFull | LakeUnusable):
        return RunEnded(str(error))
    return DayEnded(Failed(str(error)))


def _audit(intake: Intake, listed: pl.DataFrame | None, tolerance: float) -> ListComparison | None:
    """Compare the day's contracts with the vendor's list; None where there is none to compare with."""
    if not intake.rows:
        reason = "Theta holds no quotes of this day in any part of the request"
        _refuse_contradiction(reason, listed, intake.hours.day)
        raise DayEnded(NoData(reason))
    if listed is None or listed.is_empty():
        return None
    comparison = absent_contracts(intake.summary, listed, day=intake.hours.day)
    absent = len(comparison.absent)
    if absent > tolerance * comparison.listed:
        raise Transient(
            f"the body stopped short: {absent:,} of {comparison.listed:,} listed contracts are absent "
            f"({absent / comparison.listed:.1%}, {tolerance:.1%} tolerated): {_some(comparison.absent)}"
        )
    return comparison


def _metadata(intake: Intake, comparison: ListComparison | None, seconds: float) -> dict[str, Scalar]:
    metadata: dict[str, Scalar] = {
        **day_metrics(intake.summary),
        "raw_megabytes": round(intake.raw_size / 1e6, 3),
        "seconds": round(seconds, 3),
        "rows_per_second": round(intake.rows / seconds),
        "requests": intake.bodies,
        "stale_expirations": intake.stale_expirations(),
    }
    if comparison is not None:
        metadata["absent_contracts"] = len(comparison.absent)
    if intake.extra_columns:
        metadata["extra_columns"] = ", ".join(sorted(intake.extra_columns))
    return metadata


def _refuse_contradiction(no_data: str, listed: pl.DataFrame | None, day: date) -> None:
    """Raise where the vendor's list names contracts for a day of which it says that it holds nothing."""
    alive = 0 if listed is None else listed.filter(pl.col("expiration") >= day).height
    if alive:
        raise Transient(
            f"{no_data}, though its own list names {alive:,} contracts of that day: the two contradict each other, and "
            "no data is believed only without such a list; ask again later"
        )


def _some(names: Iterable[str], shown: int = 5) -> str:
    listed = list(names)
    return ", ".join(listed[:shown]) + (" and others" if len(listed) > shown else "")


def _clock(instant: datetime) -> str:
    return f"{instant.astimezone(NEW_YORK):%H:%M}"
