"""A run that waits for the PostgreSQL that holds its history, where that is away for a while.

Dagster asks a server that does not accept connections again for six seconds, and one that ends a connection in the
middle of a statement never: the restart of a database, as of an upgrade, would end every run that is at work, with days
that somebody has to ask for again. So whatever a run asks of its history is asked again until the database is back,
for `AWAY_SECONDS` at most.

While it is away nothing is logged from here: what a run logs is an event, which would wait in its turn.

Two processes that use a pool for the first time at the same instant both make it: Dagster's second one goes on in a
transaction of which PostgreSQL has refused a part, and fails, although all is as it wants it.

An event may have been written although nothing was heard of it. So before it is written again, what is there of it is
removed: nothing is recorded twice.

Here: the event log and the runs, in the processes that execute runs. Not here, but for the pools: commands and the
daemon, which say soon that the database does not answer, and the daemon looks again by itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from data_assets.ingest.waiting import waiting
from data_assets.orchestration.postgres_driver import CONNECT_SECONDS

AWAY_SECONDS = 120.0
LOOK_AGAIN_SECONDS = 0.5

_GONE = {None, "57P01", "57P02", "57P03"}
"""What PostgreSQL says of a connection that it ends, or does not take yet; None: nothing."""

_REFUSED_BEFORE = "25P02"
"""What it says of a statement in a transaction of which it has refused another."""

_REMOVE = """
WITH written AS (DELETE FROM event_logs WHERE run_id = :run_id AND event = :event RETURNING id)
DELETE FROM asset_event_tags WHERE event_id IN (SELECT id FROM written)
"""

logger = logging.getLogger(__name__)


def wait_for_the_history(instance: dg.DagsterInstance) -> None:
    """Let a history in PostgreSQL be waited for from now on, by whatever uses this object; harmless when repeated."""
    engine = getattr(instance.event_log_storage, "_engine", None)  # SQLite's has one for each run, and none of its own
    if engine is None or engine.dialect.name != "postgresql":
        return
    os.environ.setdefault("PGCONNECT_TIMEOUT", CONNECT_SECONDS)  # libpq waits for minutes, also once it is back
    storages: tuple[Any, ...] = instance.event_log_storage, instance.run_storage
    for storage in storages:
        if hasattr(storage, "is_waited_for"):
            continue
        _keep_connections(storage._engine)
        for name in dir(type(storage)):
            if not name.startswith("_") and callable(method := getattr(storage, name)) and not isinstance(method, type):
                remove = _remover(engine) if name == "store_event" else None
                setattr(storage, name, _waiting(method, remove))
        storage.is_waited_for = True
    make_pools_beside_others(instance)


def make_pools_beside_others(instance: dg.DagsterInstance) -> None:
    """Let a run use a pool that another process makes at the same instant; harmless when repeated, by each run."""
    log: Any = instance.event_log_storage
    if not hasattr(log, "makes_pools_beside_others"):
        log.initialize_concurrency_limit_to_default = _also_if_it_is_there(log.initialize_concurrency_limit_to_default)
        log.makes_pools_beside_others = True


def _keep_connections(engine: sa.Engine) -> None:
    """Let an engine keep a connection open for its next use; Dagster's makes a new one for every statement.

    The new pool makes connections as the old one did, with the same listeners: those that bring passwords, too.
    """
    before = engine.pool
    engine.pool = QueuePool(
        before._creator, pool_size=1, max_overflow=-1, dialect=engine.dialect, _dispatch=before.dispatch
    )


def _waiting(ask: Callable[..., Any], remove: Callable[..., None] | None) -> Callable[..., Any]:
    @wraps(ask)
    def ask_until_answered(*arguments: Any, **named: Any) -> Any:
        away: float | None = None
        while True:
            try:
                if away is not None and remove is not None:
                    remove(*arguments, **named)
                answer = ask(*arguments, **named)
            except Exception as error:
                if not _is_away(error):
                    raise
                away = away or time.monotonic()
                if time.monotonic() > away + AWAY_SECONDS:
                    raise
            else:
                if away is not None and (seconds := time.monotonic() - away) >= 1:
                    logger.warning("waited %.0f s for the run history's database", seconds)
                return answer
            with waiting("the run history's database", AWAY_SECONDS):
                time.sleep(LOOK_AGAIN_SECONDS)

    return ask_until_answered


def _also_if_it_is_there(make_pool: Callable[[str], bool]) -> Callable[[str], bool]:
    def make(name: str) -> bool:
        try:
            return make_pool(name)
        except sa.exc.InternalError as error:
            if getattr(error.orig, "pgcode", None) != _REFUSED_BEFORE:
                raise
            return True

    return make


def _remover(engine: sa.Engine) -> Callable[[dg.EventLogEntry], None]:
    def remove(event: dg.EventLogEntry) -> None:
        with engine.connect() as connection:
            connection.execute(sa.text(_REMOVE), {"run_id": event.run_id, "event": dg.serialize_value(event)})

    return remove


def _is_away(error: BaseException | None) -> bool:
    """Whether an error is that of a connection that could not be made or was ended, and not of what was asked."""
    if error is not None and type(error).__name__ == "DagsterPostgresException":  # that its tries are used up
        error = error.__cause__
    if not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return False
    return error.connection_invalidated or getattr(error.orig, "pgcode", None) in _GONE
