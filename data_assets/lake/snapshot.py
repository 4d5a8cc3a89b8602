"""A snapshot: which file of which days a piece of research has read, so that it can be cited and read again.

It is one small JSON text that can be committed beside a strategy. A file is named by the digest of its bytes, so the
snapshot says what was read and not only where; with the lake's pins (`pins`) those bytes can be read later, whatever
has become of the day since.

Here: the values and their text. Not here: taking one, comparing one with the lake (`pins`), and reading the lake as it
was (`as_of`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from data_assets.lake.errors import LakeError
from data_assets.lake.layout import dataset_path, partition_path, snapshot_path

FORMAT = "data_assets snapshot 1"


@dataclass(frozen=True, slots=True)
class PinnedDay:
    """The file of one day as it was.

    Attributes:
        size: its bytes.
        sha256: hexadecimal digest of those bytes.
        rows: rows in it.
        checks: how its asset checks had ended when the snapshot was taken: check -> ``succeeded``, ``failed``, ...;
            empty where nobody said.
    """

    size: int
    sha256: str
    rows: int
    checks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """The files of some days of a lake at one time.

    Attributes:
        name: what it is called in its lake.
        taken_at: when, UTC.
        version: of data_assets, which took it.
        lake: the identity of the lake, as its marker says it; None for one that has none.
        synthetic: whether a simulator made the data.
        days: dataset -> day -> its file, both in order.
    """

    name: str
    taken_at: datetime
    version: str
    lake: str | None
    synthetic: bool
    days: Mapping[str, Mapping[date, PinnedDay]]

    def __post_init__(self) -> None:
        snapshot_path(self.name)
        ordered = {dataset_path(dataset): dict(sorted(days.items())) for dataset, days in sorted(self.days.items())}
        object.__setattr__(self, "days", ordered)

    @property
    def id(self) -> str:
        """A digest of the days and their bytes, to be cited: the same data has the same id, under whatever name."""
        digest = hashlib.sha256()
        for dataset, days in self.days.items():
            for day, file in days.items():
                digest.update(f"{dataset} {day} {file.sha256}\n".encode())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all of its files."""
        return sum(file.size for days in self.days.values() for file in days.values())

    @property
    def count(self) -> int:
        """Days in all of its datasets."""
        return sum(len(days) for days in self.days.values())

    def text(self) -> str:
        """The snapshot as JSON, a line a day, so that a version control system shows what changed."""
        head = {
            "format": FORMAT,
            "name": self.name,
            "id": self.id,
            "taken_at": self.taken_at.astimezone(UTC).isoformat(timespec="seconds"),
            "data_assets": self.version,
            "lake": self.lake,
            "synthetic": self.synthetic,
        }
        lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        datasets = []
        for dataset, days in self.days.items():
            files = ",\n".join(f"   {json.dumps(_entry(dataset, day, file))}" for day, file in days.items())
            datasets.append(f"  {json.dumps(dataset)}: [\n{files}\n  ]")
        return "\n".join(["{", *lines, ' "datasets": {', ",\n".join(datasets), " }", "}"]) + "\n"

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot's file, such as one that lies beside a strategy.

        Raises:
            LakeError: there is none, it cannot be read, or as `parse` says.
        """
        try:
            return cls.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise LakeError(f"{path}: cannot be read ({error.strerror}); give the file of a snapshot") from error

    @classmethod
    def parse(cls, text: str | bytes, where: str) -> Snapshot:
        """Read what `text` wrote.

        Args:
            text: the file's content.
            where: the file, for the error.

        Raises:
            LakeError: it is no snapshot, one of a later version, or its days are not those that its id was made of.
        """
        try:
            said: dict[str, Any] = json.loads(text)
            if said["format"] != FORMAT:
                raise LakeError(f"{where}: is a {said['format']!r}, and this version reads {FORMAT!r}: upgrade it")
            snapshot = cls(
                name=said["name"],
                taken_at=datetime.fromisoformat(said["taken_at"]),
                version=said["data_assets"],
                lake=said["lake"],
                synthetic=said["synthetic"],
                days={
                    dataset: {date.fromisoformat(entry["day"]): _file(entry) for entry in entries}
                    for dataset, entries in said["datasets"].items()
                },
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LakeError(
                f"{where}: is no snapshot ({type(error).__name__}: {error}); take it from version control again"
            ) from None
        if snapshot.id != said.get("id"):
            raise LakeError(
                f"{where}: was altered: its days are not those of its id; take it from version control again"
            )
        return snapshot


def _entry(dataset: str, day: date, file: PinnedDay) -> dict[str, Any]:
    entry = {
        "day": day.isoformat(),
        "path": partition_path(dataset, day),
        "size": file.size,
        "sha256": file.sha256,
        "rows": file.rows,
    }
    return entry | ({"checks": dict(file.checks)} if file.checks else {})


def _file(entry: Mapping[str, Any]) -> PinnedDay:
    sha256 = entry["sha256"]
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"{sha256!r} is no sha256")
    return PinnedDay(int(entry["size"]), sha256, int(entry["rows"]), dict(entry.get("checks", {})))
