"""No room for a day, or a read-only disk: it fails and says so, and what was stored before stays as it was."""

from __future__ import annotations

import resource

from data_assets.orchestration.day_states import DayState
from data_assets_tests.end_to_end.project_folder import DATASET, asked_days, document, recorded, sessions, span
from data_assets_tests.small_disk import mount

__all__ = ["mount"]

CONTRACTS = 800
"""A day of so many is larger than Dagster's databases, which the limit must not meet."""


def test_no_room_fails_the_day_and_keeps_the_old_file(theta, live_project):
    new, old = days = sessions("2024-01-02", 2)
    project = live_project(theta(contracts=CONTRACTS))
    assert project.run("backfill", DATASET, *span([old])).returncode == 0
    before, stat = project.file(old).read_bytes(), project.file(old).stat()
    room = len(before) // 2

    ended = project.start_executable(
        "backfill",
        DATASET,
        *span(days),
        "--only",
        "all",
        "--json",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    ).end()

    assert ended.returncode == 1
    assert document(ended)["stored"] == []
    for day in days:
        why = document(ended)["not_stored"][day]
        assert why["outcome"] == "Failed"
        assert "no room to write it" in why["reason"]
        assert "free space" in why["reason"]
    assert "Traceback" not in ended.stderr
    assert project.temp_files() == []
    assert project.files() == [old]
    assert project.file(old).read_bytes() == before
    assert project.file(old).stat().st_ino == stat.st_ino
    assert project.states(days) == {new: DayState.FAILED, old: DayState.FAILED}

    assert project.run("backfill", DATASET, *span(days)).returncode == 0
    assert project.files() == days
    with project.instance() as instance:
        assert sorted(recorded(instance)) == [new, old, old]


def test_a_lake_on_a_disk_that_became_read_only(theta, live_project, mount):
    """As Linux leaves a disk after an error. No day is downloaded that could not be stored either."""
    *new, _, old = days = sessions("2024-01-02", 20)
    server = theta()
    project = live_project(server)
    disk = mount(project.folder / "lake", "size=4g")  # a limit: the engine wants room for its days in work
    assert project.run("backfill", DATASET, *span([old])).returncode == 0
    before, asked = project.file(old).read_bytes(), len(server.requests)
    disk.remount("ro")

    ended = project.run("backfill", DATASET, *span(days), "--json")

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    reasons = {day: why["reason"] for day, why in document(ended)["not_stored"].items()}
    assert sorted(reasons) == days[:-1]
    assert all("mounted read-only; mount it for writing" in reason for reason in reasons.values())
    assert not set(asked_days(server, asked)) & set(new[:10])
    assert project.run("verify", DATASET).returncode == 0

    disk.remount("rw")
    assert project.run("backfill", DATASET, *span(days)).returncode == 0
    assert project.files() == days
    assert project.file(old).read_bytes() == before
