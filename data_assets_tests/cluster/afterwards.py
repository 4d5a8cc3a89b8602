"""What these tests start outside their own process ends with them, however they end.

Here: cleaning up behind a process that may be killed at any instant, and ports for its servers. Not here: what is to be
cleaned up.
"""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

TIED = ("setpriv", "--pdeathsig", "KILL")
"""Put before a command: it is killed when the thread that started it ends."""

BELOW_EPHEMERAL = range(20_000, 32_000)
"""Ports that neither a connection outwards nor whoever asks for any free one is given, by Linux' defaults."""


@contextmanager
def afterwards(script: str, *arguments: str) -> Iterator[None]:
    """Run a shell script at the end; by a process of its own, which also runs it if this one is killed first.

    What reads from a pipe whose only writer has died reads its end: that is the signal.
    """
    command = ["sh", "-c", f"cat >/dev/null; {script}", "sh", *arguments]
    waiting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        waiting.communicate()


def free_port() -> int:
    """A port of loopback that nothing listens on, nor is likely to before the caller's server does."""
    while True:
        port = random.choice(BELOW_EPHEMERAL)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
