"""Which allocator Arrow has in this project's processes, and in a user's program that reads a lake."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NAMED = "\nimport pyarrow as pa; print(pa.default_memory_pool().backend_name)"
CODE_LOCATION = "import data_assets.definitions"
COMMAND = """
import contextlib, os, sys
from data_assets.cli import main
sys.argv = ["data-assets", "--version"]
with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.suppress(SystemExit):
    main()
"""
READER = "from data_assets import Lake"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other builds of Arrow may not have jemalloc"),
]


def allocator(code: str, said: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    if said is not None:
        environment["ARROW_DEFAULT_MEMORY_POOL"] = said
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + NAMED],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stderr == ""
    return answer.stdout.strip()


@pytest.mark.parametrize("code", [CODE_LOCATION, COMMAND], ids=["code location", "command"])
def test_the_projects_processes_give_memory_back_early(code: str):
    assert allocator(code) == "jemalloc"


def test_what_the_environment_says_holds():
    assert allocator(CODE_LOCATION, "system") == "system"


def test_a_program_that_reads_a_lake_keeps_its_allocator():
    assert allocator(READER) == allocator("") != "jemalloc"
