"""A day that a person accepted as a permanent hole: done in the grid and in the command, until data comes after all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import click
import pytest
import sqlalchemy
from click.testing import CliRunner

from data_assets.cli import cli
from data_assets.cli.local_run import run_range
from data_assets.cli.project import datasets
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.day_states import states_on_disk
from data_assets.orchestration.holes import accept_hole, hole_reasons
from data_assets.orchestration.partitions import partition_keys
from data_assets.orchestration.verify_run import VERIFY
from data_assets.sandbox.faults import Fault
from data_assets.vendors.polygon.day import BARS_KEY, RAW_KEY
from data_assets.wiring import open_lake
from data_assets_tests.cli.called import Call, call
from data_assets_tests.end_to_end.project_folder import open_days
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project, of_day, why_not_stored
from data_assets_tests.vendors.polygon.flat_file_project import flat_file_project

__all__ = ["call"]

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
NAME = ASSET.to_user_string()
NO_DATA = Fault(kind="status", status=472, day=DAYS[1])
REASON = "the vendor's support says that this day is lost"


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[InProcess]:
    """A project whose second day the vendor does not have."""
    with in_process_project(tmp_path, faults=[NO_DATA]) as project:
        assert not run_range(project.instance, ASSET, DAYS[0], DAYS[-1]).success
        yield project


def command(*arguments: str) -> dict[str, object]:
    ended = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    return {"exit": ended.exit_code, "stdout": ended.stdout, "stderr": ended.stderr}


def states(project: InProcess) -> dict[str, str]:
    found = states_on_disk(project.instance, datasets()[NAME], DAYS, open_lake())
    return {day: state.value for day, state in found.items()}


def test_an_accepted_hole_is_done_and_says_why(failed: InProcess) -> None:
    assert states(failed)[DAYS[1]] == "failed"

    assert command("accept-hole", NAME, DAYS[1], "--reason", REASON)["exit"] == 0

    assert failed.states(DAYS)[DAYS[1]] == "stored", "green in the grid"
    assert states(failed) == {DAYS[0]: "stored", DAYS[1]: "hole", DAYS[2]: "stored"}
    record = latest_materialization(failed.instance, ASSET, DAYS[1])
    assert record is not None
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["rows"].value == 0
    assert REASON in (record.asset_materialization.description or "")
    gaps = command("gaps", NAME, "--from", DAYS[0], "--to", DAYS[-1], "--json")
    assert gaps["exit"] == 0
    assert open_days(json.loads(str(gaps["stdout"]))) == {NAME: {"missing": [], "failed": [], "lacking": {}}}
    status = command("status", NAME, "--from", DAYS[0], "--to", DAYS[-1], "--json")
    day = json.loads(str(status["stdout"]))[NAME]["days"][1]
    assert (day["state"], day["reason"], day["rows"]) == ("hole", REASON, 0)


def test_many_holes_take_as_many_queries_as_one(failed: InProcess) -> None:
    def queries(holes: Sequence[str]) -> int:
        counted: list[str] = []

        def executed(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            counted.append(statement)

        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", executed)
        try:
            found = hole_reasons(failed.instance, datasets()[NAME], holes)
        finally:
            sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", executed)
        assert list(found.items()) == [(day, f"lost: {day}") for day in holes]
        return len(counted)

    days = partition_keys(date(2024, 6, 3), date(2024, 6, 28))
    for day in days:
        for reason in ("first", f"lost: {day}"):
            accept_hole(failed.instance, datasets()[NAME], day, reason)

    assert queries(days) == queries(days[:1])


def test_verify_and_the_checks_of_a_hole_pass_and_say_what_it_is(failed: InProcess) -> None:
    command("accept-hole", NAME, DAYS[1], "--reason", REASON)

    assert run_range(failed.instance, ASSET, DAYS[0], DAYS[-1], tags={VERIFY: "true"}).success
    result = failed.execute_checks(["integrity", "quotes"], of_day(DAYS[1]))

    assert result.success
    evaluations = failed.evaluations(result.run_id)
    assert {each.check: each.passed for each in evaluations} == {"integrity": True, "quotes": True}
    assert all(REASON in (each.summary or "") for each in evaluations)


def test_data_that_comes_after_all_takes_the_holes_place(tmp_path: Path) -> None:
    with in_process_project(tmp_path) as project:
        command("accept-hole", NAME, DAYS[0], "--reason", REASON)
        assert states(project)[DAYS[0]] == "hole"

        assert run_range(project.instance, ASSET, DAYS[0], DAYS[0]).success

        assert states(project)[DAYS[0]] == "stored"


def test_a_failure_after_it_turns_the_day_red_again(failed: InProcess) -> None:
    command("accept-hole", NAME, DAYS[1], "--reason", REASON)

    assert not run_range(failed.instance, ASSET, DAYS[1], DAYS[1]).success

    assert states(failed)[DAYS[1]] == "failed"
    assert (why_not_stored(failed.instance, ASSET, DAYS[1]) or ("", ""))[0] == "Rejected"


@pytest.mark.parametrize(
    ("day", "reason", "said"),
    [
        (DAYS[0], REASON, "is stored, and not missing or failed; only such a day can be a hole"),
        (DAYS[1], "  ", "say with --reason why"),
        ("2024-07-04", REASON, "nearest sessions"),
    ],
)
def test_what_cannot_be_a_hole_is_refused_in_one_line(failed: InProcess, day: str, reason: str, said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        cli.main(["accept-hole", NAME, day, "--reason", reason], standalone_mode=False)
    assert states(failed)[DAYS[1]] == "failed"


def open_days_of(project: InProcess) -> dict[str, str]:
    return {day: state for day, state in states(project).items() if state != "stored"}


def test_a_range_takes_its_open_days_and_leaves_the_stored_ones(tmp_path: Path) -> None:
    with in_process_project(tmp_path) as project:
        assert run_range(project.instance, ASSET, DAYS[1], DAYS[1]).success

        accepted = command("accept-hole", NAME, DAYS[0], DAYS[2], "--reason", REASON)

        assert accepted["exit"] == 0
        assert f"2 days ({DAYS[0]}, {DAYS[2]}): accepted as a hole" in str(accepted["stderr"])
        assert open_days_of(project) == {DAYS[0]: "hole", DAYS[2]: "hole"}
        listed = command("accept-hole", "--list")
        assert listed["stdout"] == "".join(f"{NAME} {day}  {REASON}\n" for day in (DAYS[2], DAYS[0]))
        assert json.loads(str(command("accept-hole", NAME, "--list", "--json")["stdout"])) == {
            NAME: {DAYS[0]: REASON, DAYS[2]: REASON}
        }


def test_a_month_is_a_range(tmp_path: Path) -> None:
    with in_process_project(tmp_path) as project:
        assert command("accept-hole", NAME, "2024-07", "--reason", REASON)["exit"] == 0
        assert set(states(project).values()) == {"hole"}
        assert len(json.loads(str(command("accept-hole", NAME, "--list", "--json")["stdout"]))[NAME]) == 22


def test_a_hole_is_taken_back_and_the_next_backfill_fetches_the_day(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert command("accept-hole", NAME, DAYS[0], DAYS[1], "--reason", REASON)["exit"] == 0

        undone = command("accept-hole", NAME, DAYS[0], "--undo")

        assert undone["exit"] == 0
        assert f"{NAME} {DAYS[0]}: no longer a hole" in str(undone["stderr"])
        assert project.states(DAYS)[DAYS[0]] == "failed", "red in the grid, for there is no file"
        assert open_days_of(project) == {DAYS[0]: "missing", DAYS[1]: "hole", DAYS[2]: "missing"}, "it was never tried"
        july = ("--from", DAYS[0], "--to", DAYS[2])
        assert call("gaps", NAME, *july).stdout.startswith(f"{NAME}  0 of 3 sessions stored, 1 hole\n")
        assert open_days(call("gaps", NAME, *july, "--json").document)[NAME]["missing"] == [DAYS[0], DAYS[2]]
        assert call("list", NAME, "--failed").code == call("retry", NAME).code == 0
        verified = call("verify", NAME, "--json").document[NAME]
        assert (verified["ok"], verified["holes"], verified["bad"]) == ([], [DAYS[1]], {})
        told = call("repair", NAME)
        assert (told.code, "0 sessions whole" in told.stdout, "1 accepted as hole" in told.stdout) == (0, True, True)
        assert project.days_fetched() == [], "nothing was damaged"
        assert call("backfill", NAME, "--from", DAYS[0], "--to", DAYS[1]).code == 0
        assert open_days_of(project) == {DAYS[1]: "hole", DAYS[2]: "missing"}
        assert project.days_fetched() == [DAYS[0]]


def test_a_failed_day_that_is_no_hole_any_more_has_failed_as_before_until_it_is_tried_again(
    failed: InProcess, call: Call
) -> None:
    before = why_not_stored(failed.instance, ASSET, DAYS[1])
    command("accept-hole", NAME, DAYS[1], "--reason", REASON)

    command("accept-hole", NAME, DAYS[1], "--undo")

    assert states(failed)[DAYS[1]] == "failed"
    assert why_not_stored(failed.instance, ASSET, DAYS[1]) == before
    assert call("list", NAME, "--failed", "--json").document[NAME]["failed_days"][0]["outcome"] == "Rejected"
    asked = len(failed.days_fetched())
    assert call("repair", NAME).code == 0, "no file was ever there, so none is damaged"
    assert len(failed.days_fetched()) == asked
    assert call("retry", NAME).code == 1
    assert len(failed.days_fetched()) > asked


def test_holes_of_several_datasets_and_days_one_by_one(failed: InProcess, call: Call) -> None:
    """A day that one of the datasets has stored is a hole of the other one alone."""
    eod = "theta/option_eod/SPX"

    accepted = call("accept-hole", "*/QQQ", eod, f"{DAYS[1]},{DAYS[2]}", "--reason", REASON, "--json")

    assert not accepted.code, accepted.stderr
    assert accepted.document == {NAME: {DAYS[1]: REASON}, eod: {DAYS[1]: REASON, DAYS[2]: REASON}}
    assert call("accept-hole", "theta", DAYS[1], "--list", "--json").document == {
        eod: {DAYS[1]: REASON},
        NAME: {DAYS[1]: REASON},
    }
    undone = call("accept-hole", "theta", "--from", "2024-07", "--to", "2024-07", "--undo", "--json")
    assert undone.document == accepted.document
    assert call("accept-hole", "--all", "--failed", "--reason", REASON, "--json").document == {NAME: {DAYS[1]: REASON}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [NAME, DAYS[0], "--undo"],
            "is stored, and not accepted as a hole; those that are: data-assets accept-hole --list",
        ),
        ([NAME, DAYS[0], "--undo", "--reason", REASON], "contradict"),
        ([NAME, "--reason", REASON], r"name the days: data-assets accept-hole KEY DAY \[LAST\] --reason TEXT"),
        ([DAYS[0], "--reason", REASON], r"name datasets \(KEY...\), or say --all: data-assets accept-hole KEY DAY"),
        ([], r"name datasets \(KEY...\)"),
        ([NAME], "name the days: "),
        ([NAME, DAYS[1]], "say with --reason why no data will ever come"),
        ([NAME, DAYS[2], DAYS[0], "--reason", REASON], f"LAST {DAYS[0]} lies before DAY {DAYS[2]}; swap them"),
        ([NAME, *DAYS, "--reason", REASON], "several days are written with commas"),
        ([NAME, "2024-7-1", "--reason", REASON], "'2024-7-1' is not a date"),
        ([NAME, DAYS[1], "--days", "3", "--reason", REASON], f"{DAYS[1]} and --days contradict each other"),
        (
            [NAME, ",".join(DAYS), "--undo"],
            f"{NAME} {DAYS[0]} is stored, {DAYS[1]} is failed, {DAYS[2]} is stored, and not accepted as a hole",
        ),
        (
            [NAME, f"{DAYS[0]},{DAYS[1]}", "--reason", REASON],
            f"{NAME} {DAYS[0]} is stored, and not missing or failed",
        ),
        ([NAME, DAYS[0], DAYS[2], "--undo"], f"{NAME}: none of these days is accepted as a hole"),
        (["polygon/minute_aggs_monthly", "2024-07", "--reason", REASON], "has no holes of its own"),
        ([NAME, "2024-07-04", "--reason", REASON], "nearest sessions"),
        (["nothing/of/it", DAYS[0], "--reason", REASON], "there is no dataset"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(failed: InProcess, arguments: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        cli.main(["accept-hole", *arguments], standalone_mode=False)
    assert states(failed)[DAYS[1]] == "failed"


def test_without_a_hole_the_list_says_so(failed: InProcess) -> None:
    assert command("accept-hole", "--list") == {"exit": 0, "stdout": "no day is accepted as a hole\n", "stderr": ""}


def test_a_hole_of_the_vendors_files_is_one_and_can_be_taken_back(tmp_path: Path, call: Call) -> None:
    """Such a file may have left the cache, so that only the record tells whether its day has one."""
    july = ("--from", DAYS[0], "--to", DAYS[-1])
    with flat_file_project(tmp_path, DAYS) as project:
        assert call("backfill", BARS_KEY, "--from", DAYS[0], "--to", DAYS[0]).code == 0

        accepted = call("accept-hole", "polygon", DAYS[1], "--reason", "lost", "--json")

        assert accepted.document == {RAW_KEY: {DAYS[1]: "lost"}, BARS_KEY: {DAYS[1]: "lost"}}
        for hole in (DAYS[1], None):
            shown = call("status", RAW_KEY, *july, "--json").document[RAW_KEY]["days"]
            assert [row["state"] for row in shown] == ["stored", "hole" if hole else "missing", "missing"]
            if hole:
                assert call("accept-hole", "--list", "--json").document == accepted.document
                assert call("accept-hole", "polygon", hole, "--undo", "--json").document == accepted.document
        assert project.days_read() == [DAYS[0]]
