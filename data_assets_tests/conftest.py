"""What every test gets: no deadline on a shared machine, and no settings of the person who runs them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

gc.set_threshold(50_000)  # a collection goes through all of Dagster, and the default asks for thousands of them

# A run of hypothesis on a busy machine is slow now and then; that says nothing about the code.
hypothesis.settings.register_profile("shared_machine", deadline=None)
hypothesis.settings.load_profile("shared_machine")

for name in list(os.environ):
    if name.startswith(("DATA_ASSETS_", "THETA_", "POLYGON_", "IB_", "ALERT_")) or name in (
        "DAGSTER_HOME",
        "AWS_PROFILE",
        "COLUMNS",  # as pytest-xdist sets it, for no terminal
    ):
        del os.environ[name]


@pytest.fixture(autouse=True)
def _where_it_began() -> Iterator[None]:
    """A test that leaves its process in another folder fails by itself, and not all that come after it."""
    before = Path.cwd()
    yield
    after = Path.cwd()
    os.chdir(before)
    assert after == before


def pytest_collection_finish() -> None:
    """What is loaded by now stays: no later collection has to go through it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """DuckDB's binding calls what is never collected a leak."""
    gc.unfreeze()
