"""A day of snapshots in one response per root, streamed into the day's file while it arrives.

Here: one body after another, in smaller requests if the vendor finds one too large. Not here: days that are requested
by expiration from the start (``by_expiration``).
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from data_assets.ingest.outcome import DayEnded, NoData, Transient
from data_assets.lake.writer import StagedFile
from data_assets.vendors.theta.audit import ShortEnd, compare, short_end
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.day_audit import DayAudit
from data_assets.vendors.theta.intake import BodyEnd, DayIntake, RowsRepeated
from data_assets.vendors.theta.job import DayJob


async def whole_day(job: DayJob) -> tuple[StagedFile, DayAudit]:
    """Bring a day to disk under its temporary name. Errors as of ``Source.fetch``, and those of the lake."""
    dataset, bodies, listed, memory = job.dataset, job.bodies, job.listed, job.memory
    day, table = job.day, dataset.table
    requests = [dataset.request(day, root) for root in dataset.roots]
    stages = job.stages
    writer = job.lake.writer(dataset.key, day, table.arrow_schema, dataset.sort_by, encoder=stages.encode)
    with DayIntake(writer, stages=stages, table=table, grid=dataset.grid(job.hours), meter=job.meter) as intake:
        taken = _DayBodies(job, intake)
        for request in requests:
            await job.answers(request, taken.take, taken.note_nothing)
        intake.end_rows()
        silent = taken.silent_roots(requests)
        short_ends = tuple(taken.short_ends)
        comparisons = await compare(
            intake.summary, listed, dataset, day, bodies, memory, silent=silent, short_ends=short_ends
        )
        if not intake.rows:
            raise DayEnded(NoData(next(iter(silent.values()))))
        audited = DayAudit(
            summary=intake.summary,
            source=bodies.source(requests[0]),
            raw_sha256=intake.raw_sha256,
            raw_size=intake.raw_size,
            bodies=intake.bodies,
            line_end=intake.line_end,
            extra_columns=frozenset(intake.extra_columns),
            listed=listed,
            comparisons=comparisons,
            stale_expirations=intake.stale_expirations(),
            short_ends=short_ends,
        )
        try:
            staged = await intake.finish(job.provenance(audited))
        except RowsRepeated as error:
            memory.refuse_repeats(requests[0], error)
            raise
        memory.forget(requests[0], "repeats")
        return staged, audited


class _DayBodies:
    """Reads the bodies of one day, and notes what is odd about them."""

    def __init__(self, job: DayJob, intake: DayIntake) -> None:
        self.short_ends: list[ShortEnd] = []
        self._job = job
        self._intake = intake
        self._silent: dict[str, str] = {}

    def silent_roots(self, requests: Iterable[HistoryRequest]) -> dict[str, str]:
        """Return the roots of which nothing came, with the reason."""
        summary = self._intake.summary
        came = set() if summary.is_empty() else set(summary["symbol"].cast(pl.String).unique())
        nothing = "Theta holds no quotes of this day in any part of the request"
        return {
            request.symbol: self._silent.get(request.symbol, nothing)
            for request in requests
            if request.symbol not in came
        }

    async def take(self, request: HistoryRequest) -> None:
        """Read the body of the response to a request."""
        job = self._job
        async with job.bodies.history(request) as chunks:
            end = await self._intake.body(chunks, request.asked())
        if end.rows:
            await self._note_end(request, end)
            return
        if job.listed.contracts is not None and job.listed.is_empty:
            return
        nothing = f"the body stopped short: a header and no row ({job.bodies.source(request)})"
        if job.listed.contracts is None:
            raise Transient(nothing)
        self.note_nothing(request, nothing)

    def note_nothing(self, request: HistoryRequest, words: str) -> None:
        """Note that nothing came for a request, and why if it was for a root's whole day."""
        if request.expiration == "*" and request.right == "both":
            self._silent[request.symbol] = words

    async def _note_end(self, request: HistoryRequest, end: BodyEnd) -> None:
        job = self._job
        tolerance = job.dataset.absent_tolerance
        found = await short_end(request, end, self._intake.summary, job.listed, tolerance, job.bodies, job.memory)
        if found is not None:
            self.short_ends.append(found)
