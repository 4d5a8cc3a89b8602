"""(b) Peak memory of a process that stores a day, at 2.4 and at 10 million rows, beside tools that convert its CSV."""

from __future__ import annotations

from benchmarks.inputs import ONE_DAY, quote_day, scratch_folder, theta_server
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Worker, dagster_folder, live

CONTRACTS = (5_972, 24_664)
BOUND_BYTES = 1e9
BOUND_GROWTH = 0.15


def run() -> list[Result]:
    """One fresh process per size and tool; ours is the whole Dagster run, checks included."""
    peaks: dict[str, list[float]] = {}
    rows = []
    for contracts in CONTRACTS:
        day = quote_day(contracts)
        rows.append(day.rows)
        with scratch_folder() as folder, theta_server(contracts, day.csv) as base_url:
            project_folder = folder / "project"
            with dagster_folder(project_folder) as project:
                workers = {
                    "ours, in its Dagster run": Worker("recorded", *ONE_DAY, folder=project, **live(project, base_url)),
                    "ours, without Dagster": Worker("published", base_url, *ONE_DAY, folder=folder),
                    "Polars sink_parquet": Worker("polars_sink", str(day.csv), folder=folder),
                    "DuckDB COPY": Worker("duckdb_copy", str(day.csv), folder=folder),
                }
                for name, worker in workers.items():
                    with worker:
                        peaks.setdefault(name, []).append(worker.once()["peak"])
    print("peak resident memory, a fresh process each")
    print_table(
        ["", *(f"{count / 1e6:.1f} M rows" for count in rows), "growth"],
        [
            [name, *(f"{peak / 1e6:,.0f} MB" for peak in sizes), f"{sizes[1] / sizes[0] - 1:+.0%}"]
            for name, sizes in peaks.items()
        ],
    )
    small, large = peaks["ours, in its Dagster run"]
    return [
        at_most(
            "(b) peak memory of a run, the larger of the two", max(small, large) / 1e6, BOUND_BYTES / 1e6, "{:.0f} MB"
        ),
        at_most("(b) apart from each other", abs(large / small - 1), BOUND_GROWTH, "{:.0%}"),
    ]
