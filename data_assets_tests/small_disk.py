"""Real file systems of a few megabytes, mounted for one test: what the kernel says of a full one, no stand-in does.

Here: mounting, filling and emptying them. Not here: any expectation.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = 4096


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system.

    Attributes:
        folder: where it is mounted.
    """

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, but: int = 0) -> None:
        """Take all of its bytes, except for about `but`."""
        self.empty()
        self._filler.mkdir()
        with (self._filler / "bytes").open("wb", buffering=0) as file, suppress(OSError):
            while os.statvfs(self.folder).f_bavail * PAGE > but:
                file.write(bytes(PAGE))

    def take_inodes(self, but: int = 0) -> None:
        """Take all of its inodes, except for `but`; it must be mounted with few (`nr_inodes`)."""
        self.empty()
        self._filler.mkdir()
        there = os.statvfs(self.folder).f_favail
        assert there < 10_000, f"{there} inodes: the kernel's own bound is a share of the machine's memory"
        for number in range(there - but):
            (self._filler / str(number)).touch()

    def empty(self) -> None:
        """Give back what was taken."""
        if self._filler.exists():
            for path in self._filler.iterdir():
                path.unlink()
            self._filler.rmdir()

    def remount(self, how: str) -> None:
        """Make it read-only (`ro`) or writable (`rw`)."""
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)


@contextmanager
def small_disk(folder: Path, options: str = "size=16m") -> Iterator[SmallDisk]:
    """Mount one at `folder`; a test that may not mount is skipped.

    Args:
        folder: made if it is not there.
        options: of tmpfs: `size`, `nr_inodes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a file system of its own, and this user may not mount one")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def mount() -> Iterator[Callable[..., SmallDisk]]:
    """Mounts file systems that go with the test: `mount(folder, "size=1m")`."""
    with ExitStack() as mounted:
        yield lambda *arguments: mounted.enter_context(small_disk(*arguments))
