"""What is not public of Dagster is taken in one place, and is there in the version that is installed."""

from __future__ import annotations

import ast
from pathlib import Path

import dagster as dg
import pytest

import data_assets
from data_assets.orchestration import dagster_private

PACKAGE = Path(data_assets.__file__).parent
PUBLIC = set(dir(dg)) | set(dir(dg.components))


def imported(file: Path) -> set[str]:
    """The modules that a file imports from."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_nothing_private_of_dagster_is_imported_anywhere_else() -> None:
    found = {
        str(file.relative_to(PACKAGE)): private
        for file in PACKAGE.rglob("*.py")
        if (private := {name for name in imported(file) if name.startswith(("dagster._", "dagster.components.core"))})
    }

    assert set(found) == {"orchestration/dagster_private.py"}


@pytest.mark.parametrize("name", dagster_private.__all__)
def test_each_name_is_there_and_still_private(name: str) -> None:
    assert getattr(dagster_private, name) is not None
    assert name not in PUBLIC, "it has become public: import it from there"
