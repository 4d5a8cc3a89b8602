"""Runs in verify mode: stored days are read again, nothing is fetched, and damage turns a day red."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date

import pytest

from data_assets.cli.local_run import run_range
from data_assets.cli.project import datasets
from data_assets.lake.lake import Lake
from data_assets.orchestration.integrity import day_verdicts
from data_assets.orchestration.verify_run import VERIFY
from data_assets.quality.verdict import Verdict
from data_assets.wiring import open_lake
from data_assets_tests.orchestration.in_process import (
    ASSET,
    InProcess,
    flip_a_byte,
    of_day,
    of_days,
    why_not_stored,
)
from data_assets_tests.orchestration.three_days import DAYS

LATER = "2024-07-05"
ON = {VERIFY: "true"}


@pytest.mark.parametrize("launched_by", ["the command", "a backfill"])
def test_a_damaged_day_turns_red_and_the_good_days_of_its_range_stay_green(stored: InProcess, launched_by: str) -> None:
    flip_a_byte(stored.file(DAYS[1]))
    before = {record.partition_key: record.asset_materialization for record in stored.materializations()}

    if launched_by == "the command":
        result = run_range(stored.instance, ASSET, DAYS[0], DAYS[-1], tags=ON)
    else:
        result = stored.materialize({**of_days(DAYS[0], DAYS[-1]), **ON})

    assert not result.success
    assert stored.states(DAYS) == {DAYS[0]: "stored", DAYS[1]: "failed", DAYS[2]: "stored"}
    outcome, reason = why_not_stored(stored.instance, ASSET, DAYS[1]) or ("", "")
    assert outcome == "Rejected"
    assert "sha256" in reason
    assert "backfill" in reason
    assert stored.theta.requests == []
    newest = {record.partition_key: record.asset_materialization for record in stored.materializations()}
    for day in (DAYS[0], DAYS[2]):
        assert newest[day] is not None
        assert newest[day].metadata == (before[day] and before[day].metadata), "recorded as it was"


def test_whole_days_pass(stored: InProcess) -> None:
    result = run_range(stored.instance, ASSET, DAYS[0], DAYS[-1], tags=ON)

    assert result.success
    assert stored.states(DAYS) == dict.fromkeys(DAYS, "stored")
    assert stored.theta.requests == []


def test_a_day_whose_file_is_gone_or_was_never_stored_turns_red(stored: InProcess) -> None:
    stored.file(DAYS[2]).unlink()

    result = stored.materialize({**of_days(DAYS[2], LATER), **ON})

    assert not result.success
    assert stored.states([*DAYS, LATER]) == {
        DAYS[0]: "stored",
        DAYS[1]: "stored",
        DAYS[2]: "failed",
        LATER: "failed",
    }
    assert "missing" in (why_not_stored(stored.instance, ASSET, DAYS[2]) or ("", ""))[1]
    assert "nothing was ever stored" in (why_not_stored(stored.instance, ASSET, LATER) or ("", ""))[1]
    assert stored.theta.requests == []


def test_the_next_ordinary_run_of_a_damaged_day_fetches_it_again(stored: InProcess) -> None:
    flip_a_byte(stored.file(DAYS[1]))
    assert not stored.materialize({**of_day(DAYS[1]), **ON}).success

    assert stored.materialize(of_day(DAYS[1])).success

    assert stored.states(DAYS) == dict.fromkeys(DAYS, "stored")
    assert stored.days_fetched() == [DAYS[1]]
    assert run_range(stored.instance, ASSET, DAYS[0], DAYS[-1], tags=ON).success
    assert stored.times_materialized() == Counter({DAYS[0]: 2, DAYS[1]: 3, DAYS[2]: 2})


def test_a_rule_that_breaks_off_fails_its_checks_and_not_the_day(stored: InProcess) -> None:
    def breaks(lake: Lake, day: date) -> list[Verdict]:
        raise ZeroDivisionError("no rows of this root")

    dataset = replace(datasets()[ASSET.to_user_string()], evaluate=breaks)

    verdicts = {each.name: each for each in day_verdicts(stored.instance, dataset, open_lake(), DAYS[0])}

    assert set(verdicts) == set(dataset.checks)
    assert verdicts["integrity"].passed
    assert all(not each.passed for name, each in verdicts.items() if name != "integrity")
    assert "ZeroDivisionError: no rows of this root" in verdicts["grid"].summary
