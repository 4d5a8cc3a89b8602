"""A real PostgreSQL of these tests' own, for `make test-cluster`; without it nothing here is collected."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("TEST_CLUSTER") else ["test_*.py"]


@dataclass(frozen=True)
class Postgres:
    """A server in a folder of its own.

    Attributes:
        folder: where its files are.
        port: where it listens, on loopback only.
    """

    folder: Path
    port: int

    def control(self, *arguments: str) -> None:
        """Run `pg_ctl`, and wait for what it does. The server refuses to be root's."""
        command = [_program("pg_ctl"), "-D", self.folder / "data", "-l", self.folder / "log", "-w", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=_owner(), cwd=self.folder)

    def start(self) -> None:
        """Start it; its data are as they were."""
        self.control("-o", f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off", "start")

    def stop(self) -> None:
        """Stop it at once, as a restart of its machine does."""
        self.control("-m", "immediate", "stop")

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        import psycopg2  # of an extra, and this file is loaded by every run of the suite

        name = f"history_{uuid.uuid4().hex[:12]}"
        there = psycopg2.connect(host="127.0.0.1", port=self.port, user="dagster", dbname="postgres")
        there.autocommit = True
        with there.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        there.close()
        return f"postgresql+psycopg2://dagster@127.0.0.1:{self.port}/{name}"


def _program(name: str) -> str:
    found = [*sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), *filter(None, [shutil.which(name)])]
    assert found, f"{name} is not installed; `make test-cluster` installs it"
    return str(found[0])


def _owner() -> str | None:
    return "postgres" if os.getuid() == 0 else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started once for each of the tests' processes."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if owner := _owner():
        shutil.chown(folder, owner)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Postgres(folder, free.getsockname()[1])
    try:
        server.control("-o", "-A trust -U dagster --no-sync", "initdb")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def history_url(postgres: Postgres) -> str:
    """The URL of an empty database."""
    return postgres.new_database()
