"""What the compiled code does as it is done on a machine without a compiler, for comparison; and that code with the
sanitizers of the compiler, in a process of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data_assets.lake import dictionary_places, page_checksums, stretches
from data_assets.quality import contract_runs
from data_assets.vendors.theta import strict_lines

COMPILER = shlex.split(os.environ.get("CC", "cc"))

# Where there is a compiler and nothing was compiled, the tests that need it fail, and `make setup` mends that.
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="there is no C compiler here")


@contextmanager
def without_compiled_code() -> Iterator[None]:
    """What begins meanwhile is as where data_assets was installed without a compiler."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (strict_lines, contract_runs, stretches, dictionary_places, page_checksums):
            assert module._FUNCTIONS is not None, "nothing is compiled: run `make setup`"
            patch.setattr(module, "_FUNCTIONS", None)
        yield


def said_sanitized(source: Path, program: str, library: Path) -> str:
    """Compile a C file for which no access is out of bounds, and return what a module prints that is given the library.

    Only a process that was started with the sanitizers' own library can load such code.
    """
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    made = [*COMPILER, "-std=c11", "-O1", "-g", "-fPIC", "-shared", *sanitize, "-o", str(library), str(source)]
    compiled = subprocess.run(made, capture_output=True, text=True, check=False)
    found = subprocess.run([*COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    preloaded = found.stdout.strip()
    if compiled.returncode or not Path(preloaded).is_absolute():
        pytest.skip(f"{COMPILER[0]} has no sanitizers that a running Python could load: {compiled.stderr}")
    environment = {**os.environ, "LD_PRELOAD": preloaded, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, "-m", program, str(library)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
