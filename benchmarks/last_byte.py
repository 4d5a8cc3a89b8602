"""(c) How soon after its last byte a day is committed, where the vendor is slower than the disk.

Parsing overlaps the download, so little is left to do when it ends. Instead, a user would save the body and convert it.
"""

from __future__ import annotations

from statistics import median

from benchmarks.inputs import ONE_DAY, quote_day, scratch_folder, theta_server
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Worker, dagster_folder, live

CONTRACTS = 5_972
BYTES_PER_SECOND = 15e6
REPETITIONS = 3
BOUND_SECONDS = 1.0


def run() -> list[Result]:
    """Real Dagster runs against a throttled server, timed from inside."""
    day = quote_day(CONTRACTS)
    with (
        scratch_folder() as folder,
        theta_server(CONTRACTS, day.csv, BYTES_PER_SECOND) as base_url,
        dagster_folder(folder / "project") as project,
        Worker("recorded", *ONE_DAY, folder=project, **live(project, base_url)) as ours,
        Worker("polars_sink", str(day.csv), folder=folder) as polars,
    ):
        rounds = [(ours.once(), polars.once()) for _ in range(REPETITIONS)]
    stages = {
        "file under its final name": "last_byte_to_published",
        "materialization in the event log": "last_byte_to_materialized",
        "checks in the event log": "last_byte_to_checked",
    }
    print(f"{day.megabytes:.0f} MB at {BYTES_PER_SECOND / 1e6:.0f} MB/s; seconds after the last byte")
    print_table(
        ["", "median", "worst"],
        [
            [name, f"{median(each[what] for each, _ in rounds):.2f}", f"{max(each[what] for each, _ in rounds):.2f}"]
            for name, what in stages.items()
        ]
        + [
            [
                "instead: Polars converts the saved body",
                f"{median(each['seconds'] for _, each in rounds):.2f}",
                f"{max(each['seconds'] for _, each in rounds):.2f}",
            ]
        ],
    )
    committed = median(each["last_byte_to_materialized"] for each, _ in rounds)
    return [
        at_most("(c) last byte to partition committed and recorded, at 15 MB/s", committed, BOUND_SECONDS, "{:.2f} s")
    ]
