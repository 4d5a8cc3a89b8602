"""The folder that exports are written into: each file whole or as it was before, one writer at a time.

Here: names, locks and renames, and what may not lie there together. Not here: what is in the files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import BinaryIO

from data_assets.export.manifest import Manifest, ManifestUnreadable, from_json
from data_assets.files import durable, tempfiles
from data_assets.lake.lake import Lake
from data_assets.lake.layout import escape_ticker

MANIFESTS = "_manifests"


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
            ExportRefused: it lies in the lake, where every reader would take its files for days.
        """
        self.path = path.expanduser().absolute()
        self._synthetic = lake.synthetic
        if "://" not in lake.url and self.path.resolve().is_relative_to(Path(lake.url).resolve()):
            raise ExportRefused(
                f"{self.path} lies in the lake, whose readers would take its files for days: name another"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be its one writer, after what dead ones left has been removed.

        Raises:
            ExportRefused: it holds exports of the other kind of data.
            ManifestUnreadable: a manifest in it cannot be read.
        """
        durable.make_folder(self.path)
        with tempfiles.locked_folder(self.path):
            tempfiles.sweep(tempfiles.find(self.path))
            for path in sorted((self.path / MANIFESTS).glob("*.json")):
                if _read(path).synthetic != self._synthetic:
                    held, wanted = ("real", "synthetic") if self._synthetic else ("synthetic", "real")
                    raise ExportRefused(
                        f"{self.path} holds {held} data, and {wanted} data never goes beside it: name another folder "
                        "with --into"
                    )
            yield

    def manifest_path(self, engine: str, dataset: str, ticker: str | None) -> Path:
        """Where the manifest of an export lies."""
        parts = [engine, dataset.replace("/", "."), *([escape_ticker(ticker)] if ticker else [])]
        return self.path / MANIFESTS / f"{'__'.join(parts)}.json"

    def manifest(self, engine: str, dataset: str, ticker: str | None) -> Manifest | None:
        """What an earlier run has written of an export; None where none has.

        Raises:
            ManifestUnreadable: it cannot be read.
        """
        path = self.manifest_path(engine, dataset, ticker)
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
        """Put a manifest in the place of the one before."""
        path = self.manifest_path(manifest.engine, manifest.dataset, manifest.ticker)
        self.replace(str(path.relative_to(self.path)), lambda file: file.write(manifest.to_json()))

    def replace(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Write a file whole, then give it its name in place of what has it."""
        target = self.path / name
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

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)


def _read(path: Path) -> Manifest:
    try:
        return from_json(path.read_bytes())
    except ManifestUnreadable as error:
        raise ManifestUnreadable(f"{path} {error}: move it away, and export again") from error
