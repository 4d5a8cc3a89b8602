"""Code in C beside a module: where its library lies, and loading it.

A build of the package compiles each `*.c` in it where there is a compiler (``hatch_build.py``), into a shared library
beside it. Without one the module does its work without it, more slowly. A library is found by a name that says what it
was compiled from and for, so that one of another version of the code, or of another machine, is never taken for it.

Here: the name, loading, and what is not there to be loaded. Not here: compiling, and what the functions do. Imports
nothing of the project, because a build reads this file too.
"""

from __future__ import annotations

import ctypes
import hashlib
import sysconfig
from collections.abc import Callable
from pathlib import Path


def library_path(source: Path) -> Path:
    """Where the library of a source file lies, if it was compiled."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    return source.with_name(f"{source.stem}-{sysconfig.get_platform()}-{digest}.so")


def library(source: Path) -> ctypes.CDLL | None:
    """Load the library of a source file; its functions let other threads run.

    Returns:
        None if it was not compiled, or not for this machine.
    """
    try:
        return ctypes.CDLL(str(library_path(source)))
    except OSError:
        return None


def functions(module: str, declared: Callable[[ctypes.CDLL], ctypes.CDLL]) -> ctypes.CDLL | None:
    """Load the library of the C file beside a module.

    Args:
        module: the module's file.
        declared: says of the functions what they take and return.

    Returns:
        None as of `library`.
    """
    found = library(Path(module).with_suffix(".c"))
    return None if found is None else declared(found)


def left_out() -> list[str]:
    """Names of the package's C files that are not compiled for this machine: their work is done without them."""
    sources = Path(__file__).parent.rglob("*.c")
    return sorted(source.name for source in sources if library(source) is None)
