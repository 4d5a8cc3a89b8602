"""The project a command works in: its folder, its Dagster instance, its datasets.

Here: finding them, and refusing a name that does not exist. Not here: choosing several of them (`selection`),
and what is done with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

import click
import dagster as dg

from data_assets.cli.known_names import remember_names
from data_assets.cli.line_breaks import say
from data_assets.cli.starting import end_loading
from data_assets.cli.told_waits import tell_waits
from data_assets.dataset_names import one_named
from data_assets.files import tempfiles
from data_assets.ingest.state_folder import refusing_unusable_state
from data_assets.lake.lake import Lake
from data_assets.orchestration.assets import with_assets
from data_assets.orchestration.coordination import coordination_of, sharing
from data_assets.orchestration.dagster_private import InstanceRef, NoOpComputeLogManager
from data_assets.orchestration.dataset import MarketDataset, datasets_of_this_process, served_datasets
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.postgres_driver import check_driver, refusing_unusable_driver
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.orchestration.run_liveness import end_interrupted_runs
from data_assets.orchestration.state_storage import RunHistory
from data_assets.project import PROJECT, mount_defs, project_folder, state_folder
from data_assets.settings import settings
from data_assets.wiring import open_lake

EXIT_OK, EXIT_SOME_DAY_DOES_NOT = 0, 1

blocks_left_out: list[str] = []
"""The blocks that this process could not load, a line each. All datasets do not hold while there is one."""


def enter_project() -> Path:
    """Go to the project's folder, as `dagster dev` is started there; where its lake is in a bucket, tell of long waits.

    Raises:
        NoProject: there is none.
        SettingsError: a setting is wrong.
    """
    folder = project_folder()
    if os.environ.get(PROJECT):
        os.environ[PROJECT] = str(folder)  # a relative one would mean another folder from there
    os.chdir(folder)
    os.environ.setdefault("DAGSTER_HOME", str(folder))
    if "://" in settings().lake_url:
        tell_waits()
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
        end_loading()
        yield instance


@contextmanager
def counted_with_runs() -> Iterator[None]:
    """Let what a command asks of a vendor itself count with what runs ask, wherever they are.

    The embedded history is not opened for it: what its processes share lies in files.

    Raises:
        StateUnusable: the run history cannot be opened.
    """
    ref = InstanceRef.from_dir(os.environ["DAGSTER_HOME"])
    if ref.storage_data is not None and ref.storage_data.class_name == RunHistory.__name__:
        yield
        return
    with (
        refusing_unusable_state(_state_folder(ref)),
        _get_instance(ref) as instance,
        sharing(coordination_of(instance)),
    ):
        yield


def lake_that_is_there() -> Lake:
    """The project's lake, for commands that read it and not the run history.

    Raises:
        LakeUnusable: the lake that the run history speaks of is not there.
    """
    lake = open_lake()
    datasets()  # whose records tell
    with open_instance():
        return lake


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
    with tempfiles.locked_folder(Path(os.environ["DAGSTER_HOME"])), refusing_unusable_driver():
        instance = dg.DagsterInstance.from_ref(ref)
        check_driver(instance)
        return instance


@cache
def definitions() -> dg.Definitions:
    """What the code location defines, loaded once; where a block under ``defs`` says something wrong, without it."""
    from data_assets.definitions import with_policy

    with _loading(assets=True):
        return with_policy(_load())


def _load() -> dg.Definitions:
    """What the blocks under ``defs`` define.

    Each block that is left out is said in one line on stderr: the other datasets have nothing to do with it. Block by
    block is also the quicker way: Dagster's own adds the schemas of every known component for the UI.
    """
    from data_assets.cli.blocks import load_blocks

    settings()
    datasets_of_this_process.clear()
    usable, wrong = load_blocks(mount_defs())
    if unsaid := [line for line in wrong if line not in blocks_left_out]:
        end_loading()
    for line in unsaid:
        say(f"Error: {line}; correct it: its dataset is left out, the others work", err=True)
    blocks_left_out[:] = wrong
    return usable


def datasets_alone() -> AbstractContextManager[None]:
    """Load datasets, where that is still to be done, without assets for most: for a command that only looks at days."""
    return _loading(assets=False)


@contextmanager
def _loading(*, assets: bool) -> Iterator[None]:
    before = with_assets.set(assets)
    try:
        yield
    finally:
        with_assets.reset(before)


@cache
def datasets() -> dict[str, MarketDataset]:
    """Every dataset by its name."""
    if with_assets.get() or definitions.cache_info().currsize:
        definitions()
    else:
        _load()
    found = served_datasets()
    if not blocks_left_out:
        remember_names(found)
    return found


def find_dataset(name: str) -> MarketDataset:
    """The dataset of a name, as it was written.

    Raises:
        click.UsageError: no such dataset; the text names the nearest one, unless a block that was left out may be it.
    """
    try:
        return datasets()[one_named(datasets(), name)]
    except ValueError as error:
        raise unknown(error) from None


def unknown(error: ValueError) -> click.UsageError:
    """What is said of a name that means no dataset; a block that was left out may define it."""
    if blocks_left_out:
        what = str(error).partition(";")[0]
        return click.UsageError(f"{what} in the blocks that could be loaded: correct the other")
    return click.UsageError(str(error))
