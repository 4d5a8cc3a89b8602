"""The calendar of a dataset as a picture in the terminal and as a page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from data_assets.cli.project import datasets, definitions
from data_assets.orchestration.coverage import Change, Coverage
from data_assets.orchestration.coverage_asset import ASSET
from data_assets.orchestration.coverage_page import coverage_page
from data_assets.sandbox.faults import Fault
from data_assets_tests.cli.called import Call
from data_assets_tests.orchestration.in_process import QUIET, InProcess, flip_a_byte, in_process_project
from data_assets_tests.permissions import closed

QQQ, MONTHS = "theta/option_quotes/QQQ", "polygon/minute_aggs_monthly"
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
RED, HOLE = DAYS[1], DAYS[3]
JULY = ("--from", DAYS[0], "--to", "2024-07-19")
FAULTS = [Fault(kind="renamed_column", day=date.fromisoformat(RED))]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """Two stored days, a red one, a hole, and others that nobody has asked for."""
    with in_process_project(tmp_path_factory.mktemp("coverage"), faults=FAULTS) as project:
        for day in DAYS[:3]:
            project.materialize({"dagster/partition": day})
        yield project


def rows(text: str) -> dict[str, str]:
    """The marks of each year by what stands before them."""
    return {line[:4]: line[5:] for line in text.splitlines() if re.match(r"\d{4} ", line)}


def test_a_year_is_a_row_and_a_week_a_character(project: InProcess, call: Call) -> None:
    assert call("accept-hole", QQQ, HOLE, "--reason", "a test").code in (0, None)

    shown = call("coverage", QQQ, *JULY)

    # Weeks from Monday, July 1 on, the 27th of 2024: one with a red day, two that are missing.
    assert shown.code == 1, "a day has failed"
    assert rows(shown.stdout) == {"2024": " " * 26 + "x··" + " " * 25 + " 3/14"}
    assert "x failed" in shown.stdout

    def year(*asked: str) -> str:
        return rows(call("coverage", QQQ, *asked).stdout)["2024"]

    assert year("--from", DAYS[0], "--to", DAYS[0]) == " " * 26 + "█" + " " * 27 + " 1/1"
    assert year("--from", HOLE, "--to", HOLE) == " " * 26 + "o" + " " * 27 + " 1/1"
    assert year("--from", DAYS[2], "--to", "2024-07-08") == " " * 26 + "o·" + " " * 26 + " 2/3"
    assert year("--from", "2024-12-30", "--to", "2024-12-31")[52] == "·", "the last week of a year that begins Monday"


def test_months_fill_the_weeks_that_they_have_and_narrow_terminals_get_two_in_a_character(
    project: InProcess, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows(call("coverage", MONTHS, "--from", "2024-01", "--to", "2024-12").stdout)
    assert whole == {"2024": "·" * 53 + " " + " 0/12"}
    monkeypatch.setenv("COLUMNS", "45")

    narrow = call("coverage", MONTHS, "--from", "2024-02", "--to", "2024-03")

    assert rows(narrow.stdout) == {"2024": " " * 2 + "·" * 5 + " " * 20 + " 0/2"}
    assert max(map(len, narrow.stdout.splitlines())) <= 45
    assert "two weeks" in " ".join(narrow.stdout.split())


def test_the_document_has_the_state_of_each_day(project: InProcess, call: Call) -> None:
    asked = call("coverage", QQQ, "--from", DAYS[0], "--to", DAYS[2], "--json")

    assert asked.code == 1
    assert asked.document == {QQQ: {DAYS[0]: "stored", RED: "failed", DAYS[2]: "stored"}}
    assert call("coverage", QQQ, "--failed", "--json").document == {QQQ: {RED: "failed"}}


def test_the_page_says_what_is_stored_what_failed_and_which_checks_did(
    project: InProcess, call: Call, tmp_path: Path
) -> None:
    flip_a_byte(project.file(DAYS[2]))
    project.execute_checks(["integrity"], {"dagster/partition": DAYS[2]})
    file = tmp_path / "page.html"
    before = len(project.theta.requests)

    written = call("coverage", QQQ, *JULY, "--html", os.path.relpath(file))

    assert written.code == 1
    assert written.stdout.startswith(f"wrote {file} (")
    page = file.read_text()
    assert f'<li class=s title="{DAYS[0]} stored">' in page
    assert f'title="{RED} failed">' in page
    assert f'title="{DAYS[2]} stored, did not pass: integrity">' in page, "a check that only warns does not either"
    assert 'title="2024-07-19 missing">' in page
    assert "Rejected: " in page, "why the day failed is among what changed lately"
    assert re.search(r"rows:? [\d,]+", page), "rows of the day"
    assert f"<title>{DAYS[0]}: " in page, "some number differs from day to day"
    assert "http" not in page, "nothing is loaded from anywhere"
    assert "calc(26*(var(--c) + 1px))" in page, "July begins in the 27th week, below its initial"
    assert "Nothing is stored of" not in page

    everything = project.folder / "everything.html"
    assert call("coverage", QQQ, "--html", str(everything)).code == 1
    newest = datasets()[QQQ].partitions.get_last_partition_key()
    text = everything.read_text()
    assert f"Nothing is stored of 2016 to 2023, 2025 to {newest[:4]}: " in text
    assert 'title="2023-' not in text, "years without anything have no cells"
    assert list(tmp_path.iterdir()) == [file]
    assert len(project.theta.requests) == before


def test_of_a_day_whose_folder_is_closed_one_line_is_said(project: InProcess, call: Call) -> None:
    day = ("coverage", QQQ, "--from", DAYS[0], "--to", DAYS[0])
    assert call(*day).code == 0
    (folder,) = (project.folder / "lake").rglob(f"option_quotes/QQQ/date={DAYS[0]}")
    with closed(folder):
        shown = call(*day)
    assert shown.code == 1
    assert f"nobody can look for the files of {DAYS[0]}" in shown.stderr


def test_a_page_that_cannot_be_written_is_one_line(project: InProcess, call: Call, tmp_path: Path) -> None:
    nowhere = call("coverage", QQQ, "--days", "1", "--html", str(tmp_path / "none" / "page.html"))
    assert nowhere.code == 2
    assert "there is no folder" in nowhere.stderr
    assert call("coverage", "--html", str(tmp_path / "page.html"), "--json").code == 2
    with closed(tmp_path, mode=0o500):
        refused = call("coverage", QQQ, "--days", "1", "--html", str(tmp_path / "page.html"))
    assert refused.code == 1
    assert refused.stderr.count("\n") == 1
    assert "cannot be written" in refused.stderr


def test_days_that_were_stored_on_one_date_are_one_line(project: InProcess) -> None:
    def change(hour: int, dataset: str, day: str, what: str) -> Change:
        return Change(
            datetime(2026, 11, 24, hour, tzinfo=UTC), dataset, day, what, is_bad=not what.startswith("stored")
        )

    changes = [
        change(4, QQQ, DAYS[0], "stored, 10 rows"),  # the evening before, in New York
        change(14, QQQ, DAYS[1], "stored, 10 rows"),
        change(15, "ib/bars_1m/AAPL", DAYS[0], "stored, 390 rows"),
        change(16, QQQ, DAYS[2], "Failed: gone"),
        change(17, QQQ, DAYS[3], "stored, 20 rows"),
    ]
    found = Coverage(datasets()[QQQ], states={}, verdicts={}, numbers={}, changes=changes[::-1])

    page = coverage_page([found], lake="lake", synthetic=True, now=datetime(2026, 11, 25, tzinfo=UTC))

    listed = re.findall(r"<tr><td>(2026-.*)\n<td[^>]*>(.*)<td[^>]*>(.*)\n<td[^>]*>(.*)", page.replace("<wbr>", ""))
    assert listed == [
        ("2026-11-24 12:00", QQQ, f"{DAYS[1]} to {DAYS[3]} (2)", "stored"),
        ("2026-11-24 11:00", QQQ, DAYS[2], "Failed: gone"),
        ("2026-11-24 10:00", "ib/bars_1m/AAPL", DAYS[0], "stored, 390 rows"),
        ("2026-11-23 23:00", QQQ, DAYS[0], "stored, 10 rows"),
    ]


def test_the_page_is_an_asset_that_is_asked_for_when_days_were_recorded(project: InProcess) -> None:
    sensor = definitions().resolve_sensor_def("refresh_coverage_page")

    def asks(cursor: str | None, minutes: int = 0) -> tuple[int, str]:
        """Ask the sensor, so long after it has left the cursor."""
        if cursor is not None:
            cursor = json.dumps({**json.loads(cursor), "at": json.loads(cursor)["at"] - 60 * minutes})
        with dg.build_sensor_context(instance=project.instance, cursor=cursor) as context:
            found = sensor.evaluate_tick(context)
            return len(found.run_requests or []), found.cursor or cursor or ""

    asked, cursor = asks(None)
    assert asked == 1
    assert asks(cursor, minutes=29)[0] == 0
    asked, second = asks(cursor, minutes=31)
    assert asked == 1, "no page has come of it"
    assert asks(second, minutes=59)[0] == 0
    assert asks(second, minutes=61)[0] == 1

    job = definitions().resolve_implicit_global_asset_job_def()
    ran = job.execute_in_process(asset_selection=[ASSET], instance=project.instance, run_config=QUIET)
    assert ran.success
    assert f'title="{RED} failed">' in (project.folder / ".state" / "coverage.html").read_text()

    assert asks(second, minutes=61)[0] == 0, "nothing was recorded since"
    project.materialize({"dagster/partition": DAYS[0]})
    assert asks(second)[0] == 0, "the page is a moment old"
    assert asks(second, minutes=16)[0] == 1
