"""A file that took the place of a recorded one, and the run that was killed before it recorded that, or is at it now.

Every kind of dataset: a day of option quotes, Polygon's raw file and its day, a ticker's months.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from click.testing import CliRunner

from data_assets.cli.commands import verify as verify_command
from data_assets.cli.local_run import run_range
from data_assets.cli.project import find_dataset
from data_assets.cli.verify import Verified, verify_dataset
from data_assets.ingest.outcome import WRITTEN_AT, Outcome
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.day_run import DayRecorder
from data_assets.orchestration.day_states import DayState, day_states, states_on_disk
from data_assets.orchestration.holes import accept_hole
from data_assets.vendors.polygon.day import BARS_KEY, RAW_KEY
from data_assets.vendors.polygon.months import MONTHLY
from data_assets.wiring import open_lake
from data_assets_tests.orchestration.in_process import ASSET, InProcess, flip_a_byte
from data_assets_tests.orchestration.three_days import DAYS
from data_assets_tests.vendors.polygon.flat_file_project import FlatFileProject, flat_file_project

QUOTES = ASSET.to_user_string()
DAY = DAYS[1]
MONTH = "2024-07-01"

KILLED = """
import os, signal, sys
from data_assets.orchestration.day_run import DayRecorder

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

DayRecorder._record = die  # what is to be recorded has its name

from data_assets.cli import main
sys.argv[0] = "data-assets"
main()
"""


def killed_before_it_records(name: str, *options: str) -> None:
    """Run a backfill of the project around, by the real command in a process of its own."""
    program = [sys.executable, "-c", KILLED, "backfill", name, "--only", "all", *options]
    ended = subprocess.run(program, capture_output=True, check=False, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def verify(name: str) -> tuple[int, Any, str]:
    """What the command says of a dataset: its exit code, its document, and what people read."""
    ended = CliRunner().invoke(verify_command, [name, "--json"])
    return ended.exit_code, json.loads(ended.stdout)[name], ended.stderr


def recorded(instance: dg.DagsterInstance, name: str, day: str) -> dict[str, Any]:
    record = latest_materialization(instance, find_dataset(name).asset_key, day)
    assert record is not None
    assert record.asset_materialization is not None
    return {key: value.value for key, value in record.asset_materialization.metadata.items()}


def state(instance: dg.DagsterInstance, name: str, day: str) -> DayState:
    dataset = find_dataset(name)
    return day_states(instance, dataset.asset_key, [day], dataset.partitions)[day]


def whole_and_recorded_anew(instance: dg.DagsterInstance, name: str, day: str) -> dict[str, Any]:
    """`verify` of a dataset with one day that was replaced and not recorded; returns what it records."""
    before, label = recorded(instance, name, day), find_dataset(name).label(day)
    code, document, said = verify(name)
    assert (code, document["bad"], document["unrecorded"]) == (0, {}, []), said
    assert label in document["ok"]
    assert f"newer than recorded: {label}" in said
    assert state(instance, name, day) is DayState.STORED
    now = recorded(instance, name, day)
    assert now["sha256"] != before["sha256"]
    assert now[WRITTEN_AT] > before[WRITTEN_AT]
    assert now["lake"] == before["lake"]
    stored = sorted(instance.get_materialized_partitions(find_dataset(name).asset_key))
    assert verify_dataset(instance, open_lake(), find_dataset(name), stored) == Verified(stored)
    return now


def test_a_day_whose_rerun_was_killed_before_it_was_recorded_is_whole_or_damaged(stored: InProcess) -> None:
    before = recorded(stored.instance, QUOTES, DAY)
    killed_before_it_records(QUOTES, "--from", DAY, "--to", DAY)
    assert recorded(stored.instance, QUOTES, DAY) == before
    asked, content = len(stored.theta.requests), stored.file(DAY).read_bytes()

    flip_a_byte(stored.file(DAY))
    code, document, _ = verify(QUOTES)
    assert (code, list(document["bad"])) == (1, [DAY])
    assert "sha256" in document["bad"][DAY]
    assert state(stored.instance, QUOTES, DAY) is DayState.FAILED

    stored.file(DAY).write_bytes(content)
    now = whole_and_recorded_anew(stored.instance, QUOTES, DAY)
    assert (now["rows"], now["size"], now["path"]) == (before["rows"], len(content), str(stored.file(DAY)))
    (run,) = stored.instance.get_runs(limit=1)
    judged = {each.check for each in stored.evaluations(run.run_id) if each.passed}
    assert judged == set(find_dataset(QUOTES).checks), "its checks are those of the new file"
    assert len(stored.theta.requests) == asked


def test_verify_between_the_file_and_its_record_finds_no_damage(
    stored: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run at work records the day itself, so verify leaves that to it."""
    found: list[Verified] = []
    record = DayRecorder._record

    def verified_first(recorder: DayRecorder, day: date, outcome: Outcome) -> None:
        found.append(verify_dataset(stored.instance, open_lake(), find_dataset(QUOTES), DAYS))
        record(recorder, day, outcome)

    monkeypatch.setattr(DayRecorder, "_record", verified_first)
    assert run_range(stored.instance, ASSET, DAY, DAY).success
    assert found == [Verified(DAYS)]


def break_off_before_it_records(project: InProcess, day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what a killed run leaves, without a process of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(DayRecorder, "_record", lambda *_: 1 / 0)
        assert not run_range(project.instance, ASSET, day, day).success


def test_a_day_that_came_after_it_was_accepted_as_a_hole_is_no_hole(
    stored: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.file(DAY).unlink()
    accept_hole(stored.instance, find_dataset(QUOTES), DAY, "an outage of the vendor")
    others = [day for day in DAYS if day != DAY]
    assert verify_dataset(stored.instance, open_lake(), find_dataset(QUOTES), DAYS) == Verified(others, [DAY])
    break_off_before_it_records(stored, DAY, monkeypatch)

    code, document, said = verify(QUOTES)

    assert (code, document["ok"]) == (0, DAYS), said
    assert recorded(stored.instance, QUOTES, DAY)["size"] == stored.file(DAY).stat().st_size


def test_a_run_that_leaves_such_a_day_alone_records_it_as_it_is(
    stored: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range of closed days, to which Dagster adds the session after them."""
    break_off_before_it_records(stored, DAYS[0], monkeypatch)
    before, asked = recorded(stored.instance, QUOTES, DAYS[0]), len(stored.theta.requests)

    assert run_range(stored.instance, ASSET, "2024-06-29", "2024-06-30").success

    assert recorded(stored.instance, QUOTES, DAYS[0])["sha256"] != before["sha256"]
    assert len(stored.theta.requests) == asked
    assert verify_dataset(stored.instance, open_lake(), find_dataset(QUOTES), DAYS) == Verified(DAYS)


class Week(NamedTuple):
    project: FlatFileProject
    days: list[str]


@pytest.fixture
def week(tmp_path: Path) -> Iterator[Week]:
    """Days of flat files and the month of them, stored."""
    with flat_file_project(tmp_path, DAYS) as project:
        assert run_range(project.instance, project.bars.asset, DAYS[0], DAYS[-1]).success
        assert run_range(project.instance, project.months.asset, MONTH, MONTH).success
        yield Week(project, DAYS)


def test_a_republished_day_and_its_raw_file_are_whole(week: Week) -> None:
    project = week.project
    project.bucket.replace(date.fromisoformat(DAY))
    raw_before, bars_before = (recorded(project.instance, name, DAY) for name in (RAW_KEY, BARS_KEY))
    killed_before_it_records(BARS_KEY, "--from", DAY, "--to", DAY)

    raw = whole_and_recorded_anew(project.instance, RAW_KEY, DAY)
    bars = whole_and_recorded_anew(project.instance, BARS_KEY, DAY)

    assert raw["etag"] == bars["etag"] not in (raw_before["etag"], bars_before["etag"]), "the vendor's new version"
    assert bars["raw_size"] == raw["size"] == project.raw_file(DAY).stat().st_size


def test_a_month_whose_rebuild_was_killed_before_it_was_recorded_is_whole(week: Week) -> None:
    project = week.project
    assert run_range(project.instance, project.bars.asset, DAY, DAY).success
    killed_before_it_records(MONTHLY, "--from", "2024-07", "--to", "2024-07")

    now = whole_and_recorded_anew(project.instance, MONTHLY, MONTH)

    assert now["sessions"] == len(DAYS)
    on_disk = states_on_disk(project.instance, find_dataset(MONTHLY), [MONTH], open_lake())
    assert on_disk == {MONTH: DayState.STORED}


def test_what_is_summed_up_of_a_replaced_file_is_that_file(stored: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that had fewer rows when it was recorded."""
    break_off_before_it_records(stored, DAY, monkeypatch)
    record = latest_materialization(stored.instance, ASSET, DAY)
    assert record is not None
    assert record.asset_materialization is not None
    fewer = {name: dg.MetadataValue.int(1) for name in ("rows", "size")}
    metadata = {**record.asset_materialization.metadata, **fewer}
    stored.instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, metadata=metadata, partition=DAY))
    file = open_lake().audit(QUOTES, date.fromisoformat(DAY)).file

    found = verify_dataset(stored.instance, open_lake(), find_dataset(QUOTES), [DAY])
    verify(QUOTES)

    summary = found.days.summary()
    assert (summary.whole, summary.rows, summary.size) == (1, file.rows, file.size)
    (run,) = stored.instance.get_runs(limit=1)
    assert f"1 of 1 day whole · {file.rows:,} rows" in stored.messages(run.run_id)
