"""As many ingest steps at a time per vendor account as it allows, usually one, across all processes of this machine.

Dagster's pool is the limit that people see and that holds across machines. On SQLite, though, two runs that claim a
slot at the same instant can both get it, because the claim reads and writes in two statements. So a file lock stands
behind the pool. The kernel releases the lock of a process that dies, however it dies.

Here: the lock of a history in files. Not here: that of one in PostgreSQL (`coordination_in_postgres`), the pool, which
a run waits for first, and which vendor a dataset belongs to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from data_assets.files import locks
from data_assets.ingest.waiting import Wait, local_now

LOOK_AGAIN_SECONDS = 0.2


@contextmanager
def account_lock(
    folder: Path,
    vendor: str,
    say: Callable[[str], object],
    stop: Callable[[], bool] = lambda: False,
    places: int = 1,
) -> Iterator[None]:
    """Hold a place in a vendor's account while the context lasts; wait until one is free on this machine.

    Args:
        folder: where the lock file is; the same for all processes that share the account.
        vendor: the vendor of the account.
        say: called once with one line if there is a wait.
        stop: whether to give up; called during a wait.
        places: how many runs may hold it at once.

    Raises:
        KeyboardInterrupt: `stop` returned True.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        files = [opened.enter_context((folder / name).open("wb")) for name in place_names(f"{vendor}.lock", places)]
        if not any(map(locks.take, files)):
            what = f"another run of this machine, which uses the {vendor} account"
            say(str(Wait(what, local_now(), "it ends")))
            while not any(map(locks.take, files)):
                if stop():
                    raise KeyboardInterrupt
                time.sleep(LOOK_AGAIN_SECONDS)  # not a blocking lock: a signal must be able to end the wait
        yield


def place_names(account: str, places: int) -> list[str]:
    """The locks of an account's places; the first is the account's own, whatever their number."""
    return [account, *(f"{account} {place}" for place in range(2, places + 1))]
