"""(e) What loading the code location costs every process, beyond importing Dagster itself."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from benchmarks.inputs import SOURCES
from benchmarks.results import Result, at_most, print_table

REPETITIONS = 5
BOUND_SECONDS = 2.0

PROGRAMS = {
    "import dagster": "import dagster",
    "import data_assets.definitions": "import data_assets.definitions",
    "the same, and load all definitions": "from data_assets.definitions import defs; defs()",
}


def run() -> list[Result]:
    """Fresh processes, alternating; the first round fills the page cache and does not count."""
    rounds = [{name: _processor_seconds(program) for name, program in PROGRAMS.items()} for _ in range(REPETITIONS + 1)]
    seconds = {name: median(each[name] for each in rounds[1:]) for name in PROGRAMS}
    baseline, _, loaded = PROGRAMS
    print(f"processor seconds (user and system) of a fresh process; median of {REPETITIONS}")
    print_table(
        ["", "seconds", "beyond Dagster's own"],
        [[name, f"{value:.2f}", f"{value - seconds[baseline]:.2f}"] for name, value in seconds.items()],
    )
    beyond = median(each[loaded] - each[baseline] for each in rounds[1:])
    return [at_most("(e) loading the code location, beyond Dagster's own import", beyond, BOUND_SECONDS, "{:.2f} s")]


def _processor_seconds(program: str) -> float:
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], cwd=SOURCES)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`{program}` ended with {process.returncode}")
    return used.ru_utime + used.ru_stime
