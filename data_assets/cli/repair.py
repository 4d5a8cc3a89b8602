"""`data-assets repair`: find damage, and fetch exactly what is damaged.

Here: one after the other. Not here: its two halves (`verify`, `backfill`).
"""

from __future__ import annotations

import signal
import sys

import dagster as dg

from data_assets.cli.arguments import Asked
from data_assets.cli.backfill import WANTED, again_with, run_backfill, upstream_first
from data_assets.cli.display import open_display
from data_assets.cli.documents import FilledDataset, RepairedDataset, write_document
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection
from data_assets.cli.verify import Verified, verify_and_record
from data_assets.ingest.stop_request import keep_interrupts
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.wiring import open_lake


def repair(asked: Asked, as_json: bool) -> None:
    """Verify what is asked for, fetch what is damaged, and end with 1 if something is bad still."""
    selection = Selection.of(asked)
    keep_interrupts(signal.SIGTERM, signal.SIGHUP)
    enter_project()
    selected = selection.days()
    lake, console = open_lake(), Screen(stderr=as_json)
    found: dict[str, RepairedDataset] = {}
    whole = True
    with open_instance() as instance:
        selected = selection.that_failed(instance, lake, selected)
        for dataset in upstream_first(selected):
            verified = verify_and_record(instance, lake, dataset, selected[dataset], console)
            filled = _fetch(instance, dataset, verified, lake)
            found[dataset.name] = RepairedDataset(**verified.document_fields(dataset), filled=filled)
            mended = filled is None or not (filled.not_stored or filled.failed_checks)
            whole &= mended and not (verified.unrecorded or verified.elsewhere or verified.error)
            if filled is not None and filled.interrupted:
                break
    if as_json:
        write_document(found)
    sys.exit(selection.exit_code(holds=whole))


def _fetch(
    instance: dg.DagsterInstance, dataset: MarketDataset, verified: Verified, lake: Lake
) -> FilledDataset | None:
    if not verified.bad:
        return None
    days = sorted(verified.bad)
    with open_display(dataset.name, len(days), dataset.day, dataset.label) as display:
        result = run_backfill(instance, dataset, days, display, lake, WANTED["failed"] | WANTED["missing"])
        display.summary(result.stored, result.not_stored, result.interrupted, again_with(instance, result, lake, None))
    return result.document()
