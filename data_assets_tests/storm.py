"""A storm of signals over every dataset, with `dagster dev` running: what it must leave is a lake that proves itself.

`make storm` (a hundred signals, about twenty minutes), or `python -m data_assets_tests.storm SIGNALS [SEED]`. It is not
part of the suite, whose tests send signals at chosen instants; here the instants are drawn, and the seed is said.

Each signal meets days of its own: those of a command, or of a run launched as the UI launches it. Afterwards no run is
without an end, no day is red that nobody asked for, every green day is whole on disk, one plain backfill of each
dataset fetches what is left, and no temporary file and no slot of a pool is left behind.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from data_assets.cli.project import datasets
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, day_states
from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.end_to_end.project_folder import Project, slots_held, span
from data_assets_tests.orchestration.dagster_dev import FINISHED, DagsterDev, shorten_waits
from data_assets_tests.orchestration.in_process import of_days

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL)
DAYS_OF_ONE = 3
FIRST_MONTH = "2024-01"
FROM_THE_UI = 0.25
"""The share of signals that meet a run of the UI, and not a command."""

SETTLED_SECONDS = 600
"""How long dead runs may take to be seen, ended and retried."""


class Storm:
    """The storm and what it left, in one project."""

    def __init__(self, dev: DagsterDev, draw: random.Random) -> None:
        self._dev = dev
        self._project = dev.project
        self._draw = draw
        self._datasets = datasets()
        self._keys = {name: partition_keys(partitions=dataset.partitions) for name, dataset in self._datasets.items()}
        self._asked: dict[str, list[str]] = {name: [] for name in self._keys}
        self._seconds: dict[str, float] = {}

    def blow(self, signals: int) -> Counter[str]:
        """Send so many; returns what was hit, counted."""
        names, hits = sorted(self._keys), Counter[str]()
        for number in range(signals):
            name, sent = names[number % len(names)], SIGNALS[self._draw.randrange(len(SIGNALS))]
            if name not in self._seconds:
                started = time.monotonic()
                self._project.run("backfill", name, *span(self._own_days(name)))
                self._seconds[name] = time.monotonic() - started
            instant = self._draw.uniform(0, self._seconds[name])
            from_the_ui = self._draw.random() < FROM_THE_UI
            days = self._own_days(name)
            ended = self._hit_a_run(name, days, sent, instant) if from_the_ui else self._hit(name, days, sent, instant)
            hits[f"{sent.name}: {ended}"] += 1
            print(f"{number + 1:4} {name} {days[0]} {sent.name} after {instant:.2f} s: {ended}", flush=True)
        return hits

    def _own_days(self, name: str) -> list[str]:
        keys, used = self._keys[name], len(self._asked[name])
        first = next(index for index, key in enumerate(keys) if key >= FIRST_MONTH)
        days = keys[first + used :][:DAYS_OF_ONE]
        if self._datasets[name].monthly:
            days = keys[first:][:1]  # again and again: later months have no days to be made from
        self._asked[name] += days
        return days

    def _hit(self, name: str, days: Sequence[str], sent: signal.Signals, instant: float) -> str:
        command = self._project.start_executable("backfill", name, *span(days), "--only", "all")
        time.sleep(instant)  # drawn, not waited for
        if self._draw.random() < 0.3 and not command.ended():  # an impatient person
            command.process.send_signal(sent)
        return f"the command ended with {command.end(sent).returncode}"

    def _hit_a_run(self, name: str, days: Sequence[str], sent: signal.Signals, instant: float) -> str:
        run_id = self._dev.launch_run(of_days(days[0], days[-1]), name.split("/"))
        self._dev.wait_for(lambda: self._dev.process_of(run_id) or self._status(run_id) in FINISHED)
        time.sleep(instant / 2)
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self._dev.process_of(run_id) or 0).send_signal(sent)
        return "a run of the UI"

    def _status(self, run_id: str) -> str:
        with self._project.instance() as instance:
            run = instance.get_run_by_id(run_id)
        return run.status.value if run else ""

    def settle(self) -> None:
        """Return once every run has ended and the daemon starts no other.

        Raises:
            AssertionError: a run is still without an end.
        """
        quiet_since, give_up = time.monotonic(), time.monotonic() + SETTLED_SECONDS
        while time.monotonic() - quiet_since < 30:
            with self._project.instance() as instance:
                unended = [
                    f"{run.run_id} {run.status.value}"
                    for run in instance.get_runs()
                    if run.status.value not in FINISHED
                ]
            if unended:
                quiet_since = time.monotonic()
            assert time.monotonic() < give_up, f"without an end: {unended}"
            time.sleep(1)

    def prove(self) -> None:
        """See what the storm left, then fetch the rest and see that it is all there.

        Raises:
            AssertionError: a promise was broken; the text says which.
        """
        for name, dataset in self._datasets.items():
            states = self._states(dataset)
            red = {day for day, state in states.items() if state is DayState.FAILED}
            assert red <= {*self._asked[name]}, f"{name}: red and never asked for: {red - {*self._asked[name]}}"
            green = [day for day, state in states.items() if state is DayState.STORED]
            print(f"{name}: {len(green)} green, {len(red)} red of {len({*self._asked[name]})} asked for", flush=True)
            if green:
                found = self._verified(name)
                # A process that is killed between a file and its record leaves a file that nothing is known of.
                assert {*found.pop("unrecorded")} <= {*map(dataset.label, self._asked[name])}, f"{name}: {found}"
                assert not any((found["bad"], found["elsewhere"], found["error"])), f"{name}: {found}"
                assert {*green} <= {day for day, state in self._states(dataset).items() if state is DayState.STORED}, (
                    f"{name}: verify turned a green day red"
                )
        for name, asked in ((name, sorted({*days})) for name, days in self._asked.items() if days):
            dataset = self._datasets[name]
            if dataset.monthly:
                self.settle()  # its automation has seen the days that were just stored
            filled = self._project.run("backfill", name, *span(asked))
            states = self._states(dataset)
            assert filled.returncode == 0, f"{name}: {filled.stderr}"
            assert {states[day] for day in asked} == {DayState.STORED}, f"{name}: {states}"
        for name in self._datasets:
            found = self._verified(name)
            assert not any(found[what] for what in ("bad", "unrecorded", "elsewhere", "error")), f"{name}: {found}"
        assert self._project.temp_files() == [], f"left behind: {self._project.temp_files()}"
        with self._project.instance() as instance:
            for pool in {dataset.vendor for dataset in self._datasets.values()}:
                assert slots_held(instance, pool) == [], f"{pool}: a slot is held"

    def _verified(self, name: str) -> dict[str, Any]:
        """What `verify` finds of a dataset."""
        ended = self._project.run("verify", name, "--json")
        found: dict[str, Any] = json.loads(ended.stdout)[name]
        return found

    def _states(self, dataset: MarketDataset) -> dict[str, DayState]:
        with self._project.instance() as instance:
            return day_states(instance, dataset.asset_key, self._keys[dataset.name], dataset.partitions)


def main(signals: int, seed: int) -> None:
    """Make a project, let the storm blow over it, and see what is left."""
    print(f"{signals} signals, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="storm.") as folder:
        project = Project(Path(folder) / "project", DATA_ASSETS_SANDBOX_CONTRACTS="8")
        dev = DagsterDev(project)
        shorten_waits(project.folder / "dagster.yaml")
        try:
            dev.start()
            storm = Storm(dev, random.Random(seed))
            hits = storm.blow(signals)
            storm.settle()
            storm.prove()
        finally:
            dev.cut_the_power()
            project.close()
    for what, count in sorted(hits.items()):
        print(f"{count:4} {what}")
    print("nothing damaged, no false green, no red day that was not asked for, no run without an end")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
