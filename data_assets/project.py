"""The project of a user: the folder that holds its blocks, its settings and its run history.

The package is installed somewhere and never written to; a project is a folder that `data-assets init` has written, or a
clone of the repository. Dagster's own processes ask for it too, before any of them has read the settings.

Here: finding the project, its state folder, and its blocks as a package. Not here: writing a new one (`cli.init`), and
the settings (`settings`).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

PROJECT, STATE = "DATA_ASSETS_PROJECT", "DATA_ASSETS_STATE"
FILES = ("workspace.yaml", "dagster.yaml")
"""A folder that has one of them is a project."""

ENV_FILE = ".env"
DEFS = "defs"
"""The folder of the blocks, and the package that it is imported as."""


class SettingsError(ValueError):
    """A variable is wrong; the text names it, says what it accepts, and holds no value of a secret."""


class NoProject(SettingsError):
    """There is no project where one was looked for; the text says where that was, and how to get one."""


def project_folder() -> Path:
    """The project, absolute; it is looked for anew each time.

    The first that there is: `DATA_ASSETS_PROJECT`; the nearest folder from the working directory upwards with a
    `workspace.yaml` or a `dagster.yaml`; `DAGSTER_HOME`.

    Raises:
        NoProject: there is none of them.
    """
    if named := os.environ.get(PROJECT):
        folder = Path(named).expanduser().absolute()
        if not _is_project(folder):
            raise NoProject(
                f"{folder}: is not a project: it has neither {' nor '.join(FILES)}; make one there with "
                f"`data-assets init {folder}`, or name another with --project or {PROJECT}"
            )
        return folder
    here = Path.cwd()
    home = [Path(os.environ["DAGSTER_HOME"]).absolute()] if os.environ.get("DAGSTER_HOME") else []
    for folder in (here, *here.parents, *home):
        if _is_project(folder):
            return folder
    raise NoProject(
        f"{here}: no project here or in a folder above, as none has {' or '.join(FILES)}; make one with "
        f"`data-assets init FOLDER` and go there, or name yours with --project or {PROJECT}"
    )


def _is_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


def state_folder() -> Path:
    """Where the run history, what vendors' clients remember, and caches are: `DATA_ASSETS_STATE`, by default `.state`.

    A relative one is taken from the project's folder.

    Raises:
        NoProject: see `project_folder`.
        SettingsError: `.env` is no text.
    """
    folder = project_folder()
    return folder / Path(os.environ.get(STATE) or read_env_file(folder).get(STATE) or ".state").expanduser()


def named_state_folder() -> Path | None:
    """The state folder if `DATA_ASSETS_STATE` names one: for caches of code that is used without a project too."""
    with suppress(SettingsError):
        folder = project_folder()
        return state_folder() if os.environ.get(STATE) or read_env_file(folder).get(STATE) else None
    return Path(os.environ[STATE]).expanduser().absolute() if os.environ.get(STATE) else None


def shown_state_folder() -> str:
    """The state folder as a person in the project's folder would write it."""
    folder, state = project_folder(), state_folder()
    return str(state.relative_to(folder) if state.is_relative_to(folder) else state)


def read_env_file(folder: Path) -> dict[str, str | None]:
    """What stands in the project's `.env`; nothing if it has none.

    Raises:
        SettingsError: it is no text.
    """
    from dotenv import dotenv_values  # not for `--help`

    try:
        return dotenv_values(folder / ENV_FILE)
    except UnicodeDecodeError:
        raise SettingsError(f"{folder / ENV_FILE}: is not UTF-8 text; save it again as UTF-8") from None


def mount_defs(copied_to: Path | None = None) -> str:
    """Make the project's blocks the package `defs` of this process, in place of another project's; return its name.

    Args:
        copied_to: a folder that holds a copy of them, which is taken instead.

    Raises:
        NoProject: there is none, or it has no blocks.
    """
    folder = copied_to or project_folder() / DEFS
    if not folder.is_dir():
        raise NoProject(
            f"{folder}: is not there, so this project has no datasets; make a new project elsewhere with "
            f"`data-assets init FOLDER` and copy its {DEFS} here"
        )
    for name in [name for name in sys.modules if name == DEFS or name.startswith(f"{DEFS}.")]:
        del sys.modules[name]
    spec = ModuleSpec(DEFS, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[DEFS] = module_from_spec(spec)
    return DEFS
