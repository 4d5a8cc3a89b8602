"""A project folder for each test, and a Theta-compatible server that several processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from data_assets.sandbox.serving import SandboxTheta
from data_assets_tests.end_to_end.project_folder import Project, live

CONTRACTS = 8


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Makes projects: `new_project("name", VARIABLE="value")`. Their processes end with the test."""
    made: list[Project] = []

    def make(name: str = "project", **environment: str) -> Project:
        made.append(Project(tmp_path / name, **environment))
        return made[-1]

    yield make
    for project in made:
        project.close()


@pytest.fixture
def theta() -> Iterator[Callable[..., SandboxTheta]]:
    """Starts servers that a live project takes for a terminal: `theta(faults=[...])`; small days by default."""
    with ExitStack() as servers:

        def start(**options: Any) -> SandboxTheta:
            return servers.enter_context(SandboxTheta(**{"contracts": CONTRACTS, "says_synthetic": False, **options}))

        yield start


@pytest.fixture
def live_project(new_project: Callable[..., Project]) -> Callable[..., Project]:
    """Makes projects in the live profile: `live_project(server, "name", VARIABLE="value")`."""

    def make(server: SandboxTheta, name: str = "project", **environment: str) -> Project:
        return new_project(name, **live(server.base_url, **environment))

    return make
