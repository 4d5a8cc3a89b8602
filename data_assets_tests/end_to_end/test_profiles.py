"""Synthetic days and real ones never pass for each other, whatever the settings say and when they change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_assets_tests.end_to_end.project_folder import (
    DATASET,
    Project,
    live,
    open_days,
    sessions,
    span,
)

DAYS = sessions("2024-03-04", 2)
CHEAP = {"DATA_ASSETS_SANDBOX_CONTRACTS": "8"}


def gaps(project: Project, **environment: str) -> tuple[int, dict[str, list[str]], str]:
    """The exit code, the missing and failed days, and what else was said."""
    before = dict(project.environment)
    project.environment.update(environment)
    try:
        ended = project.run("gaps", DATASET, *span(DAYS), "--json")
    finally:
        project.environment.clear()
        project.environment.update(before)
    return ended.returncode, open_days(json.loads(ended.stdout))[DATASET] if ended.stdout else {}, ended.stderr


def test_the_live_profile_does_not_take_the_sandboxs_days_for_its_own(new_project: Any, theta: Any) -> None:
    project = new_project(**CHEAP)
    assert project.run("backfill", DATASET, *span(DAYS)).returncode == 0
    assert gaps(project)[0] == 0
    real = live(theta().base_url)

    code, found, said = gaps(project, **real)

    assert (code, found) == (2, {})
    assert len(said.strip().splitlines()) == 1
    assert "DATA_ASSETS_PROFILE is live" in said
    assert "mv .state .state.sandbox" in said

    (project.folder / ".state").rename(project.folder / ".state.sandbox")
    assert gaps(project, **real)[:2] == (1, {"missing": DAYS, "failed": [], "lacking": {}})


def test_a_recorded_day_whose_file_is_not_in_this_lake_is_missing(new_project: Any) -> None:
    project = new_project(**CHEAP)
    assert project.run("backfill", DATASET, *span(DAYS)).returncode == 0

    assert gaps(project, DATA_ASSETS_LAKE="another")[:2] == (1, {"missing": DAYS, "failed": [], "lacking": {}})

    project.file(DAYS[0]).unlink()
    assert gaps(project)[:2] == (1, {"missing": DAYS[:1], "failed": [], "lacking": {}})
    assert project.run("backfill", DATASET, *span(DAYS)).returncode == 0
    assert gaps(project)[0] == 0


def test_the_demo_leaves_the_lake_of_the_env_file_alone(new_project: Any, tmp_path: Path) -> None:
    project = new_project(**CHEAP)
    mine = tmp_path / "my real lake"
    (project.folder / ".env").write_text(f"DATA_ASSETS_PROFILE=live\nDATA_ASSETS_LAKE={mine}\n")

    ended = project.run("demo", "--no-serve")

    assert ended.returncode == 0, ended.stderr
    assert not mine.exists()
    assert len(project.files()) >= 10
