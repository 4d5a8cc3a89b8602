"""The blocks under `defs/` that can be used where one of them cannot.

Here: loading each block by itself, and one line for each that says something wrong. Not here: the code location, which
Dagster loads whole or not at all (`definitions`): in the UI a wrong block is an error with its place, and nothing is
missing without a word.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import ValidationError

from data_assets.lake.errors import one_line
from data_assets.orchestration.dagster_private import ComponentDecl, ComponentTreeException, YamlDecl
from data_assets.orchestration.dataset import datasets_of_this_process

BLOCKS = "defs.yaml"
_LENGTH = 300


def load_blocks(package: str) -> tuple[dg.Definitions, list[str]]:
    """What the blocks of a package's folder define, without those that say something wrong.

    Args:
        package: the package with a `defs.yaml` in each folder, such as defs.

    Returns:
        The definitions, and for each block that was left out one line that names the file and what is wrong with it.
    """
    root = Path(next(iter(importlib.import_module(package).__path__)))
    found: list[dg.Definitions] = []
    wrong: list[str] = []
    defined: dict[str, Path] = {}
    for file in sorted(root.rglob(BLOCKS)):
        try:
            blocks = list(_blocks(root, file, package))
        except Exception as error:  # noqa: BLE001  whatever it is, it is about this file
            wrong.append(_line(root, file, error))
            continue
        for tree, block in blocks:
            before = dict(datasets_of_this_process)
            try:
                built = tree.build_defs(block.loc)
                names = dict.fromkeys(_datasets(built), "name another symbol here")
                names |= dict.fromkeys(_sensors(built), "give its folder another name")
                _refuse_repeats(names, defined)
            except Exception as error:  # noqa: BLE001  and here about this block
                datasets_of_this_process.clear()  # it may have made some before it came to what is wrong
                datasets_of_this_process.update(before)
                wrong.append(_line(root, file, error))
            else:
                found.append(built)
                defined |= dict.fromkeys(names, file.relative_to(root.parent))
    return dg.Definitions.merge(*found), wrong


def _blocks(root: Path, file: Path, package: str) -> Iterator[tuple[dg.ComponentTree, ComponentDecl[dg.Component]]]:
    """The documents of one file, each with the tree that builds it; a tree of one file minds no other."""
    module = importlib.import_module(".".join((package, *file.parent.relative_to(root).parts)))
    tree = dg.ComponentTree.from_module(module, root.parent)
    for _, each in tree.find_root_decl().iterate_loc_component_decl_pairs():
        if isinstance(each, YamlDecl):
            yield tree, each


def _datasets(defs: dg.Definitions) -> list[str]:
    """The assets that a block defines."""
    return [
        key.to_user_string()
        for each in defs.assets or ()
        for key in (
            each.keys if isinstance(each, dg.AssetsDefinition) else [each.key] if isinstance(each, dg.AssetSpec) else []
        )
    ]


def _sensors(defs: dg.Definitions) -> list[str]:
    """The sensors that a block defines; they are named after its folder."""
    return [f"sensor {each.name}" for each in defs.sensors or ()]


def _refuse_repeats(names: Mapping[str, str], defined: Mapping[str, Path]) -> None:
    """Refuse a block that defines what an earlier one does; Dagster would take none of all the blocks.

    Args:
        names: what it defines -> what to do where that is defined already.
        defined: what earlier ones define -> their file.

    Raises:
        ValueError: it does; the text names the first of these datasets or sensors, and the file that has it.
    """
    for name, advice in names.items():
        if name in defined:
            raise ValueError(f"{name} is defined by {defined[name]} already: {advice}, or remove one of the two")


def _line(root: Path, file: Path, error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, ComponentTreeException) and error.__cause__ is not None else error
    found = map(_said, cause.errors()) if isinstance(cause, ValidationError) else [str(cause)]
    said = "; ".join(dict.fromkeys(found))
    return f"{root.name}/{file.relative_to(root)}: {one_line(said.replace(str(file), file.name), _LENGTH)}"


def _said(error: Any) -> str:
    """What is wrong with one value; of a text that YAML takes for something else (ON, 16:00:00), what to do."""
    place = re.sub(r"\.(constrained-)?str\b", "", ".".join(map(str, error["loc"])))
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float):
        return f"{place}: put it into quotes, because YAML reads it as {error['input']!r}"
    return f"{place}: {error['msg']} (got {error['input']!r})"
