"""What the processes of one run history tell each other: which runs live, who uses a vendor's account, and what was
asked of it.

It lies where the history lies. With the embedded one, all processes are of one machine, and the kernel's file locks
tell it at once and for nothing (`coordination_in_files`). With PostgreSQL they may be of several, and the database
tells it (`coordination_in_postgres`).

Here: the interface, and which of the two an instance has. Not here: what is done about a run that is gone
(`run_liveness`), and the pool, which a run waits for before its account.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import dagster as dg
from dagster import RunRecord

from data_assets.ingest.shared_state import SharedState, shared_states
from data_assets.orchestration.coordination_in_files import CoordinationInFiles


class Coordination(Protocol):
    """What a run says of itself, and what others see of it."""

    def hold(self, run_id: str) -> None:
        """Say, from now on and until this process ends or lets go of it, that a run lives here."""

    def held(self) -> set[str]:
        """The runs that this process says to live here."""

    def forget(self, run_id: str) -> None:
        """Say no more of a run that is held: it has ended, and that is written."""

    def abandon(self, run_id: str) -> None:
        """Let a run that is held be found gone: it ended, and that could not be written."""

    def is_gone(self, record: RunRecord, *, patient: bool = False) -> bool:
        """Whether the process of an unfinished run is gone, on whatever machine it was.

        Args:
            record: the run. One that nobody ever held has `START_SECONDS` for it, as a process must start.
            patient: wait for the verdict, half a minute at most, where a run has been silent for a while.
        """

    def forget_all_but(self, unfinished: Collection[str]) -> None:
        """Remove what was said of runs that ended long ago, and of no other."""

    def account(
        self,
        vendor: str,
        say: Callable[[str], object],
        stop: Callable[[], bool] = lambda: False,
        places: int = 1,
    ) -> AbstractContextManager[None]:
        """Hold a place in a vendor's account while the context lasts; wait until one is free in this history.

        Args:
            vendor: the vendor of the account.
            say: called once with one line if there is a wait.
            stop: whether to give up; called during a wait.
            places: how many runs may hold it at once; all ask for the same number.

        Raises:
            KeyboardInterrupt: `stop` returned True.
        """

    def shared(self, name: str) -> SharedState:
        """What all that ask a vendor remember together, such as `ib_pacing`."""


def coordination_of(instance: dg.DagsterInstance) -> Coordination:
    """The coordination of a history's processes, where that history lies."""
    engine = getattr(instance.event_log_storage, "_engine", None)  # SQLite's has one for each run, and none of its own
    if engine is not None and engine.dialect.name == "postgresql":
        from data_assets.orchestration.coordination_in_postgres import coordination_at  # of an extra

        return coordination_at(engine.url)
    return CoordinationInFiles(instance.storage_directory())


@contextmanager
def sharing(coordination: Coordination) -> Iterator[None]:
    """Let what vendors' clients remember lie where the run history lies, while the context lasts."""
    before = shared_states.set(coordination.shared)
    try:
        yield
    finally:
        shared_states.reset(before)


@contextmanager
def vendor_account(
    instance: dg.DagsterInstance,
    vendor: str,
    say: Callable[[str], object],
    stop: Callable[[], bool] = lambda: False,
    *,
    shared: bool = False,
) -> Iterator[None]:
    """Hold a vendor's account, and share what is remembered of it; see `Coordination.account`.

    Args:
        instance: of the run.
        vendor: the vendor, and its pool.
        say: see there.
        stop: see there.
        shared: whether as many runs may hold it as its pool allows; otherwise it is one, whatever the pool says.
    """
    coordination = coordination_of(instance)
    places = _limit(instance, vendor) if shared else 1
    with coordination.account(vendor, say, stop, places), sharing(coordination):
        yield


def _limit(instance: dg.DagsterInstance, pool: str) -> int:
    return next((each.limit for each in instance.event_log_storage.get_pool_limits() if each.name == pool), 1)
