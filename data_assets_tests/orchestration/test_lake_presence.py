"""A lake whose disk is not plugged in: nothing is recorded, nothing is written, and all is well when it is back."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from data_assets.cli import main
from data_assets.cli.local_run import run_range
from data_assets.cli.project import definitions
from data_assets.lake.errors import LakeError, LakeNotThere
from data_assets.lake.lake import MARKER
from data_assets.lake.writer import DayWriter
from data_assets.orchestration.verify_run import VERIFY
from data_assets.settings import settings
from data_assets.wiring import open_lake
from data_assets_tests.orchestration.in_process import (
    ASSET,
    InProcess,
    flip_a_byte,
    in_process_project,
    of_day,
    of_days,
)
from data_assets_tests.permissions import closed

KEY = ASSET.to_user_string()
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
LATER = "2024-07-05"
ALL = ("--from", DAYS[0], "--to", LATER)
VERIFYING = {VERIFY: "true"}


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, as its entry point runs it."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr("sys.argv", ["data-assets", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where the project is in every test, since its records name its lake's place; and how it is when it begins."""
    folder, saved = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("saved") / "project"
    with in_process_project(folder) as project:
        run_range(project.instance, ASSET, DAYS[0], DAYS[-1])
    shutil.copytree(folder, saved)
    return folder, saved


@pytest.fixture
def project(folders: tuple[Path, Path]) -> Iterator[InProcess]:
    """A project that has stored DAYS, and whose vendor has been asked for nothing since."""
    folder, saved = folders
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    with in_process_project(folder) as project:
        yield project


class Disk:
    """The disk that a project's lake is on."""

    def __init__(self, project: InProcess) -> None:
        self.mount_point = project.folder / "lake" / "live"
        self._aside = project.folder / "unplugged"

    def unplug(self) -> None:
        self.mount_point.rename(self._aside)
        self.mount_point.mkdir()

    def plug_in(self) -> None:
        self.mount_point.rmdir()  # which refuses if anything was written there
        self._aside.rename(self.mount_point)


@pytest.fixture
def disk(project: InProcess) -> Disk:
    return Disk(project)


def events(project: InProcess) -> tuple[int, int, int]:
    """How much is recorded: runs, materializations, observations."""
    observed = project.instance.fetch_observations(ASSET, limit=1000).records
    return len(project.instance.get_runs()), len(project.materializations()), len(observed)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", KEY),
        ("backfill", KEY, *ALL),
        ("backfill", KEY, *ALL, "--only", "all"),
        ("status", KEY),
        ("gaps", KEY),
        ("accept-hole", KEY, LATER, "--reason", "none"),
        ("export", "lean", KEY),
        ("snapshot", "list"),
        ("snapshot", "check", "study"),
        ("snapshot", "drop", "study"),
        ("snapshot", "prune", "--newest", "1"),
    ],
    ids=" ".join,
)
def test_a_command_says_it_in_one_line_and_records_and_writes_nothing(
    project: InProcess, disk: Disk, command: Command, arguments: tuple[str, ...]
) -> None:
    before = events(project)
    disk.unplug()

    said = command(*arguments)

    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    for told in (str(disk.mount_point), "is not there", "mount", "DATA_ASSETS_LAKE", MARKER):
        assert told in said.err
    assert events(project) == before
    assert project.theta.requests == []
    disk.plug_in()
    assert project.states([*DAYS, LATER]) == {**dict.fromkeys(DAYS, "stored"), LATER: "missing"}
    assert command("verify", KEY).code == 0


COMMANDS = [("verify", KEY), ("backfill", KEY, *ALL, "--only", "all"), ("status", KEY), ("gaps", KEY)]


@pytest.mark.parametrize("identity", ["", "0" * 32], ids=["made before lakes had an identity", "another's"])
def test_another_lake_in_its_place_is_told_in_one_line_and_left_as_it_is(
    project: InProcess, disk: Disk, command: Command, identity: str
) -> None:
    """Another lake's disk, or a marker that was once written into the mount point."""
    before = events(project)
    disk.unplug()
    other = json.dumps({"synthetic": False, "layout": 2} | ({"id": identity} if identity else {}))
    (disk.mount_point / MARKER).write_text(other)

    for arguments in COMMANDS:
        said = command(*arguments)

        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said.err
        for told in (str(disk.mount_point), "is another one than was there", "mount", "DATA_ASSETS_LAKE"):
            assert told in said.err
    assert events(project) == before
    assert project.theta.requests == []
    run = project.materialize(of_days(DAYS[0], DAYS[-1]) | VERIFYING)
    assert "is another one than was there" in project.messages(run.run_id)
    assert [path.name for path in disk.mount_point.rglob("*")] == [MARKER]
    assert (disk.mount_point / MARKER).read_text() == other
    (disk.mount_point / MARKER).unlink()
    disk.plug_in()
    assert project.states(DAYS) == dict.fromkeys(DAYS, "stored")
    assert command("verify", KEY).code == 0


def test_a_lake_whose_marker_was_written_anew_goes_on_as_the_message_says(project: InProcess, command: Command) -> None:
    marker = project.folder / "lake" / "live" / MARKER
    before = json.loads(marker.read_text())
    marker.write_text('{"synthetic": false}')
    text, _, path = command("verify", KEY).err.strip().partition("write ")[2].rpartition(" into ")
    Path(path).write_text(text)

    assert command("verify", KEY).code == 0
    assert command("backfill", KEY, *ALL).code == 0
    assert json.loads(marker.read_text()) == before


def test_another_lake_that_takes_its_place_while_days_arrive_gets_none_of_them(
    project: InProcess, disk: Disk, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, once = DayWriter.finish, threading.Lock()

    def swap_and_finish(writer: DayWriter, *arguments: object) -> object:
        if once.acquire(blocking=False):
            disk.unplug()
            (disk.mount_point / MARKER).write_text('{"synthetic": false, "layout": 2}')
        return finish(writer, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(DayWriter, "finish", swap_and_finish)
        said = command("backfill", KEY, *ALL, "--only", "all")

    assert said.code == 1
    assert "Traceback" not in said.err
    assert list(disk.mount_point.rglob("data.parquet")) == []
    shutil.rmtree(disk.mount_point)
    disk.mount_point.mkdir()
    disk.plug_in()
    assert "failed" not in project.states([*DAYS, LATER]).values()


def test_a_lake_of_an_earlier_version_is_known_from_its_next_run_on(tmp_path: Path, command: Command) -> None:
    with in_process_project(tmp_path) as project:
        disk = Disk(project)
        disk.mount_point.mkdir(parents=True)
        marker = disk.mount_point / MARKER
        marker.write_text('{"synthetic": false, "layout": 2}\n')
        assert command("backfill", KEY, "--from", DAYS[0], "--to", DAYS[0]).code == 0
        identity = json.loads(marker.read_text())["id"]
        (record,) = project.materializations()
        assert record.asset_materialization
        assert record.asset_materialization.metadata["lake"].value == identity
        assert command("verify", KEY).code == 0
        disk.unplug()
        (disk.mount_point / MARKER).write_text('{"synthetic": false, "layout": 2}\n')
        assert "is another one than was there" in command("verify", KEY).err


@pytest.mark.parametrize("new", [True, False], ids=["a new lake", "a lake of other days"])
def test_days_of_a_lake_in_another_place_are_not_read_and_not_red(
    project: InProcess, command: Command, monkeypatch: pytest.MonkeyPatch, new: bool
) -> None:
    monkeypatch.setenv("DATA_ASSETS_LAKE", str(project.folder / "other"))
    settings.cache_clear()
    here = [] if new else [LATER]
    if here:
        assert command("backfill", KEY, "--from", LATER, "--to", LATER).code == 0
    before = events(project)

    said, document = command("verify", KEY), json.loads(command("verify", KEY, "--json").out)[KEY]

    assert said.code == 1
    assert said.err == ""
    assert f"{len(DAYS)} days not in this lake but stored in another, and not read: {', '.join(DAYS)}" in said.out
    assert str(project.file(DAYS[-1])) in said.out
    assert (document["ok"], document["bad"], document["elsewhere"]) == (here, {}, DAYS)
    assert events(project) == before
    assert (project.folder / "other").exists() != new


@pytest.mark.parametrize("tags", [of_day(DAYS[1]), of_days(DAYS[0], LATER), of_days(DAYS[0], DAYS[-1]) | VERIFYING])
def test_a_run_of_the_ui_leaves_every_day_as_it_was(project: InProcess, disk: Disk, tags: dict[str, str]) -> None:
    disk.unplug()

    ended = project.materialize(tags)

    run = project.instance.get_run_by_id(ended.run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert "is not there" in project.messages(ended.run_id)
    disk.plug_in()
    assert project.states([*DAYS, LATER]) == {**dict.fromkeys(DAYS, "stored"), LATER: "missing"}
    assert project.theta.requests == []


def test_a_run_of_the_ui_does_not_make_a_damaged_day_green(project: InProcess, disk: Disk, command: Command) -> None:
    flip_a_byte(project.file(DAYS[1]))
    assert command("verify", KEY).code == 1
    disk.unplug()

    project.materialize(of_days(DAYS[0], DAYS[-1]))

    disk.plug_in()
    assert project.states(DAYS) == {DAYS[0]: "stored", DAYS[1]: "failed", DAYS[2]: "stored"}


def test_a_disk_unplugged_while_days_arrive_costs_those_days_and_makes_no_new_lake(
    project: InProcess, disk: Disk, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, once = DayWriter.finish, threading.Lock()

    def unplug_and_finish(writer: DayWriter, *arguments: object) -> object:
        if once.acquire(blocking=False):
            disk.unplug()
        return finish(writer, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(DayWriter, "finish", unplug_and_finish)
        said = command("backfill", KEY, *ALL, "--only", "all")

    assert said.code == 1
    assert "Traceback" not in said.err
    assert list(disk.mount_point.rglob("data.parquet")) == list(disk.mount_point.rglob(MARKER)) == []
    shutil.rmtree(disk.mount_point)
    disk.mount_point.mkdir()
    disk.plug_in()
    states = project.states([*DAYS, LATER])
    assert "failed" not in states.values()
    assert [states[day] for day in DAYS] == ["stored"] * 3
    assert command("backfill", KEY, *ALL).code == 0
    assert command("verify", KEY).code == 0


def test_days_that_a_look_at_an_empty_mount_point_turned_red_are_green_again_when_found_whole(
    project: InProcess, disk: Disk, command: Command
) -> None:
    """As they are in histories of earlier versions, and wherever files were away and the lake's marker was not."""
    aside = project.folder / "theta"
    (disk.mount_point / "theta").rename(aside)
    assert command("verify", KEY).code == 1
    assert project.states(DAYS) == dict.fromkeys(DAYS, "failed")
    aside.rename(disk.mount_point / "theta")
    flip_a_byte(project.file(DAYS[0]))

    said = command("verify", KEY, "--json")

    assert said.code == 1
    assert json.loads(said.out)[KEY]["ok"] == DAYS[1:]
    assert project.states(DAYS) == {DAYS[0]: "failed", DAYS[1]: "stored", DAYS[2]: "stored"}
    assert project.theta.requests == []


def test_a_lake_in_another_place_is_a_new_one(
    project: InProcess, disk: Disk, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.unplug()
    monkeypatch.setenv("DATA_ASSETS_LAKE", str(project.folder / "other"))
    settings.cache_clear()

    assert command("backfill", KEY, "--from", DAYS[0], "--to", DAYS[0]).code == 0

    assert (project.folder / "other" / MARKER).exists()


def test_a_killed_run_does_not_bar_the_way_to_a_lake_in_another_place(
    project: InProcess, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its days were stored in the lake before, and of the new and empty one nobody can tell whether they are whole."""
    killed = project.instance.create_run_for_job(
        definitions().resolve_implicit_global_asset_job_def(),
        asset_selection={ASSET},
        status=dg.DagsterRunStatus.STARTED,
        tags=of_days(DAYS[0], LATER) | {"dagster/max_retries": "0"},
    )
    lock = Path(project.instance.storage_directory(), "living_runs", killed.run_id)
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    monkeypatch.setenv("DATA_ASSETS_LAKE", str(project.folder / "other"))
    settings.cache_clear()

    said = command("backfill", KEY, *ALL)

    assert said.code == 0, said.err
    assert open_lake().stored_days(KEY) == [date.fromisoformat(day) for day in [*DAYS, LATER]]
    assert command("verify", KEY).code == 0


def test_a_lost_lake_begins_anew_where_the_message_says(project: InProcess, disk: Disk, command: Command) -> None:
    disk.unplug()
    said = command("backfill", KEY, *ALL).err
    text, _, marker = said.strip().partition("write ")[2].rpartition(" into ")
    Path(marker).write_text(text)

    assert command("backfill", KEY, *ALL).code == 0
    assert open_lake().stored_days(KEY) == [date.fromisoformat(day) for day in [*DAYS, LATER]]


def test_a_lake_whose_marker_alone_is_lost_goes_on_as_the_message_says(project: InProcess, command: Command) -> None:
    """As after a copy that left out what begins with an underscore."""
    (project.folder / "lake" / "live" / MARKER).unlink()
    said = command("status", KEY).err
    assert "if its files are there" in said
    text, _, marker = said.strip().partition("write ")[2].rpartition(" into ")
    Path(marker).write_text(text)

    assert "1 session whole, damaged: 0" in command("verify", KEY, "--from", DAYS[0], "--to", DAYS[0]).out
    assert command("backfill", KEY, *ALL).code == 0
    assert open_lake().stored_days(KEY) == [date.fromisoformat(day) for day in [*DAYS, LATER]]


def test_a_lake_that_is_gone_says_so_to_readers(project: InProcess, disk: Disk) -> None:
    lake = open_lake()
    disk.unplug()

    with pytest.raises(LakeNotThere):
        lake.verify(KEY, date.fromisoformat(DAYS[0]), sha256=None, rows=None)


def test_a_lost_history_is_named_with_the_way_back(project: InProcess, command: Command) -> None:
    project.instance.wipe_assets([ASSET])

    verified, status, counted = command("verify", KEY), command("status", KEY), command("status", KEY, "--json")

    assert verified.code == 1
    for said in (verified.out, status.out):
        told = next(line for line in said.splitlines() if "no record" in line)
        for word in ("3 days", *DAYS, ".state", f"data-assets reconcile {KEY}"):
            assert word in told
    assert json.loads(counted.out)[KEY]["unrecorded"] == len(DAYS)
    assert f"{KEY}: 1 day with a file and no record" in command("verify", KEY, "--from", DAYS[0], "--to", DAYS[0]).out
    assert project.theta.requests == []


def test_a_missing_day_shows_nothing_of_the_file_that_is_gone(project: InProcess, command: Command) -> None:
    project.file(DAYS[1]).unlink()

    rows = {row["day"]: row for row in json.loads(command("status", KEY, *ALL, "--json").out)[KEY]["days"]}

    assert rows[DAYS[1]]["state"] == "missing"
    assert (rows[DAYS[1]]["rows"], rows[DAYS[1]]["size"], rows[DAYS[1]]["checks"]) == (None, None, {})
    assert rows[DAYS[0]]["rows"]


def test_a_failed_day_whose_file_is_gone_shows_nothing_of_it(project: InProcess, command: Command) -> None:
    project.file(DAYS[1]).unlink()
    flip_a_byte(project.file(DAYS[2]))
    assert command("verify", KEY).code == 1

    rows = {row["day"]: row for row in json.loads(command("status", KEY, *ALL, "--json").out)[KEY]["days"]}

    assert {day: rows[day]["state"] for day in DAYS[1:]} == dict.fromkeys(DAYS[1:], "failed")
    assert (rows[DAYS[1]]["rows"], rows[DAYS[1]]["size"], rows[DAYS[1]]["checks"]) == (None, None, {})
    assert "missing" in rows[DAYS[1]]["reason"]
    assert rows[DAYS[2]]["rows"], "its file is there"


def test_a_day_in_a_closed_folder_is_told_and_the_others_go_on(project: InProcess, command: Command) -> None:
    lake, first, last = open_lake(), date.fromisoformat(DAYS[0]), date.fromisoformat(DAYS[-1])
    with closed(project.file(DAYS[1]).parent):
        status, gaps = command("status", KEY), command("gaps", KEY, *ALL)
        verified = command("verify", KEY, "--json")
        with pytest.raises(LakeError, match=f"date={DAYS[1]}: cannot be read .Permission denied.; check"):
            lake.scan(KEY, first, last)
        assert lake.scan(KEY, last, last).collect().height

    for said, text in ((status, status.out), (gaps, gaps.err)):
        (told,) = [line for line in text.splitlines() if "nobody can look" in line]
        assert f"the files of {DAYS[1]}: {project.file(DAYS[1]).parent}: cannot be read (Permission denied)" in told
        assert said.code == 1
    found = json.loads(verified.out)[KEY]
    assert (verified.code, found["ok"], list(found["bad"])) == (1, [DAYS[0], DAYS[2]], [DAYS[1]])
    assert "cannot be read (Permission denied)" in found["bad"][DAYS[1]]
    assert project.theta.requests == []
    assert command("verify", KEY).code == 0
    assert project.states(DAYS) == dict.fromkeys(DAYS, "stored")


@pytest.mark.parametrize("how", ["closed", "a link to a disk that is away", "a file in its place"])
def test_a_dataset_whose_folder_is_not_usable_is_told_in_one_line_and_its_days_keep_their_colour(
    project: InProcess, command: Command, how: str, tmp_path: Path
) -> None:
    folder, before = project.file(DAYS[0]).parents[1], events(project)
    with ExitStack() as changed:
        if how == "closed":
            changed.enter_context(closed(folder))
            says = f"{folder}: cannot be read (Permission denied)"
        else:
            aside = tmp_path / "aside"
            folder.rename(aside)
            changed.callback(aside.rename, folder)
            changed.callback(folder.unlink)
            if how == "a file in its place":
                folder.touch()
                says = f"{folder}: cannot be read (Not a directory)"
            else:
                folder.symlink_to(tmp_path / "away")
                says = f"{folder}: is a link to {tmp_path / 'away'}, which is not there"

        verified, status = command("verify", "theta", "--json"), command("status", "theta")
        backfilled = command("backfill", KEY, *ALL)
        hole = command("accept-hole", KEY, LATER, "--reason", "none")
        for tags in (of_days(DAYS[0], LATER), of_days(DAYS[0], DAYS[-1]) | VERIFYING):
            run = project.materialize(tags)
            assert says in project.messages(run.run_id)
        assert project.theta.requests == []
        looked = command("doctor", KEY, "--json")

    findings = {each["subject"]: (each["state"], each["text"]) for each in json.loads(looked.out)}
    assert (looked.code, findings["lake"][0], says in findings["lake"][1]) == (1, "error", True)
    found = json.loads(verified.out)
    assert (verified.code, found[KEY]["ok"], found[KEY]["bad"]) == (1, [], {})
    assert says in found[KEY]["error"]
    assert found["theta/option_quotes/SPX"]["error"] is None
    assert status.code == 1
    assert [says in line for line in status.out.splitlines()].count(True) == 1
    assert (backfilled.code, backfilled.err.count("\n")) == (2, 3), backfilled.err
    assert says in backfilled.err
    assert (hole.code, says in hole.err) == (2, True), "a day that nobody can look for may well be stored"
    assert events(project)[1:] == before[1:]
    assert project.states([*DAYS, LATER]) == {**dict.fromkeys(DAYS, "stored"), LATER: "missing"}


def test_verify_goes_on_past_what_it_cannot_open(project: InProcess, command: Command) -> None:
    project.file(DAYS[2]).unlink()
    project.file(DAYS[2]).mkdir()
    shutil.rmtree(project.file(DAYS[1]).parent)
    project.file(DAYS[1]).parent.write_text("a file in place of a folder")

    said = command("verify", KEY, "--json")

    found = json.loads(said.out)[KEY]
    assert (said.code, found["ok"], sorted(found["bad"])) == (1, DAYS[:1], DAYS[1:])
    assert all("move it away" in reason for reason in found["bad"].values())
    assert project.states(DAYS) == {DAYS[0]: "stored", DAYS[1]: "failed", DAYS[2]: "failed"}
