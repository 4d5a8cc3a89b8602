"""The asset and the checks made of a dataset: the policy that every dataset shares.

Here: trading-day partitions, runs of 50 days, one pool per vendor, catching up by itself. Not here: what happens inside
a run (`dagster_days`, `dagster_verify`).
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg

from data_assets.ingest.account_lock import account_lock
from data_assets.ingest.dagster_dataset import MarketDataset
from data_assets.ingest.dagster_days import day_verdicts, ingest_days
from data_assets.ingest.dagster_history import mark_history
from data_assets.ingest.dagster_runs import end_as_canceled
from data_assets.ingest.dagster_verify import VERIFY, verify_days
from data_assets.partitions import DAYS_PER_RUN, TRADING_DAYS
from data_assets.quality.asset_checks import day_checks
from data_assets.quality.verdict import Verdict
from data_assets.settings import settings
from data_assets.wiring import open_lake

SYNTHETIC = "Synthetic data from simulated vendors (sandbox profile); never mix it with real data.\n\n"
"""Without emphasis: the catalog's list shows the start of a description as it is written."""

CATCH_UP_DAYS = 10
"""How far back the switched-on automation looks for missing days by itself."""


def catch_up_recent_days() -> dg.AutomationCondition:
    """Ask by itself for the missing sessions of the last ten days, once each; off until switched on in the UI.

    Bounded on purpose: a bare "missing" would ask for years at the first tick. A day that failed is left to a person.
    """
    return (
        dg.AutomationCondition.in_latest_time_window(timedelta(days=CATCH_UP_DAYS))
        & dg.AutomationCondition.missing()
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.execution_failed()
    ).with_label("catch_up_recent_days")


def dataset_definitions(dataset: MarketDataset) -> dg.Definitions:
    """The asset of a dataset and its checks."""

    def verdicts(instance: dg.DagsterInstance, day: str) -> list[Verdict]:
        return day_verdicts(instance, dataset, open_lake(), day)

    return dg.Definitions(
        assets=[_asset(dataset)],
        asset_checks=[day_checks(dataset.asset_key, dataset.checks, verdicts, TRADING_DAYS)],
    )


def _asset(dataset: MarketDataset) -> dg.AssetsDefinition:
    synthetic = settings().profile == "sandbox"

    @dg.asset(
        key=dataset.asset_key,
        description=(SYNTHETIC if synthetic else "") + dataset.description,
        group_name=dataset.vendor,
        kinds=dataset.kinds | ({"synthetic"} if synthetic else set()),
        tags={"data_assets/profile": settings().profile},
        pool=dataset.vendor,
        partitions_def=TRADING_DAYS,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_PER_RUN),
        automation_condition=catch_up_recent_days(),
        output_required=False,
        metadata={
            **dataset.metadata,
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
        try:
            with account_lock(Path(context.instance.storage_directory()), dataset.vendor, context.log.info):
                (verify_days if VERIFY in context.run.tags else ingest_days)(context, dataset)
        except dg.DagsterExecutionInterruptedError:
            end_as_canceled(context.instance, context.run_id)
            raise
        # Each day was recorded by its own event as it was stored. A function that returns has an output, which would
        # record every day of the run again, the failed ones too; a generator that yields nothing has none.
        yield from ()

    return market_data
