"""Every fault of a flat file or of the bucket, through the whole chain to what a person sees of the day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from data_assets.cli.local_run import run_range
from data_assets.cli.project import find_dataset
from data_assets.orchestration.day_states import day_health
from data_assets.orchestration.partitions import partition_keys
from data_assets.vendors.polygon.day import why_not_listed
from data_assets.wiring import open_lake
from data_assets_tests.vendors.polygon.flat_file_project import flat_file_project

DAYS = partition_keys(date(2024, 7, 1))[:23]

NOT_STORED: dict[str, tuple[str, str]] = {
    # the oldest: that the plan does not reach a day is true of all older ones
    "forbidden": (
        "NotEntitled",
        "the flat file of 2024-07-01 is refused, though it is listed (403 AccessDenied); known causes: the plan",
    ),
    "missing_file": ("NoData", "the vendor lists no file for 2024-07-02"),
    "truncated_gzip": ("Rejected", "the gzip file is cut short, twice in the same way"),
    "wrong_crc": ("Rejected", "incorrect data check), twice in the same way"),
    "wrong_date": ("Rejected", "rows are of 2024-07-09 in New York, and the file is that of 2024-07-08"),
    "conflicting_rows": ("Rejected", "minutes have rows of a ticker that differ, such as "),
    "renamed_volume": ("Rejected", "the header lacks volume"),
    "missing_transactions": ("Rejected", "the header lacks transactions"),
    "cut_body": ("Failed", "the response broke off"),
    "night_session": ("Rejected", "if the vendor dates them so now, set dated_by: trade_date in its defs.yaml"),
    "no_last_line_end": ("Rejected", "has all 8 fields, and whether its last number is whole cannot be told"),
    "file_status": ("Failed", "is refused with an unknown response (409 OperationAborted: The sandbox was told to"),
}
RECOVERED = ("damaged_body", "reset_body", "slow_down", "replaced_file")
HARMLESS = ("duplicate_rows", "split_blocks", "byte_order_mark", "blank_last_line", "odd_counts", "zero_padding")
FAULT_OF = dict(zip((*NOT_STORED, *RECOVERED, *HARMLESS), DAYS, strict=False))
GOOD = DAYS[-1]


def faults() -> Iterator[dict[str, Any]]:
    yield {"kind": "listing_slow_down", "times": 1}
    for kind, day in FAULT_OF.items():
        status = {"status": 409, "code": "OperationAborted"} if kind == "file_status" else {}
        yield {"kind": kind, "day": day, "times": 1 if kind in RECOVERED else None, **status}


def test_each_fault_ends_as_it_should_and_says_why_where_the_user_looks(tmp_path: Path) -> None:
    with flat_file_project(tmp_path, DAYS, *faults()) as project:
        result = run_range(project.instance, project.bars.asset, DAYS[0], DAYS[-1])

        lost = [FAULT_OF[kind] for kind in NOT_STORED]
        stored = [day for day in DAYS if day not in lost]
        assert project.bars.states(DAYS) == {**dict.fromkeys(lost, "failed"), **dict.fromkeys(stored, "stored")}
        assert [day for day in DAYS if project.bars.file(day).exists()] == stored
        (failed,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
        table = re.sub(" +", " ", str(failed.user_failure_data.metadata["not_stored"].value))  # its columns are aligned
        shown = {
            row.day: row for row in day_health(project.instance, find_dataset("polygon/minute_aggs"), DAYS, open_lake())
        }
        for kind, (outcome, reason) in NOT_STORED.items():
            day = FAULT_OF[kind]
            assert project.why(day)[0] == outcome, kind
            assert reason in project.why(day)[1], kind
            assert (shown[day].outcome, shown[day].reason) == project.why(day)
            assert f"| {day} | {outcome} | {project.why(day)[1]} |" in table
        assert FAULT_OF["truncated_gzip"] in project.days_read()

        for kind in RECOVERED:
            day = FAULT_OF[kind]
            assert len([read for read in project.days_read() if read == day]) == 2, kind
            assert project.metadata(project.raw, day)["sha256"]
        assert project.metadata(project.bars, FAULT_OF["damaged_body"])["attempts"] == 2
        assert project.metadata(project.bars, FAULT_OF["duplicate_rows"])["identical_duplicates"] > 0
        assert project.metadata(project.bars, GOOD)["identical_duplicates"] == 0
        for day in stored:
            assert set(shown[day].checks.values()) == {"SUCCEEDED"}, day
        assert failed.user_failure_data.description.startswith(f"polygon/minute_aggs: {len(lost)} of {len(DAYS)} days")


def test_the_newest_day_is_not_published_until_its_hour_and_has_no_data_after_it(tmp_path: Path) -> None:
    older, newest = partition_keys()[-2:]
    with flat_file_project(tmp_path, [older, newest], {"kind": "late_file", "day": newest, "hours": 10_000}) as project:
        before = why_not_listed(date.fromisoformat(newest), datetime.now(UTC))
        assert not run_range(project.instance, project.bars.asset, newest, newest).success
        after = why_not_listed(date.fromisoformat(newest), datetime.now(UTC))

        assert project.why(newest) in [(each.name, each.reason) for each in (before, after)]
        assert project.bars.states([newest]) == {newest: "failed"}


SUSPECT: dict[str, tuple[str, str, str]] = {
    "hole": ("bar_count", "WARN", "outage, or a halt of the market: most tickers lack 11:00-11:04"),
    "stops_at_noon": ("bar_count", "ERROR", "the file ends at 11:59, before the close at 16:00"),
    "absent_ticker": ("coverage", "WARN", "1 absent (SPY)"),
}


@pytest.mark.parametrize("tickers", ["a list", "all"])
def test_whole_files_that_lack_something_are_stored_and_their_checks_say_what(tmp_path: Path, tickers: str) -> None:
    days = dict(zip(SUSPECT, DAYS, strict=False))
    chosen = {"POLYGON_TICKERS": "all"} if tickers == "all" else {}
    struck = ({"kind": kind, "day": day} for kind, day in days.items())
    with flat_file_project(tmp_path, DAYS[:9], *struck, **chosen) as project:
        result = run_range(project.instance, project.bars.asset, DAYS[0], DAYS[8])

        assert result.success
        found = {(each.check, each.day): each for each in project.bars.evaluations(result.run_id)}
        failed = {place for place, each in found.items() if not each.passed}
        for kind, (check, severity, said) in SUSPECT.items():
            each = found[check, days[kind]]
            assert (each.passed, each.severity) == (False, severity), kind
            assert said in (each.summary or ""), kind
        assert {day for _, day in failed} == set(days.values())
        absent = {check for check, day in failed if day == days["absent_ticker"]}
        assert absent == {"coverage"}


def test_a_file_replaced_between_the_listing_and_the_reading_is_stored_in_its_new_version(
    tmp_path: Path,
) -> None:
    day = DAYS[0]
    with flat_file_project(tmp_path, [day], {"kind": "replaced_file", "day": day, "times": 1}) as project:
        assert run_range(project.instance, project.bars.asset, day, day).success

        statuses = [request.status for request in project.bucket.requests if request.key]
        assert statuses == [412, 200]
        assert project.metadata(project.bars, day)["attempts"] == 1
        assert project.bars.times_materialized() == {day: 1}


def test_a_run_that_a_refused_listing_ends_says_so_for_every_day(tmp_path: Path) -> None:
    with flat_file_project(tmp_path, DAYS[:2], POLYGON_SECRET_ACCESS_KEY="another") as project:
        result = run_range(project.instance, project.bars.asset, DAYS[0], DAYS[1])

        assert not result.success
        for day in DAYS[:2]:
            outcome, reason = project.why(day)
            assert outcome == "Failed"
            assert "set POLYGON_ACCESS_KEY_ID and POLYGON_SECRET_ACCESS_KEY" in reason


def test_a_refusal_that_nobody_knows_ends_the_run_when_it_comes_day_after_day(tmp_path: Path) -> None:
    refused = {"kind": "file_status", "status": 451, "code": "UnavailableForLegalReasons"}
    with flat_file_project(tmp_path, DAYS, refused) as project:
        assert not run_range(project.instance, project.bars.asset, DAYS[0], DAYS[-1]).success

        assert len(project.days_read()) < len(DAYS)
        outcome, reason = project.why(DAYS[0])
        assert outcome == "Failed"
        assert "3 days in a row failed for the same cause" in reason
        assert "451 UnavailableForLegalReasons" in reason
