"""`data-assets init`: a new project in a folder of the user's.

Here: what is written. Not here: how a project is found (`project`), and what its blocks mean (`vendors`).
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import click

from data_assets.cli.line_breaks import say
from data_assets.project import DEFS, ENV_FILE

SHIPPED = Path(__file__).parents[1] / "new_project"
"""What a new project is written from. In a clone these are links to the clone's own files, as it is a project too."""

README = """\
# A project of data_assets

Each block of YAML under `defs/` is a dataset, each of its trading days a partition.

```
data-assets demo                           # fills the sandbox with synthetic days, and opens the UI
dagster dev                                # the UI alone, and the daemon that asks for days by itself

data-assets doctor                         # what is in the way: settings, disks, vendors, your plans
data-assets plan theta/option_quotes/QQQ --days 10     # what a backfill would take
data-assets backfill theta/option_quotes/QQQ --days 10 # downloads what is missing of these days
data-assets status                         # how complete each dataset is; list --failed: why days failed
data-assets retry                          # asks again for whatever failed last
data-assets verify                         # reads every file again; repair --all downloads what is damaged

data-assets add theta IWM quotes           # a symbol more, once the vendor has said that it has it
data-assets add polygon KO
data-assets add ib NVDA
```

`data-assets --help` has the others. `.env` holds the settings: for real data, set `DATA_ASSETS_PROFILE=live` and your
vendors' keys there, and move the history of the sandbox away first (`mv .state .state.sandbox`). Back up the lake
(`lake/`) and the run history (`.state/`) together.
"""


def init(folder: Path) -> None:
    """Write the project, or nothing."""
    try:
        _write(folder, _new_project())
    except OSError as error:
        raise click.UsageError(f"{error.filename or folder}: cannot be written ({error.strerror})") from error
    say(f"{folder}: a new project; go there and try `data-assets demo`, or `dagster dev` for the UI alone")


def _new_project() -> dict[Path, str]:
    """The files of a new project by where they go."""
    shipped = SHIPPED / DEFS
    files = {Path(name): (SHIPPED / name).read_text() for name in ("dagster.yaml", "workspace.yaml")}
    files[Path(ENV_FILE)] = _only_defaults((SHIPPED / "env.example").read_text())
    files[Path("README.md")] = README
    blocks = (path for path in sorted(shipped.rglob("*")) if path.suffix in (".yaml", ".csv"))
    return files | {Path(DEFS) / path.relative_to(shipped): path.read_text() for path in blocks}


def _only_defaults(example: str) -> str:
    """Settings that set nothing: `dagster dev` lets what stands in `.env` win over the environment."""
    text = re.sub(r"(?m)^(?=[A-Z])", "#", example)
    return text.replace("Copy to .env and change what you need.", "Take away the # before what you change.")


def _write(folder: Path, files: dict[Path, str]) -> None:
    there = [str(name) for name in files if (folder / name).exists()]
    if there:
        raise click.UsageError(
            f"{folder}: {', '.join(there[:3])}{f' and {len(there) - 3} more' if len(there) > 3 else ''} would be "
            "overwritten, so nothing was written; name an empty or a new folder"
        )
    written: list[Path] = []
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:  # not over what somebody else has written meanwhile
                written.append(path)
                file.write(text)
    except OSError:
        for path in written:
            with suppress(OSError):
                path.unlink()
        raise
