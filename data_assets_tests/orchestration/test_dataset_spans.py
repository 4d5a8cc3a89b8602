"""Datasets that begin and end on different days, and runs whose range ends on a closed day, on a real instance."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.schema import create_schema

from data_assets.cli.local_run import run_range
from data_assets.definitions import with_policy
from data_assets.orchestration.assets import dataset_definitions
from data_assets.orchestration.dataset import datasets_of_this_process
from data_assets.orchestration.day_states import DayState, day_states
from data_assets.orchestration.partitions import months, partition_keys, trading_days
from data_assets.orchestration.request_tags import REQUEST
from data_assets.orchestration.verify_run import VERIFY
from data_assets.sandbox.faults import Fault
from data_assets.settings import settings
from data_assets.span import SHIPPED, Span
from data_assets.trading_calendar import sessions
from data_assets.vendors.theta.component import ThetaDataset
from data_assets_tests.end_to_end.project_folder import write_project
from data_assets_tests.orchestration.in_process import (
    ASSET,
    CHECKS,
    RANGE_END,
    RANGE_START,
    InProcess,
    in_process_project,
    of_day,
    of_days,
    why_not_stored,
)

# --- a range that ends on a closed day ----------------------------------------------------------------------------

TO_A_HOLIDAY = ("2024-07-02", "2024-07-04")
ASKED, ADDED = ["2024-07-02", "2024-07-03"], "2024-07-05"
"""The sessions of that range, and the one that Dagster adds to it."""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        yield project


def said(project: InProcess, run_id: str) -> list[str]:
    return [line for line in project.messages(run_id).splitlines() if "is left alone" in line]


def test_a_range_to_a_holiday_asks_for_no_session_after_it(project: InProcess) -> None:
    result = project.materialize(of_days(*TO_A_HOLIDAY))

    assert result.success
    assert sorted(project.days_fetched()) == ASKED
    assert project.states([*ASKED, ADDED]) == {**dict.fromkeys(ASKED, "stored"), ADDED: "missing"}
    assert not project.file(ADDED).exists()
    assert said(project, result.run_id) == [
        f"theta/option_quotes/QQQ: {ADDED} is left alone: the run was asked for 2024-07-02 to 2024-07-04, and Dagster "
        "adds the next session to a range that ends on a closed day; end it on a session that exists"
    ]


def test_a_weekend_alone_asks_for_nothing(project: InProcess) -> None:
    result = project.materialize(of_days("2024-07-06", "2024-07-07"))

    assert result.success
    assert project.days_fetched() == []
    assert project.states(["2024-07-08"]) == {"2024-07-08": "missing"}
    assert len(said(project, result.run_id)) == 1


@pytest.mark.parametrize("verify", [False, True], ids=["fill", "verify"])
def test_a_run_for_a_closed_day_alone_asks_for_no_session_after_it(project: InProcess, verify: bool) -> None:
    """As a script launches it; the UI and the command offer no such day."""
    result = project.materialize({**of_day("2024-07-04"), **({VERIFY: "true"} if verify else {})})

    assert result.success
    assert project.days_fetched() == []
    assert project.states([ADDED]) == {ADDED: "missing"}
    assert said(project, result.run_id) == [
        f"theta/option_quotes/QQQ: {ADDED} is left alone: the run was asked for 2024-07-04, and for a closed day "
        "Dagster runs the next session; ask for a session that exists"
    ]
    run = project.execute_checks(CHECKS, of_day("2024-07-04"))
    assert project.evaluations(run.run_id) == []
    assert "the run was asked for closed days alone, so there is nothing to judge" in project.messages(run.run_id)


def test_a_failed_run_leaves_the_added_session_as_it_was(tmp_path: Path) -> None:
    fault = Fault(kind="renamed_column", day=date.fromisoformat(ASKED[-1]))
    with in_process_project(tmp_path, faults=[fault]) as project:
        assert run_range(project.instance, ASSET, ADDED, ADDED).success

        assert not project.materialize(of_days(*TO_A_HOLIDAY)).success

        assert project.states([*ASKED, ADDED]) == {ASKED[0]: "stored", ASKED[1]: "failed", ADDED: "stored"}
        assert project.days_fetched().count(date.fromisoformat(ADDED).isoformat()) == 1


def test_verifying_and_checking_leave_it_alone_too(project: InProcess) -> None:
    run_range(project.instance, ASSET, *TO_A_HOLIDAY[:1], ASKED[-1])

    assert project.materialize({**of_days(*TO_A_HOLIDAY), VERIFY: "true"}).success
    assert project.states([ADDED]) == {ADDED: "missing"}
    assert why_not_stored(project.instance, ASSET, ADDED) is None

    run = project.execute_checks(CHECKS, of_days(*TO_A_HOLIDAY))
    assert {each.day for each in project.evaluations(run.run_id)} == set(ASKED)


# --- datasets of different spans ----------------------------------------------------------------------------------

NOW = datetime(2024, 7, 12, 6, tzinfo=UTC)
"""A Friday, some hours after Thursday's partition came to be."""


def blocks(**spans: str) -> dg.Definitions:
    """Option quotes by symbol, each with what its block says of its days."""
    found = [
        ThetaDataset.resolve_from_yaml(f"{{dataset: quotes, symbol: {symbol}, {days}}}").market_dataset()
        for symbol, days in spans.items()
    ]
    return dg.Definitions.merge(*(dataset_definitions(each) for each in found))


def key(symbol: str) -> dg.AssetKey:
    return dg.AssetKey(["theta", "option_quotes", symbol])


def days_asked_for(instance: dg.DagsterInstance, blocks: dg.Definitions) -> dict[str, list[str]]:
    """The days that the sensor of these blocks asks for at `NOW`, by symbol."""
    repository = with_policy(blocks).get_repository_def()
    repository.load_all_definitions()
    with freeze_time(NOW), dg.build_sensor_context(instance, repository_def=repository) as context:
        requests = repository.get_sensor_def("request_theta_days").evaluate_tick(context).run_requests or ()
    days: dict[str, list[str]] = {}
    for request in requests:
        first, last = (date.fromisoformat(request.tags[bound]) for bound in (RANGE_START, RANGE_END))
        symbol = request.tags[REQUEST].rpartition("/")[2]
        days[symbol] = sorted([*days.get(symbol, []), *map(str, sessions(first, last))])
    return days


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").touch()
    monkeypatch.chdir(tmp_path)
    before = dict(datasets_of_this_process)
    settings.cache_clear()
    with dg.instance_for_test() as instance:
        yield instance
    settings.cache_clear()
    datasets_of_this_process.clear()
    datasets_of_this_process.update(before)


def test_automation_asks_each_dataset_for_its_own_newest_days_only(instance: dg.DagsterInstance) -> None:
    defs = blocks(
        OLD="first_day: 2012-06-01",
        YOUNG="first_day: 2024-07-08",
        ENDED="first_day: 2016-08-04, last_day: 2024-07-09",
        LONGAGO="first_day: 2016-08-04, last_day: 2022-06-08",
        TOCOME="first_day: 2024-07-12",
    )

    asked = days_asked_for(instance, defs)

    newest = [day.isoformat() for day in sessions(date(2024, 6, 27), date(2024, 7, 11))]
    assert len(newest) == 10
    assert asked == {
        "OLD": newest,
        "YOUNG": [day for day in newest if day >= "2024-07-08"],
        "ENDED": [day for day in newest if day <= "2024-07-09"],
    }, "and none of what ended long ago, or is to come"


def test_a_moved_bound_asks_for_no_day_outside_and_forgets_none_within(instance: dg.DagsterInstance) -> None:
    first = days_asked_for(instance, blocks(MOVED="first_day: 2024-07-03"))
    assert min(first["MOVED"]) == "2024-07-03"

    later = days_asked_for(instance, blocks(MOVED="first_day: 2024-07-09"))
    back = days_asked_for(instance, blocks(MOVED="first_day: 2024-07-03"))

    assert later == {"MOVED": ["2024-07-09", "2024-07-10", "2024-07-11"]}
    assert back == first


def test_moving_first_day_and_back_shows_what_was_stored_again(instance: dg.DagsterInstance) -> None:
    days = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    for day in (days[0], days[2]):
        instance.report_runless_asset_event(dg.AssetMaterialization(key("QQQ"), partition=day))
    stored, missing = DayState.STORED, DayState.MISSING

    def states(*bounds: date) -> dict[str, DayState]:
        return day_states(instance, key("QQQ"), days, trading_days(Span(*bounds)))

    everything = dict(zip(days, (stored, missing, stored, missing), strict=True))
    assert states(date(2016, 8, 4)) == everything
    assert states(date(2024, 7, 2)) == everything | {days[0]: missing}
    assert states(date(2016, 8, 4), date(2024, 7, 2)) == everything | {days[2]: missing}
    assert states(date(2012, 6, 1)) == everything
    assert states(date(2016, 8, 4)) == everything


# --- the months at a span's bounds, launched as the UI does --------------------------------------------------------

HOME = """
telemetry: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
run_launcher: {module: dagster._core.test_utils, class: MockedRunLauncher}
"""
"""An instance that starts no run: what is asked for is all that is looked at."""

LAUNCH = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""


def test_the_ui_and_the_daemon_take_the_month_that_begins_before_its_days_and_the_one_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped days begin on 2016-08-04; of the month under way there are sessions to come."""
    write_project(tmp_path)
    (tmp_path / "dagster.yaml").write_text(HOME)
    location = "{module_name: data_assets.definitions, location_name: data_assets}"
    (tmp_path / "workspace.yaml").write_text(f"load_from: [python_module: {location}]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monthly = {"path": ["polygon", "minute_aggs_monthly"]}
    with (
        dg.DagsterInstance.get() as instance,
        create_test_daemon_workspace_context(
            WorkspaceFileTarget([str(tmp_path / "workspace.yaml")]), instance
        ) as there,
    ):
        for month in ("2016-08-01", partition_keys(partitions=months(SHIPPED))[-1]):
            params = {"assetSelection": [monthly], "partitionNames": [month], "fromFailure": False, "tags": []}
            answer = asyncio.run(
                create_schema().execute_async(
                    LAUNCH, variables={"params": params}, context_value=there.create_request_context()
                )
            )
            launched = answer.data["launchPartitionBackfill"]
            assert launched["__typename"] == "LaunchBackfillSuccess", launched
            errors = [error for error in execute_backfill_iteration(there, logging.getLogger(__name__)) if error]
            assert errors == []
            (run,) = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": launched["backfillId"]}))
            assert (run.tags[RANGE_START], run.tags[RANGE_END]) == (month, month)
