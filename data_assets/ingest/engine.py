"""The engine: many days in, exactly one typed outcome per day out.

Here: the order of days, what happens at once and what one after another, and how a run ends. Not here: the rules it
goes by (`concurrency`, `retry`, `boundary`), what a dataset is (`source`), and where outcomes are recorded (`record`,
which the caller brings).

A day passes two stages. It is *asked for* (waiting for the gate, fetching, pausing between attempts), and then *kept*
(published in a thread, because fsync blocks, and recorded). No more days are asked for at once than the concurrency
limit, pauses included: a day that pauses keeps its place, so that a vendor in trouble gets fewer requests, and an
outage uses up the attempts of a few days and not of all. Each single request passes the gate too, which matters after
the limit was halved: the days in work go on, no more of them at once than the new limit. A day being kept holds no
request and takes no place: the vendor's line stays busy while a disk works. Days waiting to be kept are bounded as
well, by the same limit.

What an answer says of older days (`boundary`) is heeded before every request for a day, the first as well as another
try: in the engine alone, for every vendor.

Time is the running event loop's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random

from data_assets.ingest.boundary import DataBoundary, RunOutcomes
from data_assets.ingest.concurrency import MEMORY_SHARE, ConcurrencyLimit, Gate
from data_assets.ingest.memory import memory_in_use
from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    NotStored,
    Outcome,
    RunEnded,
    Stored,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.ingest.progress import DayProgress, Phase, Progress, day_at_work
from data_assets.ingest.retry import RetryBudget, RetryPolicy
from data_assets.ingest.source import DayMeter, Source, StagedDay
from data_assets.ingest.waiting import run_waits, waiting
from data_assets.lake.errors import one_line

SAME_CAUSE_IN_A_ROW = 3
"""Days in a row that fail for one cause end the run: it is not about the days."""

_DAYS_IN_WORK_END = "days in work have ended"
_DEFECT = "unexpected error"

logger = logging.getLogger(__name__)
retries = logging.getLogger(f"{__name__}.retries")
"""Apart, for who shows a run says by itself what is waited for, and how often a day was asked for."""


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """What a dataset allows and expects.

    Attributes:
        max_concurrency: most requests in flight at once; the vendor's limit for the account.
        day_bytes: what a day takes on disk, roughly; 0 where no disk is at stake.
        retry: how patient to be with one day.
        unit: what one of its days is called in reasons, such as month.
        label: how one is written there.
        first_day_alone: ask for one day at a time until the first data comes, so that an account that lacks a dataset
            is refused once and not as often as days are asked for at once.
    """

    max_concurrency: int
    day_bytes: int = 0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    unit: str = "day"
    label: Callable[[date], str] = str
    first_day_alone: bool = False


@dataclass(frozen=True, slots=True)
class IngestReport:
    """How a run went.

    Attributes:
        outcomes: day -> how it ended, newest first; every one of them was recorded.
        unfinished: days without an outcome, newest first: the run was stopped before they ended.
        boundary: where the vendor's data begins, if the run found that out.
        ended: why the run could not go on, if it could not; its remaining days are `Failed` with this reason.
    """

    outcomes: Mapping[date, Outcome]
    unfinished: tuple[date, ...]
    boundary: DataBoundary | None
    ended: str | None

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped before all its days had ended."""
        return bool(self.unfinished)


async def ingest(
    days: Iterable[date],
    source: Source,
    record: Callable[[date, Outcome], Awaitable[None]],
    *,
    policy: EnginePolicy,
    progress: Progress,
    stop: asyncio.Event | None = None,
    free_bytes: Callable[[], int | None] = lambda: None,
    memory_share: Callable[[], float] = memory_in_use,
    rng: Random | None = None,
) -> IngestReport:
    """Bring in `days`, newest first, until each has ended or the run is stopped.

    Cancelling this coroutine stops the run as `stop` does, and then raises `CancelledError`; a second cancellation does
    not wait for the days that are being kept.

    Args:
        days: the days to ask for; doubles count once.
        source: the dataset.
        record: awaited for every day as it ends, one at a time, for a stored day after its file has its final name.
        policy: the dataset's limits.
        progress: told of everything as it happens.
        stop: once set, no further day or request is begun and days being fetched are cancelled; a day that is being
            published or recorded is finished. To be set in the loop's own thread.
        free_bytes: free space where the files go; None where that is unknown (an object store).
        memory_share: share of the memory in use, 0 to 1.
        rng: the source of jitter.

    Raises:
        Exception: whatever `record` raised; the run ends at once, and `record` is not called again.
    """
    run = _Run(
        days, source, record, policy, progress, stop or asyncio.Event(), free_bytes, memory_share, rng or Random()
    )
    return await run.to_its_end()


@dataclass(slots=True)
class _DayInWork:
    position: int
    kept: bool = False
    """Whether the day has arrived and is being published or recorded; from then on nothing cancels it gently."""


@dataclass(frozen=True, slots=True)
class _Receiving:
    """The meter of a day, and who wants to hear of its bytes; implements `DayMeter`."""

    meter: DayMeter
    data_comes: Callable[[], None]

    def received(self, size: int) -> None:
        self.meter.received(size)
        self.data_comes()

    def parsed(self, rows: int) -> None:
        self.meter.parsed(rows)


class _Run:
    def __init__(
        self,
        days: Iterable[date],
        source: Source,
        record: Callable[[date, Outcome], Awaitable[None]],
        policy: EnginePolicy,
        progress: Progress,
        stop: asyncio.Event,
        free_bytes: Callable[[], int | None],
        memory_share: Callable[[], float],
        rng: Random,
    ) -> None:
        self._days = sorted(set(days), reverse=True)
        self._source = source
        self._record = record
        self._policy = policy
        self._progress = progress
        self._stop = stop
        self._free_bytes = free_bytes
        self._memory_share = memory_share
        self._rng = rng

        self._limit = ConcurrencyLimit(
            policy.max_concurrency, asyncio.get_running_loop().time, first_alone=policy.first_day_alone
        )
        self._limit_shown = self._limit.current
        self._gate = Gate(self._limit)
        self._ended_days = RunOutcomes(self._days, policy.unit, policy.label)
        self._outcomes: dict[date, Outcome] = {}
        self._in_work: dict[asyncio.Task[None], _DayInWork] = {}
        self._next = 0
        self._changed = asyncio.Event()
        self._recording = asyncio.Lock()
        self._record_broke = False
        self._outage: asyncio.Task[None] | None = None
        self._cause, self._days_of_cause = "", 0
        self._closing = False
        self._ended: str | None = None

    async def to_its_end(self) -> IngestReport:
        self._progress.begin(len(self._days))
        self._progress.concurrency_is(self._limit_shown)
        watch = asyncio.create_task(self._watch_stop())
        before = run_waits.set(self._progress.waits)
        try:
            await self._work()
            await self._conclude_the_rest()
        finally:
            run_waits.reset(before)
            watch.cancel()
            await self._wind_down(watch)
        return IngestReport(
            outcomes={day: self._outcomes[day] for day in self._days if day in self._outcomes},
            unfinished=tuple(day for day in self._days if day not in self._outcomes),
            boundary=self._ended_days.boundary(),
            ended=self._ended,
        )

    async def _watch_stop(self) -> None:
        await self._stop.wait()
        self._close()
        self._changed.set()

    async def _work(self) -> None:
        """Begin days while there is a place for them, until none is left to begin and none is in work."""
        while True:
            why_not_more = self._begin_days()
            if not self._in_work:
                return
            with nullcontext() if why_not_more is None else waiting(why_not_more, _DAYS_IN_WORK_END):
                await self._changed.wait()
            self._changed.clear()
            for task in [task for task in self._in_work if task.done()]:
                del self._in_work[task]
                if not task.cancelled():
                    task.result()

    def _begin_days(self) -> str | None:
        """Begin days while there is a place for them; returns what is short, where that is why there is none."""
        while self._next < len(self._days) and self._may_ask():
            if self._ended_days.verdict(self._next) is not None:
                return None
            memory = self._memory_share()
            self._limit.memory(memory)
            self._show_the_limit()
            being_kept = sum(work.kept for work in self._in_work.values())
            being_asked_for = len(self._in_work) - being_kept
            if being_asked_for >= self._limit.current or being_kept > self._limit.current:
                return f"memory ({memory:.0%} is in use)" if memory > MEMORY_SHARE else None
            if not self._disk_has_room():
                return f"room on the disk for one more {self._policy.unit}" if self._in_work else None
            work = _DayInWork(self._next)
            task = asyncio.create_task(self._day(work), name=f"ingest {self._days[self._next]}")
            task.add_done_callback(lambda _: self._changed.set())
            self._in_work[task] = work
            self._next += 1
        return None

    def _may_ask(self) -> bool:
        return not self._closing and not self._stop.is_set()

    def _disk_has_room(self) -> bool:
        """Whether one more day fits beside those in work; if not even one fits, the run ends."""
        free = self._free_bytes()
        if free is None or free >= (len(self._in_work) + 1) * self._policy.day_bytes:
            return True
        if not self._in_work:
            self._end(
                f"the disk is nearly full: {free / 1e9:.2f} GB are free and a day needs about "
                f"{self._policy.day_bytes / 1e9:.2f} GB; make room and ask for the remaining days again"
            )
        return False

    async def _day(self, work: _DayInWork) -> None:
        day = self._days[work.position]
        day_at_work.set(day)  # in this task, and in the threads that it asks
        meter = self._progress.day_begun(day)
        try:
            outcome = replace(await self._outcome(day, work, meter), attempts=meter.attempts)
            work.kept = True
            self._ended_days.ended(work.position, outcome)
            self._end_at_the_same_cause(day, outcome)
            meter.enter(Phase.RECORDING)
            await self._keep_record(day, outcome)
        finally:
            self._progress.day_dropped(day)

    async def _outcome(self, day: date, work: _DayInWork, meter: DayProgress) -> Outcome:
        """Try until the day has an outcome."""
        tries = RetryBudget(self._policy.retry, self._rng)
        down: VendorDown | None = None
        while True:
            try:
                if down is not None:
                    meter.enter(Phase.VENDOR_DOWN)
                    await self._vendor_is_up(down)
                outcome = await self._try(day, work, meter)
            except Transient as error:
                pause = tries.pause_after(error)
                if pause is not None:
                    if not self._may_ask():
                        raise asyncio.CancelledError from error
                    retries.warning("%s: %s; trying again in %.1f s", day, one_line(error), pause)
                    down = error if isinstance(error, VendorDown) else None
                    meter.enter(Phase.PAUSING)
                    with waiting(f"another attempt at {self._policy.label(day)} ({one_line(error)})", pause):
                        await asyncio.sleep(pause)
                    continue
                outcome = Failed(f"{one_line(error)} ({tries.spent()})", cause=error.cause)
            except RunEnded as error:
                self._end(one_line(error))
                outcome = Failed(one_line(error))
            except KeyboardInterrupt as error:
                # Polars, once imported, has a SIGINT handler before the process's own, even before one that ignores:
                # calls of it that are under way raise in their threads.
                self._stop.set()
                raise asyncio.CancelledError from error
            except asyncio.CancelledError as error:
                if not self._may_ask() or _cancellation_was_asked_for():
                    raise
                return self._unexpected(day, error)
            except Exception as error:  # noqa: BLE001  a defect in one dataset's code must not hide how its day ended
                return self._unexpected(day, error)
            return outcome

    async def _try(self, day: date, work: _DayInWork, meter: DayProgress) -> Outcome:
        """Ask for the day once, and publish what arrived."""
        work.kept = False
        meter.enter(Phase.QUEUED)
        async with self._gate.request():
            if not self._may_ask():
                raise asyncio.CancelledError
            if (known := self._ended_days.verdict(work.position)) is not None:  # since it was begun, or between tries
                return known
            meter.enter(Phase.FETCHING)
            try:
                staged = await self._source.fetch(day, _Receiving(meter, self._data_comes))
            except DayEnded as ended:
                self._limit.answered(meter.bytes_received)
                return ended.outcome
            except Throttled:
                self._limit.throttled()
                raise
            except Exception:
                self._limit.failed()
                raise
            else:
                self._limit.answered(meter.bytes_received)
            finally:
                self._show_the_limit()
            # No await since the file arrived: a cancellation either met the download, which leaves no file, or nothing.
            work.kept = True
        self._changed.set()
        meter.enter(Phase.PUBLISHING)
        try:
            return await asyncio.to_thread(_publish, staged)
        except DayEnded as ended:
            return ended.outcome

    def _data_comes(self) -> None:
        self._limit.receives()
        if self._limit.current != self._limit_shown:
            self._show_the_limit()
            self._changed.set()

    async def _vendor_is_up(self, down: VendorDown) -> None:
        """Wait until the vendor answers again; the days that wait share one wait, which asks on behalf of them all."""
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._wait_out_the_outage(down))
        await asyncio.shield(self._outage)

    async def _wait_out_the_outage(self, down: VendorDown) -> None:
        patience = self._policy.retry.outage_seconds
        try:
            with waiting(f"the vendor to be back ({one_line(down)})", patience):
                async with asyncio.timeout(patience) as deadline:
                    await self._source.wait_until_up()
        except TimeoutError:
            if not deadline.expired():
                raise
            raise RunEnded(
                f"the vendor was not reachable for {patience:.0f} s; "
                "ask for the remaining days again when its terminal or gateway is up"
            ) from None

    def _unexpected(self, day: date, error: BaseException) -> Failed:
        reason = f"unexpected {type(error).__name__}: {one_line(error)}"
        logger.error("%s: %s", day, reason, exc_info=error)
        return Failed(reason, cause=_DEFECT)

    def _end_at_the_same_cause(self, day: date, outcome: Outcome) -> None:
        """End the run where one cause fails day after day, in the order in which they end."""
        if isinstance(outcome, Stored) or not outcome.cause:
            self._cause, self._days_of_cause = "", 0
            return
        self._days_of_cause = self._days_of_cause + 1 if outcome.cause == self._cause else 1
        self._cause = outcome.cause
        if self._days_of_cause >= SAME_CAUSE_IN_A_ROW:
            details = "; the log holds the tracebacks" if outcome.cause == _DEFECT else ""
            self._end(
                f"{SAME_CAUSE_IN_A_ROW} {self._policy.unit}s in a row failed for the same cause, the last of them "
                f"{self._policy.label(day)}: "
                f"{outcome.reason}{details}"
            )

    def _end(self, reason: str) -> None:
        """Nothing else of this run can work."""
        if self._ended is None:
            self._ended = reason
            _log_of_run(logging.ERROR, "the run ends: %s", reason)
        self._close()

    def _close(self) -> None:
        """Begin nothing more; cancel, once, the days that are still being asked for, unless one of them is calling."""
        if self._closing:
            return
        self._closing = True
        for task, work in self._in_work.items():
            if not work.kept and task is not asyncio.current_task():
                task.cancel()

    async def _conclude_the_rest(self) -> None:
        """Give the days that were not asked for, or not to the end, the outcome that the run's end means for them."""
        for position, day in enumerate(self._days):
            if self._stop.is_set():
                return
            begun = position < self._next
            outcome: NotStored | None = None
            if self._ended is not None:
                outcome = Failed(self._ended, tried=begun)
            elif not begun:
                outcome = self._ended_days.verdict(position)
            if outcome is not None and day not in self._outcomes:
                # A task of its own, so that cancelling the run does not cut a record short.
                task = asyncio.create_task(self._keep_record(day, outcome))
                self._in_work[task] = _DayInWork(position, kept=True)
                await asyncio.wait([task])
                del self._in_work[task]
                task.result()

    async def _keep_record(self, day: date, outcome: Outcome) -> None:
        async with self._recording:
            if self._record_broke:
                return
            try:
                await self._record(day, outcome)
            except BaseException:
                self._record_broke = True
                raise
            self._outcomes[day] = outcome
            self._progress.day_ended(day, outcome)

    async def _wind_down(self, watch: asyncio.Task[None]) -> None:
        """Leave no task behind: wait for days that are being kept, and for cancelled ones to clean up."""
        self._close()
        if self._outage is not None:
            self._outage.cancel()
        tasks = [*self._in_work, watch, *([self._outage] if self._outage else [])]
        second_cancellation: asyncio.CancelledError | None = None
        while unfinished := [task for task in tasks if not task.done()]:
            try:
                await asyncio.wait(unfinished)
            except asyncio.CancelledError as error:
                second_cancellation = error
                for task in unfinished:
                    task.cancel()
        for task in self._in_work:  # the first error is on its way to the caller; what followed it is not lost either
            if not task.cancelled() and (late := task.exception()) is not None:
                logger.error("while the run was ended: %s", one_line(late), exc_info=late)
        if second_cancellation is not None:
            raise second_cancellation

    def _show_the_limit(self) -> None:
        if self._limit.current != self._limit_shown:
            _log_of_run(logging.INFO, "requests at once: %d, now %d", self._limit_shown, self._limit.current)
            self._limit_shown = self._limit.current
            self._progress.concurrency_is(self._limit_shown)


def _publish(staged: StagedDay) -> Stored:
    try:
        return staged.publish()
    except BaseException:
        staged.discard()
        raise


def _log_of_run(level: int, text: str, *values: object) -> None:
    """Say what is not about the day whose task says it."""
    day = day_at_work.set(None)
    try:
        logger.log(level, text, *values)
    finally:
        day_at_work.reset(day)


def _cancellation_was_asked_for() -> bool:
    """Whether someone cancelled this task, as opposed to a `CancelledError` that escaped from what it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
