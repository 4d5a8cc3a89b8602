"""A large SPX day as the vendor sends it, expiration by expiration, and the process that serves it.

Here: making the bodies once, in `.state/bench` of the project folder. Imports nothing heavy, because measured processes
import it.
"""

from __future__ import annotations

import csv
import io
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.inputs import CACHE, SOURCES

DATASET, ROOTS, DAY = "theta/option_quotes/SPX", ("SPX", "SPXW"), date(2024, 1, 3)
LISTED = "contracts.txt"
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SpxDay:
    """The bodies of a day on disk.

    Attributes:
        folder: a file for each root and expiration, and the list of contracts.
        requests: how many bodies there are.
        rows: their lines without the headers.
        bytes: of the bodies.
    """

    folder: Path
    requests: int
    rows: int
    bytes: int

    @property
    def bodies(self) -> str:
        """All of them, as a pattern for tools that read many files."""
        return str(self.folder / "*.csv")


def body_name(root: str, expiration: str) -> str:
    """The file of one body."""
    return f"{root}-{expiration}.csv"


def spx_day(contracts: int) -> SpxDay:
    """A day with so many contracts of each root, made at the first call: 12,332 are ten million rows together."""
    folder = CACHE / f"SPX-{DAY}-{contracts}"
    if not folder.exists():
        print(f"making {folder.relative_to(SOURCES)}", flush=True)
        _make(folder, contracts)
    bodies = sorted(folder.glob("*.csv"))
    rows = 0
    for path in bodies:
        with path.open("rb") as file:
            rows += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b"")) - 1
    return SpxDay(folder, len(bodies), rows, sum(path.stat().st_size for path in bodies))


def _make(folder: Path, contracts: int) -> None:
    from data_assets.sandbox.serving import SandboxTheta

    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with SandboxTheta(contracts=contracts, symbols=ROOTS, tier="pro") as theta:
        history, day = f"{theta.base_url}/option", f"date={DAY:%Y%m%d}&format=csv"
        with urllib.request.urlopen(f"{history}/list/contracts/quote?symbol={','.join(ROOTS)}&{day}") as answer:
            listed = answer.read()
        (unfinished / LISTED).write_bytes(listed)
        for root, expiration in sorted(
            {tuple(row[:2]) for row in csv.reader(io.StringIO(listed.decode()))} - {("symbol", "expiration")}
        ):
            times = "interval=1m&start_time=09:30:00&end_time=16:15:00"
            url = f"{history}/history/quote?symbol={root}&expiration={expiration}&{times}&{day}"
            with urllib.request.urlopen(url) as body, (unfinished / body_name(root, expiration)).open("wb") as file:
                shutil.copyfileobj(body, file, 1 << 20)
    unfinished.rename(folder)


@contextmanager
def spx_server(day: SpxDay) -> Iterator[str]:
    """A server of these bodies in its own process; its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.spx_process", str(day.folder), str(port)]
    with subprocess.Popen(command, cwd=SOURCES) as process:
        try:
            give_up = time.monotonic() + _PATIENCE_SECONDS
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.monotonic() > give_up:
                        raise RuntimeError("the server did not start; what it said stands above") from None
                    time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/v3"
        finally:
            process.terminate()
