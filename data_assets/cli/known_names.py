"""The project's dataset names, remembered: a wrong KEY is refused, and a begun one completed, without loading anything.

Loading the blocks takes a second. So whoever has loaded them leaves the names in the state folder, with a digest of the
files that they came from; after a change of any of these they are unknown again. The file may be deleted at any time.

Judgement: names are remembered only where the files under `defs` alone decide them: not where a block runs code of the
project's own, takes a value from the environment, or reads a list that lies elsewhere.

Here: remembering, and what needs no more than names. Not here: what a key means (`dataset_names`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

import data_assets
from data_assets.dataset_names import folders, named, one_named
from data_assets.project import DEFS, SettingsError, project_folder, read_env_file, state_folder

FILE = "known_names.json"
VENDORS = "DATA_ASSETS_VENDORS"
"""The setting that leaves datasets out; see `settings`, which is too heavy for this."""
DAGSTERS = ":"
"""Stands in Dagster's own selection syntax, and in no name."""

_OURS = Path(data_assets.__file__).parent
_MAKE_DATASETS = ("vendors", "comparison", "export")
_TYPE = re.compile(r"^type:[ \t]*['\"]?([\w.]*)", re.MULTILINE)
_ELSEWHERE = re.compile(r"\{\{|tickers_file:[ \t]*['\"]?(/|~|[^\n]*\.\.)")


def known_names() -> list[str] | None:
    """The names, sorted; None where they are not known."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        remembered = json.loads((state_folder() / FILE).read_text("utf-8"))
        if remembered["digest"] == _digest(project_folder() / DEFS):
            return [str(name) for name in remembered["names"]]
    return None


def remember_names(names: Iterable[str]) -> None:
    """Keep the names of all the project's datasets, if its files alone decide them."""
    with suppress(OSError, SettingsError):
        defs = project_folder() / DEFS
        digest = _digest(defs)
        if digest is None or not all(_decides_alone(file) for file in defs.rglob("*.yaml")):
            return
        file = state_folder() / FILE
        text = json.dumps({"digest": digest, "names": sorted(names)})
        if not file.exists() or file.read_text("utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            written = file.with_name(f".{FILE}.{os.getpid()}")
            written.write_text(text, "utf-8")
            written.replace(file)


def refuse_unknown(keys: Iterable[str], *, alone: bool = False) -> None:
    """Refuse keys that mean no dataset, as far as the names are known.

    Args:
        keys: as they were written.
        alone: whether each has to be one dataset's name.

    Raises:
        click.UsageError: one means none; one line.
    """
    asked = [key for key in keys if DAGSTERS not in key]
    names = known_names() if asked else None
    for key in asked if names is not None else ():
        try:
            _ = one_named(names or [], key) if alone else named(names or [], key)
        except ValueError as error:
            raise click.UsageError(str(error)) from None


def names_begun(names: Iterable[str], begun: str) -> list[str]:
    """The names and folders of names that begin so."""
    there = list(names)
    return sorted(name for name in {*there, *folders(there)} if name.startswith(begun))


def _digest(defs: Path) -> str | None:
    """Of the names, sizes and times of the files that make datasets; None if one of them is code of the project's."""
    served = os.environ.get(VENDORS) or read_env_file(defs.parent).get(VENDORS)
    seen = hashlib.sha256(f"{data_assets.__version__} {served}\n".encode())
    for root in (defs, *(_OURS / name for name in _MAKE_DATASETS)):
        for folder, below, files in os.walk(root, followlinks=True):
            below[:] = sorted(name for name in below if name != "__pycache__")
            for name in sorted(files):
                if root == defs and name.endswith(".py"):
                    return None
                file = Path(folder, name)
                status = file.stat()
                seen.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return seen.hexdigest()


def _decides_alone(block: Path) -> bool:
    text = block.read_text("utf-8", errors="replace")
    return not _ELSEWHERE.search(text) and all(kind.startswith("data_assets.") for kind in _TYPE.findall(text))
