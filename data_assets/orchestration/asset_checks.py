"""Verdicts as Dagster asset checks: recorded per trading day, and executable alone.

Here: the checks' definitions, and recording and reading the result of a check for one day. Not here: any rule
(`quality`), the names and descriptions of a dataset's checks (the vendors), and where the stored files are.

Dagster 1.13 records a partition for a check's result only in runs of a single partition. In a range run, a day's result
counts for that day only if it is logged as an evaluation with its partition and the materialization it judged, so every
run does that. The steps of these checks do their work only in runs of checks alone: an ingest step has evaluated the
checks of each day itself.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol

import dagster as dg

from data_assets.ingest.outcome import Stored
from data_assets.orchestration.dagster_private import (
    AssetCheckEvaluationTargetMaterializationData as JudgedMaterialization,
)
from data_assets.orchestration.dagster_private import PartitionKeyFilter
from data_assets.orchestration.kept_connections import written_together
from data_assets.orchestration.partitions import asked_keys
from data_assets.quality.verdict import Verdict

NOTHING_STORED = "nothing is stored for this day"


class Judged(Protocol):
    """Is told what was found of a day: its record, its verdicts, and the newer file that was read, if it was one."""

    def __call__(
        self, record: dg.EventLogRecord | None, verdicts: Sequence[Verdict], unrecorded: Stored | None = None, /
    ) -> None:
        """Take it down."""


"""Takes a day's record and all verdicts on it, also of checks that were not selected; without a record, no verdicts."""

PASSED = "SUCCEEDED"
"""The state of a check that passed, as the event log spells it."""

WAITS_FOR = "waits_for_days"
"""Metadata of an evaluation that could not tell yet: how many neighbours it waits for."""


def latest_materialization(instance: dg.DagsterInstance, asset_key: dg.AssetKey, day: str) -> dg.EventLogRecord | None:
    """Return the newest materialization of one day, or None."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[day]), limit=1
    ).records
    return records[0] if records else None


def latest_materializations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, days: Iterable[str]
) -> dict[str, dg.EventLogRecord]:
    """Return the newest materialization of each of some days that has one, in two queries however many they are."""
    asked = list(days)
    if not asked:
        return {}
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(asked)
    )
    if not newest:
        return {}
    of_days = dg.AssetRecordsFilter(asset_key=asset_key, storage_ids=list(newest.values()))
    records = {
        record.storage_id: record for record in instance.fetch_materializations(of_days, limit=len(newest)).records
    }
    return {day: records[newest[day]] for day in asked if day in newest}


def _severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if verdict.severity == "error" else dg.AssetCheckSeverity.WARN


def _shown(verdict: Verdict) -> dict[str, int | float | str]:
    """Return a verdict's metadata without lists, which the UI would hide behind a link, even empty ones."""
    waits: dict[str, int | float | str] = {WAITS_FOR: verdict.waits_for} if verdict.waits_for else {}
    return waits | {
        name: "; ".join(value) if isinstance(value, list) else value
        for name, value in verdict.metadata.items()
        if value != []
    }


def evaluation(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, check: str, day: str
) -> dg.AssetCheckEvaluation | None:
    """Return the newest evaluation of a check of one day; None if there is none, or it is still to come."""
    key, of_day = dg.AssetCheckKey(asset_key, check), PartitionKeyFilter(key=day)
    for record in instance.event_log_storage.get_asset_check_execution_history(key, 1, partition_filter=of_day):
        event = record.event.dagster_event if record.event else None
        if event is not None and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return event.asset_check_evaluation_data
    return None


def waits_for(instance: dg.DagsterInstance, asset_key: dg.AssetKey, check: str, day: str) -> int:
    """Return how many neighbours the newest evaluation of a check waits for; 0 if it could tell, or there is none."""
    newest = evaluation(instance, asset_key, check, day)
    waits = newest.metadata.get(WAITS_FOR) if newest else None
    return 0 if waits is None else int(str(waits.value))


def day_evaluation(
    asset_key: dg.AssetKey, day: str, verdict: Verdict, record: dg.EventLogRecord | None, *, whole_asset: bool = False
) -> dg.AssetCheckEvaluation:
    """Make the event that records one verdict on one day; it has to be logged from inside a step.

    Args:
        asset_key: the asset.
        day: the day that was judged.
        verdict: the judgement.
        record: the day's materialization, which the verdict is on.
        whole_asset: record it for the asset rather than for the day, which is what a run without days is planned for.
    """
    return dg.AssetCheckEvaluation(
        asset_key=asset_key,
        check_name=verdict.name,
        passed=verdict.passed,
        severity=_severity(verdict),
        description=verdict.summary,
        metadata=_shown(verdict),
        partition=None if whole_asset else day,
        target_materialization_data=record
        and JudgedMaterialization(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp),
    )


def day_checks(
    asset_key: dg.AssetKey,
    checks: Mapping[str, str],
    evaluate: Callable[[dg.DagsterInstance, str], Iterable[Verdict]],
    partitions_def: dg.PartitionsDefinition,
    judging: Callable[[dg.AssetCheckExecutionContext], AbstractContextManager[Judged]],
) -> dg.AssetChecksDefinition:
    """Define the checks of one asset: evaluated together because they read the same file, selectable one by one.

    Args:
        asset_key: the asset they judge.
        checks: check name -> what it verifies.
        evaluate: returns the verdicts on one stored day.
        partitions_def: the asset's own.
        judging: entered around the days of a run; the callable that it yields is given each day's record and verdicts.
    """

    @dg.multi_asset_check(
        name=f"{asset_key.to_python_identifier()}__checks",  # a key may hold a dot, a name may not
        specs=[
            dg.AssetCheckSpec(name=name, asset=asset_key, description=text, partitions_def=partitions_def)
            for name, text in checks.items()
        ],
        can_subset=True,
    )
    def checks_of_day(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        if context.run.asset_selection and asset_key in context.run.asset_selection:
            return  # the ingest step of this very run has judged each day as it stored it
        selected = [name for name in checks if dg.AssetCheckKey(asset_key, name) in context.selected_asset_check_keys]
        of_days = context.has_partition_key or context.has_partition_key_range
        days = (
            asked_keys(context.run.tags, context.op_execution_context.partition_keys)
            if of_days
            else _newest_day(context.instance, asset_key, partitions_def)
        )
        with judging(context) as judged:
            for day in days:
                record = latest_materialization(context.instance, asset_key, day)
                verdicts = [] if record is None else list(evaluate(context.instance, day))
                judged(record, verdicts)
                with written_together(context.instance):
                    for verdict in _selected(verdicts, selected) if record else _nothing_stored(selected):
                        for whole_asset in (False,) if of_days else (False, True):
                            event = day_evaluation(asset_key, day, verdict, record, whole_asset=whole_asset)
                            context.op_execution_context.log_event(event)  # type: ignore[arg-type]
        if not days:
            why = "the run was asked for closed days alone" if of_days else "no day is stored yet"
            context.log.warning(f"{asset_key.to_user_string()}: {why}, so there is nothing to judge")
        # Every result has been logged. One that is yielded would be recorded for no day, or, in a run without days, not
        # at all: Dagster then fails to tell which materialization it judged.
        yield from ()

    return checks_of_day


def _newest_day(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions_def: dg.PartitionsDefinition
) -> Sequence[str]:
    """What a run without days judges: the newest stored day that the asset has, if there is one."""
    newest_first = sorted(instance.get_materialized_partitions(asset_key), reverse=True)
    return list(islice((day for day in newest_first if partitions_def.has_partition_key(day)), 1))


def _nothing_stored(selected: Sequence[str]) -> list[Verdict]:
    return [Verdict(name, passed=False, severity="warn", summary=NOTHING_STORED, metadata={}) for name in selected]


def _selected(verdicts: Iterable[Verdict], selected: Sequence[str]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.name in selected]
