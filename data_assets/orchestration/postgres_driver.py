"""Whether a run history in PostgreSQL is reached by the one driver that its library works with.

`dagster-postgres` speaks psycopg2. SQLAlchemy 2.1 takes psycopg 3 for a plain ``postgresql://``: where that is not
installed the history does not open, and where it is, the first event that is written fails. So the address has to name
the driver: ``postgresql+psycopg2``.

Here: saying so in one line instead of a traceback. Not here: what is stored (Dagster), and SQLite, which needs none.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from data_assets.settings import SettingsError

DRIVER = "psycopg2"

_NOT_INSTALLED = "dagster.yaml: the run history is in PostgreSQL, which needs `pip install 'data-assets[postgres]'`"
_WRONG_SCHEME = (
    "dagster.yaml: PostgreSQL has to be reached by psycopg2: set `scheme: postgresql+psycopg2` in "
    "storage.postgres.postgres_db, or begin postgres_url with postgresql+psycopg2://"
)


_NO_ADDRESS = (
    "dagster.yaml: the address of the run history's PostgreSQL cannot be understood: correct postgres_url in "
    "storage.postgres; a port is a number, and a password's / @ : ? # are written %2F %40 %3A %3F %23"
)

CONNECT_SECONDS = "10"
"""How long a server may take to accept a connection, unless PGCONNECT_TIMEOUT or the address says otherwise, for libpq
waits for ever. Dagster tries five times."""


class DriverUnusable(SettingsError):
    """The run history's database cannot be reached as it is configured; one line."""


@contextmanager
def refusing_unusable_driver() -> Iterator[None]:
    """Say what to do where a module of the database's is not installed, or its address is none, while this lasts.

    What its library says of each vain try, on the root logger, is left out: the last one is told, and the words may
    hold a part of a password that has a slash in it.

    Raises:
        DriverUnusable: in place of the error that something else raised for it.
    """
    os.environ.setdefault("PGCONNECT_TIMEOUT", CONNECT_SECONDS)
    root = logging.getLogger()
    root.addFilter(_is_no_vain_try)
    try:
        yield
    except Exception as error:
        if any(frame.name == "make_url" for frame in traceback.extract_tb(error.__traceback__)):
            raise DriverUnusable(_NO_ADDRESS) from None  # its own words repeat the address
        text = {"psycopg": _WRONG_SCHEME, DRIVER: _NOT_INSTALLED, "dagster_postgres": _NOT_INSTALLED}
        missing = _missing_module(error)
        if missing not in text:
            raise
        raise DriverUnusable(text[missing]) from error
    finally:
        root.removeFilter(_is_no_vain_try)


def _is_no_vain_try(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Retrying failed database")


def _missing_module(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.split(".")[0]
        error = error.__cause__ or error.__context__
    return ""


def check_driver(instance: dg.DagsterInstance) -> None:
    """Go on only if an open history that is in PostgreSQL is reached by psycopg2.

    Raises:
        DriverUnusable: it is reached by another driver.
    """
    engine = getattr(instance.event_log_storage, "_engine", None)  # SQLite's has one for each run, and none of its own
    if engine is not None and engine.dialect.name == "postgresql" and engine.dialect.driver != DRIVER:
        raise DriverUnusable(_WRONG_SCHEME)
