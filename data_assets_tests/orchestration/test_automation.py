"""What is asked for by itself, and when: the sensors of the real definitions at given instants, on a real instance."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent
from dagster._core.test_utils import create_run_for_test, freeze_time

from data_assets.cli import cli
from data_assets.cli.project import datasets, definitions
from data_assets.ingest.outcome import WRITTEN_AT, DayEnded, NotPublished, NotStored
from data_assets.orchestration.day_requests import left_text, left_to_you
from data_assets.orchestration.day_run import not_stored_event, run_source
from data_assets.orchestration.day_states import day_states
from data_assets.orchestration.holes import accept_hole
from data_assets.orchestration.publication import Publication, Request, new_york
from data_assets.orchestration.request_tags import ASKED_AGAIN, REQUEST, REQUESTED_AT
from data_assets.orchestration.standing_checks import standing_verdicts
from data_assets.trading_calendar import sessions
from data_assets_tests.orchestration.in_process import (
    RANGE_END,
    RANGE_START,
    InProcess,
    in_process_project,
    of_days,
    open_project,
    why_not_stored,
)

NEW_YORK = ZoneInfo("America/New_York")
QUOTES, FLAT_FILES, BARS = "theta/option_quotes/QQQ", "polygon/minute_aggs", "ib/bars_1m/AAPL"
VENDOR_OF = {QUOTES: "theta", FLAT_FILES: "polygon", BARS: "ib"}


def at(text: str) -> datetime:
    """An instant by New York's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@dataclass
class Month:
    """A project of one dataset per vendor, whose runs end as the test says.

    Attributes:
        asked: what was asked for so far: dataset -> (instant in New York, first day, last day).
        looks: which stored days were to be looked at so far: dataset -> (instant in New York, day -> mark).
        outcome: how a day of a dataset ends that is asked for at an instant; None if it is stored.
    """

    instance: dg.DagsterInstance
    outcome: Callable[[str, str, datetime], str | None] = lambda _name, _day, _now: None
    asked: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    looks: dict[str, list[tuple[str, dict[str, int]]]] = field(default_factory=dict)
    _cursors: dict[str, str | None] = field(default_factory=dict)
    _jobs: dict[str, dg.JobDefinition] = field(default_factory=dict)

    def store(self, name: str, days: Sequence[date], now: datetime | None = None) -> None:
        """Record days as stored, each at an instant, or else in its own evening."""
        for day in days:
            said = {"sha256": "0" * 64, WRITTEN_AT: (now or new_york(day, time(18))).isoformat()}
            event = dg.AssetMaterialization(dg.AssetKey(name.split("/")), partition=day.isoformat(), metadata=said)
            self.instance.report_runless_asset_event(event)

    def requests(self, vendor: str, now: datetime) -> list[dg.RunRequest]:
        """What the sensor of a vendor asks for at an instant."""
        repository = definitions().get_repository_def()
        with freeze_time(now), dg.build_sensor_context(self.instance, repository_def=repository) as context:
            return list(repository.get_sensor_def(f"request_{vendor}_days").evaluate_tick(context).run_requests or ())

    def tick(self, vendor: str, now: datetime) -> None:
        """Do as the daemon does: a run for each request, which ends at the same instant."""
        for request in self.requests(vendor, now):
            (name,) = {key.to_user_string() for key in request.asset_selection or ()}
            first, last = request.tags[RANGE_START], request.tags[RANGE_END]
            self.asked.setdefault(name, []).append((f"{now:%m-%d %H:%M}", first[5:], last[5:]))
            with freeze_time(now):
                self._end(self._planned(name, request.tags, first, last), name, first, last, now)

    def look(self, vendor: str, now: datetime, revised: Callable[[str, str, int], bool]) -> None:
        """The same for stored days that are looked at again; what is revised is stored once more."""
        repository, before = definitions().get_repository_def(), self._cursors.get(vendor)
        with (
            freeze_time(now),
            dg.build_sensor_context(self.instance, repository_def=repository, cursor=before) as context,
        ):
            said = repository.get_sensor_def(f"look_again_at_{vendor}_days").evaluate_tick(context)
            self._cursors[vendor] = said.cursor
            for request in said.run_requests or ():
                days_of = request.run_config["ops"][f"compare_{vendor}_days"]["config"]["days"]
                for name, days in days_of.items():
                    self.looks.setdefault(name, []).append(
                        (f"{now:%m-%d %H:%M}", {day[5:]: mark for day, mark in days.items()})
                    )
                    again = [date.fromisoformat(day) for day, mark in days.items() if revised(name, day, mark)]
                    self.store(name, again, now)

    def _planned(self, name: str, tags: Any, first: str, last: str) -> dg.DagsterRun:
        """A run as the event log knows it; to make its plan would take most of a month's time."""
        key = dg.AssetKey(name.split("/"))
        run = create_run_for_test(self.instance, "days", tags=dict(tags), asset_selection=frozenset({key}))
        for day in sessions(date.fromisoformat(first), date.fromisoformat(last)):
            planned = AssetMaterializationPlannedData(key, partition=day.isoformat())
            self.instance.report_dagster_event(
                DagsterEvent.build_asset_materialization_planned_event("days", "days", planned), run.run_id
            )
        return run

    def begin(self, name: str, tags: Any) -> dg.DagsterRun:
        key = dg.AssetKey(name.split("/"))
        if name not in self._jobs:
            job = definitions().resolve_implicit_global_asset_job_def()
            self._jobs[name] = job.get_subset(asset_selection={key}, asset_check_selection=set())
        return self.instance.create_run_for_job(self._jobs[name], asset_selection={key}, tags=dict(tags))

    def _end(self, run: dg.DagsterRun, name: str, first: str, last: str, now: datetime) -> None:
        days = sessions(date.fromisoformat(first), date.fromisoformat(last))
        outcomes = {day.isoformat(): self.outcome(name, day.isoformat(), now) for day in days}
        self.store(name, [day for day in days if outcomes[day.isoformat()] is None], now)
        for day, outcome in outcomes.items():
            if outcome is not None:
                event = not_stored_event(datasets()[name], day, type(outcome, (NotStored,), {"name": outcome})("why"))
                self.instance.report_runless_asset_event(event)
        bad = [outcome for outcome in outcomes.values() if outcome is not None]
        if bad and not (ASKED_AGAIN in run.tags and set(bad) == {"NotPublished"}):
            self.instance.report_run_failed(run)
        else:
            self.instance.report_dagster_event(DagsterEvent("PIPELINE_SUCCESS", run.job_name), run.run_id)

    def states(self, name: str, days: Sequence[date]) -> dict[str, str]:
        dataset = datasets()[name]
        keys = [day.isoformat() for day in days]
        return dict(day_states(self.instance, dataset.asset_key, keys, dataset.partitions))


@pytest.fixture
def month(tmp_path: Path) -> Iterator[Month]:
    with open_project(tmp_path) as instance:
        for block in (tmp_path / "defs" / "theta").glob("*"):
            if block.name != "option_quotes_qqq":
                shutil.rmtree(block)
        (tmp_path / "defs/ib/bars_1m/tickers.csv").write_text(
            "symbol,secType,exchange,currency,primaryExchange\nAAPL,STK,SMART,USD,NASDAQ\n"
        )
        with dg.DagsterInstance.ephemeral() as instance:
            yield Month(instance)


# --- a month -------------------------------------------------------------------------------------------------------

BEFORE = sessions(date(2024, 9, 13), date(2024, 10, 31))
"""The sessions before the month that a look of the month may be about."""
NOVEMBER = sessions(date(2024, 11, 1), date(2024, 11, 30))
"""Without Thanksgiving (28); the day after it closes at 13:00. On the 3rd summer time ends."""
OUTAGE = {"2024-11-12", "2024-11-13"}
LATE = "2024-11-19"

REVISED = "2024-11-06"
OLDER = {"09-25": 27}
"""The one older day of IB, whose prices are in the scale of their request, that is looked at in November: always it."""

HOURS = {"theta": ["17:45"], "ib": ["16:20"], "polygon": ["22:00"]}
"""When each sensor looks, every day: the vendors' hours by the clock of New York."""
CLOSELY = {
    "theta": ["09:15", "17:44", "17:45", "18:15", "21:15"],
    "ib": ["13:20", "16:19", "16:20"],
    "polygon": ["11:15", "21:59", "22:00"],
}
"""The same on days on which something happens: a minute before, too, and at the hours of the repeats."""
EVENTFUL = {1, 3, 12, 13, 14, 15, 19, 20, 28, 29}
OFF = "11-14"
"""No machine was on that evening."""


def test_a_month_asks_for_exactly_what_is_written_here(month: Month) -> None:
    """An outage of two days, a late file, a revision, a holiday, an early close, and the end of summer time."""

    def outcome(name: str, day: str, now: datetime) -> str | None:
        outage = at("2024-11-12 00:00") <= now < at("2024-11-14 00:00")
        if name == QUOTES and outage:
            return "Failed"
        if name == FLAT_FILES and day == LATE and now < at("2024-11-20 08:00"):
            return "NotPublished"
        return None

    month.outcome = outcome
    for name in VENDOR_OF:
        month.store(name, BEFORE)
    for day in range(1, 31):
        for vendor, hours in (CLOSELY if day in EVENTFUL else HOURS).items():
            for hour in hours:
                month.tick(vendor, at(f"2024-11-{day:02} {hour}"))
        for vendor in ("ib", "polygon"):
            for hour in () if f"11-{day}" == OFF else ("19:59", "20:00") if day in EVENTFUL else ("20:00",):
                month.look(vendor, at(f"2024-11-{day:02} {hour}"), lambda *of: of == (BARS, REVISED, 1))

    usual = [f"{day:%m-%d}" for day in NOVEMBER]
    assert month.asked[BARS] == [(f"{day} {'13:20' if day == '11-29' else '16:20'}", day, day) for day in usual], (
        "20 minutes after the close"
    )
    assert month.asked[QUOTES] == [
        *((f"{day} 17:45", day, day) for day in usual if day < "11-12"),
        ("11-12 17:45", "11-12", "11-12"),
        ("11-12 18:15", "11-12", "11-12"),
        ("11-12 21:15", "11-12", "11-12"),
        ("11-13 09:15", "11-12", "11-12"),  # the last time: it is left to a person
        ("11-13 17:45", "11-13", "11-13"),
        ("11-13 18:15", "11-13", "11-13"),
        ("11-13 21:15", "11-13", "11-13"),
        ("11-14 09:15", "11-13", "11-13"),  # the outage is over
        *((f"{day} 17:45", day, day) for day in usual if day > "11-13"),
    ]
    assert month.asked[FLAT_FILES] == [
        *((f"{day} 22:00", day, day) for day in usual if day < "11-19"),
        ("11-19 22:00", "11-19", "11-19"),
        ("11-20 11:15", "11-19", "11-19"),
        *((f"{day} 22:00", day, day) for day in usual if day > "11-19"),
    ]
    all_days = [f"{day:%m-%d}" for day in [*BEFORE, *NOVEMBER]]
    marks = {day: {all_days[place - mark]: mark for mark in (30, 3, 1)} for place, day in enumerate(all_days)}
    looks = [
        ("11-01 19:59", marks["10-31"]),
        *((f"{day} 20:00", marks[day]) for day in usual if day < OFF),
        ("11-15 19:59", marks[OFF]),  # as soon as there is a machine again
        ("11-15 20:00", marks["11-15"]),
        *((f"{day} 20:00", marks[day]) for day in usual if day > "11-15"),
    ]
    assert marks["11-07"] == {"09-26": 30, "11-04": 3, "11-06": 1}
    assert month.looks[FLAT_FILES] == looks, "the late file was there before its first mark"
    with_old_day = ("11-01 20:00", {**marks["11-01"], **OLDER})
    assert month.looks[BARS] == [looks[0], with_old_day, *looks[2:]], "the revision asks for nothing more"
    left = {
        day: state for name in VENDOR_OF for day, state in month.states(name, NOVEMBER).items() if state != "stored"
    }
    assert left == {"2024-11-12": "failed"}


# --- one tick ------------------------------------------------------------------------------------------------------

FRIDAY = at("2024-07-12 17:45")


def asked_at(month: Month, now: datetime, vendor: str = "theta") -> list[tuple[str, str]]:
    return [(each.tags[RANGE_START], each.tags[RANGE_END]) for each in month.requests(vendor, now)]


def test_on_an_empty_history_it_asks_for_ten_sessions_the_newest_alone_and_nothing_older(month: Month) -> None:
    assert asked_at(month, FRIDAY) == [("2024-07-12", "2024-07-12"), ("2024-06-28", "2024-07-11")]
    (newest, _) = month.requests("theta", FRIDAY)
    assert newest.tags[REQUEST] == QUOTES
    assert datetime.fromisoformat(newest.tags[REQUESTED_AT]) == FRIDAY
    assert newest.tags[ASKED_AGAIN] == "2024-07-12 18:15 New York"


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        ("2024-07-03 13:19", "2024-07-02"),  # before Independence Day it closes at 13:00, in summer
        ("2024-07-03 13:20", "2024-07-03"),
        ("2024-07-04 20:00", "2024-07-03"),
        ("2024-07-05 16:19", "2024-07-03"),
        ("2024-07-05 16:20", "2024-07-05"),
        ("2024-07-07 12:00", "2024-07-05"),
        ("2024-12-24 13:20", "2024-12-24"),
        ("2024-12-25 18:00", "2024-12-24"),
    ],
)
def test_the_newest_day_is_asked_for_as_soon_as_the_vendor_has_it(month: Month, now: str, newest: str) -> None:
    assert max(asked_at(month, at(now), "ib"))[1] == newest


def test_it_leaves_alone_what_is_stored_accepted_in_work_or_said_to_have_no_data(month: Month) -> None:
    days = sessions(date(2024, 6, 28), date(2024, 7, 12))
    quotes = datasets()[QUOTES]
    month.store(QUOTES, [day for day in days if day.isoformat() < "2024-07-05"])
    accept_hole(month.instance, quotes, "2024-07-05", "the vendor lost it")
    month.begin(QUOTES, of_days("2024-07-08", "2024-07-08"))  # of a person, not begun yet
    month.outcome = lambda _name, day, _now: "NoData" if day == "2024-07-09" else None
    assert asked_at(month, FRIDAY) == [("2024-07-12", "2024-07-12"), ("2024-07-09", "2024-07-11")]
    month.tick("theta", FRIDAY)

    assert {day: state for day, state in month.states(QUOTES, days).items() if state != "stored"} == {
        "2024-07-08": "in progress",
        "2024-07-09": "failed",
    }
    assert asked_at(month, FRIDAY + timedelta(hours=20)) == []


def test_days_before_the_first_and_after_the_last_are_never_asked_for(month: Month, tmp_path: Path) -> None:
    block = tmp_path / "defs/theta/option_quotes_qqq/defs.yaml"
    block.write_text(block.read_text().replace("2016-08-04", "2024-07-09\n  last_day: 2024-07-11"))
    assert asked_at(month, FRIDAY) == [("2024-07-11", "2024-07-11"), ("2024-07-09", "2024-07-10")]
    assert asked_at(month, at("2024-08-12 17:45")) == []


def test_a_run_that_has_not_begun_is_not_asked_for_a_second_time_and_a_daemon_that_starts_anew_counts_on(
    month: Month,
) -> None:
    month.store(QUOTES, sessions(date(2024, 6, 28), date(2024, 7, 11)))
    (first,) = month.requests("theta", FRIDAY)
    (same,) = month.requests("theta", FRIDAY + timedelta(minutes=1))
    assert first.run_key == same.run_key, "Dagster starts no second run of the same key"
    run = month.begin(QUOTES, first.tags)
    assert asked_at(month, FRIDAY + timedelta(days=1)) == []

    with freeze_time(FRIDAY + timedelta(hours=2)):
        month.instance.report_run_failed(run)
    assert asked_at(month, FRIDAY + timedelta(hours=2, minutes=29)) == [], "the pause begins at the run's end"
    definitions.cache_clear()
    (again,) = month.requests("theta", FRIDAY + timedelta(hours=2, minutes=30))
    assert again.run_key != first.run_key


def test_while_the_lake_is_away_it_asks_once_an_hour_and_that_is_no_repeat(month: Month) -> None:
    """A run whose lake is not there is canceled, and its days are missing as they were before."""
    month.store(QUOTES, sessions(date(2024, 6, 28), date(2024, 7, 11)))
    asked = []
    for minutes in range(0, 400, 20):
        now = FRIDAY + timedelta(minutes=minutes)
        for request in month.requests("theta", now):
            asked.append(minutes)
            with freeze_time(now):
                run = month.begin(QUOTES, request.tags)
                month.instance.report_run_canceled(run)
    assert asked == [0, 60, 120, 180, 240, 300, 360]


def test_the_last_request_says_so(month: Month) -> None:
    month.store(QUOTES, sessions(date(2024, 6, 28), date(2024, 7, 11)))
    month.outcome = lambda *_: "Failed"
    again = []
    for hours in (0, 0.5, 3.5, 15.5, 40):
        for request in month.requests("theta", now := FRIDAY + timedelta(hours=hours)):
            again.append(request.tags.get(ASKED_AGAIN))
            month.tick("theta", now)
    assert again == [
        "2024-07-12 18:15 New York",
        "2024-07-12 21:15 New York",
        "2024-07-13 09:15 New York",
        None,
    ]


def test_what_was_asked_for_as_often_as_that_is_done_is_shown_and_left_to_a_person(
    month: Month,
) -> None:
    dataset = datasets()[QUOTES]
    days = sessions(date(2024, 6, 28), date(2024, 7, 12))
    month.store(QUOTES, days[:-2])
    month.outcome = lambda *_: "Failed"
    command = f"data-assets backfill {QUOTES} --from 2024-07-11 --to 2024-07-12"

    def shown(hours: float) -> tuple[list[str], dict[str, Any]]:
        with freeze_time(FRIDAY + timedelta(hours=hours)):
            states = day_states(month.instance, dataset.asset_key, [str(day) for day in days], dataset.partitions)
            assert dataset.publication is not None
            now = FRIDAY + timedelta(hours=hours)
            (verdict, _), _ = standing_verdicts(month.instance, dataset, dataset.publication, now)
            return left_to_you(month.instance, dataset, states), {**verdict.metadata, "says": verdict.summary}

    for hours in (0, 0.5, 3.5):
        month.tick("theta", FRIDAY + timedelta(hours=hours))
    left, says = shown(4)
    assert (left, says.get("left_to_you")) == ([], None), "it is asked for once more"
    month.tick("theta", FRIDAY + timedelta(hours=15.5))
    left, says = shown(16)
    assert left == ["2024-07-11", "2024-07-12"]
    assert (says["left_to_you"], says["left"], says["left_command"]) == (2, "2024-07-12, 2024-07-11", command)
    assert "2 of them are left to you after 3 repeats (2024-07-12, 2024-07-11); data-assets backfill" in says["says"]
    assert left_text(dataset, left).endswith(f"2024-07-11, 2024-07-12; {command}")

    month.store(QUOTES, days[-1:])
    assert shown(17)[0] == ["2024-07-11"], "a person has mended the other"


def test_status_shows_what_is_left_to_a_person(tmp_path: Path) -> None:
    with open_project(tmp_path) as instance:
        month = Month(instance, outcome=lambda *_: "Failed")
        month.store(QUOTES, sessions(date(2024, 6, 28), date(2024, 7, 11)))
        for hours in (0, 0.5, 3.5, 15.5):
            month.tick("theta", FRIDAY + timedelta(hours=hours))
        with freeze_time(FRIDAY + timedelta(hours=16)):
            said = CliRunner().invoke(cli, ["status", QUOTES, "--days", "5"])
    command = f"data-assets backfill {QUOTES} --from 2024-07-12 --to 2024-07-12"
    assert f"{QUOTES}: 1 day left to you after 3 repeats: 2024-07-12; {command}\n" in said.stdout


# --- the rule ------------------------------------------------------------------------------------------------------

TWICE = Publication(lambda hours: [new_york(hours.day, time(22)), new_york(hours.day, time(11, 15), 1)], time(15), "")
DAY = date(2024, 7, 12)


def test_a_machine_that_was_off_at_the_first_hour_asks_at_once_and_then_at_the_second() -> None:
    late = Request(at("2024-07-13 03:00"), at("2024-07-13 03:05"))
    assert TWICE.next_request(DAY, [late]) == at("2024-07-13 11:15")
    later = Request(at("2024-07-15 09:00"), at("2024-07-15 09:05"))
    assert TWICE.next_request(DAY, [later]) == at("2024-07-15 09:35"), "both hours are over: the pauses begin"


def test_after_three_repeats_a_person_decides_and_a_canceled_run_is_none() -> None:
    times = [f"2024-07-1{day} 12:00" for day in (3, 4, 5, 6)]
    requests = [Request(at(text), at(text)) for text in times]
    assert [TWICE.next_request(DAY, requests[:count]) for count in (2, 3, 4)] == [
        at("2024-07-14 15:00"),
        at("2024-07-16 00:00"),
        None,
    ]
    canceled = Request(at("2024-07-17 12:00"), at("2024-07-17 12:00"), canceled=True)
    assert TWICE.next_request(DAY, [*requests, canceled]) is None
    assert TWICE.next_request(DAY, [canceled]) == at("2024-07-17 13:00")


# --- a run that comes too early ------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        yield project


@contextmanager
def too_early() -> Iterator[None]:
    """The vendor has no day yet."""

    class Source:
        async def fetch(self, day: date, _meter: object) -> None:
            raise DayEnded(NotPublished(f"{day} is not there yet"))

        async def wait_until_up(self) -> None: ...

    @asynccontextmanager
    async def open_source(*_: object) -> Any:
        yield Source()

    before = run_source.set(open_source)
    try:
        yield
    finally:
        run_source.reset(before)


def test_a_day_that_is_not_published_stays_missing_while_it_is_asked_again_and_is_red_after_the_last_time(
    project: InProcess,
) -> None:
    day = "2024-07-12"
    asked = {**of_days(day, day), REQUEST: QUOTES, REQUESTED_AT: FRIDAY.isoformat()}
    with too_early():
        early = project.materialize({**asked, ASKED_AGAIN: "2024-07-12 18:15 New York"})
        assert early.success
        assert project.states([day]) == {day: "missing"}
        assert why_not_stored(project.instance, project.asset, day) == (
            "NotPublished",
            f"{day} is not there yet (asked again by itself after 2024-07-12 18:15 New York)",
        )
        assert project.times_materialized() == {}

        assert not project.materialize(asked).success
        assert project.states([day]) == {day: "failed"}
        assert why_not_stored(project.instance, project.asset, day) == (
            "NotPublished",
            f"{day} is not there yet (this was the last request by itself: it is left to you)",
        )
        assert not project.materialize(of_days(day, day)).success, "a person's own request says how it ended"


def test_a_damaged_day_does_not_turn_green_because_it_is_not_published(project: InProcess) -> None:
    day = "2024-07-12"
    assert project.materialize(of_days(day, day)).success
    with too_early():
        assert not project.materialize(of_days(day, day)).success
        project.materialize({**of_days(day, day), REQUEST: QUOTES, ASKED_AGAIN: "2024-07-12 18:15 New York"})
    assert project.states([day]) == {day: "failed"}


# --- on and off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "status"), [("live", "RUNNING"), ("sandbox", "STOPPED")])
def test_days_are_asked_for_by_themselves_in_the_live_profile_only(tmp_path: Path, profile: str, status: str) -> None:
    with open_project(tmp_path, DATA_ASSETS_PROFILE=profile):
        repository = definitions().get_repository_def()
        for vendor, hours in (("theta", "17:45"), ("ib", "20 minutes after the close"), ("polygon", "22:00")):
            sensor = repository.get_sensor_def(f"request_{vendor}_days")
            assert sensor.default_status.name == status
            assert hours in (sensor.description or "")


def test_datasets_of_a_vendor_may_begin_on_different_days(tmp_path: Path) -> None:
    """A code location with jobs of assets that have different partitions does not load."""
    younger = tmp_path / "defs" / "theta" / "iwm" / "defs.yaml"
    younger.parent.mkdir(parents=True)
    younger.write_text(
        "type: data_assets.vendors.theta.component.ThetaDataset\n"
        "attributes: {dataset: quotes, symbol: IWM, first_day: '2012-06-01'}\n"
    )
    with open_project(tmp_path) as instance:
        repository = definitions().get_repository_def()
        repository.load_all_definitions()
        now = at("2024-07-02 17:45")
        with freeze_time(now), dg.build_sensor_context(instance, repository_def=repository) as context:
            asked = repository.get_sensor_def("request_theta_days").evaluate_tick(context).run_requests or ()
    newest = {request.tags[REQUEST] for request in asked if request.tags[RANGE_END] == "2024-07-02"}
    assert {"theta/option_quotes/IWM", QUOTES} <= newest
