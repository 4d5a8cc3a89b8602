"""The terminal as the days of one dataset ask it: one client, and what is known of the account so far.

Here: where a day's bodies and lists come from, and asking by one request while the account may not have the data at
all. Not here: what a refused day says of others, and one day before the others (``ingest.boundary``, the engine); the
wire (``client``), and bodies from somewhere else (``legacy``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, timedelta
from typing import Protocol

from data_assets.ingest.outcome import DayEnded, NotEntitled
from data_assets.trading_calendar import is_session
from data_assets.vendors.theta.audit import ContractList
from data_assets.vendors.theta.client import HistoryRequest, ThetaClient

OUTAGE_SECONDS = 600.0
"""How long a terminal may be away: its first start alone, with its self-update, can take five minutes."""


FORMER_EXPIRATIONS = 3
"""So many tell whether a root trades on its last days: of one the vendor may have lost the last day."""

_A_YEAR = timedelta(days=366)


class OptionSource(Protocol):
    """Where the bodies and lists of a dataset's days come from. Errors are those of ``ingest.outcome``."""

    @property
    def at_once(self) -> int:
        """How many requests may be in flight at once."""

    @property
    def answers_anew(self) -> bool:
        """Whether a second answer to a request says more than the first: the vendor's does, a file's does not."""

    def history(self, request: HistoryRequest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the body of the answer to a request."""

    async def listed_contracts(self, roots: Sequence[str], day: date) -> ContractList:
        """The contracts that a whole day holds."""

    async def expirations(self, roots: Sequence[str]) -> Mapping[str, Sequence[date]]:
        """Every expiration that is known of each root, sorted."""

    async def trades_on_last_day(self, root: str, day: date) -> bool | None:
        """Whether contracts of a root are quoted on their last day, by those that expired before ``day``.

        Returns:
            False for a root that is settled in the morning; None where nothing tells.
        """

    def source(self, request: HistoryRequest) -> str:
        """Where the body of an answer comes from, for the footer."""

    async def wait_until_up(self, root: str) -> None:
        """Return when it can be asked again."""


class Terminal:
    """The Theta Terminal; implements ``OptionSource``.

    Until the first answer has come, a day is asked for by one request at a time; when one is refused, so is the rest of
    that day.
    """

    def __init__(self, client: ThetaClient) -> None:
        """Ask an open client; its limit of requests is shared by all days."""
        self._client = client
        self._heard = False
        self._first_request = asyncio.Lock()
        self._refused: tuple[date, NotEntitled] | None = None
        self._quoted_to_the_end: dict[tuple[str, date], bool | None] = {}

    @property
    def at_once(self) -> int:
        """See ``OptionSource``."""
        return self._client.max_concurrent

    @property
    def answers_anew(self) -> bool:
        """See ``OptionSource``."""
        return True

    @asynccontextmanager
    async def history(self, request: HistoryRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        """See ``OptionSource``."""
        alone = not self._heard
        if alone:
            await self._first_request.acquire()
        try:
            if self._refused is not None and request.day == self._refused[0]:
                raise DayEnded(self._refused[1])
            async with self._client.history(request) as chunks:
                self._heard = True
                if alone:
                    alone = False
                    self._first_request.release()
                yield chunks
        except DayEnded as ended:
            if isinstance(ended.outcome, NotEntitled):
                self._refused = request.day, ended.outcome
            else:
                self._heard = True
            raise
        finally:
            if alone:
                self._first_request.release()

    async def listed_contracts(self, roots: Sequence[str], day: date) -> ContractList:
        """See ``OptionSource``."""
        return ContractList(await self._client.listed_contracts(roots, day))

    async def expirations(self, roots: Sequence[str]) -> Mapping[str, Sequence[date]]:
        """See ``OptionSource``."""
        return await self._client.expirations(roots)

    async def trades_on_last_day(self, root: str, day: date) -> bool | None:
        """See ``OptionSource``: by the days of which the vendor has quotes of the newest expirations."""
        known = (await self._client.expirations([root]))[root]
        former = [last for last in known if day - _A_YEAR <= last < day and is_session(last)]
        said: set[bool] = set()
        for expiration in former[: -1 - FORMER_EXPIRATIONS : -1]:
            if (root, expiration) not in self._quoted_to_the_end:
                newest = max(await self._client.quoted_days(root, expiration), default=None)
                self._quoted_to_the_end[root, expiration] = None if newest is None else newest >= expiration
            if (to_the_end := self._quoted_to_the_end[root, expiration]) is not None:
                said.add(to_the_end)
        return max(said, default=None)

    def source(self, request: HistoryRequest) -> str:
        """See ``OptionSource``: the request as a URL."""
        return self._client.url(request)

    async def wait_until_up(self, root: str) -> None:
        """See ``OptionSource``: returns when the terminal is connected and serves this root's expirations."""
        await self._client.wait_until_up(root, seconds=OUTAGE_SECONDS)
