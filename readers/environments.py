"""The engines, and an environment for each.

Here: which versions, what each is known to show differently, and how its module is run. Not here: reading and
comparing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from readers.content import DATE, INSTANT, Content

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = PROJECT / ".readers"
NEWEST_PYTHON = (3, 12)  # the last one that pyarrow 14 and numpy 1.26 were built for


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine.

    Attributes:
        name: of its module in `readers.engines`.
        packages: the pinned packages of its environment, the engine first.
        shows: the kinds that it is known to show as something else: of all columns of a kind, or of one column, which
            is named as ``dataset column``.
    """

    name: str
    packages: tuple[str, ...]
    shows: Mapping[str, str] = field(default_factory=dict)

    def kind(self, dataset: str, column: str, kind: str) -> str:
        """As what it must show a column."""
        return self.shows.get(f"{dataset} {column}") or self.shows.get(kind, kind)

    def read(self, folders: Mapping[str, str]) -> dict[str, Content | str]:
        """What it finds in each folder, or its error; its environment is made where there is none yet."""
        python = environment(FOLDER / self.name, self.packages)
        done = subprocess.run(
            [str(python), "-m", f"readers.engines.{self.name}"],
            input=json.dumps(folders),
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            check=True,
        )
        contents: dict[str, Content | str] = json.loads(done.stdout)
        return contents


ENGINES = (
    Engine("spark", ("pyspark==3.5.5",)),
    Engine("duckdb", ("duckdb==1.1.3", "pytz==2026.6")),
    Engine("pyarrow", ("pyarrow==14.0.2", "numpy==1.26.4")),
    # Parquet's dictionaries are categories there, and those of several files with several row groups are not joined
    # without a StringCache. Polars 1.31 needs none.
    Engine("polars", ("polars==1.0.0",), {"theta/option_quotes/SPX right": "text, in a StringCache"}),
    Engine(
        "fastparquet",
        ("fastparquet==2026.9.0", "pandas==3.1.1", "numpy==2.4.6"),
        {INSTANT: "datetime64[us]", DATE: "datetime64[ns]"},
    ),
)


def check_python() -> None:
    """Say in one line that this Python is too new for the oldest of the engines."""
    if sys.version_info[:2] > NEWEST_PYTHON:
        sys.exit("pyarrow 14 needs Python 3.11 or 3.12: make PYTHON=python3.12 readers, in a fresh checkout")


def environment(folder: Path, packages: Sequence[str], made_by: str = sys.executable) -> Path:
    """The Python of an environment of exactly these packages, which `made_by` makes where there is none yet."""
    installed, python = folder / "installed", folder / "bin" / "python"
    if not installed.is_file() or installed.read_text() != " ".join(packages):
        subprocess.run([made_by, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        installed.write_text(" ".join(packages))
    return python
