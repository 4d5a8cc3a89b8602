"""Checks in Dagster's event log: recorded per day, on the right materialization, once, however they came to run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from data_assets.cli.local_run import run_range
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import (
    ASSET,
    CHECKS,
    InProcess,
    flip_a_byte,
    in_process_project,
    of_day,
    of_days,
)
from data_assets_tests.orchestration.three_days import DAYS

LATER = "2024-07-05"
FAILING = "2024-07-02"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        yield project


def once_per(checks: list[str] | tuple[str, ...], days: list[str]) -> Counter[tuple[str, str]]:
    return Counter((check, day) for check in checks for day in days)


def judged(project: InProcess, run_id: str) -> Counter[tuple[str, str | None]]:
    return Counter((each.check, each.day) for each in project.evaluations(run_id))


def newest_storage_ids(project: InProcess) -> dict[str | None, int]:
    return {record.partition_key: record.storage_id for record in project.materializations()}


@pytest.mark.parametrize("launched_by", ["the command", "a backfill"])
def test_a_range_run_records_each_check_of_each_day_once_on_the_file_it_stored(
    project: InProcess, launched_by: str
) -> None:
    if launched_by == "the command":
        run = run_range(project.instance, ASSET, DAYS[0], DAYS[-1])
    else:
        run = project.materialize(of_days(DAYS[0], DAYS[-1])).dagster_run

    assert project.instance.get_run_by_id(run.run_id).is_success
    assert judged(project, run.run_id) == once_per(CHECKS, DAYS)
    stored = newest_storage_ids(project)
    for each in project.evaluations(run.run_id):
        assert each.passed, each
        assert each.judged == stored[each.day]
    for name in CHECKS:
        assert project.check_states(name) == dict.fromkeys(DAYS, "SUCCEEDED")


def test_a_run_of_one_day_records_each_check_once(project: InProcess) -> None:
    result = project.materialize(of_day(DAYS[0]))

    assert result.success
    assert judged(project, result.run_id) == once_per(CHECKS, DAYS[:1])
    for name in CHECKS:
        assert project.check_states(name) == {DAYS[0]: "SUCCEEDED"}


def test_a_day_that_did_not_store_has_no_check_that_passed(tmp_path: Path) -> None:
    with in_process_project(
        tmp_path, faults=[Fault(kind="renamed_column", day=date.fromisoformat(FAILING))]
    ) as project:
        result = project.materialize(of_days(DAYS[0], DAYS[-1]))

        assert not result.success
        good = [day for day in DAYS if day != FAILING]
        assert judged(project, result.run_id) == once_per(CHECKS, good)
        for name in CHECKS:
            states = project.check_states(name)
            assert {day: states[day] for day in good} == dict.fromkeys(good, "SUCCEEDED")
            assert states[FAILING] != "SUCCEEDED"


def test_checks_alone_find_the_damage_of_a_day_and_of_a_damaged_file_claim_nothing_else(stored: InProcess) -> None:
    flip_a_byte(stored.file(DAYS[1]))

    result = stored.execute_checks(["grid", "integrity"], of_day(DAYS[1]))

    assert result.success, "a check that does not pass is a result, not an error"
    assert judged(stored, result.run_id) == once_per(["grid", "integrity"], [DAYS[1]])
    for each in stored.evaluations(result.run_id):
        assert (each.passed, each.severity) == (False, "ERROR")
        assert each.judged == newest_storage_ids(stored)[DAYS[1]]
        assert ("sha256" if each.check == "integrity" else "not judged: the file is damaged") in (each.summary or "")
    for name in ("grid", "integrity"):
        assert stored.check_states(name) == {DAYS[0]: "SUCCEEDED", DAYS[1]: "FAILED", DAYS[2]: "SUCCEEDED"}
    assert stored.check_states("quotes") == dict.fromkeys(DAYS, "SUCCEEDED"), "not selected, not judged"
    assert stored.states(DAYS) == dict.fromkeys(DAYS, "stored"), "the grid is the materializations'"


def test_checks_alone_judge_a_range_day_by_day_and_a_missing_day_does_not_pass(stored: InProcess) -> None:
    result = stored.execute_checks(["grid", "quotes"], of_days(DAYS[0], LATER))

    assert result.success
    assert judged(stored, result.run_id) == once_per(["grid", "quotes"], [*DAYS, LATER])
    for each in stored.evaluations(result.run_id):
        if each.day == LATER:
            assert (each.passed, each.severity, each.judged) == (False, "WARN", None)
            assert each.summary == "nothing is stored for this day"
        else:
            assert each.judged == newest_storage_ids(stored)[each.day]
    for name in ("grid", "quotes"):
        assert stored.check_states(name) == {**dict.fromkeys(DAYS, "SUCCEEDED"), LATER: "FAILED"}
    assert stored.states([LATER]) == {LATER: "missing"}, "a check closes no gap and opens none"
    assert stored.theta.requests == [], "checks fetch nothing"


def test_a_missing_days_check_passes_once_the_day_is_stored(project: InProcess) -> None:
    project.execute_checks(["grid"], of_day(LATER))
    assert project.check_states("grid") == {LATER: "FAILED"}

    run_range(project.instance, ASSET, LATER, LATER)

    assert project.check_states("grid") == {LATER: "SUCCEEDED"}


def test_checks_alone_without_a_day_judge_the_newest_stored_day(stored: InProcess) -> None:
    result = stored.execute_checks(["integrity", "timestamps"], {})

    assert result.success
    assert judged(stored, result.run_id) == Counter(
        (check, day) for check in ("integrity", "timestamps") for day in (DAYS[-1], None)
    )
    assert {each.judged for each in stored.evaluations(result.run_id)} == {newest_storage_ids(stored)[DAYS[-1]]}
    assert stored.check_states("integrity") == {**dict.fromkeys(DAYS, "SUCCEEDED"), None: "SUCCEEDED"}


def test_checks_alone_say_that_there_is_nothing_to_judge_before_any_day_is_stored(project: InProcess) -> None:
    result = project.execute_checks(["grid"], {})

    assert result.success
    assert project.evaluations(result.run_id) == []
    assert "no day is stored yet" in project.messages(result.run_id)


def test_a_page_that_was_broken_before_it_was_digested_is_found_by_the_checks(stored: InProcess) -> None:
    """As by memory at fault between the encoder and the digest: the record is that of the damaged bytes."""
    flip_a_byte(stored.file(DAYS[0]))
    record = latest_materialization(stored.instance, ASSET, DAYS[0])
    assert record is not None
    said = record.asset_materialization
    assert said is not None
    damaged = hashlib.sha256(stored.file(DAYS[0]).read_bytes()).hexdigest()
    stored.instance.report_runless_asset_event(
        said._replace(metadata={**said.metadata, "sha256": dg.MetadataValue.text(damaged)})
    )

    result = stored.execute_checks(list(CHECKS), of_day(DAYS[0]))

    found = {each.check: each for each in stored.evaluations(result.run_id)}
    assert {name: each.passed for name, each in found.items()} == dict.fromkeys(CHECKS, False)
    assert "damaged" in (found["integrity"].summary or "")
