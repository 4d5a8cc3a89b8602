"""The last word of a run: what it has brought, as a line of its log and as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_assets.cli.local_run import run_range
from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Failed, NoData, Stored
from data_assets.ingest.progress import Phase, Progress
from data_assets.ingest.run_summary import RunSummary, VerifySummary, summarize
from data_assets.orchestration.verify_run import VERIFY
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import (
    ASSET,
    CHECKS,
    InProcess,
    flip_a_byte,
    in_process_project,
    of_days,
)

pytestmark = pytest.mark.slow

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
BAD = DAYS[1]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    """The vendor sends one day wrongly, once."""
    fault = Fault(kind="renamed_column", day=date.fromisoformat(BAD), times=1)
    with in_process_project(tmp_path, faults=[fault]) as project:
        yield project


def last_of_ours(project: InProcess, run_id: str) -> tuple[str, dict[str, Any]]:
    """The last line of the step's log before Dagster's own end of it: its text, and its metadata."""
    kinds = {
        "STEP_OUTPUT",
        "STEP_FAILURE",
        "STEP_SUCCESS",
        "RUN_FAILURE",
        "RUN_SUCCESS",
        "PIPELINE_FAILURE",
        "PIPELINE_SUCCESS",
    }
    found: list[tuple[str, dict[str, Any]]] = []
    for entry in project.instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None and "did not yield or return expected outputs" in entry.user_message:
            break  # Dagster's own, of a step whose checks log their evaluations themselves
        if event is None:
            found.append((entry.user_message, {}))
        elif event.event_type_value in kinds:
            break
        elif event.event_type_value == "ENGINE_EVENT":
            metadata = event.engine_event_data.metadata
            found.append((event.message or "", {name: each.value for name, each in metadata.items()}))
        else:
            found.append((event.event_type_value, {}))
    return found[-1]


def test_a_run_ends_with_one_line_that_sums_it_up_and_holds_the_numbers(project: InProcess) -> None:
    run = project.materialize(of_days(DAYS[0], DAYS[2]))

    text, numbers = last_of_ours(project, run.run_id)

    stored = [record.asset_materialization for record in project.materializations()]
    rows = sum(int(str(each.metadata["rows"].value)) for each in stored if each)
    size = sum(project.file(day).stat().st_size for day in DAYS if day != BAD)
    assert text.startswith(f"theta/option_quotes/QQQ: 2 of 3 days stored · 1 rejected · {rows:,} rows · ")
    assert {name: numbers[name] for name in ("stored", "rejected", "failed", "no_data", "rows", "MB")} == {
        "stored": 2,
        "rejected": 1,
        "failed": 0,
        "no_data": 0,
        "rows": rows,
        "MB": round(size / 1e6, 3),
    }
    assert numbers["slowest"] in DAYS
    assert 0 < numbers["slowest_seconds"] <= numbers["seconds"]
    again = project.materialize(of_days(DAYS[0], DAYS[2]))
    assert last_of_ours(project, again.run_id)[0].startswith("theta/option_quotes/QQQ: 3 of 3 days stored · ")


def test_the_line_says_how_every_day_ended() -> None:
    summary = RunSummary(40, 2, {"NoData": 3, "Failed": 1}, 4, 1_234_567, 58_100_000, 130.4, (date(2024, 7, 1), 61.0))
    assert summary.line() == (
        "40 of 50 days stored · 2 stored before · 1 failed · 3 no data · 4 not finished · 1,234,567 rows · 58.1 MB · "
        "took 2 min 10 s · slowest 2024-07-01, 1 min 1 s"
    )
    nothing = RunSummary(0, 0, {}, 1, 0, 0, 2.0, None)
    assert nothing.line("month") == "0 of 1 month stored · 1 not finished · 0 rows · 0.0 MB · took 2 s"


def test_the_slowest_day_is_the_one_that_was_in_work_longest() -> None:
    now = [0.0]
    progress = Progress(lambda: now[0])
    progress.begin(3)
    first, second, third = (date(2024, 7, number) for number in (1, 2, 3))
    outcomes = {first: Stored("p", 5, 7, "0" * 64), second: NoData("none"), third: Failed("not asked", tried=False)}
    for day, begins, ends in ((first, 1.0, 4.0), (second, 4.0, 6.0)):
        now[0] = begins
        progress.day_begun(day).enter(Phase.FETCHING)
        now[0] = ends
        progress.day_ended(day, outcomes[day])
    progress.day_ended(third, outcomes[third])

    summary = summarize(IngestReport(outcomes, (), None, None), progress.snapshot(), 0)

    assert summary.slowest == (first, 3.0)
    assert (summary.stored, summary.not_stored, summary.rows, summary.size) == (1, {"NoData": 1, "Failed": 1}, 5, 7)


@pytest.mark.parametrize("how", ["a run that verifies", "a run of the checks"])
def test_a_run_that_reads_days_again_ends_with_what_it_found(project: InProcess, how: str) -> None:
    """The vendor's bad day was stored at the second try; then one file rots, and one is gone."""
    for _ in range(2):
        run_range(project.instance, ASSET, DAYS[0], DAYS[2])
    flip_a_byte(project.file(DAYS[0]))
    project.file(DAYS[1]).unlink()
    whole = next(each for each in project.materializations() if each.partition_key == DAYS[2]).asset_materialization
    assert whole
    rows, size = int(str(whole.metadata["rows"].value)), project.file(DAYS[2]).stat().st_size

    days = of_days(DAYS[0], DAYS[2])
    if how == "a run that verifies":
        run = project.materialize(days | {VERIFY: "true"})
    else:
        run = project.execute_checks(CHECKS, days)

    text, numbers = last_of_ours(project, run.run_id)
    assert text.startswith(
        "theta/option_quotes/QQQ: 1 of 3 days whole · 1 another file than recorded · 1 missing · "
        f"{rows:,} rows · {size / 1e6:.1f} MB · took "
    )
    seconds = numbers.pop("seconds")
    assert isinstance(seconds, float)
    assert numbers == {
        "whole": 1,
        "not_whole": 2,
        "another_file_than_recorded": 1,
        "missing": 1,
        "rows": rows,
        "MB": round(size / 1e6, 3),
    }


def test_a_day_that_was_never_stored_is_counted_and_failed_checks_are_named(project: InProcess) -> None:
    run_range(project.instance, ASSET, DAYS[0], DAYS[0])

    run = project.execute_checks(CHECKS, of_days(DAYS[0], DAYS[1]))

    text, _ = last_of_ours(project, run.run_id)
    assert text.startswith("theta/option_quotes/QQQ: 1 of 2 days whole · 1 without a record · ")
    found = VerifySummary(2, {"damaged": 1}, 1_000, 2_000_000, 3.0, {"grid": 2})
    assert found.line("month") == "2 of 3 months whole · 1 damaged · 2 failed grid · 1,000 rows · 2.0 MB · took 3 s"
    assert found.metadata()["failed_grid"] == 2
