"""A look at stored days: the vendor is asked for them again, and what it says is compared with what is stored.

Here: the job of one vendor, the comparison, and what is recorded of it. Not here: when a day is looked at
(``revision_looks``), and how rows are compared (``lake.revision``).

A look is no run of the day's asset, so nothing that happens in it can turn a day red, or hide that it is: not a vendor
that is away, nor a kill. It waits for the vendor's pool and account as a run of days does. A look that could not be
made is recorded with the reason, and the next mark is the next look.

What replaces a stored day is an answer that passed the validation of a download, and differs. Two judgements: an answer
with fewer rows is a worse one, as vendors revise and add, and what shrinks a day is a fault on the way; and an answer
in which most prices moved by one factor is in another scale, as bars of IB after a split, in which the days around it
are not. Both are recorded, and a person may take them. Where the vendor names the version of a day, as Polygon does,
that is the vendor's word, and neither is applied.
"""

# No deferred annotations here: Dagster reads the type of an op's `config` and `context`.

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import date
from typing import Any, ClassVar

import dagster as dg
import polars as pl
from pydantic import Field

from data_assets.counts import all_that, count_of
from data_assets.ingest.outcome import DayEnded, IngestError, NotStored, Outcome, Stored
from data_assets.ingest.progress import Progress
from data_assets.ingest.source import DayMeter, Source, StagedDay
from data_assets.ingest.staged_day import StagedDayFile
from data_assets.lake.errors import LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.lake.revision import MEASURES, Difference, difference
from data_assets.orchestration.asset_checks import day_evaluation, latest_materialization
from data_assets.orchestration.coordination import vendor_account
from data_assets.orchestration.dataset import MarketDataset, Revisions
from data_assets.orchestration.day_run import ingest_through, record_input, record_stored, source_of_run
from data_assets.orchestration.integrity import NO_FILE, recorded_file
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.quality.split_jumps import splits
from data_assets.wiring import open_lake

LOOK = "look"
"""Metadata of what a look leaves: its mark, such as T+3."""

_LOOKS, _AGAIN = "look_at_", "_days_again"
"""Before and after the vendor in a job's name."""

SAME_SCALE = 0.01
"""How far the usual price may be off: a correction moves some rows, and only another scale moves most of them."""


class Same(NotStored):
    """The vendor has the day as it is stored."""

    name: ClassVar[str] = "Same"


class Worse(NotStored):
    """The vendor's answer differs, and is not believed."""

    name: ClassVar[str] = "Worse"


class InAnotherScale(Worse):
    """The vendor's answer is in another scale than the stored day, as after a split."""


class NotSeen(NotStored):
    """The vendor did not say which version it has."""

    name: ClassVar[str] = "NotSeen"


class Days(dg.Config):
    """Which stored days are looked at."""

    days: dict[str, dict[str, int]] = Field(
        description="dataset, such as ib/bars_1m/AAPL -> day, YYYY-MM-DD -> how many sessions after it this is"
    )


def look_job(
    vendor: str, datasets: Iterable[MarketDataset]
) -> tuple[dg.JobDefinition, Callable[[Mapping[str, Mapping[str, int]]], dict[str, Any]]]:
    """The job of one vendor, and its run config for given days of its datasets."""
    known = {dataset.name: dataset for dataset in datasets}
    op = f"compare_{vendor}_days"
    shared = all(dataset.account_takes_many for dataset in known.values())

    @dg.op(name=op, pool=vendor, description="Asks the vendor for stored days again, and compares.")
    def compare(context: dg.OpExecutionContext, config: Days) -> None:
        if unknown := sorted(set(config.days) - set(known)):
            raise dg.Failure(f"{', '.join(unknown)}: none of {', '.join(known)}", allow_retries=False)
        refuse_foreign_history(context.instance)
        lake = open_lake()
        with vendor_account(context.instance, vendor, context.log.info, shared=shared):
            for name, days in config.days.items():
                marks = {date.fromisoformat(day): mark for day, mark in days.items()}
                try:
                    refuse_absent_lake(context.instance, lake, known[name])
                    look(context, known[name], lake, marks)
                except LakeUnusable as error:
                    raise dg.Failure(str(error), allow_retries=False) from None

    @dg.job(
        name=f"{_LOOKS}{vendor}{_AGAIN}",
        description=f"Asks {vendor} for stored days again, and stores what it has revised. "
        f"`look_again_at_{vendor}_days` launches it.",
    )
    def looks() -> None:
        compare()

    return looks, lambda days: {"ops": {op: {"config": {"days": {name: dict(of) for name, of in days.items()}}}}}


def look_vendor(job: str) -> str | None:
    """The vendor of a look's job by its name; None for another job."""
    return job.removeprefix(_LOOKS).removesuffix(_AGAIN) if job.startswith(_LOOKS) and job.endswith(_AGAIN) else None


def look(context: dg.OpExecutionContext, dataset: MarketDataset, lake: Lake, marks: Mapping[date, int]) -> None:
    """Look at stored days of a dataset, and record what was found of each.

    Args:
        context: the step's context, whose run records it.
        dataset: one that has ``revisions``.
        lake: where its days are.
        marks: day -> how many sessions after it this is.
    """
    revisions = dataset.revisions
    assert revisions is not None, f"{dataset.name} is not looked at"
    found: Counter[str] = Counter()

    def record(day: date, outcome: Outcome) -> None:
        mark = f"T+{marks[day]}"
        if isinstance(outcome, Stored):
            for name, stored in outcome.inputs.items():
                record_input(context, name, lake, day, stored)
            outcome.metadata[LOOK] = mark
            record_stored(context, dataset, lake, day, outcome)
            said = {name: outcome.metadata[name] for name in MEASURES if name in outcome.metadata}
            name, reason = "Revised", ", ".join(f"{name} {_number(value)}" for name, value in said.items())
        else:
            lake.unfinished(dataset.name, day).clear()  # what is kept of an answer is not the next look's
            said, name, reason = {}, outcome.name, outcome.reason
        found[name] += 1
        if isinstance(outcome, InAnotherScale):  # the bars themselves show nothing until others are fetched
            record_of_day = latest_materialization(context.instance, dataset.asset_key, day.isoformat())
            verdict = splits([f"{dataset.name} {day}: {reason}"], 0)
            event = day_evaluation(dataset.asset_key, day.isoformat(), verdict, record_of_day)
            context.log_event(event)  # type: ignore[arg-type]
        context.log_event(
            dg.AssetObservation(
                asset_key=dataset.asset_key,
                partition=day.isoformat(),
                description=f"{mark} {name}: {reason}",
                metadata={LOOK: mark, "found": name, "what": reason, **said},
            )
        )

    async def record_in_thread(day: date, outcome: Outcome) -> None:
        await asyncio.to_thread(record, day, outcome)

    recorded = _recorded(context.instance, dataset, marks)
    asked = sorted(recorded)
    if revisions.replaced is not None:
        try:
            asked = sorted(asyncio.run(revisions.replaced(recorded)))
        except IngestError as error:
            for day in recorded:
                record(day, NotSeen(str(error)))
            asked, recorded = [], {}
        for day in recorded.keys() - set(asked):
            record(day, Same("the vendor lists the version that is stored"))
    if asked:
        open_source = source_of_run(dataset)

        @asynccontextmanager
        async def comparing(to: Lake, days: list[date]) -> AsyncIterator[Source]:
            async with open_source(to, days) as source:
                yield _Comparing(source, dataset, lake, revisions)

        asyncio.run(ingest_through(context, dataset, lake, asked, record_in_thread, Progress(), comparing))
    text = ", ".join(f"{count:,} {name}" for name, count in found.items()) or "none of them is stored any more"
    context.log.info(f"{dataset.name}: {count_of(len(marks), 'day')} looked at again: {text}")


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def _recorded(
    instance: dg.DagsterInstance, dataset: MarketDataset, days: Iterable[date]
) -> dict[date, dict[str, object]]:
    """What was recorded of those of some days that are stored in a file."""
    found: dict[date, dict[str, object]] = {}
    for day in days:
        record = latest_materialization(instance, dataset.asset_key, day.isoformat())
        file = recorded_file(record)
        if file and file.sha256 != NO_FILE and record and record.asset_materialization:
            found[day] = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    return found


class _Comparing:
    """A source whose days are kept only if they are revisions; implements ``Source``."""

    def __init__(self, source: Source, dataset: MarketDataset, lake: Lake, revisions: Revisions) -> None:
        self._source, self._dataset, self._lake, self._revisions = source, dataset, lake, revisions

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        staged = await self._source.fetch(day, meter)
        assert isinstance(staged, StagedDayFile), "only days of one file are compared"
        return _Compared(staged, lambda: self._revision(staged, day))

    async def wait_until_up(self) -> None:
        await self._source.wait_until_up()

    def _revision(self, staged: StagedDayFile, day: date) -> Difference:
        """How an answer differs from what is stored.

        Raises:
            DayEnded: it is no revision: it is the same, or worse.
        """
        try:
            found = self._difference(staged, day)
        except LakeError as error:
            raise DayEnded(Worse(f"it cannot be compared with what is stored: {error}")) from error
        if self._revisions.replaced is None:
            if abs(found.usual_price_ratio - 1) > SAME_SCALE and self._revisions.in_scale_of is not None:
                raise DayEnded(InAnotherScale(self._in_another_scale(found, day)))
            _refuse(found, f"nothing was replaced; to take it: {self._dataset.backfill_line([day], 'all')}")
        return found

    def _in_another_scale(self, found: Difference, day: date) -> str:
        """Which stored days do not know of the split that this answer knows of."""
        assert self._revisions.in_scale_of is not None
        ratio = f"most prices are {found.usual_price_ratio:.4g} times what is stored, as after a split"
        try:
            old = self._revisions.in_scale_of(self._lake, self._dataset.name, day)
        except LakeError as error:
            return f"{ratio}; nothing was replaced, and which other days are in that scale cannot be read: {error}"
        return (
            f"{ratio}; nothing was replaced: {count_of(len(old), 'day')} fetched before it, {old[0]} to {old[-1]}, do "
            f"not fit what is fetched now; run: {self._dataset.backfill_line([old[0], old[-1]], 'all')}"
        )

    def _difference(self, staged: StagedDayFile, day: date) -> Difference:
        revisions = self._revisions

        def of(rows: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
            return (frame.drop(revisions.stamps, strict=False) for frame in rows)

        with closing(self._lake.batches(self._dataset.name, day)) as stored, closing(staged.batches()) as answer:  # type: ignore[type-var]
            return difference(of(stored), of(answer), revisions.keys, revisions.prices)


class _Compared:
    """An answer that becomes the stored day if it is a revision of it; implements ``StagedDay``."""

    def __init__(self, staged: StagedDayFile, revision: Callable[[], Difference]) -> None:
        self._staged, self._revision = staged, revision

    def publish(self) -> Stored:
        found = self._revision()
        self._staged.metadata |= found.metadata
        self._staged.keep_previous = not found.is_none
        return self._staged.publish()

    def discard(self) -> None:
        self._staged.discard()


def _refuse(found: Difference, unless_taken: str) -> None:
    """Refuse an answer that is no revision.

    Raises:
        DayEnded: it is the same, or worse.
    """
    if found.is_none:
        raise DayEnded(Same(all_that(found.rows_before, "row", "are as stored")))
    how = f"{count_of(found.rows_added, 'row')} added, {found.rows_removed:,} removed, {found.rows_altered:,} altered"
    if found.rows_removed > found.rows_added:
        raise DayEnded(Worse(f"the answer has fewer rows than are stored ({how}); {unless_taken}"))
    if abs(found.usual_price_ratio - 1) > SAME_SCALE:
        ratio = f"{found.usual_price_ratio:.4g}"
        raise DayEnded(Worse(f"most prices are {ratio} times what is stored, as after a split ({how}); {unless_taken}"))
