"""The blocks under `defs/` that can be used where one of them cannot.

Here: loading each block by itself, and one line for each that says something wrong. Not here: the code location, which
Dagster loads whole or not at all (`definitions`): in the UI a wrong block is an error with its place, and nothing is
missing without a word.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from pydantic import ValidationError

from data_assets.lake.errors import one_line
from data_assets.orchestration.dagster_private import ComponentDecl, ComponentTreeException, YamlDecl

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
    for file in sorted(root.rglob(BLOCKS)):
        try:
            blocks = list(_blocks(root, file, package))
        except Exception as error:  # noqa: BLE001  whatever it is, it is about this file
            wrong.append(_line(root, file, error))
            continue
        for tree, block in blocks:
            try:
                found.append(tree.build_defs(block.loc))
            except Exception as error:  # noqa: BLE001  and here about this block
                wrong.append(_line(root, file, error))
    return dg.Definitions.merge(*found), wrong


def _blocks(root: Path, file: Path, package: str) -> Iterator[tuple[dg.ComponentTree, ComponentDecl[dg.Component]]]:
    """The documents of one file, each with the tree that builds it; a tree of one file minds no other."""
    module = importlib.import_module(".".join((package, *file.parent.relative_to(root).parts)))
    tree = dg.ComponentTree.from_module(module, root.parent)
    for _, each in tree.find_root_decl().iterate_loc_component_decl_pairs():
        if isinstance(each, YamlDecl):
            yield tree, each


def _line(root: Path, file: Path, error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, ComponentTreeException) and error.__cause__ is not None else error
    if isinstance(cause, ValidationError):
        found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']} (got {each['input']!r})" for each in cause.errors()]
        said = "; ".join(found)
    else:
        said = str(cause)
    return f"{root.name}/{file.relative_to(root)}: {one_line(said.replace(str(file), file.name), _LENGTH)}"
