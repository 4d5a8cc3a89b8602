"""(l) How soon the command answers, beside `python -c "import dagster"`: no command of Dagster costs less."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.results import Result, at_most, print_table

REPETITIONS = 5
COMMAND = str(Path(sys.executable).with_name("data-assets"))
KEY = "theta/option_quotes/QQQ"
DAGSTER = [sys.executable, "-c", "import dagster"]
AT_ONCE, READING = 0.5, 2.5
"""Bounds, as shares of the processor time of `import dagster`."""

CALLS: Mapping[str, tuple[Sequence[str], float]] = {
    "backfill --help": (["backfill", "--help"], AT_ONCE),
    "a misspelt option": (["gaps", "--form", "2024-01-02"], AT_ONCE),
    "a misspelt dataset": (["gaps", "theta/option_quote/QQQ"], AT_ONCE),
    "a reversed range": (["status", KEY, "--from", "2024-01-03", "--to", "2024-01-02"], AT_ONCE),
    "status of one dataset": (["status", KEY], READING),
    "gaps of one dataset": (["gaps", KEY], READING),
}


def run() -> list[Result]:
    """Fresh processes in a new project, alternating; the first round fills the page cache and does not count."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        subprocess.run([COMMAND, "init", str(project)], check=True, capture_output=True)
        calls = {"import dagster": DAGSTER} | {name: [COMMAND, *said] for name, (said, _) in CALLS.items()}
        rounds = [{name: _cost(call, project) for name, call in calls.items()} for _ in range(REPETITIONS + 1)][1:]
        signs = [_sign_of_life([COMMAND, "status", KEY], project) / each["import dagster"][1] for each in rounds]
    shares = {name: median(each[name][0] / each["import dagster"][0] for each in rounds) for name in calls}
    print(f"processor time (user and system) of a fresh process; median of {REPETITIONS}")
    print_table(
        ["", "seconds", "of import dagster"],
        [[name, f"{median(each[name][0] for each in rounds):.2f}", f"{share:.2f}"] for name, share in shares.items()],
    )
    at_once = max(shares[name] for name, (_, bound) in CALLS.items() if bound == AT_ONCE)
    reading = max(shares[name] for name, (_, bound) in CALLS.items() if bound == READING)
    dagster = "as a share of `import dagster`"
    return [
        at_most(f"(l) --help and wrong calls, {dagster}", at_once, AT_ONCE),
        at_most(f"(l) status and gaps of one dataset, {dagster}", reading, READING),
        at_most(f"(l) until status shows a sign of life in a terminal, {dagster} (wall)", median(signs), AT_ONCE),
    ]


def _cost(call: Sequence[str], folder: Path) -> tuple[float, float]:
    """Processor seconds and wall seconds until it has ended."""
    began = time.perf_counter()
    process = subprocess.Popen(call, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 2):
        raise RuntimeError(f"{' '.join(call)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began


def _sign_of_life(call: Sequence[str], folder: Path) -> float:
    """Wall seconds until it says anything in a terminal."""
    ours, theirs = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(call, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.read(ours, 1)
    said = time.perf_counter() - began
    try:
        while os.read(ours, 4096):  # a terminal that nobody reads would hold the process back
            pass
    except OSError:  # it has ended: Linux says EIO
        pass
    process.wait()
    os.close(ours)
    return said
