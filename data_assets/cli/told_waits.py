"""A line on stderr when a command has waited for the lake's object store for longer than usual.

Here: what a command asks by itself. Not here: the waits of a run, which its display shows.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import datetime
from functools import cache

from data_assets.ingest.waiting import Waits, run_waits, waiting_for_the_lake
from data_assets.lake.patient_store import store_wait

_LOOK_AGAIN_SECONDS = 0.5


def tell_waits() -> None:
    """From now on, tell each wait once, with since when and until when it lasts."""
    run_waits.set(_told())
    store_wait.set(waiting_for_the_lake)


@cache
def _told() -> Waits:
    """The waits of this process's command, and a thread that tells them."""
    waits = Waits()
    threading.Thread(target=_tell, args=(waits,), name="told-waits", daemon=True).start()
    return waits


def _tell(waits: Waits) -> None:
    told: set[tuple[str, datetime]] = set()
    while True:
        time.sleep(_LOOK_AGAIN_SECONDS)
        for wait in waits.current():
            if (key := (wait.what, wait.since)) not in told:
                told.add(key)
                sys.stderr.write(f"{wait}\n")
                sys.stderr.flush()
