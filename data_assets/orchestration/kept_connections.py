"""Dagster's SQLite storages, their connections kept open: a run's database is made at once, verdicts written together.

Dagster makes an engine, compiles the statement and opens the database anew for each statement, and closes it behind it.
Whoever closes a database last has its log written back and synced, so a process that records days alone pays that for
each event: of a tiny day two thirds of its time. It makes a run's database by 22 transactions, each of them synced,
writes each verdict by three, and asks before each of them, by a connection of its own, whether there is a table for it.

Here: the two storages that runs, sensors and commands use all the time. Not here: where they lie (`state_storage`), and
what is in them, which is Dagster's own.

A kept connection must not outlive its file: a state folder that was deleted or put back from its backup would go on
being written under the old name, by processes that nobody thinks of. So each use asks the system whether the name still
means the file that was opened. Nor may it go into a forked process, where SQLite forbids its use.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from threading import Lock, RLock, local
from typing import Any, ClassVar

import dagster as dg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from data_assets.orchestration.dagster_private import (
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    SqliteEventLogStorage,
    SqliteRunStorage,
)

KEPT_AT_MOST = 4
"""Databases of one storage: each run has one of its own, and a web server reads many of them, each for a moment."""


PAGE_BYTES = 8192
"""Of a new database of all runs. SQLite's own 4,096 hold one verdict of 2.3 kB each, and the rest of the page is empty.
Those of single runs keep these: each has some 28 pages before its first event, and a run may be for a single day."""


def _ask_for_pages(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")


def _do_not_wait(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


class KeptEngines:
    """The engines of the databases that were used last, each with one connection that waits for its next use."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._engines: OrderedDict[str, tuple[object, Engine]] = OrderedDict()

    def of(self, address: str, *, waits: bool = True) -> Engine:
        """The engine of a database.

        Args:
            address: SQLAlchemy's, of a file.
            waits: whether each commit waits until the disk has it. Without, what is committed outlives this process,
                and a power cut may take the last of it and leaves the database whole, as all here keep a log (WAL).
        """
        file = _identity(address.removeprefix("sqlite:///"))
        with self._lock:
            known, engine = self._engines.pop(address, (None, None))
            if engine is None or known is None or known != file:
                _let_go(known, engine)
                engine = create_engine(
                    address,
                    poolclass=QueuePool,
                    pool_size=1,
                    max_overflow=-1,
                    connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
                )
                if not waits:
                    event.listen(engine, "connect", _do_not_wait)
            self._engines[address] = (file, engine)
            while len(self._engines) > KEPT_AT_MOST:
                _let_go(*self._engines.popitem(last=False)[1])
        return engine

    def close(self) -> None:
        """Close all that waits; what is in use is closed as it is given back."""
        with self._lock:
            while self._engines:
                _let_go(*self._engines.popitem()[1])


def _identity(path: str) -> tuple[int, int, int] | None:
    """What tells the open file of a path from another one of that name, and this process from one forked from it."""
    try:
        status = os.stat(path)  # noqa: PTH116  at each statement
    except OSError:
        return None
    return os.getpid(), status.st_dev, status.st_ino


def _let_go(known: object, engine: Engine | None) -> None:
    if engine is not None:
        of_this_process = known is None or (isinstance(known, tuple) and known[0] == os.getpid())
        engine.dispose(close=of_this_process)


class EventLog(SqliteEventLogStorage):
    """The event log: a database for each run, and one of all, whose pages fit its events."""

    _of_a_run: ClassVar[str] = ""
    """The statements that make what Dagster makes of a run's database; empty until the first one is made."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._kept = KeptEngines()
        self._of_thread = local()  # its list of verdicts that are put off
        self._written_together: dict[str, Connection] = {}  # of each shard while they are written; guarded by the lock
        self._tables: set[tuple[object, str]] = set()  # that are there, each with the identity of its file
        super().__init__(base_dir, inst_data)
        self._db_lock = RLock()  # type: ignore[assignment]  # who writes verdicts together takes it again for each

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """As Dagster's own; the one of all runs is made with pages of `PAGE_BYTES`, and keeps those that it has."""
        if for_index_shard:
            event.listen(engine, "connect", _ask_for_pages)
        elif self._made_at_once(engine):
            return
        super()._initdb(engine, for_index_shard)

    def _made_at_once(self, engine: Engine) -> bool:
        """Make a run's database in one transaction if there is none; whether Dagster has nothing to do any more."""
        try:
            with closing(sqlite3.connect(str(engine.url.database), SQLITE_BUSY_TIMEOUT_SECONDS)) as database:
                if database.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                    database.execute("PRAGMA journal_mode=WAL")
                    database.executescript(self._statements())
                return database.execute("SELECT version_num FROM alembic_version").fetchone() is not None
        except sqlite3.DatabaseError:  # another process is at it or was killed at it, or it is none
            return False

    def _statements(self) -> str:
        if not EventLog._of_a_run:
            with closing(sqlite3.connect(":memory:")) as database:
                super()._initdb(create_engine("sqlite://", creator=lambda: database, poolclass=StaticPool))
                EventLog._of_a_run = "\n".join(database.iterdump())
        return EventLog._of_a_run

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        self._make(shard)
        with self._db_lock:  # one user of a storage at a time, as Dagster has it
            if shard in self._written_together:
                yield self._written_together[shard]
            else:
                with self._begun(shard) as connection:
                    yield connection

    def has_table(self, table_name: str) -> bool:
        """As Dagster's own, which opens the database anew at each verdict; a table that is there stays in its file."""
        file = _identity(self.path_for_shard(INDEX_SHARD_NAME))
        if (file, table_name) in self._tables:
            return True
        found = super().has_table(table_name)
        if found and file is not None:
            self._tables.add((file, table_name))
        return found

    def _make(self, shard: str) -> None:
        """Make the database if it is not there."""
        if shard not in self._initialized_dbs:
            with super()._connect(shard):
                pass

    @contextmanager
    def _begun(self, shard: str) -> Iterator[Connection]:
        """A transaction of a database; of a run's own it does not wait for the disk.

        That one is the log on the run's page. What is known of days, checks and slots is in that of all runs.
        """
        engine = self._kept.of(self.conn_string_for_shard(shard), waits=shard == INDEX_SHARD_NAME)
        with engine.connect() as connection, connection.begin():
            yield connection

    def store_event(self, event: dg.EventLogEntry) -> None:
        """As Dagster's own; or put a verdict off until the thread leaves ``together``.

        Nothing else: what is logged about an error or an interrupt that came meanwhile must be there whatever happens.
        """
        put_off: list[dg.EventLogEntry] | None = getattr(self._of_thread, "put_off", None)
        if put_off is None or event.dagster_event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            super().store_event(event)
        else:
            put_off.append(event)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write this thread's verdicts, all of one run, at the end, in one transaction of each database.

        They are put off because the storage's lock must not be held from one of them to the next: another thread may
        hold the lock of a handler of logging and wait for the storage's, while this one waits for the handler's.

        An error before the end leaves none of them. One at the second commit, or a kill between the two, leaves them in
        the run's own database and not in that of all runs, as it leaves a single event of Dagster's; a power cut may
        leave them in that of all runs alone. Until then writers to either database wait. It is not used within itself.
        """
        verdicts: list[dg.EventLogEntry] = []
        self._of_thread.put_off = verdicts
        try:
            yield
        finally:
            self._of_thread.put_off = None
        if not verdicts:
            return
        run = verdicts[0].run_id
        for shard in (run, INDEX_SHARD_NAME):
            self._make(shard)
        # The inner transaction ends first: a run's own, as Dagster writes an event.
        with self._db_lock, self._begun(INDEX_SHARD_NAME) as of_all, self._begun(run) as own:
            self._written_together = {run: own, INDEX_SHARD_NAME: of_all}
            try:
                for each in verdicts:
                    super().store_event(each)
            finally:
                self._written_together = {}

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        self._kept.close()


class Runs(SqliteRunStorage):
    """The runs and their tags."""

    def __init__(self, conn_string: str, inst_data: Any = None) -> None:
        self._kept = KeptEngines()
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a transaction, as Dagster's own."""
        with self._kept.of(self._conn_string).connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        self._kept.close()


def written_together(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    """Have the verdicts of a moment wait for the disk once, instead of three times for each verdict.

    See `EventLog.together`. A history in PostgreSQL takes each by itself.
    """
    log = instance.event_log_storage
    return log.together() if isinstance(log, EventLog) else nullcontext()
