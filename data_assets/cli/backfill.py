"""`data-assets backfill`: download the days of a dataset that are missing or failed, or lack what is asked for by now.

Here: choosing the days, running the asset in this process on the project's Dagster instance, and the summary.
Not here: the work of a run (`ingest`), and what the display looks like (`display`).
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

import click
import dagster as dg

from data_assets.cli.display import Display, open_display
from data_assets.cli.local_run import run_range, wait_for_the_account
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
from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Failed, NotStored, Stored
from data_assets.ingest.progress import count_of
from data_assets.ingest.stop_request import keep_interrupts
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_run import run_watcher
from data_assets.orchestration.day_states import DayState, states_on_disk
from data_assets.orchestration.partitions import contiguous_ranges
from data_assets.wiring import open_lake

WANTED: Mapping[str, frozenset[DayState]] = {
    "missing": frozenset({DayState.MISSING}),
    "failed": frozenset({DayState.FAILED}),
    "all": frozenset(DayState) - {DayState.IN_PROGRESS},
}
BY_DEFAULT = WANTED["missing"] | WANTED["failed"] | {DayState.LACKING, DayState.STALE}

LEFT_TO_ANOTHER_RUN = Failed("another run is at it now; ask again when that has ended", tried=False)


@dataclass
class BackfillResult:
    """How the days of a backfill ended, by their keys."""

    dataset: MarketDataset
    stored: list[str] = field(default_factory=list)
    not_stored: dict[str, NotStored] = field(default_factory=dict)
    interrupted: bool = False

    def document(self) -> dict[str, object]:
        """The result as it is printed by `--json`."""
        return {
            "dataset": self.dataset.name,
            "stored": [self.dataset.label(day) for day in sorted(self.stored)],
            "not_stored": {
                self.dataset.label(day): {"outcome": outcome.name, "reason": outcome.reason}
                for day, outcome in sorted(self.not_stored.items())
            },
        }


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@days_options
@click.option(
    "--only",
    type=click.Choice(list(WANTED)),
    help="Just the missing or just the failed days; or all, which downloads stored days again. Default: both, and days "
    "that lack a ticker added since.",
)
@json_option
def backfill(
    keys: tuple[str, ...], start: DaysNamed | None, end: DaysNamed | None, only: str | None, as_json: bool
) -> None:
    """Download the missing and failed days of each KEY (a dataset, or a vendor), newest first, in this process.

    So are days stored before a ticker was added; what the cache still holds of them is not downloaded again.

    Datasets come one after another, each with the days that it has: they may begin and end on different ones. The runs
    show in the UI like any other. Ctrl-C stops it: what is stored stays, and the same command goes on later.
    """
    keep_interrupts(signal.SIGTERM)  # a service manager's stop is a Ctrl-C
    enter_project()
    selected = days_between(_upstream_first(dataset for key in keys for dataset in select_datasets(key)), start, end)
    results: list[BackfillResult] = []
    with open_instance() as instance:
        lake = open_lake()
        for dataset, days in selected.items():
            results.append(_backfill(instance, dataset, days, lake, only))
            if results[-1].interrupted:
                break
    if as_json:
        documents = [result.document() for result in results]
        click.echo(json.dumps(documents[0] if len(selected) == 1 else documents))
    whole = not any(result.not_stored or result.interrupted for result in results)
    sys.exit(EXIT_OK if whole else EXIT_SOME_DAY_DOES_NOT)


def _upstream_first(datasets: Iterable[MarketDataset]) -> list[MarketDataset]:
    """Each dataset once, after those of the others that it is made from."""
    by_name = {dataset.name: dataset for dataset in datasets}
    order = TopologicalSorter({name: dataset.upstream for name, dataset in by_name.items()}).static_order()
    return [by_name[name] for name in order if name in by_name]


def _backfill(
    instance: dg.DagsterInstance, dataset: MarketDataset, keys: list[str], lake: Lake, only: str | None
) -> BackfillResult:
    """One dataset's part. Its states are read when its turn comes: those before it may have stored days of it."""
    wanted = WANTED[only] if only else BY_DEFAULT
    states = states_on_disk(instance, dataset, keys, lake)
    days = [day for day, state in states.items() if state in wanted]
    elsewhere = [day for day, state in states.items() if state is DayState.IN_PROGRESS]
    with open_display(dataset.name, len(days) + len(elsewhere), dataset.day, dataset.label) as display:
        if elsewhere:
            display.say(f"left to the run that is at work on them: {count_of(len(elsewhere), dataset.day)}")
        result = run_backfill(instance, dataset, days, display, lake, wanted)
        result.not_stored |= dict.fromkeys(elsewhere, LEFT_TO_ANOTHER_RUN)
        again = again_with(instance, result, lake, only)
        display.summary(result.stored, result.not_stored, result.interrupted, again)
    return result


def again_with(instance: dg.DagsterInstance, result: BackfillResult, lake: Lake, only: str | None) -> list[str]:
    """The command that asks for the days which a backfill did not store, and for no day outside of them.

    `--only` is as narrow as these days allow: those that were missing may have failed since, and with `all` the stored
    days between them would be downloaded once more.
    """
    dataset, days = result.dataset, sorted(result.not_stored)
    if not days:
        return []
    left = set(states_on_disk(instance, dataset, days, lake).values()) - {DayState.IN_PROGRESS}
    if only in (None, "all") or not left <= WANTED[only]:
        only = None if left <= BY_DEFAULT else "all"
    bounds = ["--from", dataset.label(days[0]), "--to", dataset.label(days[-1])]
    return ["backfill", dataset.name, *bounds, *(["--only", only] if only else [])]


def run_backfill(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    days: list[str],
    display: Display,
    lake: Lake,
    wanted: frozenset[DayState] = BY_DEFAULT,
) -> BackfillResult:
    """Run the asset over `days`, in runs of contiguous days, newest first, until done, stopped or pointless.

    Raises:
        LakeUnusable: the dataset's folder may not be looked into, or is a link to what is not there.
    """
    if lake.is_there():  # a new one is made as its first day is stored
        lake.check_dataset(dataset.name)
    result = BackfillResult(dataset)
    try:
        _run_ranges(instance, dataset, days, wanted, display, lake, result)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        result.interrupted = True
    left = [day for day in days if day not in result.stored and day not in result.not_stored]
    result.not_stored |= dict.fromkeys(
        left, Failed("stopped before it was done", tried=False) if result.interrupted else LEFT_TO_ANOTHER_RUN
    )
    return result


def _run_ranges(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    days: list[str],
    wanted: frozenset[DayState],
    display: Display,
    lake: Lake,
    result: BackfillResult,
) -> None:
    remaining = days
    while remaining:
        wait_for_the_account(instance, dataset.asset_key, display.show_wait)
        # The run that was waited for may have stored some of them.
        states = states_on_disk(instance, dataset, remaining, lake)
        result.stored += [day for day, state in states.items() if state not in wanted and state is DayState.STORED]
        remaining = [day for day, state in states.items() if state in wanted]
        if not remaining:
            return
        first, last = contiguous_ranges(remaining, dataset.days_per_run, dataset.partitions)[0]
        report = _run_watched(instance, dataset, first, last, display, result)
        if result.interrupted:
            return
        asked = [day for day in remaining if first <= day <= last]
        lost = [day for day in asked if day not in result.stored and day not in result.not_stored]
        result.not_stored |= dict.fromkeys(lost, Failed("its run broke off; the UI's Runs page says why"))
        remaining = [day for day in remaining if day < first]
        if (verdict := _verdict_on_older_days(report)) is not None:
            result.not_stored |= dict.fromkeys(remaining, verdict)
            return


def _run_watched(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    first: str,
    last: str,
    display: Display,
    result: BackfillResult,
) -> IngestReport | None:
    display.report = None
    watching = run_watcher.set(display)
    try:
        ended = run_range(instance, dataset.asset_key, first, last)
        stopped = display.report is not None and display.report.stopped
        result.interrupted = stopped or _was_canceled(instance, ended.run_id)
    finally:
        run_watcher.reset(watching)
        if display.report is not None:
            _take(result, display.report)
    return display.report


def _take(result: BackfillResult, report: IngestReport) -> None:
    for day, outcome in report.outcomes.items():
        if isinstance(outcome, Stored):
            result.stored.append(day.isoformat())
        else:
            result.not_stored[day.isoformat()] = outcome


def _was_canceled(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status == dg.DagsterRunStatus.CANCELED


def _verdict_on_older_days(report: IngestReport | None) -> NotStored | None:
    """What a run has said of all days older than its own, if anything: then no run is started for them."""
    if report is None:
        return None
    if report.ended is not None:
        return Failed(report.ended, tried=False)
    return next((end for end in report.outcomes.values() if isinstance(end, NotStored) and not end.tried), None)
