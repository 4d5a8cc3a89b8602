"""A lake as a snapshot saw it: the same names, and behind each the bytes of that time.

Everything that reads a lake reads this one in the same way: only the days of the snapshot are there, each from its pin,
or from the day's file where that has the same bytes still.

Here: which file answers for a name. Not here: pins (`pins`), and what a snapshot is (`snapshot`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NoReturn

from data_assets.lake.errors import LakeError, LakeUnusable
from data_assets.lake.layout import parse_partition_path, partition_path, pinned_path
from data_assets.lake.parquet_file import file_digest
from data_assets.lake.snapshot import PinnedDay, Snapshot
from data_assets.lake.storage import Storage, is_in_a_folder


class StorageAsOf:
    """The files of a snapshot; implements ``Storage``, of which nothing can be written.

    Args:
        storage: the lake's own.
        snapshot: what is shown of it.
    """

    def __init__(self, storage: Storage, snapshot: Snapshot) -> None:
        self._storage, self._snapshot = storage, snapshot
        self._files: dict[str, PinnedDay] = {
            partition_path(dataset, day): file for dataset, days in snapshot.days.items() for day, file in days.items()
        }
        self._places: dict[str, str] = {}
        self._is_folder = "://" not in storage.locate("")

    def _place(self, name: str) -> str:
        """Where the bytes of a file of the snapshot are now; any other name is its own place.

        Raises:
            LakeError: they are nowhere.
        """
        file = self._files.get(name)
        if file is None:
            return name
        place = self._places.get(name)
        if place is None or (self._is_folder and self._storage.size(place) is None):  # its snapshot was given up since
            self._places.pop(name, None)
            dataset, day = parse_partition_path(name)
            pin = pinned_path(dataset, day, file.sha256)
            if self._storage.size(pin) == file.size:
                self._places[name] = pin
            elif self._storage.size(name) == file.size and self._sha256(name) == file.sha256:
                return name  # looked at anew each time: it may be replaced, and then nothing else holds these bytes
            else:
                raise LakeError(
                    f"{dataset} {day}: the lake no longer holds the file of the snapshot {self._snapshot.name}; "
                    "what has changed: data-assets snapshot check " + self._snapshot.name
                )
        return self._places[name]

    def _sha256(self, name: str) -> str:
        with self._storage.open(name) as file:
            return file_digest(file).sha256

    def locate(self, name: str) -> str:
        """See ``Storage``."""
        return self._storage.locate(self._place(name))

    def open(self, name: str) -> BinaryIO:
        """See ``Storage``."""
        return self._storage.open(self._place(name))

    def size(self, name: str) -> int | None:
        """See ``Storage``."""
        return self._files[name].size if name in self._files else self._storage.size(name)

    def names(
        self,
        prefix: str = "",
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """See ``Storage``: the days of the snapshot, and nothing else."""
        within = f"{prefix}/" if prefix else ""
        return sorted(
            name
            for name in self._files
            if name.startswith(within) and after < name and (until is None or name <= until)
        )

    def names_in_folders(
        self,
        prefix: str,
        file: str,
        after: str = "",
        until: str | None = None,
        *,
        unreadable: Callable[[str, LakeError], None] | None = None,
    ) -> list[str]:
        """See ``Storage``."""
        names = self.names(prefix, after, until, unreadable=unreadable)
        return [name for name in names if is_in_a_folder(name, prefix, file)]

    def check_folder(self, name: str) -> None:
        """See ``Storage``: what is in the snapshot is there or is told of by its name."""

    def versions(self, names: Collection[str]) -> dict[str, str]:
        """See ``Storage``: the digests."""
        return {name: self._files[name].sha256 for name in names if name in self._files}

    def is_one_file(self, name: str, other: str) -> bool:
        """See ``Storage``."""
        return self._storage.is_one_file(name, other)

    def alone(self, folder: str) -> AbstractContextManager[None]:
        """See ``Storage``: refused."""
        self._refuse(folder)

    def work_folder(self, name: str, folder: str) -> Path:
        """See ``Storage``."""
        return self._storage.work_folder(posixpath.join("as_of", name), folder)

    def beside(self, name: str = "") -> None:
        """See `Storage`: nothing is worked on as of a snapshot."""

    def unfinished_folders(self) -> Iterator[Path]:
        """See ``Storage``: nothing is written."""
        return iter(())

    def former_temp_files(self) -> Iterator[Path]:
        """See ``Storage``: nothing is written."""
        return iter(())

    def free_bytes(self) -> int | None:
        """See ``Storage``."""
        return self._storage.free_bytes()

    def new_temp(self, name: str) -> tuple[Path, BinaryIO]:
        """See ``Storage``: refused."""
        self._refuse(name)

    def write_place(self, name: str) -> str:
        """See ``Storage``."""
        return self._storage.locate(name)

    def version(self, name: str) -> str | None:
        """See `Storage`."""
        return self._storage.version(name)

    def ignores_conditions(self) -> str | None:
        """See `Storage`: nothing is written here."""
        return None

    def publish(self, temp: Path, file: BinaryIO, name: str, since: str | None = None) -> None:
        """See ``Storage``: refused."""
        self._refuse(name)

    def keep(self, name: str, previous: str, since: str | None = None) -> None:
        """See ``Storage``: refused."""
        self._refuse(name)

    def move(self, name: str, to: str) -> None:
        """See ``Storage``: refused."""
        self._refuse(name)

    def create(self, name: str, data: bytes) -> bool:
        """See ``Storage``: refused."""
        self._refuse(name)

    def replace(self, name: str, data: bytes) -> None:
        """See ``Storage``: refused."""
        self._refuse(name)

    def delete(self, name: str) -> None:
        """See ``Storage``: refused."""
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise LakeUnusable(
            f"{name}: this is the lake as of the snapshot {self._snapshot.name}, which is read and never written; "
            "open it without as_of to write"
        )
