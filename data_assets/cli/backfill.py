"""`data-assets backfill`: download the days of a dataset that are missing, failed, lacking or stale.

Here: choosing the days, running the asset in this process on the project's Dagster instance, and the summary.
Not here: the work of a run (`ingest`), and what the display looks like (`display`).
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NoReturn

import click
import dagster as dg

from data_assets.cli.arguments import Asked
from data_assets.cli.display import Display, open_display
from data_assets.cli.documents import FilledDataset, NotStoredDay, write_document
from data_assets.cli.expected import agreed, expect
from data_assets.cli.line_breaks import say
from data_assets.cli.local_run import run_range, wait_for_the_account
from data_assets.cli.project import datasets, enter_project, open_instance
from data_assets.cli.screen import FittingTable, Heading, Screen
from data_assets.cli.selection import Selection
from data_assets.counts import count_of
from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Failed, NotStored, Outcome, Stored
from data_assets.ingest.stop_request import keep_interrupts
from data_assets.lake.errors import LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_run import run_watcher
from data_assets.orchestration.day_states import NOT_DONE, DayState, states_on_disk
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.partitions import contiguous_ranges
from data_assets.quality.verdict import SEVERITIES, Breaches, Severity
from data_assets.wiring import open_lake

WANTED: Mapping[str, frozenset[DayState]] = {
    "missing": frozenset({DayState.MISSING}),
    "failed": frozenset({DayState.FAILED}),
    "all": frozenset(DayState) - {DayState.IN_PROGRESS},
}

LEFT_TO_ANOTHER_RUN = Failed("another run is at it now; ask again when that has ended", tried=False)

SUMMARY = (
    Heading("dataset"),
    Heading("stored", is_number=True),
    Heading("not stored"),
    Heading("checks", is_clear=True),
)

BROKE_OFF = Failed("the run broke off; the UI's Runs page says why")


@dataclass
class BackfillResult:
    """How the days of a backfill ended, by their keys.

    Attributes:
        dataset: whose days they are.
        stored: those that are stored.
        not_stored: the others, with why.
        breaches: the checks that days have not passed, those of earlier runs that were judged again among them.
        interrupted: whether it was told to stop.
        error: why nothing could be done of the dataset.
    """

    dataset: MarketDataset
    stored: list[str] = field(default_factory=list)
    not_stored: dict[str, NotStored] = field(default_factory=dict)
    breaches: Breaches = field(default_factory=Breaches)
    interrupted: bool = False
    error: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to be done about it; a check that warns says nothing against a day."""
        return not (self.not_stored or self.breaches.days("error") or self.interrupted or self.error)

    def document(self) -> FilledDataset:
        """The result as it is printed by `--json`."""
        return FilledDataset(
            dataset=self.dataset.name,
            stored=[self.dataset.label(day) for day in sorted(self.stored)],
            not_stored={
                self.dataset.label(day): NotStoredDay(outcome.name, outcome.reason)
                for day, outcome in sorted(self.not_stored.items())
            },
            failed_checks=self._checks("error"),
            warned=self._checks("warn"),
            interrupted=self.interrupted,
            error=self.error,
        )

    def _checks(self, severity: Severity) -> dict[str, list[str]]:
        return {self.dataset.label(day): names for day, names in self.breaches.days(severity).items()}


def dry_run(asked: Asked, only: str | None, as_json: bool) -> NoReturn:
    """Say what a backfill of what is selected would take, and end this process with 1 if there is no room for it."""
    enter_project()
    selection = Selection.of(asked)
    selected = selection.days()
    with open_instance() as instance:
        in_order = {dataset: selected[dataset] for dataset in upstream_first(selected)}
        expected = expect(instance, open_lake(), in_order, _wanted(only))
    if as_json:
        write_document(expected.document())
    else:
        expected.print(Screen())
    sys.exit(selection.exit_code(holds=expected.fits))


def backfill(asked: Asked, only: str | None, as_json: bool, yes: bool) -> NoReturn:
    """Backfill what is selected, say how it ended, and end with 1 if a day did not store or failed a check.

    Args:
        asked: which datasets and days.
        only: which of them, by a name in `WANTED`; None for those that are not done.
        as_json: whether stdout takes the document.
        yes: whether to begin without a question, however long it may take.
    """
    keep_interrupts(signal.SIGTERM, signal.SIGHUP)  # a service manager's stop, a closed terminal: each is a Ctrl-C
    enter_project()
    selection = Selection.of(asked)
    selected = selection.days()
    selected = {dataset: selected[dataset] for dataset in upstream_first(selected)}
    results: list[BackfillResult] = []
    with open_instance() as instance:
        lake = open_lake()
        if not agreed(expect(instance, lake, selected, _wanted(only)), yes=yes):
            raise click.Abort
        for dataset, days in selected.items():
            results.append(_backfill(instance, dataset, days, lake, only, alone=len(selected) == 1))
            if results[-1].interrupted:
                break
        if len(selected) > 1:
            _sum_up(selected, results, _all_again(instance, selection, selected, results, lake, only))
    if as_json:
        documents = [result.document() for result in results]
        write_document(documents[0] if selection.is_one_dataset else documents)
    sys.exit(selection.exit_code(holds=all(result.is_whole for result in results)))


def _wanted(only: str | None) -> frozenset[DayState]:
    return WANTED[only] if only else NOT_DONE


def upstream_first(selected: Iterable[MarketDataset]) -> list[MarketDataset]:
    """The datasets in their order, but none before those of the others that it is made from, however far."""
    wanted = {dataset.name: dataset for dataset in selected}
    order: dict[str, None] = {}

    def put(name: str) -> None:
        known = datasets().get(name)  # None if no block of this project defines it
        for upstream in known.upstream if known else ():
            put(upstream)
        order.setdefault(name)

    for name in wanted:
        put(name)
    return [wanted[name] for name in order if name in wanted]


def _backfill(
    instance: dg.DagsterInstance, dataset: MarketDataset, keys: list[str], lake: Lake, only: str | None, *, alone: bool
) -> BackfillResult:
    """One dataset's part. Its states are read when its turn comes: those before it may have stored days of it.

    Raises:
        LakeUnusable: the dataset's folder may not be looked into, and it is `alone`, or the lake as a whole is gone.
    """
    try:
        return _fill_one(instance, dataset, keys, lake, only, alone=alone)
    except LakeUnusable as error:
        refuse_absent_lake(instance, lake)
        if alone:
            raise
        say(f"{dataset.name}: {error}", err=True)
        return BackfillResult(dataset, error=str(error))
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):  # while nothing was at work
        return BackfillResult(dataset, interrupted=True)


def _fill_one(
    instance: dg.DagsterInstance, dataset: MarketDataset, keys: list[str], lake: Lake, only: str | None, *, alone: bool
) -> BackfillResult:
    wanted = _wanted(only)
    states = states_on_disk(instance, dataset, keys, lake)
    days = [day for day, state in states.items() if state in wanted]
    elsewhere = [day for day, state in states.items() if state is DayState.IN_PROGRESS]
    with open_display(dataset.name, len(days) + len(elsewhere), dataset.day, dataset.label) as display:
        if elsewhere:
            display.say(f"left to the run that is at work on them: {count_of(len(elsewhere), dataset.day)}")
        result = run_backfill(instance, dataset, days, display, lake, wanted)
        result.not_stored |= dict.fromkeys(elsewhere, LEFT_TO_ANOTHER_RUN)
        again = again_with(instance, result, lake, only)
        if days or elsewhere or alone:  # of several, those with nothing to do are counted in the end
            display.summary(result.stored, result.not_stored, result.interrupted, again)
    return result


def _sum_up(selected: Iterable[MarketDataset], results: Sequence[BackfillResult], again: Sequence[str]) -> None:
    """Say of several datasets how each ended, and the one command, if any, that asks again for what did not store."""
    console = Screen(stderr=True)
    busy = [result for result in results if result.stored or not result.is_whole]
    rows = [(result.dataset.name, f"{len(result.stored):,}", _left(result), _checks(result)) for result in busy]
    rows += [(dataset.name, "-", "[yellow]not begun[/yellow]", "-") for dataset in list(selected)[len(results) :]]
    stored, left = (sum(map(len, days)) for days in ([r.stored for r in results], [r.not_stored for r in results]))
    if not rows:
        console.print("nothing to do, no day asked for is missing or failed", style="bold")
        return
    console.print()
    console.print(FittingTable(SUMMARY, rows))
    text = f"{count_of(stored, 'day')} stored, {left:,} not stored"
    if failed := sum(len(result.breaches.days("error")) for result in results):
        text += f", {failed:,} failed a check"
    console.print(text + (", then stopped" if results[-1].interrupted else ""), style="bold")
    if again:
        console.print(f"try all of them again with: {shlex.join(['data-assets', *again])}", markup=False)


def _left(result: BackfillResult) -> str:
    if result.error:
        return "[red]cannot be read, see above[/red]"
    counts = Counter(outcome.name for outcome in result.not_stored.values())
    return "[red]" + ", ".join(f"{count:,} {name}" for name, count in counts.items()) + "[/red]" if counts else "-"


def _checks(result: BackfillResult) -> str:
    failed, warned = (result.breaches.counts(severity) for severity in SEVERITIES)
    parts = [f"[red]{count:,} failed {name}[/red]" for name, count in failed.items()]
    parts += [f"[yellow]{count:,} with a warning: {name}[/yellow]" for name, count in warned.items()]
    return ", ".join(parts) or "-"


def _all_again(
    instance: dg.DagsterInstance,
    selection: Selection,
    selected: Mapping[MarketDataset, list[str]],
    results: Sequence[BackfillResult],
    lake: Lake,
    only: str | None,
) -> list[str]:
    """The one command for the days of several datasets that did not store, where it asks for no day besides.

    There is none after an interrupt, where the command that was given goes on; and none where stored days would be
    downloaded again.
    """
    open_ones = [result for result in results if result.not_stored]
    if len(open_ones) < 2 or results[-1].interrupted:
        return []
    narrowed = {tuple(again_with(instance, result, lake, only)[6:]) for result in open_ones}  # what follows the bounds
    if len(narrowed) > 1 or ("--only", "all") in narrowed:
        return []
    days = sorted(day for result in open_ones for day in result.not_stored)
    # A month is known by its first day, and days before those that were selected are not meant by it.
    first_days = [keys[0] for dataset, keys in selected.items() if keys and not dataset.monthly]
    first = max(days[0], min(first_days, default=""))
    return ["backfill", *(selection.keys or ["--all"]), "--from", first, "--to", days[-1], *narrowed.pop()]


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
        only = None if left <= NOT_DONE else "all"
    return dataset.backfill_command(days, only)


def run_backfill(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    days: list[str],
    display: Display,
    lake: Lake,
    wanted: frozenset[DayState] = NOT_DONE,
    tags: Mapping[str, str] | None = None,
) -> BackfillResult:
    """Run the asset over `days`, in runs of contiguous days, newest first, until done, stopped or pointless.

    Args:
        instance: where the runs are recorded.
        dataset: the dataset of the days.
        days: their keys.
        display: shows the runs.
        lake: where the days are stored.
        wanted: the states of the days to run; others are left as they are.
        tags: further tags of the runs, such as one that asks for another mode.

    Raises:
        LakeUnusable: the dataset's folder may not be looked into, or is a link to what is not there.
    """
    if lake.is_there():  # a new one is made as its first day is stored
        lake.check_dataset(dataset.name)
    result = BackfillResult(dataset)
    try:
        _run_ranges(instance, dataset, days, wanted, display, lake, result, tags or {})
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
    tags: Mapping[str, str],
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
        report = _run_watched(instance, dataset, first, last, display, result, tags)
        if result.interrupted:
            return
        asked = [day for day in remaining if first <= day <= last]
        lost = [day for day in asked if day not in result.stored and day not in result.not_stored]
        if lost:
            refuse_absent_lake(instance, lake)  # unplugged under the run
            display.say(f"{dataset.name}: {BROKE_OFF.reason}")
        result.not_stored |= dict.fromkeys(lost, BROKE_OFF)
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
    tags: Mapping[str, str],
) -> IngestReport | None:
    display.run_begins()
    watching = run_watcher.set(display)
    try:
        ended = run_range(instance, dataset.asset_key, first, last, tags=tags)
        stopped = display.report is not None and display.report.stopped
        result.interrupted = stopped or _was_canceled(instance, ended.run_id)
    finally:
        run_watcher.reset(watching)
        result.breaches = display.breaches
        _take(result, display.outcomes if display.report is None else display.report.outcomes)
    return display.report


def _take(result: BackfillResult, outcomes: Mapping[date, Outcome]) -> None:
    for day, outcome in outcomes.items():
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
