"""What Theta offers of a dataset: since when, to which plan, and which contracts of a day.

Here: the questions. Not here: how far a plan reaches back (`orchestration.vendor_offer`), and asking (``client``).

Judgements: the terminal does not name the plan, so it is told by what it answers: the contract list needs Value, and
first-order greeks need Standard (``x-min-subscription`` in the vendor's OpenAPI). The first day is the oldest on which
one of a root's first few expirations was quoted; lists of old days hold OPRA's test contracts, with expirations such as
1882, so expirations before the vendor's own first day count as none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from data_assets.ingest.outcome import DayEnded, NoData, NotEntitled
from data_assets.orchestration.vendor_offer import Offer
from data_assets.trading_calendar import last_ended_session, previous_session, utc_now
from data_assets.vendors.theta.client import GreeksRequest, ThetaClient
from data_assets.vendors.theta.dataset import START_TIME, OptionDataset

FIRST_EXPIRATIONS = 3


async def offer(options: OptionDataset, client: ThetaClient, day: date) -> Offer:
    """Ask what there is; errors as of ``ThetaClient``."""
    expirations = await client.expirations(options.roots)
    listed = await client.listed_contracts(options.roots, day)
    names = () if listed is None else listed.sort("symbol", "expiration", "strike", "right").iter_rows()
    return Offer(
        first_day=await first_day(options, client, expirations),
        account="the Free tier" if listed is None else await _tier(client, expirations),
        unit="contract",
        names=tuple(f"{root} {expiration} {strike:g} {right}" for root, expiration, strike, right in names),
    )


async def first_day(
    options: OptionDataset, client: ThetaClient, expirations: Mapping[str, Sequence[date]]
) -> date | None:
    """The first day of which there is data by the vendor's lists and documents; errors as of ``ThetaClient``."""
    begins = options.history.begins
    firsts = [
        min(days)
        for root in options.roots
        for expiration in [each for each in expirations[root] if each >= begins][:FIRST_EXPIRATIONS]
        if (days := await client.quoted_days(root, expiration))
    ]
    return max(min(firsts), begins) if firsts else None


async def _tier(client: ThetaClient, expirations: Mapping[str, Sequence[date]]) -> str:
    """The least plan that answers as this one does, about a day that is surely there."""
    day = previous_session(last_ended_session(utc_now()))
    open_ones = ((root, each) for root, known in expirations.items() for each in known if each >= day)
    if (found := next(open_ones, None)) is None:
        return "the Value tier or more"
    root, expiration = found
    request = GreeksRequest(
        root, day, expiration=expiration.isoformat(), interval="1h", start_time=START_TIME, end_time="16:00:00"
    )
    try:
        async with client.history(request) as chunks:
            await anext(chunks)
    except DayEnded as ended:
        if isinstance(ended.outcome, NotEntitled):
            return "the Value tier, without greeks"
        if not isinstance(ended.outcome, NoData):
            raise
    return "the Standard tier or more, with greeks"
