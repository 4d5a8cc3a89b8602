"""Days that a person has accepted as permanent holes: the vendor has no data for them and never will.

Here: how a hole is recorded and recognised. Not here: deciding that a day is one, which a person does, with a reason.

A hole is a materialization without a file, with zero rows and the reason. The day counts as done, so no backfill
requests it again. A later success replaces it, as it replaces any materialization. Taken back, the day is what it was
before: missing if it was never asked for, failed if it had failed.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from data_assets.orchestration.asset_checks import latest_materializations
from data_assets.orchestration.dataset import MarketDataset

HOLE, TAKEN_BACK = "hole", "hole_taken_back"

TAKEN_BACK_REASON = "it is no longer accepted as a hole; backfill it"


def accept_hole(instance: dg.DagsterInstance, dataset: MarketDataset, day: str, reason: str) -> None:
    """Record that a day is a hole, outside of any run."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=dataset.asset_key,
            partition=day,
            description=f"accepted as a permanent hole: {reason}",
            metadata={HOLE: True, "reason": reason, "rows": 0},
        )
    )


def take_back(instance: dg.DagsterInstance, dataset: MarketDataset, days: Iterable[str]) -> None:
    """Record that some days are holes no longer, outside of any run.

    A materialization cannot be withdrawn, so the grid shows such a day as done until a run fails for it: a run that
    verifies does, since there is no file. Red is as near to missing as the grid comes: its dialog asks for such days.
    """
    for day in days:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=dataset.asset_key,
                partition=day,
                description="no longer accepted as a hole; there is no file",
                metadata={TAKEN_BACK: True, "rows": 0},
            )
        )


def is_taken_back(record: dg.EventLogRecord) -> bool:
    """Whether a record says that its day is a hole no longer."""
    materialization = record.asset_materialization
    return materialization is not None and TAKEN_BACK in materialization.metadata


def hole_reason(record: dg.EventLogRecord) -> str | None:
    """Return why a day was accepted as a hole; None if the record is that of a file."""
    materialization = record.asset_materialization
    if materialization is None or HOLE not in materialization.metadata:
        return None
    return str(materialization.metadata["reason"].value)


def hole_reasons(instance: dg.DagsterInstance, dataset: MarketDataset, days: Iterable[str]) -> dict[str, str]:
    """Find those of `days` whose newest record is a hole, each with its reason."""
    records = latest_materializations(instance, dataset.asset_key, days)
    return {day: why for day, record in records.items() if (why := hole_reason(record)) is not None}


def taken_back(instance: dg.DagsterInstance, dataset: MarketDataset, days: Iterable[str]) -> dict[str, bool]:
    """Find those of `days` that are holes no longer and were not tried since, each with whether it had failed before.

    Two queries, and one more if there are any, however many days they are.
    """
    records = latest_materializations(instance, dataset.asset_key, days)
    taken = {day: record.storage_id for day, record in records.items() if is_taken_back(record)}
    if not taken:
        return {}
    newest_tries = instance.event_log_storage.get_latest_storage_id_by_partition(
        dataset.asset_key, dg.DagsterEventType.ASSET_OBSERVATION, set(taken)
    )
    return {day: day in newest_tries for day, at in taken.items() if newest_tries.get(day, 0) < at}
