"""(n) What grows with datasets and stored days: two hundred tickers, 112,000 stored days, and their history.

`gaps` and `status` of all of them, each a fresh process; cold is the first look after Dagster's own cache of the states
is gone, as after a changed definition. Beside them the same answer by plain Dagster for a few of the tickers (for all
it takes a quarter of an hour): the states by `DagsterInstance.get_status_by_partition`, asset by asset, and which files
are there by `os.walk`, as a script of a few lines would ask.

Then a tick of the sensor that asks for days, fifty times in one process, beside a condition of Dagster's on each asset;
the code location, beside the same assets by Dagster's decorators; and what a run does at its start to find what dead
writers left, beside the walk over all folders.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.grown_lake import DAYS, TICKERS, command, forget_cached_states, grown_lake, settings_of
from benchmarks.results import Result, at_most, print_table

REPETITIONS = 3
WARM_SECONDS, COLD_SECONDS, SWEEP_SECONDS = 3.0, 10.0, 0.05
TICKS, TICK_SECONDS, GROWTH = 50, 2.0, 0.05
LOCATION_SECONDS, SNAPSHOT_MEGABYTES = 1.5, 6.0

FEW = "ib/bars_1m/T00[1-3]"
"""Three of the tickers."""

_BY_HAND = """
import os, sys, fnmatch, dagster as dg
from data_assets.cli.project import datasets, enter_project
from data_assets.wiring import open_lake
enter_project()
root = open_lake().url
there = {os.path.relpath(folder, root) for folder, _, files in os.walk(root) if "data.parquet" in files}
with dg.DagsterInstance.get() as instance:
    for dataset in [each for each in datasets().values() if fnmatch.fnmatch(each.name, sys.argv[1])]:
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
    """Each in turn."""
    folder = grown_lake()
    return [*_looks(folder), *_automation(folder), *_location(folder), *_sweep(folder)]


def _looks(folder: Path) -> list[Result]:
    """Fresh processes, alternating; the first round warms the page cache and does not count."""
    programs = {
        "gaps": command("gaps", "--all", "--json"),
        "status": command("status", "--all", "--json"),
        "gaps of three": command("gaps", FEW, "--json"),
        "three by hand": [sys.executable, "-W", "ignore", "-c", _BY_HAND, FEW],
    }
    warm = [{name: _seconds(folder, each) for name, each in programs.items()} for _ in range(REPETITIONS + 1)][1:]
    cold = []
    for _ in range(REPETITIONS):
        round_: dict[str, float] = {}
        for name, program in programs.items():
            forget_cached_states(folder)
            round_[name] = _seconds(folder, program)
        cold.append(round_)

    def of(rounds: list[dict[str, float]], name: str) -> float:
        return median(each[name] for each in rounds)

    print(f"{TICKERS * DAYS:,} stored days of {TICKERS} tickers: processor seconds; median of {REPETITIONS}")
    print_table(["", "warm", "cold"], [[name, f"{of(warm, name):.1f}", f"{of(cold, name):.1f}"] for name in programs])
    found = []
    for how, rounds, bound in (("warm", warm, WARM_SECONDS), ("cold", cold, COLD_SECONDS)):
        for name in ("gaps", "status"):
            found.append(at_most(f"(n) {name} of 112,000 stored days, {how}", of(rounds, name), bound, "{:.1f} s"))
        ratio = median(each["gaps of three"] / each["three by hand"] for each in rounds)
        found.append(Result(f"(n) gaps of three tickers over plain Dagster and a walk, {how}", f"{ratio:.2f}"))
    return found


def _automation(folder: Path) -> list[Result]:
    ours, instead = _work(folder, "ticks", TICKS), _work(folder, "conditions", 2)
    print(f"an evaluation of {TICKERS} tickers of which all are due: processor seconds")
    print_table(
        ["", "seconds", "asked for"],
        [
            ["a tick of our sensor, with its ranges of days", f"{ours['seconds']:.2f}", str(ours["asked"])],
            ["a condition on each asset, with its days", f"{instead['seconds']:.2f}", str(instead["asked"])],
        ],
    )
    return [
        at_most(f"(n) an evaluation of the automation of {TICKERS} tickers", ours["seconds"], TICK_SECONDS, "{:.2f} s"),
        Result("(n) the same over Dagster's conditions", f"{ours['seconds'] / instead['seconds']:.2f}"),
        at_most(f"(n) memory from tick {TICKS // 2} to tick {TICKS}, growth", ours["grown"], GROWTH, "{:.1%}"),
    ]


def _location(folder: Path) -> list[Result]:
    rounds = [(_work(folder, "location"), _work(folder, "plain_location")) for _ in range(REPETITIONS)]
    ours, plain = ([median(each[which][what] for each in rounds) for what in ("cpu", "bytes")] for which in range(2))
    print(f"the code location of {TICKERS} tickers, from the start of a process to its snapshot as text")
    print_table(
        ["", "processor seconds", "snapshot, MB"],
        [[name, f"{cpu:.2f}", f"{size / 1e6:.1f}"] for name, (cpu, size) in (("ours", ours), ("plain Dagster", plain))],
    )
    beyond = median(each["cpu"] - by_hand["cpu"] for each, by_hand in rounds)
    return [
        at_most("(n) the code location, beyond the same assets by Dagster alone", beyond, LOCATION_SECONDS, "{:.2f} s"),
        at_most("(n) its snapshot", ours[1] / 1e6, SNAPSHOT_MEGABYTES, "{:.1f} MB"),
        Result("(n) its snapshot over that of the same assets by Dagster alone", f"{ours[1] / plain[1]:.2f}"),
    ]


def _sweep(folder: Path) -> list[Result]:
    sweeps = _sweeps(folder)
    return [
        at_most("(n) a run's look for what dead writers left", sweeps[0], SWEEP_SECONDS, "{:.3f} s"),
        Result("(n) the same over a walk of all folders", f"{sweeps[0] / sweeps[1]:.3f}"),
    ]


def _work(folder: Path, kind: str, *arguments: int) -> dict[str, Any]:
    program = [sys.executable, "-W", "ignore", "-m", "benchmarks.scale_work", kind, *map(str, arguments)]
    ended = subprocess.run(program, cwd=folder, env=settings_of(folder), check=True, capture_output=True, text=True)
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said


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
