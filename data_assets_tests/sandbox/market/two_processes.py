"""What two processes make of one program, each with hashes of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def said_by_two_processes(program: str) -> list[str]:
    """What a program prints in each; both must end well."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return said
