"""What failed last is listed with its reason, and `retry` asks again for exactly that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from data_assets.orchestration.partitions import partition_keys
from data_assets.sandbox.faults import EOD_ENDPOINT, Fault
from data_assets_tests.cli.called import Call, Called
from data_assets_tests.end_to_end.project_folder import ALL_STORED
from data_assets_tests.orchestration.in_process import InProcess, in_process_project

QQQ, EOD = "theta/option_quotes/QQQ", "theta/option_eod/SPX"
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
JULY = ("--from", DAYS[0], "--to", DAYS[-1])
FAULTS = [
    *(Fault(kind="renamed_column", day=date.fromisoformat(day), times=1) for day in DAYS[1:3]),
    Fault(kind="renamed_column", endpoint=EOD_ENDPOINT, day=date.fromisoformat(DAYS[3]), times=1),
]


@pytest.fixture
def project(tmp_path: Path, call: Call) -> Iterator[InProcess]:
    """Two days of one dataset failed, one of another; older days were never asked for."""
    with in_process_project(tmp_path, faults=FAULTS) as project:
        assert call("backfill", QQQ, EOD, *JULY).code == 1
        yield project


def failed_days(ended: Called) -> dict[str, list[tuple[str, str]]]:
    return {
        name: [(each["day"], each["outcome"]) for each in listed["failed_days"]]
        for name, listed in ended.document.items()
        if listed["failed_days"]
    }


def test_failed_days_are_listed_newest_first_and_the_printed_command_stores_them(
    project: InProcess, call: Call
) -> None:
    told, document = call("list", "--failed"), call("list", "--failed", "--json")

    assert (told.code, document.code) == (1, 1)
    assert failed_days(document) == {
        EOD: [(DAYS[3], "Rejected")],
        QQQ: [(DAYS[2], "Rejected"), (DAYS[1], "Rejected")],
    }
    text = told.stdout
    assert re.search(rf"(?m)^{EOD}  failed: 1 day\n  {DAYS[3]}  Rejected: .+$", text)
    assert re.search(rf"(?m)^{QQQ}  failed: 2 days\n  {DAYS[1]} to {DAYS[2]} \(2 days\)  Rejected: .*bid.*$", text)
    before = len(project.theta.requests)

    retried = call(*told.printed("ask for all of them again with: "))

    assert retried.code == 0, retried.stderr
    asked = {request.params["date"] for request in project.theta.requests[before:] if "date" in request.params}
    asked |= {
        request.params["start_date"] for request in project.theta.requests[before:] if "start_date" in request.params
    }
    assert {date.fromisoformat(day).isoformat() for day in asked} == set(DAYS[1:]), (
        "and no day that was never asked for"
    )
    assert call("list", "--failed").stdout == "no day has failed\n"
    assert call("retry").code == 0


def test_status_of_what_failed_names_no_other_dataset(project: InProcess, call: Call) -> None:
    told = call("status", "--failed").stdout
    assert set(re.findall(r"(?m)^[a-z]+/\S+", told)) == {EOD, QQQ}

    assert call("status", "polygon", "--failed").stdout.startswith("no day has failed\n")


def test_a_selection_narrows_what_is_listed_and_retried(project: InProcess, call: Call) -> None:
    listed = call("list", "*QQQ", "--failed", "--days", "2", "--to", DAYS[2])
    assert listed.printed("ask for all of them again with: ") == ["retry", "*QQQ", "--to", DAYS[2], "--days", "2"]
    assert call("list", QQQ, "--failed", "--to", DAYS[0]).code == 0
    before = len(project.days_fetched())

    retried = call("retry", QQQ, "--to", DAYS[1], "--json")

    assert retried.code == 0
    assert retried.document == {"dataset": QQQ, "stored": [DAYS[1]], **ALL_STORED}
    assert project.days_fetched()[before:] == [DAYS[1]]
    assert failed_days(call("list", "--failed", "--json")) == {
        EOD: [(DAYS[3], "Rejected")],
        QQQ: [(DAYS[2], "Rejected")],
    }


def test_a_line_for_each_dataset(project: InProcess, call: Call) -> None:
    listed = call("list", "theta")

    assert listed.code == 1, "a day has failed"
    lines = {line.split()[0]: line.split()[1:] for line in listed.stdout.splitlines()}
    older = len(partition_keys()) - len(DAYS)
    assert lines[QQQ] == ["2", "2", f"{older:,}", DAYS[0], "to", DAYS[3]]
    assert lines[EOD] == ["3", "1", f"{older:,}", DAYS[0], "to", DAYS[2]]
    assert [name for name in lines if name.startswith("ib/")] == []
    assert call("list", "ib").code == 0
    total = f"{len(partition_keys()):,}"
    never_asked = call("gaps", "ib/bars_1m/AAPL").stdout
    assert f"0 of {total} sessions stored" in never_asked
    assert f"({total} sessions)" in never_asked
