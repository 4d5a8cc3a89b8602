"""`data-assets accept-hole`: call a day that the vendor will never have a hole, by name and with a reason.

Here: the command. Not here: how a hole is recorded (`holes`).
"""

from __future__ import annotations

import click

from data_assets.cli.project import check_named_day, enter_project, find_dataset, open_instance
from data_assets.orchestration.day_states import DayState, states_on_disk
from data_assets.orchestration.holes import accept_hole as record_hole
from data_assets.wiring import open_lake


@click.command()
@click.argument("key")
@click.argument("day")
@click.option("--reason", required=True, help="Why no data will ever come, such as the vendor's own words.")
def accept_hole(key: str, day: str, reason: str) -> None:
    """Record that the vendor will never have DAY of the dataset KEY: it counts as done, with zero rows and your reason.

    `backfill --only all` asks for it all the same, and what then arrives takes the hole's place.
    """
    enter_project()
    dataset, text = find_dataset(key), " ".join(reason.split())
    if not text:
        raise click.UsageError("--reason is empty: say why no data will ever come")
    if dataset.monthly:
        raise click.UsageError(f"{dataset.name} is made from stored days, so it has no holes of its own")
    day = check_named_day(dataset, day)
    with open_instance() as instance:
        state = states_on_disk(instance, dataset, [day], open_lake())[day]
        if state in (DayState.STORED, DayState.LACKING, DayState.IN_PROGRESS):
            raise click.UsageError(f"{dataset.name} {day} is {state.value}: only a missing or failed day can be a hole")
        record_hole(instance, dataset, day, text)
    click.echo(f"{dataset.name} {day}: accepted as a hole ({text})", err=True)
