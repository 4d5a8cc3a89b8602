"""Which stored days are looked at again, and when: the rule, and the sensors of the real definitions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from data_assets.cli.project import datasets, definitions
from data_assets.ingest.outcome import WRITTEN_AT
from data_assets.orchestration.revision_looks import due_looks, look_session
from data_assets.trading_calendar import sessions
from data_assets_tests.orchestration.in_process import open_project

NEW_YORK = ZoneInfo("America/New_York")
BARS, QUOTES = "ib/bars_1m/AAPL", "theta/option_quotes/QQQ"
JUNE_ON = sessions(date(2024, 6, 3), date(2024, 7, 31))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


def marks(asked: str | None, newest: str) -> dict[str, int]:
    due = due_looks(None if asked is None else date.fromisoformat(asked), date.fromisoformat(newest))
    return {str(day): mark for day, (mark, _) in sorted(due.items())}


# --- the rule ------------------------------------------------------------------------------------------------------


def test_marks_are_sessions_not_days() -> None:
    """The 4th of July is a Thursday: the session after Wednesday's is Friday's."""
    assert marks("2024-07-03", "2024-07-05") == {"2024-05-21": 30, "2024-07-01": 3, "2024-07-03": 1}


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2024-07-03 19:59", "2024-07-02"),
        ("2024-07-03 20:00", "2024-07-03"),  # an early close
        ("2024-07-04 20:00", "2024-07-03"),
        ("2024-07-07 23:00", "2024-07-05"),
    ],
)
def test_a_mark_comes_in_the_evening_of_its_session(now: str, session: str) -> None:
    assert str(look_session(at(now))) == session


def test_what_a_daemon_missed_while_it_was_off_is_made_up_once() -> None:
    """Two sessions were missed: no day comes twice, and each with the newest mark that has come."""
    assert marks("2024-07-08", "2024-07-10") == {
        "2024-05-23": 30,
        "2024-05-24": 30,
        "2024-07-03": 3,
        "2024-07-05": 3,
        "2024-07-08": 1,
        "2024-07-09": 1,
    }
    assert marks("2024-07-08", "2024-07-11")["2024-07-08"] == 3, "T+1 and T+3 were both missed"


def test_marks_long_past_are_not_piled_up() -> None:
    missed = marks("2023-01-03", "2024-07-12")
    assert sorted(missed.values()) == [1] * 2 + [3] * 10 + [30] * 10
    assert min(missed) == "2024-05-15", "30 sessions before the oldest of the newest ten"
    assert marks(None, "2024-07-12") == {"2024-05-29": 30, "2024-07-09": 3, "2024-07-11": 1}, "no history to make up"


# --- the sensor ----------------------------------------------------------------------------------------------------


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with open_project(tmp_path) as instance:
        for name in (BARS, QUOTES):
            for day in JUNE_ON:
                store(instance, name, day, at(f"{day} 18:00"))
        yield instance


def store(instance: dg.DagsterInstance, name: str, day: date, written_at: datetime) -> None:
    said = {"sha256": "0" * 64, "rows": 390, WRITTEN_AT: written_at.isoformat()}
    event = dg.AssetMaterialization(dg.AssetKey(name.split("/")), partition=day.isoformat(), metadata=said)
    instance.report_runless_asset_event(event)


def tick(
    instance: dg.DagsterInstance, now: datetime, cursor: str | None = None, vendor: str = "ib"
) -> tuple[dict[str, int], str | None]:
    """The marks of the days of IB's bars that are asked for, and the cursor that is left."""
    repository = definitions().get_repository_def()
    with freeze_time(now), dg.build_sensor_context(instance, repository_def=repository, cursor=cursor) as context:
        said = repository.get_sensor_def(f"look_again_at_{vendor}_days").evaluate_tick(context)
    (request,) = said.run_requests or (None,)
    if request is None:
        return {}, said.cursor
    return request.run_config["ops"][f"compare_{vendor}_days"]["config"]["days"][BARS], said.cursor


def test_each_mark_is_asked_for_once(instance: dg.DagsterInstance) -> None:
    asked, cursor = tick(instance, at("2024-07-23 20:00"))
    assert (asked, cursor) == ({"2024-06-07": 30, "2024-07-18": 3, "2024-07-22": 1}, "2024-07-23")
    assert tick(instance, at("2024-07-23 20:01"), cursor) == ({}, cursor)
    assert tick(instance, at("2024-07-24 19:59"), cursor) == ({}, cursor)
    asked, cursor = tick(instance, at("2024-07-24 20:00"), cursor)
    assert (asked, cursor) == ({"2024-06-10": 30, "2024-07-19": 3, "2024-07-23": 1}, "2024-07-24")


NEW_MONTHS = [("2024-09-30", "2024-10-02"), ("2024-10-31", "2024-11-01"), ("2024-11-29", "2024-12-02")]


def test_once_a_month_another_old_day_is_asked_for(instance: dg.DagsterInstance) -> None:
    """Each day was stored on its evening: in August and September those of June and of most of July are old."""
    asked = [tick(instance, at(f"{now} 20:00"), cursor)[0] for cursor, now in NEW_MONTHS]
    old = [[day for day, mark in of_month.items() if mark not in (1, 3, 30)] for of_month in asked]
    assert [len(days) for days in old] == [1, 1, 1]
    assert len({day for days in old for day in days}) > 1
    (day,) = old[0]
    assert asked[0][day] == len(sessions(date.fromisoformat(day), date(2024, 10, 2))) - 1
    again, _ = tick(instance, at("2024-09-30 20:00"), "2024-09-27")
    assert again == {}, "within a month no other is"
    for day in map(str, JUNE_ON):
        store(instance, BARS, date.fromisoformat(day), at("2024-09-20 18:00"))
    assert tick(instance, at("2024-10-02 20:00"), "2024-09-30")[0] == {}, "what was fetched lately knows of the split"
    assert tick(instance, at("2024-10-02 20:00"))[0] == {}, "nor is one asked for as a lake is begun"


def test_only_stored_days_are_looked_at_whose_file_is_older_than_the_mark(instance: dg.DagsterInstance) -> None:
    store(instance, BARS, date(2024, 7, 18), at("2024-07-23 20:05"))  # a person has fetched it again
    asked, _ = tick(instance, at("2024-07-23 21:00"))
    assert asked == {"2024-06-07": 30, "2024-07-22": 1}
    assert tick(instance, at("2024-10-01 20:00"))[0] == {}, "nothing is stored of those days"


def test_datasets_that_nothing_is_known_to_revise_are_left_alone(instance: dg.DagsterInstance) -> None:
    definitions()
    looked_at = {name for name, dataset in datasets().items() if dataset.revisions is not None}
    assert {BARS, "polygon/minute_aggs", "theta/option_eod/SPX"} <= looked_at
    assert QUOTES not in looked_at, "unless its block says look_again"
    assert not {name for name in looked_at if "monthly" in name or "flat_files" in name or "greeks" in name}


@pytest.mark.parametrize(("profile", "status"), [("live", "RUNNING"), ("sandbox", "STOPPED")])
def test_days_are_looked_at_by_themselves_in_the_live_profile_only(tmp_path: Path, profile: str, status: str) -> None:
    with open_project(tmp_path, DATA_ASSETS_PROFILE=profile):
        sensor = definitions().get_repository_def().get_sensor_def("look_again_at_polygon_days")
        assert sensor.default_status.name == status
        assert "1, 3 and 30 sessions" in (sensor.description or "")
