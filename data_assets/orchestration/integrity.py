"""A stored day read back: whether its file is still the recorded one, and all verdicts on it.

Here: what is judged when a day has been stored, and whenever its checks run again. Not here: the rules (`quality`), how
a file is verified (`lake`), and how a verdict is recorded (`asset_checks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import dagster as dg

from data_assets.lake.errors import LakeError, LakeUnusable, one_line
from data_assets.lake.lake import Corrupt, Lake
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.holes import hole_reason
from data_assets.quality.verdict import Verdict

NOT_READABLE, NOT_RECORDED = "not readable", "without a record"
DAMAGE = "damage"
"""Metadata of an integrity verdict that did not pass: what is wrong, in the words of `lake.errors` or one of these."""


def recorded_file(record: dg.EventLogRecord) -> tuple[str | None, int | None]:
    """Return the sha256 and the row count that a materialization recorded."""
    materialization = record.asset_materialization
    metadata: Mapping[str, dg.MetadataValue] = materialization.metadata if materialization else {}
    sha256, rows = metadata.get("sha256"), metadata.get("rows")
    return (str(sha256.value) if sha256 else None, int(str(rows.value)) if rows else None)


def integrity(lake: Lake, dataset: MarketDataset, day: date, record: dg.EventLogRecord) -> Verdict:
    """Check that the file on disk is the recorded one; a file that cannot be read does not pass.

    Raises:
        LakeUnusable: the lake as a whole is not there or does not answer, which says nothing about the day.
    """
    if (why := hole_reason(record)) is not None:
        text = f"a hole, accepted by hand: {why}"
        return Verdict("integrity", passed=True, severity="warn", summary=text, metadata={"hole": why})
    sha256, rows = recorded_file(record)
    if sha256 is None:
        text = "no sha256 was recorded with this day; backfill it again"
        return Verdict("integrity", False, "error", text, metadata={DAMAGE: NOT_RECORDED})
    try:
        found = dataset.files.verify(lake, day, sha256=sha256, rows=rows)
    except LakeUnusable:
        raise
    except LakeError as error:
        if not isinstance(error, Corrupt):
            lake.is_there()
        kind = error.kind if isinstance(error, Corrupt) else NOT_READABLE
        return Verdict("integrity", False, "error", str(error), metadata={DAMAGE: kind})
    return Verdict("integrity", passed=True, severity="error", summary=found, metadata={"sha256": sha256})


def damaged_days(
    instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake, days: Iterable[date]
) -> dict[date, Verdict]:
    """Find those of `days` that were stored and are damaged or missing, each with its verdict.

    A canceled run gives its days back the colour of their last good run: green, even if the file is damaged.
    """
    damaged = {}
    for day in days:
        record = latest_materialization(instance, dataset.asset_key, day.isoformat())
        if record is not None and not (verdict := integrity(lake, dataset, day, record)).passed:
            damaged[day] = verdict
    return damaged


def day_verdicts(instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake, day: str) -> list[Verdict]:
    """Return all verdicts on one day, by reading the stored file back; none if nothing is recorded."""
    record = latest_materialization(instance, dataset.asset_key, day)
    return [] if record is None else recorded_verdicts(record, dataset, lake, date.fromisoformat(day))


def recorded_verdicts(record: dg.EventLogRecord, dataset: MarketDataset, lake: Lake, when: date) -> list[Verdict]:
    """Return all verdicts on the day of a materialization; for a damaged file, only that it is damaged."""
    whole = integrity(lake, dataset, when, record)
    others = [name for name in dataset.checks if name != whole.name]
    if not whole.passed:
        damaged = "not judged: the file is damaged"
        return [
            *(Verdict(name, passed=False, severity="error", summary=damaged, metadata={}) for name in others),
            whole,
        ]
    if hole_reason(record) is not None:
        return [*(Verdict(name, True, whole.severity, whole.summary, whole.metadata) for name in others), whole]
    try:
        judged = list(dataset.evaluate(lake, when))
    except Exception as error:  # noqa: BLE001  a defect of a rule must not hide that the day is stored
        text = f"not judged: unexpected {type(error).__name__}: {one_line(error)}"
        judged = [Verdict(name, passed=False, severity="error", summary=text, metadata={}) for name in others]
    return [*judged, whole]
