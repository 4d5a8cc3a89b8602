"""A trading day of Theta options for the engine: fetched, parsed while it arrives, audited, and staged in the lake.

Here: when a day may be requested, and in which of three ways it is fetched. Not here: these ways (``whole_day``,
``by_expiration``, ``reports``), the HTTP client (``client``), the columns (``schema``), retries (the engine), and
whether values are plausible (``day_checks``, on the stored file).

The vendor's CSV has no trailer and no row count, and the terminal may end a broken response cleanly. A body is
therefore whole only if its last line ends, its last contract goes on as long as the others, and its contracts are those
that `option/list/contracts/quote` names for the day. A body that is not whole is requested again, so that no accident
becomes a short day. If the vendor says the same twice, that is its last word (``short_answers``, ``audit``). Irregular
days are not refused here: the checks describe them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from time import perf_counter

from data_assets.ingest.day_bounds import BoundedMeter
from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import DayEnded, Failed, NotPublished
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.ingest.staged_day import StagedDayFile
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.unfinished import UnfinishedDay
from data_assets.lake.writer import StagedFile
from data_assets.trading_calendar import NEW_YORK, Session, session, utc_now
from data_assets.vendors.theta.audit import ContractList
from data_assets.vendors.theta.by_expiration import day_by_expiration
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day_audit import DayAudit
from data_assets.vendors.theta.job import DayJob
from data_assets.vendors.theta.plan import choose_request_unit, expected_rows
from data_assets.vendors.theta.reports import day_of_reports
from data_assets.vendors.theta.short_answers import ShortAnswerMemory
from data_assets.vendors.theta.stages import new_stages
from data_assets.vendors.theta.terminal import OptionSource
from data_assets.vendors.theta.whole_day import whole_day

_RESET_ENDS = timedelta(hours=1, minutes=45)


def not_yet(hours: Session, now: datetime, out: time | None = None) -> str | None:
    """Say why it is too early to request a day, or return None.

    Theta serves the current day, but "data from the previous day isn't available from 00:00 ET to 01:45 ET" (the
    vendor's page "Data Issues").

    Args:
        hours: the day's session.
        now: the current instant.
        out: when the data is available, New York time; None for the end of the session.
    """
    ready = hours.option_close if out is None else datetime.combine(hours.day, out, NEW_YORK)
    if now < ready:
        what = f"the session of {hours.day} ends" if out is None else f"the reports of {hours.day} are there"
        return f"{what} at {ready.astimezone(NEW_YORK):%H:%M} New York: ask again after that"
    night_ends = _night_ends(hours.day)
    if night_ends - _RESET_ENDS <= now < night_ends:
        return (
            f"Theta does not serve {hours.day} between 00:00 and 01:45 New York of the next day: ask again after that"
        )
    return None


def _night_ends(day: date) -> datetime:
    """Return when the vendor has moved a day to its history."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), NEW_YORK) + _RESET_ENDS


class ThetaSource:
    """Days of one dataset, for the engine; implements ``ingest.source.Source``."""

    def __init__(
        self, dataset: OptionDataset, *, lake: Lake, bodies: OptionSource, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Bind a dataset to where its days come from and where they go.

        Args:
            dataset: what to fetch.
            lake: where the day is staged.
            bodies: the terminal, or files.
            clock: returns the current instant, with a time zone.
        """
        self._dataset = dataset
        self._lake = lake
        self._bodies = bodies
        self._clock = clock
        self._stages = new_stages()

    async def wait_until_up(self) -> None:
        """See ``Source``."""
        await self._bodies.wait_until_up(self._dataset.roots[0])

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        hours = session(day)
        if reason := not_yet(hours, self._clock(), self._dataset.history.published):
            raise DayEnded(NotPublished(reason))
        started = perf_counter()
        listed = await self._bodies.listed_contracts(self._dataset.roots, day)
        bounded = BoundedMeter(meter, self._dataset.bounds)
        kept = self._lake.unfinished(self._dataset.key, day)
        try:
            staged, audited = await self._fetch(hours, listed, bounded, self._short_answers(day, kept))
        except LakeError as error:
            raise ending_of(error) from error
        except DayEnded as ended:
            if not isinstance(ended.outcome, Failed):
                kept.clear()
            raise
        metadata = audited.metadata(perf_counter() - started, by_minute=self._dataset.by_minute)
        return StagedDayFile(staged, metadata, published=kept.clear)

    def _short_answers(self, day: date, kept: UnfinishedDay) -> ShortAnswerMemory:
        synthetic = self._lake.synthetic
        if not self._bodies.answers_anew:
            return ShortAnswerMemory(None, synthetic=synthetic, not_final="a file is not asked again")
        not_final = None
        if self._clock() < _night_ends(day):
            not_final = "what the vendor lacks is not final before 01:45 New York of the next day: ask again then"
        return ShortAnswerMemory(kept, synthetic=synthetic, not_final=not_final)

    async def _fetch(
        self, hours: Session, listed: ContractList, meter: DayMeter, memory: ShortAnswerMemory
    ) -> tuple[StagedFile, DayAudit]:
        dataset = self._dataset
        job = DayJob(dataset, self._bodies, self._lake, hours, listed, meter, memory, self._clock, self._stages)
        by = choose_request_unit(dataset, expected_rows(dataset, listed.contracts, dataset.grid(hours).points))
        if not dataset.by_minute:
            return await day_of_reports(job, by)
        if by == "day":
            return await whole_day(job)
        return await day_by_expiration(job, by)
