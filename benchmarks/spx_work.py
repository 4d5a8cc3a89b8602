"""A large SPX day as this project brings it in; run by `work`, in processes of their own."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.spx_inputs import DATASET, DAY, ROOTS


def spx_published(base_url: str) -> dict[str, Any]:
    """Engine, source and lake: each expiration a request, from the first one to the day under its final name."""
    from data_assets.ingest.engine import EnginePolicy, ingest
    from data_assets.ingest.outcome import Outcome, Stored
    from data_assets.ingest.progress import Progress
    from data_assets.lake.lake import Lake
    from data_assets.trading_calendar import session
    from data_assets.vendors.theta.client import ThetaClient
    from data_assets.vendors.theta.dataset import OptionDataset
    from data_assets.vendors.theta.day import ThetaSource
    from data_assets.vendors.theta.terminal import Terminal

    lake = Lake(str(Path("lake").absolute()), synthetic=False)
    session(DAY)  # the calendar is read before the clock starts, as in any run

    async def nothing(day: date, outcome: Outcome) -> None:
        """Where Dagster would record the day."""

    async def run() -> Outcome:
        async with ThetaClient(base_url, max_concurrent=4) as client:
            dataset = OptionDataset(DATASET, "SPX", roots=ROOTS, request_by="expiration")
            source = ThetaSource(dataset, lake=lake, bodies=Terminal(client))
            report = await ingest([DAY], source, nothing, policy=EnginePolicy(4), progress=Progress())
        return report.outcomes[DAY]

    started = time.perf_counter()
    outcome = asyncio.run(run())
    seconds = time.perf_counter() - started
    if not isinstance(outcome, Stored):
        raise RuntimeError(f"the day did not store: {outcome}")
    if outcome.metadata["absent_contracts"]:
        raise RuntimeError(f"{outcome.metadata['absent_contracts']} contracts are absent")
    return {
        "seconds": seconds,
        "rows": outcome.rows,
        "requests": outcome.metadata["requests"],
        "file": lake.locate(outcome.path),
    }


def spx_recorded() -> dict[str, Any]:
    """The same in one real Dagster run, with its materialization and checks."""
    import dagster as dg

    from data_assets.cli.local_run import run_range
    from data_assets.cli.project import definitions, open_instance

    definitions()
    with open_instance() as instance:
        started = time.perf_counter()
        result = run_range(instance, dg.AssetKey(DATASET.split("/")), DAY.isoformat(), DAY.isoformat())
        seconds = time.perf_counter() - started
        passed = {
            event.asset_check_evaluation_data.check_name: event.asset_check_evaluation_data.passed
            for event in result.all_events
            if event.event_type_value == "ASSET_CHECK_EVALUATION"
        }
    if not result.success or not passed or not all(passed.values()):
        raise RuntimeError(f"the run failed, or a check did: {passed}")
    return {"seconds": seconds, "file": str(Path("lake", "live", DATASET, f"date={DAY}", "data.parquet").absolute())}
