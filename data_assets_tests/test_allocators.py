"""Which allocators this project's processes have, and a user's program that reads a lake."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

ARROW, ARENAS = "ARROW_DEFAULT_MEMORY_POOL", "MALLOC_ARENA_MAX"
ARROWS_POOL = "\nimport pyarrow as pa; print(pa.default_memory_pool().backend_name)"
ARENAS_OF_EIGHT_THREADS = """
import ctypes, os, re, tempfile, threading
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = (ctypes.c_int, ctypes.c_void_p), (ctypes.c_void_p,)
all_there = threading.Barrier(8)
def work():
    libc.malloc(50_000)
    all_there.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with tempfile.NamedTemporaryFile() as said:
    stream = libc.fopen(said.name.encode(), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(len(re.findall("<heap nr=", said.read().decode())))
"""
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
of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library has no arenas")


def answer(code: str, **said: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in (ARROW, ARENAS)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**environment, **said},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def arenas(code: str, **said: str) -> int:
    return int(answer(code + ARENAS_OF_EIGHT_THREADS, **said))


@pytest.mark.parametrize("code", [CODE_LOCATION, COMMAND], ids=["code location", "command"])
def test_arrow_gives_memory_of_the_projects_processes_back_early(code: str):
    assert answer(code + ARROWS_POOL) == "jemalloc"


def test_what_the_environment_says_of_arrow_holds():
    assert answer(CODE_LOCATION + ARROWS_POOL, **{ARROW: "system"}) == "system"


@of_glibc
@pytest.mark.parametrize("code", [CODE_LOCATION, COMMAND], ids=["code location", "command"])
def test_all_threads_of_the_projects_processes_share_one_arena(code: str):
    assert arenas(code) == 1


@of_glibc
def test_a_run_that_a_code_server_starts_has_one_arena_from_its_beginning():
    told = f"{CODE_LOCATION}\nimport os; print(os.environ[{ARENAS!r}])"
    assert arenas("", **{ARENAS: answer(told)}) == 1


@of_glibc
def test_what_the_environment_says_of_arenas_holds():
    assert 1 < arenas(CODE_LOCATION, **{ARENAS: "3"}) <= 3


@of_glibc
def test_what_a_tunable_says_of_arenas_holds():
    assert 1 < arenas(CODE_LOCATION, GLIBC_TUNABLES="glibc.malloc.arena_max=3") <= 3


@pytest.mark.parametrize("said", ["many", "", "-1", "²", "9" * 20])
def test_what_is_no_number_of_arenas_is_left_to_the_c_library(said: str):
    assert answer(f"{CODE_LOCATION}\nprint('loaded')", **{ARENAS: said}) == "loaded"


def test_a_program_that_reads_a_lake_keeps_its_allocators():
    assert answer(READER + ARROWS_POOL) == answer(ARROWS_POOL) != "jemalloc"
    if platform.libc_ver()[0] == "glibc":
        assert arenas(READER) > 8
