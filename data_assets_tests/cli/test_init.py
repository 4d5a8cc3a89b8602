"""`data-assets init` writes a whole project, or nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from data_assets.cli.commands import cli, init
from data_assets.project import read_env_file
from data_assets.settings import read_settings
from data_assets_tests.end_to_end.project_folder import SOURCES


def parsed(line: str) -> str:
    """The verb of a command with its arguments, which the verb takes as they stand."""
    _, verb, *arguments = shlex.split(line, comments=True)
    cli.commands[verb].make_context(verb, arguments)
    return verb


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_new_project_has_the_shipped_blocks_and_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    for folder in (tmp_path / "new" / "deep", tmp_path / "used"):
        assert CliRunner().invoke(init, [str(folder)]).exit_code == 0
        written = files(folder)
        assert files(folder / "defs") == files(SOURCES / "defs")
        assert {"dagster.yaml", "workspace.yaml", ".env", "README.md"} <= set(written)
        assert written["dagster.yaml"] == (SOURCES / "dagster.yaml").read_text()
        verbs = [parsed(line) for line in written["README.md"].splitlines() if line.startswith("data-assets ")]
        assert {"demo", "doctor", "plan", "backfill", "retry", "status", "verify", "add"} == set(verbs)
        assert read_env_file(folder) == {}, "`dagster dev` lets what is set there win over the environment"
    assert (tmp_path / "used" / "notes.txt").read_text() == "mine"
    monkeypatch.chdir(tmp_path / "used")
    read_settings()


@pytest.mark.parametrize("there", [".env", "defs/theta/option_quotes_qqq/defs.yaml", "README.md"])
def test_what_would_be_overwritten_is_named_and_nothing_is_written(tmp_path: Path, there: str) -> None:
    mine = tmp_path / there
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")

    refused = CliRunner().invoke(init, [str(tmp_path)])

    assert refused.exit_code == 2
    (line,) = [line for line in refused.output.splitlines() if line.startswith("Error: ")]
    assert line.startswith(f"Error: {tmp_path}: {there} would be overwritten, so nothing was written")
    assert files(tmp_path) == {there: "mine"}


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "defs").write_text("a file in place of the folder")

    refused = CliRunner().invoke(init, [str(tmp_path)])

    assert refused.exit_code == 2
    assert "cannot be written" in refused.output
    assert set(files(tmp_path)) == {"defs"}
