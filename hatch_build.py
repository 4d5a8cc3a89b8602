"""Compiles the package's C files while pip builds or installs it; without a compiler it is built without them."""

from __future__ import annotations

import os
import runpy
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra")


class CompiledFiles(BuildHookInterface):
    """Puts a library beside each C file, and into the wheel, which is then one for this kind of machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling."""
        root = Path(self.root)
        library_path = runpy.run_path(str(root / "data_assets" / "compiled.py"))["library_path"]
        for source in sorted((root / "data_assets").rglob("*.c")):
            library = library_path(source)
            try:
                _compile(source, library)
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or error
                self.app.display_warning(f"{source.name} is not compiled, so days come in more slowly: {said}")
                continue
            build_data["artifacts"].append(library.relative_to(root).as_posix())
            build_data["pure_python"] = False
            # Not `sysconfig.get_platform()`: on macOS that may name two processors, or a version that no pip knows.
            best = self.build_config.builder.get_best_matching_tag()
            build_data["tag"] = f"py3-none-{best.rpartition('-')[2]}"


def _compile(source: Path, library: Path) -> None:
    """Replace the library whole, because a process may have the one before it open; others go, which nothing loads."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        made = Path(folder) / library.name
        subprocess.run(
            [*compiler, *_FLAGS, "-o", str(made), str(source)],
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
        )
        made.replace(library)
    for older in source.parent.glob(f"{source.stem}-{sysconfig.get_platform()}-*.so"):
        if older != library:
            older.unlink(missing_ok=True)  # another build may have done it
