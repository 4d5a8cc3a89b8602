"""What the command shows where eighty columns are not there, and where nobody has a width, as in pipes."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest
from rich.console import Console

from data_assets.cli.display import Display
from data_assets.cli.line_breaks import broken
from data_assets.ingest.progress import ActiveDay, Phase, Snapshot
from data_assets.sandbox.faults import Fault
from data_assets_tests.cli.called import Call, call
from data_assets_tests.orchestration.in_process import ASSET, in_process_project, of_days

__all__ = ["call"]

QQQ = ASSET.to_user_string()
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
JULY = ("--from", "2024-07-01", "--to", "2024-07-05")
VERBS = (
    ("status",),
    ("status", "theta/*/QQQ", "ib", *JULY),
    ("list",),
    ("list", "--failed"),
    ("gaps", "theta", *JULY),
    ("plan", "--all"),
    ("plan", QQQ, *JULY),
    ("coverage", QQQ, "polygon/minute_aggs_monthly"),
    ("doctor", QQQ),
    ("offers", QQQ, "2024-07-02"),
    ("backfill", "theta/*/QQQ", *JULY, "--dry-run"),
    ("backfill", QQQ, "ib", "--from", "2024-07-03", "--to", "2024-07-03", "--only", "failed"),
    (
        "accept-hole",
        QQQ,
        "2024-07-05",
        "--reason",
        "support says that the day was lost and will not come back",
    ),
    ("accept-hole", "--list"),
    ("accept-hole", QQQ, "2024-07-05", "--undo"),
    ("verify", QQQ),
    ("repair", QQQ, *JULY),
    ("reconcile", QQQ),
    ("snapshot", "study", QQQ, "--from", "2024-07-01", "--to", "2024-07-02"),
    ("snapshot", "list"),
    ("snapshot", "check", "study"),
    ("snapshot", "drop", "study"),
    ("add", "theta", "SPX", "quotes"),
    ("add", "theta", "GME", "greeks"),
    ("status", "theta/option_quotes/QQQQ"),
    ("backfill", QQQ, "--from", "2024-07-05", "--to", "2024-07-01"),
    ("--help",),
    ("backfill", "--help"),
)


@pytest.mark.parametrize("columns", [45, 50, 60, 80, 120])
def test_the_live_picture_fits_and_cuts_neither_day_nor_phase_nor_count(columns: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=columns, force_terminal=True, color_system=None)

    console.print(Display(NAME, 2593, console)._picture(WORKING))

    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    flat = re.sub(r"\s+", " ", " ".join(lines))
    assert "12/2,593 days" in flat
    assert "ETA 25 h 1 min" in flat
    for active in ACTIVE:
        assert any(str(active.day) in line for line in lines)
    assert sum(str(LONGEST_PHASE) in line for line in lines) == len(ACTIVE)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A project with stored days, one that has failed and one that is missing."""
    with in_process_project(
        tmp_path_factory.mktemp("narrow"), faults=[Fault(kind="renamed_column", day="2024-07-03")]
    ) as project:
        assert not project.materialize(of_days("2024-07-01", "2024-07-03")).success
        yield


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_no_line_is_wider_than_the_screen_and_no_word_is_cut(
    filled: None, columns: int, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("study.snapshot.json").unlink(missing_ok=True)
    for verb in VERBS:
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        ended = call(*verb)
        printed = ended.stdout + ended.stderr
        assert printed, verb
        assert "…" not in printed, (verb, printed)
        for line in printed.splitlines():
            if len(line.rstrip()) > columns:
                # A command, or one word such as a path: it is copied, so it is whole.
                indented = line.strip()
                assert "data-assets " in line or " " not in indented, (verb, columns, line)
                assert indented.startswith(("data-assets ", "/")) or " " not in indented, (verb, columns, line)


def test_a_row_without_room_for_its_columns_is_told_in_lines(
    filled: None, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    july = ("theta/*/QQQ", "--from", "2024-07", "--to", "2024-07-03")
    wide = call("status", *july).stdout.splitlines()
    monkeypatch.setenv("COLUMNS", "40")
    narrow = call("status", *july).stdout.splitlines()

    assert any(re.fullmatch(rf"{QQQ} +2 +1 +0 +2024-07-01 to 2024-07-02 *", line) for line in wide)
    assert narrow[:3] == [QQQ, "  stored 2  failed 1  missing 0", "  stored days 2024-07-01 to 2024-07-02"]
    assert any(re.fullmatch(r"2024-07-02 +stored +[\d,]+ +0\.\d\d .*1 +all 5 pass *", line) for line in wide)
    day = narrow.index("2024-07-02  stored")
    assert narrow[day + 2] == "  checks all 5 pass"
    (reason,) = [line for line in wide if line.startswith("2024-07-03  Rejected: ")]
    told = narrow.index(next(line for line in narrow if line.startswith("2024-07-03  Rejected: ")))
    assert " ".join(" ".join(narrow[told : told + 14]).split()).startswith(" ".join(reason.split()))


def test_a_text_ends_before_a_word_and_its_command_is_whole() -> None:
    command = "data-assets backfill theta/option_quotes/QQQ --from 2024-07-01 --to 2024-07-02"
    text = f"  1 day not stored; try it again with: {command}"
    assert broken(text, 40) == f"  1 day not stored; try it again with:\n    {command}"
    assert broken(text, None) == text
    assert broken("lake: /a/path/that/is/longer/than/the/screen is new", 20) == (
        "lake:\n  /a/path/that/is/longer/than/the/screen\n  is new"
    )
    assert broken("", 20) == ""


def test_a_terminal_is_measured_and_shows_no_colours_within_a_path(filled: None) -> None:
    """In a terminal of fifty columns, which nothing in the environment speaks of."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 50, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    executable = Path(sys.executable).with_name("data-assets")
    process = subprocess.Popen(
        [executable, "plan", QQQ, *JULY], stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm-256color"}
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # Linux's way to say that the other side is closed
        pass
    assert process.wait() == 0
    text = shown.decode()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert all(len(line) <= 50 for line in plain.splitlines() if " " in line.strip())
    assert f"{Path.cwd()}/lake/live:" in text, "a path in one colour"
