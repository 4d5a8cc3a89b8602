"""One Dagster run of a dataset: many days through the engine, each recorded in the event log as it ends.

Here: the step of every ingest asset, the recording of a day (its materialization and checks, or why it did not store),
signals, progress. Not here: the engine itself (`engine`), the verify mode (`verify_run`), and any vendor.

Only a stored day is materialized. A run in which any day did not store ends as a failure, so that the grid shows those
days red and the others green.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from contextvars import ContextVar, copy_context
from dataclasses import replace
from datetime import date
from functools import partial
from types import MappingProxyType
from typing import NoReturn, Protocol

import dagster as dg
import polars as pl

from data_assets.counts import count_of, part_of
from data_assets.ingest.engine import EnginePolicy, IngestReport, ingest
from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.markdown import markdown_table
from data_assets.ingest.outcome import (
    DamagedFile,
    IngestError,
    NoData,
    NotPublished,
    NotStored,
    Outcome,
    Rejected,
    RunEnded,
    Scalar,
    Stored,
    StoredMeanwhile,
)
from data_assets.ingest.progress import Progress, line
from data_assets.ingest.run_summary import summarize
from data_assets.ingest.source import DayMeter, Source, StagedDay
from data_assets.ingest.stop_request import stop_request
from data_assets.ingest.waiting import run_waits, waiting_for_the_lake
from data_assets.lake.errors import LakeError, LakeUnusable, one_line
from data_assets.lake.lake import Lake
from data_assets.lake.patient_store import store_wait
from data_assets.orchestration.alerts import days_failed_checks, send_alert
from data_assets.orchestration.asset_checks import day_evaluation, latest_materialization
from data_assets.orchestration.dataset import MarketDataset, datasets_of_this_process
from data_assets.orchestration.day_picture import day_picture
from data_assets.orchestration.day_states import DAMAGED_FILE
from data_assets.orchestration.integrity import ReadBack, damaged_days, read_back, recorded_file, stored_verdicts
from data_assets.orchestration.kept_connections import written_together
from data_assets.orchestration.lake_presence import LAKE, red_before, refuse_absent_lake
from data_assets.orchestration.own_run import report_summary
from data_assets.orchestration.partitions import PARTITION, asked_bounds, asked_keys
from data_assets.orchestration.reconcile_run import RECONCILE, FilesOfTheLake
from data_assets.orchestration.request_tags import is_asked_again, what_follows
from data_assets.orchestration.waiting_checks import WaitingDays
from data_assets.quality.verdict import SEVERITIES, Breaches, Verdict
from data_assets.wiring import open_lake

PROGRESS_SECONDS = 10.0
"""Between two progress lines in the event log; an event costs 15 to 35 ms there."""

PREVIEW_ROWS = 5

logger = logging.getLogger(__name__)


class RunWatcher(Protocol):
    """Whatever shows a run in the same process while it works: the command's display."""

    def watch(self, progress: Progress) -> AbstractContextManager[None]:
        """Entered when the run begins, left when it ends."""

    def day_judged(self, day: date, verdicts: Sequence[Verdict]) -> None:
        """Called with verdicts on a stored day: before it has ended, or later, as it is judged again."""

    def day_ended(self, day: date, outcome: Outcome) -> None:
        """Called when a day has ended and is recorded."""

    def run_ended(self, report: IngestReport) -> None:
        """Called when all days have ended, or the run was stopped."""

    def lake_refused(self, reason: str) -> None:
        """Called when the run ends because its lake cannot be used; its days keep the colour that they had."""


run_watcher: ContextVar[RunWatcher | None] = ContextVar("run_watcher", default=None)
"""Set by the command around a run in its own process."""


StepContext = dg.AssetExecutionContext | dg.OpExecutionContext

Opener = Callable[[Lake, list[date]], AbstractAsyncContextManager[Source]]
"""Opens, for one run, a source that writes to the given lake."""

run_source: ContextVar[Opener | None] = ContextVar("run_source", default=None)
"""Set by the command around a run in its own process whose days come from elsewhere than the vendor."""


# ---- a day's events -------------------------------------------------------------------------------------------------


def _materialization(dataset: MarketDataset, lake: Lake, day: date, stored: Stored) -> dg.AssetMaterialization:
    first_rows = _extra(dataset, day, "its first rows could not be read", partial(_first_rows, dataset, lake, day))
    drawn = _extra(dataset, day, "its picture could not be drawn", partial(_picture, dataset, lake, day))
    return dg.AssetMaterialization(
        asset_key=dataset.asset_key,
        partition=day.isoformat(),
        metadata={
            "rows": stored.rows,
            "MB": round(stored.size / 1e6, 3),
            # Near the top: the page of a day shows metadata in this order.
            **({} if drawn is None else {"picture": dg.MetadataValue.md(drawn)}),
            **({} if first_rows is None else {"preview": dg.MetadataValue.md(first_rows)}),
            **{name: _plain(value) for name, value in stored.metadata.items()},
            "attempts": stored.attempts,
            "path": dg.MetadataValue.path(lake.locate(stored.path)),
            "size": stored.size,
            "sha256": stored.sha256,
            "synthetic": lake.synthetic,
            **({} if (identity := lake.identity()) is None else {LAKE: identity}),
        },
    )


def _extra(dataset: MarketDataset, day: date, lacking: str, make: Callable[[], str | None]) -> str | None:
    """What a record shows besides what it says; None if there is none, or if that fails: the day is recorded anyway."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001  whatever it is: this is an extra, the record is not
        logger.warning(f"{dataset.name} {day}: stored, but {lacking}: {one_line(str(error))}")
        return None


def _first_rows(dataset: MarketDataset, lake: Lake, day: date) -> str | None:
    frame = dataset.files.preview(lake, day, PREVIEW_ROWS)
    return None if frame is None else first_rows_table(frame)


def first_rows_table(frame: pl.DataFrame) -> str:
    """Some rows as Markdown, every number in its own digits."""
    # Not by `pl.Config`: it sets variables of the environment, which other threads' native code reads at that moment,
    # and a process dies of it (SIGSEGV; setenv is no call for a process with threads).
    shown = frame.with_columns_seq(pl.selectors.float().cast(pl.String))  # a Float32 in its own digits
    return markdown_table(shown.columns, shown.iter_rows())


def _picture(dataset: MarketDataset, lake: Lake, day: date) -> str | None:
    return None if dataset.minutes is None else day_picture(dataset.minutes(lake, day))


def _plain(value: Scalar) -> Scalar:
    """Round a share such as 0.0000197823936696 to six digits, for readers; plots need no more."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def record_stored(context: StepContext, dataset: MarketDataset, lake: Lake, day: date, stored: Stored) -> list[Verdict]:
    """Record that a day is stored, and all verdicts on it, which are returned.

    It is judged while its first rows and its picture are made and the record is written: what the file has to be is
    known before. An error of either is raised when both have ended.
    """
    key = day.isoformat()
    with ThreadPoolExecutor(1, "judge") as judge:
        judging = judge.submit(copy_context().run, stored_verdicts, stored, dataset, lake, day)
        context.log_event(_materialization(dataset, lake, day, stored))
        record = latest_materialization(context.instance, dataset.asset_key, key)
        assert record is not None, f"{dataset.name} {key} was recorded just now"
        verdicts = judging.result()
    with written_together(context.instance):
        for verdict in verdicts:
            context.log_event(day_evaluation(dataset.asset_key, key, verdict, record))  # type: ignore[arg-type]
    return verdicts


def record_input(context: StepContext, name: str, lake: Lake, day: date, stored: Stored) -> None:
    """Record a day of a dataset that another was made from, unless that very file is recorded already."""
    dataset = datasets_of_this_process[name]
    record = latest_materialization(context.instance, dataset.asset_key, day.isoformat())
    recorded = recorded_file(record)
    if recorded is None or recorded.sha256 != stored.sha256:
        record_stored(context, dataset, lake, day, stored)


def record_whole(
    context: dg.AssetExecutionContext,
    dataset: MarketDataset,
    lake: Lake,
    day: date,
    record: dg.EventLogRecord,
    found: ReadBack,
) -> None:
    """Record once more a day that was read back whole: as it was, or, if its file is a newer one, as it is."""
    if found.unrecorded is not None:
        record_stored(context, dataset, lake, day, replace(found.unrecorded, attempts=0))
    elif record.asset_materialization is not None:
        context.log_event(record.asset_materialization)


class DayRecorder:
    """Writes each day's end into the event log of the run it belongs to.

    Args:
        context: the step's context.
        dataset: the dataset that is ingested.
        lake: where its files are.

    Attributes:
        ended: the days whose ends are recorded.
        breaches: the checks that stored days have not passed.
    """

    def __init__(self, context: dg.AssetExecutionContext, dataset: MarketDataset, lake: Lake) -> None:
        self._context, self._dataset, self._lake = context, dataset, lake
        self._waiting = WaitingDays(context, dataset, lake, self._judged)
        self.ended: set[date] = set()
        self.breaches = Breaches()

    def begin(self, days: Iterable[date]) -> None:
        """Prepare for the days that are about to be stored."""
        self._waiting.look_around(days)

    async def record(self, day: date, outcome: Outcome) -> None:
        """Record how a day ended. Runs in a thread: every event waits for the database's disk."""
        await asyncio.to_thread(self._record, day, outcome)
        self.ended.add(day)
        if (watcher := run_watcher.get()) is not None:
            watcher.day_ended(day, outcome)

    def _record(self, day: date, outcome: Outcome) -> None:
        key = day.isoformat()
        if isinstance(outcome, Stored):
            for name, stored in outcome.inputs.items():
                record_input(self._context, name, self._lake, day, stored)
            verdicts = record_stored(self._context, self._dataset, self._lake, day, outcome)
            self._judged(day, verdicts)
            self._waiting.judged(day, verdicts)
        else:
            said = _with_what_follows(outcome, self._context.run.tags)
            self._context.log_event(not_stored_event(self._dataset, key, said))

    def _judged(self, day: date, verdicts: Sequence[Verdict]) -> None:
        self.breaches.judged(day, verdicts)
        if (watcher := run_watcher.get()) is not None:
            watcher.day_judged(day, verdicts)

    def stored_before(self, days: Iterable[date]) -> set[date]:
        """Return the days that this run, or the run that it retries, has stored already; they are not fetched again.

        In a retry that is a run of its own, such a day is recorded once more, because the run is planned for it and the
        grid judges a day by the last run that was planned for it.
        """
        kin = self._runs_before()
        if not kin and self._context.retry_number == 0:
            return set()
        stored: set[date] = set()
        for day in days:
            record = latest_materialization(self._context.instance, self._dataset.asset_key, day.isoformat())
            if record is None or record.run_id not in {*kin, self._context.run.run_id}:
                continue
            found = read_back(self._lake, self._dataset, day, record)
            if not found.verdict.passed:
                continue
            if found.unrecorded or record.run_id != self._context.run.run_id:
                record_whole(self._context, self._dataset, self._lake, day, record, found)
            stored.add(day)
        return stored

    def _runs_before(self) -> set[str]:
        run = self._context.run
        if run.parent_run_id is None:
            return set()
        group = self._context.instance.get_run_group(run.run_id)
        return {other.run_id for other in (group[1] if group else ())} - {run.run_id}


def _with_what_follows(outcome: NotStored, tags: Mapping[str, str]) -> NotStored:
    if isinstance(outcome, NoData):
        return outcome  # the vendor's word, which is not asked for again
    return replace(outcome, reason=outcome.reason + what_follows(tags))


def not_stored_event(dataset: MarketDataset, day: str, outcome: NotStored) -> dg.AssetObservation:
    """Make the event that says, on the day's own page, how it ended and what to do."""
    return dg.AssetObservation(
        asset_key=dataset.asset_key,
        partition=day,
        description=f"{outcome.name}: {outcome.reason}",
        metadata={
            "outcome": outcome.name,
            "reason": outcome.reason,
            "asked_the_vendor": outcome.tried,
            "attempts": outcome.attempts,
            **({DAMAGED_FILE: True} if isinstance(outcome, DamagedFile) else {}),
        },
    )


# ---- the step ------------------------------------------------------------------------------------------------------


def days_of_run(context: dg.AssetExecutionContext, dataset: MarketDataset) -> list[str]:
    """Return the keys that this run was asked for; a day that Dagster adds to them is logged and left as it is.

    Dagster has planned such a day for this run, and would turn it red with the others if the run fails. So if it is
    stored, it is recorded once more as it was.
    """
    planned = list(context.partition_keys)
    asked = asked_keys(context.run.tags, planned)
    first, last = asked_bounds(context.run.tags)
    if PARTITION in context.run.tags and first == last:
        why = (
            f"{first}, and for a closed day Dagster runs the next {dataset.unit}; ask for a {dataset.unit} that exists"
        )
    else:
        why = (
            f"{first} to {last}, and Dagster adds the next {dataset.unit} to a range that ends on a closed day; end it "
            f"on a {dataset.unit} that exists"
        )
    for key in sorted(set(planned) - set(asked)):
        context.log.warning(f"{dataset.name}: {dataset.label(key)} is left alone: the run was asked for {why}")
        record = latest_materialization(context.instance, dataset.asset_key, key)
        if record and (found := read_back(open_lake(), dataset, date.fromisoformat(key), record)).verdict.passed:
            record_whole(context, dataset, open_lake(), date.fromisoformat(key), record, found)
    return asked


def ingest_days(context: dg.AssetExecutionContext, dataset: MarketDataset) -> None:
    """Ingest the days of this run, newest first.

    Raises:
        DaysNotStored: some day did not store; the text says which and why. The stored days stay materialized.
        dagster.DagsterExecutionInterruptedError: the run was told to stop. The stored days stay materialized.
    """
    lake = open_lake()
    if moved := lake.migrate():
        context.log.info(f"moved {count_of(moved, 'file')} of an earlier version of the lake to their present places")
    _warn_of_a_store_without_conditions(context, lake)
    swept = lake.sweep()
    if swept:
        context.log.info(f"removed {len(swept)} temporary files of processes that have ended")
    days = [date.fromisoformat(key) for key in days_of_run(context, dataset)]
    if not days:
        return
    recorder = DayRecorder(context, dataset, lake)
    stored_before = recorder.stored_before(days)
    todo = [day for day in days if day not in stored_before]
    recorder.begin(todo)
    progress = Progress()
    watcher = run_watcher.get()
    try:
        with watcher.watch(progress) if watcher else nullcontext():
            opener = _opener(context, dataset)
            report = asyncio.run(ingest_through(context, dataset, lake, todo, recorder.record, progress, opener))
    except KeyboardInterrupt:  # of Polars, as it worked beside a day: see the engine
        end_stopped_run(context, dataset, [day for day in todo if day not in recorder.ended])
    if watcher:
        watcher.run_ended(report)
    summary = summarize(report, progress.snapshot(), len(stored_before), *map(recorder.breaches.counts, SEVERITIES))
    text, numbers = summary.line(dataset.day, dataset.label), summary.metadata(dataset.label)
    report_summary(context.instance, context.run, dataset.name, text, numbers)
    if report.stopped:
        end_stopped_run(context, dataset, report.unfinished)
    not_stored = {
        day: _with_what_follows(outcome, context.run.tags)
        for day, outcome in report.outcomes.items()
        if isinstance(outcome, NotStored)
    }
    failed_checks = recorder.breaches.days("error")
    if not_stored and _only_too_early(context, dataset, not_stored):
        context.log.info(f"{dataset.name}: not published yet{what_follows(context.run.tags)}")
    elif not_stored:
        if report.ended is not None:
            refuse_absent_lake(context.instance, lake, dataset)  # unplugged since: that is no fault of these days
        raise failure(dataset, not_stored, len(days), failed_checks)
    if failed_checks:
        send_alert(days_failed_checks(dataset, failed_checks, len(days)), context.log.warning)


def _warn_of_a_store_without_conditions(context: dg.AssetExecutionContext, lake: Lake) -> None:
    try:
        if why := lake.ignores_conditions():
            context.log.warning(why)
    except LakeUnusable:
        raise
    except LakeError:
        pass  # whoever stores a day is told of a store that does not answer


def _only_too_early(
    context: dg.AssetExecutionContext, dataset: MarketDataset, not_stored: Mapping[date, NotStored]
) -> bool:
    """Whether nothing is wrong with the days that a run did not store: they stay missing, and are asked for again.

    A day that was stored and is damaged would turn green again.
    """
    return (
        is_asked_again(context.run.tags)
        and all(isinstance(outcome, NotPublished) for outcome in not_stored.values())
        and not red_before(context.instance, dataset, not_stored, context.run.run_id)
    )


def end_run_without_lake(
    context: dg.AssetExecutionContext, dataset: MarketDataset, days: Sequence[date], error: LakeUnusable
) -> NoReturn:
    """End a run whose lake is not there, so that its days keep the colour that they had.

    Raises:
        DaysNotStored: one of them was red, and would turn green if the run were canceled.
        dagster.DagsterExecutionInterruptedError: none was red.
    """
    if (watcher := run_watcher.get()) is not None:
        watcher.lake_refused(str(error))
    context.log.error(str(error))
    red = dict.fromkeys(red_before(context.instance, dataset, days, context.run.run_id), Rejected(str(error)))
    if red:
        for day in [day for day in days if day not in red]:
            record = latest_materialization(context.instance, dataset.asset_key, day.isoformat())
            if record is not None and record.asset_materialization is not None:
                context.log_event(record.asset_materialization)
        raise failure(dataset, red, len(days))
    raise dg.DagsterExecutionInterruptedError(f"{dataset.name}: {error}")


def end_stopped_run(context: dg.AssetExecutionContext, dataset: MarketDataset, unfinished: Sequence[date]) -> NoReturn:
    """End a run that was told to stop before the days in `unfinished` were done.

    Raises:
        DaysNotStored: one of them is damaged, and would turn green if the run were canceled.
        dagster.DagsterExecutionInterruptedError: none is damaged.
    """
    lake = open_lake()
    try:
        refuse_absent_lake(context.instance, lake, dataset)
        found = damaged_days(context.instance, dataset, lake, unfinished)
    except LakeUnusable as error:
        end_run_without_lake(context, dataset, unfinished, error)
    damaged = {
        day: Rejected(f"told to stop before the damaged day was replaced: {verdict.summary}")
        for day, verdict in found.items()
    }
    if damaged:
        raise failure(dataset, damaged, len(context.partition_keys))
    raise dg.DagsterExecutionInterruptedError(
        f"{dataset.name}: told to stop; {count_of(len(unfinished), dataset.day)} not finished, without a file"
    )


async def ingest_through(
    context: StepContext,
    dataset: MarketDataset,
    lake: Lake,
    days: list[date],
    record: Callable[[date, Outcome], Awaitable[None]],
    progress: Progress,
    open_source: Opener,
) -> IngestReport:
    """Bring in days of a dataset through a source that is opened for them; a signal stops it, see `engine.ingest`."""
    policy = EnginePolicy(
        dataset.max_concurrency,
        0 if RECONCILE in context.run.tags else dataset.typical_day_bytes,
        dataset.retry,
        unit=dataset.day,
        label=dataset.label,
        first_day_alone=dataset.first_day_alone,
    )
    stop = asyncio.Event()
    run_waits.set(progress.waits)  # of this task: the opening of a source may have to wait too
    store_wait.set(waiting_for_the_lake)
    with _stop_on_signals(stop):
        async with AsyncExitStack() as opened:
            source = await _open(open_source, lake, days, opened, stop)
            ticker = asyncio.create_task(_tell_progress(context, progress))
            try:
                return await ingest(
                    days,
                    source,
                    record,
                    policy=policy,
                    progress=progress,
                    stop=stop,
                    free_bytes=lake.free_bytes,
                )
            finally:
                ticker.cancel()
                with suppress(asyncio.CancelledError):
                    await ticker


class _NotOpened:
    """Takes the place of a source that did not open, so that every day of the run says why; implements ``Source``."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        raise RunEnded(self._why)

    async def wait_until_up(self) -> None:
        raise RunEnded(self._why)


@asynccontextmanager
async def _opened_as_first_or_second(
    dataset: MarketDataset, opener: Opener, lake: Lake, days: list[date]
) -> AsyncIterator[Source]:
    async with opener(lake, days) as source:
        yield _FirstOrSecond(dataset, lake, source)


class _FirstOrSecond:
    """A source of days that another run may store at the same time; implements ``Source``.

    Such a day ends as stored, and is recorded as what is there: whoever stored it may have died before it could.
    """

    def __init__(self, dataset: MarketDataset, lake: Lake, source: Source) -> None:
        self._dataset, self._lake, self._source = dataset, lake, source

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        staged = await self._source.fetch(day, meter)
        return _StagedFirstOrSecond(staged, partial(self._found, day))

    async def wait_until_up(self) -> None:
        await self._source.wait_until_up()

    def _found(self, day: date, overtaken: StoredMeanwhile) -> Stored:
        logger.warning(f"{self._dataset.name} {day}: {overtaken}")
        try:
            found = self._dataset.files.found(self._lake, day)
        except LakeError as error:
            raise ending_of(error) from error
        if found is None:
            raise overtaken
        return found


class _StagedFirstOrSecond:
    """A day of such a source; implements ``StagedDay``."""

    def __init__(self, staged: StagedDay, found: Callable[[StoredMeanwhile], Stored]) -> None:
        self._staged, self._found = staged, found

    def publish(self) -> Stored:
        try:
            return self._staged.publish()
        except StoredMeanwhile as overtaken:
            return self._found(overtaken)

    def discard(self) -> None:
        self._staged.discard()


def _opener(context: dg.AssetExecutionContext, dataset: MarketDataset) -> Opener:
    if RECONCILE in context.run.tags:
        return lambda lake, _days: nullcontext(FilesOfTheLake(dataset, lake))
    return partial(_opened_as_first_or_second, dataset, source_of_run(dataset))


def source_of_run(dataset: MarketDataset) -> Opener:
    """What opens the source of a run's days: the command's, if it brings one, else the vendor's."""
    return run_source.get() or dataset.open_source


async def _open(
    open_source: Opener, lake: Lake, days: list[date], opened: AsyncExitStack, stop: asyncio.Event
) -> Source:
    """Open a source, unless told to stop meanwhile: opening may wait for a vendor that is away."""
    opening = asyncio.current_task()
    assert opening is not None

    async def cancel_when_told_to_stop() -> None:
        await stop.wait()
        opening.cancel()

    watch = asyncio.create_task(cancel_when_told_to_stop())
    try:
        return await opened.enter_async_context(open_source(lake, days))
    except IngestError as error:
        return _NotOpened(str(error))
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        opening.uncancel()
        return _NotOpened("told to stop")
    finally:
        watch.cancel()


async def _tell_progress(context: StepContext, progress: Progress) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        await asyncio.to_thread(context.log.info, line(progress.snapshot()))


@contextmanager
def _stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM (Ctrl-C, a service manager, the UI's Terminate) stop the engine, not cut it off."""
    loop = asyncio.get_running_loop()
    if (request := stop_request.get()) is not None:
        with request.heard_by(partial(loop.call_soon_threadsafe, stop.set)):
            yield
        return
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only; a caller that runs assets elsewhere stops them its own way
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


NOT_STORED = "not_stored"
"""The metadata of a failure that names days; each of them has an event of its own that says why."""


class DaysNotStored(dg.Failure):
    """The failure of a run in which some day did not store.

    Attributes:
        not_stored: the outcome of each of these days.
        asked: days that the run was asked for.
        failed_checks: days that did store, and failed checks, each with their names.
    """

    def __init__(
        self,
        not_stored: Mapping[date, NotStored],
        failed_checks: Mapping[date, Sequence[str]],
        asked: int,
        description: str,
        table: str,
    ) -> None:
        metadata = {NOT_STORED: dg.MetadataValue.md(table)}
        super().__init__(description, metadata=metadata, allow_retries=False)
        self.not_stored, self.failed_checks, self.asked = not_stored, failed_checks, asked


def failure(
    dataset: MarketDataset,
    not_stored: Mapping[date, NotStored],
    asked: int,
    failed_checks: Mapping[date, Sequence[str]] = MappingProxyType({}),
) -> DaysNotStored:
    """Make the failure of a run in which some day did not store: how many, which, why, and what to do."""
    newest_first = sorted(not_stored.items(), reverse=True)
    day, outcome = newest_first[0]
    others = f" and {len(newest_first) - 1:,} more" if len(newest_first) > 1 else ""
    table = markdown_table(
        ("day", "outcome", "reason"),
        ((dataset.label(day), outcome.name, outcome.reason) for day, outcome in newest_first),
    )
    description = (
        f"{dataset.name}: {part_of(len(newest_first), asked, dataset.day)} did not store. "
        f"{dataset.label(day)} {outcome.name}: {outcome.reason}{others}"
    )
    return DaysNotStored(not_stored, failed_checks, asked, description, table)
