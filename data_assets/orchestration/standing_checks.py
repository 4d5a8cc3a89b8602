"""The two checks of a dataset as a whole: no day is missing, and the newest is there in time.

Here: the verdicts, the checks that a person may execute, and the sensor that keeps them current. Not here: the checks
of a stored day (``asset_checks``), and asking for what is missing (``day_requests``).

A day is missing once its deadline has passed (``Publication.deadline``), and counts at once if its run failed.
Dagster's own freshness policies look at the newest event of any day, so an old day's backfill would turn them green.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

import dagster as dg

from data_assets.orchestration.asset_checks import day_evaluation
from data_assets.orchestration.dagster_private import get_current_datetime
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_requests import left_to_you, newest_events
from data_assets.orchestration.day_states import (
    DONE,
    AssetRecords,
    DayState,
    before_they_were_holes,
    day_states,
    days_by_state,
    names_text,
)
from data_assets.orchestration.log_lines import logged_if_it_fails
from data_assets.orchestration.partitions import newest_day
from data_assets.orchestration.publication import PAUSES, Publication
from data_assets.quality.verdict import Severity, Verdict
from data_assets.trading_calendar import previous_session, sessions

LOOK_SECONDS = 60

STANDING = {
    "no_missing_days": "Every session is stored, or accepted as a hole, once the vendor has had its time.",
    "fresh": "The newest session is stored by its deadline in New York; an old day's backfill does not count.",
}


def _newest_due(publication: Publication, now: datetime) -> date:
    due = newest_day(now)
    while publication.deadline(due) > now:
        due = previous_session(due)
    return due


def _expected(dataset: MarketDataset, publication: Publication, now: datetime) -> tuple[list[str], list[str]]:
    """Return the partitions whose deadline has passed, and all that may be stored or failed, oldest first."""
    due, newest = _newest_due(publication, now), newest_day(now)
    last = dataset.span.last_day or date.max
    keys = [
        list(dict.fromkeys(_key(dataset, day) for day in sessions(dataset.span.first_day, min(end, last))))
        if dataset.span.first_day <= end
        else []
        for end in (due, newest)
    ]
    return keys[0], keys[1]


def _key(dataset: MarketDataset, day: date) -> str:
    return (day.replace(day=1) if dataset.monthly else day).isoformat()


def standing_verdicts(
    instance: dg.DagsterInstance,
    dataset: MarketDataset,
    publication: Publication,
    now: datetime,
    records: AssetRecords | None = None,
) -> tuple[list[Verdict], bool]:
    """Judge a dataset as a whole, by its records; no file is read. Also whether no run is at a day of it.

    Args:
        instance: where days are recorded.
        dataset: the dataset.
        publication: its vendor's hours.
        now: the instant.
        records: what was read of several datasets at once.
    """
    expected, all_days = _expected(dataset, publication, now)
    states = day_states(instance, dataset.asset_key, all_days, dataset.partitions, records)
    states |= before_they_were_holes(instance, dataset, days_by_state(states)[DayState.FAILED])
    of = days_by_state(states)
    awaited = set(expected)
    missing = [day for day in of[DayState.MISSING] if day in awaited]
    verdicts = [
        _no_missing_days(dataset, missing, of[DayState.FAILED], left_to_you(instance, dataset, states), len(all_days)),
        _fresh(dataset, expected[-1:], states, publication),
    ]
    return verdicts, not of[DayState.IN_PROGRESS]


def _no_missing_days(
    dataset: MarketDataset, missing: Sequence[str], failed: Sequence[str], left: Sequence[str], days: int
) -> Verdict:
    open_days = sorted([*missing, *failed], reverse=True)
    if not open_days:
        return Verdict("no_missing_days", True, "error", f"no {dataset.day} is missing", {"missing": 0, "failed": 0})
    command = dataset.backfill_line(open_days)
    sample = names_text([dataset.label(day) for day in open_days])
    counts: dict[str, int | float | str | list[str]] = {"missing": len(missing), "failed": len(failed)}
    given_up = ""
    if left:
        newest_left = names_text(sorted(left, reverse=True))
        given_up = f"; {len(left):,} of them are left to you after {len(PAUSES)} repeats ({newest_left})"
        counts |= {
            "left_to_you": len(left),
            "left": newest_left,
            "left_command": dataset.backfill_line(left),
        }
    total = f"{len(missing):,} missing and {len(failed):,} failed of {days:,} {dataset.day}s"
    summary = f"{total}: {sample}{given_up}; {command}"
    # A warning: of a history that was never asked for, years are missing, and that is no fault.
    severity: Severity = "error" if failed else "warn"
    return Verdict("no_missing_days", False, severity, summary, {**counts, "newest": sample, "command": command})


def _fresh(
    dataset: MarketDataset, newest: Sequence[str], states: dict[str, DayState], publication: Publication
) -> Verdict:
    if not newest:
        return Verdict("fresh", True, "error", f"no {dataset.day} is due yet", {})
    (key,) = newest
    day = f"{dataset.day} {dataset.label(key)}"
    if states[key] in DONE:
        return Verdict(
            "fresh", True, "error", f"{day}, the newest whose deadline has passed, is stored", {"newest": key}
        )
    by = "" if dataset.monthly else f" by {publication.deadline(date.fromisoformat(key)):%Y-%m-%d %H:%M} New York"
    return Verdict("fresh", False, "error", f"{day} was to be stored{by}, and is {states[key]}", {"newest": key})


def standing_checks(dataset: MarketDataset, publication: Publication) -> dg.AssetChecksDefinition:
    """The checks of one dataset, for a person to execute; the sensor needs no run."""

    @dg.multi_asset_check(
        name=f"{dataset.asset_key.to_python_identifier()}__standing",
        specs=[dg.AssetCheckSpec(name, asset=dataset.asset_key, description=text) for name, text in STANDING.items()],
        can_subset=True,
    )
    def checks_of_dataset(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        if context.run.asset_selection and dataset.asset_key in context.run.asset_selection:
            return  # the run is at its days still: the sensor looks once it has ended
        for verdict in standing_verdicts(context.instance, dataset, publication, get_current_datetime())[0]:
            if dg.AssetCheckKey(dataset.asset_key, verdict.name) in context.selected_asset_check_keys:
                context.op_execution_context.log_event(_evaluation(dataset, verdict))  # type: ignore[arg-type]
        yield from ()  # logged, as those of a day are

    return checks_of_dataset


def _evaluation(dataset: MarketDataset, verdict: Verdict) -> dg.AssetCheckEvaluation:
    return day_evaluation(dataset.asset_key, "", verdict, None, whole_asset=True)


def missing_days_sensor(datasets: Iterable[MarketDataset]) -> dg.SensorDefinition:
    """The sensor that keeps the standing checks current: it records a verdict that has changed."""
    judged = [(each, each.publication) for each in datasets if each.publication is not None]
    looked: dict[str, tuple[object, list[Verdict], bool]] = {}

    @dg.sensor(
        name="look_for_missing_days",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,  # it asks no vendor for anything
        description="Keeps the checks `no_missing_days` and `fresh` of every dataset current; it asks no vendor.",
        asset_selection=[dataset.asset_key for dataset, _ in judged],
    )
    @logged_if_it_fails
    def look_for_missing_days(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = get_current_datetime()
        events = newest_events(context.instance, [dataset for dataset, _ in judged])
        runs = {key: event[1] for key, event in events.items()}
        records = AssetRecords(context.instance, [dataset.asset_key for dataset, _ in judged])
        said: dict[str, list[str]] = json.loads(context.cursor or "{}")
        changed = []
        for dataset, publication in judged:
            seen = (events.get(dataset.asset_key), newest_day(now), _newest_due(publication, now))
            before = looked.get(dataset.name)
            if before is None or before[0] != seen or not before[2]:
                verdicts = standing_verdicts(context.instance, dataset, publication, now, records)
                looked[dataset.name] = (seen, *verdicts)
            for verdict in looked[dataset.name][1]:
                name = f"{dataset.name}:{verdict.name}"
                # Again after each run: it plans these checks, and leaves them to this sensor.
                says = [str(verdict.passed), verdict.summary, runs.get(dataset.asset_key) or ""]
                if said.get(name) != says:
                    said[name] = says
                    changed.append(_evaluation(dataset, verdict))
        return dg.SensorResult(
            asset_events=changed,
            cursor=json.dumps(said),
            skip_reason=f"recorded {len(changed)} verdicts that have changed" if changed else "no verdict has changed",
        )

    return look_for_missing_days
