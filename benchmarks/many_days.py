"""(d) What a day costs that holds next to nothing: the engine and Dagster's event log, on eight years of tiny days.

Real runs of 50 days, as the command makes them, beside the same days through the engine with nobody recording them, and
beside what Dagster does by default: a run per day.
"""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

from benchmarks.inputs import scratch_folder, theta_server
from benchmarks.results import Result, print_table
from benchmarks.work import Measured, Worker, dagster_folder, live
from data_assets.orchestration.partitions import DAYS_PER_RUN, partition_keys

CONTRACTS = 4
FIRST, LAST = date(2016, 8, 4), date(2024, 8, 2)
PATIENCE_SECONDS = 900.0
RUNS_PER_DAY_SAMPLE = 5


def run() -> list[Result]:
    """As many of the 2,012 days as ``PATIENCE_SECONDS`` allow, newest first, and then how many those were."""
    days = partition_keys(FIRST, LAST)
    runs = [days[max(0, end - DAYS_PER_RUN) : end] for end in range(len(days), 0, -DAYS_PER_RUN)]
    with scratch_folder() as folder, theta_server(CONTRACTS) as base_url:
        with dagster_folder(folder / "project") as project:
            environment = live(project, base_url)
            done: list[Measured] = []
            started = time.perf_counter()
            for chunk in runs:
                if time.perf_counter() - started > PATIENCE_SECONDS:
                    break
                done.append(_once("recorded", chunk[0], chunk[-1], folder=project, **environment))
            singles = [
                _once("recorded", day, day, folder=project, **environment) for day in days[-RUNS_PER_DAY_SAMPLE:]
            ]
        bare = _once("published", base_url, runs[len(done) - 1][0], days[-1], folder=folder)

    count = sum(each["days"] for each in done)
    total, events, recording = (sum(each[what] for each in done) for what in ("seconds", "in_events", "in_recording"))
    milliseconds = 1000 / count
    print(
        f"{count:,} of {len(days):,} tiny days of {CONTRACTS} contracts, in {len(done)} runs of at most {DAYS_PER_RUN}"
    )
    print_table(
        ["per day", "milliseconds", "share"],
        [
            [name, f"{value:.0f}", f"{value / (total * milliseconds):.0%}"]
            for name, value in {
                "runs of 50, all of it": total * milliseconds,
                f"  event log: {sum(each['events'] for each in done) / count:.0f} events": events * milliseconds,
                "  reading the file back for checks and preview": (recording - events) * milliseconds,
                "  the rest: run start, planned events, waiting for the engine": (total - recording) * milliseconds,
                "the same days with nobody recording": bare["seconds"] * 1000 / bare["days"],
                f"instead, a run per day (sample of {len(singles)})": 1000
                * sum(each["seconds"] for each in singles)
                / len(singles),
            }.items()
        ],
    )
    return [
        Result(f"(d) a tiny day in runs of 50, over {count:,} days", f"{total * milliseconds:.0f} ms"),
        Result("(d) share of Dagster's event log in that", f"{events / total:.0%}"),
        Result("(d) the engine alone, nobody recording", f"{bare['seconds'] * 1000 / bare['days']:.0f} ms"),
    ]


def _once(kind: str, *arguments: str, folder: Path, **environment: str) -> Measured:
    with Worker(kind, *arguments, folder=folder, **environment) as worker:
        return worker.once()
