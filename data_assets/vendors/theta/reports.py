"""A day of reports: open interest or end of day, one row per contract, small enough to be held in memory.

Here: fetching them, choosing among several reports for a contract, and staging. Not here: the rules
(``quality.option_reports``), and snapshots (``whole_day``, ``by_expiration``).
"""

from __future__ import annotations

import hashlib

import polars as pl

from data_assets.ingest.outcome import DayEnded, NoData, Rejected, Transient
from data_assets.ingest.threads import in_thread
from data_assets.lake.writer import StagedFile
from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.option_reports import newest_reports, unique_contracts
from data_assets.vendors.theta.audit import compare
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.dataset import RequestBy
from data_assets.vendors.theta.day_audit import DayAudit
from data_assets.vendors.theta.job import DayJob
from data_assets.vendors.theta.plan import groups
from data_assets.vendors.theta.schema import read_rows

_HEADER_ENDS = {True: "CRLF", False: "LF"}


async def day_of_reports(job: DayJob, by: RequestBy) -> tuple[StagedFile, DayAudit]:
    """Write a day to disk under its temporary name. Raises the errors of ``Source.fetch`` and those of the lake.

    Args:
        job: the day.
        by: what one request asks for.
    """
    dataset, bodies, listed, day = job.dataset, job.bodies, job.listed, job.day
    requests = await _requests(job, by)
    nothing: dict[str, str] = {}

    def note_nothing(request: HistoryRequest, words: str) -> None:
        nothing.setdefault(request.symbol, words)

    async def fetch(request: HistoryRequest) -> tuple[HistoryRequest, bytes]:
        return request, await _whole_body(job, request)

    answers = [answer for request in requests for answer in await job.answers(request, fetch, note_nothing)]
    for request, body in answers:
        if not body:
            note_nothing(request, f"Theta answers {request} with an empty response ({bodies.source(request)})")
    table = dataset.table
    read = [read_rows(table, body, request.asked()) for request, body in answers if body]
    sent = pl.concat([table.schema.to_frame(), *(rows for rows, _ in read)])
    job.meter.parsed(sent.height)
    reports = newest_reports(sent, table.dated_by).sort(dataset.sort_by, maintain_order=True)
    if reports.height and not (unique := unique_contracts(reports)).passed:
        raise DayEnded(
            Rejected(
                f"{unique.summary}, made at the same instant with other values: which of them counts cannot be told; "
                "ask again tomorrow, and ask the vendor if it is still so"
            )
        )
    summary = reports.group_by(CONTRACT, maintain_order=True).agg(rows=pl.len().cast(pl.Int64))
    here = set(summary["symbol"].cast(pl.String))
    none = f"Theta holds no {requests[0].what if requests else 'data'} of this day"
    silent = {root: nothing.get(root, none) for root in dataset.roots if root not in here}
    comparisons = await compare(summary, listed, dataset, day, bodies, job.memory, silent=silent)
    if sent.is_empty():
        raise DayEnded(NoData(next(iter(silent.values()))))
    text = [body for _, body in answers if body]
    first_line = text[0].partition(b"\n")[0]
    audited = DayAudit(
        summary=summary,
        source=bodies.source(requests[0]),
        raw_sha256=hashlib.sha256(b"".join(text)).hexdigest(),
        raw_size=sum(map(len, text)),
        bodies=len(text),
        line_end=_HEADER_ENDS[first_line.endswith(b"\r")],
        extra_columns=frozenset(name for _, extra in read for name in extra),
        listed=listed,
        comparisons=comparisons,
        stale_expirations=summary.filter(pl.col("expiration") < day).height,
        superseded=sent.height - reports.height,
    )

    def stage() -> StagedFile:
        with job.lake.writer(dataset.key, day, table.arrow_schema, dataset.sort_by) as writer:
            writer.write(reports)
            return writer.finish(job.provenance(audited))

    return await in_thread(stage, StagedFile.discard), audited


async def _requests(job: DayJob, by: RequestBy) -> list[HistoryRequest]:
    if by == "day":
        return [job.dataset.request(job.day, root) for root in job.dataset.roots]
    of_day = groups(job.dataset, job.day, by, await job.expirations())
    return [request for group in of_day for request in group.requests]


async def _whole_body(job: DayJob, request: HistoryRequest) -> bytes:
    body = bytearray()
    async with job.bodies.history(request) as chunks:
        async for chunk in chunks:
            job.meter.received(len(chunk))
            body += chunk
    if not body and job.listed.contracts is None:  # with a list, the day is compared with it
        raise Transient(f"the response to {request} is empty")
    if body and not body.endswith(b"\n"):
        raise Transient(f"the response to {request} stopped short, inside its last line")
    return bytes(body)
