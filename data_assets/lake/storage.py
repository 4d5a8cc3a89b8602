"""The bytes of the lake: a local folder and an object store behind one small interface.

Names are relative to the lake's root, with ``/`` between segments. Temporary files are always local: in the folder
``_unfinished`` of a local lake, in a staging folder for an object store, under the system's
temporary directory or in the folder that `DATA_ASSETS_STATE` names.

Here: durable publishing, listing, opening, deleting. Not here: what is in a file, and whose temporary file is alive.
"""

from __future__ import annotations

import errno
import hashlib
import io
import mmap
import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from urllib.parse import SplitResult
from uuid import uuid4

from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError, PreconditionError
from obstore.store import S3Store

from data_assets.addresses import refuse_secrets
from data_assets.counts import count_of
from data_assets.files import durable, tempfiles
from data_assets.lake.errors import (
    LakeError,
    LakeNotThere,
    LakeUnusable,
    Overtaken,
    one_line,
    read_error,
    staging_root,
    write_error,
)
from data_assets.lake.layout import UNFINISHED
from data_assets.lake.patient_store import SILENCE_SECONDS, UPLOAD_SECONDS, Patience, PatientStore

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig

    from data_assets.lake.odd_keys import Listed

UNREADABLE = "unreadable"
"""The version of a file that is in a folder which nobody may look into: nobody can tell when it is replaced."""

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV})
_NO_CONDITIONS = "status code: 501"
_NO_RANGES = "non-partial response"
_NOTHING = ""
"""The version of a name that no object has."""

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""The variables that name an object store other than Amazon's: the first that is set counts."""

CONDITIONS = "_conditions"
"""An object of a few bytes by which a store shows whether it keeps the conditions of a PUT."""

_PROBE = b"tells whether this store keeps the conditions of a PUT\n"
_COMPARED = 8 << 20
_TEMP_NAME_BYTES = 200  # and what `tempfiles` adds; a file system takes 255


class Beside(Protocol):
    """Small files in an object store that are no files of the lake; all methods raise `LakeError`."""

    def ages(self) -> dict[str, float]:
        """How many seconds ago each was written, by its name."""

    def read(self, name: str) -> bytes | None:
        """What is in one; None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Make one, in place of one of that name."""

    def remove(self, name: str) -> None:
        """Remove one; harmless where there is none."""


class Storage(Protocol):
    """What the lake asks of the place its files are in."""

    def locate(self, name: str) -> str:
        """The absolute path or URL of ``name``, as Polars and people use it."""

    def new_temp(self, name: str) -> tuple[Path, BinaryIO]:
        """Make the locked temporary file that may become ``name``."""

    def write_place(self, name: str) -> str:
        """Where the bytes of a new ``name`` are written first: what an error of the operating system there is about."""

    def version(self, name: str) -> str | None:
        """What a writer of ``name`` that begins now gives to ``publish``, so that nobody else's work is replaced.

        None in a folder, where the account's lock keeps a second writer of the same day away.
        """

    def publish(self, temp: Path, file: BinaryIO, name: str, since: str | None = None) -> None:
        """Turn the whole, synced local file ``temp`` into ``name``, or leave what had that name before.

        Args:
            temp: the file's path.
            file: the same file, open.
            name: the name it gets.
            since: the `version` that is to be replaced, and no other; None for whatever is there.

        Raises:
            OSError: from the local disk.
            Overtaken: another writer has published ``name`` since.
            LakeError: from the object store.
        """

    def ignores_conditions(self) -> str | None:
        """Why a second writer of a file would replace the first one's and neither be told; None if that cannot be.

        Raises:
            LakeError: the object store does not answer.
        """

    def keep(self, name: str, previous: str, since: str | None = None) -> None:
        """Give what is ``name`` now the name ``previous`` too, in place of what had it; ``name`` is never touched.

        Args:
            name: the file.
            previous: its other name.
            since: the `version` that is meant, and no other; None for whatever is there.

        Raises:
            Overtaken: another writer has published ``name`` since; what has the name ``previous`` stays.
            OSError: from the local disk.
            LakeError: from the object store.
        """

    def move(self, name: str, to: str) -> None:
        """Give a file another name; where that is taken, or ``name`` is gone, only make sure that ``name`` is gone.

        Whoever dies in between has lost nothing, and may move it again.

        Raises:
            OSError: from the local disk.
            LakeError: from the object store.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Store a small file unless there is one of that name; say whether it was stored."""

    def replace(self, name: str, data: bytes) -> None:
        """Store a small file in place of the one of that name, durably and as a whole."""

    def open(self, name: str) -> BinaryIO:
        """Open one version of a file for reading; it can seek, and reads no more than it is asked for.

        Raises:
            FileNotFoundError: there is no such file.
        """

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""

    def names(
        self,
        prefix: str = "",
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """The files in and below the folder ``prefix``, sorted: those after ``after`` and up to ``until`` as text.

        Args:
            prefix: the folder; all of the lake by default.
            after: see above.
            until: see above; no bound if None.
            unreadable: told of each folder below ``prefix`` that cannot be looked into, and why; without it, that is
                raised.

        Raises:
            LakeUnusable: ``prefix`` itself cannot be looked into (`check_folder`).
            LakeError: another folder cannot.
        """

    def names_in_folders(
        self,
        prefix: str,
        file: str,
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """Those of `names` that are called ``file`` and lie in a folder right below ``prefix``, as a dataset's days do.

        The arguments and the errors are those of `names`.
        """

    def check_folder(self, name: str) -> None:
        """Go on only if a folder can be looked into, or is not there yet.

        Raises:
            LakeNotThere: it, or one above it, is a link to what is not there, as while another disk is not plugged in.
            LakeUnusable: the system does not let anybody look into it.
        """

    def versions(self, names: Collection[str]) -> dict[str, str]:
        """Of those of ``names`` that exist, what differs once a file has been replaced, without opening any.

        That of a file that nobody may look for is `UNREADABLE`.
        """

    def is_one_file(self, name: str, other: str) -> bool:
        """Whether two names are of one file, so that to remove one of them frees nothing; never in an object store."""

    def delete(self, name: str) -> None:
        """Remove a file; harmless where there is none."""

    def alone(self, folder: str) -> AbstractContextManager[None]:
        """Hold other processes off that ask for the same; in an object store, nobody is held off.

        Raises:
            OSError: from the local disk.
        """

    def work_folder(self, name: str, folder: str) -> Path:
        """The local folder ``folder``, there or not, in which work for ``name`` may lie that is no file of the lake."""

    def unfinished_folders(self) -> Iterator[Path]:
        """The folders on this machine, each there or not, below which writers of this lake do their work.

        Their temporary files lie there, and the folders that `work_folder` names.
        """

    def former_temp_files(self) -> Iterator[Path]:
        """Temporary files of writers of the first layout, which made them beside the files that they were to be."""

    def beside(self, name: str = "") -> Beside | None:
        """Where work for ``name``, or for all of the lake, may lie besides so that every machine can go on with it.

        None in a folder, where `work_folder` is of the lake itself.
        """

    def free_bytes(self) -> int | None:
        """Room left for files; None where the place has no limit that it tells."""


def open_storage(url: str) -> Storage:
    """The storage behind a folder's path or an ``s3://bucket/prefix`` URL. Nothing is touched yet.

    Raises:
        LakeError: the address is neither.
    """
    if url.startswith("s3://"):
        return Bucket(url)
    if "://" in url or not url:
        raise LakeError(
            f"DATA_ASSETS_LAKE: {url!r} is neither a folder nor an s3://bucket/prefix URL; set it to one of them"
        )
    return LocalFolder(Path(url))


def _temp_name(name: str) -> str:
    """A name as a bare one, for people who wonder what a temporary file was to be."""
    return name.replace("/", "_")[-_TEMP_NAME_BYTES:]


def _not_entered(folder: str) -> PermissionError | None:
    """Why nobody may open what is in a folder that may be listed; None if that is allowed."""
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116  a Path would leave the dot out
    except PermissionError as error:
        return PermissionError(error.errno, error.strerror, folder)
    return None


def is_in_a_folder(name: str, prefix: str, file: str) -> bool:
    """Whether a name is that of a file called ``file`` in a folder right below ``prefix``."""
    folder, _, bare = name.removeprefix(f"{prefix}/").rpartition("/")
    return bare == file and bool(folder) and "/" not in folder


def _is_there(top: int, folder: str, file: str) -> bool:
    """Whether a file is in a folder of the open folder ``top``; a link to one, wherever it leads, counts as there.

    Raises:
        OSError: the folder cannot be looked into.
    """
    try:
        status = os.stat(f"{folder}/{file}", dir_fd=top)
    except (FileNotFoundError, NotADirectoryError):
        try:
            status = os.stat(f"{folder}/{file}", dir_fd=top, follow_symlinks=False)
        except NotADirectoryError:
            return False
        except FileNotFoundError:
            status = None
    if not os.access(folder, os.R_OK, dir_fd=top, effective_ids=True):
        if status is None and not os.access(folder, os.F_OK, dir_fd=top, effective_ids=True):
            return False  # a link to a folder that is not there, or one that has just gone
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
    return status is not None and not stat.S_ISDIR(status.st_mode)


def _folders_above_days(folder: str) -> list[str]:
    """The folders in a folder, but none of one that holds days or months.

    Its days may be thousands and hold no unfinished work, and beside them lies nothing else: the listing ends with the
    first of them.
    """
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if "=" in entry.name:
                return []
            if entry.name[0] not in "_." and entry.is_dir():
                found.append(entry.path)
    return found


class LocalFolder:
    """A lake in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def locate(self, name: str) -> str:
        """See `Storage`."""
        return str(self._root / name)

    def new_temp(self, name: str) -> tuple[Path, BinaryIO]:
        """See `Storage`."""
        return tempfiles.create(self._unfinished(name), _temp_name(name))

    def write_place(self, name: str) -> str:
        """See `Storage`."""
        return self.locate(name)

    def version(self, name: str) -> None:
        """See `Storage`."""

    def ignores_conditions(self) -> None:
        """See `Storage`."""

    def publish(self, temp: Path, file: BinaryIO, name: str, since: str | None = None) -> None:
        """See `Storage`."""
        _refuse_another(temp, file)
        target = self._root / name
        temp.stat()  # a disk unplugged by now leaves its mount point, where nothing is to be made
        durable.make_folder(target.parent)
        durable.rename(temp, target)

    def keep(self, name: str, previous: str, since: str | None = None) -> None:
        """See `Storage`. A second name of the same bytes; a copy where the disk knows no such names (exFAT)."""
        target, kept = self._root / name, self._root / previous
        if not target.exists():
            return
        durable.make_folder(kept.parent)
        kept.unlink(missing_ok=True)
        try:
            os.link(target, kept)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._copy(target, previous)
        durable.sync_folder(kept.parent)

    def _copy(self, target: Path, name: str) -> None:
        with target.open("rb") as content:
            self._write(name, content)

    def _write(self, name: str, content: BinaryIO) -> None:
        temp, file = self.new_temp(name)
        with file:
            try:
                shutil.copyfileobj(content, file)
                durable.sync(file)
                self.publish(temp, file, name)
            except BaseException:
                tempfiles.remove(temp)
                raise

    def move(self, name: str, to: str) -> None:
        """See `Storage`. Not synced: a power cut leaves one of the two names."""
        source, target = self._root / name, self._root / to
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with suppress(FileNotFoundError):
                    source.rename(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy(source, to)
        self.delete(name)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`."""
        durable.make_folder(self._root)
        with tempfiles.locked_folder(self._root):
            if self.size(name) is not None:
                return False
            self.replace(name, data)
            return True

    def replace(self, name: str, data: bytes) -> None:
        """See `Storage`."""
        self._write(name, io.BytesIO(data))

    def open(self, name: str) -> BinaryIO:
        """See `Storage`."""
        path = self._root / name
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe waits for a writer, a device may have no end
            raise OSError(errno.EINVAL, "it is no file, but a pipe, a socket or a device", str(path))
        return path.open("rb")

    def size(self, name: str) -> int | None:
        """See `Storage`."""
        try:
            return (self._root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(
        self,
        prefix: str = "",
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """See `Storage`."""
        found = []
        top = self._root / prefix

        def not_listed(error: OSError) -> None:
            folder = Path(error.filename)
            if folder == top:
                self.check_folder(prefix)
            if isinstance(error, FileNotFoundError):
                return
            why = read_error(error, str(folder))
            if folder == top:
                raise LakeUnusable(str(why)) from error
            if unreadable is None:
                raise why from error
            unreadable(folder.relative_to(self._root).as_posix(), why)

        def may_hold_names(folder: str) -> bool:
            return folder >= after[: len(folder)] and (until is None or folder <= until)

        # Links are followed: a dataset that somebody moved to another disk and linked back is still of this lake.
        walk = os.walk(top, onerror=not_listed, followlinks=True)
        for parent, folders, files in walk:
            within = "" if Path(parent) == self._root else Path(parent).relative_to(self._root).as_posix() + "/"
            folders[:] = [folder for folder in folders if may_hold_names(f"{within}{folder}/")]
            if files and (closed := _not_entered(parent)):
                not_listed(closed)
                continue
            found += [within + file for file in files if not tempfiles.is_temp(file)]
        return sorted(name for name in found if after < name and (until is None or name <= until))

    def names_in_folders(
        self,
        prefix: str,
        file: str,
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """See `Storage`.

        A walk lists each folder, which takes a tenth of a millisecond; here each is asked for the one file. Whatever is
        out of the ordinary is left to the walk, which says what it is.
        """
        found = []
        try:
            top = os.open(self._root / prefix, os.O_RDONLY)
            try:
                for folder in sorted(os.listdir(top)):  # noqa: PTH208  thousands of them, and by descriptor
                    name = f"{prefix}/{folder}/{file}"
                    if name <= after or (until is not None and name > until) or not _is_there(top, folder, file):
                        continue
                    found.append(name)
            finally:
                os.close(top)
        except OSError:
            names = self.names(prefix, after, until, unreadable=unreadable)
            return [name for name in names if is_in_a_folder(name, prefix, file)]
        return found

    def check_folder(self, name: str) -> None:
        """See `Storage`."""
        target = self._root / name
        for folder in (*reversed([each for each in target.parents if each.is_relative_to(self._root)]), target):
            try:
                os.scandir(folder).close()
            except FileNotFoundError:
                if not folder.is_symlink():
                    return
                raise LakeNotThere(
                    f"{folder}: is a link to {os.readlink(folder)}, which is not there: plug in or mount its disk, or "  # noqa: PTH115  as it was written
                    "link it to where the files are now"
                ) from None
            except PermissionError as error:
                if folder != target:
                    continue  # a folder may be passed that may not be listed
                raise LakeUnusable(str(read_error(error, str(folder)))) from error
            except OSError as error:
                raise LakeUnusable(str(read_error(error, str(folder)))) from error

    def versions(self, names: Collection[str]) -> dict[str, str]:
        """See `Storage`. Size and time of the last write: a copy of a lake keeps them if it keeps the files' times."""
        found = {}
        for name in names:
            try:
                status = os.stat(f"{self._root}/{name}")  # noqa: PTH116  thousands of them: a Path costs more than it asks
            except (FileNotFoundError, NotADirectoryError):
                continue
            except PermissionError:
                found[name] = UNREADABLE
            else:
                found[name] = f"{status.st_size}-{status.st_mtime_ns}"
        return found

    def is_one_file(self, name: str, other: str) -> bool:
        """See `Storage`."""
        try:
            return (self._root / name).samefile(self._root / other)
        except OSError:
            return False

    def delete(self, name: str) -> None:
        """See `Storage`. Folders that are empty then go too."""
        path = self._root / name
        path.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in path.relative_to(self._root).parents[:-1]:
                (self._root / folder).rmdir()

    @contextmanager
    def alone(self, folder: str) -> Iterator[None]:
        """See `Storage`. The folder is made if it is not there."""
        place = self._root / folder
        while True:
            durable.make_folder(place)
            with ExitStack() as held:
                try:
                    locked = held.enter_context(tempfiles.locked_folder(place))
                    is_there = os.path.samestat(locked, place.stat())
                except FileNotFoundError:
                    is_there = False  # whoever held it has removed it, as it was empty
                if is_there:
                    yield
                    return

    def work_folder(self, name: str, folder: str) -> Path:
        """See `Storage`."""
        return self._unfinished(name) / posixpath.dirname(name) / folder

    def beside(self, name: str = "") -> None:
        """See `Storage`."""

    def unfinished_folders(self) -> Iterator[Path]:
        """See `Storage`."""
        waiting = [str(self._root)]
        while waiting:
            folder = waiting.pop()
            if os.path.isdir(unfinished := f"{folder}/{UNFINISHED}"):  # noqa: PTH112  a Path costs more than it asks
                yield Path(unfinished)
            waiting += _folders_above_days(folder)

    def former_temp_files(self) -> Iterator[Path]:
        """See `Storage`."""
        return tempfiles.find(self._root)

    def _unfinished(self, name: str) -> Path:
        """Where work for ``name`` lies: as near to the root as its disk goes, for a rename does not leave a disk.

        So it is in the root itself, unless a dataset, or a folder of datasets, was moved away and linked back.
        """
        nearest = self._root
        with suppress(FileNotFoundError, NotADirectoryError):
            disk = nearest.stat().st_dev
            for folder in reversed((self._root / name).relative_to(self._root).parents[:-1]):
                if (other := (self._root / folder).stat().st_dev) != disk:
                    nearest, disk = self._root / folder, other
        return nearest / UNFINISHED

    def free_bytes(self) -> int | None:
        """See `Storage`."""
        existing = next(folder for folder in (self._root, *self._root.parents) if folder.is_dir())
        return shutil.disk_usage(existing).free


def _refuse_another(temp: Path, file: BinaryIO) -> None:
    """See that a temporary file is still the one that was written: what is published is what was verified."""
    if not tempfiles.is_at(file, temp):
        raise LakeError(
            f"{temp}: another file has taken this name since it was written; find out which program writes there"
        )


def _without_secrets(variable: str, address: str) -> SplitResult:
    try:
        return refuse_secrets(address, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    except ValueError as error:
        raise LakeError(f"{variable}: {error}") from None


class Bucket:
    """A lake in an S3-compatible object store.

    obstore reads credentials, region and endpoint from the usual ``AWS_*`` variables by itself, except that an endpoint
    on plain http (a store on loopback or in a private network) has to be allowed. While it asks for patience, every
    request is made again (`PatientStore`): a downloaded day is not lost to a minute of throttling.
    """

    def __init__(self, url: str, patience: Patience | None = None) -> None:
        parts = _without_secrets("DATA_ASSETS_LAKE", url)
        if not parts.netloc:
            raise LakeError("DATA_ASSETS_LAKE: must be s3://bucket/prefix")
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._url = f"s3://{parts.netloc}/{self._prefix}".rstrip("/")
        self._lake = hashlib.sha256(self._url.encode()).hexdigest()[:16]
        named = {name: os.environ[name] for name in ENDPOINTS if name in os.environ}
        for name, address in named.items():
            if _without_secrets(name, address).scheme not in ("http", "https"):  # of which obstore makes a panic
                raise LakeError(f"{name}: must be an http:// or https:// URL; unset it for Amazon's own store")
        endpoint = next(iter(named.values()), "")
        limits: ClientConfig = {
            "allow_http": endpoint.startswith("http://"),
            "timeout": timedelta(seconds=UPLOAD_SECONDS),
        }
        store, slow = (
            S3Store(
                parts.netloc,
                prefix=self._prefix or None,
                client_options=options,
                retry_config={"max_retries": 0},
            )
            # While a body is sent nothing is read, so a limit on that is for requests without one.
            for options in (limits | {"read_timeout": timedelta(seconds=SILENCE_SECONDS)}, limits)
        )
        self._store = PatientStore(store, patience or Patience(), slow)
        self._ignores_conditions: str | None = None

    def locate(self, name: str) -> str:
        """See `Storage`."""
        return f"{self._url}/{name}"

    def new_temp(self, name: str) -> tuple[Path, BinaryIO]:
        """See `Storage`."""
        return tempfiles.create(self._staging_folder(), _temp_name(name))

    def write_place(self, name: str) -> str:
        """See `Storage`."""
        return str(staging_root() / self._lake / _temp_name(name))

    def version(self, name: str) -> str | None:
        """See `Storage`: the store's ETag, or `_NOTHING`; None from a store that tells none."""
        meta = self._head(name)
        return _NOTHING if meta is None else meta["e_tag"]

    def publish(self, temp: Path, file: BinaryIO, name: str, since: str | None = None) -> None:
        """See `Storage`.

        A single signed PUT: the store checks the body against the sha256 in the signature and shows only whole objects.
        """
        _refuse_another(temp, file)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body, self._asking(name):
            self._put_since(name, body, since)
        sent, stored = os.fstat(file.fileno()).st_size, self.size(name)
        if stored != sent:
            raise LakeError(
                f"{self.locate(name)}: the object store holds {stored or 0:,} of {count_of(sent, 'byte')}; run the "
                "backfill again"
            )
        tempfiles.remove(temp)

    def _put_since(self, name: str, body: mmap.mmap, since: str | None) -> None:
        if since is None:
            self._store.put(name, body)
            return
        try:
            self._put_if(name, body, since)
        except (AlreadyExistsError, PreconditionError) as error:
            if not self._holds(name, body):  # else the store took it, and its answer was lost on the way
                raise self._overtaken(name) from error
        except BaseError as error:
            if _NO_CONDITIONS not in str(error):
                raise
            self._store.put(name, body)

    def _put_if(self, name: str, body: mmap.mmap | bytes, since: str) -> None:
        """Store an object if its ETag is still ``since``.

        Ceph (seen of 16.2) keeps ETags without their quotes and compares them with what it is sent, quotes included:
        it never takes an If-Match as the standard has it. So where the object is still the one that was meant, it is
        sent once more without them.
        """
        if since == _NOTHING:
            self._store.put(name, body, mode="create")
            return
        try:
            self._store.put(name, body, mode={"e_tag": since})
        except PreconditionError:
            if self.version(name) != since:
                raise
            self._store.put(name, body, mode={"e_tag": since.strip('"')})

    def _overtaken(self, name: str) -> Overtaken:
        return Overtaken(
            f"{self.locate(name)}: another run has stored this day since this one began, and its file stays; backfill "
            "the day again only if that is wrong"
        )

    def _holds(self, name: str, body: mmap.mmap) -> bool:
        meta = self._head(name)
        if meta is None or meta["size"] != len(body):
            return False
        pieces = ((start, min(start + _COMPARED, len(body))) for start in range(0, len(body), _COMPARED))
        return all(self.read_range(name, *piece, meta["e_tag"]) == body[slice(*piece)] for piece in pieces)

    def ignores_conditions(self) -> str | None:
        """See `Storage`. Found out with an object of its own at the lake's root, once in the life of this object.

        Raises:
            LakeUnusable: nothing can be read from the store, as from `rclone serve s3` (seen of 1.75).
        """
        if self._ignores_conditions is None:
            with self._asking(CONDITIONS):
                self._ignores_conditions = self._found_to_ignore()
        return self._ignores_conditions or None

    def _found_to_ignore(self) -> str:
        what = f"{self._url}: the object store"
        hurt = "of two runs that store a day at the same time the later one replaces the other's file, untold"
        try:
            with suppress(AlreadyExistsError):
                self._store.put(CONDITIONS, _PROBE, mode="create")
            self.read_range(CONDITIONS, 0, 1, None)
            self._store.put(CONDITIONS, _PROBE, mode="create")
            return f"{what} ignores If-None-Match, so {hurt}; let one run at a time work on a day"
        except AlreadyExistsError:
            pass
        except BaseError as error:
            if _NO_CONDITIONS not in str(error):
                raise
            return f"{what} knows no conditional PUT, so {hurt}; let one run at a time work on a day"
        try:
            self._store.put(CONDITIONS, _PROBE, mode={"e_tag": '"of no object"'})
        except PreconditionError:
            return ""
        except BaseError as error:
            if _NO_CONDITIONS not in str(error):
                raise
        return f"{what} ignores If-Match, so {hurt} where it was stored before; let one run at a time work on a day"

    def keep(self, name: str, previous: str, since: str | None = None) -> None:
        """See `Storage`. The store copies by itself; no byte comes here.

        It knows no copy of one version. So the copy gets a name of its own first, and is what was meant if that is
        still there afterwards.
        """
        if since is None and self.size(name) is not None:
            with self._asking(previous):
                self._store.copy(name, previous)
        if not since:
            return
        copied = f"{previous}.{uuid4().hex}"
        with self._asking(previous):
            try:
                with suppress(FileNotFoundError):
                    self._store.copy(name, copied)
                if self.version(name) != since:
                    raise self._overtaken(name)
                self._store.copy(copied, previous)
            finally:
                self._store.delete(copied)

    def move(self, name: str, to: str) -> None:
        """See `Storage`. The store copies by itself."""
        if self.size(to) is None and self.size(name) is not None:
            with self._asking(name), suppress(FileNotFoundError):  # another process has moved it in between
                self._store.copy(name, to)
        self.delete(name)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`.

        A store that knows no conditional PUT (an older Ceph, and Amazon's own until 2024) is looked at first, and again
        afterwards: of two creators at the same instant the later one wins, and the earlier one may not notice.
        """
        with self._asking(name):
            try:
                self._store.put(name, data, mode="create")
            except AlreadyExistsError:
                return False
            except BaseError as error:
                if _NO_CONDITIONS not in str(error):
                    raise
                if self.size(name) is not None:
                    return False
                self._store.put(name, data)
                return bytes(self._store.read(name, {})) == data
        return True

    def replace(self, name: str, data: bytes) -> None:
        """See `Storage`."""
        with self._asking(name):
            self._store.put(name, data)

    def open(self, name: str) -> BinaryIO:
        """See `Storage`."""
        meta = self._head(name)
        if meta is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.locate(name))
        return cast(BinaryIO, _ObjectReader(self, name, meta["size"], meta["e_tag"]))

    def read_range(self, name: str, start: int, end: int, etag: str | None) -> memoryview:
        """The bytes from ``start`` up to, without, ``end`` of the version ``etag`` of an object; None for any."""
        with self._asking(name):
            options: GetOptions = {"range": (start, end)}
            if etag is not None:
                options["if_match"] = etag
            try:
                return self._store.read(name, options)
            except PreconditionError:
                raise LakeError(f"{self.locate(name)}: was replaced while it was read; read it again") from None
            except BaseError as error:
                if _NO_RANGES not in str(error):
                    raise
                raise LakeUnusable(
                    f"{self._url}: the object store answers a request for a part of a file with 200, as if that were "
                    "all of it, so nothing can be read from it; use another store for the lake"
                ) from error

    def size(self, name: str) -> int | None:
        """See `Storage`."""
        meta = self._head(name)
        return None if meta is None else meta["size"]

    def names(
        self,
        prefix: str = "",
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """See `Storage`."""
        with self._asking(prefix):
            listed = self._listed(prefix or None, after or None, until)
            found = (meta["path"] for meta in listed)
            return sorted(name for name in found if name > after and (until is None or name <= until))

    def names_in_folders(
        self,
        prefix: str,
        file: str,
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """See `Storage`."""
        names = self.names(prefix, after, until, unreadable=unreadable)
        return [name for name in names if is_in_a_folder(name, prefix, file)]

    def check_folder(self, name: str) -> None:
        """See `Storage`: a store has no folders."""

    def versions(self, names: Collection[str]) -> dict[str, str]:
        """See `Storage`. The store's ETags, from a listing of the folder that holds all of ``names``."""
        if not names:
            return {}
        wanted, last = set(names), max(names)
        folder = posixpath.commonpath([posixpath.dirname(name) for name in names])
        with self._asking(folder):
            listed = self._listed(folder or None, posixpath.dirname(min(names)) or None, last)
        return {meta["path"]: meta["e_tag"] or "" for meta in listed if meta["path"] in wanted}

    def _listed(self, folder: str | None, after: str | None, until: str | None) -> Sequence[Listed]:
        try:
            return self._store.list(folder, after, until)
        except InvalidPathError as error:
            try:  # slow to import, hardly ever needed, and so no part of the base install
                from data_assets.lake.odd_keys import list_past_odd_keys
            except ModuleNotFoundError:
                raise LakeError(
                    f"{self.locate(folder or '')}: a key in the bucket is not a valid name for a file of the lake "
                    f"({one_line(error)}); remove it, or `pip install botocore`, with which it is passed over"
                ) from error
            return list_past_odd_keys(self._bucket, self._prefix, folder, after, until)

    def is_one_file(self, name: str, other: str) -> bool:
        """See `Storage`."""
        return False

    def delete(self, name: str) -> None:
        """See `Storage`."""
        with self._asking(name):
            self._store.delete(name)

    def alone(self, folder: str) -> AbstractContextManager[None]:
        """See `Storage`."""
        return nullcontext()

    def work_folder(self, name: str, folder: str) -> Path:
        """See `Storage`."""
        return self._staging_folder() / posixpath.dirname(name) / folder

    def beside(self, name: str = "") -> Beside:
        """See `Storage`: under `UNFINISHED` in the bucket."""
        return _ObjectsBeside(self, posixpath.join(UNFINISHED, posixpath.dirname(name)).rstrip("/"))

    def ages(self, folder: str) -> dict[str, float]:
        """How many seconds ago, by the clocks of the store and of this machine, each object in a folder was written."""
        with self._asking(folder):
            listed = self._store.list(folder)
        return {meta["path"]: (datetime.now(UTC) - meta["last_modified"]).total_seconds() for meta in listed}

    def read(self, name: str) -> bytes | None:
        """The whole of a small object; None where there is none."""
        with self._asking(name):
            try:
                return bytes(self._store.read(name, {}))
            except FileNotFoundError:
                return None

    def unfinished_folders(self) -> Iterator[Path]:
        """See `Storage`."""
        yield self._staging_folder()

    def former_temp_files(self) -> Iterator[Path]:
        """See `Storage`: there was no other place."""
        return iter(())

    def free_bytes(self) -> int | None:
        """See `Storage`."""
        return None

    def _staging_folder(self) -> Path:
        private = staging_root()
        try:
            tempfiles.make_private_folder(private)
        except OSError as error:
            raise write_error(error, str(private)) from error
        return private / self._lake

    def _head(self, name: str) -> ObjectMeta | None:
        with self._asking(name):
            try:
                return self._store.head(name)
            except FileNotFoundError:
                return None

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:  # not found is the answer of a missing bucket too
            said = str(error).splitlines()[0]
            raise LakeError(
                f"{self.locate(name)}: the object store refused ({said}); check the bucket in DATA_ASSETS_LAKE "
                "and the AWS_* variables (credentials, AWS_REGION, AWS_ENDPOINT_URL)"
            ) from error


class _ObjectsBeside:
    """See `Beside`; names are relative to a folder."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket, self._folder = bucket, folder

    def ages(self) -> dict[str, float]:
        found = self._bucket.ages(self._folder)
        return {name.removeprefix(f"{self._folder}/"): age for name, age in found.items()}

    def read(self, name: str) -> bytes | None:
        return self._bucket.read(f"{self._folder}/{name}")

    def write(self, name: str, data: bytes) -> None:
        self._bucket.replace(f"{self._folder}/{name}", data)

    def remove(self, name: str) -> None:
        self._bucket.delete(f"{self._folder}/{name}")


class _ObjectReader(io.RawIOBase):
    """An object as a file: every read is one ranged GET of the version that was opened."""

    def __init__(self, bucket: Bucket, name: str, size: int, etag: str | None) -> None:
        self._bucket, self._name, self._size, self._etag = bucket, name, size, etag
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readall(self) -> bytes:
        return self.read(max(self._size - self._position, 0)) or b""

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        data = self._bucket.read_range(self._name, self._position, end, self._etag)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
