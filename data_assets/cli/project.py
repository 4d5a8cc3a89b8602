"""The project a command works in: its folder, its Dagster instance, its datasets.

Here: finding them, and refusing names and days that do not exist. Not here: what is done with them.
"""

from __future__ import annotations

import difflib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster.components.core.component_tree import ComponentTreeException

from data_assets.ingest.dagster_dataset import MarketDataset, datasets_of_this_process
from data_assets.ingest.dagster_history import refuse_foreign_history
from data_assets.ingest.dagster_runs import end_interrupted_runs
from data_assets.partitions import check_day, partition_keys

EXIT_OK, EXIT_SOME_DAY_DOES_NOT = 0, 1


def enter_project() -> Path:
    """Go to the project folder: the nearest one upwards that has a `dagster.yaml`, otherwise the code's own.

    Every relative path (state, lake, `.env`) is taken from there, as `dagster dev` does.
    """
    here = Path.cwd()
    own = Path(__file__).resolve().parents[2]
    folder = next((path for path in (here, *here.parents) if (path / "dagster.yaml").is_file()), own)
    os.chdir(folder)
    os.environ.setdefault("DAGSTER_HOME", str(folder))
    return folder


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The project's Dagster instance, after runs whose process is gone have been ended."""
    with _get_instance() as instance:
        refuse_foreign_history(instance)
        end_interrupted_runs(instance)
        yield instance


def _get_instance() -> dg.DagsterInstance:
    """Open the instance, one process at a time, without captured logs.

    Two processes that make its databases at the same instant leave them with two revisions, which no start accepts. And
    what a run prints belongs to this terminal; the processes that would capture it die of a Ctrl-C with a traceback.
    """
    terminal = {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}
    folder = os.open(os.environ["DAGSTER_HOME"], os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        home = os.environ["DAGSTER_HOME"]
        return dg.DagsterInstance.from_ref(InstanceRef.from_dir(home, overrides={"compute_logs": terminal}))
    finally:
        os.close(folder)


@cache
def definitions() -> dg.Definitions:
    """The code location, loaded once.

    Raises:
        click.ClickException: a file under ``defs`` says something wrong; the text names the place.
    """
    from data_assets.definitions import defs

    try:
        return defs()
    except ComponentTreeException as error:
        if not isinstance(error.__cause__, ValueError):
            raise
        raise click.ClickException(str(error.__cause__)) from error


@cache
def datasets() -> dict[str, MarketDataset]:
    """Every dataset by its name."""
    definitions()
    return dict(sorted(datasets_of_this_process.items()))


def find_dataset(name: str) -> MarketDataset:
    """The dataset of a name.

    Raises:
        click.UsageError: no such dataset; the text names the nearest one.
    """
    found = datasets().get(name.strip("/"))
    if found is not None:
        return found
    near = difflib.get_close_matches(name, datasets(), n=1, cutoff=0.0)
    raise click.UsageError(f"there is no dataset {name!r}; the nearest is {near[0]}" if near else "no datasets")


def select_datasets(name: str | None) -> list[MarketDataset]:
    """The named dataset, or all whose name starts with it and a slash, or all."""
    if name is None:
        return list(datasets().values())
    folder = name.strip("/") + "/"
    return [each for key, each in datasets().items() if key.startswith(folder)] or [find_dataset(name)]


class TradingDay(click.ParamType[date]):
    """A day given on the command line: it must be a trading day that has ended."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day, or one line that names the nearest trading days."""
        try:
            return date.fromisoformat(check_day(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def days_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--from` and `--to`, both inclusive."""
    command = click.option("--to", "end", type=TradingDay(), help="Last day; default: the newest.")(command)
    return click.option("--from", "start", type=TradingDay(), help="First day; default: the oldest.")(command)


def days_between(dataset: MarketDataset, start: date | None, end: date | None) -> list[str]:
    """The dataset's partitions that `--from` and `--to` ask for, oldest first; never none.

    Raises:
        click.UsageError: the range ends before it starts.
    """
    if start and end and end < start:
        raise click.UsageError(f"--to {end} lies before --from {start}; swap them")
    return partition_keys(start, end, partitions=dataset.partitions)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)
