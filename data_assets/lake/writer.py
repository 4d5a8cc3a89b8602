"""A day's file from rows as they arrive: sorted, whole or not there, with memory bounded by its largest group.

The first sort column is the group (of option quotes: the expiration). Vendors send whole groups in order, so rows are
sorted a few groups at a time and go straight to the file. Where groups come out of order or come back, what is written
is sorted runs, and `DayWriter.finish` merges them into a second file from the first, again a few groups at a time: the
disk is used instead of memory.

Here: the order of rows, and the life of a day's temporary file. Not here: encoding (``parquet_file``).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_assets.lake.errors import LakeError, write_error
from data_assets.lake.layout import partition_path, previous_path, rejected_path
from data_assets.lake.parquet_file import ROW_GROUP_ROWS, NewParquet, reading, row_groups
from data_assets.lake.provenance import Provenance, to_metadata
from data_assets.lake.row_order import Ordered, in_order
from data_assets.lake.storage import Storage
from data_assets.trading_calendar import utc_now


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A published file.

    Attributes:
        path: where it lies, relative to the lake's root.
        rows: rows in it.
        size: its bytes.
        sha256: hexadecimal digest of those bytes.
    """

    path: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AuditedDay:
    """A day's file as it was read back, whole.

    Attributes:
        file: what it is now.
        provenance: what its footer says of where the rows came from.
        written_at: when it was written, UTC; None in files of earlier versions.
    """

    file: StoredFile
    provenance: Provenance
    written_at: datetime | None


class StagedFile:
    """A whole, synced and verified file under a temporary name; it goes with this object unless it is published.

    Attributes:
        name: the name it will have, relative to the lake's root.
        rows: rows in it.
        size: its bytes.
        sha256: hexadecimal digest of those bytes.
        provenance: what its footer says.
        written_at: when it was made, UTC.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        file: NewParquet,
        provenance: Provenance,
        written_at: datetime,
        since: str | None,
    ) -> None:
        self._storage, self._file, self._since = storage, file, since
        self.name, self.provenance, self.written_at = name, provenance, written_at
        self.rows, self.size, self.sha256 = file.rows, file.size, file.sha256
        weakref.finalize(self, file.discard)  # a cancelled task never receives the file that its thread finished

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows in the file's order, a row group at a time; not after ``publish`` or ``discard``.

        Raises:
            LakeError: the temporary file cannot be read.
        """
        with reading(str(self._file.path)), self._file.path.open("rb") as file:
            yield from row_groups(file, str(self._file.path))

    def publish(self, *, keep_previous: bool = False) -> StoredFile:
        """Give the file its final name, durably. Called at most once.

        Args:
            keep_previous: let the file that is replaced stay, as the day's one previous revision (`Lake.previous`).

        Raises:
            Overtaken: in an object store, the day was stored by somebody else since its writer was made.
            LakeError: it could not be; the temporary file is gone, and what had the name before is untouched.
        """
        try:
            if keep_previous:
                previous = previous_path(self.provenance.dataset, self.provenance.day)
                self._storage.keep(self.name, previous, self._since)
            self._file.publish(self.name, self._since)
        except OSError as error:
            raise write_error(error, self._storage.write_place(self.name)) from error
        else:
            self._file.release()
        finally:
            self._file.discard()
        return StoredFile(self.name, self.rows, self.size, self.sha256)

    def discard(self) -> None:
        """Remove the temporary file; harmless after ``publish``."""
        self._file.discard()


class DayWriter:
    """Writes one day of one dataset; a context manager that leaves nothing behind unless ``finish`` was reached.

    Made by `Lake.writer`. ``write``, ``end_group`` and ``finish`` may be called from any thread, one at a time; leaving
    the context waits for the one under way. Nothing is on disk before the first sorted run. After an error the writer
    has ended: the rows of a day are in one file or in none.
    """

    def __init__(
        self,
        storage: Storage,
        dataset: str,
        day: date,
        schema: pa.Schema,
        sort_by: Sequence[str],
        *,
        synthetic: bool,
        check_there: Callable[[], None],
        whole_groups: bool = False,
        plain: Collection[str] = (),
        encoder: Executor | None = None,
        rejected: bool = False,
    ) -> None:
        self._storage, self._dataset, self._day, self._synthetic = storage, dataset, day, synthetic
        self._check_there = check_there
        self._name = rejected_path(dataset, day) if rejected else partition_path(dataset, day)
        self._since = None if rejected else storage.version(self._name)
        self._columns = pl.Schema(schema)
        self._schema = pl.DataFrame(schema=self._columns).to_arrow().schema
        self._sort_by = _checked_order(self._columns, sort_by)
        self._group = self._sort_by[0]
        if foreign := set(plain) - set(self._columns):
            raise ValueError(f"{self._name}: plain names columns that the schema lacks: {', '.join(sorted(foreign))}")
        self._whole_groups, self._plain, self._encoder = whole_groups, plain, encoder
        self._file: NewParquet | None = None
        self._index: list[pl.DataFrame] = []
        self._in_order = True  # whether each group has come once, and after those that are smaller
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        self._complete = 0  # rows of the buffer before its last, perhaps unfinished group
        self._ended = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._drop()

    def write(self, frame: pl.DataFrame) -> None:
        """Take the next rows, in the order they arrived.

        Raises:
            ValueError: the frame's columns are not those of the schema, or the writer has ended.
            LakeError: they cannot be written (`DiskFull` where there is no room); the temporary file is gone.
        """
        if frame.schema != self._columns:
            wrong = [c for c in {**self._columns, **frame.schema} if self._columns.get(c) != frame.schema.get(c)]
            raise ValueError(
                f"{self._name}: the frame's columns are not those of the schema: "
                + (
                    ", ".join(f"{c}: {frame.schema.get(c)} instead of {self._columns.get(c)}" for c in wrong)
                    or "their order differs"
                )
            )
        with self._working():
            if frame.is_empty():
                return
            group = frame[self._group]
            # `ne_missing` is an expression, which costs a small frame more than all else here.
            others = (group.ne_missing(group[-1]) if group.has_nulls() else group != group[-1]).arg_true()
            if len(others):
                self._complete = self._buffered + others[-1] + 1
            elif self._buffer and not group.head(1).eq_missing(self._buffer[-1][self._group].tail(1)).item():
                self._complete = self._buffered
            self._buffer.append(frame)
            self._buffered += frame.height
            self._write_complete()

    def end_group(self) -> None:
        """Say that no group goes on, so that none of the rows waits in memory for the first of the next group.

        Raises:
            ValueError: the writer has ended.
            LakeError: see ``write``.
        """
        with self._working():
            self._complete = self._buffered
            self._write_complete()

    def end_rows(self) -> None:
        """Say that there are no more rows, so that the last are in order and being encoded before ``finish``.

        Raises:
            ValueError: the writer has ended.
            LakeError: see ``write``.
        """
        with self._working():
            self._write_last()
            if self._file is not None:
                self._file.end_rows()

    def _write_last(self) -> None:
        if self._buffer:
            self._complete = self._buffered
            self._write_run(self._take_complete(), alone=self._file is None)

    def _write_complete(self) -> None:
        if self._buffered >= ROW_GROUP_ROWS and self._complete:
            self._write_run(self._take_complete())

    def finish(self, provenance: Provenance) -> StagedFile:
        """Bring the day to disk, whole, sorted, synced and read back, under its temporary name.

        Raises:
            ValueError: there are no rows (an empty day is an outcome, not a file), the provenance is another day's, or
                the writer has ended.
            LakeError: it cannot be written, or the provenance is of the other kind of lake; the temporary file is gone.
        """
        if (provenance.dataset, provenance.day) != (self._dataset, self._day):
            raise ValueError(f"{self._name}: the provenance is that of {provenance.dataset} {provenance.day}")
        if provenance.synthetic != self._synthetic:
            raise LakeError(
                f"{self._name}: {_kind(provenance.synthetic)} rows do not go into a lake of {_kind(self._synthetic)} "
                "data; set DATA_ASSETS_LAKE to a folder of their own"
            )
        with self._working():
            self._write_last()
            if self._file is None:
                raise ValueError(f"{self._name}: no rows were written; an empty day is an outcome, not a file")
            if not self._in_order:
                self._merge(pl.concat(self._index))
            written_at = utc_now()
            self._file.seal(to_metadata(provenance, self._file.rows, self._schema, written_at=written_at))
            staged = StagedFile(self._storage, self._name, self._file, provenance, written_at, self._since)
            self._file, self._ended = None, True
            return staged

    def _take_complete(self) -> list[pl.DataFrame]:
        """The buffered rows of complete groups, which leave the buffer."""
        frames, self._buffer = self._buffer, []
        complete = []
        for frame in frames:
            here = min(frame.height, self._complete)
            if here:
                complete.append(frame.head(here))
            if here < frame.height:
                self._buffer.append(frame.slice(here))
            self._complete -= here
            self._buffered -= here
        return complete

    def _write_run(self, frames: list[pl.DataFrame], *, alone: bool = False) -> None:
        if self._file is None:
            self._file = self._new_file()
        ordered = in_order(frames, self._sort_by)
        if not alone:  # one run is the file: there is nothing to merge it with
            groups, lengths = ordered.groups()
            starts = self._file.rows + lengths.cum_sum() - lengths
            self._index.append(pl.DataFrame({self._group: groups, "start": starts, "length": lengths}))
            beside = pl.concat(self._index[-2:])[self._group]
            if not beside.is_sorted() or beside.n_unique() < beside.len():
                self._in_order = False
                self._file.read_once()
        self._write(ordered)

    def _merge(self, index: pl.DataFrame) -> None:
        runs = self._file
        assert runs is not None
        runs.end()
        self._file = self._new_file()
        try:
            for pieces in _batches(index, self._group):
                self._write(in_order(_gather(runs, pieces), self._sort_by))
        finally:
            runs.discard()

    def _write(self, ordered: Ordered) -> None:
        """Write rows in their order, a row group at a time: a whole group is never held twice for it."""
        assert self._file is not None
        for rows in ordered.batches(ROW_GROUP_ROWS):
            self._file.write(rows)

    def _new_file(self) -> NewParquet:
        self._check_there()  # a disk unplugged since the writer was made would get its file in the mount point
        return NewParquet(
            self._storage,
            self._name,
            self._schema,
            self._sort_by,
            whole_groups=self._whole_groups,
            plain=self._plain,
            encoder=self._encoder,
        )

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise ValueError(f"{self._name}: this writer has ended; begin the day again with a new one")
            try:
                yield
            except OSError as error:
                self._drop()
                raise write_error(error, self._storage.write_place(self._name)) from error
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        self._ended = True
        self._buffer, self._index = [], []
        if self._file is not None:
            self._file.discard()
            self._file = None


def _kind(synthetic: bool) -> str:
    return "synthetic" if synthetic else "real"


def _checked_order(columns: pl.Schema, sort_by: Sequence[str]) -> list[str]:
    """Refuse a sort order that readers of the file would understand differently."""
    if not sort_by or not set(sort_by) <= set(columns):
        raise ValueError(
            f"sort_by needs one or more of the columns {', '.join(columns)}; got {', '.join(sort_by) or 'none'}"
        )
    for column in sort_by:
        kind = columns[column]
        if isinstance(kind, pl.Enum) and kind.categories.to_list() != sorted(kind.categories):
            raise ValueError(
                f"{column}: list the categories of a sort column in the order of their text, as Parquet sorts them"
            )
    return list(sort_by)


def _batches(index: pl.DataFrame, group: str) -> Iterator[pl.DataFrame]:
    """The pieces of the groups in sorted order, as many groups at a time as fill a row group."""
    groups = index.group_by(group).agg(pl.col("length").sum()).sort(group)
    batch = groups.select(group, batch=(pl.col("length").cum_sum() - pl.col("length")) // ROW_GROUP_ROWS)
    pieces = index.join(batch, on=group, nulls_equal=True)
    yield from pieces.sort("batch", "start").partition_by("batch", maintain_order=True)


def _gather(runs: NewParquet, pieces: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows of ``pieces`` (start and length, in order of start), copied so that no row group stays in memory."""
    parts = []
    with runs.path.open("rb") as file, reading(str(runs.path)):
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        end = 0
        for number in range(parquet.num_row_groups):
            first, end = end, end + parquet.metadata.row_group(number).num_rows
            inside = pieces.filter(pl.col("start") < end, pl.col("start") + pl.col("length") > first)
            if inside.is_empty():
                continue
            rows = pl.DataFrame(parquet.read_row_group(number))
            wanted = inside.select(
                pl.int_ranges(
                    pl.max_horizontal(pl.col("start") - first, 0),
                    pl.min_horizontal(pl.col("start") + pl.col("length") - first, rows.height),
                ).explode()
            ).to_series()
            parts.append(rows[wanted])
    return parts
