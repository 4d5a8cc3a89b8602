"""The code of docs/operating.md does what they say."""

from __future__ import annotations

import configparser
import os
import plistlib
import re
import shlex
import shutil
import subprocess
from datetime import date
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import pytest

from data_assets.cli.commands import cli
from data_assets.lake.lake import Lake
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.lake.minute_days import day_bars, store_day
from data_assets_tests.orchestration.dagster_dev import RESTARTS

DAYS = [date(2024, 7, 1), date(2024, 7, 2)]
PAGE = (SOURCES / "docs" / "operating.md").read_text()
PAGES = [SOURCES / "README.md", SOURCES / "CONTRIBUTING.md", *sorted((SOURCES / "docs").rglob("*.md"))]


def fenced(language: str) -> str:
    """The one block of the page in a language."""
    (text,) = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return dedent(text)


def test_pandas_duckdb_and_polars_find_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(str(tmp_path / "lake" / "sandbox"), synthetic=True)
    for day in DAYS:
        store_day(lake, day, day_bars(day, "SPY", "QQQ"))
    code = fenced("python")
    monkeypatch.chdir(tmp_path)

    found: dict[str, Any] = {}
    exec(code, found)  # as a reader of the page does

    volumes = [
        sorted(found["polars"]["volume"].to_list()),
        sorted(found["duck"]["volume"].to_list()),
        sorted(found["pandas"]["volume"].tolist()),
    ]
    stored = sorted(volume for day in DAYS for volume in day_bars(day, "SPY")["volume"].to_list())
    assert volumes == [stored, stored, stored]


def starts_the_ui_and_the_daemon(program: str, *arguments: str) -> bool:
    return Path(program).name == "dagster" and arguments == ("dev", RESTARTS, "--port", "3000")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(fenced("ini"))
    service = unit["Service"]
    assert starts_the_ui_and_the_daemon(*shlex.split(service["ExecStart"]))
    assert service["Environment"] == f"DAGSTER_HOME={service['WorkingDirectory']}"
    assert unit["Install"]["WantedBy"] == "default.target"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd itself is asked where it is installed")
    program = tmp_path / "market-data/.venv/bin/dagster"
    program.parent.mkdir(parents=True)
    program.touch(0o700)
    (tmp_path / "data-assets.service").write_text(fenced("ini"))
    (tmp_path / "run").mkdir(mode=0o700)
    ended = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(tmp_path / "data-assets.service")],
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), "a key that it does not know is a word on stderr"


def test_launchd_reads_the_property_list() -> None:
    job = plistlib.loads(fenced("xml").encode())
    assert starts_the_ui_and_the_daemon(*job["ProgramArguments"])
    assert job["EnvironmentVariables"]["DAGSTER_HOME"] == job["WorkingDirectory"]
    assert job["ProgramArguments"][0].startswith(job["WorkingDirectory"])
    assert job["RunAtLoad"]
    assert job["KeepAlive"]


def test_every_command_of_the_docs_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ASSETS_PROJECT", "")  # `--project` sets it
    lines = [
        line
        for page in PAGES
        for fence in re.findall(r"^ *```[^\n]*\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
        for line in re.findall(r"^\s*(?:[\d*, -]+ )?(?:[^\n]*&& )?(?:\S*/)?(data-assets .*)", fence, re.MULTILINE)
    ]
    assert len(lines) > 30
    for line in lines:
        words = shlex.split(line, comments=True)
        ends = [words.index(end) for end in ("|", "&&", ">", ";") if end in words]
        read(cli, words[1 : min(ends, default=None)], line)


def read(command: click.Command, words: list[str], line: str) -> None:
    """Read a call as the command would, without calling it."""
    try:
        context = command.make_context("data-assets", list(words))
    except click.exceptions.Exit:
        return  # --help, --version
    except click.ClickException as error:
        if "does not exist" in str(error):
            return  # a file of the reader's own
        raise AssertionError(line) from error
    if isinstance(command, click.Group):
        verb, *rest = [*context._protected_args, *context.args]
        read(command.commands[verb], rest, line)
