"""`data-assets offers`: since when a vendor has a dataset, how far your plan reaches, and what a day is made of.

Here: asking and showing. Not here: what a vendor is asked (`MarketDataset.offer`).

Judgements: the first day of the plan is found by asking for about a dozen days, each as `doctor` asks: a plan includes
all days from one on. The symbol of an Interactive Brokers dataset is its one name, and IB sells no depth.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from typing import Any, NoReturn

import click

from data_assets.cli.documents import OfferedDataset, write_document
from data_assets.cli.project import EXIT_OK, counted_with_runs, datasets, enter_project, find_dataset
from data_assets.cli.screen import Screen
from data_assets.cli.starting import end_loading
from data_assets.cli.vendor_answers import ending_without_an_answer, soon
from data_assets.counts import count_of
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset, asked_of_a_vendor
from data_assets.orchestration.day_states import names_text
from data_assets.orchestration.partitions import check_day, newest_day
from data_assets.orchestration.vendor_offer import Offer, first_day_of_plan
from data_assets.trading_calendar import FIRST_SESSION, NotASession, sessions
from data_assets.wiring import open_lake

NO_VENDOR = "is made of other datasets of the project: no vendor offers it"


def offers(key: str, day: str | None, as_json: bool) -> NoReturn:
    """Ask the vendor, show what it says, and end this process with 1 if the plan includes nothing of the dataset."""
    enter_project()
    dataset = find_dataset(key)
    source = asked_of_a_vendor(dataset)
    if source.offer is None:
        undefined = [name for name in source.upstream if name not in datasets()]
        made_from = f"is made from {undefined[0]}, which no block of the project defines" if undefined else NO_VENDOR
        raise click.UsageError(f"{dataset.name} {made_from}")
    asked = _day(dataset, day)
    end_loading()
    with ending_without_an_answer(source.name), counted_with_runs():
        offer, first_of_plan = asyncio.run(ask_offer(source, open_lake(), asked))
    if as_json:
        write_document(_document(dataset, offer, first_of_plan, asked))
    else:
        _print(dataset, source, offer, first_of_plan, asked)
    sys.exit(EXIT_OK if first_of_plan else 1)


def _day(dataset: MarketDataset, written: str | None) -> date:
    if written is None:
        return newest_day()
    try:
        return date.fromisoformat(check_day(written, of=dataset.name))
    except (ValueError, NotASession) as error:
        raise click.UsageError(str(error)) from None


async def ask_offer(dataset: MarketDataset, lake: Lake, day: date) -> tuple[Offer, date | None]:
    """What the vendor has of a dataset, and the first day of the plan; None if it includes none.

    Raises:
        IngestError: the vendor refuses, or knows no such symbol.
        TimeoutError: it does not answer.
    """
    ask, probe = dataset.offer, dataset.probe
    assert ask is not None
    assert probe is not None
    offer = await soon(ask(lake, day))
    since = max(offer.first_day or dataset.span.first_day, FIRST_SESSION)
    days = sessions(since, newest_day()) or [day]
    return offer, await first_day_of_plan(days, lambda each: soon(probe(lake, each)))


def _document(dataset: MarketDataset, offer: Offer, first_of_plan: date | None, day: date) -> OfferedDataset:
    return OfferedDataset(
        dataset=dataset.name,
        first_day=offer.first_day.isoformat() if offer.first_day else None,
        first_day_of_plan=first_of_plan.isoformat() if first_of_plan else None,
        account=offer.account,
        day=day.isoformat(),
        unit=offer.unit,
        names=list(offer.names),
    )


def _print(dataset: MarketDataset, source: MarketDataset, offer: Offer, first_of_plan: date | None, day: date) -> None:
    rows: dict[str, Any] = {
        "the vendor has it since": offer.first_day or "it does not say",
        "your plan includes": f"{first_of_plan} and later days" if first_of_plan else "no day of it",
        "account": offer.account,
        str(day): _names(offer),
        "this project asks since": f"{dataset.span.first_day}, its first_day",
    }
    console = Screen()
    console.print(f"[bold]{dataset.name}[/bold]" + (f", made from {source.name}" if source is not dataset else ""))
    for what, said in rows.items():
        console.print(f"  {what:<24}  {said}", markup=False)


def _names(offer: Offer) -> str:
    if not offer.names:
        return f"no list of {offer.unit}s"
    count = count_of(len(offer.names), offer.unit)
    return f"{count}: {names_text(offer.names)}"
