"""Memory that Arrow has done with, given back to the system by the processes of this project.

Arrow's usual allocator, mimalloc, keeps what was freed for longer: a process that stores days with it takes more memory
and more processor time (docs/performance.md) than with jemalloc, which Arrow's builds for Linux have too.

Here: which allocator. Not here: how much memory may be in use (``ingest.concurrency``).
"""

from __future__ import annotations

import os
import sys

_VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"


def give_back_early() -> None:
    """Let Arrow allocate by jemalloc, unless the environment says otherwise; to be called before Arrow is imported.

    By Arrow's own variable, which holds for its encoders too; what pyarrow is told later does not
    (`findings/pyarrow_set_memory_pool_leaves_the_writer.sh`).
    For this project's processes: a reader of the lake in a user's program leaves his Arrow as it is.
    """
    if sys.platform == "linux":
        os.environ.setdefault(_VARIABLE, "jemalloc")
