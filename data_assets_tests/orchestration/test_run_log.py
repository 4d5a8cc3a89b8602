"""What runs say lies in files by day, whoever runs them, and a log that cannot be written stops nothing."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository

from data_assets.cli.project import definitions
from data_assets.ingest.stop_request import StopRequest, stop_request
from data_assets.orchestration.log_lines import write_line
from data_assets.orchestration.run_liveness import end_without_a_process
from data_assets.sandbox.faults import Fault
from data_assets.trading_calendar import utc_now
from data_assets_tests.cli.called import Call, call
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.orchestration.in_process import (
    ASSET,
    QUIET,
    InProcess,
    flip_a_byte,
    in_process_project,
    of_days,
    open_project,
)
from data_assets_tests.small_disk import SmallDisk, mount

__all__ = ["call", "mount"]

QQQ = ASSET.to_user_string()
GOOD, BAD = "2024-07-01", "2024-07-02"
TO_RETRY = Fault(kind="status", status=472, day=GOOD, times=1)
TO_REJECT = Fault(kind="renamed_column", day=BAD, times=1)


def lines(folder: Path, errors: bool = False) -> list[dict[str, Any]]:
    files = (folder / ".state/logs" / ("errors" if errors else "")).glob("*.jsonl")
    return [json.loads(line) for file in sorted(files) for line in file.read_text().splitlines()]


def told(found: list[dict[str, Any]], day: str | None) -> list[tuple[str, str]]:
    """Level and beginning of each line of a day."""
    return [(line["level"], line["what"].split(",")[0].split(":")[0]) for line in found if line["day"] == day]


def launched(project: InProcess, name: str, **config: Any) -> bool:
    """Run a job as a process does that the daemon has started."""
    location = ReconstructableRepository.for_module("data_assets.definitions", "defs")
    job = location.get_reconstructable_job(name)
    return dg.execute_job(job, instance=project.instance, run_config={**config, **QUIET}).success


def test_every_run_is_logged_alike_by_day_and_dataset(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, faults=[TO_RETRY, TO_REJECT]) as project:
        assert call("backfill", QQQ, "--from", GOOD, "--to", BAD).code == 1
        found = lines(tmp_path)
        assert {each["dataset"] for each in found} == {QQQ}
        assert told(found, BAD) == [("ERROR", "Rejected")]
        assert ("INFO", "Stored") in told(found, GOOD)
        tried = next(each for each in found if each["day"] == GOOD)
        assert (tried["level"], "trying again in" in tried["what"]) == ("WARNING", True), "the engine's own words"
        (run,) = {each["run"] for each in found}
        assert [found[0]["what"], found[-1]["what"]] == ["run begins", "run ended: failure"]
        assert found[-2]["level"] == "INFO"
        assert found[-2]["what"].startswith("1 of 2 days did not store"), "the step's failure, without any prefix"
        (error,) = lines(tmp_path, errors=True)
        assert (error["day"], error["level"]) == (BAD, "ERROR"), "a day that has failed is one error"
        assert error in found

        assert project.materialize(of_days(BAD, BAD)).success
        flip_a_byte(project.file(BAD))
        assert call("verify", QQQ).code == 1
        again = [each for each in lines(tmp_path) if each["run"] != run]
        assert told(again, BAD)[0] == ("INFO", "Stored")
        assert ("ERROR", "Rejected") in told(again, BAD)
        assert ("WARNING", "check integrity") in told(again, BAD)
        assert [line["what"].split(":")[0] for line in lines(tmp_path, errors=True)[1:]] == ["Rejected"]
        assert any("0 of 1 day whole" in each["what"] for each in again if each["day"] is None)

        before = len(lines(tmp_path))
        july = {"config": {"datasets": [QQQ], "first_day": GOOD, "last_day": BAD}}
        assert launched(project, "retry_failed", ops={"days_to_retry": july})
        assert [each["what"] for each in lines(tmp_path)[before:]] == [
            "run of retry_failed begins",
            f"{QQQ}: 1 day asked for, {BAD}",
            "see the Backfills page for their progress",
            "run ended: success",
        ]
        assert not launched(project, "catch_up", ops={"days_to_catch_up": {"config": {"datasets": ["thetta"]}}})
        assert "no dataset matches 'thetta'" in lines(tmp_path, errors=True)[-1]["what"]


def test_a_run_that_was_told_to_stop_is_no_error(tmp_path: Path) -> None:
    with in_process_project(tmp_path, faults=[Fault(kind="status", status=472, day=GOOD, times=1)]) as project:
        stop = StopRequest()
        stop.make()
        asked = stop_request.set(stop)
        try:
            assert not project.materialize(of_days(GOOD, GOOD)).success
        finally:
            stop_request.reset(asked)
        assert lines(tmp_path, errors=True) == []
        told_to_stop = next(each for each in lines(tmp_path) if each["what"].startswith("told to stop"))
    assert (told_to_stop["level"], told_to_stop["dataset"]) == ("WARNING", QQQ)
    assert "DagsterExecution" not in str(lines(tmp_path))


def test_what_a_person_is_told_to_search_finds_a_line_once(tmp_path: Path) -> None:
    recipe = (SOURCES / "docs" / "operating.md").read_text().split("## Logs")[1].split("```")[1].strip().splitlines()
    with open_project(tmp_path):
        write_line(logging.ERROR, "lost", dataset=QQQ, day="2024-07-02")
        for command in recipe:
            found = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
            assert [json.loads(line)["what"] for line in found.splitlines()] == ["lost"], command


def test_a_run_that_broke_off_and_a_sensor_that_fails_are_errors(tmp_path: Path) -> None:
    with in_process_project(tmp_path) as project:
        job = definitions().resolve_implicit_global_asset_job_def().get_subset(asset_selection={ASSET})
        run = project.instance.create_run_for_job(job, asset_selection={ASSET}, tags=of_days(GOOD, GOOD))
        end_without_a_process(project.instance, run, "killed")
        (error,) = lines(tmp_path, errors=True)
        assert (error["dataset"], error["what"], error["run"]) == (QQQ, "broke off: killed", run.run_id)

        repository, name = definitions().get_repository_def(), "refresh_coverage_page"
        with (
            dg.build_sensor_context(repository_def=repository, sensor_name=name, cursor="{") as tick,
            pytest.raises(json.JSONDecodeError),
        ):
            repository.get_sensor_def(name).evaluate_tick(tick)
        assert f"sensor {name}: JSONDecodeError" in lines(tmp_path, errors=True)[-1]["what"]


@pytest.mark.parametrize("trouble", ["full", "no inodes", "read-only", "no folder"])
def test_a_log_that_cannot_be_written_stops_no_run(
    trouble: str, tmp_path: Path, mount: Callable[..., SmallDisk], call: Call
) -> None:
    logs = tmp_path / ".state" / "logs"
    with in_process_project(tmp_path) as project:
        if trouble == "no folder":
            logs.write_text("a file where the folder belongs")
        else:
            disk = mount(logs, "size=64k,nr_inodes=30")
            write_line(logging.INFO, "before")
            {"full": disk.fill, "no inodes": disk.take_inodes, "read-only": lambda: disk.remount("ro")}[trouble]()
        ended = call("backfill", QQQ, "--from", GOOD, "--to", GOOD)
        assert (ended.code, "Traceback" in ended.stderr) == (0, False)
        assert project.states([GOOD]) == {GOOD: "stored"}
        if trouble == "full":
            disk.empty()
            write_line(logging.INFO, "after")
            (file,) = logs.glob("*.jsonl")
            first, *_, last = file.read_text().splitlines()
            assert [json.loads(line)["what"] for line in (first, last)] == ["before", "after"]


def test_a_secret_is_hidden_and_files_have_their_size_and_age(tmp_path: Path) -> None:
    limits = {"DATA_ASSETS_LOG_BYTES": "1kB", "DATA_ASSETS_LOG_DAYS": "2"}
    logs = tmp_path / ".state" / "logs"
    with open_project(tmp_path, POLYGON_SECRET_ACCESS_KEY="s3cr3t/value", **limits):
        logs.mkdir()
        for name in ("2020-01-01.jsonl", "2020-01-01.errors.2.jsonl", "mine.jsonl"):
            (logs / name).write_text("{}\n")
        for number in range(30):
            write_line(logging.ERROR, f"{number} with s3cr3t/value\nand more", dataset="ib/bars_1m/AAPL")
    assert not list(logs.glob("2020*"))
    (logs / "mine.jsonl").unlink()
    files = sorted(logs.rglob(f"{utc_now().date().isoformat()[:4]}*"))
    assert len(files) > 4
    assert all(file.stat().st_size <= 1000 for file in files)
    assert not any("s3cr3t" in file.read_text() for file in files)
    assert sorted(int(each["what"].split()[0]) for each in lines(tmp_path)) == list(range(30))


def write_many(writer: int) -> None:
    for number in range(100):
        write_line(logging.INFO, f"{number} {'x' * 500}", dataset=f"writer/{writer}")


def test_several_processes_write_whole_lines(tmp_path: Path) -> None:
    with open_project(tmp_path, DATA_ASSETS_LOG_BYTES="20kB"):
        with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
            list(pool.map(write_many, range(3)))
        found = lines(tmp_path)
    assert len({(each["dataset"], each["what"]) for each in found}) == len(found) == 300
