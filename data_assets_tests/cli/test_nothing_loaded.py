"""`--help` and a call that is wrong by itself are answered without Dagster, Polars or the project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data_assets.cli.commands import cli
from data_assets.cli.known_names import remember_names
from data_assets_tests.end_to_end.project_folder import write_project

HEAVY = ("dagster", "polars", "pyarrow", "numpy", "pandas", "sqlalchemy", "pydantic", "rich", "httpx")

CALLS = """
import contextlib, io, json, sys
from data_assets.cli import main
ended = []
for arguments in json.load(sys.stdin):
    sys.argv = ["data-assets", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = end.code
    ended.append([code, said.getvalue(), sorted({name.partition(".")[0] for name in sys.modules})])
json.dump(ended, sys.stdout)
"""


def test_help_and_wrong_calls_load_nothing_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a project whose datasets some command has loaded before."""
    monkeypatch.chdir(write_project(tmp_path))
    remember_names(["theta/option_quotes/QQQ", "polygon/minute_aggs", "ib/bars_1m/AAPL"])
    right = [["--help"], ["--version"], *([verb, "--help"] for verb in cli.commands)]
    wrong = [
        [],
        ["stat"],
        *([verb, "--no-such-option"] for verb in cli.commands),
        ["backfill"],
        ["backfill", "polygon", "--only", "some"],
        ["backfill", "polygon", "--failed", "--only", "all"],
        ["gaps", "--all", "polygon"],
        ["status", "--days", "0"],
        ["list", "--days", "3", "--from", "2024-01-02"],
        ["verify", "--from", "the day before"],
        ["export", "excel", "ib/bars_1m/AAPL"],
        ["export", "csv"],
        ["export", "csv", "ib/bars_1m/AAPL", "--allow", "anything"],
        ["accept-hole", "ib/bars_1m/AAPL", "2024-01-02"],
        ["backfill", "theta", "--from", "2024-01-03", "--to", "2024-01-02"],
        ["gaps", "--from", "2024-01-06", "--to", "2024-01-07"],
        ["status", "polgon"],
        ["verify", "theta/*/IWM"],
        ["offers", "theta"],
    ]
    ended = subprocess.run(
        [sys.executable, "-c", CALLS],
        input=json.dumps([*right, *wrong]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    calls = dict(zip(map(tuple, (*right, *wrong)), json.loads(ended.stdout), strict=True))
    for arguments in right:
        code, said, _ = calls[tuple(arguments)]
        assert not code, (arguments, said)
    for arguments in wrong:
        code, said, _ = calls[tuple(arguments)]
        assert code == 2, (arguments, said)
        assert said.startswith("Error: ") or arguments == [], (arguments, said)
    for arguments, (_, _, modules) in calls.items():
        assert not {*modules} & {*HEAVY}, arguments


@pytest.mark.parametrize("verb", [*cli.commands])
def test_each_command_says_what_it_does_in_a_line_of_the_list(verb: str) -> None:
    summary = cli.commands[verb].short_help
    assert summary
    assert summary.endswith(".")
    assert len(f"  {verb:<13}{summary}") <= 80
