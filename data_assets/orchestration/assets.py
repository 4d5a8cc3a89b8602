"""The asset and the checks made of a dataset: the policy that every dataset shares.

Here: partitions, runs of many days, one pool per vendor. Not here: what happens inside a run (`day_run`, `verify_run`),
and asking for days by itself (`day_requests`).
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from datetime import date

import dagster as dg

from data_assets.ingest.stop_request import stop_request
from data_assets.lake.errors import LakeUnusable
from data_assets.orchestration.alerts import days_failed_checks, days_not_stored, run_broke_off, send_alert
from data_assets.orchestration.asset_checks import Judged, day_checks
from data_assets.orchestration.coordination import vendor_account
from data_assets.orchestration.dagster_private import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from data_assets.orchestration.dataset import MarketDataset, datasets_of_this_process, is_served
from data_assets.orchestration.day_run import DaysNotStored, end_run_without_lake, end_stopped_run, ingest_days
from data_assets.orchestration.integrity import day_verdicts
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.profile_mark import mark_history
from data_assets.orchestration.run_liveness import end_as_canceled
from data_assets.orchestration.standing_checks import standing_checks
from data_assets.orchestration.verify_run import VERIFY, summed_up, verify_days
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.wiring import open_lake

SYNTHETIC = "\n\nSynthetic data from simulated vendors (sandbox profile); never mix it with real data."
"""At the end: the catalog's list shows the start of a description, and says `synthetic` beside it."""

RECORDED_ALREADY = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
"""Marks an output whose events have been logged: each day was recorded by its own as it was stored.

Dagster would record every day of the run again. Without any output it would skip the steps of assets made from this one
in the same run. The mark is what Dagster puts on the output of observed sources, which log their events themselves.
"""


with_assets: ContextVar[bool] = ContextVar("with_assets", default=True)
"""Whether all datasets are defined with their assets and checks, which take longer to make than all else of them."""


def rebuild_when_days_change() -> dg.AutomationCondition:
    """Ask for the months whose days were stored or replaced since, once those days are no longer being worked on.

    "Since" is since the month was last asked for and since it was last built, each compared by the time of the events:
    runs of one vendor wait for each other, so a day that is recorded after its month is not in it, and one that is
    recorded before is. `any_deps_updated().since_last_handled()` looks the same and forgets days: of two events between
    the same two ticks it takes the month's for the later one, as the times are lost where it joins its conditions.

    Of more than a hundred months built between two ticks Dagster looks up no times, and forgets a day that came
    meanwhile after all: after a backfill of the whole history without a daemon, build the newest month once more.
    """
    updated = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated())
    return (
        updated.since(dg.AutomationCondition.newly_requested())
        & updated.since(dg.AutomationCondition.newly_updated())
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("rebuild_when_days_change")


def rebuilding_sensor(
    name: str, keys: Iterable[dg.AssetKey], description: str
) -> dg.AutomationConditionSensorDefinition:
    """The sensor of assets that are made from the lake's own days; it runs by default, as it asks no vendor.

    Args:
        name: its name; a dash becomes an underscore.
        keys: the assets.
        description: for the UI.
    """
    return dg.AutomationConditionSensorDefinition(
        name.replace("-", "_"),
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )


def dataset_definitions(*datasets: MarketDataset, sensors: Iterable[dg.SensorDefinition] = ()) -> dg.Definitions:
    """The assets of one vendor's datasets and their checks, and the sensors of those assets.

    Where this process does not serve the vendor they are known, as what others are made from, and not defined. Without
    assets (`with_assets`) those alone have one that are made from others, whose names somebody wrote and Dagster may
    refuse; of all others their keys will do.
    """
    datasets_of_this_process.update({dataset.name: dataset for dataset in datasets})
    served = [dataset for dataset in datasets if is_served(dataset.vendor)]
    each = _definitions if with_assets.get() else _definitions_alone
    return dg.Definitions.merge(*map(each, served), dg.Definitions(sensors=list(sensors) if served else []))


def _definitions_alone(dataset: MarketDataset) -> dg.Definitions:
    return dg.Definitions(assets=[_asset(dataset) if dataset.upstream else dg.AssetSpec(dataset.asset_key)])


def _definitions(dataset: MarketDataset) -> dg.Definitions:
    def verdicts(instance: dg.DagsterInstance, day: str) -> list[Verdict]:
        return day_verdicts(instance, dataset, open_lake(), day)

    def judging(context: dg.AssetCheckExecutionContext) -> AbstractContextManager[Judged]:
        return summed_up(context.instance, context.run, dataset)

    return dg.Definitions(
        assets=[_asset(dataset)],
        asset_checks=[
            day_checks(dataset.asset_key, dataset.checks, verdicts, dataset.partitions, judging),
            *([standing_checks(dataset, dataset.publication)] if dataset.publication else []),
        ],
    )


def _dependency(dataset: MarketDataset, upstream: dg.AssetKey) -> dg.AssetDep:
    """The edge to what a dataset is made from.

    A month may begin before the first of the days, and the month under way lacks days that are still to come; of two
    datasets that are compared, one may begin later. Without the mapping a backfill of either ends before it begins, for
    want of partitions that do not exist.
    """
    if not dataset.monthly and len(dataset.upstream) == 1:
        return dg.AssetDep(upstream)
    mapping = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    return dg.AssetDep(upstream, partition_mapping=mapping)


def _asset(dataset: MarketDataset) -> dg.AssetsDefinition:
    synthetic = settings().profile == "sandbox"

    @dg.asset(  # type: ignore[call-overload]
        key=dataset.asset_key,
        description=dataset.description + (SYNTHETIC if synthetic else ""),
        group_name=dataset.vendor,
        owners=[dataset.owner] if dataset.owner else None,
        # No more than these: the catalog gives them the room of the names, and shows "…" instead.
        kinds={dataset.vendor, *dataset.kinds, *(["synthetic"] if synthetic else [])},
        code_version=dataset.code_version,
        tags={"data_assets/profile": settings().profile},
        pool=dataset.vendor,
        partitions_def=dataset.partitions,
        deps=[_dependency(dataset, dg.AssetKey(name.split("/"))) for name in dataset.upstream],
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=dataset.days_per_run),
        automation_condition=dataset.automation,
        dagster_type=dg.Nothing,  # no value between assets: files are in the lake
        metadata={
            **dataset.metadata,
            **({"reference": dg.MetadataValue.url(dataset.reference)} if dataset.reference else {}),
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(name=name, type=kind, description=meaning)
                    for name, (kind, meaning) in dataset.columns.items()
                ]
            ),
        },
    )
    def market_data(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        mark_history(context.instance)
        days = [date.fromisoformat(key) for key in context.partition_keys]
        try:
            with ExitStack() as held:
                try:
                    held.enter_context(_account(context, dataset))
                except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                    end_stopped_run(context, dataset, days)
                try:
                    refuse_absent_lake(context.instance, open_lake(), dataset)
                    (verify_days if VERIFY in context.run.tags else ingest_days)(context, dataset)
                except LakeUnusable as error:
                    end_run_without_lake(context, dataset, days, error)
        except dg.DagsterExecutionInterruptedError:
            end_as_canceled(context.instance, context.run.run_id)
            raise
        except DaysNotStored as failed:
            message = days_not_stored(dataset, failed.not_stored, failed.asked)
            if failed.failed_checks:
                message += "\n" + days_failed_checks(dataset, failed.failed_checks, failed.asked)
            send_alert(message, context.log.warning)
            raise
        except Exception as error:
            send_alert(run_broke_off(dataset.name, context.run.run_id, error), context.log.warning)
            raise
        yield dg.Output(None, metadata=RECORDED_ALREADY)

    return market_data


def _account(context: dg.AssetExecutionContext, dataset: MarketDataset) -> AbstractContextManager[None]:
    request = stop_request.get()
    return vendor_account(
        context.instance,
        dataset.vendor,
        context.log.info,
        stop=lambda: request is not None and request.made,
        shared=dataset.account_takes_many,
    )
