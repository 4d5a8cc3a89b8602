"""What the run history of a project says of a dataset's days, as its own command tells it.

The lake does not know why a day is missing, nor what checks found: the history does, and only Dagster reads it. So a
reader asks the command, in a process of its own, and loads none of Dagster.

Here: asking. Not here: what a state is (`orchestration.day_states`), and the table that it goes into
(`Lake.days`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from data_assets.lake.errors import LakeError, one_line
from data_assets.trading_calendar import FIRST_SESSION

_COMMAND = "from data_assets.cli import main; main()"


@dataclass(frozen=True, slots=True)
class KnownDay:
    """What the history says of a day.

    Attributes:
        state: as in the grid: stored, lacking, hole, failed, in progress or missing.
        reason: why it is not stored, or what it lacks; None where there is nothing to say.
        checks: check -> how it ended last: succeeded, failed, ...
    """

    state: str
    reason: str | None
    checks: Mapping[str, str]


def known_days(
    project: Path, dataset: str, start: date | None, end: date | None, *, lake: str, synthetic: bool
) -> dict[date, KnownDay]:
    """Ask a project for the days from ``start`` to ``end``; those that the dataset does not ask for are left out.

    Args:
        project: its folder.
        dataset: the dataset's key.
        start: the first day; None for the dataset's first.
        end: the last day; None for the newest session that has ended.
        lake: the lake of whose days it is to speak, wherever the project's settings say that its lake is.
        synthetic: whether that lake is of the sandbox.

    Raises:
        LakeError: the project cannot tell; the text says what the command said.
    """
    bounds = ("--from", f"{start or FIRST_SESSION}", *(("--to", f"{end}") if end else ()))
    asked = ("status", dataset, *bounds, "--json", "--project", f"{project}")
    place = lake if "://" in lake else str(Path(lake).absolute())
    variables = {"DATA_ASSETS_LAKE": place, "DATA_ASSETS_PROFILE": "sandbox" if synthetic else "live"}
    ended = subprocess.run(
        [sys.executable, "-c", _COMMAND, *asked], env=os.environ | variables, capture_output=True, text=True
    )
    try:
        days = json.loads(ended.stdout)[dataset]["days"]
        return {
            date.fromisoformat(each["day"]): KnownDay(
                each["state"],
                each["reason"],
                {name: state.lower() for name, state in sorted(each["checks"].items())},
            )
            for each in days
        }
    except (ValueError, KeyError, TypeError):
        said = ended.stderr.strip().rpartition("\n")[2] or "it says nothing"
        raise LakeError(f"{dataset}: the project {project} cannot tell of its days: {one_line(said, 300)}") from None
