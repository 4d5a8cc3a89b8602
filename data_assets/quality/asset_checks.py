"""Verdicts as Dagster asset checks: executable alone in the UI, and recorded per trading day.

Here: the checks' definitions, and the one private import that recording a check for one day of a range run needs.
Not here: any rule (`option_quotes` and its like), and where the stored files are.

Dagster 1.13 records a partition for a check's result only in runs of a single partition. In a range run a day's result
counts for that day only if it is logged as an evaluation with its partition and with the materialization it judged.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as JudgedMaterialization,
)

from data_assets.quality.verdict import Verdict

NOTHING_STORED = "nothing is stored for this day"


def latest_materialization(instance: dg.DagsterInstance, asset_key: dg.AssetKey, day: str) -> dg.EventLogRecord | None:
    """The newest materialization of one day, or None."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[day]), limit=1
    ).records
    return records[0] if records else None


def _severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if verdict.severity == "error" else dg.AssetCheckSeverity.WARN


def day_evaluation(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, day: str, verdict: Verdict
) -> dg.AssetCheckEvaluation:
    """The event that records one verdict for one day; to be logged from inside a step."""
    record = latest_materialization(instance, asset_key, day)
    return dg.AssetCheckEvaluation(
        asset_key=asset_key,
        check_name=verdict.name,
        passed=verdict.passed,
        severity=_severity(verdict),
        description=verdict.summary,
        metadata=verdict.metadata,
        partition=day,
        target_materialization_data=record
        and JudgedMaterialization(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp),
    )


def checks_run_with(run: dg.DagsterRun) -> bool:
    """Whether this run of an asset has steps of its own for the asset's checks."""
    return run.asset_check_selection is None or len(run.asset_check_selection) > 0


def _in_one_result(name: str, verdicts: Mapping[str, Verdict]) -> dg.AssetCheckResult:
    failed = {day: verdict for day, verdict in verdicts.items() if not verdict.passed}
    return dg.AssetCheckResult(
        check_name=name,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR
        if any(verdict.severity == "error" for verdict in failed.values())
        else dg.AssetCheckSeverity.WARN,
        description=f"{len(verdicts) - len(failed)} of {len(verdicts)} days pass"
        + "".join(f"; {day}: {verdict.summary}" for day, verdict in list(failed.items())[:3]),
    )


def day_checks(
    asset_key: dg.AssetKey,
    checks: Mapping[str, str],
    evaluate: Callable[[dg.DagsterInstance, str], Iterable[Verdict]],
    partitions_def: dg.PartitionsDefinition,
) -> dg.AssetChecksDefinition:
    """The checks of one asset, evaluated together because they read the same file, selectable one by one.

    Args:
        asset_key: the asset they judge.
        checks: check name -> what it verifies.
        evaluate: the verdicts on one stored day.
        partitions_def: the asset's own.
    """

    @dg.multi_asset_check(
        name="__".join([*asset_key.path, "checks"]),
        specs=[
            dg.AssetCheckSpec(name=name, asset=asset_key, description=text, partitions_def=partitions_def)
            for name, text in checks.items()
        ],
        can_subset=True,
    )
    def checks_of_day(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = [name for name in checks if dg.AssetCheckKey(asset_key, name) in context.selected_asset_check_keys]
        by_check: dict[str, dict[str, Verdict]] = {name: {} for name in selected}
        for day in _days_of(context, asset_key):
            for verdict in _verdicts(context.instance, asset_key, day, selected, evaluate):
                by_check[verdict.name][day] = verdict
                if not context.has_partition_key and not _materializes(context, asset_key):
                    evaluation = day_evaluation(context.instance, asset_key, day, verdict)
                    context.op_execution_context.log_event(evaluation)  # type: ignore[arg-type]  # the op takes it too
        for name, verdicts in by_check.items():
            if context.has_partition_key:
                (verdict,) = verdicts.values()
                yield dg.AssetCheckResult(
                    check_name=name,
                    passed=verdict.passed,
                    severity=_severity(verdict),
                    description=verdict.summary,
                    metadata=verdict.metadata,
                )
            else:
                yield _in_one_result(name, verdicts)

    return checks_of_day


def _days_of(context: dg.AssetCheckExecutionContext, asset_key: dg.AssetKey) -> Sequence[str]:
    """The days of this run that have something to judge; of a run without days, the newest stored day."""
    if context.has_partition_key or context.has_partition_key_range:
        return list(context.op_execution_context.partition_keys)
    return sorted(context.instance.get_materialized_partitions(asset_key))[-1:]


def _materializes(context: dg.AssetCheckExecutionContext, asset_key: dg.AssetKey) -> bool:
    """Whether this very run materializes the asset: its step has logged each day's evaluations already."""
    return asset_key in (context.run.asset_selection or ())


def _verdicts(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    day: str,
    selected: Sequence[str],
    evaluate: Callable[[dg.DagsterInstance, str], Iterable[Verdict]],
) -> Iterator[Verdict]:
    if latest_materialization(instance, asset_key, day) is None:
        for name in selected:
            yield Verdict(name=name, passed=False, severity="warn", summary=NOTHING_STORED, metadata={})
        return
    for verdict in evaluate(instance, day):
        if verdict.name in selected:
            yield verdict
