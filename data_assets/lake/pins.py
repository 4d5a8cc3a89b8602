"""Taking a snapshot, keeping its files, and saying what has changed since.

A pin is a second name of a day's file, under a folder of its own and called by the digest of its bytes. A day that is
replaced takes another file's place and touches no byte of the old one, so the pin still holds it. On a local disk a pin
costs nothing until the day is replaced; where there are no second names (exFAT, object stores) it is a copy.

Here: pins and the lake's own copies of its snapshots. Not here: what a snapshot says (`snapshot`), and reading the lake
as it was (`as_of`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

import polars as pl
import pyarrow.parquet as pq

from data_assets.lake.errors import Corrupt, LakeError, read_error, write_error
from data_assets.lake.layout import PINNED, SNAPSHOTS, partition_path, pinned_path, previous_path, snapshot_path
from data_assets.lake.parquet_file import NOT_SEALED, FileDigest, file_digest, reading, row_groups
from data_assets.lake.revision import Difference, difference
from data_assets.lake.snapshot import PinnedDay, Snapshot
from data_assets.lake.storage import Storage

PRICES = ("close", "open", "high", "low", "vwap", "average", "bid", "ask")
"""Columns whose change is measured, in any dataset; the first that a file has tells the usual change."""

UNCHANGED, REWRITTEN, REVISED, CHANGED, DAMAGED, MISSING, ADDED = (
    *("unchanged", "rewritten", "revised", "changed"),
    *("damaged", "missing", "added"),
)


@dataclass(frozen=True, slots=True)
class DayChange:
    """What has become of a day since a snapshot.

    Attributes:
        dataset: its dataset.
        day: the day.
        change: ``unchanged``; ``rewritten``, with another file of the same rows; ``revised``, with other rows;
            ``changed``, with another file, of which nobody can tell more, as its rows of then are nowhere; ``damaged``,
            so that nobody can read what is there now; ``missing``; or ``added``, stored since between days of the
            snapshot.
        difference: between the rows of the snapshot and those of now; None where they are the same or nobody can tell.
        is_kept: whether the lake still has the file of the snapshot; True for what was added. On a local disk a pin is
            the day's own file until that is replaced, so that damage to one is damage to both.
    """

    dataset: str
    day: date
    change: str
    difference: Difference | None
    is_kept: bool


def pin_day(storage: Storage, dataset: str, day: date, *, keep: bool) -> PinnedDay:
    """Digest a day's file as it lies there now, and pin that very file.

    Args:
        storage: the lake's.
        dataset: the dataset's key.
        day: the day.
        keep: whether to pin it, or only to digest it.

    Raises:
        Corrupt: the file is missing or damaged.
        LakeError: it cannot be read or pinned.
    """
    name = partition_path(dataset, day)
    if not keep:
        return _digested(storage, name, name)
    temporary = pinned_path(dataset, day, f"being_pinned-{uuid.uuid4().hex}")  # its digest is still to be found
    with _writing(storage, temporary):
        storage.keep(name, temporary)
    try:
        file = _digested(storage, temporary, name)  # what is pinned, whatever has the day's name by now
    except BaseException:
        with _writing(storage, temporary):
            storage.delete(temporary)
        raise
    pinned = pinned_path(dataset, day, file.sha256)
    with _writing(storage, pinned):
        storage.move(temporary, pinned)
    return file


def _digested(storage: Storage, read: str, name: str) -> PinnedDay:
    with _opened(storage, read, name) as file:
        digest = file_digest(file)
        if digest.sealed is False:
            raise Corrupt(NOT_SEALED, storage.locate(name))
        file.seek(0)
        with reading(storage.locate(name)):
            rows = pq.read_metadata(file).num_rows
        return PinnedDay(digest.size, digest.sha256, rows)


@contextmanager
def alone_with_pins(storage: Storage) -> Iterator[None]:
    """Hold other processes off that take or drop snapshots of the same lake on this machine.

    Raises:
        LakeError: the lake cannot be written.
    """
    with _writing(storage, SNAPSHOTS), storage.alone(SNAPSHOTS):
        yield


def refuse_taken_name(storage: Storage, name: str) -> None:
    """Go on only if the lake has no snapshot of that name.

    Raises:
        ValueError: it is no name for one.
        LakeError: there is one.
    """
    place = snapshot_path(name)
    if storage.size(place) is not None:
        raise LakeError(
            f"{storage.locate(place)}: there is a snapshot of that name; choose another name, or give that one up: "
            f"data-assets snapshot drop {name}"
        )


def add_snapshot(storage: Storage, snapshot: Snapshot) -> None:
    """Give the lake its own copy of a snapshot, which is what its pins are kept for.

    Raises:
        LakeError: the lake has another one of that name, or the copy cannot be written.
    """
    place = snapshot_path(snapshot.name)
    with _writing(storage, place):
        if not storage.create(place, snapshot.text().encode()):
            refuse_taken_name(storage, snapshot.name)


def pin_again(storage: Storage, snapshot: Snapshot) -> None:
    """Make those pins of a snapshot again that another process has removed before the lake had its copy of it.

    An object store knows no lock: whoever drops a snapshot meanwhile takes the pins for what a killed process left.

    Raises:
        LakeError: one cannot be made again, for its day has been replaced meanwhile.
    """
    for dataset, days in snapshot.days.items():
        for day, file in days.items():
            if is_kept(storage, dataset, day, file):
                continue
            if pin_day(storage, dataset, day, keep=True).sha256 != file.sha256:
                raise LakeError(
                    f"{dataset} {day}: was replaced while the snapshot {snapshot.name} was taken and another one "
                    "dropped; take it again"
                )


def snapshots(storage: Storage, unreadable: Callable[[str, LakeError], None] | None = None) -> list[Snapshot]:
    """The lake's snapshots, the oldest first.

    Args:
        storage: the lake's.
        unreadable: told of each that cannot be read, by its name, and why; without it, that is raised.

    Raises:
        LakeError: one cannot be read, or is none.
    """
    found = []
    for place in storage.names(SNAPSHOTS):
        if not place.endswith(".json"):
            continue
        try:
            found.append(_read(storage, place))
        except LakeError as error:
            if unreadable is None:
                raise
            unreadable(place.removeprefix(f"{SNAPSHOTS}/").removesuffix(".json"), error)
    return sorted(found, key=lambda each: (each.taken_at, each.name))


def snapshot_named(storage: Storage, name: str) -> Snapshot:
    """The lake's snapshot of a name.

    Raises:
        ValueError: it is no name for one.
        LakeError: there is none, or it cannot be read.
    """
    place = snapshot_path(name)
    if storage.size(place) is None:
        damaged: list[str] = []
        readable = snapshots(storage, lambda name, _: damaged.append(name))
        known = ", ".join([*(each.name for each in readable), *damaged])
        raise LakeError(f"the lake has no snapshot {name!r}; {f'it has {known}' if known else 'it has none'}")
    return _read(storage, place)


def _read(storage: Storage, place: str) -> Snapshot:
    with _opened(storage, place, place) as file:
        return Snapshot.parse(file.read(), storage.locate(place))


def is_kept(storage: Storage, dataset: str, day: date, file: PinnedDay) -> bool:
    """Whether the pin of a day of a snapshot is there, with as many bytes as it had."""
    return storage.size(pinned_path(dataset, day, file.sha256)) == file.size


def let_go(storage: Storage, names: Iterable[str]) -> list[str]:
    """Remove the lake's copies of some snapshots, and every pin that no other one needs.

    What a process leaves that is killed in between goes with the next call.

    Returns:
        Those of the others that cannot be read. While there is one, every pin stays, for nobody knows which it needs.

    Raises:
        LakeError: something cannot be removed.
    """
    gone = set(names)
    damaged: list[str] = []
    left = [each for each in snapshots(storage, lambda name, _: damaged.append(name)) if each.name not in gone]
    needed = {
        pinned_path(dataset, day, file.sha256)
        for snapshot in left
        for dataset, days in snapshot.days.items()
        for day, file in days.items()
    }
    for name in gone:
        with _writing(storage, snapshot_path(name)):
            storage.delete(snapshot_path(name))
    damaged = [name for name in damaged if name not in gone]
    for name in [] if damaged else storage.names(PINNED):
        if name not in needed:
            with _writing(storage, name):
                storage.delete(name)
    return damaged


def changes(
    storage: Storage,
    snapshot: Snapshot,
    days_now: Callable[[str, date, date], Sequence[date]],
    stamps: Mapping[str, Sequence[str]],
) -> Iterator[DayChange]:
    """Compare each day of a snapshot with what lies there now, by every byte, in order.

    Args:
        storage: the lake's.
        snapshot: of this lake, or of a copy of it.
        days_now: returns the days of a dataset between two days, both inclusive, whose file is there.
        stamps: dataset -> columns that only say when a row was made; another stamp alone is no other row.

    Raises:
        LakeError: a file cannot be read for a reason that says nothing about it.
    """
    for dataset, days in snapshot.days.items():
        if not days:
            continue
        there = set(days_now(dataset, min(days), max(days)))
        for day in sorted({*days, *there}):
            file = days.get(day)
            if file is None:
                yield DayChange(dataset, day, ADDED, None, is_kept=True)
                continue
            kept = is_kept(storage, dataset, day, file)
            if day not in there:
                yield DayChange(dataset, day, MISSING, None, kept)
            elif (now := _digest(storage, partition_path(dataset, day))).sha256 == file.sha256:
                yield DayChange(dataset, day, UNCHANGED, None, kept)
            else:
                kept = kept and _digest(storage, pinned_path(dataset, day, file.sha256)).sha256 == file.sha256
                yield _changed(storage, dataset, day, file, now, stamps.get(dataset, ()), kept=kept)


def _changed(
    storage: Storage, dataset: str, day: date, was: PinnedDay, now: FileDigest, stamps: Sequence[str], *, kept: bool
) -> DayChange:
    if now.sealed is False:  # asked first: nobody knows what a decoder makes of such bytes
        return DayChange(dataset, day, DAMAGED, None, kept)
    before = pinned_path(dataset, day, was.sha256) if kept else _recorded_revision(storage, dataset, day, was)
    if before is None:
        return DayChange(dataset, day, CHANGED, None, is_kept=False)
    try:
        found = _difference(storage, before, partition_path(dataset, day), stamps)
    except Corrupt:  # what is there now, as what was then has its digest still
        return DayChange(dataset, day, DAMAGED, None, kept)
    return DayChange(dataset, day, REWRITTEN if found.is_none else REVISED, found, kept)


def _recorded_revision(storage: Storage, dataset: str, day: date, was: PinnedDay) -> str | None:
    """The revision that was replaced last, if it is the file of the snapshot: the rows of then without a pin."""
    name = previous_path(dataset, day)
    is_it = storage.size(name) == was.size and _digest(storage, name).sha256 == was.sha256
    return name if is_it else None


def _digest(storage: Storage, name: str) -> FileDigest:
    with _opened(storage, name, name) as file:
        return file_digest(file)


def _difference(storage: Storage, before: str, after: str, stamps: Sequence[str]) -> Difference:
    with _opened(storage, before, before) as old, _opened(storage, after, after) as new:
        with reading(storage.locate(after)):
            parquet = pq.ParquetFile(new)
            columns, order = parquet.schema_arrow.names, parquet.metadata.row_group(0).sorting_columns
            keys = [columns[each.column_index] for each in order]
            before_columns = pq.read_schema(old).names
        old.seek(0)
        prices = [name for name in PRICES if name in columns and name in before_columns]
        return difference(
            _without(row_groups(old, storage.locate(before)), stamps),
            _without(row_groups(new, storage.locate(after)), stamps),
            keys,
            prices,
        )


def _without(frames: Iterable[pl.DataFrame], stamps: Sequence[str]) -> Iterator[pl.DataFrame]:
    return (frame.drop(stamps, strict=False) for frame in frames)


@contextmanager
def _opened(storage: Storage, name: str, of: str) -> Iterator[BinaryIO]:
    """A file of the lake, read as `name`; what goes wrong is told of `of`."""
    where = storage.locate(of)
    try:
        file = storage.open(name)
    except FileNotFoundError:
        raise Corrupt("the file is missing", where) from None
    except OSError as error:
        raise read_error(error, where) from error
    with file, reading(where):
        yield file


@contextmanager
def _writing(storage: Storage, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(error, storage.write_place(name)) from error
