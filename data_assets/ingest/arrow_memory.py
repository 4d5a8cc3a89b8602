"""Memory that Arrow has done with, given back to the system by the process that stores days.

Arrow's usual allocator, mimalloc, keeps what was freed: at the end of a large day of snapshots it held 510 MB, of which
200 were in use. jemalloc, which Arrow's builds have too, gives back what nobody took for a second, and a day takes less
processor time with it (measured with pyarrow 26, see docs/performance.md).

Here: which allocator. Not here: how much may be in use (``concurrency``).
"""

from __future__ import annotations

import pyarrow as pa

_ALLOCATOR = "jemalloc"


def give_back_early() -> None:
    """Let Arrow allocate by jemalloc from now on, in this whole process; nothing where its build has none.

    For processes of this project only: a reader of the lake in a user's program leaves his Arrow as it is.
    """
    if _ALLOCATOR in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
