"""(k) What grows with datasets and stored days: two hundred tickers, 112,000 stored days, and their history.

`gaps` and `status` of all of them, each a fresh process, beside the same answer by plain Dagster: the states by
`DagsterInstance.get_status_by_partition`, asset by asset, and which files are there by `os.walk`, as a script of a few
lines would ask. Cold is the first look after Dagster's own cache of the states is gone, as after a changed definition.
Last, what a run does at its start to find what dead writers left, beside the walk over all folders.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.grown_lake import DAYS, TICKERS, command, forget_cached_states, grown_lake, settings_of
from benchmarks.results import Result, at_most, print_table

REPETITIONS = 3
WARM_SECONDS, COLD_SECONDS, SWEEP_SECONDS = 3.0, 10.0, 0.05

_BY_HAND = """
import os, dagster as dg
from data_assets.cli.project import datasets, enter_project
from data_assets.wiring import open_lake
enter_project()
root = open_lake().url
there = {os.path.relpath(folder, root) for folder, _, files in os.walk(root) if "data.parquet" in files}
with dg.DagsterInstance.get() as instance:
    for dataset in datasets().values():
        plain = dataset.partitions
        plain = dg.TimeWindowPartitionsDefinition(
            start=plain.start_ts, end=plain.end_ts, fmt=plain.fmt, cron_schedule=plain.cron_schedule,
            timezone=plain.timezone, exclusions=plain.exclusions,
        )
        keys = plain.get_partition_keys()
        states = instance.get_status_by_partition(dataset.asset_key, keys, plain)
        stored = [key for key in keys if states[key] is not None and f"{dataset.name}/date={key}" in there]
        print(dataset.name, len(keys) - len(stored))
"""


def run() -> list[Result]:
    """Fresh processes, alternating; the first round warms the page cache and does not count."""
    folder = grown_lake()
    programs = {
        "gaps": command("gaps", "--all", "--json"),
        "status": command("status", "--all", "--json"),
        "by hand": [sys.executable, "-W", "ignore", "-c", _BY_HAND],
    }
    warm = [{name: _seconds(folder, program) for name, program in programs.items()} for _ in range(REPETITIONS + 1)][1:]
    cold = []
    for _ in range(REPETITIONS):
        round_: dict[str, float] = {}
        for name in ("gaps", "by hand"):
            forget_cached_states(folder)
            round_[name] = _seconds(folder, programs[name])
        cold.append(round_)
    sweeps = _sweeps(folder)
    rows = []
    for name in programs:
        seconds = [
            f"{median(each[name] for each in rounds):.1f}" if name in rounds[0] else "-" for rounds in (warm, cold)
        ]
        rows.append([name, *seconds])
    print(f"{TICKERS * DAYS:,} stored days of {TICKERS} tickers: processor seconds; median of {REPETITIONS}")
    print_table(["", "warm", "cold"], rows)

    def of(rounds: list[dict[str, float]], name: str) -> float:
        return median(each[name] for each in rounds)

    def ratio(rounds: list[dict[str, float]], name: str) -> Result:
        value = median(each[name] / each["by hand"] for each in rounds)
        how = "warm" if rounds is warm else "cold"
        return Result(f"(k) {name}, {how}, over plain Dagster and a walk", f"{value:.2f}")

    return [
        at_most("(k) gaps of 112,000 stored days, warm", of(warm, "gaps"), WARM_SECONDS, "{:.1f} s"),
        ratio(warm, "gaps"),
        at_most("(k) status of 112,000 stored days, warm", of(warm, "status"), WARM_SECONDS, "{:.1f} s"),
        ratio(warm, "status"),
        at_most("(k) gaps of 112,000 stored days, cold", of(cold, "gaps"), COLD_SECONDS, "{:.1f} s"),
        ratio(cold, "gaps"),
        at_most("(k) a run's look for what dead writers left", sweeps[0], SWEEP_SECONDS, "{:.3f} s"),
        Result("(k) the same over a walk of all folders", f"{sweeps[0] / sweeps[1]:.3f}"),
    ]


def _seconds(folder: Path, program: list[str]) -> float:
    """Processor seconds, user and system, of a fresh process; 1 is how `gaps` ends where there are any."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        process = subprocess.Popen(program, cwd=folder, env=settings_of(folder), stdout=nowhere)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{program[-3:]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def _sweeps(folder: Path) -> tuple[float, float]:
    """Processor seconds of a sweep, and of walking all folders once, alternating in this process."""
    from data_assets.lake.lake import Lake

    (root,) = (folder / "lake").iterdir()
    lake = Lake(str(root), synthetic=True)
    rounds = []
    for _ in range(REPETITIONS + 1):
        started = time.process_time()
        lake.sweep()
        swept = time.process_time()
        for _ in os.walk(root):
            pass
        rounds.append((swept - started, time.process_time() - swept))
    return median(first for first, _ in rounds[1:]), median(second for _, second in rounds[1:])
