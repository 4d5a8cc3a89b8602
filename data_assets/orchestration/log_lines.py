"""The project's log: lines of JSON in files by day, for `grep`, `jq` and whoever watches logs.

`logs/YYYY-MM-DD.jsonl` in the state folder has every line, `logs/errors/YYYY-MM-DD.jsonl` the errors alone; the days
are UTC. The command, the daemon and the UI's runs write into the same files.

Here: a line. Not here: what of a run becomes one (`run_log`), the files (`files.day_files`), and the status of a day,
which is Dagster's: these files may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TypeVar

import dagster as dg

from data_assets.files.day_files import append_line
from data_assets.lake.errors import one_line
from data_assets.project import SettingsError, state_folder
from data_assets.settings import settings
from data_assets.trading_calendar import utc_now

LOGS = "logs"
"""The folder in the state folder."""
ERRORS = "errors"
"""The folder in that one: beside the others, a search through all of them would find each error twice."""

_LONGEST = 4_000
_HIDDEN = "***"
_SHORTEST_SECRET = 8
"""A command such as `cat` is none, and would be hidden in the midst of words."""

Result = TypeVar("Result")


def write_line(level: int, what: str, *, dataset: str | None = None, day: str | None = None, run: str = "") -> None:
    """Append a line; one that cannot be written, as on a full disk, is lost without a word and stops nothing.

    Args:
        level: of `logging`.
        what: what happened; values of secrets in it are hidden.
        dataset: its name, where it is about one.
        day: the day or month, where it is about one.
        run: the id of the run that says it.
    """
    with suppress(OSError, SettingsError):
        now = utc_now()
        said = {
            "time": now.isoformat(timespec="milliseconds"),
            "level": logging.getLevelName(level),
            "dataset": dataset,
            "day": day,
            "what": one_line(_without_secrets(what), _LONGEST),
            "run": run or None,
        }
        line = json.dumps(said, ensure_ascii=False).encode(errors="replace")
        chosen, folder = settings(), state_folder() / LOGS
        for place in (folder, folder / ERRORS) if level >= logging.ERROR else (folder,):
            append_line(place, now.date(), line, size=chosen.log_bytes, days=chosen.log_days)


def logged_if_it_fails(
    evaluate: Callable[[dg.SensorEvaluationContext], Result],
) -> Callable[[dg.SensorEvaluationContext], Result]:
    """Make the function of a sensor write an error where it raises one: its tick is no run."""

    @wraps(evaluate)
    def logged(context: dg.SensorEvaluationContext) -> Result:
        try:
            return evaluate(context)
        except Exception as error:
            write_line(logging.ERROR, f"sensor {context.sensor_name}: {type(error).__name__}: {error}")
            raise

    return logged


def _without_secrets(text: str) -> str:
    chosen = settings()
    for secret in (
        chosen.polygon_access_key_id,
        chosen.polygon_secret_access_key.get_secret_value(),
        chosen.alert_webhook_url.get_secret_value(),
        chosen.alert_command.get_secret_value(),
    ):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, _HIDDEN)
    return text
