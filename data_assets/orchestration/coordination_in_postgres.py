"""Coordination of the processes of several machines, through the PostgreSQL that holds their history.

A process that executes runs writes every few seconds that they live. Every time is taken from the database's clock, so
those of the machines may differ. A run that was silent for `SILENT_SECONDS` is gone: long enough for a network that is
away for half a minute, and short enough that with one look every half minute a dead machine's runs end within a minute.
The time for which the database itself was down is nobody's silence: it counts from the database's start. A process that
finds its run ended by another, as after a long pause of its machine or network, stops it as the UI's Terminate does:
somebody else may be at its days by now.

What vendors' clients remember is a row, changed in a transaction of its own that holds a lock of its name, and dated by
the database's clock.

An account is held by an advisory lock of a connection of its own. The server lets go of it when the connection ends,
and is told to notice within half a minute that a machine is gone. If the server restarts, the lock is lost while its
holder goes on: the pool, which is a row, still holds.

Here: `coordination.Coordination` in PostgreSQL. Not here: one machine's (`coordination_in_files`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from dagster import RunRecord
from sqlalchemy.pool import NullPool

from data_assets.ingest.outcome import RunEnded
from data_assets.ingest.shared_state import DAMAGED, T
from data_assets.ingest.waiting import Wait, local_now, waiting
from data_assets.lake.errors import one_line
from data_assets.orchestration import start_time
from data_assets.orchestration.account_lock import place_names

BEAT_SECONDS = 4.0
SILENT_SECONDS = 45.0
SUSPECT_SECONDS = 12.0
"""From this silence on a patient look waits for the verdict, so that it does not take until the next look."""

LOOK_AGAIN_SECONDS = 0.5
AWAY_SECONDS = 120.0
"""How long a shared state is waited for while the database is away; no request is sent meanwhile."""

_CONNECT_SECONDS = 4
_UNHEARD_SECONDS = 8
"""After which a connection whose bytes nobody takes is given up. The system itself waits twice as long each time, and
would notice a network that is back after half a minute too late."""

_KEPT = "1 day"
_OPTIONS = "-c statement_timeout=10000 -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"

_SETUP = """
CREATE TABLE IF NOT EXISTS data_assets_living_runs (run_id text PRIMARY KEY, heard_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS data_assets_shared_states (name text PRIMARY KEY, value text NOT NULL)
"""
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
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))"
_NOW = "SELECT extract(epoch FROM clock_timestamp())"
_READ_STATE = "SELECT value FROM data_assets_shared_states WHERE name = :name"
_WRITE_STATE = """
INSERT INTO data_assets_shared_states VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_TAKE_ACCOUNT = "SELECT pg_try_advisory_lock(hashtextextended(:account, 0))"

logger = logging.getLogger(__name__)


@contextmanager
def _alone(engine: sa.Engine, what: str) -> Iterator[sa.Connection]:
    """A transaction, while no other one of this name is at work; gone with its connection, however that ends."""
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
        connection.execute(sa.text(_ALONE), {"lock": f"data_assets {what}"})
        yield connection


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
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "tcp_user_timeout": _UNHEARD_SECONDS * 1000,
                "options": _OPTIONS,
            },
        )
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._beating: threading.Thread | None = None
        with _alone(self._engine, "setup") as connection:  # two that make a table at the same instant fail, both
            connection.execute(sa.text(_SETUP))

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
        self,
        vendor: str,
        say: Callable[[str], object],
        stop: Callable[[], bool] = lambda: False,
        places: int = 1,
    ) -> Iterator[None]:
        """See `Coordination`."""
        names = place_names(f"data_assets account {vendor}", places)
        with self._engine.connect() as connection:

            def take() -> bool:
                found = (connection.execute(sa.text(_TAKE_ACCOUNT), {"account": name}).scalar_one() for name in names)
                return any(found)

            if not take():
                what = f"another run of this history, which uses the {vendor} account"
                say(str(Wait(what, local_now(), "it ends")))
                while not take():
                    if stop():
                        raise KeyboardInterrupt
                    time.sleep(LOOK_AGAIN_SECONDS)
            yield

    def shared(self, name: str) -> StateInPostgres:
        """See `Coordination`: a row."""
        return StateInPostgres(self._engine, name)

    def _silence(self, run_id: str) -> float | None:
        """For how many seconds nothing was heard of a run; None if nothing ever was."""
        with self._engine.connect() as connection:
            said = connection.execute(sa.text(_SILENCE), {"run_id": run_id}).scalar_one_or_none()
        return None if said is None else float(said)

    def _do(self, statement: str, **values: object) -> None:
        with self._engine.connect() as connection:
            connection.execute(sa.text(statement), values)

    def _beat(self) -> None:
        """Beat until nothing is held. While the history is away nothing is logged: a line may be an event of it."""
        silent: float | None = None
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
            except Exception:  # noqa: BLE001  whatever it is: the next beat may succeed
                silent = silent or time.monotonic() - BEAT_SECONDS
                continue
            if silent is not None:
                seconds = time.monotonic() - silent
                logger.warning("the run history was not told for %.0f s that this process lives", seconds)
                silent = None
            for run_id in sorted((held - heard) & self.held()):
                logger.error("run %s: was taken for dead and ended by another process, so it stops here", run_id)
                with self._lock:
                    self._held.discard(run_id)
                os.kill(os.getpid(), signal.SIGTERM)  # as the UI's Terminate does


class StateInPostgres:
    """A row; implements ``shared_state.SharedState`` for the processes of several machines.

    The clock is the database's, read once nobody else is at the row.

    Attributes:
        name: its key, and what messages call it.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._engine = engine

    async def change(self, how: Callable[[Any, float], tuple[Any, T]]) -> T:
        """See ``SharedState``. While the database is away, it is waited for: `AWAY_SECONDS` at most.

        One that goes away before it has said that it wrote may have written; so what is counted there, such as
        requests, may be counted once more than it happened, and never once less.

        Raises:
            RunEnded: the database is away for longer.
        """
        give_up = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return await asyncio.to_thread(partial(self._change, how))
            except sa.exc.OperationalError as error:
                if time.monotonic() > give_up:
                    said = f"{self.name}: the run history's database does not answer ({one_line(error, 200)})"
                    raise RunEnded(f"{said}; run again once it does") from error
            with waiting("the run history's database", AWAY_SECONDS):
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def _change(self, how: Callable[[Any, float], tuple[Any, T]]) -> T:
        with _alone(self._engine, f"state {self.name}") as connection:
            now = float(connection.execute(sa.text(_NOW)).scalar_one())
            found = connection.execute(sa.text(_READ_STATE), {"name": self.name}).scalar_one_or_none()
            value, said = how(_parsed(found), now)
            connection.execute(sa.text(_WRITE_STATE), {"name": self.name, "value": json.dumps(value)})
        return said


def _parsed(found: str | None) -> Any:
    if found is None:
        return None
    try:
        return json.loads(found)
    except ValueError:
        return DAMAGED
