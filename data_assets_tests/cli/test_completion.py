"""What a shell offers when a dataset's key is half written: asked as bash asks, by click's own protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data_assets_tests.end_to_end.project_folder import Project

QUOTES = ["theta/option_quotes/QQQ", "theta/option_quotes/SPX"]


def offered(project: Project, *words: str) -> list[str]:
    """The words that bash would offer for the last one."""
    asking = {
        "_DATA_ASSETS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    ended = Project(project.folder, **project.environment, **asking).run()
    assert (ended.returncode, ended.stderr) == (0, "")
    return [line.removeprefix("plain,") for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("verb", ["backfill", "gaps", "list", "plan", "retry", "status", "verify"])
def test_keys_and_folders_are_completed(verb: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert offered(project, "data-assets", verb, "theta/option_q") == ["theta/option_quotes", *QUOTES]
    assert offered(project, "data-assets", verb, QUOTES[0], "theta/option_quotes/S") == QUOTES[1:]


def test_the_formats_and_the_key_of_an_export_are_completed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert offered(project, "data-assets", "export", "c") == ["csv"]
    assert offered(project, "data-assets", "export", "csv", "ib/bars_1m/A") == ["ib/bars_1m/AAPL"]


def test_the_key_of_splits_is_completed(tmp_path: Path) -> None:
    assert offered(Project(tmp_path), "data-assets", "splits", "ib/bars_1m/A") == ["ib/bars_1m/AAPL"]


def test_the_vendor_and_the_history_of_an_addition_are_completed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert offered(project, "data-assets", "add", "p") == ["polygon"]
    assert offered(project, "data-assets", "add", "theta", "IWM", "g") == ["greeks"]


def test_verbs_are_completed(tmp_path: Path) -> None:
    assert offered(Project(tmp_path), "data-assets", "re") == ["retry", "repair", "reconcile"]


def test_outside_of_a_project_nothing_is_offered_and_nothing_said(tmp_path: Path) -> None:
    asking = {"_DATA_ASSETS_COMPLETE": "bash_complete", "COMP_WORDS": "data-assets gaps th", "COMP_CWORD": "2"}
    program = Path(sys.executable).with_name("data-assets")
    ended = subprocess.run([program], cwd=tmp_path, env={"PATH": "", **asking}, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "", "")
