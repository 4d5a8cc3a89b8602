"""IB's minute bars as a Dagster component: a list of tickers in, one asset with its checks for each ticker out.

Here: the fields of the block, and how client, budget, day and rules are put together for it. Not here: any of those.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from pydantic import Field

from data_assets.ingest.outcome import DayEnded, NoData
from data_assets.ingest.shared_state import shared_states
from data_assets.ingest.source import Source
from data_assets.ingest.state_file import StateFile
from data_assets.lake.bar_columns import documented_bars
from data_assets.lake.lake import Lake
from data_assets.orchestration.assets import dataset_definitions
from data_assets.orchestration.dataset import OWNER, DayFiles, MarketDataset, Revisions, read_owner
from data_assets.orchestration.day_cost import DayCost
from data_assets.orchestration.publication import Publication
from data_assets.orchestration.vendor_offer import Offer
from data_assets.quality.minute_bars import PRICES
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.span import FIRST_DAY, SHIPPED, Span, read_span
from data_assets.trading_calendar import NEW_YORK, session
from data_assets.vendors.ib.bars_at_hand import stored_bars
from data_assets.vendors.ib.contracts import Ticker, read_tickers
from data_assets.vendors.ib.day import MAX_CONCURRENCY, RETRY, IbBarsSource, evaluate_checks, own_days, unknown_splits
from data_assets.vendors.ib.pacing import STRICT, Budget, RequestPacing
from data_assets.vendors.ib.resets import never, reset_ends
from data_assets.vendors.ib.schema import COLUMNS, SCHEMA_VERSION, SORT_BY
from data_assets.vendors.ib.timeouts import IBS_OWN, SANDBOX
from data_assets.wiring import SANDBOX_IB_SCALE, ib_endpoint, state_folder

if TYPE_CHECKING:
    from data_assets.vendors.ib.client import IbClient

ASKED = "ib_pacing"
"""What is remembered of the requests to the account."""

DAY_BYTES = 1_000_000

RECEIVED_BYTES, FILE_BYTES = 20_000, 14_000
"""Of a day's message and of its file, 390 bars; as measured, of days in the sandbox."""

PUBLICATION = Publication(
    hours=lambda hours: [hours.close + timedelta(minutes=20)],
    expected_by=time(9, 30),
    text="20 minutes after the close, early closes included.",
)
"""IB serves a session a quarter of an hour after its close (``day.not_yet``). Expected before the next open."""

REVISIONS = Revisions(keys=SORT_BY, prices=PRICES, in_scale_of=Lake.in_scale_of)
"""IB compresses and corrects bars after the fact, and announces none of it: the day has to be asked for again."""

CHECKS = {
    "bar_count": "One bar for each minute of the regular session: 390, or 210 when it ends at 13:00.",
    "ohlc": "low <= open, close <= high; prices positive; volume and trades not negative; no price stands alone.",
    "timestamps": "Minute-aligned, no minute twice, in the file's order.",
    "session_hours": "Every bar starts within the regular session.",
    "volume": "No negative volume; the average price lies between low and high; bars without volume are counted.",
    "trades": "The share and the longest run of minutes without a trade, compared with this ticker's other days.",
    "splits": "No price changed overnight as at a split: the days before and after were fetched in one scale.",
    "integrity": "The stored file is the one that was recorded: sha256, page checksums, row count, schema.",
}


class IbMinuteBars(dg.Component, dg.Model, dg.Resolvable):
    """One-minute TRADES bars of regular hours from Interactive Brokers, an asset for each ticker of a list."""

    tickers_file: str = Field(
        description="a CSV beside this file: symbol,secType,exchange,currency[,primaryExchange][,completeness]"
        "[,first_day][,last_day], separated by commas, semicolons or tabs; a # begins a comment"
    )
    owner: str | None = Field(default=None, description=OWNER)
    first_day: str | None = Field(
        default=None,
        description=f"YYYY-MM-DD: first day of the tickers whose row names none; default: {FIRST_DAY}, as the vendor "
        "publishes no earliest day",
    )
    last_day: str | None = Field(
        default=None, description="YYYY-MM-DD: last day of the tickers whose row names none; default: none"
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Make the asset `ib/bars_1m/<symbol>` for each row, with its checks.

        Raises:
            ValueError: the list is wrong; the text names the row and the column.
        """
        usual = read_span(self.first_day, self.last_day, SHIPPED)
        owner = read_owner(self.owner)
        tickers = read_tickers(Path(context.path) / self.tickers_file)
        return dataset_definitions(*(market_dataset(ticker, ticker.span(usual), owner) for ticker in tickers))


def request_pacing() -> RequestPacing:
    """Return the request budget of the IB account from the settings; for the simulator, sped up."""
    shared = shared_states.get()
    asked = StateFile(state_folder() / f"{ASKED}.json") if shared is None else shared(ASKED)
    return RequestPacing(asked, _budget(), head_budget=STRICT.scaled(_scale()))


def seconds_per_request() -> float:
    """How far apart requests are on average where many are made: the stricter of the two limits tells."""
    budget = _budget()
    return max(budget.seconds_between, budget.window_seconds / budget.max_per_window)


def _budget() -> Budget:
    budget = Budget(
        seconds_between=settings().ib_seconds_between_requests,
        max_per_window=settings().ib_max_requests_per_10_min,
    )
    return budget.scaled(_scale())


def _scale() -> float:
    return 1.0 if settings().profile == "live" else SANDBOX_IB_SCALE


@dataclass(frozen=True)
class _FilesAtHand(DayFiles):
    """Days whose bars are kept for a moment: what is shown of one is what its checks are about to read."""

    def preview(self, lake: Lake, day: date, rows: int) -> pl.DataFrame:
        """See ``Files``."""
        return stored_bars(lake, self.dataset, day).head(rows)


def market_dataset(ticker: Ticker, span: Span, owner: str | None = None) -> MarketDataset:
    """The dataset of one ticker."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[IbClient]:
        # Not at the top: it brings in ib_async, which no process needs that only loads the definitions.
        from data_assets.vendors.ib.client import IbClient

        live = settings().profile == "live"
        with ib_endpoint() as (host, port):
            client = IbClient(
                host,
                port,
                settings().ib_client_id,
                pacing=request_pacing(),
                state_folder=state_folder(),
                real_data_only=live,
                timeouts=IBS_OWN if live else SANDBOX,
                resets=reset_ends if live else never,
            )
            async with client:
                await client.validate([ticker])
                yield client

    @asynccontextmanager
    async def open_source(lake: Lake, _days: list[date]) -> AsyncIterator[Source]:
        async with connected() as client:
            yield IbBarsSource(ticker, lake=lake, client=client)

    async def probe(_lake: Lake, day: date) -> str:
        async with connected() as client:
            head = await client.head_timestamp(ticker)
            if head is not None and head.date() > day:
                raise DayEnded(NoData(f"IB's history of {ticker.symbol} begins on {head:%Y-%m-%d}"))
            begins = "does not say when its history begins" if head is None else f"has history since {head:%Y-%m-%d}"
            return f"knows {ticker.symbol} and {begins}; {client.account_kind} account"

    async def first_day(client: IbClient) -> date | None:
        head = await client.head_timestamp(ticker)
        return None if head is None else head.astimezone(NEW_YORK).date()

    async def begins(_lake: Lake) -> date | None:
        async with connected() as client:
            return await first_day(client)

    async def offer(_lake: Lake, _day: date) -> Offer:
        async with connected() as client:
            return Offer(await first_day(client), f"a {client.account_kind} account", "ticker", (ticker.symbol,))

    def evaluate(lake: Lake, day: date) -> list[Verdict]:
        bars = stored_bars(lake, ticker.dataset, day)
        others = partial(own_days, lake, ticker.dataset, day)
        verdicts = evaluate_checks(bars, session(day), ticker.completeness, others)
        return [*verdicts, unknown_splits(lake, ticker, day, bars)]

    lenient = " Minutes without a bar are accepted and counted." if ticker.completeness == "lenient" else ""
    return MarketDataset(
        key=tuple(ticker.dataset.split("/")),
        description=(
            f"One-minute bars of {ticker.symbol} from the trades of its regular sessions, as Interactive Brokers sends "
            f"them: adjusted for splits, without trades far from the quote. Only complete days are stored.{lenient}"
        ),
        columns=documented_bars(COLUMNS),
        checks=CHECKS,
        open_source=open_source,
        evaluate=evaluate,
        probe=probe,
        begins=begins,
        offer=offer,
        compares=("trades",),
        max_concurrency=MAX_CONCURRENCY,
        typical_day_bytes=DAY_BYTES,
        usual=lambda: DayCost(1, 390, RECEIVED_BYTES, FILE_BYTES, seconds_per_request()),
        seconds_per_request=seconds_per_request(),
        span=span,
        owner=owner,
        publication=PUBLICATION,
        revisions=REVISIONS,
        retry=RETRY,
        expected=lambda day: {"expected_bars": session(day).minutes},
        shown={"expected_bars": "expected", "last_timestamp": "last bar"},
        own_files=_FilesAtHand(ticker.dataset),
        minutes=lambda lake, day: stored_bars(lake, ticker.dataset, day).select_seq(price="close", volume="volume"),
        reference="https://www.interactivebrokers.com/campus/ibkr-api-page/twsapi-doc/",
        code_version=str(SCHEMA_VERSION),
        metadata={
            "source": "Interactive Brokers, historical bars (1 min, TRADES, regular hours) through TWS or IB Gateway",
            "contract": f"{ticker.sec_type} {ticker.symbol} {ticker.currency} {ticker.exchange} "
            f"{ticker.primary_exchange}".strip(),
        },
    )
