"""A run that re-reads stored days instead of fetching them, and turns the damaged ones red.

Here: the verify mode of an ingest asset's step, and the day's verdict on its file. Not here: how a file is verified
(`lake`), and the command that looks for damage first.

The open-source edition of Dagster cannot take a materialization back. A later failed run of the same day can, so rot is
reported by a run of the asset itself that carries the tag `data_assets/verify`: from the command, or from the UI's
backfill dialog by adding the tag there.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from data_assets.ingest.dagster_dataset import MarketDataset
from data_assets.ingest.dagster_days import days_of_run, failure, not_stored_event
from data_assets.ingest.dagster_integrity import integrity
from data_assets.ingest.outcome import NotStored, Rejected
from data_assets.quality.asset_checks import day_evaluation, latest_materialization
from data_assets.wiring import open_lake

VERIFY = "data_assets/verify"
"""The run tag that asks for it; any value."""


def verify_days(context: dg.AssetExecutionContext, dataset: MarketDataset) -> None:
    """Re-read the files of this run's days. Good days are recorded as they were, damaged and missing ones turn red.

    Raises:
        LakeUnusable: the lake as a whole is not there, which says nothing of any day.
        dagster.Failure: some day has no whole file; its text says which and why.
    """
    lake = open_lake()
    bad: dict[date, NotStored] = {}
    keys = days_of_run(context, dataset)
    for key in sorted(keys, reverse=True):
        day = date.fromisoformat(key)
        record = latest_materialization(context.instance, dataset.asset_key, key)
        verdict = integrity(lake, dataset, day, record) if record else None
        if record and record.asset_materialization and verdict and verdict.passed:
            # The grid judges a day by the last run that was planned for it, so a good day is said to be good again.
            context.log_event(record.asset_materialization)
        else:
            if verdict:
                context.log_event(day_evaluation(dataset.asset_key, key, verdict, record))
            never = "nothing was ever stored for this day; backfill it"
            bad[day] = Rejected(verdict.summary if verdict else never)
            context.log_event(not_stored_event(dataset, key, bad[day]))
    if bad:
        raise failure(dataset, bad, len(keys))
