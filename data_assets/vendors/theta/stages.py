"""The threads that the days of a source pass through, one for each stage.

Bodies of several requests and days arrive at once, but no stage takes as long as receiving them does. So one thread
keeps up with all of them. A thread for each body and each file made them compete with the event loop for few
processors, and worked ahead on what nobody could take yet: two processors took a tenth longer, for more memory.

Here: the threads. Not here: what they do (``intake``, ``lake.parquet_file``).
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stages:
    """The threads of one source; they end with it.

    Attributes:
        parse: text becomes rows.
        keep: rows are put in their order, after they were parsed in the same order. A day's end, which waits for the
            disk, has a thread of its own.
        encode: rows in their order become row groups.
    """

    parse: Executor
    keep: Executor
    encode: Executor


def new_stages() -> Stages:
    """Threads that begin with the first work they get."""
    return Stages(*(ThreadPoolExecutor(1, f"theta-{stage}") for stage in ("parse", "keep", "encode")))
