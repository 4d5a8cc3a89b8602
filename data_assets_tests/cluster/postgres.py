"""A real PostgreSQL in a folder of its own, for tests and benchmarks.

Here: starting and ending it, and its databases. Not here: any expectation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_assets_tests.cluster.afterwards import afterwards, free_port

PATIENT = ("-t", "300")
"""How long it may take to start and to stop; its own default is a minute, which a busy machine may need."""

STOP = """
if server=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then
  kill -QUIT "$server"
  while kill -0 "$server" 2>/dev/null; do sleep 0.1; done
fi
rm -rf "$1"
"""
"""Of what is in a folder: end the server at once, and leave nothing."""


def is_installed() -> bool:
    """Whether the server's programs are on this machine."""
    return bool(_found("initdb"))


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
        command = [
            _program("pg_ctl"),
            "-D",
            self.folder / "data",
            "-l",
            self.folder / "log",
            "-w",
            *PATIENT,
            *arguments,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=_owner(), cwd=self.folder)

    def start(self, *, durable: bool = False) -> None:
        """Start it; its data are as they were. Where nobody cares for a power cut, it need not wait for its disk."""
        fsync = "on" if durable else "off"
        self.control("-o", f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync={fsync}", "start")

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


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[Postgres]:
    """A server that is stopped and removed at the end; `durable` as in `Postgres.start`."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if owner := _owner():
        shutil.chown(folder, owner)
    server = Postgres(folder, free_port())
    with afterwards(STOP, str(folder)):
        server.control("-o", "-A trust -U dagster --no-sync", "initdb")
        server.start(durable=durable)
        yield server


def _found(name: str) -> list[str]:
    below = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return [*sorted(map(str, below)), *filter(None, [shutil.which(name)])]


def _program(name: str) -> str:
    found = _found(name)
    assert found, f"{name} is not installed; `make test-cluster` installs it"
    return found[0]


def _owner() -> str | None:
    return "postgres" if os.getuid() == 0 else None
