"""Stored days that are looked at again, because their vendor revises what it has published: when, and the sensor.

Here: the marks at which a day is looked at, and asking for the looks that are due. Not here: a look (``look_run``), and
asking for days that are not stored (``day_requests``).

What has been asked for is the sensor's cursor: the newest session after which it has asked. So each mark is tried once,
and a daemon that was off makes up what it missed, a day once however many of its marks passed. Marks that are older
than the newest ten sessions are left out: a machine that was off for a year does not download the year again.

Beside the marks, once a month, one older day of each dataset whose vendor adjusts prices as of the request
(`old_look`).
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from hashlib import sha256

import dagster as dg

from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dagster_private import get_current_datetime
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, day_states
from data_assets.orchestration.integrity import NO_FILE, recorded_file
from data_assets.orchestration.log_lines import logged_if_it_fails
from data_assets.orchestration.look_run import look_job
from data_assets.orchestration.partitions import newest_day
from data_assets.orchestration.profile_mark import refuse_foreign_history
from data_assets.orchestration.publication import SESSIONS, new_york
from data_assets.settings import settings
from data_assets.trading_calendar import previous_session, sessions

MARKS = (1, 3, 30)
"""How many sessions after a day it is looked at. A judgement: what was late is there the day after, corrections of a
trade's terms take some days, and what comes after six weeks is rare."""

LOOK_AT = time(20)
"""New York time, on the session of the mark. A judgement: markets are closed, the day's own download is over, and
Polygon's file of the day is not yet out."""

OLD, TRIES = timedelta(days=28), 5
"""How long ago a day was fetched that is asked for again once a month, and how many are drawn for one. Judgements."""

LOOK_SECONDS = 60


def look_session(now: datetime) -> date:
    """The newest session whose evening has come."""
    newest = newest_day(now)
    return newest if new_york(newest, LOOK_AT) <= now else previous_session(newest)


def due_looks(asked: date | None, newest: date) -> dict[date, tuple[int, datetime]]:
    """The days whose marks have come since it was asked last, each once.

    Args:
        asked: the session up to which looks have been asked for; None if none ever was.
        newest: the session up to which they are due.

    Returns:
        day -> the newest of its marks that have come, and the instant of that mark.
    """
    reach = sessions(newest - timedelta(days=90), newest)
    marks = reach[-SESSIONS:] if asked is not None else reach[-1:]
    found: dict[date, tuple[int, datetime]] = {}
    for place, mark_session in enumerate(reach):
        if mark_session in marks and (asked is None or mark_session > asked):
            at = new_york(mark_session, LOOK_AT)
            for mark in MARKS:
                day = reach[place - mark]
                found[day] = max(found.get(day, (0, at)), (mark, at))
    return found


def looks_at(
    instance: dg.DagsterInstance, dataset: MarketDataset, due: Mapping[date, tuple[int, datetime]]
) -> dict[str, int]:
    """Those of some due days of a dataset that are stored, in a file made before the mark: day -> mark."""
    last = dataset.span.last_day or date.max
    days = {day.isoformat(): due[day] for day in sorted(due) if dataset.span.first_day <= day <= last}
    states = day_states(instance, dataset.asset_key, list(days), dataset.partitions)
    found = {}
    for day, (mark, instant) in days.items():
        if states[day] is not DayState.STORED:
            continue
        record = latest_materialization(instance, dataset.asset_key, day)
        recorded = recorded_file(record)
        if recorded and recorded.sha256 != NO_FILE and recorded.written_at < instant:
            found[day] = mark
    return found


def old_look(instance: dg.DagsterInstance, dataset: MarketDataset, asked: date | None, newest: date) -> dict[str, int]:
    """In the first look of a month, one stored day of a vendor that adjusts prices as of the request: day -> mark.

    Whichever day it is: after a split it is in another scale than the vendor's answer, if it was fetched before. So
    a split is found that came while no daemon ran, or that no mark was near. Each month it is another day, lest a day
    that has been fetched again since stand for all. The first look of all is none of them.
    """
    if asked is None or (asked.year, asked.month) == (newest.year, newest.month):
        return {}
    if dataset.revisions is None or dataset.revisions.in_scale_of is None:
        return {}
    last = min(dataset.span.last_day or date.max, newest)
    days = [day.isoformat() for day in sessions(dataset.span.first_day, last)]
    states = day_states(instance, dataset.asset_key, days, dataset.partitions)
    stored = [day for day in days if states[day] is DayState.STORED]
    month = f"{newest:%Y-%m}"
    long_ago = new_york(newest, LOOK_AT) - OLD
    for number in range(TRIES):
        if not stored:
            break
        day = stored[int(sha256(f"{dataset.name} {month} {number}".encode()).hexdigest(), 16) % len(stored)]
        recorded = recorded_file(latest_materialization(instance, dataset.asset_key, day))
        if recorded and recorded.sha256 != NO_FILE and recorded.written_at < long_ago:
            return {day: len(sessions(date.fromisoformat(day), newest)) - 1}
    return {}


def revision_looks(vendor: str, datasets: Iterable[MarketDataset]) -> dg.Definitions:
    """The sensor of one vendor, and the job that it asks for.

    Args:
        vendor: its name.
        datasets: those of its datasets that it revises; not empty.
    """
    revised = list(datasets)
    job, of_days = look_job(vendor, revised)
    marks = ", ".join(map(str, MARKS[:-1]))

    @dg.sensor(
        name=f"look_again_at_{vendor}_days",
        job=job,
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if settings().asks_by_itself else dg.DefaultSensorStatus.STOPPED
        ),
        description=f"At {LOOK_AT:%H:%M} New York, {marks} and {MARKS[-1]} sessions after a stored day, asks the "
        "vendor whether it has revised the day, and once a month one older day where prices are adjusted. The same "
        "is recorded as seen; what differs becomes a revision, with "
        "its difference; an answer that is worse changes nothing.",
    )
    @logged_if_it_fails
    def look_again(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        refuse_foreign_history(context.instance)
        asked = date.fromisoformat(context.cursor) if context.cursor else None
        newest = look_session(get_current_datetime())
        if asked is not None and newest <= asked:
            return dg.SensorResult(skip_reason=f"asked for the looks of {asked} already")
        due = due_looks(asked, newest)
        looks = {
            dataset.name: old_look(context.instance, dataset, asked, newest) | looks_at(context.instance, dataset, due)
            for dataset in revised
        }
        looks = {name: days for name, days in looks.items() if days}
        if not looks:
            return dg.SensorResult(skip_reason=f"no stored day has a mark on {newest}", cursor=newest.isoformat())
        request = dg.RunRequest(run_key=f"{vendor} {newest}", run_config=of_days(looks))
        return dg.SensorResult(run_requests=[request], cursor=newest.isoformat())

    return dg.Definitions(sensors=[look_again], jobs=[job])
