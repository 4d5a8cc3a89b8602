"""What a running backfill shows: a live picture in a terminal, and one plain line at a time elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import socket
import struct
import termios
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from rich.console import Console

from data_assets.cli.display import Display, open_display
from data_assets.ingest.outcome import Failed, Stored
from data_assets.ingest.progress import Progress
from data_assets.ingest.waiting import Wait
from data_assets.quality.verdict import Severity, Verdict
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import DATASET, live, sessions, span

DAYS = sessions("2024-01-02", 6)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_wait_before_a_run_is_kept_in_sight_until_it_ends(terminal):
    screen = io.StringIO()
    display = Display(DATASET, 6, Console(file=screen, force_terminal=terminal, width=120))
    starts = [datetime.now(UTC) - timedelta(seconds=waited) for waited in (0, 1, 30, 61, 62)]
    for since in starts:
        display.show_wait(Wait("run 1a2b, which uses the theta account", since, "it ends"))
    display.show_wait(None)
    display.say("then the run")

    text = " ".join(CONTROL.sub("", screen.getvalue()).split())
    told = starts if terminal else (starts[0], starts[3])
    for since in told:
        assert f"waiting for run 1a2b, which uses the theta account, since {since:%H:%M}" in text
    assert text.count("waiting for") == (6 if terminal else 2), (
        "a line a minute, or a picture as often as it is told, and once as it goes"
    )
    assert ("1 min 2 s so far" in text) == terminal
    assert text.rstrip().endswith("then the run")


def test_a_run_goes_on_when_nobody_reads_its_screen_any_more(monkeypatch):
    """As with ``2>&1 | head -1``: what a day's end is told after the day's file was published must not raise."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with open_display(DATASET, 2) as display:
            assert b"2 days to do" in os.read(reader, 1000)
            os.close(reader)
            display.day_ended(date(2024, 1, 3), Stored(rows=390, size=12_000, sha256="", path=""))
            display.say("x" * 100_000)
            display.day_ended(date(2024, 1, 2), Failed("the body stopped short"))


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_a_live_picture(theta, live_project, columns):
    project = live_project(theta(bytes_per_second=200_000), THETA_MAX_CONCURRENT_REQUESTS="2", TERM="xterm-256color")
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = bytearray()
    reader = threading.Thread(target=read_all, args=(terminal, shown))
    reader.start()

    command = project.start_executable("backfill", DATASET, *span(DAYS), stdin=inside, stderr=inside)
    os.close(inside)
    ended = command.end()
    reader.join()

    assert (ended.returncode, ended.stdout) == (0, ""), shown.decode()
    raw = shown.decode()
    assert "\x1b[" in raw, "a live picture is drawn with control sequences"
    text = CONTROL.sub("", raw)
    for part in (
        rf"{DATASET}  ━+",
        r"[1-5]/6 days",
        r"\d+\.\d MB/s",
        r"[\d,]+ rows/s",
        r"2 at once",
        r"ETA \d+ s",
        rf"{DAYS[0]} +fetching",
    ):
        assert re.search(part, text), f"{part} was never shown: {text[-3000:]}"
    for day in DAYS:
        assert re.search(rf"✓ {day}  [\d,]+ rows", text)
    assert f"{DATASET}: 6 of 6 days stored" in text
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= columns


def read_all(terminal: int, shown: bytearray) -> None:
    try:
        while block := os.read(terminal, 65536):
            shown.extend(block)
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(terminal)


def test_elsewhere_each_line_is_whole_and_plain(theta, live_project):
    server = theta(bytes_per_second=100_000, faults=[Fault(kind="renamed_column", day=DAYS[0])])
    project = live_project(server, THETA_MAX_CONCURRENT_REQUESTS="2")

    ended = project.run("backfill", DATASET, *span(DAYS))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", ended.stderr)
    expected, first, *lines, summary, hint = ended.stderr.splitlines()
    stored = [line for line in lines if re.fullmatch(r"✓ \S+  [\d,]+ rows  [\d.]+ [Mk]B", line)]
    failed = [line for line in lines if line.startswith(f"✗ {DAYS[0]}  Rejected: ")]
    progress = [
        line
        for line in lines
        if re.fullmatch(
            r"\d/6 days · .*\d MB/s · \S+ rows/s · \d at once · ETA (unknown|\d+ s|.* min .*)"
            r"|6/6 days · 1 rejected · took \d+ s",
            line,
        )
    ]
    assert expected.startswith("expected: 6 days, 6 requests, ")
    assert first == f"{DATASET}: 6 days to do"
    assert sorted(line.split()[1] for line in stored) == DAYS[1:]
    assert len(failed) == 1
    assert progress
    assert len(stored) + len(failed) + len(progress) == len(lines)
    assert summary == f"{DATASET}: 5 of 6 days stored"
    assert (
        hint == f"1 day not stored; try it again with: data-assets backfill {DATASET} --from {DAYS[0]} --to {DAYS[0]}"
    )


def test_a_stored_day_says_how_many_tries_it_took(theta, live_project):
    project = live_project(theta(faults=[Fault(kind="cut", day=DAYS[1], times=2)]))

    ended = project.run("backfill", DATASET, *span(DAYS[:2]))

    assert ended.returncode == 0, ended.stderr
    line = {line.split()[1]: line for line in ended.stderr.splitlines() if line.startswith("✓")}
    assert re.fullmatch(r"✓ \S+  [\d,]+ rows  [\d.]+ [Mk]B  \(3 attempts\)", line[DAYS[1]])
    assert "attempts" not in line[DAYS[0]]


def test_what_is_said_of_all_older_days_is_said_once(new_project):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        project = new_project(**live(f"http://127.0.0.1:{closed.getsockname()[1]}/v3"))
        ended = project.run("backfill", DATASET, *span(DAYS))

    assert ended.returncode == 1, ended.stderr
    days = [line for line in ended.stderr.splitlines() if line.startswith(("✗", "  and"))]
    *each, rest = days
    assert each[0].startswith(f"✗ {DAYS[-1]}  Failed: the Theta Terminal is not running")
    assert re.fullmatch(rf"  and {len(DAYS) - len(each)} older days? for the same reason", rest)
    assert f"{DATASET}: 0 of 6 days stored" in ended.stderr


STORED = Stored("p", 1, 1, "0" * 64)
REFUSED = Failed("no terminal", tried=False)


@pytest.mark.parametrize(
    ("outcomes", "lines"),
    [
        ([REFUSED], ["✗ 1"]),
        ([REFUSED, REFUSED], ["✗ 1", "  and 1 older day for the same reason"]),
        ([Failed("no terminal"), REFUSED, REFUSED], ["✗ 1", "  and 2 older days for the same reason"]),
        ([Failed("cut"), Failed("cut")], ["✗ 1", "✗ 2"]),
        ([REFUSED, REFUSED, Failed("cut"), REFUSED], ["✗ 1", "  and 1 older day for the same reason", "✗ 3", "✗ 4"]),
        ([REFUSED, STORED, REFUSED], ["✗ 1", "✓ 2", "✗ 3"]),
    ],
)
def test_only_days_that_were_not_asked_for_are_counted_together(outcomes, lines):
    screen = io.StringIO()
    display = Display(DATASET, len(outcomes), Console(file=screen))

    with display.watch(Progress()):
        for number, outcome in enumerate(outcomes, 1):
            display.day_ended(date(2024, 1, number), outcome)

    shown = [re.sub(r"2024-01-0(\d)  .*", r"\1", line) for line in screen.getvalue().splitlines()]
    assert shown == lines


def test_a_day_that_is_judged_again_after_its_line_gets_another_and_the_last_verdict_counts():
    def verdict(name: str, *, passed: bool, severity: Severity = "error") -> Verdict:
        return Verdict(name, passed, severity, "what was found")

    screen, progress, (first, second) = io.StringIO(), Progress(), (date(2024, 1, 2), date(2024, 1, 3))
    display = Display(DATASET, 2, Console(file=screen, width=200))
    with display.watch(progress):
        progress.begin(2)
        for day in (second, first):
            progress.day_begun(day)
        display.day_judged(second, [verdict("volume", passed=True), verdict("ohlc", passed=False, severity="warn")])
        display.day_ended(second, STORED)
        progress.day_ended(second, STORED)
        display.day_judged(first, [verdict("trades", passed=False)])
        display.day_ended(first, STORED)
        progress.day_ended(first, STORED)
        display.day_judged(second, [verdict("volume", passed=False)])
        display.day_judged(first, [verdict("trades", passed=True)])
    display.summary([f"{first}", f"{second}"], {}, False, [])

    shown = [re.sub(r"\d+ rows? +\d+ kB", "n rows", line) for line in screen.getvalue().splitlines()]
    assert shown == [
        f"✓ {second}  n rows  warning: ohlc",
        f"! {first}  n rows  failed trades",
        f"! {second}  judged again  failed volume  warning: ohlc",
        f"{DATASET}: 2 of 2 days stored, 1 day failed a check (volume), 1 day with a warning (ohlc)",
        f"what was found: data-assets status {DATASET} --from {second} --to {second}",
    ]
