"""Theta's lines as they are read on a machine without a compiler, for comparison with the compiled code."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from data_assets.quality import contract_runs
from data_assets.vendors.theta import strict_lines

COMPILER = shlex.split(os.environ.get("CC", "cc"))

# Where there is a compiler and nothing was compiled, the tests that need it fail, and `make setup` mends that.
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="there is no C compiler here")


@contextmanager
def without_compiled_code() -> Iterator[None]:
    """What begins meanwhile is as where data_assets was installed without a compiler."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (strict_lines, contract_runs):
            assert module._FUNCTIONS is not None, "nothing is compiled: run `make setup`"
            patch.setattr(module, "_FUNCTIONS", None)
        yield
