"""The automation that catches up by itself: which days it asks for at a tick, on a real instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from data_assets.cli.local_run import run_range
from data_assets.cli.project import definitions
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project, of_days

NOW = datetime(2024, 7, 12, 6, tzinfo=UTC)
"""A Friday, some hours after Thursday's partition came to be."""
LAST_TEN_DAYS = {"2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08", "2024-07-09", "2024-07-10", "2024-07-11"}
"""Sessions from 2024-07-02 on, so without Independence Day and the weekend, and without the day that has no end yet."""
STORED, FAILED, IN_PROGRESS = "2024-07-08", "2024-07-09", "2024-07-10"


def asked_for(project: InProcess, now: datetime) -> set[str]:
    result = dg.evaluate_automation_conditions(defs=definitions(), instance=project.instance, evaluation_time=now)
    return result.get_requested_partitions(ASSET)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(
        tmp_path, faults=[Fault(kind="renamed_column", day=datetime.fromisoformat(FAILED).date())]
    ) as project:
        yield project


def test_on_an_empty_history_it_asks_for_the_sessions_of_ten_days_and_nothing_older(project: InProcess) -> None:
    assert asked_for(project, NOW) == LAST_TEN_DAYS


def test_it_leaves_stored_failed_and_running_days_alone(project: InProcess) -> None:
    run_range(project.instance, ASSET, STORED, FAILED)
    job = definitions().resolve_implicit_global_asset_job_def()
    project.instance.create_run_for_job(
        job, asset_selection={ASSET}, status=dg.DagsterRunStatus.STARTED, tags=of_days(IN_PROGRESS, IN_PROGRESS)
    )
    states = project.states([STORED, FAILED, IN_PROGRESS])
    assert states == {STORED: "stored", FAILED: "failed", IN_PROGRESS: "in progress"}

    assert asked_for(project, NOW) == LAST_TEN_DAYS - {STORED, FAILED, IN_PROGRESS}


def test_a_weekend_adds_no_day_and_friday_is_asked_for_on_friday_evening_in_new_york(project: InProcess) -> None:
    friday_evening = datetime(2024, 7, 13, 0, 5, tzinfo=UTC)
    assert "2024-07-12" not in asked_for(project, datetime(2024, 7, 12, 23, 55, tzinfo=UTC))
    assert "2024-07-12" in asked_for(project, friday_evening)
    assert max(asked_for(project, datetime(2024, 7, 15, 20, tzinfo=UTC))) == "2024-07-12"


def test_while_the_lake_is_away_it_asks_once_an_hour_not_at_every_tick(project: InProcess) -> None:
    """The disk of the lake is not plugged in: a run ends as canceled, and its days are missing as they were before."""
    run_range(project.instance, ASSET, STORED, STORED)
    away = project.folder / "away"
    lake = project.folder / "lake" / "live"
    lake.rename(away)
    cursor = None
    asked: list[set[str]] = []
    for minutes in (1, 2, 3, 58, 62, 63):
        tick = dg.evaluate_automation_conditions(
            defs=definitions(),
            instance=project.instance,
            evaluation_time=NOW + timedelta(minutes=minutes),
            cursor=cursor,
        )
        cursor = tick.cursor
        asked.append(tick.get_requested_partitions(ASSET))
        if asked[-1]:
            run = project.materialize(of_days(min(asked[-1]), max(asked[-1])))
            ended = project.instance.get_run_by_id(run.run_id)
            assert ended is not None
            assert ended.status == dg.DagsterRunStatus.CANCELED

    missing = LAST_TEN_DAYS - {STORED}
    assert asked == [missing, set(), set(), set(), missing, set()]
