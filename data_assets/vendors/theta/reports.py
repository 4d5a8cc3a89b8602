"""A day of reports: open interest or end of day, one row per contract, small enough to be held whole.

Here: fetching them, resolving those that were made several times, and staging. Not here: the rules
(``quality.option_reports``), and snapshots (``whole_day``, ``by_expiration``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date

import polars as pl

from data_assets.ingest.outcome import DayEnded, NoData, Rejected, Transient
from data_assets.ingest.source import DayMeter
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import StagedFile
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.option_reports import newest_reports, unique_contracts
from data_assets.trading_calendar import Session
from data_assets.vendors.theta.arrival import Arrival
from data_assets.vendors.theta.audit import ContractList, compare
from data_assets.vendors.theta.client import HistoryRequest, LargeRequest
from data_assets.vendors.theta.dataset import OptionDataset, RequestBy
from data_assets.vendors.theta.doubts import Doubts
from data_assets.vendors.theta.plan import groups, listed_expirations, split
from data_assets.vendors.theta.schema import read_rows
from data_assets.vendors.theta.staging import in_thread
from data_assets.vendors.theta.terminal import Bodies

_HEADER_ENDS = {True: "CRLF", False: "LF"}


async def day_of_reports(
    dataset: OptionDataset,
    bodies: Bodies,
    lake: Lake,
    hours: Session,
    listed: ContractList,
    meter: DayMeter,
    provenance: Callable[[Arrival], Provenance],
    by: RequestBy,
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
        by: what a request is about.
        doubts: what is remembered of the answers before.
    """
    requests = await _requests(dataset, bodies, listed, hours.day, by)
    nothing: dict[str, str] = {}
    answers = [answer for request in requests for answer in await _answers(request, bodies, listed, meter, nothing)]
    table = dataset.table
    read = [read_rows(table, body, request.asked()) for request, body in answers]
    sent = pl.concat([table.schema.to_frame(), *(rows for rows, _ in read)])
    meter.parsed(sent.height)
    reports = newest_reports(sent, table.dated_by).sort(dataset.sort_by, maintain_order=True)
    if reports.height and not (unique := unique_contracts(reports)).passed:
        raise DayEnded(
            Rejected(
                f"{unique.summary}, made at the same instant with other values: nothing tells which of them counts; "
                "ask again tomorrow, and ask the vendor if it is still so"
            )
        )
    summary = reports.group_by(CONTRACT, maintain_order=True).agg(rows=pl.len().cast(pl.Int64))
    here = set(summary["symbol"].cast(pl.String))
    none = f"Theta holds no {requests[0].what if requests else 'data'} of this day"
    silent = {root: nothing.get(root, none) for root in dataset.roots if root not in here}
    comparisons = await compare(summary, listed, dataset, hours.day, bodies, doubts, silent=silent)
    if sent.is_empty():
        raise DayEnded(NoData(next(iter(silent.values()))))
    text = [body for _, body in answers]
    first_line = text[0].partition(b"\n")[0]
    arrival = Arrival(
        summary=summary,
        source=bodies.source(requests[0]),
        raw_sha256=hashlib.sha256(b"".join(text)).hexdigest(),
        raw_size=sum(map(len, text)),
        bodies=len(text),
        line_end=_HEADER_ENDS[first_line.endswith(b"\r")],
        extra_columns=frozenset(name for _, extra in read for name in extra),
        listed=listed,
        comparisons=comparisons,
        stale_expirations=summary.filter(pl.col("expiration") < hours.day).height,
        superseded=sent.height - reports.height,
    )

    def stage() -> StagedFile:
        with lake.writer(dataset.key, hours.day, table.arrow_schema, dataset.sort_by) as writer:
            writer.write(reports)
            return writer.finish(provenance(arrival))

    return await in_thread(stage, StagedFile.discard), arrival


async def _requests(
    dataset: OptionDataset, bodies: Bodies, listed: ContractList, day: date, by: RequestBy
) -> list[HistoryRequest]:
    if by == "day":
        return [dataset.request(day, root) for root in dataset.roots]
    if listed.contracts is None or listed.is_empty:
        expirations = await bodies.expirations(dataset.roots)
    else:
        expirations = listed_expirations(listed.contracts)
    return [request for group in groups(dataset, day, by, expirations) for request in group.requests]


async def _answers(
    request: HistoryRequest, bodies: Bodies, listed: ContractList, meter: DayMeter, nothing: dict[str, str]
) -> list[tuple[HistoryRequest, bytes]]:
    """The whole answer to a request, or those to its parts; none where there is no data, which is noted by root."""
    try:
        async with bodies.history(request) as chunks:
            body = bytearray()
            async for chunk in chunks:
                meter.received(len(chunk))
                body += chunk
    except LargeRequest as error:
        contracts = listed.of(request)
        known = [] if contracts is None else contracts["expiration"].unique().sort().to_list()
        parts = split(request, known, str(error))
        return [answer for part in parts for answer in await _answers(part, bodies, listed, meter, nothing)]
    except DayEnded as ended:
        if not isinstance(ended.outcome, NoData):
            raise
        nothing.setdefault(request.symbol, ended.outcome.reason)
        return []
    if not body.endswith(b"\n"):
        raise Transient(f"the answer to {request} stopped short, inside its last line")
    return [(request, bytes(body))]
