"""A day of snapshots in one answer for each root, streamed into the day's file while it arrives.

Here: one body after another, and in smaller requests what the vendor finds too large. Not here: days that are asked for
by expiration from the start (``by_expiration``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

import polars as pl

from data_assets.ingest.outcome import DayEnded, NoData, Transient
from data_assets.ingest.source import DayMeter
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StagedFile
from data_assets.trading_calendar import Session
from data_assets.vendors.theta.arrival import Arrival
from data_assets.vendors.theta.audit import ContractList, ShortEnd, compare, short_end
from data_assets.vendors.theta.client import HistoryRequest, LargeRequest
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.doubts import Doubts
from data_assets.vendors.theta.intake import BodyEnd, DayIntake, RowsRepeated
from data_assets.vendors.theta.plan import split
from data_assets.vendors.theta.schema import Asked
from data_assets.vendors.theta.terminal import Bodies


async def whole_day(
    dataset: OptionDataset,
    bodies: Bodies,
    lake: Lake,
    hours: Session,
    listed: ContractList,
    meter: DayMeter,
    provenance: Callable[[Arrival], Provenance],
    doubts: Doubts,
) -> tuple[StagedFile, Arrival]:
    """Bring a day to disk under its temporary name. Errors as of ``Source.fetch``, and those of the lake.

    Args:
        dataset: what to fetch.
        bodies: from where.
        lake: where to.
        hours: the day's session.
        listed: the vendor's list of the day.
        meter: told of bytes and rows.
        provenance: what the footer says of what arrived.
        doubts: what is remembered of the answers before.
    """
    day, table = hours.day, dataset.table
    requests = [dataset.request(day, root) for root in dataset.roots]
    writer = lake.writer(dataset.key, day, table.arrow_schema, dataset.sort_by)
    with DayIntake(writer, table=table, grid=dataset.grid(hours), meter=meter) as intake:
        taken = _DayBodies(dataset, bodies, intake, listed, doubts)
        for request in requests:
            await taken.take(request)
        silent = taken.silent_roots(requests)
        short_ends = tuple(taken.short_ends)
        comparisons = await compare(
            intake.summary, listed, dataset, day, bodies, doubts, silent=silent, short_ends=short_ends
        )
        if not intake.rows:
            raise DayEnded(NoData(next(iter(silent.values()))))
        arrival = Arrival(
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
            staged = await intake.finish(provenance(arrival))
        except RowsRepeated as error:
            doubts.refuse_repeats(requests[0], error)
            raise
        doubts.forget(requests[0], "repeats")
        return staged, arrival


class _DayBodies:
    """Takes in the bodies of one day, and notes what is odd about them."""

    def __init__(
        self, dataset: OptionDataset, bodies: Bodies, intake: DayIntake, listed: ContractList, doubts: Doubts
    ) -> None:
        self.short_ends: list[ShortEnd] = []
        self._dataset = dataset
        self._bodies = bodies
        self._intake = intake
        self._listed = listed
        self._doubts = doubts
        self._silent: dict[str, str] = {}

    def silent_roots(self, requests: Iterable[HistoryRequest]) -> dict[str, str]:
        """The roots of which nothing came, with the words for it."""
        summary = self._intake.summary
        came = set() if summary.is_empty() else set(summary["symbol"].cast(pl.String).unique())
        nothing = "Theta holds no quotes of this day in any part of the request"
        return {
            request.symbol: self._silent.get(request.symbol, nothing)
            for request in requests
            if request.symbol not in came
        }

    async def take(self, request: HistoryRequest) -> None:
        """Take in a request's body; where it is too large for the vendor, those of its parts."""
        try:
            await self._take_body(request)
        except LargeRequest as error:
            for part in split(request, await self._expirations(request), str(error)):
                await self.take(part)

    async def _take_body(self, request: HistoryRequest) -> None:
        try:
            async with self._bodies.history(request) as chunks:
                end = await self._intake.body(chunks, Asked(request.symbol, request.day))
        except DayEnded as ended:
            if not isinstance(ended.outcome, NoData):
                raise
            nothing = ended.outcome.reason
        else:
            if end.rows:
                await self._note_end(request, end)
                return
            if self._listed.contracts is not None and self._listed.is_empty:
                return
            nothing = f"the body stopped short: a header and no row ({self._bodies.source(request)})"
            if self._listed.contracts is None:
                raise Transient(nothing)
        if request.expiration == "*" and request.right == "both":
            self._silent[request.symbol] = nothing

    async def _note_end(self, request: HistoryRequest, end: BodyEnd) -> None:
        found = await short_end(
            request,
            end,
            self._intake.summary,
            self._listed,
            self._dataset.absent_tolerance,
            self._bodies,
            self._doubts,
        )
        if found is not None:
            self.short_ends.append(found)

    async def _expirations(self, request: HistoryRequest) -> list[date]:
        """Those of a root that are worth asking for; none where a request is split by right."""
        if request.right == "both":
            return []
        if (contracts := self._listed.of(request)) is None or contracts.is_empty():
            return list((await self._bodies.expirations([request.symbol]))[request.symbol])
        return contracts["expiration"].unique().sort().to_list()
