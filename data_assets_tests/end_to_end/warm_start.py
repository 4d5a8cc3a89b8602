"""The `data-assets` command in a process whose libraries are loaded already.

Here: a process that has imported what the command imports of others, and forks for each call; the fork is given its own
folder, environment, arguments and streams, imports this project's code afresh and calls what the executable calls. It
takes a fifth of the processor time of a start from nothing, most of which goes into Dagster's modules. Not here: the
executable itself, which tests start where the first instants of a process matter (`project_folder.Project`).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = (
    "alembic.command",
    "dagster.components",
    "dagster._core.instance.factory",
    "dagster._core.storage.noop_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._daemon.types",
    "exchange_calendars",
    "fsspec",
    "httpx",
    "ib_async",
    "isal.igzip",
    "jinja2",
    "obstore",
    "pandas_market_calendars",
    "polars",
    "psutil",
    "pyarrow.parquet",
    "pydantic_settings",
    "rich.live",
    "sqlalchemy.dialects.sqlite",
    "upath",
)
"""What a command imports of others. What is missing here is imported by the fork: slower, no less right."""

LONGEST_REQUEST = 1 << 20


class WarmProcess:
    """The command at work; has what `subprocess.Popen` has of the same name, as far as the tests use it.

    Attributes:
        args: its arguments.
        pid: its process.
        stdout: what it says there, as text.
        stderr: the same.
        returncode: how it ended, negative by a signal; None while it works.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start the command as its executable would with these arguments, in a folder, with all of its variables."""
        (status, its_status), (stdout, its_stdout), (stderr, its_stderr) = os.pipe(), os.pipe(), os.pipe()
        request = json.dumps({"arguments": [*arguments], "folder": str(folder), "environment": {**environment}})
        socket.send_fds(_server(), [request.encode()], [its_stdout, its_stderr, its_status])
        for descriptor in (its_stdout, its_stderr, its_status):
            os.close(descriptor)
        self.args = [*arguments]
        self.stdout, self.stderr = (os.fdopen(stream, encoding="utf-8") for stream in (stdout, stderr))
        self.returncode: int | None = None
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        with self._status:
            self.returncode = int(self._status.readline())
        self._over.set()

    def poll(self) -> int | None:
        """How it ended, or None."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        if not self._over.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; to one that is over, nothing."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> socket.socket:
    """The process that forks: one for the life of the tests' own process, which it does not outlive."""
    ours, its_own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its_own:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
        subprocess.Popen([sys.executable, __file__, str(its_own.fileno())], pass_fds=[its_own.fileno()])
    return ours


def serve(requests: socket.socket) -> None:
    """Fork for every request until the other end is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.path.pop(0)  # this folder, where the executable's own is
    for name in LIBRARIES:
        importlib.import_module(name)
    _read_the_migrations()
    gc.collect()
    gc.freeze()  # forks share these objects with this process, until a collection touches them
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _watch(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _read_the_migrations() -> None:
    """Dagster's database migrations, which belong to the libraries, and which the command reads once in its process."""
    from alembic.script import ScriptDirectory
    from dagster._core.storage import sql

    read = ScriptDirectory.from_config(sql.get_alembic_config(sql.__file__, "runs/sqlite/alembic/alembic.ini"))
    read.as_revision_number("head")
    ScriptDirectory.from_config = staticmethod(lambda _: read)  # type: ignore[assignment, method-assign]


def _watch(request: Mapping[str, Any], stdout: int, stderr: int, status: int) -> NoReturn:
    """Fork the command, and say its number and, when it is over, how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _become(request, stdout, stderr)
    os.close(stdout)
    os.close(stderr)
    os.write(status, f"{pid}\n".encode())
    os.write(status, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)


def _become(request: Mapping[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Be the command: its folder, variables, streams and arguments, and its end."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, number in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(ours, number)
        os.close(ours)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = [str(Path(sys.executable).with_name("data-assets")), *request["arguments"]]
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    code = 1
    try:
        from data_assets.cli import main

        main()
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
