"""The run history's disk is full, read-only or out of inodes: one line, exit 1, and nothing that was stored is lost."""

from __future__ import annotations

import signal
import sys

import pytest

from data_assets.cli import main
from data_assets.ingest.state_folder import StateUnusable, refusing_unusable_state
from data_assets.orchestration.day_states import DayState
from data_assets_tests.end_to_end.project_folder import DATASET, sessions, span
from data_assets_tests.orchestration.in_process import in_process_project
from data_assets_tests.small_disk import mount

__all__ = ["mount"]

OLD, *NEW = DAYS = sessions("2024-01-02", 4)
COMMANDS = {
    "status": ("status", DATASET),
    "verify": ("verify", DATASET),
    "backfill": ("backfill", DATASET, *span(DAYS)),
}


@pytest.fixture
def disk(tmp_path, mount):
    return mount(tmp_path / ".state", "size=16m,nr_inodes=400")


@pytest.fixture
def project(tmp_path, disk):
    with in_process_project(tmp_path) as project:
        yield project


@pytest.fixture
def run(project, monkeypatch, capfd):
    """Runs the command in this process; returns its exit code and what it says on stderr."""

    def run(*arguments):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["data-assets", *arguments])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGTERM, before)
        return ended.value.code, capfd.readouterr().err

    return run


def errors(said):
    """The lines of stderr that are not the backfill's own of what it has to do and what it has stored."""
    return [line for line in said.splitlines() if not line.startswith(("✓", "expected: ", DATASET))]


def assert_nothing_lost(project, run, before):
    assert project.file(OLD).read_bytes() == before
    code, said = run(*COMMANDS["backfill"])
    assert code == 0, said
    assert project.file(OLD).read_bytes() == before
    assert set(project.states(DAYS).values()) == {DayState.STORED.value}
    assert project.times_materialized()[OLD] == 1
    assert run("verify", DATASET)[0] == 0


def assert_each_says(run, *texts):
    """Every command ends with exit code 1 and one line, which holds all of the texts."""
    for command in COMMANDS.values():
        code, said = run(*command)

        assert code == 1, command
        assert len(said.splitlines()) == 1, said
        assert [text for text in texts if text not in said] == [], said


def test_full_before_the_command(project, run, disk):
    assert run("backfill", DATASET, *span([OLD]))[0] == 0
    before = project.file(OLD).read_bytes()
    disk.fill()

    assert_each_says(
        run,
        f"Error: {disk.folder}: no room for the run history",
        "MB are free",
        "make room on its disk, then give the command again",
    )
    disk.empty()
    assert_nothing_lost(project, run, before)


@pytest.mark.parametrize("room", [64_000, 130_000, 330_000])
def test_full_in_the_middle_of_a_run(project, run, disk, room):
    """At the creation of the run's row, of its log, and at the record of a day."""
    assert run("backfill", DATASET, *span([OLD]))[0] == 0
    before = project.file(OLD).read_bytes()
    disk.fill(but=room)

    code, said = run(*COMMANDS["backfill"])

    assert code == 1
    assert len(errors(said)) == 1, said
    assert f"Error: {disk.folder}: no room for the run history" in said
    disk.empty()
    assert_nothing_lost(project, run, before)


def test_read_only(project, run, disk):
    assert run("backfill", DATASET, *span([OLD]))[0] == 0
    before = project.file(OLD).read_bytes()
    project.instance.dispose()  # it keeps its databases open, and the system leaves a disk that is written to as it is
    disk.remount("ro")

    assert_each_says(
        run,
        f"Error: {disk.folder}: the run history is on a file system that is mounted read-only",
        "mount it for writing",
    )
    disk.remount("rw")
    assert_nothing_lost(project, run, before)


def test_out_of_inodes(project, run, disk):
    assert run("backfill", DATASET, *span([OLD]))[0] == 0
    before = project.file(OLD).read_bytes()
    disk.take_inodes()

    code, said = run(*COMMANDS["backfill"])

    assert code == 1
    assert len(errors(said)) == 1, said
    assert f"Error: {disk.folder}: no room for the run history" in said
    assert "out of inodes, although" in said
    disk.empty()
    assert_nothing_lost(project, run, before)


def test_a_file_in_the_place_of_the_folder_is_told_in_a_line(tmp_path):
    (tmp_path / "state").write_text("")
    with (
        pytest.raises(StateUnusable, match=r"state: the run history cannot be read or written \(Not a directory\)"),
        refusing_unusable_state(tmp_path / "state"),
    ):
        (tmp_path / "state" / "storage").mkdir()


def test_an_error_that_is_not_of_that_disk_is_left_as_it_is(tmp_path):
    elsewhere = OSError(28, "No space left on device", "/elsewhere/file")
    with pytest.raises(OSError, match="elsewhere"), refusing_unusable_state(tmp_path):
        raise elsewhere
    within = OSError(28, "No space left on device", str(tmp_path / "file"))
    with pytest.raises(StateUnusable, match="no room for the run history"), refusing_unusable_state(tmp_path):
        raise within
