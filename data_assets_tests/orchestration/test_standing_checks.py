"""The checks of a dataset as a whole: what they say of missing, failed and late days, on a real instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from data_assets.cli.project import datasets, definitions
from data_assets.orchestration.dataset import read_owner
from data_assets.orchestration.holes import accept_hole
from data_assets.trading_calendar import sessions
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project, of_days, open_project

NAME = "theta/option_quotes/QQQ"
DAYS = [day.isoformat() for day in sessions(date(2024, 7, 1), date(2024, 7, 12))]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        block = tmp_path / "defs/theta/option_quotes_qqq/defs.yaml"
        block.write_text(block.read_text().replace("2016-08-04", DAYS[0]))
        yield project


def look(project: InProcess, now: datetime, cursor: str | None = None) -> tuple[dict[str, tuple[bool, str]], str]:
    """What the sensor records of the dataset at an instant: check -> (passed, what it says); and its cursor."""
    repository = definitions().get_repository_def()
    sensor = repository.get_sensor_def("look_for_missing_days")
    with (
        freeze_time(now),
        dg.build_sensor_context(project.instance, cursor=cursor, repository_def=repository) as context,
    ):
        data = sensor.evaluate_tick(context)
    found = {}
    for event in data.asset_events:
        assert isinstance(event, dg.AssetCheckEvaluation)
        project.instance.report_runless_asset_event(event)  # as the daemon does
        if event.asset_key == ASSET:
            found[event.check_name] = (event.passed, event.description or "")
    return found, data.cursor or ""


def store(project: InProcess, days: list[str]) -> None:
    for day in days:
        project.instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=day))


def test_a_day_is_missing_from_its_deadline_on_and_a_verdict_is_recorded_when_it_changes(project: InProcess) -> None:
    store(project, DAYS[:-2])
    accept_hole(project.instance, datasets()[NAME], DAYS[-2], "the vendor lost it")
    said, cursor = look(project, at("2024-07-13 09:29"))
    assert said == {
        "no_missing_days": (True, "no day is missing"),
        "fresh": (True, "day 2024-07-11, the newest whose deadline has passed, is stored"),
    }
    assert look(project, at("2024-07-13 09:29"), cursor)[0] == {}

    said, cursor = look(project, at("2024-07-13 09:30"), cursor)
    command = f"data-assets backfill {NAME} --from 2024-07-12 --to 2024-07-12"
    assert said == {
        "no_missing_days": (False, f"1 missing and 0 failed of 9 days: 2024-07-12; {command}"),
        "fresh": (False, "day 2024-07-12 was to be stored by 2024-07-13 09:30 New York, and is missing"),
    }
    store(project, DAYS[:1])
    assert look(project, at("2024-07-13 09:31"), cursor)[0] == {}, "an old day that is stored again makes none fresh"
    store(project, DAYS[-1:])
    assert {name: passed for name, (passed, _) in look(project, at("2024-07-13 09:32"), cursor)[0].items()} == {
        "no_missing_days": True,
        "fresh": True,
    }


def test_a_failed_day_counts_at_once_and_a_person_may_execute_the_checks(project: InProcess) -> None:
    store(project, DAYS[:-1])
    job = definitions().resolve_implicit_global_asset_job_def()
    job = job.get_subset(asset_selection={ASSET}, asset_check_selection=set())
    run = project.instance.create_run_for_job(job, asset_selection={ASSET}, tags=of_days(DAYS[-1], DAYS[-1]))
    project.instance.report_run_failed(run)

    executed = project.execute_checks(["no_missing_days", "fresh"], {})
    assert executed.success
    verdicts = {each.check: each for each in project.evaluations(executed.run_id)}
    assert not verdicts["no_missing_days"].passed
    assert " and 1 failed of " in (verdicts["no_missing_days"].summary or "")
    assert project.check_states("fresh")[None] == "FAILED"


def test_every_block_takes_an_owner_whom_the_asset_names(tmp_path: Path) -> None:
    with open_project(tmp_path):
        for block in (tmp_path / "defs").rglob("defs.yaml"):
            block.write_text(block.read_text().rstrip() + "\n  owner: team:research\n")
        graph = definitions().resolve_asset_graph()
        of_blocks = [key for key in graph.get_all_asset_keys() if key.to_user_string() in datasets()]
        assert {tuple(graph.get(key).owners) for key in of_blocks} == {("team:research",)}


@pytest.mark.parametrize("owner", ["research", "team:", "a@b", "", "ann@corp.internal", "a@b.c", "team:a\nb"])
def test_another_owner_is_refused_in_one_line(owner: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_owner(owner)
    assert str(refused.value).startswith(f"owner: {owner!r} is neither team:name, such as team:research, nor an e-mail")
    assert "\n" not in str(refused.value)
