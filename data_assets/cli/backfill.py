"""`data-assets backfill`: download the days of a dataset that are missing or failed.

Here: choosing the days, running the asset in this process on the project's Dagster instance, and the summary.
Not here: the work of a run (`ingest`), and what the display looks like (`display`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import click
import dagster as dg

from data_assets.cli.display import Display, open_display
from data_assets.cli.local_run import run_range
from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    days_between,
    days_options,
    enter_project,
    find_dataset,
    json_option,
    open_instance,
)
from data_assets.ingest.dagster_days import run_watcher
from data_assets.ingest.dagster_health import DayState, day_states
from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Failed, NotStored, Stored
from data_assets.partitions import contiguous_ranges

WANTED: Mapping[str, frozenset[DayState]] = {
    "missing": frozenset({DayState.MISSING}),
    "failed": frozenset({DayState.FAILED}),
    "all": frozenset({DayState.MISSING, DayState.FAILED, DayState.STORED}),
}
BY_DEFAULT = WANTED["missing"] | WANTED["failed"]


@dataclass
class BackfillResult:
    """How the days of a backfill ended."""

    dataset: str
    stored: list[str] = field(default_factory=list)
    not_stored: dict[str, NotStored] = field(default_factory=dict)
    interrupted: bool = False

    def document(self) -> dict[str, object]:
        """The result as it is printed by `--json`."""
        return {
            "dataset": self.dataset,
            "stored": sorted(self.stored),
            "not_stored": {
                day: {"outcome": outcome.name, "reason": outcome.reason}
                for day, outcome in sorted(self.not_stored.items())
            },
        }


@click.command(short_help="Download the days that are missing or failed.")
@click.argument("key")
@days_options
@click.option(
    "--only",
    type=click.Choice(list(WANTED)),
    help="Just the missing or just the failed days; or all, which downloads stored days again. Default: both.",
)
@json_option
def backfill(key: str, start: date | None, end: date | None, only: str | None, as_json: bool) -> None:
    """Download the missing and failed days of the dataset KEY, newest first, in this process.

    The run shows in the UI like any other. Ctrl-C stops it: what is stored stays, and the same command goes on later.
    """
    enter_project()
    asset_key = find_dataset(key)
    with open_instance() as instance:
        states = day_states(instance, asset_key, days_between(start, end))
        days = [day for day, state in states.items() if state in (WANTED[only] if only else BY_DEFAULT)]
        elsewhere = [day for day, state in states.items() if state is DayState.IN_PROGRESS]
        with open_display(asset_key.to_user_string(), len(days)) as display:
            if elsewhere:
                display.say(f"{len(elsewhere)} days are left to the run that is at them now")
            result = run_backfill(instance, asset_key, days, display)
        display.summary(result.stored, result.not_stored, result.interrupted)
    if as_json:
        click.echo(json.dumps(result.document()))
    sys.exit(EXIT_SOME_DAY_DOES_NOT if result.not_stored or result.interrupted else EXIT_OK)


def run_backfill(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, days: list[str], display: Display
) -> BackfillResult:
    """Run the asset over `days`, in runs of contiguous days, newest first, until done, stopped or pointless."""
    result = BackfillResult(asset_key.to_user_string())
    ranges = contiguous_ranges(days)
    for position, (first, last) in enumerate(ranges):
        asked = [day for day in days if first <= day <= last]
        _say_who_holds_the_slot(instance, asset_key, display)
        display.report = None
        watching = run_watcher.set(display)
        try:
            run_range(instance, asset_key, first, last)
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            result.interrupted = True
        finally:
            run_watcher.reset(watching)
        report = display.report
        if report is not None:
            _take(result, report)
            result.interrupted |= report.stopped
        for day in asked:
            if day not in result.not_stored and day not in result.stored:
                reason = (
                    "stopped before it was done"
                    if result.interrupted
                    else "its run broke off; the UI's Runs page says why"
                )
                result.not_stored[day] = Failed(reason)
        verdict = _verdict_on_older_days(report)
        if result.interrupted or verdict is not None:
            rest = verdict or Failed("stopped before it was asked for", tried=False)
            older = [day for lower, upper in ranges[position + 1 :] for day in days if lower <= day <= upper]
            result.not_stored |= dict.fromkeys(older, rest)
            break
    return result


def _take(result: BackfillResult, report: IngestReport) -> None:
    for day, outcome in report.outcomes.items():
        if isinstance(outcome, Stored):
            result.stored.append(day.isoformat())
        else:
            result.not_stored[day.isoformat()] = outcome


def _verdict_on_older_days(report: IngestReport | None) -> NotStored | None:
    """What a run has said of all days older than its own, if anything: then no run is started for them."""
    if report is None:
        return None
    if report.ended is not None:
        return Failed(report.ended, tried=False)
    return next((end for end in report.outcomes.values() if isinstance(end, NotStored) and not end.tried), None)


def _say_who_holds_the_slot(instance: dg.DagsterInstance, asset_key: dg.AssetKey, display: Display) -> None:
    pool = asset_key.path[0]
    holders = {slot.run_id for slot in instance.event_log_storage.get_concurrency_info(pool).claimed_slots}
    if holders:
        display.say(f"waiting for run {', '.join(sorted(holders))}: one ingest step at a time uses the {pool} account")
