"""A run history that cannot be used: its disk is full, read-only or failing, or its files are damaged.

Here: how an error of SQLite or of the operating system there becomes one line. Not here: opening the history
(`cli.project`), and the lake, which has errors of its own.

SQLite says "disk I/O error" in most of these cases, even to a reader, because its write-ahead log needs a file of 32 kB
beside the database before the first row can be read. So the file system itself is asked what it is short of. Nothing is
lost: a day is recorded after it is stored, and a day stored without a record is fetched again. The run that was at work
has no end in the history; the next command ends it.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_assets.lake.disk_room import is_read_only, shortage
from data_assets.lake.errors import NO_SPACE, SOMETHING_ELSE, one_line

_OF_THE_DISK = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OF_THE_SYSTEM = NO_SPACE | SOMETHING_ELSE | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT}


HISTORY = "storage"
"""Where the run history lies in the state folder, beside what vendors' clients remember and caches."""


_OF_THE_CONNECTION = ("OperationalError", "InterfaceError")
_SERVER = (
    "dagster.yaml: the PostgreSQL server that keeps the run history does not answer{}; start it, or correct "
    "storage.postgres, then give the command again: what was stored before is as it was"
)


class StateUnusable(Exception):
    """The run history cannot be read or written; the text is one line that names its folder and says what to do."""


@contextmanager
def refusing_unusable_state(folder: Path) -> Iterator[None]:
    """Turn an error of the run history's disk, or of its server, however deep it was raised, into one line.

    Raises:
        StateUnusable: SQLite or PostgreSQL failed, or the operating system did on a file in `folder`.
    """
    try:
        yield
    except Exception as error:
        if (answer := _said_by_the_server(error)) is not None:
            raise StateUnusable(_SERVER.format(f" ({answer})" if answer else "")) from error
        said = _said_by_the_disk(error, folder)
        if said is None:
            raise
        raise StateUnusable(_text(folder, said)) from error


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """An error, what led to it, what led to that, and so on."""
    led: BaseException | None = error
    seen: set[int] = set()
    while led is not None and id(led) not in seen:
        seen.add(id(led))
        yield led
        led = led.__cause__ or led.__context__


def _said_by_the_server(error: BaseException) -> str | None:
    """What PostgreSQL's driver said of a connection that it could not make or keep; None if that is not the cause.

    Only words that begin with the server's place: what else the driver says may hold a part of a password, where that
    has taken the place of something else in the address.
    """
    for led in _led_to(error):
        if type(led).__module__.partition(".")[0] == "psycopg2" and type(led).__name__ in _OF_THE_CONNECTION:
            line = one_line(str(led).split("\n")[0])
            return line if line.startswith("connection to server at ") else ""
    return None


def _said_by_the_disk(error: BaseException, folder: Path) -> sqlite3.Error | OSError | None:
    """The first such error among those that led to this one."""
    found: sqlite3.Error | OSError | None = None
    for led in _led_to(error):
        if isinstance(led, sqlite3.Error):
            # An extended code such as SQLITE_IOERR_SHMSIZE has the primary one in its last byte.
            if _primary_code(led) in _OF_THE_DISK | _DAMAGED:
                found = led
        elif isinstance(led, OSError) and led.errno in _OF_THE_SYSTEM and _lies_in(folder, led.filename):
            found = led
    return found


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _lies_in(folder: Path, name: object) -> bool:
    return isinstance(name, str) and Path(name).absolute().is_relative_to(folder)


def _text(folder: Path, said: sqlite3.Error | OSError) -> str:
    reason = one_line(said.strerror if isinstance(said, OSError) else said)
    again = "then give the command again: what was stored before is as it was"
    if isinstance(said, sqlite3.Error) and _primary_code(said) in _DAMAGED:
        return (
            f"{folder}: the run history is damaged ({reason}); put the folder back from its backup, or move "
            f"{folder / HISTORY} away and record the days again from their files, which are as they were: "
            "data-assets reconcile"
        )
    if isinstance(said, OSError):
        full = said.errno in NO_SPACE
        short = shortage(folder) if full else ""
    else:  # whose code may say nothing of the room
        short = shortage(folder)
        full = bool(short) or _primary_code(said) == sqlite3.SQLITE_FULL
    if full:
        return f"{folder}: no room for the run history ({reason}){short}; make room on its disk, {again}"
    if is_read_only(folder):
        return f"{folder}: the run history is on a file system that is mounted read-only; mount it for writing, {again}"
    return (
        f"{folder}: the run history cannot be read or written ({reason}); check the disk and the permissions of the "
        f"folder and the files in it, {again}"
    )
