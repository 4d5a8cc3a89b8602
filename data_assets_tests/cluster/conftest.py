"""A real PostgreSQL of these tests' own, for `make test-cluster`; without it nothing here is collected."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from data_assets_tests.cluster.postgres import Postgres, postgres_server

collect_ignore_glob = [] if os.environ.get("TEST_CLUSTER") else ["test_*.py"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started once for each of the tests' processes."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def history_url(postgres: Postgres) -> str:
    """The URL of an empty database."""
    return postgres.new_database()
