"""Jobs for a person to launch from the UI: catch up, verify, ask again for what failed.

Here: choosing the days, and asking the daemon for them as the UI's backfill dialog does: a backfill for each dataset,
which shows on the UI's Backfills page. Not here: the work of the runs (`day_run`, `verify_run`), and the same in a
terminal (`data_assets.cli`).
"""

# No deferred annotations here: Dagster reads the type of an op's `config` and `context`.

from collections.abc import Mapping, Sequence
from uuid import uuid4

import dagster as dg
from pydantic import Field

from data_assets.counts import count_of
from data_assets.dataset_names import matching
from data_assets.orchestration.dagster_private import PartitionBackfill, get_current_timestamp
from data_assets.orchestration.dataset import MarketDataset, served_datasets
from data_assets.orchestration.day_states import NOT_DONE, DayState, states_on_disk
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.partitions import partition_keys
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.orchestration.verify_run import VERIFY
from data_assets.span import read_days
from data_assets.wiring import open_lake

WHOLE = frozenset({DayState.STORED, DayState.LACKING})


class Chosen(dg.Config):
    """Which datasets and which of their days a job is about."""

    datasets: list[str] = Field(
        default=[], description="names such as theta/option_quotes/QQQ, vendors, or globs such as */SPX; none: all"
    )
    first_day: str = Field(default="", description="YYYY-MM-DD, or YYYY-MM for a month; empty: the oldest")
    last_day: str = Field(default="", description="YYYY-MM-DD, or YYYY-MM for a month; empty: the newest")


def _chosen(config: Chosen) -> dict[MarketDataset, list[str]]:
    """The days that are chosen of each dataset, oldest first.

    Raises:
        dg.Failure: a name matches nothing, or a day cannot be read; one line.
    """
    names = list(dict.fromkeys(name for pattern in config.datasets for name in _names(pattern)))
    try:
        first = read_days(config.first_day)[0] if config.first_day else None
        last = read_days(config.last_day)[1] if config.last_day else None
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    if first and last and last < first:
        raise dg.Failure(f"last_day {last} lies before first_day {first}; swap them", allow_retries=False)
    datasets = [served_datasets()[name] for name in names or served_datasets()]
    return {dataset: partition_keys(first, last, partitions=dataset.partitions) for dataset in datasets}


def _names(pattern: str) -> list[str]:
    if found := matching(served_datasets(), pattern):
        return found
    raise dg.Failure(
        f"no dataset matches {pattern!r}; what there is: {', '.join(served_datasets())}",
        allow_retries=False,
    )


def _ask(
    context: dg.OpExecutionContext, config: Chosen, wanted: frozenset[DayState], tags: Mapping[str, str] | None = None
) -> None:
    """Ask the daemon for the chosen days that are in one of the wanted states.

    Days that others fetch on their way, such as the vendor's files of Polygon's bars, are asked for only if they are
    named or are to be verified: the bars bring them along.
    """
    lake = open_lake()
    refuse_foreign_history(context.instance)
    refuse_absent_lake(context.instance, lake)
    asked: dict[str, int] = {}
    for dataset, keys in _chosen(config).items():
        if dataset.fetched_downstream and not config.datasets and not tags:
            continue
        states = states_on_disk(context.instance, dataset, keys, lake)
        days = [day for day, state in states.items() if state in wanted]
        if days:
            _add_backfill(context, dataset, days, tags or {})
            asked[dataset.name] = len(days)
            span = " to ".join(dict.fromkeys(map(dataset.label, (days[0], days[-1]))))
            context.log.info(f"{dataset.name}: {count_of(len(days), dataset.day)} asked for, {span}")
    context.log.info("see the Backfills page for their progress" if asked else "no day was to be asked for")
    context.add_output_metadata({"days": sum(asked.values()), **asked})


def _add_backfill(
    context: dg.OpExecutionContext, dataset: MarketDataset, days: Sequence[str], tags: Mapping[str, str]
) -> None:
    context.instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=uuid4().hex[:8],
            asset_graph=context.repository_def.asset_graph,
            partition_names=list(days),
            asset_selection=[dataset.asset_key],
            backfill_timestamp=get_current_timestamp(),
            tags={**tags, "data_assets/job": context.job_name},
            dynamic_partitions_store=context.instance,
            all_partitions=False,
            title=f"{context.job_name} {dataset.name}",
            description=None,
            run_config=None,
        )
    )


@dg.op(
    name="days_to_catch_up", description="Asks for every chosen day that is missing, failed, stale or lacks a ticker."
)
def _catch_up(context: dg.OpExecutionContext, config: Chosen) -> None:
    _ask(context, config, NOT_DONE)


@dg.op(name="days_to_retry", description="Asks again for every chosen day that failed last.")
def _retry_failed(context: dg.OpExecutionContext, config: Chosen) -> None:
    _ask(context, config, frozenset({DayState.FAILED}))


@dg.op(
    name="days_to_verify",
    description="Has every chosen stored day read again: damaged ones turn red, whole ones green.",
)
def _verify(context: dg.OpExecutionContext, config: Chosen) -> None:
    _ask(context, config, WHOLE | {DayState.FAILED, DayState.STALE}, {VERIFY: "true"})


@dg.job(description="Download what is missing or failed, of all datasets or of those in `datasets`.")
def catch_up() -> None:
    """Every chosen day that is not done, in backfills that the daemon works through."""
    _catch_up()


@dg.job(description="Ask again for the days that failed last.")
def retry_failed() -> None:
    """Every chosen day that shows red."""
    _retry_failed()


@dg.job(description="Read stored files again and find damage; nothing is downloaded.")
def verify() -> None:
    """Every chosen day that was stored."""
    _verify()


JOBS = (catch_up, retry_failed, verify)
