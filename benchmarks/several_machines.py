"""(n) A run history in PostgreSQL, which machines share: what a day costs in it, and what two workers are worth.

The same days, in runs as the command makes them, with the history in SQLite and in PostgreSQL in turn. Then days of the
whole stock market, which are bound by the processor, by one worker and by two that share the days. A worker parses with
all processors already, so on a machine of two two workers cannot be twice as fast.

Needs PostgreSQL's server on this machine, and says so where there is none; its files are synced, as anybody's are.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median

from benchmarks.inputs import CACHE, scratch_folder, theta_server
from benchmarks.results import Result, print_table
from benchmarks.work import Measured, Worker, dagster_folder, live
from data_assets.orchestration.partitions import DAYS_PER_RUN, partition_keys

RUNS, CONTRACTS = 3, 4
MARKET_DAYS, MARKET_TICKERS, ROUNDS = 8, 4_000, 3
BARS = "polygon/minute_aggs"
DATASETS_ON_PAPER = 50 * 4 * 2_600

_OURS = """storage:
  custom:
    module: data_assets.orchestration.state_storage
    class: RunHistory
"""


def run() -> list[Result]:
    """Both, or a word why not."""
    from data_assets_tests.cluster.postgres import is_installed, postgres_server  # of the tests, as is the server

    if not is_installed():
        return [Result("(n) a run history in PostgreSQL", "not measured: no PostgreSQL server is installed here")]
    with scratch_folder() as folder, postgres_server(durable=True) as server:
        return [*_events(folder, server.new_database()), *_workers(folder, server.new_database())]


def _events(folder: Path, url: str) -> list[Result]:
    days = partition_keys(date(2016, 8, 4), date(2024, 8, 2))[-RUNS * DAYS_PER_RUN :]
    measured: dict[str, list[Measured]] = {"SQLite": [], "PostgreSQL": []}
    with (
        theta_server(CONTRACTS) as base_url,
        dagster_folder(folder / "sqlite") as sqlite,
        dagster_folder(folder / "postgres") as postgres,
    ):
        _use(postgres, url)
        sizes: dict[str, list[int]] = {"SQLite": [], "PostgreSQL": []}
        for start in range(0, len(days), DAYS_PER_RUN):
            chunk = days[start : start + DAYS_PER_RUN]
            for name, place in (("SQLite", sqlite), ("PostgreSQL", postgres)):
                with Worker("recorded", chunk[0], chunk[-1], folder=place, **live(place, base_url)) as worker:
                    measured[name].append(worker.once())
            files = (each for each in (sqlite / ".state" / "storage").rglob("*") if each.is_file())
            sizes["SQLite"].append(sum(each.stat().st_size for each in files))
            sizes["PostgreSQL"].append(_database_bytes(url))
    grown = {name: (after[-1] - after[0]) / (len(days) - DAYS_PER_RUN) for name, after in sizes.items()}
    count = len(days)
    milliseconds = {name: 1000 * sum(each["in_events"] for each in done) / count for name, done in measured.items()}
    print(f"{count} tiny days of {CONTRACTS} contracts, in {RUNS} runs, with either history in turn")
    print_table(
        ["history", "events, ms a day", "kB a day", f"on paper, {DATASETS_ON_PAPER:,} days"],
        [
            [
                name,
                f"{milliseconds[name]:.0f}",
                f"{grown[name] / 1000:.0f}",
                f"{grown[name] * DATASETS_ON_PAPER / 1e9:.0f} GB, "
                f"{milliseconds[name] / 1000 * DATASETS_ON_PAPER / 3600:.1f} h",
            ]
            for name in measured
        ],
    )
    ratio = median(
        other["in_events"] / one["in_events"]
        for one, other in zip(measured["SQLite"], measured["PostgreSQL"], strict=True)
    )
    return [
        Result("(n) a day's events in PostgreSQL over SQLite", f"{ratio:.2f}"),
        Result("(n) their bytes over SQLite's", f"{grown['PostgreSQL'] / grown['SQLite']:.2f}"),
    ]


def _workers(folder: Path, url: str) -> list[Result]:
    days = partition_keys(date(2024, 1, 2), date(2024, 2, 1))[:MARKET_DAYS]
    mirror = _mirror(days)
    halves = days[: MARKET_DAYS // 2], days[MARKET_DAYS // 2 :]
    seconds: dict[str, list[float]] = {"one worker": [], "two workers": []}
    processors: dict[str, list[float]] = {"one worker": [], "two workers": []}
    with dagster_folder(folder / "market") as place:
        _use(place, url)
        environment = {
            "DATA_ASSETS_PROFILE": "live",
            "DAGSTER_HOME": str(place),
            "POLYGON_FLAT_FILES_URL": mirror.as_uri(),
            "POLYGON_TICKERS": "all",
        }
        _allow_two(place)
        teams = {
            "one worker": [Worker("recorded", days[0], days[-1], BARS, folder=place, **environment)],
            "two workers": [
                Worker("recorded", half[0], half[-1], BARS, folder=place, **environment) for half in halves
            ],
        }
        for number in range(ROUNDS + 1):
            for name, team in teams.items():
                started = time.perf_counter()
                with ThreadPoolExecutor(len(team)) as threads:
                    done = list(threads.map(Worker.once, team))
                took = time.perf_counter() - started
                if number:  # the first loads everything, and fills the cache
                    seconds[name].append(took)
                    processors[name].append(sum(each["cpu"] for each in done) / took)
        for team in teams.values():
            for worker in team:
                worker.__exit__()
    rows = [[name, f"{MARKET_DAYS / median(seconds[name]):.2f}", f"{median(processors[name]):.2f}"] for name in seconds]
    print(f"{MARKET_DAYS} days of {MARKET_TICKERS:,} tickers, all of them kept, history in PostgreSQL")
    print_table(["", "days a second", "processors in use"], rows)
    faster = median(one / two for one, two in zip(seconds["one worker"], seconds["two workers"], strict=True))
    return [Result("(n) two workers' throughput over one's", f"{faster:.2f}")]


def _mirror(days: list[str]) -> Path:
    from data_assets.sandbox.flat_files.files import FlatFiles, key

    mirror = CACHE / f"market-{MARKET_TICKERS}"
    lacking = [date.fromisoformat(day) for day in days if not (mirror / key(date.fromisoformat(day))).exists()]
    if lacking:
        FlatFiles(tickers=MARKET_TICKERS, says_synthetic=False).write_folder(mirror, lacking)
    return mirror


def _use(project: Path, url: str) -> None:
    """Let a project's history lie in PostgreSQL."""
    configuration = project / "dagster.yaml"
    text = configuration.read_text()
    if _OURS not in text:
        raise RuntimeError(f"{configuration} names another storage than this benchmark replaces")
    configuration.write_text(text.replace(_OURS, f"storage:\n  postgres:\n    postgres_url: {url}\n"))


def _allow_two(project: Path) -> None:
    import dagster as dg

    with dg.DagsterInstance.from_config(str(project)) as instance:
        instance.event_log_storage.set_concurrency_slots("polygon", 2)


def _database_bytes(url: str) -> int:
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())
