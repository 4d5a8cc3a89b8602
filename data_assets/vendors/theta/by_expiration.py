"""A day of snapshots expiration by expiration: many requests at once, their responses merged in the file's order.

Here: which request is next, what happens to those that fail, and merging the parts. Not here: which requests there are
(``plan``), and what is kept of them on disk (``parts``).

Each response becomes a part on disk before it counts. Meanwhile the day's file is written as soon as all parts of its
next expiration are there. The rows of those that wait for their turn stay in memory as well, as long as they are few;
the others are read from the disk again. So memory holds a few expirations, however many a day has. A request that fails
does not stop the others: their parts are kept for the next attempt.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import polars as pl

from data_assets.counts import count_of
from data_assets.ingest.outcome import DayEnded, Failed, IngestError, NoData, Throttled, Transient, VendorDown
from data_assets.ingest.threads import in_thread
from data_assets.lake.errors import LakeError
from data_assets.lake.unfinished import UnfinishedDay
from data_assets.lake.writer import DayWriter, StagedFile
from data_assets.quality.completeness import ListComparison, absent_contracts
from data_assets.quality.contract_summary import merge_summaries
from data_assets.vendors.theta.audit import (
    ShortEnd,
    compared,
    contradiction,
    is_short,
    refuse_too_many,
    settled_roots,
    short_end,
    shortage,
    with_short_ends,
)
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.dataset import RequestBy
from data_assets.vendors.theta.day_audit import DayAudit, digest_of_digests
from data_assets.vendors.theta.intake import Collected, Grid, Intake, RowsRepeated, refuse_repeats
from data_assets.vendors.theta.job import DayJob
from data_assets.vendors.theta.parts import Body, Part, Parts, part_name
from data_assets.vendors.theta.plan import Group, groups, split
from data_assets.vendors.theta.short_answers import ShortAnswer

PROBES = 5
"""How many of the first requests must find no data before the others are not sent."""

WAITING_BYTES = 160_000_000
"""How much memory the rows of one day may take that wait for their turn in the file: what four requests at once bring
in ahead of it. Parts that arrive at the same moment may pass it together. To read a part from the disk again takes half
as long as to receive it."""

FAILURES = 3
"""How many requests may fail (or a quarter of the successful ones, if that is more) before the others are not sent."""


async def day_by_expiration(job: DayJob, by: RequestBy) -> tuple[StagedFile, DayAudit]:
    """Bring a day to disk under its temporary name. Errors as of ``Source.fetch``, and those of the lake.

    Args:
        job: the day.
        by: expiration or right.
    """
    dataset, lake, day = job.dataset, job.lake, job.day
    plan = groups(dataset, day, by, await job.expirations())
    if not plan:
        raise DayEnded(NoData("Theta knows no expiration of this day or later"))
    with lake.unfinished(dataset.key, day) as pieces:
        try:
            with lake.writer(
                dataset.key,
                day,
                dataset.table.arrow_schema,
                dataset.sort_by,
                whole_groups=True,
                encoder=job.stages.encode,
            ) as writer:
                collection = _Collection(job, pieces)
                parts = await collection.merge(plan, writer)
                audited = _arrival(job, parts, collection)
                staged = await in_thread(lambda: writer.finish(job.provenance(audited)), StagedFile.discard)
                return staged, audited
        except DayEnded as ended:
            if not isinstance(ended.outcome, Failed):  # what has arrived is as good as before
                pieces.clear()
            raise


def _arrival(job: DayJob, parts: Sequence[Part], collection: _Collection) -> DayAudit:
    summary = merge_summaries([part.summary for part in parts])
    came = [part.body for part in parts]
    return DayAudit(
        summary=summary,
        source=job.bodies.source(parts[0].request),
        raw_sha256=digest_of_digests(came),
        raw_size=sum(body.raw_size for body in came),
        bodies=len(came),
        line_end=came[0].line_end,
        extra_columns=frozenset(name for body in came for name in body.extra_columns),
        listed=job.listed,
        comparisons=collection.comparisons,
        short_ends=tuple(sorted(collection.short_ends, key=lambda end: end.what)),
        more={
            "raw_sha256_is_of": "the bodies' own sha256, as text, one after another",
            "bodies": [body.note() for body in came],
        },
    )


class _Collection:
    """The requests of one attempt at one day.

    Attributes:
        comparisons: what they lack, by root; filled once they are merged.
        short_ends: the short ends of bodies that end inside a contract and were believed.
    """

    def __init__(self, job: DayJob, pieces: UnfinishedDay) -> None:
        self.comparisons: dict[str, ListComparison | None] = {}
        self.short_ends: list[ShortEnd] = []
        self._job = job
        self._dataset = job.dataset
        self._bodies = job.bodies
        self._day = job.day
        self._grid: Grid = job.dataset.grid(job.hours)
        self._listed = job.listed
        self._meter = job.meter
        self._parts = Parts(pieces, job.dataset.table, self._grid)
        self._memory = job.memory
        self._on_disk: set[str] = set()
        self._waiting: dict[HistoryRequest, list[pl.DataFrame]] = {}  # of several threads
        self._silent: list[HistoryRequest] = []
        self._without_words = False  # whether one of them came without rows, and without the vendor saying so
        self._confirmed: Counter[str] = Counter()
        self._failed: list[Exception] = []
        self._done = 0
        self._over = False
        self._worth_it = asyncio.Event()
        self._places = asyncio.Semaphore(job.bodies.at_once)

    async def merge(self, plan: Sequence[Group], writer: DayWriter) -> list[Part]:
        """Request everything that is not on disk yet, and write the day's rows.

        Returns:
            The parts in the order of the file.

        Raises:
            DayEnded: no data, or not entitled, or a response that cannot be believed.
            Transient: some request failed; the parts of the others are on disk.
            RunEnded: see ``client.error_of``.
        """
        self._on_disk = await asyncio.to_thread(self._parts.names)
        requests = [request for group in plan for request in group.requests]
        async with self._at_work(requests) as answers:
            await self._probe([answers[request] for request in requests[:PROBES]], requests)
            parts: list[Part] = []
            for group in plan:
                found = [part for request in group.requests for part in await answers[request]]
                if self._failed:
                    continue
                await in_thread(partial(self._write, found, writer))
                parts += found
        await self._conclude(parts)
        return parts

    @asynccontextmanager
    async def _at_work(
        self, requests: Sequence[HistoryRequest]
    ) -> AsyncIterator[dict[HistoryRequest, asyncio.Task[list[Part]]]]:
        """Run a task for each request while the context lasts; none is left behind."""
        tasks = {
            request: asyncio.create_task(self._answer(request, probe=number < PROBES))
            for number, request in enumerate(requests)
        }
        try:
            yield tasks
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            self._waiting.clear()  # an error, and with it this object, may be held for longer

    async def _probe(self, first: Sequence[asyncio.Task[list[Part]]], requests: Sequence[HistoryRequest]) -> None:
        """Conclude from the nearest expirations that there is no data, before hundreds of others are requested."""
        await asyncio.gather(*first)
        listed = self._dataset.history.is_listed and self._listed_of(requests)
        if not self._failed and not self._done and not listed:
            if self._without_words:
                self._doubt_silence(())
            raise self._silence(requests)
        self._worth_it.set()

    def _silence(self, requests: Sequence[HistoryRequest]) -> DayEnded:
        return DayEnded(
            NoData(f"Theta holds no {requests[0].what} of this day, by {count_of(len(self._silent), 'request')}")
        )

    def _listed_of(self, requests: Iterable[HistoryRequest]) -> int:
        """Count the contracts that the list names for some requests."""
        return sum(listed.height for request in requests if (listed := self._listed.of(request)) is not None)

    async def _answer(self, request: HistoryRequest, *, probe: bool) -> list[Part]:
        """Return the parts of a request; none if there is no data, or if it failed, which is noted."""
        if not probe:
            await self._worth_it.wait()
        async with self._places:
            if self._over or self._hopeless():
                return []
            try:
                parts = await self._parts_of(request)
            except (Transient, LakeError) as error:
                self._failed.append(error)
                return []
            except IngestError:
                self._over = True
                raise
            if parts:
                self._done += 1
                self._worth_it.set()
            return parts

    def _hopeless(self) -> bool:
        """Whether the next request would fail too."""
        fatal = any(isinstance(error, Throttled | VendorDown | LakeError) for error in self._failed)
        broken = sum(not isinstance(error, ShortAnswer) for error in self._failed)
        return fatal or broken > max(FAILURES, self._done // 4)

    async def _parts_of(self, request: HistoryRequest) -> list[Part]:
        halves = split(request) if request.right == "both" else []
        kept = part_name(request) in self._on_disk
        if not kept and any(part_name(half) in self._on_disk for half in halves):  # it was found too large before
            return [part for half in halves for part in await self._parts_of(half)]
        found = await self._job.answers(request, self._fetch, lambda silent, _: self._silent.append(silent))
        return [part for part in found if part is not None]

    async def _kept(self, request: HistoryRequest) -> Part | None:
        """Return the part that an earlier attempt left of a request, if it passes the comparison with the list now."""
        if part_name(request) not in self._on_disk:
            return None
        part = await asyncio.to_thread(self._parts.find, request)
        if part is None or self._shortage(request, part.summary) is not None:
            return None
        if part.body.short_end is not None:
            self.short_ends.append(ShortEnd(request.symbol, part.body.short_end))
        self._meter.parsed(part.body.rows)
        return part

    async def _fetch(self, request: HistoryRequest) -> Part | None:
        """Fetch the part of a request; None for a header without rows if the list names contracts of the request."""
        if (kept := await self._kept(request)) is not None:
            return kept
        collected = Collected()
        with Intake(
            collected, stages=self._job.stages, table=self._dataset.table, grid=self._grid, meter=self._meter
        ) as intake:
            async with self._bodies.history(request) as chunks:
                end = await intake.body(chunks, request.asked())
        if not end.rows:
            if not self._listed_of([request]):
                raise Transient(f"the body stopped short: a header and no row ({self._bodies.source(request)})")
            self._silent.append(request)
            self._without_words = True
            return None
        tolerance = self._dataset.absent_tolerance
        short = await short_end(request, end, intake.summary, self._listed, tolerance, self._bodies, self._memory)
        if short is not None:
            self.short_ends.append(short)
        self._doubt_absent(request, intake.summary)
        body = Body(
            request=str(request),
            rows=end.rows,
            raw_size=intake.raw_size,
            raw_sha256=intake.raw_sha256,
            line_end=intake.line_end,
            extra_columns=tuple(sorted(intake.extra_columns)),
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
            short_end=None if short is None else short.what,
        )
        try:
            part = await in_thread(lambda: self._keep(request, collected.frames(), intake.summary, body))
        except RowsRepeated as error:
            self._memory.refuse_repeats(request, error)
            raise
        self._memory.forget(request, "repeats")
        return part

    def _doubt_absent(self, request: HistoryRequest, summary: pl.DataFrame) -> None:
        """Refuse a response that lacks contracts, unless the previous one lacked the same."""
        comparison = self._shortage(request, summary)
        if comparison is None:
            self._memory.forget(request, "absent")
            return
        if not self._memory.repeated(request, "absent", comparison.absent):
            why = shortage(comparison, self._dataset.absent_tolerance)
            raise ShortAnswer(f"{request}: the body stopped short: {why}; {self._memory.advice}")
        self._confirmed[request.symbol] += len(comparison.absent)

    def _keep(self, request: HistoryRequest, frames: list[pl.DataFrame], summary: pl.DataFrame, body: Body) -> Part:
        rows = pl.concat(frames)  # without a copy: each frame stays a piece of its own
        if summary["disordered"].sum():
            refuse_repeats(self._grid.summary(rows.sort(self._dataset.sort_by)))
        part = self._parts.keep(request, rows, summary, body)
        # Once a request has failed, nothing is written any more, and nothing needs to wait for it.
        if not self._failed and sum(map(_bytes, [*self._waiting.values(), frames])) <= WAITING_BYTES:
            self._waiting[request] = frames
        return part

    def _shortage(self, request: HistoryRequest, summary: pl.DataFrame) -> ListComparison | None:
        """Compare a response with the list; None if it lacks no more contracts than are tolerated."""
        listed = self._listed.of(request)
        if listed is None:
            return None
        comparison = absent_contracts(summary, listed, day=self._day)
        return comparison if is_short(comparison, self._dataset.absent_tolerance) else None

    def _write(self, found: Sequence[Part], writer: DayWriter) -> None:
        """Write the parts of one expiration, each once and in the order of their roots."""
        for rows in self._rows(found):
            writer.write(rows)
        writer.end_group()

    def _rows(self, found: Sequence[Part]) -> Iterator[pl.DataFrame]:
        for part in found:
            if (waiting := self._waiting.pop(part.request, None)) is not None:
                yield from waiting
            elif (rows := self._parts.rows(part)) is not None:
                yield rows
            else:
                raise Transient(f"{part.request}: its part on disk was damaged while the day was in work; ask again")

    async def _conclude(self, parts: Sequence[Part]) -> None:
        if self._failed:
            raise _worst(self._failed)
        dataset, listed = self._dataset, self._listed
        came = pl.concat([part.summary for part in parts]) if parts else pl.DataFrame()
        settled = await settled_roots(came, listed, dataset.roots, self._day, self._bodies)
        self._doubt_silence(settled)
        found = with_short_ends(compared(came, listed, dataset.roots, self._day, settled), self.short_ends)
        self.comparisons = {
            root: replace(each, confirmed=max(each.confirmed, self._confirmed[root])) if each is not None else None
            for root, each in found.items()
        }
        here = {part.request.symbol for part in parts}
        refuse_too_many(self.comparisons, dataset, set(dataset.roots) - here)
        if not parts:
            raise self._silence(self._silent)

    def _doubt_silence(self, settled: Collection[str]) -> None:
        """Refuse responses without data for requests whose contracts the list names, unless they came before.

        Raises:
            ShortAnswer: some came for the first time.
        """
        again, named = [], 0
        for request in self._silent:
            if (listed := self._listed.of(request)) is None:
                continue
            comparison = absent_contracts(listed.clear(), listed, day=self._day, morning_settled=settled)
            if not comparison.listed:
                continue
            if self._memory.repeated(request, "absent", comparison.absent):
                self._confirmed[request.symbol] += comparison.listed
            else:
                again.append(request)
                named += comparison.listed
        if again:
            some_ = ", ".join(map(str, again[:3]))
            reason = f"Theta holds no data for {len(again)} of the day's requests ({some_})"
            raise ShortAnswer(f"{contradiction(reason, named)}; {self._memory.advice}")


def _bytes(frames: Sequence[pl.DataFrame]) -> float:
    return sum(frame.estimated_size() for frame in frames)


def _worst(failed: Sequence[Exception]) -> Exception:
    """Return the error that says most about what to do next, with how many there were."""
    ranked = (LakeError, VendorDown, Throttled, Transient)
    worst = min(failed, key=lambda error: next(n for n, kind in enumerate(ranked) if isinstance(error, kind)))
    if (
        len(failed) > 1
        and isinstance(worst, Transient)
        and type(worst) in (Transient, ShortAnswer, Throttled, VendorDown)
    ):
        more = f"{worst} (and {count_of(len(failed) - 1, 'more request')} failed; what arrived is kept)"
        return type(worst)(more, cause=worst.cause)
    return worst
