"""One day of one dataset on its way: what every way of fetching it needs, and asking for one of its answers.

Here: the value that travels, what the footer says, and a request that is split where the vendor finds it too large. Not
here: the ways (``whole_day``, ``by_expiration``, ``reports``).
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
from data_assets.vendors.theta.terminal import OptionSource

T = TypeVar("T")


@dataclass(frozen=True)
class DayJob:
    """A day to fetch.

    Attributes:
        dataset: what to fetch.
        bodies: from where.
        lake: where to.
        hours: the day's session.
        listed: the vendor's list of the day.
        meter: told of bytes and rows.
        memory: what is remembered of the answers before.
        clock: the current instant, with a time zone.
    """

    dataset: OptionDataset
    bodies: OptionSource
    lake: Lake
    hours: Session
    listed: ContractList
    meter: DayMeter
    memory: ShortAnswerMemory
    clock: Callable[[], datetime]

    @property
    def day(self) -> date:
        """The trading day."""
        return self.hours.day

    def provenance(self, audited: DayAudit) -> Provenance:
        """What the footer says of what arrived."""
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
        """Of each root, the expirations to ask for: those of the list, or all that are known where there is none."""
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
        """What comes for a request, or for its parts, in their order.

        Args:
            request: what to ask for.
            fetch: asks for it as a whole.
            nothing: told where the vendor says that it holds nothing, with its words.

        Raises:
            DayEnded: it says something else of the day, or wants an even smaller request than there is.
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
        """Those of the request's root that are worth asking for; none where it is split by right, or about one."""
        if request.right == "both" or request.expiration != "*":
            return []
        if (contracts := self.listed.of(request)) is None or contracts.is_empty():
            return list((await self.bodies.expirations([request.symbol]))[request.symbol])
        return contracts["expiration"].unique().sort().to_list()
