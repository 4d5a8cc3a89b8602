"""The project a command works in: its folder, its Dagster instance, its datasets.

Here: finding them, and refusing names and days that do not exist. Not here: what is done with them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import click
import dagster as dg

from data_assets.files import tempfiles
from data_assets.ingest.state_folder import refusing_unusable_state
from data_assets.orchestration.dagster_private import InstanceRef, NoOpComputeLogManager
from data_assets.orchestration.dataset import MarketDataset, datasets_of_this_process
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.partitions import OutsideSpan, check_day, check_reach, partition_keys
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.orchestration.run_liveness import end_interrupted_runs
from data_assets.orchestration.state_storage import RunHistory
from data_assets.project import PROJECT, mount_defs, project_folder, state_folder
from data_assets.settings import settings
from data_assets.span import read_days
from data_assets.trading_calendar import sessions, why_closed
from data_assets.wiring import open_lake

EXIT_OK, EXIT_SOME_DAY_DOES_NOT = 0, 1

blocks_left_out: list[str] = []
"""The blocks that this process could not load, a line each. All datasets do not hold while there is one."""


def enter_project() -> Path:
    """Go to the project's folder, as `dagster dev` is started there.

    Raises:
        NoProject: there is none.
    """
    folder = project_folder()
    if os.environ.get(PROJECT):
        os.environ[PROJECT] = str(folder)  # a relative one would mean another folder from there
    os.chdir(folder)
    os.environ.setdefault("DAGSTER_HOME", str(folder))
    return folder


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The project's Dagster instance, after runs whose process is gone have been ended.

    Raises:
        SettingsError: it is of the other profile.
        LakeUnusable: the lake that it speaks of is not there.
        StateUnusable: its folder is full, read-only or damaged, now or while the instance is used.
    """
    terminal = {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}
    ref = InstanceRef.from_dir(os.environ["DAGSTER_HOME"], overrides={"compute_logs": terminal})
    with refusing_unusable_state(_state_folder(ref)), _get_instance(ref) as instance:
        refuse_foreign_history(instance)
        refuse_absent_lake(instance, open_lake())
        end_interrupted_runs(instance)
        yield instance


def _state_folder(ref: InstanceRef) -> Path:
    """Where the instance keeps its databases and lock files, by its configuration; otherwise the project's folder."""
    data = ref.storage_data
    if data and data.class_name == RunHistory.__name__:
        return state_folder()
    base = data.config_dict.get("base_dir") if data else None
    return (Path(base).parent if isinstance(base, str) else Path(os.environ["DAGSTER_HOME"])).absolute()


def _get_instance(ref: InstanceRef) -> dg.DagsterInstance:
    """Open the instance, one process at a time, without captured logs.

    Two processes that make its databases at the same instant leave them with two revisions, which no start accepts. And
    what a run prints belongs to this terminal; the processes that would capture it die of a Ctrl-C with a traceback.
    """
    with tempfiles.locked_folder(Path(os.environ["DAGSTER_HOME"])):
        return dg.DagsterInstance.from_ref(ref)


@cache
def definitions() -> dg.Definitions:
    """What the code location defines, loaded once; where a block under ``defs`` says something wrong, without it.

    Each block that is left out is said in one line on stderr: the other datasets have nothing to do with it. Block by
    block is also the quicker way: Dagster's own adds the schemas of every known component for the UI.
    """
    from data_assets.cli.blocks import load_blocks
    from data_assets.definitions import with_policy

    settings()
    datasets_of_this_process.clear()
    usable, wrong = load_blocks(mount_defs())
    for line in wrong:
        click.echo(f"Error: {line}; correct it: its dataset is left out, the others work", err=True)
    blocks_left_out.extend(wrong)
    return with_policy(usable)


@cache
def datasets() -> dict[str, MarketDataset]:
    """Every dataset by its name."""
    definitions()
    return dict(sorted(datasets_of_this_process.items()))


def find_dataset(name: str) -> MarketDataset:
    """The dataset of a name.

    Raises:
        click.UsageError: no such dataset; the text names the nearest one, unless a block that was left out may be it.
    """
    found = datasets().get(name.strip("/"))
    if found is not None:
        return found
    if blocks_left_out:
        raise click.UsageError(f"there is no dataset {name!r} in the blocks that could be loaded: correct the other")
    near = difflib.get_close_matches(name, datasets(), n=1, cutoff=0.0)
    raise click.UsageError(f"there is no dataset {name!r}; the nearest is {near[0]}" if near else "no datasets")


def select_datasets(name: str | None) -> list[MarketDataset]:
    """The named dataset, or all whose name starts with it and a slash, or all."""
    if name is None:
        return list(datasets().values())
    folder = name.strip("/") + "/"
    return [each for key, each in datasets().items() if key.startswith(folder)] or [find_dataset(name)]


def exit_code(key: str | None, *, holds: bool) -> int:
    """How a command about KEY ends: over several datasets also with 1 where a block was left out."""
    one = key is not None and key.strip("/") in datasets()
    return EXIT_OK if holds and (one or not blocks_left_out) else EXIT_SOME_DAY_DOES_NOT


@dataclass(frozen=True)
class DaysNamed:
    """What a person named on the command line: a day, or a month.

    Attributes:
        text: as it was written.
        first: its first day.
        last: its last day; of a day the same.
    """

    text: str
    first: date
    last: date

    def __str__(self) -> str:
        return self.text


class DayOrMonth(click.ParamType[DaysNamed]):
    """A day or a month given on the command line; whether a dataset has it is asked of the datasets."""

    name = "day or month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> DaysNamed:
        """The days, or one line that says how they are written."""
        try:
            return DaysNamed(value, *read_days(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def days_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--from` and `--to`, both inclusive."""
    to_help = "Last day (YYYY-MM-DD), or month (YYYY-MM); default: the newest."
    from_help = "First day (YYYY-MM-DD), or month (YYYY-MM); default: the oldest."
    command = click.option("--to", "end", type=DayOrMonth(), help=to_help)(command)
    return click.option("--from", "start", type=DayOrMonth(), help=from_help)(command)


def days_between(
    datasets: Sequence[MarketDataset], start: DaysNamed | None, end: DaysNamed | None
) -> dict[MarketDataset, list[str]]:
    """The partitions of each dataset that `--from` and `--to` ask for, oldest first; of one dataset alone never none.

    The bounds of a range need no partition of their own: a holiday, today, or a day before the dataset's first stands
    for the nearest one inside the range. Only a day asked for by itself (the same on both sides) has to be there.

    Raises:
        click.UsageError: the range ends before it starts, is one closed day, or holds no day of any of the datasets;
            one line.
    """
    if start and end and end.last < start.first:
        raise click.UsageError(f"--to {end} lies before --from {start}; swap them")
    oldest, newest = start.first if start else None, end.last if end else None
    asked = " to ".join(dict.fromkeys(named.text for named in (start, end) if named))
    keys: dict[MarketDataset, list[str]] = {}
    outside: list[str] = []
    for dataset in datasets:
        try:
            check_reach(asked, oldest or date.min, newest or date.max, dataset.span, of=dataset.name)
        except OutsideSpan as error:
            outside.append(str(error))
        keys[dataset] = partition_keys(oldest, newest, partitions=dataset.partitions)
    if keys and len(outside) == len(keys):
        others = {1: "", 2: "; the other dataset does not have it either"}.get(
            len(outside), f"; the other {len(outside) - 1} datasets do not have it either"
        )
        raise click.UsageError(outside[0] + others)
    if start and end and not sessions(start.first, end.last):
        of_range = "" if start.first == end.last else f"no day from {asked} has a session: "
        raise click.UsageError(of_range + why_closed(start.first))
    return keys


def check_named_day(dataset: MarketDataset, text: str) -> str:
    """The key of a day that a person named for one dataset.

    Raises:
        click.UsageError: it does not have that day; one line.
    """
    try:
        return check_day(text, span=dataset.span, of=dataset.name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)
