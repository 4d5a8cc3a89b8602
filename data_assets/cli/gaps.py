"""`data-assets gaps`: the days that are missing or failed.

Here: listing. Not here: closing them (`backfill`).
"""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console

from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    DaysNamed,
    days_between,
    days_options,
    enter_project,
    json_option,
    open_instance,
    select_datasets,
)
from data_assets.ingest.dagster_dataset import MarketDataset
from data_assets.ingest.dagster_health import DayState, states_on_disk
from data_assets.partitions import contiguous_ranges
from data_assets.wiring import open_lake


@click.command()
@click.argument("key", required=False)
@days_options
@json_option
def gaps(key: str | None, start: DaysNamed | None, end: DaysNamed | None, as_json: bool) -> None:
    """List the days of KEY (a dataset, a vendor, or all) that are missing or failed. Exit 1 if there are any."""
    enter_project()
    selected = days_between(select_datasets(key), start, end)
    lake = open_lake()
    with open_instance() as instance:
        found = {
            dataset.name: _gaps(states_on_disk(instance, dataset, days, lake)) for dataset, days in selected.items()
        }
    if as_json:
        click.echo(json.dumps({dataset.name: _labelled(dataset, found[dataset.name]) for dataset in selected}))
    else:
        for dataset, days in selected.items():
            _print(dataset, found[dataset.name], len(days))
    sys.exit(EXIT_SOME_DAY_DOES_NOT if any(any(states.values()) for states in found.values()) else EXIT_OK)


def _gaps(states: dict[str, DayState]) -> dict[str, list[str]]:
    # A day in progress has no file yet, so it is missing until its event says otherwise.
    return {
        "missing": [day for day, state in states.items() if state in (DayState.MISSING, DayState.IN_PROGRESS)],
        "failed": [day for day, state in states.items() if state is DayState.FAILED],
    }


def _labelled(dataset: MarketDataset, states: dict[str, list[str]]) -> dict[str, list[str]]:
    return {state: [dataset.label(day) for day in days] for state, days in states.items()}


def _print(dataset: MarketDataset, states: dict[str, list[str]], total: int) -> None:
    console = Console()
    open_days = sum(len(days) for days in states.values())
    console.print(f"[bold]{dataset.name}[/bold]  {total - open_days} of {total} {dataset.unit}s stored")
    for state, colour in (("failed", "red"), ("missing", "yellow")):
        for first, last in contiguous_ranges(states[state], None, dataset.partitions):
            count = sum(1 for day in states[state] if first <= day <= last)
            bounds = f"{dataset.label(first)} to {dataset.label(last)}  ({count} {dataset.unit}s)"
            text = dataset.label(first) if first == last else bounds
            console.print(f"  [{colour}]{state:8}[/{colour}] {text}")
