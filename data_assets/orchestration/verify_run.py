"""A run that reads stored days again instead of fetching them, and turns the damaged ones red.

Here: the verify mode of an ingest asset's step, and the summary of what was found, with which a run of checks alone
ends too. Not here: how a file is verified (`lake`), and the command, which looks for damage before it starts such a
run.

The open-source edition of Dagster cannot withdraw a materialization. But a later failed run turns the day red, so
damage is reported by a run of the asset itself with the tag `data_assets/verify`: from the command, or from the UI's
backfill dialog by adding the tag there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import dagster as dg

from data_assets.ingest.outcome import DamagedFile, NotStored, Rejected, Stored
from data_assets.ingest.run_summary import VerifySummary
from data_assets.lake.errors import passed_over
from data_assets.lake.lake import Lake
from data_assets.orchestration.asset_checks import Judged, day_evaluation, latest_materialization
from data_assets.orchestration.dataset import NOT_COMPARED, MarketDataset
from data_assets.orchestration.day_run import days_of_run, failure, not_stored_event, record_whole
from data_assets.orchestration.holes import HOLE, TAKEN_BACK_REASON, is_taken_back
from data_assets.orchestration.integrity import DAMAGE, NOT_RECORDED, damage_without_record, read_back
from data_assets.orchestration.lake_presence import red_before
from data_assets.orchestration.own_run import report_summary
from data_assets.quality.verdict import Verdict
from data_assets.wiring import open_lake

VERIFY = "data_assets/verify"
"""The run tag that asks for the verify mode; it may have any value."""


class DaysRead:
    """Counts what is found of days that are read again, from now on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._whole = self._holes = self._rows = self._size = self._not_compared = 0
        self._not_whole: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._warned: Counter[str] = Counter()

    def judged(
        self, record: dg.EventLogRecord | None, verdicts: Sequence[Verdict], unrecorded: Stored | None = None
    ) -> None:
        """Count a day by its record, or by the newer file that was read instead of the recorded one (`ReadBack`).

        Its verdicts are `integrity`, and the failed ones of the other checks.
        """
        verdict = next((each for each in verdicts if each.name == "integrity"), None)
        if verdict is None:
            self._not_whole[NOT_RECORDED] += 1
            return
        if not verdict.passed:
            self._not_whole[str(verdict.metadata[DAMAGE])] += 1
            return
        if NOT_COMPARED in verdict.metadata:
            self._not_compared += 1
            return
        if HOLE in verdict.metadata:
            self._holes += 1
            return
        self._whole += 1
        for each in verdicts:
            if not each.passed:
                (self._failed if each.severity == "error" else self._warned)[each.name] += 1
        if unrecorded is not None:
            self._rows += unrecorded.rows
            self._size += unrecorded.size
            return
        metadata = record.asset_materialization.metadata if record and record.asset_materialization else {}
        self._rows += int(str(metadata["rows"].value)) if "rows" in metadata else 0
        self._size += int(str(metadata["size"].value)) if "size" in metadata else 0

    def summary(self) -> VerifySummary:
        """What was found so far."""
        seconds = time.monotonic() - self._began
        sums = self._rows, self._size, seconds, self._failed, self._not_compared, self._warned, self._holes
        return VerifySummary(self._whole, self._not_whole, *sums)


@contextmanager
def summed_up(instance: dg.DagsterInstance, run: dg.DagsterRun, dataset: MarketDataset) -> Iterator[Judged]:
    """Count what is found on a run's days while the context lasts, and end the run's log with a summary."""
    days = DaysRead()
    yield days.judged
    summary = days.summary()
    report_summary(instance, run, dataset.name, summary.line(dataset.day), summary.metadata())


def verify_days(context: dg.AssetExecutionContext, dataset: MarketDataset) -> None:
    """Read the files of this run's days again. Good days are recorded again; damaged and missing ones turn red.

    Raises:
        LakeUnusable: the lake as a whole is not there, which says nothing about any day.
        DaysNotStored: some day has no whole file; its text says which and why.
    """
    lake = open_lake()
    bad: dict[date, NotStored] = {}
    keys = days_of_run(context, dataset)
    with summed_up(context.instance, context.run, dataset) as judged:
        for key in sorted(keys, reverse=True):
            day = date.fromisoformat(key)
            record = latest_materialization(context.instance, dataset.asset_key, key)
            if record and is_taken_back(record):
                # Nothing was ever stored, and no try is recorded: the day is to be what it was before it was a hole.
                bad[day] = Rejected(TAKEN_BACK_REASON)
                continue
            found = read_back(lake, dataset, day, record) if record else None
            verdict = found.verdict if found else damage_without_record(lake, dataset, day)
            judged(record, [verdict] if verdict else [], found.unrecorded if found else None)
            stays_red = found is not None and not found.is_compared and _is_red(context, dataset, day)
            if record and found and found.verdict.passed and not stays_red:
                # The grid judges a day by the last run that was planned for it, so a good day is said to be good again.
                record_whole(context, dataset, lake, day, record, found)
            else:
                if verdict:
                    context.log_event(day_evaluation(dataset.asset_key, key, verdict, record))
                if stays_red and verdict:
                    bad[day] = Rejected(f"{verdict.summary}; so the day stays as it was")
                elif verdict:
                    bad[day] = DamagedFile(verdict.summary)
                else:
                    bad[day] = Rejected(_never_recorded(lake, dataset, day))
                context.log_event(not_stored_event(dataset, key, bad[day]))
    if bad:
        raise failure(dataset, bad, len(keys))


def _is_red(context: dg.AssetExecutionContext, dataset: MarketDataset, day: date) -> bool:
    return bool(red_before(context.instance, dataset, [day], context.run.run_id))


def _never_recorded(lake: Lake, dataset: MarketDataset, day: date) -> str:
    if day in (dataset.files.held(lake, day, day, passed_over) or ()):
        return f"its file is whole and nothing was recorded of it: data-assets reconcile {dataset.name}"
    return "nothing was ever stored for this day; backfill it"
