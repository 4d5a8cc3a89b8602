"""Three stored days, made once for all tests of a module, each of which gets a copy of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_assets.cli.local_run import run_range
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three_days")
    with in_process_project(folder) as project:
        run_range(project.instance, ASSET, DAYS[0], DAYS[-1])
    return folder


@pytest.fixture
def stored(three_days: Path, tmp_path: Path) -> Iterator[InProcess]:
    """A project that has stored DAYS, and whose vendor has been asked for nothing since."""
    shutil.copytree(three_days, tmp_path, dirs_exist_ok=True)
    with in_process_project(tmp_path) as project:
        yield project
