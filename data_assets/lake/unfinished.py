"""Pieces of a day that is not whole yet, in a folder of its own, so that a crash does not cost what had arrived.

A piece is one file: a line of JSON (the caller's note, its digest, the rows' number and digest), then the rows as Arrow
IPC, compressed as cheaply as can be. It is written under a temporary name and renamed, not synced: a piece that a power
cut spoilt is found out by its digests and not used. Neither is one older than a day.

Beside the pieces may lie notes: a few bytes of what the vendor has said of the day before, for whoever asks again. A
note is one line of JSON with its digest. What was said does not go bad as data does, so notes are kept for longer.

Who works on a day holds the lock of its folder, which the kernel drops when the worker dies.

Where the lake is in an object store, pieces are in this machine's folder and beside the lake: another machine goes on
with what this one had, and reads of its own come from the disk. Nobody is held off there. Two machines that are at one
day replace each other's pieces, which are answers to the same questions. Notes stay on the machine: without one a
doubtful answer is asked for once more.

Here: keeping, finding, trusting and removing pieces and notes. Not here: what they are of (the vendors).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from data_assets.files import durable, locks, tempfiles
from data_assets.lake.errors import LakeError, write_error

if TYPE_CHECKING:
    from data_assets.lake.storage import Beside

FOLDER = ".parts"
KEPT = timedelta(days=1)
NOTES_KEPT = timedelta(days=60)

_SUFFIX = ".piece"
_NOTE = ".note"
_AGES = {_SUFFIX: KEPT, _NOTE: NOTES_KEPT}
_TRIES = 100

_NARROWED = b"narrowed"  # columns, and what they were before; in the metadata of the rows, which the digest covers
_INTEGERS = {
    str(dtype): dtype for dtype in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
}


class UnfinishedDay:
    """The pieces of one day; a context manager that holds them against every other process.

    Made by `Lake.unfinished`. The folder is there while the context is open, and afterwards if it holds anything.
    """

    def __init__(self, folder: Path, beside: Beside | None = None) -> None:
        self._folder, self._beside = folder, beside
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            self._lock = _locked(self._folder)
        except BlockingIOError:
            raise LakeError(
                f"{self._folder}: another process is at work on this day; run it again when that has ended"
            ) from None
        except OSError as error:
            raise write_error(error, str(self._folder)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove_empty(self._folder)
        os.close(self._lock)

    def names(self) -> set[str]:
        """The names of the pieces that are not too old."""
        found = [path.name for path in self._folder.glob(f"*{_SUFFIX}") if not _too_old(path)]
        if self._beside is not None:
            found += [
                name for name, age in self._beside.ages().items() if name.endswith(_SUFFIX) and _is_kept(name, age)
            ]
        return {name.removesuffix(_SUFFIX) for name in found}

    def put(self, name: str, rows: pl.DataFrame, note: dict[str, Any]) -> None:
        """Keep a piece, in place of one of that name.

        Args:
            name: a bare file name without suffix.
            rows: its rows.
            note: what the caller has to know of it; JSON.

        Raises:
            LakeError: it cannot be written (`DiskFull` where there is no room).
        """
        view = _packed(rows)
        head = {
            "note": note,
            "note_sha256": _digest(json.dumps(note)),
            "height": rows.height,  # not "rows": an earlier version would take narrow integers for the day's own
            "sha256": hashlib.sha256(view).hexdigest(),
        }
        first = json.dumps(head).encode() + b"\n"
        self._write(f"{name}{_SUFFIX}", first, view)
        if self._beside is not None:
            self._beside.write(f"{name}{_SUFFIX}", first + view)

    def _write(self, name: str, *contents: bytes | memoryview) -> None:
        target = self._folder / name
        try:
            temp, file = tempfiles.create(self._folder, target.name)
            with file:
                try:
                    for content in contents:
                        file.write(content)
                    file.flush()
                    temp.replace(target)
                except BaseException:
                    tempfiles.remove(temp)
                    raise
        except OSError as error:
            raise write_error(error, str(target)) from error

    def _read(self, name: str) -> bytes | None:
        """A piece's file, from here or from beside the lake."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None if self._beside is None else self._beside.read(name)
        except OSError:
            return None

    def get(self, name: str) -> tuple[pl.DataFrame, dict[str, Any]] | None:
        """A piece's rows and its note; None where it is not there or not what was kept."""
        kept = self._read(f"{name}{_SUFFIX}")
        if kept is None:
            return None
        first, _, content = kept.partition(b"\n")
        try:
            head = json.loads(first)
            note, of_note = head["note"], head.get("note_sha256")  # which earlier versions did not write
            if (
                of_note not in (None, _digest(json.dumps(note)))
                or hashlib.sha256(content).hexdigest() != head["sha256"]
            ):
                return None
            rows = _unpacked(content)
            return (rows, note) if rows.height == head["height" if "height" in head else "rows"] else None
        except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException, pl.exceptions.PolarsError):
            return None

    def remember(self, name: str, note: dict[str, Any]) -> None:
        """Keep a note, in place of one of that name. It needs no lock: the last one wins.

        Args:
            name: a bare file name without suffix.
            note: JSON.

        Raises:
            LakeError: it cannot be written (`DiskFull` where there is no room).
        """
        text = json.dumps(note, sort_keys=True)
        self._write(f"{name}{_NOTE}", json.dumps({"note": text, "sha256": _digest(text)}).encode())

    def remembered(self, name: str) -> dict[str, Any] | None:
        """A note; None where there is none, or not what was kept, or too old."""
        path = self._folder / f"{name}{_NOTE}"
        try:
            found = json.loads(path.read_bytes())
            if _digest(found["note"]) != found["sha256"] or _too_old(path):
                return None
            note: dict[str, Any] = json.loads(found["note"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return note

    def forget(self, name: str) -> None:
        """Remove a note, if there is one."""
        with contextlib.suppress(OSError):
            (self._folder / f"{name}{_NOTE}").unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all pieces and notes: the day is stored, or will not be."""
        for path in _kept(self._folder):
            path.unlink(missing_ok=True)
        _remove_empty(self._folder)
        if self._beside is not None:
            with contextlib.suppress(LakeError):  # the day is stored all the same, and a sweep comes by
                for name in self._beside.ages():
                    self._beside.remove(name)


def _packed(rows: pl.DataFrame) -> memoryview:
    """Rows as bytes; by Arrow, which takes two thirds of the time that Polars takes for the same format.

    Integers are kept as narrow as their values allow: it costs less than to compress the bytes that they do not need.
    """
    columns = rows.get_columns()
    kept = [column.shrink_dtype() if column.dtype in _INTEGERS.values() else column for column in columns]
    narrowed = {
        column.name: str(column.dtype)
        for column, narrow in zip(columns, kept, strict=True)
        if column.dtype != narrow.dtype
    }
    sink = pa.BufferOutputStream()
    table = pl.DataFrame(kept).to_arrow().replace_schema_metadata({_NARROWED: json.dumps(narrowed)})
    with ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(compression="lz4")) as file:
        file.write_table(table)
    return memoryview(sink.getvalue())


def _unpacked(content: bytes) -> pl.DataFrame:
    table = ipc.open_file(content).read_all()
    rows = pl.from_arrow(table)
    assert isinstance(rows, pl.DataFrame)
    narrowed = json.loads((table.schema.metadata or {}).get(_NARROWED, b"{}"))
    rows = rows.cast({name: _INTEGERS[dtype] for name, dtype in narrowed.items()})
    return rows.rechunk()  # it came in as many batches as it was kept in, and compiled code takes columns in one piece


def sweep_pieces_beside(beside: Beside | None) -> list[str]:
    """Remove pieces beside a lake that are too old, of whatever day; say which.

    A store that does not answer keeps them: whoever stores a day is told of it.
    """
    removed: list[str] = []
    if beside is not None:
        with contextlib.suppress(LakeError):
            for name, age in beside.ages().items():
                if not _is_kept(name, age):
                    beside.remove(name)
                    removed.append(name)
    return removed


def sweep_pieces(folders: Iterable[Path]) -> list[Path]:
    """Remove pieces and notes that are too old, but for those of days at which somebody is at work; say which."""
    removed = []
    for folder in folders:
        try:
            lock = os.open(folder, os.O_RDONLY)
        except (FileNotFoundError, PermissionError):
            continue
        try:
            if not locks.take(lock):
                continue
            for path in _kept(folder):
                if _too_old(path):
                    path.unlink(missing_ok=True)
                    removed.append(path)
            _remove_empty(folder)
        finally:
            os.close(lock)
    return removed


def _locked(folder: Path) -> int:
    for _ in range(_TRIES):
        try:
            durable.make_folder(folder)
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # a sweep took the empty folder away in between
            continue
        try:
            if not locks.take(lock):
                raise BlockingIOError
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    raise BlockingIOError


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _kept(folder: Path) -> list[Path]:
    return [path for suffix in _AGES for path in folder.glob(f"*{suffix}")]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_kept(name: str, age: float) -> bool:
    kept = _AGES.get(PurePosixPath(name).suffix)
    return kept is None or age <= kept.total_seconds()


def _too_old(path: Path) -> bool:
    try:
        return not _is_kept(path.name, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return True
