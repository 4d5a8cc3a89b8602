"""Coordination of the processes of several machines, through the PostgreSQL that holds their history.

A process that executes runs writes every few seconds that they live. Every time is taken from the database's clock, so
those of the machines may differ. A run that was silent for `SILENT_SECONDS` is gone: long enough for a network that is
away for half a minute, and short enough that with one look every half minute a dead machine's runs end within a minute.
The time for which the database itself was down is nobody's silence: it counts from the database's start.

An account is held by an advisory lock of a connection of its own. The server lets go of it when the connection ends,
and is told to notice within half a minute that a machine is gone. If the server restarts, the lock is lost while its
holder goes on: the pool, which is a row, still holds.

Here: `coordination.Coordination` in PostgreSQL. Not here: one machine's (`coordination_in_files`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache

import sqlalchemy as sa
from dagster import RunRecord
from sqlalchemy.pool import NullPool

from data_assets.ingest.waiting import Wait, local_now
from data_assets.lake.errors import one_line
from data_assets.orchestration import start_time

BEAT_SECONDS = 4.0
SILENT_SECONDS = 45.0
SUSPECT_SECONDS = 12.0
"""From this silence on a patient look waits for the verdict, so that it does not take until the next look."""

LOOK_AGAIN_SECONDS = 0.5
_CONNECT_SECONDS = 4
_KEPT = "1 day"
_OPTIONS = "-c statement_timeout=10000 -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"

_SETUP = """
CREATE TABLE IF NOT EXISTS data_assets_living_runs (run_id text PRIMARY KEY, heard_at timestamptz NOT NULL)
"""
_SETUP_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('data_assets setup', 0))"
_HOLD = """
INSERT INTO data_assets_living_runs VALUES (:run_id, clock_timestamp())
ON CONFLICT (run_id) DO UPDATE SET heard_at = clock_timestamp()
"""
_BEAT = "UPDATE data_assets_living_runs SET heard_at = clock_timestamp() WHERE run_id = ANY(:run_ids) RETURNING run_id"
_FORGET = "DELETE FROM data_assets_living_runs WHERE run_id = :run_id"
_ABANDON = "UPDATE data_assets_living_runs SET heard_at = '-infinity' WHERE run_id = :run_id"
_SILENCE = """
SELECT CASE WHEN heard_at = '-infinity' THEN 1e9
    ELSE extract(epoch FROM clock_timestamp() - greatest(heard_at, pg_postmaster_start_time())) END
FROM data_assets_living_runs WHERE run_id = :run_id
"""
_FORGET_OLD = f"""
DELETE FROM data_assets_living_runs
WHERE heard_at < clock_timestamp() - interval '{_KEPT}' AND NOT run_id = ANY(:run_ids)
"""
_TAKE_ACCOUNT = "SELECT pg_try_advisory_lock(hashtextextended(:account, 0))"

logger = logging.getLogger(__name__)


@cache
def coordination_at(url: sa.URL) -> CoordinationInPostgres:
    """The one coordination of this process at a database."""
    return CoordinationInPostgres(url)


class CoordinationInPostgres:
    """See `coordination.Coordination`. For several threads.

    Args:
        url: of the history's database.
    """

    def __init__(self, url: sa.URL) -> None:
        self._engine = sa.create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": _CONNECT_SECONDS, "options": _OPTIONS},
        )
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._beating: threading.Thread | None = None
        with self._engine.connect().execution_options(isolation_level="READ COMMITTED") as setup, setup.begin():
            setup.execute(sa.text(_SETUP_LOCK))  # two that make a table at the same instant fail, both
            setup.execute(sa.text(_SETUP))

    def hold(self, run_id: str) -> None:
        """See `Coordination`."""
        self._do(_HOLD, run_id=run_id)
        with self._lock:
            self._held.add(run_id)
            if self._beating is None or not self._beating.is_alive():
                self._beating = threading.Thread(target=self._beat, name="living-runs", daemon=True)
                self._beating.start()

    def held(self) -> set[str]:
        """See `Coordination`."""
        with self._lock:
            return set(self._held)

    def forget(self, run_id: str) -> None:
        """See `Coordination`."""
        with self._lock:
            self._held.discard(run_id)
        self._do(_FORGET, run_id=run_id)

    def abandon(self, run_id: str) -> None:
        """See `Coordination`."""
        with self._lock:
            self._held.discard(run_id)
        self._do(_ABANDON, run_id=run_id)

    def is_gone(self, record: RunRecord, *, patient: bool = False) -> bool:
        """See `Coordination`."""
        while True:
            silence = self._silence(record.dagster_run.run_id)
            if silence is None:
                return start_time.is_over(record)
            if silence > SILENT_SECONDS:
                return True
            if not patient or silence < SUSPECT_SECONDS:
                return False
            time.sleep(LOOK_AGAIN_SECONDS)

    def forget_all_but(self, unfinished: Collection[str]) -> None:
        """See `Coordination`."""
        self._do(_FORGET_OLD, run_ids=list(unfinished))

    @contextmanager
    def account(
        self, vendor: str, say: Callable[[str], object], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """See `Coordination`."""
        with self._engine.connect() as connection:
            take = sa.text(_TAKE_ACCOUNT), {"account": f"data_assets account {vendor}"}
            if not connection.execute(*take).scalar_one():
                what = f"another run of this history, which uses the {vendor} account"
                say(str(Wait(what, local_now(), "it ends")))
                while not connection.execute(*take).scalar_one():
                    if stop():
                        raise KeyboardInterrupt
                    time.sleep(LOOK_AGAIN_SECONDS)
            yield

    def _silence(self, run_id: str) -> float | None:
        """For how many seconds nothing was heard of a run; None if nothing ever was."""
        with self._engine.connect() as connection:
            said = connection.execute(sa.text(_SILENCE), {"run_id": run_id}).scalar_one_or_none()
        return None if said is None else float(said)

    def _do(self, statement: str, **values: object) -> None:
        with self._engine.connect() as connection:
            connection.execute(sa.text(statement), values)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            with self._lock:
                held = set(self._held)
                if not held:
                    self._beating = None
                    return
            try:
                with self._engine.connect() as connection:
                    heard = set(connection.execute(sa.text(_BEAT), {"run_ids": sorted(held)}).scalars())
            except Exception as error:  # noqa: BLE001  whatever it is: the next beat may succeed
                logger.warning("the run history was not told that this process lives: %s", one_line(error, 200))
                continue
            for run_id in sorted((held - heard) & self.held()):
                logger.error("run %s: was taken for dead and ended by another process, and goes on here", run_id)
                with self._lock:
                    self._held.discard(run_id)
