"""Days that a person has accepted as permanent holes: the vendor has no data for them and never will.

Here: how a hole is recorded and recognised. Not here: deciding that a day is one, which a person does, with a reason.

A hole is a materialization without a file, with zero rows and the reason. The day counts as done, so no backfill
requests it again. A later success replaces it, as it replaces any materialization.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from data_assets.orchestration.asset_checks import latest_materializations
from data_assets.orchestration.dataset import MarketDataset

HOLE, TAKEN_BACK = "hole", "hole_taken_back"


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
    verifies does, since there is no file.
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
