"""One Parquet file: how it is encoded into a temporary file, and how it is read back with every page checked.

A file proves itself. Its footer holds a seal: the sha256 of all of its bytes, taken with zeros in the place of the seal
itself. So a file that nothing was recorded of, because the process died between the file's name and its record, can be
told from a damaged one as surely as by a recorded digest.

Here: encoding, digest, seal, sync, the reading back before anybody trusts the file, and what damage looks like to the
reader. Not here: the order of rows (``writer``), where files lie (``storage``), what is to be done about damage
(``lake``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.counts import count_of
from data_assets.files import tempfiles
from data_assets.lake.encoded_groups import MAGIC, EncodedGroup, FileFooter, RowGroupEncoder
from data_assets.lake.errors import Corrupt, LakeError, one_line, read_error
from data_assets.lake.group_bounds import outside_bounds
from data_assets.lake.growing_file import CACHED_BYTES, GrowingFile
from data_assets.lake.lone_groups import LoneGroups
from data_assets.lake.page_checksums import pages_hold
from data_assets.lake.patient_store import POLARS_OPTIONS
from data_assets.lake.provenance import PREFIX
from data_assets.lake.storage import Storage

# With 8-byte values, a dictionary of this many distinct ones fits Arrow's 1 MiB dictionary page, so that no column of
# a row group ever falls back to plain encoding. It is DuckDB's row group too.
ROW_GROUP_ROWS = 122_880
READ_BYTES = 8 << 20
AHEAD = 2  # row groups that are decoded before they are asked for; each more holds the rows of one more

T = TypeVar("T")

SEAL = f"{PREFIX}seal"
_BLANK = b"0" * 64
_SEAL = re.compile(re.escape(SEAL).encode() + rb"\x18\x40(.{64})", re.DOTALL)
"""Key and value as they lie in a footer: between them, Thrift's compact protocol says "binary" and "64 bytes". What the
value is does not matter here: a seal that is damaged itself is one that does not hold."""

NOT_SEALED = "damaged (its bytes are not those that it was closed with)"


def digest_of(file: BinaryIO) -> str:
    """The hexadecimal sha256 of the rest of ``file``."""
    digest, start = hashlib.sha256(), file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    _read_into(digest, file, size - start)
    return digest.hexdigest()


def _read_into(digest: hashlib._Hash, file: BinaryIO, left: int) -> None:
    """Digest so many bytes, or as many as there are: by one buffer, for fresh memory costs as much as the digest.

    Each read of an object store is a request. Of a file of this machine, a small piece is still in the processor's
    cache when it is digested, and the system reads the next ones meanwhile.
    """
    at_once = READ_BYTES if isinstance(file, io.RawIOBase) else CACHED_BYTES
    buffer = memoryview(bytearray(min(at_once, left)))
    while left and (size := file.readinto(buffer[:left])):  # type: ignore[attr-defined]
        digest.update(buffer[:size])
        left -= size


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What the bytes of a whole Parquet file are.

    Attributes:
        sha256: their hexadecimal digest.
        size: their number.
        sealed: whether they are those that the file was closed with, by its seal; None where it has none, as those of
            earlier versions and of other programs, and some that are damaged.
    """

    sha256: str
    size: int
    sealed: bool | None


def file_digest(file: BinaryIO, begun: tuple[hashlib._Hash, int] | None = None) -> FileDigest:
    """Read a file from its first byte to its last, and compare it with its seal.

    Args:
        file: the file.
        begun: the digest of its first bytes and their number, if they were read already. The digest is gone on with.
    """
    size = file.seek(0, os.SEEK_END)
    digest, start = begun or (hashlib.sha256(), 0)
    body = max(start, _footer_start(file, size))
    file.seek(start)
    _read_into(digest, file, body - start)
    footer = file.read()
    sealed = (seal := _SEAL.search(footer)) and _sealing(digest, footer, seal).encode() == seal[1]
    digest.update(footer)
    return FileDigest(digest.hexdigest(), size, sealed)


def _footer_start(file: BinaryIO, size: int) -> int:
    """Where the footer begins by the file's last bytes; at the end where they are not those of a Parquet file."""
    if size < 3 * len(MAGIC):
        return size
    file.seek(size - 8)
    tail = file.read(8)
    start = size - 8 - int.from_bytes(tail[:4], "little")
    return start if tail[4:] == MAGIC and start >= len(MAGIC) else size


def _sealing(body: hashlib._Hash, footer: bytes, seal: re.Match[bytes]) -> str:
    """The digest of a file that has zeros in the place of its seal."""
    sealing = body.copy()
    for part in (footer[: seal.start(1)], _BLANK, footer[seal.end(1) :]):
        sealing.update(part)
    return sealing.hexdigest()


class NewParquet:
    """A Parquet file in the making, under a temporary name whose lock it holds.

    Rows are encoded in row groups of `ROW_GROUP_ROWS` in the order they come; with ``whole_groups``, of as many whole
    groups (rows with the same value in the first sort column) as fit, so that one group is read from one row group,
    and only a larger group is cut. Columns are zstd-compressed and dictionary-encoded, which for quotes in cents is
    smaller than byte stream split, and as fast; those of ``plain`` hold their values as they are. There is no third
    way, for these two are what every engine reads of every type: `make readers` lets some of an older day do it. They
    are encoded by ``encoder``, or by a thread of this file, which has one as soon as it has a second row group.

    Attributes:
        path: the temporary file.
        rows: rows written so far.
        size: bytes written so far.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        schema: pa.Schema,
        sort_by: Sequence[str],
        *,
        whole_groups: bool = False,
        plain: Collection[str] = (),
        encoder: Executor | None = None,
    ) -> None:
        self._storage, self._schema = storage, schema
        self._group = sort_by[0] if whole_groups else None
        self._encoder = RowGroupEncoder(schema, sort_by, plain, ROW_GROUP_ROWS)
        self._footer = FileFooter(self._encoder)
        self._pending: list[pl.DataFrame] = []
        self._thread, self._own_thread = encoder, encoder is None
        self._under_way: Future[EncodedGroup] | None = None
        self._digest = hashlib.sha256()
        self.rows = self.size = 0
        self.path, self._file = storage.new_temp(name)
        self._on_disk = GrowingFile(self._file)
        try:
            self._put(MAGIC)
        except BaseException:
            self.discard()
            raise

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows; whole row groups of them go to the file."""
        self.rows += frame.height
        self._pending.append(frame)
        # One row more than a row group tells whether its last group ends, and that it is not the last row group.
        if sum(part.height for part in self._pending) <= ROW_GROUP_ROWS:
            return
        rows = pl.concat(self._pending)
        while rows.height > ROW_GROUP_ROWS:
            size = self._row_group_size(rows)
            self._encode(rows.head(size), {})
            rows = rows.slice(size)
        self._pending = [rows]

    def _row_group_size(self, rows: pl.DataFrame) -> int:
        if self._group is None:
            return ROW_GROUP_ROWS
        groups = rows[self._group].head(ROW_GROUP_ROWS + 1)
        ends = groups.head(ROW_GROUP_ROWS).ne_missing(groups.slice(1)).arg_true()
        return int(ends[-1]) + 1 if len(ends) else ROW_GROUP_ROWS

    def _encode(self, rows: pl.DataFrame, metadata: Mapping[str, str]) -> None:
        """Encode a row group while the caller puts the next ones in order; one is under way at a time."""
        self._wait()
        self._thread = self._thread or ThreadPoolExecutor(1, "parquet-encode")
        self._under_way = self._thread.submit(self._encoder.encode, rows, metadata)

    def _wait(self) -> None:
        """Return when no row group is under way, and all are in the file."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            self._append(under_way.result())

    def _append(self, group: EncodedGroup) -> None:
        self._footer.add(group, self.size)
        self._put(group.data)
        self._on_disk.grown(self.size)

    def _put(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def end_rows(self) -> None:
        """Say that there are no more rows: those that are pending are encoded beside whatever comes before the end.

        An only row group is not, for it is encoded with what the footer says.
        """
        if self._pending and self._under_way is not None:
            rows, self._pending = pl.concat(self._pending), []
            self._encode(rows, {})

    def read_once(self) -> None:
        """Say that the file will be read and dropped, and never be sealed: no more of it needs to be synced."""
        self._on_disk.stop()

    def end(self) -> None:
        """Write what is pending and the footer, so that the file can be read."""
        self._end_rows({})
        self._put(self._footer.to_bytes({}))
        self._file.flush()

    def _end_rows(self, metadata: Mapping[str, str]) -> None:
        if self._pending:
            rows, self._pending = pl.concat(self._pending), []
            if rows.height and self._thread is None:  # in no thread of its own: most files have no other row group
                self._append(self._encoder.encode(rows, metadata))
            elif rows.height:  # in that of the others, whose memory is warm
                self._encode(rows, metadata)
        self._wait()
        self._end_thread()

    def _end_thread(self) -> None:
        if self._own_thread and self._thread is not None:
            self._thread.shutdown()

    def seal(self, metadata: Mapping[str, str]) -> None:
        """End the file with ``metadata`` and its seal in the footer, sync it, and read back from the disk what it is.

        Raises:
            OSError: the disk did not take it.
            LakeError: what lies on the disk is not what was written.
        """
        said = {**metadata, SEAL: _BLANK.decode()}
        self._end_rows(said)
        footer = self._footer.to_bytes(said)
        (seal,) = _SEAL.finditer(footer)
        self._put(footer[: seal.start(1)] + _sealing(self._digest, footer, seal).encode() + footer[seal.end(1) :])
        begun = self._on_disk.read_back()
        with os.fdopen(os.dup(self._file.fileno()), "rb") as file, reading(str(self.path)):
            problem = self._difference(file, begun, metadata)
        if problem:
            raise LakeError(
                f"{self.path}: read back after writing, {problem}; "
                "check this disk and memory, then run the backfill again"
            )

    def _difference(self, file: BinaryIO, begun: tuple[hashlib._Hash, int], metadata: Mapping[str, str]) -> str | None:
        if (size := os.fstat(file.fileno()).st_size) != self.size:
            return f"it has {count_of(size, 'byte')} instead of {self.size}"
        if (on_disk := file_digest(file, begun)).sha256 != self.sha256:
            return f"its sha256 is {on_disk.sha256} instead of {self.sha256}"
        if not on_disk.sealed:
            return "its seal is not that of its bytes"
        file.seek(0)
        footer = pq.read_metadata(file)
        if footer.num_rows != self.rows:
            return f"it has {count_of(footer.num_rows, 'row')} instead of {self.rows:,}"
        said = {key.decode(): value.decode() for key, value in footer.metadata.items()}
        if {key: value for key, value in said.items() if key.startswith(PREFIX) and key != SEAL} != dict(metadata):
            return "its footer lost its metadata"
        if footer.schema.names != self._schema.names:
            return f"it has the columns {footer.schema.names} instead of {self._schema.names}"
        return None

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of the bytes written so far."""
        return self._digest.hexdigest()

    def publish(self, name: str, since: str | None = None) -> None:
        """Give the sealed file its final name; see `Storage.publish`."""
        self._storage.publish(self.path, self._file, name, since)

    def release(self) -> None:
        """Close the file and drop its lock: it has its final name now."""
        self._file.close()

    def discard(self) -> None:
        """Remove the temporary file; harmless when it is gone or published."""
        if self._file.closed:
            return
        self._pending = []
        if self._under_way is not None:
            self._under_way.cancel()  # or it ends, and goes nowhere
            self._under_way = None
        self._end_thread()
        self._on_disk.stop()
        with contextlib.suppress(OSError):  # what cannot be removed now loses its lock, and a sweep takes it
            tempfiles.remove(self.path)
        with contextlib.suppress(OSError):  # a full disk does not take the rest of the buffer either
            self._file.close()


def scan(files: list[str]) -> pl.LazyFrame:
    """The rows of files of one dataset, in the order of the files; paths or URLs.

    Integers of 32 bits come as 64: option sizes were once stored so, and a lake holds days of both.
    """
    options: dict[str, Any] = {
        "glob": False,
        "hive_partitioning": False,
        "storage_options": POLARS_OPTIONS,
        "credential_provider": None,  # the AWS_* variables alone, as for every other access to the store
    }
    first = pl.scan_parquet(files[:1], **options).collect_schema()
    wide = pl.Schema({name: pl.Int64() if dtype == pl.Int32 else dtype for name, dtype in first.items()})
    return pl.scan_parquet(files, schema=wide, cast_options=pl.ScanCastOptions(integer_cast="upcast"), **options)


def row_groups(file: BinaryIO, where: str) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, a row group at a time, every page checked against its checksum.

    So are the bounds that the footer says of them, which no checksum covers: by these a reader skips row groups. While
    the caller is at work on one, a thread decodes the next ones, `AHEAD` of them at most. One thread: to Polars it is
    the same whether two ask it, for they wait for one another.

    Raises:
        Corrupt: a page, a header or the footer is damaged.
    """
    with reading(where):
        parquet = pq.ParquetFile(file)
        said = [parquet.metadata.row_group(group) for group in range(parquet.num_row_groups)]
        groups = LoneGroups(parquet.metadata, where)
        usual = groups.are_as_the_lake_writes_them() and _polars_sees(groups, parquet.schema_arrow)

    def decoded(group: int) -> pl.DataFrame:
        with reading(where):
            alone = groups.alone(group, _bytes_of(file, groups.place(group), where))
            checked = usual and pages_hold(alone.file, alone.chunks, where)
            return pl.read_parquet(alone.file) if checked else _by_arrow(alone.file)

    def held(said: pq.RowGroupMetaData, frame: pl.DataFrame) -> pl.DataFrame:
        with reading(where):
            if frame.width and frame.height != said.num_rows:
                raise Corrupt(f"damaged (a row group has {frame.height:,} rows, not {said.num_rows:,})", where)
            if outside := outside_bounds(said, frame):
                raise Corrupt(f"damaged (its footer says other bounds of {outside} than its rows have)", where)
        return frame

    with contextlib.closing(_ahead(decoded, len(said))) as frames:
        yield from map(held, said, frames)


def _ahead(decoded: Callable[[int], T], groups: int) -> Generator[T]:
    """What a thread makes of each row group, in their order; nothing of those behind one that it fails at."""
    if groups < 2:
        yield from map(decoded, range(groups))
        return
    # A generator that fails has ended: whoever waits for a store that is away has waited long enough for all others.
    results = (decoded(group) for group in range(groups))
    with ThreadPoolExecutor(1, "parquet-decode") as pool:
        under_way: deque[Future[T]] = deque()
        try:
            for _ in range(groups):
                done = [under_way.popleft().result()] if len(under_way) == AHEAD else []
                under_way.append(pool.submit(copy_context().run, next, results))  # in which a store's waits are told
                if done:
                    yield done.pop()  # kept by nobody here while the next one is waited for
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _polars_sees(groups: LoneGroups, schema: pa.Schema) -> bool:
    """Whether Polars finds the types of ``schema`` in a file by itself."""
    with contextlib.suppress(pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return pl.read_parquet_schema(io.BytesIO(groups.without_groups())) == pl.Schema(schema)
    return False


def _bytes_of(file: BinaryIO, place: tuple[int, int], where: str) -> bytes:
    start, end = place
    if not 0 <= start <= end <= file.seek(0, os.SEEK_END):
        raise Corrupt("damaged (its footer says that rows are where it has no bytes)", where)
    file.seek(start)
    return file.read(end - start)


def _by_arrow(alone: bytes) -> pl.DataFrame:
    """The rows of a file with pages of any kind; Arrow compares the checksums of those that have one.

    Polars is faster, but compares none, finds other types than Arrow in some files of other programs, and may end the
    process at bytes that are no pages. So it decodes the lake's own form alone, and only what was found to hold.
    """
    with pq.ParquetFile(pa.BufferReader(alone), page_checksum_verification=True) as parquet:
        return pl.DataFrame(parquet.read())


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Say in the lake's words why a file could not be read: it is damaged (`Corrupt`), or nothing is known about it."""
    try:
        yield
    except OSError as error:  # Arrow's own, about the content, carry no errno
        if error.errno is None or error.errno == errno.EIO:
            raise Corrupt(f"damaged ({one_line(error)})", where) from error
        raise read_error(error, where) from error
    except (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        UnicodeDecodeError,  # names and bounds as pyarrow puts them into words of Python
        OverflowError,
    ) as error:
        raise Corrupt(f"damaged ({one_line(error)})", where) from error
