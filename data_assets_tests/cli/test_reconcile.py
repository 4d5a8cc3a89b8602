"""A lost or older run history, and a lake from elsewhere: what lies there is recorded again, and nothing is fetched."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.sandbox.faults import Fault
from data_assets.vendors.polygon.day import BARS_KEY, RAW_KEY
from data_assets.vendors.polygon.months import MONTHLY
from data_assets_tests.cli.called import Call
from data_assets_tests.orchestration.in_process import ASSET, CHECKS, InProcess, flip_a_byte, in_process_project
from data_assets_tests.vendors.polygon.flat_file_project import LIQUID, FlatFileProject, bucket_of, project_of

QQQ = ASSET.to_user_string()
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
JULY = ("--from", DAYS[0], "--to", DAYS[-1])


def lose_the_history(folder: Path) -> None:
    shutil.rmtree(folder / ".state")


def recorded(project: InProcess, day: str) -> dict[str, object]:
    record = latest_materialization(project.instance, ASSET, day)
    assert record is not None
    assert record.asset_materialization is not None
    return {name: record.asset_materialization.metadata[name].value for name in ("rows", "size", "sha256", "path")}


def test_a_lost_history_is_written_again_from_the_files_and_nothing_is_fetched(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, *JULY).code == 0
        before = {day: recorded(project, day) for day in DAYS}
    lose_the_history(tmp_path)
    with in_process_project(tmp_path) as project:
        assert call("gaps", QQQ, *JULY, "--json").document[QQQ]["unrecorded"] == DAYS
        assert call("gaps", QQQ, *JULY, "--failed").stdout == "no day has failed\n"
        again = [
            call(*verb, QQQ, *JULY)
            for verb in (("verify",), ("gaps",), ("list",), ("plan",), ("backfill", "--dry-run"))
        ]
        assert len({tuple(each.printed("record them from their files: ")) for each in again}) == 1
        named = again[0]
        assert named.code == 1

        reconciled = call(*named.printed("record them from their files: "), "--json")

        assert reconciled.code == 0, reconciled.stderr
        assert reconciled.document[QQQ]["recorded"] == DAYS
        assert {day: recorded(project, day) for day in DAYS} == before
        for check in CHECKS:
            assert project.check_states(check) == dict.fromkeys(DAYS, "SUCCEEDED")
        assert call("verify", QQQ).code == call("gaps", QQQ, *JULY).code == 0
        assert call("backfill", QQQ, *JULY).code == 0
        assert project.theta.requests == []
        again = call("reconcile", QQQ)
        assert (again.code, again.stderr) == (0, "0 days recorded from their files, 0 red\n")


@pytest.mark.parametrize("content", [b"", bytes(5000)], ids=["cut short", "overwritten"])
@pytest.mark.parametrize("name", ["runs.db", "runs/index.db"])
def test_a_damaged_history_is_told_in_a_line_whose_advice_helps(
    tmp_path: Path, call: Call, name: str, content: bytes
) -> None:
    with in_process_project(tmp_path):
        assert call("backfill", QQQ, *JULY).code == 0
    history = tmp_path / ".state" / "storage"
    database = history / "history" / name
    database.write_bytes(content or database.read_bytes()[:5000])
    with pytest.MonkeyPatch.context() as patch:  # no instance can be opened here
        patch.chdir(tmp_path)
        patch.setenv("DAGSTER_HOME", str(tmp_path))
        patch.setenv("DATA_ASSETS_PROFILE", "live")
        for command in (("status", QQQ), ("verify", QQQ), ("reconcile",), ("backfill", QQQ, *JULY)):
            told = call(*command)
            assert (told.code, told.stderr.count("\n")) == (1, 1), told.stderr
            assert f"move {history} away" in told.stderr
    history.rename(tmp_path / "aside")
    with in_process_project(tmp_path) as project:
        assert call(*told.printed("as they were: ")).code == 0
        assert project.states(DAYS) == dict.fromkeys(DAYS, "stored")


def test_what_is_damaged_turns_red_and_the_printed_command_mends_it(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, *JULY).code == 0
    lose_the_history(tmp_path)
    flip_a_byte(project.file(DAYS[1]))
    with in_process_project(tmp_path) as project:
        reconciled = call("reconcile", QQQ)

        assert reconciled.code == 1
        assert "2 days recorded from their files, 1 red" in reconciled.stderr
        assert project.states(DAYS) == {DAYS[0]: "stored", DAYS[1]: "failed", DAYS[2]: "stored"}
        assert call(*reconciled.printed("fetch it again: ")).code == 0
        assert project.days_fetched() == [DAYS[1]]


def test_a_damaged_file_without_a_record_is_told_apart_and_repaired(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, *JULY).code == 0
    lose_the_history(tmp_path)
    flip_a_byte(project.file(DAYS[1]))
    whole = [DAYS[0], DAYS[2]]
    with in_process_project(tmp_path) as project:
        verified = call("verify", QQQ, "--json")
        found = verified.document[QQQ]
        assert (verified.code, list(found["bad"]), found["unrecorded"]) == (1, [DAYS[1]], whole)
        assert project.states([DAYS[1]]) == {DAYS[1]: "failed"}
        assert call("status", QQQ, "--json").document[QQQ]["unrecorded"] == len(whole)

        reconciled = call("reconcile", QQQ, "--json")

        assert (reconciled.code, reconciled.document[QQQ]["recorded"]) == (1, whole)
        assert call("status", QQQ, "--json").document[QQQ]["unrecorded"] == 0, "nothing that reconcile could mend"
        assert project.theta.requests == []
        repaired = call("repair", QQQ, "--json")
        assert (repaired.code, list(repaired.document[QQQ]["bad"])) == (0, [DAYS[1]])
        assert project.days_fetched() == [DAYS[1]]
        assert call("verify", QQQ).code == 0


def test_a_record_without_a_file_turns_red_and_one_of_an_older_file_is_brought_up_to_date(
    tmp_path: Path, call: Call
) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, *JULY).code == 0
        kept = shutil.copytree(tmp_path / ".state", tmp_path / "backup")
    with in_process_project(tmp_path, faults=[Fault(kind="price_spike", day=date.fromisoformat(DAYS[0]))]) as project:
        assert call("backfill", QQQ, "--from", DAYS[0], "--to", DAYS[0], "--only", "all").code == 0
        newest = recorded(project, DAYS[0])
    lose_the_history(tmp_path)
    shutil.copytree(kept, tmp_path / ".state")
    project.file(DAYS[2]).unlink()
    with in_process_project(tmp_path) as project:
        assert recorded(project, DAYS[0]) != newest

        reconciled = call("reconcile", "--json")

        assert reconciled.code == 1
        found = reconciled.document[QQQ]
        assert (found["recorded"], found["without_file"]) == ([DAYS[0]], [DAYS[2]])
        assert recorded(project, DAYS[0]) == newest
        assert project.states(DAYS) == {DAYS[0]: "stored", DAYS[1]: "stored", DAYS[2]: "failed"}
        assert project.theta.requests == []
        assert call(*reconciled.printed("fetch them again: ")).code == 0
        assert project.days_fetched() == [DAYS[2]], "and no day that was never asked for"


def test_repair_fetches_exactly_what_is_damaged_or_gone(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, *JULY).code == 0
        before = len(project.theta.requests)
        flip_a_byte(project.file(DAYS[0]))
        project.file(DAYS[2]).unlink()

        repaired = call("repair", QQQ, "--json")

        assert repaired.code == 0, repaired.stderr
        found = repaired.document[QQQ]
        assert list(found["bad"]) == [DAYS[0], DAYS[2]]
        assert found["filled"]["stored"] == [DAYS[0], DAYS[2]]
        assert set(project.days_fetched()) == set(DAYS)
        fetched = [
            date.fromisoformat(request.params["date"]).isoformat()
            for request in project.theta.requests[before:]
            if request.path == "/v3/option/history/quote"
        ]
        assert sorted(fetched) == [DAYS[0], DAYS[2]]
        assert call("verify", QQQ).code == 0
        whole = call("repair", QQQ, "--json")
        assert (whole.code, whole.document[QQQ]["filled"]) == (0, None)


def test_repair_without_a_key_is_about_all_datasets_as_verify_is(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path):
        verified, repaired = call("verify", "--json"), call("repair", "--json")
    assert (verified.code, repaired.code) == (0, 0)
    assert QQQ in repaired.document
    assert set(repaired.document) == set(verified.document)


@pytest.fixture(scope="module")
def listed_days() -> list[str]:
    return ["2024-01-29", "2024-01-30", "2024-01-31"]


def test_flat_files_days_and_months_are_recorded_again_without_a_file_of_the_vendor(
    tmp_path: Path, call: Call, listed_days: list[str]
) -> None:
    days = listed_days
    span = ("--from", days[0], "--to", days[-1])

    def standing(project: FlatFileProject) -> dict[str, object]:
        return {
            **{f"{key} {day}": project.metadata(asset, day)["sha256"] for key, asset in of(project) for day in days},
            MONTHLY: project.metadata(project.months, "2024-01-01")["sha256"],
        }

    def of(project: FlatFileProject) -> list[tuple[str, object]]:
        return [(RAW_KEY, project.raw), (BARS_KEY, project.bars)]

    with bucket_of(days) as bucket:
        with project_of(tmp_path, bucket, POLYGON_TICKERS=",".join(LIQUID)) as project:
            assert call("backfill", BARS_KEY, MONTHLY, *span).code == 0
            before = standing(project)
        lose_the_history(tmp_path)
        shutil.rmtree(project.raw_file(days[0]).parents[2])  # the cache is no part of the lake
        asked = len(bucket.requests)
        with project_of(tmp_path, bucket, POLYGON_TICKERS=",".join(LIQUID)) as project:
            reconciled = call("reconcile", "polygon", "--json")

            assert reconciled.code == 0, reconciled.stderr
            assert standing(project) == before
            assert call("backfill", "polygon", *span).code == 0, "and there is nothing to download"
            assert project.metadata(project.bars, days[0])["etag"], "by which a file that was replaced is known"
            assert bucket.requests[asked:] == []

            project.instance.wipe_assets([project.raw.asset])  # as after an upgrade that names it otherwise
            assert call("reconcile", RAW_KEY).code == 0
            assert standing(project) == before, "the bars' files tell of it"
            assert bucket.requests[asked:] == []
