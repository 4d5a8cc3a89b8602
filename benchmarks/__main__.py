"""`python -m benchmarks [--check] [day | memory | ib_days | ...]`: all, or the named ones."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time

from benchmarks import (
    day,
    encodings,
    ib_days,
    import_time,
    last_byte,
    many_days,
    memory,
    minute_aggs,
    quote_reads,
    scale,
    several_machines,
    spx_day,
    starting,
    ticker_year,
)
from benchmarks.results import Result, print_table

CLAIMS = {
    "day": day.run,
    "memory": memory.run,
    "last_byte": last_byte.run,
    "many_days": many_days.run,
    "import_time": import_time.run,
    "starting": starting.run,
    "spx_day": spx_day.run,
    "minute_aggs": minute_aggs.run,
    "ticker_year": ticker_year.run,
    "ib_days": ib_days.run,
    "encodings": encodings.run,
    "quote_reads": quote_reads.run,
    "scale": scale.run,
    "several_machines": several_machines.run,
}


def main() -> None:
    """Run, print, and exit with 0 unless something breaks."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what the project claims to cost."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(CLAIMS)}; all by default")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bound is missed")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(CLAIMS)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(CLAIMS)}")

    # With it each process that is measured would compile the whole project anew, beside packages that pip has compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    results: list[Result] = []
    for name in arguments.names or CLAIMS:
        print(f"== {name}\n", flush=True)
        results += CLAIMS[name]()
    load = os.getloadavg()[0]
    print(
        f"== summary: {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, load "
        f"{load:.1f} at the end, {time.perf_counter() - started:.0f} s\n"
    )
    print_table(
        ["claim", "measured", "bound", ""],
        [[result.claim, result.measured, result.bound, result.verdict] for result in results],
    )
    sys.exit(1 if arguments.check and any(result.met is False for result in results) else 0)


if __name__ == "__main__":
    main()
