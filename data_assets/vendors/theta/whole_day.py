"""A day of snapshots in one answer for each root, streamed into the day's file while it arrives.

Here: one body after another, and in smaller requests what the vendor finds too large. Not here: days that are asked for
by expiration from the start (``by_expiration``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from data_assets.ingest.outcome import DayEnded, NoData, Transient
from data_assets.ingest.source import DayMeter
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StagedFile
from data_assets.trading_calendar import Session
from data_assets.vendors.theta.arrival import Arrival
from data_assets.vendors.theta.audit import ContractList, compare, refuse_contradiction
from data_assets.vendors.theta.client import HistoryRequest, LargeRequest
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.intake import DayIntake
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
    """
    day, table = hours.day, dataset.table
    requests = [dataset.request(day, root) for root in dataset.roots]
    writer = lake.writer(dataset.key, day, table.arrow_schema, dataset.sort_by)
    with DayIntake(writer, table=table, grid=dataset.grid(hours), meter=meter) as intake:
        for request in requests:
            await _take(request, bodies, intake, listed, only=len(requests) == 1)
        if not intake.rows:
            reason = "Theta holds no quotes of this day in any part of the request"
            refuse_contradiction(reason, listed, requests)
            raise DayEnded(NoData(reason))
        arrival = Arrival(
            summary=intake.summary,
            source=bodies.source(requests[0]),
            raw_sha256=intake.raw_sha256,
            raw_size=intake.raw_size,
            bodies=intake.bodies,
            line_end=intake.line_end,
            extra_columns=frozenset(intake.extra_columns),
            listed=listed,
            comparisons=compare(intake.summary, listed, dataset.roots, day, dataset.absent_tolerance),
            stale_expirations=intake.stale_expirations(),
        )
        return await intake.finish(provenance(arrival)), arrival


async def _take(request: HistoryRequest, bodies: Bodies, intake: DayIntake, listed: ContractList, only: bool) -> None:
    """Take in a request's body; where it is too large for the vendor, those of its parts."""
    try:
        await _take_body(request, bodies, intake, listed, only)
    except LargeRequest as error:
        for part in split(request, await _expirations(request, bodies, listed), str(error)):
            await _take(part, bodies, intake, listed, only=False)


async def _take_body(
    request: HistoryRequest, bodies: Bodies, intake: DayIntake, listed: ContractList, only: bool
) -> None:
    try:
        async with bodies.history(request) as chunks:
            rows = await intake.body(chunks, Asked(request.symbol, request.day))
    except DayEnded as ended:
        if not isinstance(ended.outcome, NoData):
            raise
        if request.expiration == "*" and request.right == "both":
            refuse_contradiction(ended.outcome.reason, listed, [request])
        if only:
            raise
        return
    if not rows and listed.contracts is not None and listed.is_empty:
        return
    if not rows:
        raise Transient(f"the body stopped short: a header and no row ({bodies.source(request)})")


async def _expirations(request: HistoryRequest, bodies: Bodies, listed: ContractList) -> list[date]:
    """Those of a root that are worth asking for; none where a request is split by right."""
    if request.right == "both":
        return []
    if (contracts := listed.of(request)) is None or contracts.is_empty():
        return list((await bodies.expirations([request.symbol]))[request.symbol])
    return contracts["expiration"].unique().sort().to_list()
