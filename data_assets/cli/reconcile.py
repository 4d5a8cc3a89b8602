"""`data-assets reconcile`: bring the run history and the lake into step again, by what lies in the lake.

Here: recording them, and saying what was found. Not here: which days are out of step and how one is recorded from its
file (`reconcile_run`).
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import dagster as dg

from data_assets.cli.arguments import Asked
from data_assets.cli.backfill import WANTED, BackfillResult, run_backfill, upstream_first
from data_assets.cli.display import checks_text, open_display
from data_assets.cli.documents import ReconciledDataset, write_document
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection
from data_assets.cli.verify import elsewhere_text, record_verdicts
from data_assets.counts import count_of
from data_assets.ingest.stop_request import keep_interrupts
from data_assets.lake.errors import LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import names_text
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.reconcile_run import RECONCILE, out_of_step
from data_assets.wiring import open_lake

NOTHING = ReconciledDataset([], {}, {}, {}, [], [], interrupted=False, error=None)


def reconcile(asked: Asked, as_json: bool) -> None:
    """Record what lies unrecorded of what is asked for, and end with 1 if a day turned red or failed a check."""
    selection = Selection.of(asked)
    keep_interrupts(signal.SIGTERM, signal.SIGHUP)
    enter_project()
    selected = selection.days()
    lake = open_lake()
    console = Screen(stderr=True)
    found: dict[str, ReconciledDataset] = {}
    with open_instance() as instance:
        selected = selection.that_failed(instance, lake, selected)
        for dataset in upstream_first(selected):
            try:
                found[dataset.name] = _reconcile(instance, dataset, selected[dataset], lake, console)
            except LakeUnusable as error:
                refuse_absent_lake(instance, lake)
                console.print(f"{dataset.name}: {error}", markup=False)
                found[dataset.name] = replace(NOTHING, error=str(error))
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):  # while nothing was at work
                found[dataset.name] = replace(NOTHING, interrupted=True)
            if found[dataset.name].interrupted:
                break
    if as_json:
        write_document(found)
    recorded = sum(len(each.recorded) for each in found.values())
    red = sum(len(each.not_recorded) + len(each.without_file) for each in found.values())
    console.print(f"{count_of(recorded, 'day')} recorded from their files, {red:,} red", style="bold")
    whole = not red and not any(
        each.failed_checks or each.elsewhere or each.interrupted or each.error for each in found.values()
    )
    sys.exit(selection.exit_code(holds=whole))


def _reconcile(
    instance: dg.DagsterInstance, dataset: MarketDataset, days: list[str], lake: Lake, console: Screen
) -> ReconciledDataset:
    step = out_of_step(instance, dataset, days, lake)
    to_record = sorted([*step.unrecorded, *step.newer])
    with open_display(dataset.name, len(to_record), dataset.day, dataset.label) as display:
        result = BackfillResult(dataset)
        if to_record:
            result = run_backfill(instance, dataset, to_record, display, lake, WANTED["all"], {RECONCILE: "true"})
        if not result.interrupted:
            record_verdicts(instance, dataset, step.without_file, display)
    parts = [
        f"{count_of(len(days), dataset.day)} {what}: {names_text([dataset.label(day) for day in days])}"
        for days, what in (
            (sorted(result.stored), "recorded from their files"),
            (sorted(result.not_stored), "not recorded"),
            (step.without_file, "recorded and without a file"),
        )
        if days
    ]
    if step.without_file:  # red by now, unless it was interrupted before that
        again = dataset.backfill_line(step.without_file, "missing" if result.interrupted else "failed")
        parts[-1] += f"; fetch them again: {again}"
    if said := checks_text(result.breaches, dataset.day):
        parts.append(said.removeprefix(", "))
    for text in [*parts, elsewhere_text(dataset, step.elsewhere)]:
        if text:
            console.print(f"{dataset.name}: {text}", markup=False)
    filled = result.document()
    return ReconciledDataset(
        recorded=filled.stored,
        not_recorded=filled.not_stored,
        failed_checks=filled.failed_checks,
        warned=filled.warned,
        without_file=[dataset.label(day) for day in step.without_file],
        elsewhere=[dataset.label(day) for day in step.elsewhere],
        interrupted=result.interrupted,
        error=None,
    )
