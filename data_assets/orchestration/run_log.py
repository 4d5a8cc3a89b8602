"""What runs do and say, in the project's log. `dagster.yaml` names the handler, so every run has it.

Here: which events of Dagster become a line, at which level and in which words. Not here: the files (`log_lines`), and
what is told to a person (`alerts`).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from data_assets.counts import count_of
from data_assets.ingest.progress import day_at_work
from data_assets.orchestration.dagster_private import RunFailureReason, get_log_record_metadata, has_log_record_metadata
from data_assets.orchestration.dataset import datasets_of_this_process
from data_assets.orchestration.day_run import NOT_STORED
from data_assets.orchestration.log_lines import write_line
from data_assets.orchestration.look_run import LOOK
from data_assets.orchestration.reconcile_run import RECONCILE
from data_assets.orchestration.verify_run import VERIFY

Kind = dg.DagsterEventType
_ENDS = (Kind.RUN_SUCCESS, Kind.RUN_CANCELED, Kind.RUN_FAILURE)

_OF_ASSET = re.compile(r"(.+?)(__checks|__standing)?")
IMPLICIT = "__"
"""How the name of a job begins that nobody has written: Dagster's own of assets."""

_NOT_YET = frozenset({"NotPublished"})
_NOT_BELIEVED = frozenset({"Worse", "NotSeen"})
_ASKED_BY = {
    "dagster/sensor_name": "sensor ",
    "dagster/schedule_name": "schedule ",
    "dagster/backfill": "backfill ",
}


class RunLog(logging.Handler):
    """Writes a run's log lines, the ends of its days, failed checks, its beginning and its end."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one, or nothing: most events of Dagster's are about itself."""
        if not has_log_record_metadata(record):
            return
        said: Any = get_log_record_metadata(record)
        event: dg.DagsterEvent | None = said["dagster_event"]
        if event is None:
            dataset = _dataset_of(said["op_name"])
            day = day_at_work.get()
            key = None if day is None else _label(dataset, day.isoformat())
            what = _without(said["orig_message"], dataset, key)
            # How a day ends is a line of its own: an error once.
            level = record.levelno if day is None else min(record.levelno, logging.WARNING)
            write_line(level, what, dataset=dataset, day=key, run=said["run_id"])
        elif event.event_type is Kind.RUN_START:
            _begun[said["run_id"]] = _Run(_begins(event, said["job_tags"]))
        elif event.event_type is Kind.STEP_START:
            if (run := _begun.get(said["run_id"])) is not None:
                run.datasets.add(_dataset_of(said["op_name"]))
                _say_that_it_begins(said["run_id"])
        elif line := _of_event(event, said["job_tags"]):
            level, what, asset, partition = line
            dataset = "/".join(asset.path) if asset else _dataset_of(said["op_name"])
            if event.event_type in _ENDS:
                _say_that_it_begins(said["run_id"])
                dataset = _begun.pop(said["run_id"], _Run("")).dataset
            what = _without(what, dataset)
            write_line(level, what, dataset=dataset, day=_label(dataset, partition), run=said["run_id"])


@dataclass
class _Run:
    """A run of this process: what is to be said of its beginning, until it is, and the datasets of its steps."""

    begins: str
    datasets: set[str | None] = field(default_factory=set)

    @property
    def dataset(self) -> str | None:
        """The one that it is about; None if it is about several, or none."""
        return next(iter(self.datasets)) if len(self.datasets) == 1 else None


_begun: dict[str, _Run] = {}
"""By run. Its beginning does not say what it is about; its first step does."""


def _say_that_it_begins(run_id: str) -> None:
    run = _begun.get(run_id)
    if run is not None and run.begins:
        write_line(logging.INFO, run.begins, dataset=run.dataset, run=run_id)
        run.begins = ""


Line = tuple[int, str, dg.AssetKey | None, str | None]
"""Level, what, asset and partition."""


def _of_event(event: dg.DagsterEvent, tags: dict[str, str]) -> Line | None:
    found: Any = event.event_specific_data
    match event.event_type:
        case Kind.ASSET_MATERIALIZATION:
            return logging.INFO, _stored(found.materialization.metadata, tags), event.asset_key, event.partition
        case Kind.ASSET_OBSERVATION:
            level, what = _not_stored(found.asset_observation)
            return level, what, event.asset_key, event.partition
        case Kind.ASSET_CHECK_EVALUATION if not found.passed:
            is_error = found.severity is dg.AssetCheckSeverity.ERROR and VERIFY not in tags  # where the day says so
            level = logging.ERROR if is_error else logging.WARNING
            return level, f"check {found.check_name}: {found.description}", found.asset_key, found.partition
        case Kind.STEP_FAILURE:
            level, what = _failure(found, event)
            return level, what, None, None
        case Kind.RUN_SUCCESS:
            return logging.INFO, "run ended: success", None, None
        case Kind.RUN_CANCELED:
            return logging.WARNING, "run ended: canceled", None, None
        case Kind.RUN_FAILURE:
            if found.failure_reason is RunFailureReason.STEP_FAILURE:  # which has its own line
                return logging.INFO, "run ended: failure", None, None
            why = found.error.message if found.error else event.message
            return logging.ERROR, f"run ended: failure: {why}", None, None
    return None


def _begins(event: dg.DagsterEvent, tags: dict[str, str]) -> str:
    by = [f"{words}{tags[tag]}" for tag, words in _ASKED_BY.items() if tag in tags]
    of = "" if event.job_name.startswith(IMPLICIT) else f" of {event.job_name}"
    return f"run{of} begins{', asked for by ' if by else ''}{', '.join(by)}"


def _failure(found: Any, event: dg.DagsterEvent) -> tuple[int, str]:
    """Of a step; days that did not store have an error each, and to be told to stop is none."""
    if (user := found.user_failure_data) is not None and user.description:
        return (logging.INFO if NOT_STORED in (user.metadata or {}) else logging.ERROR), user.description
    error = found.error
    if error is None:
        return logging.ERROR, str(event.message)
    while error.cause is not None:  # Dagster's own words around an error of ours
        error = error.cause
    said = error.message.strip().partition(": ")[2]
    if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return logging.WARNING, said or "told to stop"
    return logging.ERROR, f"{error.cls_name}: {said}" if said else str(error.cls_name)


def _stored(metadata: Any, tags: dict[str, str]) -> str:
    rows = f", {count_of(metadata['rows'].value, 'row')}" if "rows" in metadata else ""
    if VERIFY in tags:
        return f"Whole{rows}"
    if RECONCILE in tags:
        return f"Recorded from its file{rows}"
    if LOOK in metadata:
        return f"{metadata[LOOK].value} Revised{rows}"
    attempts = metadata["attempts"].value if "attempts" in metadata else 1
    return f"Stored{rows}{f', {attempts} attempts' if attempts > 1 else ''}"


def _not_stored(observation: dg.AssetObservation) -> tuple[int, str]:
    said = {name: value.value for name, value in observation.metadata.items()}
    if "outcome" in said:
        level = logging.INFO if said["outcome"] in _NOT_YET else logging.ERROR
    else:
        level = logging.WARNING if said.get("found") in _NOT_BELIEVED else logging.INFO
    return level, observation.description or "seen"


def _without(what: str, *known: str | None) -> str:
    """A line without what it begins with and has in other fields."""
    for each in known:
        what = what.removeprefix(f"{each}: ") if each else what
    return what


def _dataset_of(op: str | None) -> str | None:
    """The dataset whose step it is, by Dagster's name for the step."""
    found = _OF_ASSET.fullmatch(op) if op else None
    for name, dataset in datasets_of_this_process.items():
        if found and dataset.asset_key.to_python_identifier() == found[1]:
            return name
    return None


def _label(dataset: str | None, partition: str | None) -> str | None:
    known = datasets_of_this_process.get(dataset or "")
    return known.label(partition) if known and partition else partition
