"""The page of all datasets as an asset, and the sensor that has it written again when days have changed.

Here: when the page is written, and where. Not here: what is on it (`coverage`, `coverage_page`).

It is an asset without partitions and no dataset: nothing of it lies in the lake. A sensor asks for it and does not
write it: over years of days that takes seconds, and a run shows in the UI when it was and why it failed.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from data_assets.files import durable, tempfiles
from data_assets.lake.lake import Lake
from data_assets.orchestration.coverage import coverages
from data_assets.orchestration.coverage_page import coverage_page
from data_assets.orchestration.dagster_private import get_current_datetime
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_requests import newest_events
from data_assets.orchestration.day_states import DayState, states_of
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.log_lines import logged_if_it_fails
from data_assets.orchestration.partitions import partition_keys
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.project import state_folder
from data_assets.settings import settings
from data_assets.wiring import open_lake

PAGE = "coverage.html"
ASSET = dg.AssetKey(["coverage_page"])
LOOK_SECONDS = 60
MINUTES = 15
"""A judgement: soon enough for a person who looks at a page, and seldom enough beside the work of a catch-up."""
DOUBLED = 6
"""How often that time is doubled where the page could not be written, as while a disk is unplugged: to 16 hours."""


def write_page(
    instance: dg.DagsterInstance, states: Mapping[MarketDataset, Mapping[str, DayState]], lake: Lake, file: Path
) -> int:
    """Draw the page of days in some states and give the file its name as a whole; return its size in bytes.

    Raises:
        OSError: the file cannot be written.
    """
    text = coverage_page(
        coverages(instance, states), lake=lake.url, synthetic=lake.synthetic, now=get_current_datetime()
    ).encode()
    temp, handle = tempfiles.create(file.parent, file.name)
    with handle:
        try:
            handle.write(text)
            durable.sync(handle)
            durable.rename(temp, file)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    return len(text)


def coverage_defs(datasets: Sequence[MarketDataset]) -> dg.Definitions:
    """The asset and its sensor.

    Args:
        datasets: those on the page, in its order; not empty.
    """

    @dg.asset(
        key=ASSET,
        group_name="overview",
        kinds={"html"},
        description="One page of all datasets: which days are stored, their rows and sizes, what the checks say, and "
        f"what changed lately. The file is `{PAGE}` in the project's state folder; open it in a browser.",
    )
    def coverage_page_file(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        lake = open_lake()
        refuse_foreign_history(context.instance)
        refuse_absent_lake(context.instance, lake)
        file = state_folder() / PAGE
        days = {each: partition_keys(partitions=each.partitions) for each in datasets}
        size = write_page(context.instance, states_of(context.instance, days, lake), lake, file)
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(file), "open": dg.MetadataValue.url(file.as_uri()), "size": size}
        )

    @dg.sensor(
        name="refresh_coverage_page",
        target=dg.AssetSelection.assets(ASSET),
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if settings().asks_by_itself else dg.DefaultSensorStatus.STOPPED
        ),
        description="Has the coverage page written again when days were recorded since it was last, at most every "
        f"{MINUTES} minutes; where that failed, again after twice the time, and so on.",
    )
    @logged_if_it_fails
    def refresh(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = get_current_datetime()
        last: dict[str, Any] = json.loads(context.cursor) if context.cursor else {"at": 0.0, "events": None}
        events = sorted(
            [key.to_user_string(), materialization, observation]
            for key, (materialization, _, observation) in newest_events(context.instance, datasets).items()
        )
        again = events == last["events"]
        if again and _written_since(context.instance, last["at"]):
            return dg.SensorResult(skip_reason="nothing was recorded since the page was written")
        tries = last.get("tries", 0) + 1 if again else 0
        minutes = MINUTES * 2 ** min(tries, DOUBLED) if again else MINUTES
        if now.timestamp() - last["at"] < 60 * minutes:
            return dg.SensorResult(skip_reason=f"the page was asked for less than {minutes} minutes ago")
        cursor = {"at": now.timestamp(), "events": events, "tries": tries}
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=json.dumps(cursor))

    return dg.Definitions(assets=[coverage_page_file], sensors=[refresh])


def _written_since(instance: dg.DagsterInstance, timestamp: float) -> bool:
    newest = instance.get_latest_materialization_event(ASSET)
    return newest is not None and newest.timestamp >= timestamp
