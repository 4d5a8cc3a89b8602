"""Rot after the fact: `verify` finds it, the grid shows it, the next backfill heals it."""

from __future__ import annotations

from random import Random

from data_assets.orchestration.day_states import DayState
from data_assets_tests.end_to_end.project_folder import (
    DATASET,
    document,
    open_days,
    sessions,
    span,
)

SEED = 7

NOTHING_ELSE = {"holes": [], "not_compared": {}, "unrecorded": [], "elsewhere": [], "error": None}


def test_damage_is_found_shown_and_healed(new_project):
    days = sessions("2024-01-02", 4)
    whole, flipped, deleted, also_whole = days
    project = new_project(DATA_ASSETS_SANDBOX_CONTRACTS="8")
    assert project.run("backfill", DATASET, *span(days)).returncode == 0
    sound = project.run("verify", DATASET, "--json")
    assert (sound.returncode, document(sound)) == (
        0,
        {DATASET: {"ok": days, "bad": {}, **NOTHING_ELSE}},
    )
    rows_before = {day: project.rows(day) for day in days}
    untouched = {day: project.file(day).stat() for day in (whole, also_whole)}

    content = bytearray(project.file(flipped).read_bytes())
    place = Random(SEED).randrange(len(content))
    print(f"flipping byte {place} of {len(content)}")
    content[place] ^= 1
    project.file(flipped).write_bytes(content)
    project.file(deleted).unlink()
    found = project.run("verify", DATASET, *span(days), "--json")

    assert found.returncode == 1
    verdicts = document(found)[DATASET]
    assert verdicts["ok"] == [whole, also_whole]
    assert sorted(verdicts["bad"]) == [flipped, deleted]
    assert "sha256" in verdicts["bad"][flipped]
    assert "missing" in verdicts["bad"][deleted]
    assert project.states(days) == {
        whole: DayState.STORED,
        flipped: DayState.FAILED,
        deleted: DayState.FAILED,
        also_whole: DayState.STORED,
    }
    listed = project.run("gaps", DATASET, *span(days), "--json")
    assert (listed.returncode, open_days(document(listed))) == (
        1,
        {DATASET: {"missing": [], "failed": [flipped, deleted], "lacking": {}}},
    )

    healed = project.run("backfill", DATASET, *span(days), "--only", "failed", "--json")

    assert (healed.returncode, document(healed)["stored"]) == (0, [flipped, deleted]), healed.stderr
    assert project.run("verify", DATASET).returncode == 0
    assert set(project.states(days).values()) == {DayState.STORED}
    for day in days:
        assert project.rows(day).equals(rows_before[day])
    for day, stat in untouched.items():
        assert (project.file(day).stat().st_ino, project.file(day).stat().st_mtime_ns) == (
            stat.st_ino,
            stat.st_mtime_ns,
        )
