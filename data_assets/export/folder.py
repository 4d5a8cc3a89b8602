"""The folder that exports are written into: each file whole or as it was before, one writer at a time.

A file takes the place of one only if the same export has written that: the manifest names it, or the list of what a
killed writer was at (`BEING_WRITTEN`). A person's own file of that name, or another export's, stays.

Here: names, locks and renames, and what may not lie there together. Not here: what is in the files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from glob import escape
from pathlib import Path
from typing import BinaryIO

from data_assets.export.manifest import Manifest, ManifestUnreadable, from_json
from data_assets.files import durable, tempfiles
from data_assets.lake.lake import Lake
from data_assets.lake.layout import escape_ticker

MANIFESTS = "_manifests"
BEING_WRITTEN = "being_written.txt"
"""Beside the manifests: a line for each file that is written and that no manifest names yet, with its export."""


_TRIES = 100
"""How often a folder is made: each of them may be taken away by one more export that is refused at the same time."""


class ExportRefused(Exception):
    """An export cannot be written as it was asked for; the text, one line, says why and what to do."""


class ExportFolder:
    """A local folder of exports, of which each has its manifest below ``_manifests``.

    Attributes:
        path: the folder, absolute.
    """

    def __init__(self, path: Path, lake: Lake) -> None:
        """Name the folder; nothing is touched.

        Raises:
            ExportRefused: it lies in the lake, where every reader would take its files for days, or around it.
        """
        self.path = path.expanduser().absolute()
        self._synthetic = lake.synthetic
        self._writers: dict[str, str] = {}
        self._export = ""
        self._manifests: dict[Path, Manifest] = {}
        if "://" in lake.url:
            return
        folder, root = self.path.resolve(), Path(lake.url).resolve()
        if folder.is_relative_to(root):
            raise ExportRefused(
                f"{self.path} lies in the lake, whose readers would take its files for days: name another"
            )
        if root.is_relative_to(folder):
            raise ExportRefused(f"the lake {root} lies in {self.path}: name a folder that is for exports alone")

    @contextlib.contextmanager
    def locked(self, engine: str, dataset: str, ticker: str | None) -> Iterator[None]:
        """Be its one writer, of one export, after what dead ones left has been removed.

        Raises:
            ExportRefused: it cannot be made, holds exports of the other kind of data, or, while it is held, does not
                let one of its files be read, written or removed.
            ManifestUnreadable: a manifest in it cannot be read.
        """
        with self._told_of(self.path), self._made_and_locked():
            tempfiles.sweep(tempfiles.find(self.path))
            self._export = self.manifest_path(engine, dataset, ticker).name
            self._writers = self._being_written()
            self._manifests = {path: _read(path) for path in sorted((self.path / MANIFESTS).glob("*.json"))}
            for path, manifest in self._manifests.items():
                if manifest.synthetic != self._synthetic:
                    held, wanted = ("real", "synthetic") if self._synthetic else ("synthetic", "real")
                    raise ExportRefused(
                        f"{self.path} holds {held} data, and {wanted} data never goes beside it: name another folder "
                        "with --into"
                    )
                self._writers |= {name: path.name for day in manifest.days for name in day.files}
            try:
                yield
            finally:
                self._manifests = {}

    @contextlib.contextmanager
    def _made_and_locked(self) -> Iterator[None]:
        """Hold the folder, which is made where there is none, and is gone again if nothing came of it."""
        missing = [each for each in (self.path, *self.path.parents) if not each.exists()]
        with self._held():
            try:
                yield
            except BaseException:
                with contextlib.suppress(OSError):  # something lies in it
                    for folder in missing:
                        folder.rmdir()
                raise

    def _held(self) -> contextlib.ExitStack:
        """Make the folder and have its lock; another export that is refused meanwhile may take the empty one away."""
        for tries_left in reversed(range(_TRIES)):
            try:
                durable.make_folder(self.path)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and tries_left:
                    continue
                raise ExportRefused(
                    f"{self.path}: cannot be made ({error.strerror}): name another with --into"
                ) from error
            with contextlib.ExitStack() as held:
                try:
                    status = held.enter_context(tempfiles.locked_folder(self.path))
                    if os.path.samestat(status, self.path.stat()):
                        return held.pop_all()
                except FileNotFoundError:
                    if not tries_left:
                        raise
        raise ExportRefused(f"{self.path}: is made and removed by others all the time: export again, or use --into")

    @contextlib.contextmanager
    def _told_of(self, place: Path) -> Iterator[None]:
        """Tell in a line what the system says of a place, or of whatever else lies in the folder."""
        try:
            yield
        except OSError as error:
            if error.filename is None and place == self.path:  # of the lake, whose days are read meanwhile
                raise
            named = Path(str(error.filename or place))
            if not named.is_relative_to(place):
                raise
            raise ExportRefused(
                f"{named}: cannot be read or written ({error.strerror or error}): see to room and permissions there, "
                "or name another folder with --into, and export again"
            ) from error

    def _being_written(self) -> dict[str, str]:
        """File -> its export, of what writers were at that died."""
        try:
            lines = (self.path / MANIFESTS / BEING_WRITTEN).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.split("\t") for line in lines)
        return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}  # the last line may have been cut short

    def manifest_path(self, engine: str, dataset: str, ticker: str | None) -> Path:
        """Where the manifest of an export lies."""
        parts = [engine, dataset.replace("/", "."), *([escape_ticker(ticker)] if ticker else [])]
        return self.path / MANIFESTS / f"{'__'.join(parts)}.json"

    def manifest(self, engine: str, dataset: str, ticker: str | None) -> Manifest | None:
        """What an earlier run has written of an export; None where none has. While the lock is held, it is read once.

        Raises:
            ManifestUnreadable: it cannot be read.
        """
        path = self.manifest_path(engine, dataset, ticker)
        if path in self._manifests:
            return self._manifests[path]
        return _read(path) if path.is_file() else None

    def other_datasets(self, engine: str, dataset: str, ticker: str) -> list[str]:
        """Other datasets whose bars of a ticker the folder holds in this format, under the same names of files.

        Raises:
            ManifestUnreadable: a manifest cannot be read.
        """
        of_ticker = (self.path / MANIFESTS).glob(f"{engine}__*__{escape(escape_ticker(ticker))}.json")
        held = [_read(path) for path in sorted(of_ticker) if path != self.manifest_path(engine, dataset, ticker)]
        return [each.dataset for each in held if each.ticker == ticker]

    def save(self, manifest: Manifest) -> None:
        """Put a manifest in the place of the one before; what it names is no longer being written.

        What it does not name stays in the journal: a writer may have died, or failed, long before its last file.
        """
        path = self.manifest_path(manifest.engine, manifest.dataset, manifest.ticker)
        self.replace_own(str(path.relative_to(self.path)), lambda file: file.write(manifest.to_json()))
        self._manifests[path] = manifest
        named = {name for day in manifest.days for name in day.files}
        left = {
            name: export for name, export in self._being_written().items() if not self._is_told(name, export, named)
        }
        if left:
            lines = "".join(f"{export}\t{name}\n" for name, export in left.items())
            self.replace_own(f"{MANIFESTS}/{BEING_WRITTEN}", lambda file: file.write(lines.encode()))
        else:
            (self.path / MANIFESTS / BEING_WRITTEN).unlink(missing_ok=True)

    def _is_told(self, name: str, export: str, named: Collection[str]) -> bool:
        """Whether the journal need not claim a file for its export: its manifest names it, or there is none."""
        return export == self._export and (name in named or not (self.path / name).exists())

    def replace(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Write a file of the export whole, then give it its name in place of what the export had there.

        Raises:
            ExportRefused: a file of that name is there that this export has not written; it stays.
        """
        if self._writers.get(name) != self._export:
            if (self.path / name).exists():
                whose = f"is of another export ({other})" if (other := self._writers.get(name)) else "is no export's"
                raise ExportRefused(
                    f"{self.path / name} {whose}, and is left as it is: move it away, or name another folder with "
                    "--into"
                )
            durable.make_folder(self.path / MANIFESTS)
            place = self.path / MANIFESTS / BEING_WRITTEN
            with self._told_of(place), place.open("ab") as journal:
                journal.write(f"{self._export}\t{name}\n".encode())
                durable.sync(journal)
            self._writers[name] = self._export
        self.replace_own(name, write)

    def put(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Write a file that several exports need, unless there is one: that may know more."""
        if not (self.path / name).exists():
            self.replace_own(name, write)

    def replace_own(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Write a file that is the folder's own, whole, and give it its name in place of what has it.

        Raises:
            ExportRefused: the disk does not take it; what had its name is as it was.
        """
        target = self.path / name
        try:
            temp, file = tempfiles.create(target.parent, target.name)
            try:
                with file:
                    write(file)
                    durable.sync(file)
                    temp.chmod(0o644)
                    durable.rename(temp, target)
            except BaseException:
                tempfiles.remove(temp)
                raise
        except OSError as error:
            raise ExportRefused(
                f"{target}: cannot be written ({error.strerror or error}), and is as it was: see to room and "
                "permissions there, or name another folder with --into, and export again"
            ) from error

    def remove(self, name: str) -> None:
        """Remove a file that the export has written, if it is there; another one of that name stays."""
        if self._writers.get(name) == self._export:
            (self.path / name).unlink(missing_ok=True)


def _read(path: Path) -> Manifest:
    try:
        return from_json(path.read_bytes())
    except ManifestUnreadable as error:
        # Without it nobody knows whose the files beside it are, and none of them would be replaced.
        raise ManifestUnreadable(
            f"{path} {error}: move {path.parent.parent} away, or name another folder with --into, and export again"
        ) from error
