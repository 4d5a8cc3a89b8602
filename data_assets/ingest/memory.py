"""The share of memory that is in use: of this machine, or of the container, whichever is nearer to its end.

In a container the machine's numbers say nothing: the kernel ends the process at the limit of its control group, however
much of the machine is free. Groups nest, and the tightest counts. What a group keeps of files only for speed is not
counted as in use, as the machine's is not: the kernel gives it up before it ends anybody.

Sources: the kernel's `Documentation/admin-guide/cgroup-v2.rst` (`memory.max`, `memory.current`, `memory.stat`) and
`cgroup-v1/memory.rst` (`memory.limit_in_bytes`, `memory.usage_in_bytes`). Version 1 writes "no limit" as a number near
2^63.

Here: reading it. Not here: what is done when it runs short (`concurrency`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

CGROUP, MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class _Version:
    """The files of one version of the kernel's interface, and the count of what it keeps of files only for speed."""

    limit: str
    used: str
    cached: str


_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("memory.max", "memory.current", "inactive_file")


def memory_in_use(cgroup: Path = CGROUP, mount: Path = MOUNT) -> float:
    """The share of memory that is in use, 0 to 1.

    Args:
        cgroup: the file that says in which control group this process is.
        mount: where the control groups are.
    """
    return max([float(psutil.virtual_memory().percent) / 100, *_shares_of_groups(cgroup, mount)])


def _shares_of_groups(cgroup: Path, mount: Path) -> Iterator[float]:
    for folder, version in _groups(cgroup, mount):
        limit, used = _number(folder / version.limit), _number(folder / version.used)
        if limit is None or used is None or not 0 < limit < _NO_LIMIT:
            continue
        yield max(0, used - _cached(folder / "memory.stat", version.cached)) / limit


def _groups(cgroup: Path, mount: Path) -> Iterator[tuple[Path, _Version]]:
    """Every group that this process is in, up to the root; in a container the mount may show only the innermost."""
    try:
        lines = cgroup.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, version = mount, _V2
        elif "memory" in controllers.split(","):
            root, version = mount / "memory", _V1
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for part in dict.fromkeys((inside, *inside.parents)):
            yield root / part, version


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or `max`
        return None


def _cached(stat: Path, name: str) -> int:
    try:
        said = dict(line.split() for line in stat.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(said.get(name, 0))
