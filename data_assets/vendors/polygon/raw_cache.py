"""The vendor's own day files on this disk, within a budget: each whole or not there, deleted when others need the room.

A file keeps the vendor's name, ``<folder>/YYYY/MM/YYYY-MM-DD.csv.gz``. A hidden note beside it holds its version (the
listing's ETag) and the digest of its bytes, which are digested again at every use. So if a process is killed between a
note and its file, or either is damaged, that costs a download, and a file never passes for another version.

Whoever uses a file holds a shared lock on it, which the kernel releases when the process dies. Eviction needs the
exclusive lock, so it skips files in use by any process. A download reserves its room before its first byte: its
temporary file has the listed size from the start and counts in full.

Here: the folder, its locks and its budget. Not here: where bytes come from (``client``), and their content
(``schema``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from data_assets.counts import part_of
from data_assets.files import durable, locks, tempfiles
from data_assets.ingest.day_bounds import DayBounds
from data_assets.ingest.outcome import DayEnded, IngestError, Rejected, RunEnded, Transient
from data_assets.ingest.source import DayMeter
from data_assets.lake.disk_room import shortage
from data_assets.lake.errors import ANOTHER_FILE, NO_SPACE, Corrupt, read_error
from data_assets.lake.parquet_file import digest_of
from data_assets.vendors.polygon.client import Listed
from data_assets.vendors.polygon.gzip_text import GzipCheck

_NAME = re.compile(r"\d{4}/\d\d/\d{4}-\d\d-\d\d\.csv\.gz")

BOUNDS = DayBounds(rows=10_000_000, size=2_000_000_000)
"""The vendor's largest files have two million rows of a hundred bytes."""

_UNPACKED = (
    "compress it with gzip, or fetch it again with a client that leaves files as they are, whatever Content-Encoding "
    "they were stored with; then run this day again"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a cached file.

    Attributes:
        etag: the version that was listed.
        size: its bytes.
        sha256: hexadecimal digest of those bytes.
        lines: lines of the text inside, the header included.
        fetched_at: when it arrived, ISO 8601, UTC.
        text_size: bytes of the text inside; 0 of files that were kept before this was noted.
    """

    etag: str
    size: int
    sha256: str
    lines: int
    fetched_at: str
    text_size: int = 0


class HeldFile:
    """A cached file that is not evicted while this object is open; a context manager.

    Attributes:
        path: the file.
        note: what is known of it.
        listed: its entry in the listing.
        downloaded: whether it was downloaded just now.
    """

    def __init__(
        self, path: Path, note: Note, listed: Listed, lock: BinaryIO, released: Callable[[], None], *, downloaded: bool
    ) -> None:
        self.path, self.note, self.listed, self.downloaded = path, note, listed, downloaded
        self._lock, self._released = lock, released

    def refuse_changed(self, content: bytes) -> None:
        """Refuse bytes that were read from the file and are not those that were kept; the file is fetched again then.

        Raises:
            Transient: the disk has altered them.
        """
        if sha256(content).hexdigest() != self.note.sha256:
            _note_path(self.path).unlink(missing_ok=True)
            raise Transient(f"{self.path}: changed on this disk since it was kept; it is fetched again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; harmless when repeated."""
        if not self._lock.closed:
            self._lock.close()
            self._released()


@dataclass(frozen=True, slots=True)
class VerifiedRaw:
    """What was found of a cached file that is not damaged.

    Attributes:
        said: what holds, in one line.
        newer: the note of the file, if it is not the recorded one but came later.
        is_here: whether there was a file to be compared.
    """

    said: str
    newer: Note | None = None
    is_here: bool = True


class RawCache:
    """A folder of the vendor's day files; any number of processes share it."""

    def __init__(self, folder: Path, budget_bytes: int, bounds: DayBounds = BOUNDS) -> None:
        """Describe a cache; nothing is touched yet.

        Args:
            folder: where it is, or will be.
            budget_bytes: room for its files. More is taken only while files are in use, and given back after that.
            bounds: the most that a file may hold; nothing of a larger one is kept.
        """
        self.folder = folder.absolute()
        self._budget = budget_bytes
        self._bounds = bounds
        self._over_budget = False
        self._damaged: dict[tuple[str, str], str] = {}

    def path(self, day: date) -> Path:
        """Where a day's file is, if it is there."""
        return self.folder / f"{day:%Y/%m}" / f"{day:%Y-%m-%d}.csv.gz"

    async def get(
        self,
        listed: Listed,
        read: Callable[[Listed], AsyncIterator[bytes]],
        meter: DayMeter,
        *,
        digested_by_reader: bool = False,
    ) -> HeldFile:
        """A day's file in the listed version, downloaded only if it is not here.

        Args:
            listed: the version wanted.
            read: its bytes; called only for a download.
            meter: told of downloaded bytes.
            digested_by_reader: whether the caller reads the whole file anyway and compares it with
                `HeldFile.refuse_changed`; otherwise a file that is here is digested before it is returned.

        Raises:
            Transient: what arrived is not whole.
            DayEnded: ``Rejected``, if the same damaged bytes arrived twice, or the file is larger than a day may be.
            RunEnded: the disk does not take it.
            IngestError: from ``read``.
        """
        with _on_disk(self.folder):
            held = await asyncio.to_thread(self._cached, listed, digested_by_reader)
            if held is not None:
                try:
                    _refuse_excess(listed, self._bounds.excess(held.note.lines - 1, held.note.text_size))
                except DayEnded:
                    held.close()
                    raise
                return held
            _refuse_excess(listed, self._bounds.excess(0, listed.size))
            new = await asyncio.to_thread(self._begin, listed)
            try:
                async for chunk in read(listed):
                    meter.received(len(chunk))
                    await asyncio.to_thread(new.write, chunk)
                note = new.finish()
                return await asyncio.to_thread(self._keep, new, note, listed)
            except _Damaged as error:
                raise self._judged(error, listed) from None
            finally:
                new.discard()

    def verify(self, day: date, *, sha256: str, fetched_at: datetime | None = None) -> VerifiedRaw:
        """Compare a cached file with what was recorded of the day.

        A file has its name before it is recorded: one that is another than the recorded one, is whole by its note and
        came later is as good, for whoever replaced it died in between or is at it now.

        Args:
            day: the day.
            sha256: the digest that was recorded.
            fetched_at: when the recorded file came, with a time zone; None if no other will do.

        Returns:
            What was found to hold; a file that is not here has nothing to be compared.

        Raises:
            Corrupt: the file is here and is another.
            LakeError: it cannot be read.
        """
        path = self.path(day)
        try:
            with path.open("rb") as file:
                locks.share(file)
                found = digest_of(file)
                note = _read_note(path)
                replaced = not tempfiles.is_at(file, path)
        except FileNotFoundError:
            return VerifiedRaw("the vendor's file is not in the cache", is_here=False)
        except OSError as error:
            raise read_error(error, str(path)) from error
        if found == sha256:
            return VerifiedRaw("the vendor's file in the cache has the recorded sha256")
        if replaced:  # meanwhile, and the note may be that of another
            return self.verify(day, sha256=sha256, fetched_at=fetched_at)
        is_whole = note is not None and note.sha256 == found
        if note and is_whole and fetched_at and datetime.fromisoformat(note.fetched_at) > fetched_at:
            return VerifiedRaw("the vendor's file in the cache is whole, and newer than the recorded one", note)
        raise Corrupt(f"its sha256 is {found}, recorded was {sha256}", str(path), ANOTHER_FILE)

    def _cached(self, listed: Listed, digested_by_reader: bool) -> HeldFile | None:
        path = self.path(listed.day)
        while True:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                return None
            try:
                locks.share(file)
                note = _read_note(path)
                if not tempfiles.is_at(file, path):  # evicted or replaced in between; the note may be that of another
                    file.close()
                    continue
                if note is None or note.etag != listed.etag:
                    file.close()
                    return None
                if not digested_by_reader and digest_of(file) != note.sha256:
                    if not tempfiles.is_at(file, path):  # being replaced: the note comes first
                        file.close()
                        continue
                    logger.warning("%s: is damaged on this disk and is fetched again", path)
                    file.close()
                    return None
                os.utime(path)
            except BaseException:
                file.close()
                raise
            return HeldFile(path, note, listed, file, self._released, downloaded=False)

    def _begin(self, listed: Listed) -> _NewFile:
        durable.make_folder(self.folder)
        path = self.path(listed.day)
        with tempfiles.locked_folder(self.folder):
            self._make_room(listed.size)
            temp, file = tempfiles.create(path.parent, path.name)
            new = _NewFile(temp, file, listed, self._bounds)
            file.truncate(listed.size)
            return new

    def _keep(self, new: _NewFile, note: Note, listed: Listed) -> HeldFile:
        path = self.path(listed.day)
        new.sync()
        with tempfiles.locked_folder(self.folder):
            _write_note(path, note)  # first: so a file that nobody has recorded yet has the note that proves it whole
            lock = new.publish(path)
            try:
                durable.sync_folder(path.parent)
            except BaseException:
                lock.close()
                raise
        return HeldFile(path, note, listed, lock, self._released, downloaded=True)

    def _judged(self, damage: _Damaged, listed: Listed) -> IngestError:
        """Bytes that arrive damaged in the same way twice are so at the vendor; others were damaged on their way."""
        key = (listed.key, listed.etag)
        if self._damaged.get(key) == damage.sha256:
            return DayEnded(
                Rejected(
                    f"{listed.key}: {damage}, twice in the same way: {_UNPACKED}"
                    if damage.is_unpacked
                    else f"{listed.key}: {damage}, twice in the same way: the vendor's file itself is damaged; "
                    "run this day again when it is replaced"
                )
            )
        self._damaged[key] = damage.sha256
        return Transient(f"{listed.key}: {damage}")

    def _released(self) -> None:
        if not self._over_budget:
            return
        try:
            with tempfiles.locked_folder(self.folder):
                self._make_room(0)
        except OSError as error:  # the day that was released is not to blame; the next download tries again
            logger.warning("%s: cannot be reduced to its budget (%s)", self.folder, error)

    def _make_room(self, needed: int) -> None:
        """Evict the least recently used files until ``needed`` more bytes fit; the folder's lock is held.

        What dead downloads left goes on the way: the folder is walked once, and asks the system for days alone.
        """
        files, used = [], needed
        for folder, _, names in os.walk(self.folder):
            within = os.path.relpath(folder, self.folder)
            for name in names:
                is_day = _NAME.fullmatch(f"{within}/{name}") is not None
                if not is_day and not tempfiles.is_temp(name):
                    continue
                path = Path(folder, name)
                if not is_day and tempfiles.sweep([path]):
                    continue
                with suppress(FileNotFoundError):
                    status = path.stat()
                    used += status.st_size
                    files += [(status.st_mtime_ns, path, status.st_size)] if is_day else []
        for _, path, size in sorted(files):
            if used <= self._budget:
                break
            if _evict(path):
                used -= size
        self._over_budget = used > self._budget
        if self._over_budget:
            logger.warning(
                "%s: takes %.2f GB while files are in use, and POLYGON_CACHE_BYTES allows %.2f GB; "
                "the rest is deleted when they are released",
                *(self.folder, used / 1e9, self._budget / 1e9),
            )


class _Damaged(Exception):
    """What arrived is no whole gzip file.

    Attributes:
        sha256: the digest of what arrived.
        is_unpacked: it is text that was compressed once.
    """

    def __init__(self, reason: str, sha256: str, *, is_unpacked: bool) -> None:
        super().__init__(reason)
        self.sha256 = sha256
        self.is_unpacked = is_unpacked


class _NewFile:
    """A download under its temporary name, whose lock it holds; goes with this object unless it is published."""

    def __init__(self, path: Path, file: BinaryIO, listed: Listed, bounds: DayBounds) -> None:
        self._path, self._file, self._listed = path, file, listed
        self._digest = sha256()
        self._size = 0
        self._text = GzipCheck(bounds)
        self._remove = weakref.finalize(self, _remove, path, file)

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._listed.size:
            raise Transient(f"{self._listed.key}: more bytes arrive than the {self._listed.size:,} that were listed")
        self._file.write(chunk)
        self._digest.update(chunk)
        self._text.feed(chunk)
        _refuse_excess(self._listed, self._text.excess)

    def finish(self) -> Note:
        if self._size < self._listed.size:
            raise Transient(
                f"{self._listed.key}: the body stopped short, at {part_of(self._size, self._listed.size, 'byte')}"
            )
        digest = self._digest.hexdigest()
        if problem := self._text.problem():
            raise _Damaged(problem, digest, is_unpacked=self._text.is_unpacked)
        fetched_at = datetime.now(UTC).isoformat()
        return Note(self._listed.etag, self._size, digest, self._text.lines, fetched_at, self._text.text_size)

    def sync(self) -> None:
        durable.sync(self._file)

    def publish(self, path: Path) -> BinaryIO:
        """Give the file its name and keep the lock, shared from now on, in the returned file."""
        locks.share(self._file)
        self._path.replace(path)
        self._remove.detach()
        return self._file

    def discard(self) -> None:
        """Remove the file; harmless after ``publish``."""
        self._remove()


def _refuse_excess(listed: Listed, excess: str | None) -> None:
    if excess:
        raise DayEnded(Rejected(f"{listed.key}: the file cannot be a day of minute bars: {excess}"))


def _remove(path: Path, file: BinaryIO) -> None:
    with suppress(OSError):  # what cannot be removed now loses its lock, and the next download sweeps it
        tempfiles.remove(path)
    with suppress(OSError):  # a full disk does not take the rest of the buffer either
        file.close()


def _evict(path: Path) -> bool:
    """Remove a file and its note, unless someone uses it; say whether it is gone. The folder's lock is held."""
    try:
        file = path.open("r+b")  # network file systems want write access for an exclusive lock
    except FileNotFoundError:
        return True
    with file:
        if not locks.take(file):
            return False
        _note_path(path).unlink(missing_ok=True)
        path.unlink()
    for folder in list(path.parents)[:2]:
        with suppress(OSError):
            folder.rmdir()
    return True


def _note_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _read_note(path: Path) -> Note | None:
    try:
        return Note(**json.loads(_note_path(path).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        logger.warning("%s: is damaged, so its file is fetched again", _note_path(path))
        return None


def _write_note(path: Path, note: Note) -> None:
    target = _note_path(path)
    temp, file = tempfiles.create(target.parent, target.name)
    with file:
        try:
            file.write(json.dumps(asdict(note)).encode() + b"\n")
            durable.sync(file)
            durable.rename(temp, target)
        except BaseException:
            tempfiles.remove(temp)
            raise


@contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            todo = "free space there, or lower POLYGON_CACHE_BYTES"
            why = f"({error.strerror}){shortage(folder)}"
            raise RunEnded(f"{folder}: no room for the vendor's files {why}; {todo}") from error
        raise RunEnded(
            f"{folder}: the vendor's files cannot be kept there ({error.strerror or error}); "
            "check the disk and the folder's permissions"
        ) from error
