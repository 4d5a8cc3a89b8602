"""The requests to IB: contracts, the beginning of their history, and the minute bars of a session.

Here: the requests, their pacing, and which responses are believed only when they are repeated. Not here: the connection
(``connection``), what codes mean (``errors``), and whether a day of bars is whole (``day``).

An empty response decides nothing, and neither does a single "no data", which IB also says about data that it has. It is
believed if it is said twice while IB's servers are there. The same holds for other responses that decide about days:
that there is no such contract or more than one, and where its history begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import polars as pl
from ib_async import Contract, ContractDetails

from data_assets.ingest.outcome import (
    DayEnded,
    IngestError,
    NoData,
    RunEnded,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.ingest.state_file import Damaged, StateFile
from data_assets.trading_calendar import Session, utc_now
from data_assets.vendors.ib.connection import Answer, Connection
from data_assets.vendors.ib.contracts import Ticker, foreign
from data_assets.vendors.ib.errors import Asked, Unreadable, WrongRow
from data_assets.vendors.ib.pacing import RequestPacing
from data_assets.vendors.ib.resets import reset_ends
from data_assets.vendors.ib.schema import frame_of
from data_assets.vendors.ib.timeouts import IBS_OWN, Timeouts
from data_assets.vendors.ib.tws_session import Address, Received, Request

HEADS_FILE = "ib_head_timestamps.json"

BAR_SIZE, SHOWN, DURATION, FORMAT_DATE = "1 min", "TRADES", "1 D", 2
"""`formatDate=2` is seconds since 1970; any other form depends on a setting of TWS and may come without its zone."""

_UNKNOWN_CONTRACT = "IB Error 200: No security definition"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionBars:
    """The response for one session.

    Attributes:
        bars: rows of ``schema.SCHEMA``, in the order they came, at least one.
        source: the request, as a URL.
        contract_id: IB's number of the contract.
        requests: how many requests it took.
        raw_size: bytes of the message.
        raw_sha256: hexadecimal digest of those bytes.
        fetched_at: when it was complete, UTC.
        said: what TWS said about the request before it sent the bars.
        doubt: why bars that are not whole must not decide the day: IB was away meanwhile. Empty if they are final.
    """

    bars: pl.DataFrame
    source: str
    contract_id: int
    requests: int
    raw_size: int
    raw_sha256: str
    fetched_at: datetime
    said: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(slots=True)
class _Known:
    """What has been learnt about one ticker in this run."""

    contract: Contract | None = None
    head: datetime | None = None
    head_asked: bool = False
    head_doubted: bool = False
    """Whether the response came while IB was away: until IB is back, asking again would tell nothing."""
    learning: asyncio.Lock = field(default_factory=asyncio.Lock)


class IbClient:
    """One TWS or IB Gateway. An async context manager: entered, it is connected; left, the connection is closed.

    Every call raises the errors of ``ingest.outcome``. Used within the event loop in which it was entered.
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: int,
        *,
        pacing: RequestPacing,
        state_folder: Path,
        real_data_only: bool = False,
        timeouts: Timeouts = IBS_OWN,
        now: Callable[[], datetime] = utc_now,
        resets: Callable[[datetime], datetime | None] = reset_ends,
        say: Callable[[str], object] = logger.warning,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            host: where TWS or Gateway runs.
            port: its API port.
            client_id: a number that no other client of it uses.
            pacing: the account's request budget.
            state_folder: where head timestamps are remembered, in ``HEADS_FILE``; those of a simulator are not.
            real_data_only: refuse a server that says that its data is synthetic.
            timeouts: how long to wait for responses, connections and outages.
            now: returns the current instant, aware.
            resets: returns the end of the reset of IB's servers that is under way at an instant; ``resets.never`` for a
                simulator.
            say: called with one line for everything that makes the run wait.
        """
        self._pacing = pacing
        self._timeouts = timeouts
        self._now = now
        self._say = say
        self._heads = StateFile(state_folder / HEADS_FILE)
        self._known: dict[Ticker, _Known] = {}
        self._connection = Connection(
            Address(host, port, client_id),
            real_data_only=real_data_only,
            timeouts=timeouts,
            now=now,
            resets=resets,
            say=say,
        )

    async def __aenter__(self) -> Self:
        await self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()

    @property
    def account_kind(self) -> str:
        """What kind of account is behind TWS: ``sandbox``, ``paper`` or ``live``."""
        return self._connection.account_kind

    @property
    def server_version(self) -> int:
        """The version of the protocol that TWS and this client agreed on."""
        return self._connection.server_version

    async def wait_until_up(self) -> None:
        """Wait until TWS serves history again: after an outage, a reset of IB's servers, a restart of TWS.

        Raises:
            RunEnded: the outage lasts too long.
        """
        await self._connection.ready()

    async def validate(self, tickers: Sequence[Ticker]) -> None:
        """Check that TWS knows each of the tickers as exactly one contract.

        A request without a response decides nothing here: the first day sends it again, and is retried like any day.

        Raises:
            RunEnded: it does not; the text names the row and the column of each ticker that is wrong.
        """
        wrong: list[RunEnded] = []
        for ticker in tickers:
            try:
                await self._contract(ticker)
            except RunEnded as error:
                wrong.append(error)
            except IngestError as error:
                self._say(f"{error}: asking again with the first day")
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            raise RunEnded("; ".join(str(error) for error in wrong))

    async def head_timestamp(self, ticker: Ticker) -> datetime | None:
        """Return when IB's history of a ticker begins, UTC, regular hours; it is requested once and remembered.

        Returns:
            None if IB does not say: the request fails for some contracts that have a history.
        """
        known = self._known_of(ticker)
        contract = await self._contract(ticker)
        async with known.learning:
            if not known.head_asked:
                known.head = await self._remembered_head(contract.conId)
                known.head_asked = known.head is not None
            if not known.head_asked and not (known.head_doubted and self._connection.doubt()):
                known.head, known.head_asked = await self._ask_head(ticker, contract)
                known.head_doubted = not known.head_asked
        return known.head

    async def session_bars(self, ticker: Ticker, hours: Session) -> SessionBars:
        """Return the one-minute bars of a session's regular hours.

        A task that is cancelled while its request is in flight still gets the response, if bars come soon.
        """
        contract = await self._contract(ticker)
        asked = Asked(ticker.symbol, ticker.where, hours.day, contract.conId)
        for requests in (1, 2):
            try:
                received, doubt = await self._bars(contract, hours, asked)
            except DayEnded as ended:
                if not isinstance(ended.outcome, NoData):
                    raise
                if requests == 2:
                    raise DayEnded(NoData(f"{ended.outcome.reason}; IB said so twice")) from None
                logger.info("%s: asking once more before it is believed", ended)
                continue
            return SessionBars(
                bars=frame_of(received),
                source=_source(contract, hours),
                contract_id=contract.conId,
                requests=requests,
                raw_size=received.size,
                raw_sha256=received.sha256,
                fetched_at=self._now(),
                said=received.said,
                doubt=doubt,
            )
        raise AssertionError

    def disbelieved(self, said: str, doubt: str) -> VendorDown:
        """Return what to raise for bars that would decide their day but came while IB was away.

        Args:
            said: what is wrong with them.
            doubt: their ``doubt``.
        """
        return self._connection.disbelieved(said, doubt)

    async def _bars(self, contract: Contract, hours: Session, asked: Asked) -> tuple[Received, str]:
        request = Request(
            asked,
            contract,
            lambda client, req_id: client.reqHistoricalData(
                req_id, contract, _end(hours), DURATION, BAR_SIZE, SHOWN, True, FORMAT_DATE, False, []
            ),
            lambda client, req_id: client.cancelHistoricalData(req_id),
            self._timeouts.bars,
        )
        answer = await self._ask_history(request, f"{contract.conId} {_end(hours)}", head=False)
        received: Received = answer.value
        if not received:
            after = f" after it said {'; '.join(received.said)}" if received.said else " and without a reason"
            nothing = f"IB answered without bars{after}, which decides nothing - {asked}"
            if answer.doubt:
                raise self._connection.disbelieved(nothing, answer.doubt)
            raise Transient(nothing)
        return received, answer.doubt

    async def _ask_head(self, ticker: Ticker, contract: Contract) -> tuple[datetime | None, bool]:
        """Return the head timestamp, and whether it is final; what IB says while it is away is not."""
        asked = Asked(ticker.symbol, ticker.where, contract_id=contract.conId)
        request = Request(
            asked,
            contract,
            lambda client, req_id: client.reqHeadTimeStamp(req_id, contract, SHOWN, True, FORMAT_DATE),
            lambda client, req_id: client.cancelHeadTimeStamp(req_id),
            self._timeouts.head,
            stays_open=True,
        )
        try:
            answer = await self._ask_history(request, f"{contract.conId} head", head=True)
        except DayEnded as ended:
            if not isinstance(ended.outcome, NoData):
                raise
            self._say_without_head(ended)
            return None, True
        except Unreadable as error:
            self._say_without_head(error)
            return None, True
        except (Throttled, VendorDown):
            raise
        except Transient as error:
            self._say_without_head(error)
            return None, True
        head = answer.value
        if answer.doubt:
            self._say_without_head(Transient(f"IB answered {head} - {asked}; {answer.doubt}, so this is not believed"))
            return None, False
        if not isinstance(head, datetime) or head.tzinfo is None:
            self._say_without_head(Transient(f"IB answered {head!r} - {asked}"))
            return None, True
        await self._remember_head(contract.conId, head)
        return head, True

    def _say_without_head(self, why: IngestError) -> None:
        self._say(f"IB does not say when its history begins, so every day is requested ({why})")

    async def _ask_history(self, request: Request, key: str, *, head: bool) -> Answer:
        """Send a request when the budget allows it, on a connection that serves history."""
        while True:
            await self._connection.ready()
            await self._pacing.turn(key, head=head)
            if self._connection.serves:
                break
        try:
            return await self._connection.request(request, finish=not head)
        except Throttled as error:
            self._say(f"{error}: asking nothing for {await self._pacing.refused():.0f} s")
            raise

    async def _contract(self, ticker: Ticker) -> Contract:
        known = self._known_of(ticker)
        async with known.learning:
            if known.contract is None:
                await self._connection.ready()
                known.contract = await self._ask_contract(ticker)
            return known.contract

    async def _ask_contract(self, ticker: Ticker) -> Contract:
        wanted = Contract(
            symbol=ticker.symbol,
            secType=ticker.sec_type,
            exchange=ticker.exchange,
            currency=ticker.currency,
            primaryExchange=ticker.primary_exchange,
        )
        request = Request(
            Asked(ticker.symbol, ticker.where),
            wanted,
            lambda client, req_id: client.reqContractDetails(req_id, wanted),
            None,
            self._timeouts.details,
        )
        try:
            answer = await self._connection.request(request)
        except RunEnded as error:
            if str(error).startswith(_UNKNOWN_CONTRACT):
                raise _unknown(ticker) from error
            raise
        found: list[ContractDetails] = answer.value
        described = {
            details.contract.conId: details
            for details in found
            if details.contract is not None and details.contract.secType == ticker.sec_type
        }
        contracts = {number: details.contract for number, details in described.items() if details.contract is not None}
        if not contracts:
            raise self._wrong(_unknown(ticker), answer)
        if len(contracts) > 1:
            raise self._wrong(_ambiguous(ticker, list(contracts.values())), answer)
        (contract,) = contracts.values()
        details = described[contract.conId]
        exchanges = [contract.primaryExchange, *details.validExchanges.split(",")]
        if why := foreign(ticker, zone=details.timeZoneId, exchanges=exchanges):
            todo = "name its US listing in exchange and primaryExchange, or take the row out"
            raise self._wrong(WrongRow(f"{ticker.where}: {why}; {todo}", found=why), answer)
        return Contract(
            conId=contract.conId,
            symbol=ticker.symbol,
            secType=ticker.sec_type,
            exchange=ticker.exchange,
            currency=ticker.currency,
            primaryExchange=contract.primaryExchange,
        )

    def _wrong(self, row: WrongRow, answer: Answer) -> IngestError:
        """Return what to raise for a ticker's row, after a response that IB may have sent while it was away."""
        return self._connection.disbelieved(row.found, answer.doubt) if answer.doubt else row

    def _known_of(self, ticker: Ticker) -> _Known:
        return self._known.setdefault(ticker, _Known())

    async def _remembered_head(self, contract_id: int) -> datetime | None:
        if self.account_kind == "sandbox":
            return None
        async with self._heads.locked():
            return _heads_in(self._heads).get(contract_id)

    async def _remember_head(self, contract_id: int, head: datetime) -> None:
        if self.account_kind == "sandbox":
            return
        async with self._heads.locked():
            heads = _heads_in(self._heads) | {contract_id: head}
            self._heads.write({str(number): instant.isoformat() for number, instant in heads.items()})


def _heads_in(file: StateFile) -> dict[int, datetime]:
    """Read what is remembered; nothing from a damaged file, as IB can be asked again."""
    try:
        heads = {
            int(number): datetime.fromisoformat(instant).astimezone(UTC)
            for number, instant in (file.read() or {}).items()
        }
    except (Damaged, ValueError, TypeError, AttributeError):
        logger.warning("%s: is damaged; asking IB again", file.path)
        return {}
    return heads


def _end(hours: Session) -> str:
    return f"{hours.close.astimezone(UTC):%Y%m%d-%H:%M:%S}"  # the dash means UTC


def _source(contract: Contract, hours: Session) -> str:
    query = {
        "conId": contract.conId,
        "symbol": contract.symbol,
        "secType": contract.secType,
        "exchange": contract.exchange,
        "primaryExchange": contract.primaryExchange,
        "currency": contract.currency,
        "endDateTime": _end(hours),
        "durationStr": DURATION,
        "barSizeSetting": BAR_SIZE,
        "whatToShow": SHOWN,
        "useRTH": 1,
        "formatDate": FORMAT_DATE,
    }
    return f"tws://historical_data?{urlencode(query, safe=':')}"


def _unknown(ticker: Ticker) -> WrongRow:
    column, at = "symbol", f"{ticker.exchange} in {ticker.currency}"
    if ticker.primary_exchange:
        column, at = "symbol or primaryExchange", f"{at}, listed on {ticker.primary_exchange}"
    found = f"TWS knows no {ticker.sec_type} {ticker.symbol} on {at}"
    text = f"{ticker.where}, column {column}: {found}; correct the row as TWS's own search spells it"
    return WrongRow(text, found=found, column=column)


def _ambiguous(ticker: Ticker, contracts: Sequence[Contract]) -> WrongRow:
    listed = ", ".join(sorted({contract.primaryExchange or contract.exchange for contract in contracts}))
    found = f"{ticker.symbol} in {ticker.currency} is listed on {listed}"
    column = "primaryExchange"
    return WrongRow(f"{ticker.where}, column {column}: {found}; name the one that is meant", found=found, column=column)
