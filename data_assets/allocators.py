"""Memory that is done with, given back by the processes of this project instead of kept.

Arrow's usual allocator, mimalloc, keeps what was freed for longer: a process that stores days with it takes more memory
and more processor time than with jemalloc, which Arrow's builds for Linux have too.

Linux's C library, by which Python, NumPy and our own code allocate, has up to eight arenas for each processor and hands
them out to new threads, and each arena keeps the largest blocks that any thread had in it. With one for all threads a
process that has stored forty days takes half of the memory, and no more time (docs/performance.md).

Here: which allocators. Not here: how much memory may be in use (``ingest.concurrency``).
"""

from __future__ import annotations

import ctypes
import os
import sys

_ARROW = "ARROW_DEFAULT_MEMORY_POOL"
_ARENAS, _TUNABLE = "MALLOC_ARENA_MAX", "glibc.malloc.arena_max"
_M_ARENA_MAX = -8  # malloc.h of glibc


def give_back_early() -> None:
    """Let Arrow allocate by jemalloc and the C library in one arena, unless the environment says otherwise.

    To be called before Arrow is imported and a thread is started. Arrow is told by its own variable, which holds for
    its encoders too; what pyarrow is told later does not (`findings/pyarrow_set_memory_pool_leaves_the_writer.sh`).
    The C library reads its variable as a process begins, so this process tells it by a call, and the variable is for
    those that it starts: the code server, to which the call may come too late, starts runs.
    For this project's processes: a reader of the lake in a user's program leaves his allocators as they are.
    """
    if sys.platform != "linux":
        return
    os.environ.setdefault(_ARROW, "jemalloc")
    if _ARENAS not in os.environ and _TUNABLE not in os.environ.get("GLIBC_TUNABLES", ""):
        os.environ[_ARENAS] = "1"
        if hasattr(library := ctypes.CDLL(None), "mallopt"):
            library.mallopt(_M_ARENA_MAX, 1)
