"""A project in a folder of its own, and the real `data-assets` command run in it.

Here: starting the executable as a person's shell would, and looking at what it left: files, events, slots. Not here:
any expectation.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Any

import dagster as dg
import polars as pl

from data_assets.files import tempfiles
from data_assets.lake.lake import Lake
from data_assets.orchestration.day_states import DayState, day_states
from data_assets.orchestration.partitions import TRADING_DAYS, partition_keys
from data_assets.sandbox.serving import SandboxTheta
from data_assets_tests.end_to_end.warm_start import WarmProcess

DATASET = "theta/option_quotes/QQQ"
ASSET = dg.AssetKey(DATASET.split("/"))
POOL = "theta"
ALL_STORED = {"not_stored": {}, "failed_checks": {}, "warned": {}, "interrupted": False, "error": None}
"""What a document of `backfill` says of a dataset besides its stored days where nothing is left."""

SOURCES = Path(__file__).resolve().parents[2]
EXECUTABLE = Path(sys.executable).with_name("data-assets")
OURS = ("DATA_ASSETS_", "DAGSTER_", "THETA_", "POLYGON_", "IB_", "ALERT_")

PATIENCE_SECONDS = 240
"""After which a test gives up on a process; nothing is asserted about how long anything takes."""


def sessions(first: str, count: int) -> list[str]:
    """`count` trading days from `first` on."""
    return partition_keys(date.fromisoformat(first))[:count]


def span(days: Sequence[str]) -> tuple[str, str, str, str]:
    """The options that ask for `days`, which lie side by side."""
    return ("--from", days[0], "--to", days[-1])


class Running:
    """A started command, whose output is read while it works.

    Attributes:
        process: the process.
        lines: what it has said on stderr.
    """

    def __init__(self, process: subprocess.Popen[str] | WarmProcess) -> None:
        self.process = process
        self.lines: list[str] = []
        self._stdout: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in ((process.stdout, self._stdout), (process.stderr, self.lines))
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str], kept: list[str]) -> None:
        for line in stream:
            kept.append(line)

    def ended(self) -> bool:
        """Whether the process is over."""
        return self.process.poll() is not None

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Return as soon as `reached()` holds; the process must not end before."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert not self.ended(), f"ended before: {self.lines}"
            assert time.monotonic() < give_up, f"never came to that: {self.lines}"
            time.sleep(0.005)

    def says(self, text: str) -> bool:
        """Whether `text` stands in a line of stderr so far."""
        return any(text in line for line in self.lines)

    def stored_days(self) -> list[str]:
        """The days that it says it has stored, in that order."""
        return [line.split()[1] for line in self.lines if line.startswith("✓")]

    def end(self, number: int | None = None) -> subprocess.CompletedProcess[str]:
        """Send signal `number`, if any, and wait until the process is over."""
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join()
        return subprocess.CompletedProcess(self.process.args, code, "".join(self._stdout), "".join(self.lines))


def write_project(folder: Path) -> Path:
    """Dagster's own files and the shipped blocks, without any setting: those of a test stand in its environment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(SOURCES / name, folder)
    shutil.copytree(SOURCES / "defs", folder / "defs", dirs_exist_ok=True)
    return folder


class Project:
    """A project folder with Dagster's own files and the shipped blocks in it, nothing else.

    Attributes:
        folder: where commands run.
        environment: what they see of this project's variables; the variables around the tests never reach them.
    """

    _opened: tuple[dg.DagsterInstance, int] | None = None

    def __init__(self, folder: Path, **environment: str) -> None:
        write_project(folder)
        self.folder = folder
        self.environment = environment
        self._started: list[subprocess.Popen[str] | WarmProcess] = []

    def start(self, *arguments: str) -> Running:
        """Start the command in a process that has its libraries already."""
        self._started.append(WarmProcess(arguments, self.folder, self._variables()))
        return Running(self._started[-1])

    def start_executable(self, *arguments: str, **options: Any) -> Running:
        """Start the command from nothing, as a shell does; `options` are those of `subprocess.Popen`."""
        return self.start_program(str(EXECUTABLE), *arguments, **options)

    def start_program(self, *command: str, **options: Any) -> Running:
        """Start any program in the folder and environment of the project."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        usual = {"cwd": self.folder, **streams}
        process = subprocess.Popen(
            command,
            env=self._variables(),
            text=True,
            **{**usual, **options},
        )
        self._started.append(process)
        return Running(process)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return self.start(*arguments).end()

    def _variables(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**outside, **self.environment}

    def close(self) -> None:
        """Leave no process behind."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._opened is not None:
            self._opened[0].dispose()

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The project's Dagster instance, whose paths are relative to the folder.

        Kept open, as waiting for a run asks it again and again, until another history is in its place.
        """
        with chdir(self.folder):
            if self._opened is None or not self._history().exists() or self._opened[1] != self._history().stat().st_ino:
                instance = dg.DagsterInstance.from_config(str(self.folder))
                self._opened = instance, self._history().stat().st_ino
            yield self._opened[0]

    def _history(self) -> Path:
        return self.folder / ".state" / "storage" / "history" / "runs.db"

    def states(self, days: Sequence[str]) -> dict[str, DayState]:
        """The days as the grid shows them."""
        with self.instance() as instance:
            return day_states(instance, ASSET, days, TRADING_DAYS)

    @property
    def lake_folder(self) -> Path:
        """Where the files of the project's profile are."""
        return self.folder / "lake" / self.environment.get("DATA_ASSETS_PROFILE", "sandbox")

    def file(self, day: str, dataset: str = DATASET) -> Path:
        """The file of one day, there or not."""
        return self.lake_folder / dataset / f"date={day}" / "data.parquet"

    def files(self) -> list[str]:
        """The days that have a file."""
        return sorted(path.parent.name.removeprefix("date=") for path in self.lake_folder.rglob("data.parquet"))

    def temp_files(self) -> list[Path]:
        """The lake's temporary files, whoever wrote them."""
        return list(tempfiles.find(self.lake_folder))

    def rows(self, day: str) -> pl.DataFrame:
        """The rows of one day as any reader of the lake sees them."""
        lake = Lake(str(self.lake_folder), synthetic="DATA_ASSETS_PROFILE" not in self.environment)
        when = date.fromisoformat(day)
        return lake.scan(DATASET, when, when).collect()


def live(base_url: str, **more: str) -> dict[str, str]:
    """The environment of a project whose Theta Terminal answers at `base_url`, and that asks for nothing by itself."""
    return {"DATA_ASSETS_PROFILE": "live", "DATA_ASSETS_AUTOMATION": "off", "THETA_BASE_URL": base_url, **more}


def document(ended: subprocess.CompletedProcess[str]) -> Any:
    """The JSON document that is all of a command's stdout."""
    assert ended.stdout.endswith("\n"), f"no document on stdout: {ended}"
    assert ended.stdout.count("\n") == 1, f"more than a document on stdout: {ended.stdout}"
    return json.loads(ended.stdout)


def open_days(gaps: Any) -> dict[str, dict[str, Any]]:
    """What a document of `gaps` says of each dataset's days, without the same once more as counts and stretches."""
    states = ("missing", "failed", "lacking")
    return {name: {state: each[state] for state in states} for name, each in gaps.items()}


def recorded(instance: dg.DagsterInstance) -> list[str]:
    """The day of every materialization in the event log, oldest first."""
    records = instance.fetch_materializations(ASSET, limit=10_000).records
    return [record.partition_key or "" for record in reversed(records)]


def asked_days(server: SandboxTheta, since: int = 0) -> list[str]:
    """The day of every request for one, in the order of arrival, without the first `since` requests."""
    dates = [request.params["date"] for request in server.requests[since:] if "date" in request.params]
    return [date.fromisoformat(text).isoformat() for text in dates]


def slots_held(instance: dg.DagsterInstance, pool: str = POOL) -> list[Any]:
    """Who holds a vendor's slot, or waits for it."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    return [*info.claimed_slots, *info.pending_steps]


def run_statuses(instance: dg.DagsterInstance) -> list[str]:
    """How the runs stand, oldest first."""
    return [run.status.value for run in reversed(instance.get_runs())]
