"""The sensors that ask for days by themselves: each vendor's newest day once it is published, and what failed, again.

Here: which days are asked for at a tick, and what their runs are told. Not here: hours and pauses (``publication``),
what a run does (``day_run``), and what is said of days that stay missing (``standing_checks``).

What was asked for before is read from the runs, each of which names its dataset, its days and the instant in its tags.
So nothing is counted twice or forgotten when the daemon or the machine is started again.

Left alone are days that a run is working on, whoever started it; days that are stored, or accepted as a hole; days of
which the vendor said that it has no data; and days that have been asked for often enough, which a person decides about.
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import dagster as dg

from data_assets.counts import count_of
from data_assets.ingest.outcome import NoData
from data_assets.orchestration.dagster_private import get_current_datetime
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import (
    AssetRecords,
    DayState,
    day_states,
    names_text,
    tried_days,
    why_not_stored,
)
from data_assets.orchestration.log_lines import logged_if_it_fails
from data_assets.orchestration.partitions import RANGE_END, RANGE_START, contiguous_ranges, newest_day
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.orchestration.publication import PAUSES, SESSIONS, Publication, Request
from data_assets.orchestration.request_tags import ASKED_AGAIN, REQUEST, REQUESTED_AT
from data_assets.settings import settings
from data_assets.trading_calendar import NEW_YORK, previous_session, sessions

LOOK_SECONDS = 60

_REMEMBERED = timedelta(days=60)
"""How far back runs are looked at; ten sessions never take that long."""


@dataclass(frozen=True)
class OpenDay:
    """A recent session that is not stored.

    Attributes:
        day: the session.
        state: missing, failed or in progress.
        before: the requests for it that have ended, oldest first.
        in_work: whether a run is at it, or is to begin.
        due: when it is asked for next; None if a person decides.
    """

    day: date
    state: DayState
    before: tuple[Request, ...]
    in_work: bool
    due: datetime | None


def is_requested(dataset: MarketDataset) -> bool:
    """Whether a dataset's days are asked for by themselves: not months, nor what other datasets fetch."""
    return dataset.publication is not None and not dataset.monthly and not dataset.fetched_downstream


def recent_sessions(dataset: MarketDataset, now: datetime) -> list[date]:
    """Return the newest ten sessions that had ended by `now`, as far as the dataset has them, oldest first."""
    newest = newest_day(now)
    first = newest
    for _ in range(SESSIONS - 1):
        first = previous_session(first)
    first, newest = max(first, dataset.span.first_day), min(newest, dataset.span.last_day or date.max)
    return sessions(first, newest) if first <= newest else []


def open_days(
    instance: dg.DagsterInstance, dataset: MarketDataset, states: Mapping[str, DayState], publication: Publication
) -> list[OpenDay]:
    """Return those of some recent days that are not stored, oldest first, and when each is asked for next."""
    wanted = [day for day, state in states.items() if state not in (DayState.STORED, DayState.HOLE)]
    requests, in_work = _requests(instance, dataset.name, wanted)
    return [
        OpenDay(
            date.fromisoformat(day),
            states[day],
            tuple(requests[day]),
            day in in_work or states[day] is DayState.IN_PROGRESS,
            publication.next_request(date.fromisoformat(day), requests[day]),
        )
        for day in wanted
    ]


def left_to_you(instance: dg.DagsterInstance, dataset: MarketDataset, states: Mapping[str, DayState]) -> list[str]:
    """Those of some days, oldest first, that were asked for as often as it is done by itself: a person decides.

    Args:
        instance: the instance.
        dataset: the dataset.
        states: of its days; what is older than runs are remembered was left to a person long ago, and is passed over.
    """
    if dataset.publication is None or not is_requested(dataset):
        return []
    since = (get_current_datetime() - _REMEMBERED).date().isoformat()
    still_open = (DayState.MISSING, DayState.FAILED)
    recent = dict(sorted((day, state) for day, state in states.items() if day >= since and state in still_open))
    found = open_days(instance, dataset, recent, dataset.publication)
    return [each.day.isoformat() for each in found if each.before and each.due is None and not each.in_work]


def left_text(dataset: MarketDataset, days: Sequence[str]) -> str:
    """Say which days are left to a person, and the command that asks for them; it ends the line."""
    command = dataset.backfill_line(days)
    return f"{count_of(len(days), dataset.day)} left to you after {len(PAUSES)} repeats: {names_text(days)}; {command}"


def _requests(
    instance: dg.DagsterInstance, dataset: str, days: Sequence[str]
) -> tuple[dict[str, list[Request]], set[str]]:
    """Return the ended requests for each of some days, oldest first, and the days of those that have not ended."""
    found: dict[str, list[Request]] = {day: [] for day in days}
    in_work: set[str] = set()
    if not days:
        return found, in_work
    since = get_current_datetime() - _REMEMBERED
    asked = instance.get_run_records(dg.RunsFilter(tags={REQUEST: dataset}, created_after=since), ascending=True)
    for record in asked:
        tags = record.dagster_run.tags
        of_run = [day for day in days if tags[RANGE_START] <= day <= tags[RANGE_END]]
        if not record.dagster_run.is_finished:
            in_work.update(of_run)
            continue
        at = datetime.fromisoformat(tags[REQUESTED_AT])
        ended = at if record.end_time is None else max(at, datetime.fromtimestamp(record.end_time, UTC))
        canceled = record.dagster_run.status is dg.DagsterRunStatus.CANCELED
        for day in of_run:
            found[day].append(Request(at, ended, canceled))
    return found, in_work


def _due_days(instance: dg.DagsterInstance, dataset: MarketDataset, days: Sequence[OpenDay]) -> list[OpenDay]:
    """Return the days that are asked for once their hour has come, whether it has or not."""
    waiting = [each for each in days if not each.in_work and each.due is not None]
    tried = tried_days(instance, dataset.asset_key, [each.day.isoformat() for each in waiting])
    return [each for each in waiting if each.day.isoformat() not in tried or not _says_no_data(instance, dataset, each)]


def _grouped(
    dataset: MarketDataset, publication: Publication, due: Sequence[OpenDay], newest: date, now: datetime
) -> Iterator[dg.RunRequest]:
    """Ask together for neighbours that have been asked for as often, and for the newest day alone.

    It may not be published yet, and its run would end red with those of other days.
    """

    def alike(each: OpenDay) -> tuple[bool, int]:
        return (each.day != newest, len(each.before))

    for _, group in groupby(sorted(due, key=alike), key=alike):
        members = {each.day.isoformat(): each for each in group}
        for first, last in contiguous_ranges(members, dataset.days_per_run, dataset.partitions):
            yield _run_request(dataset, publication, first, last, members[last], now)


def _says_no_data(instance: dg.DagsterInstance, dataset: MarketDataset, each: OpenDay) -> bool:
    why = why_not_stored(instance, dataset.asset_key, each.day.isoformat())
    return why is not None and why[0] == NoData.name


def _run_request(
    dataset: MarketDataset, publication: Publication, first: str, last: str, newest: OpenDay, now: datetime
) -> dg.RunRequest:
    again = publication.next_request(newest.day, [*newest.before, Request(now, now)])
    return dg.RunRequest(
        # The same until a run of this number exists: a tick that is evaluated twice starts no second one.
        run_key=f"{dataset.name} {first} {last} {len(newest.before) + 1}",
        asset_selection=[dataset.asset_key],
        tags={
            RANGE_START: first,
            RANGE_END: last,
            REQUEST: dataset.name,
            REQUESTED_AT: now.astimezone(UTC).isoformat(timespec="seconds"),
            **({} if again is None else {ASKED_AGAIN: f"{again.astimezone(NEW_YORK):%Y-%m-%d %H:%M} New York"}),
        },
    )


class _Looks:
    """What a sensor has to look at: a dataset in which nothing has happened since is passed over until a day is due.

    A look costs three queries, and a person may have hundreds of tickers. It only saves work: a new process looks anew.
    """

    def __init__(self) -> None:
        self._quiet: dict[str, tuple[object, datetime]] = {}

    def requests(
        self,
        instance: dg.DagsterInstance,
        dataset: MarketDataset,
        publication: Publication,
        events: object,
        records: AssetRecords,
        now: datetime,
    ) -> list[dg.RunRequest]:
        """Return the requests for a dataset that are due.

        Args:
            instance: the instance.
            dataset: the dataset.
            publication: its vendor's hours.
            events: equal to that of an earlier look if no event of the dataset was recorded since.
            records: what was read of all datasets at once.
            now: the instant.
        """
        days = recent_sessions(dataset, now)
        seen = (events, days[-1:])
        before, until = self._quiet.pop(dataset.name, (None, now))
        if seen == before and now < until:
            self._quiet[dataset.name] = (before, until)
            return []
        keys = [day.isoformat() for day in days]
        states = day_states(instance, dataset.asset_key, keys, dataset.partitions, records)
        found = open_days(instance, dataset, states, publication)
        waiting = {each: each.due for each in _due_days(instance, dataset, found) if each.due is not None}
        due = [each for each, at in waiting.items() if at <= now]
        if not due and not any(each.in_work for each in found):
            self._quiet[dataset.name] = (seen, min(waiting.values(), default=datetime.max.replace(tzinfo=UTC)))
        return list(_grouped(dataset, publication, due, days[-1], now)) if due else []


def newest_events(
    instance: dg.DagsterInstance, datasets: Sequence[MarketDataset]
) -> dict[dg.AssetKey, tuple[int | None, str | None, int | None]]:
    """Return for each dataset what differs once an event of it was recorded; one query for all.

    Returns:
        The newest materialization, run and observation.
    """
    entries = [each.asset_entry for each in instance.get_asset_records([dataset.asset_key for dataset in datasets])]
    return {
        each.asset_key: (each.last_materialization_storage_id, each.last_run_id, each.last_observation_storage_id)
        for each in entries
    }


def day_requests(vendor: str, datasets: Iterable[MarketDataset]) -> dg.SensorDefinition:
    """The sensor of one vendor.

    Args:
        vendor: its name.
        datasets: those of its datasets that are asked for by themselves; not empty.
    """
    requested = [(each, each.publication) for each in datasets if each.publication is not None]
    hours = " ".join(dict.fromkeys(publication.text for _, publication in requested))
    looks = _Looks()

    @dg.sensor(
        name=f"request_{vendor}_days",
        asset_selection=[dataset.asset_key for dataset, _ in requested],  # a target has to be of one first day
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if settings().asks_by_itself else dg.DefaultSensorStatus.STOPPED
        ),
        description=f"Asks for each session's day once the vendor has it: {hours} What is missing or failed of the "
        f"newest {SESSIONS} sessions is asked for again after half an hour, three hours and twelve hours; then it is "
        "left to you.",
    )
    @logged_if_it_fails
    def request_days(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        refuse_foreign_history(context.instance)
        now = get_current_datetime()
        events = newest_events(context.instance, [dataset for dataset, _ in requested])
        records = AssetRecords(context.instance, [dataset.asset_key for dataset, _ in requested])
        asked = [
            request
            for dataset, publication in requested
            for request in looks.requests(
                context.instance, dataset, publication, events.get(dataset.asset_key), records, now
            )
        ]
        if asked:
            return dg.SensorResult(run_requests=asked)
        return dg.SensorResult(skip_reason=f"nothing is due of the newest {SESSIONS} sessions")

    return request_days
