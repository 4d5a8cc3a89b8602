"""A day of a dataset to be fetched: what all ways of fetching it share.

Here: the value that is passed along, the footer, and sending a request that is split if the vendor finds it too large.
Not here: the ways of fetching a day (``whole_day``, ``by_expiration``, ``reports``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from data_assets.ingest.outcome import DayEnded, NoData
from data_assets.ingest.source import DayMeter
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.trading_calendar import Session
from data_assets.vendors.theta import schema
from data_assets.vendors.theta.audit import ContractList
from data_assets.vendors.theta.client import HistoryRequest, LargeRequest
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day_audit import DayAudit
from data_assets.vendors.theta.plan import listed_expirations, split
from data_assets.vendors.theta.short_answers import ShortAnswerMemory
from data_assets.vendors.theta.stages import Stages
from data_assets.vendors.theta.terminal import OptionSource

T = TypeVar("T")


@dataclass(frozen=True)
class DayJob:
    """A day to fetch.

    Attributes:
        dataset: what to fetch.
        bodies: where it comes from.
        lake: where it goes.
        hours: the day's session.
        listed: the vendor's contract list for the day.
        meter: counts bytes and rows.
        memory: what is remembered of earlier responses.
        clock: returns the current instant, with a time zone.
        stages: the threads that its bodies and its file pass through.
    """

    dataset: OptionDataset
    bodies: OptionSource
    lake: Lake
    hours: Session
    listed: ContractList
    meter: DayMeter
    memory: ShortAnswerMemory
    clock: Callable[[], datetime]
    stages: Stages

    @property
    def day(self) -> date:
        """The trading day."""
        return self.hours.day

    def provenance(self, audited: DayAudit) -> Provenance:
        """Return what the footer says about what arrived."""
        return Provenance(
            dataset=self.dataset.key,
            day=self.day,
            source=audited.source,
            fetched_at=self.clock(),
            schema_version=schema.SCHEMA_VERSION,
            raw_sha256=audited.raw_sha256,
            raw_size=audited.raw_size,
            synthetic=self.lake.synthetic,
            details=audited.details(),
        )

    async def expirations(self) -> dict[str, list[date]]:
        """Return each root's expirations to request: those of the list, or all known ones if there is no list."""
        if self.listed.contracts is None or self.listed.is_empty:
            known = await self.bodies.expirations(self.dataset.roots)
            return {root: list(expirations) for root, expirations in known.items()}
        return listed_expirations(self.listed.contracts)

    async def answers(
        self,
        request: HistoryRequest,
        fetch: Callable[[HistoryRequest], Awaitable[T]],
        nothing: Callable[[HistoryRequest, str], object],
    ) -> list[T]:
        """Fetch a request, or its parts if the vendor finds it too large, in their order.

        Args:
            request: what to request.
            fetch: requests it as a whole.
            nothing: called with the request and the vendor's words if the vendor says that it has no data.

        Raises:
            DayEnded: the vendor says something else about the day, or a request that cannot be split is too large.
        """
        try:
            return [await fetch(request)]
        except LargeRequest as error:
            parts = split(request, await self._expirations_of(request), str(error))
            return [answer for part in parts for answer in await self.answers(part, fetch, nothing)]
        except DayEnded as ended:
            if not isinstance(ended.outcome, NoData):
                raise
            nothing(request, ended.outcome.reason)
            return []

    async def _expirations_of(self, request: HistoryRequest) -> list[date]:
        """Return the expirations to split a request into; none if it is split by right, or is about one expiration."""
        if request.right == "both" or request.expiration != "*":
            return []
        if (contracts := self.listed.of(request)) is None or contracts.is_empty():
            return list((await self.bodies.expirations([request.symbol]))[request.symbol])
        return contracts["expiration"].unique().sort().to_list()
