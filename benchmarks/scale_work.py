"""Definitions and automation of two hundred tickers, ours and plain Dagster's, in processes that `scale` starts.

`python -m benchmarks.scale_work NAME [EVALUATIONS]` prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg

CHECKS_OF_A_DAY, CHECKS_OF_ALL = 7, 2


def location() -> dict[str, Any]:
    """Ours: the code location of the project in this folder."""
    from data_assets.definitions import defs

    return _snapshot(defs)


def plain_location() -> dict[str, Any]:
    """The same assets and checks by Dagster's own decorators, as somebody writes them in a file of fifty lines."""
    return _snapshot(_plain)


def ticks() -> dict[str, Any]:
    """Ours: ticks of the sensor that asks for IB's days, all of the newest of which are due."""
    from data_assets.definitions import defs

    repository = defs().get_repository_def()
    sensor = repository.get_sensor_def("request_ib_days")

    def tick(instance: dg.DagsterInstance) -> int:
        asked = sensor.evaluate_tick(dg.build_sensor_context(instance, repository_def=repository))
        return len(asked.run_requests or [])

    return _evaluated(tick)


def conditions() -> dict[str, Any]:
    """Dagster's own: a condition on each asset that asks for what is missing of the newest days."""
    definitions = _plain()
    cursor = None

    def evaluate(instance: dg.DagsterInstance) -> int:
        nonlocal cursor
        found = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
        cursor = found.cursor
        return found.total_requested

    return _evaluated(evaluate)


def _snapshot(load: Callable[[], dg.Definitions]) -> dict[str, Any]:
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster_shared.serdes import serialize_value

    text = serialize_value(RepositorySnap.from_def(load().get_repository_def()))
    return {"bytes": len(text), "cpu": _processor_seconds()}


def _evaluated(evaluate: Callable[[dg.DagsterInstance], int]) -> dict[str, Any]:
    """Evaluate as often as was asked; memory is looked at from the middle on, when every cache has what it needs."""
    seconds, resident, asked = [], [], 0
    with dg.DagsterInstance.get() as instance:
        for _ in range(int(sys.argv[2])):
            started = time.process_time()
            asked = evaluate(instance)
            seconds.append(time.process_time() - started)
            resident.append(_resident_bytes())
    half = resident[len(resident) // 2 :]
    return {"seconds": median(seconds), "asked": asked, "grown": half[-1] / half[0] - 1}


def _plain() -> dg.Definitions:
    from data_assets.orchestration.partitions import TRADING_DAYS as OURS

    days = dg.TimeWindowPartitionsDefinition(
        start=OURS.start_ts, fmt=OURS.fmt, cron_schedule=OURS.cron_schedule, timezone=OURS.timezone,
        exclusions=OURS.exclusions,
    )  # fmt: skip
    recent = dg.AutomationCondition.in_latest_time_window(timedelta(days=14))
    missing = dg.AutomationCondition.missing() & ~dg.AutomationCondition.execution_failed()
    rows = Path("defs/ib/bars_1m/tickers.csv").read_text().splitlines()[1:]
    assets: list[dg.AssetsDefinition] = []
    checks: list[dg.AssetChecksDefinition] = []
    for row in rows:
        key = dg.AssetKey(["ib", "bars_1m", row.split(",")[0]])

        @dg.asset(
            key=key,
            partitions_def=days,
            pool="ib",
            backfill_policy=dg.BackfillPolicy.multi_run(50),
            automation_condition=recent & missing & ~dg.AutomationCondition.in_progress(),
        )
        def bars() -> None:
            """A day's bars."""

        specs = [dg.AssetCheckSpec(f"day_{each}", asset=key, partitions_def=days) for each in range(CHECKS_OF_A_DAY)]
        specs += [dg.AssetCheckSpec(f"all_{each}", asset=key) for each in range(CHECKS_OF_ALL)]

        @dg.multi_asset_check(name=f"{key.to_python_identifier()}__checks", specs=specs, can_subset=True)
        def judged() -> Iterator[dg.AssetCheckResult]:
            """Its checks."""
            yield from ()

        assets.append(bars)
        checks.append(judged)
    return dg.Definitions(assets=assets, asset_checks=checks)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    kinds = {each.__name__: each for each in (location, plain_location, ticks, conditions)}
    print(json.dumps(kinds[sys.argv[1]]()))
