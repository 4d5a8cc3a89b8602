"""What the command shows where eighty columns are not there: in narrow terminals, and in pipes."""

from __future__ import annotations

import io
import re
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest
from click.testing import CliRunner
from rich.console import Console

from data_assets.cli import cli
from data_assets.cli.display import Display
from data_assets.ingest.progress import ActiveDay, Phase, Snapshot
from data_assets_tests.orchestration.in_process import in_process_project, of_days

NAME = "theta/option_open_interest/SPX"
LONGEST_PHASE = max(Phase, key=len)
ACTIVE = tuple(ActiveDay(date(2024, 7, day), LONGEST_PHASE, 3, 190_000_000, 2_400_000) for day in (1, 2, 3))
WORKING = Snapshot(
    total=2593,
    done=12,
    counts=MappingProxyType({}),
    active=ACTIVE,
    bytes_per_second=45e6,
    rows_per_second=310_000.0,
    concurrency=16,
    elapsed=100.0,
    slowest=None,
    waits=(),
    eta=90_061.0,
)


@pytest.mark.parametrize("columns", [45, 50, 60, 80, 120])
def test_the_live_picture_fits_and_cuts_neither_day_nor_phase_nor_count(columns: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=columns, force_terminal=True, color_system=None)

    console.print(Display(NAME, 2593, console)._picture(WORKING))

    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    flat = re.sub(r"\s+", " ", " ".join(lines))
    assert "12/2593 days" in flat
    assert "ETA 25 h 1 min" in flat
    for active in ACTIVE:
        assert any(str(active.day) in line for line in lines)
    assert sum(str(LONGEST_PHASE) in line for line in lines) == len(ACTIVE)


def test_tables_are_whole_however_narrow_the_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_process_project(tmp_path) as project:
        assert project.materialize(of_days("2024-07-01", "2024-07-02")).success
        monkeypatch.setenv("COLUMNS", "50")

        ended = CliRunner().invoke(cli, ["status", "theta", "--from", "2024-07", "--to", "2024-07-03"])

    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert "…" not in ended.stdout
    assert any(
        re.fullmatch(r"theta/option_quotes/QQQ +2 +0 +1 +2024-07-01 to 2024-07-02", line.rstrip()) for line in lines
    )
    assert any(re.fullmatch(r" *2024-07-02 +stored +[\d,]+ +0\.\d\d .* 1 +all 5 pass", line.rstrip()) for line in lines)
    assert any(re.match(r" *2024-07-03 +missing +-", line) for line in lines)
    assert f"lake: {project.folder}/lake/live" in lines
    assert max(map(len, lines)) < 130, "no wider than what is in it"
