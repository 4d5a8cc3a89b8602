"""Runs over ranges of days, in this process: what the event log holds of each day afterwards."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any

import dagster as dg
import polars as pl
import pytest

from data_assets.cli.local_run import run_range
from data_assets.ingest.outcome import MACHINE, WRITTEN_AT, Outcome, Scalar, Stored
from data_assets.orchestration import day_run
from data_assets.orchestration.dataset import Recorded
from data_assets.orchestration.day_run import DayRecorder
from data_assets.orchestration.integrity import as_recorded, recorded_file
from data_assets.quality.verdict import Verdict
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import (
    ASSET,
    CHECKS,
    InProcess,
    flip_a_byte,
    in_process_project,
    of_day,
    of_days,
    why_not_stored,
)
from data_assets_tests.vendors.theta.option_days import asked

WEEK = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]
"""With an early close, a holiday inside and a weekend."""
BAD = "2024-07-03"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        yield project


def metadata_of(record: dg.EventLogRecord) -> dict[str, object]:
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_a_range_materializes_each_day_once_with_what_is_in_its_file(project: InProcess) -> None:
    result = run_range(project.instance, ASSET, WEEK[0], WEEK[-1])

    assert result.success
    assert project.times_materialized() == Counter(WEEK)
    assert project.states(WEEK) == dict.fromkeys(WEEK, "stored")
    for record in project.materializations():
        assert record.partition_key is not None
        file = project.file(record.partition_key)
        frame, metadata = pl.read_parquet(file), metadata_of(record)
        contracts = frame.select("expiration", "strike", "right").unique().height
        silent = (pl.col("bid") == 0) & (pl.col("ask") == 0)
        at_the_open = pl.col("timestamp").dt.strftime("%H:%M") == "13:30"
        quotes = frame.filter(~(silent & at_the_open))
        crossed = quotes.filter((pl.col("bid") > pl.col("ask")) & (pl.col("ask") > 0)).height
        assert metadata["rows"] == frame.height > 0
        assert metadata["contracts"] == contracts == 8
        assert metadata["MB"] == round(file.stat().st_size / 1e6, 3)
        assert metadata["size"] == file.stat().st_size
        assert metadata["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert metadata["path"] == str(file)
        assert metadata["synthetic"] is False, "the live profile's own statement"
        assert metadata["crossed_share"] == pytest.approx(crossed / quotes.height)
        assert metadata["no_quote_share"] == pytest.approx(quotes.filter(silent).height / quotes.height)
        assert float(str(metadata["seconds"])) > 0
        assert float(str(metadata["rows_per_second"])) > 0
        header, _, *rows = str(metadata["preview"]).splitlines()
        assert len(header.split("|")) == len(frame.columns) + 2
        assert len(rows) == 5


def test_plotted_metadata_are_numbers_and_the_preview_is_markdown(project: InProcess) -> None:
    run_range(project.instance, ASSET, BAD, BAD)

    (record,) = project.materializations()
    assert record.asset_materialization is not None
    values = record.asset_materialization.metadata
    for name in ("rows", "contracts", "MB", "seconds", "rows_per_second", "crossed_share", "no_quote_share"):
        assert isinstance(values[name], dg.IntMetadataValue | dg.FloatMetadataValue), name
    assert isinstance(values["preview"], dg.MarkdownMetadataValue)
    assert isinstance(values["path"], dg.PathMetadataValue)


def test_a_run_writes_no_variable_of_the_environment(project: InProcess) -> None:
    """Native code of other threads reads them at any time, without a lock: writing one beside it ends in SIGSEGV."""
    written: list[object] = []
    watching = True

    def note(event: str, details: tuple[object, ...]) -> None:
        if watching and event in ("os.putenv", "os.unsetenv"):
            written.append(details)

    sys.addaudithook(note)  # for good: there is no way to take one back
    try:
        assert run_range(project.instance, ASSET, WEEK[0], WEEK[-1]).success
    finally:
        watching = False

    assert written == []


def test_an_account_without_the_data_is_asked_by_one_request_and_every_day_says_so(tmp_path: Path) -> None:
    with in_process_project(tmp_path, tier="free") as project:
        assert not run_range(project.instance, ASSET, WEEK[0], WEEK[-1]).success

        assert len(asked(project.theta)) == 1
        assert project.states(WEEK) == dict.fromkeys(WEEK, "failed")
        told = [why_not_stored(project.instance, ASSET, day) for day in WEEK]
        assert {outcome for outcome, _ in filter(None, told)} == {"NotEntitled"}
        assert [
            reason.startswith("not asked: the vendor refused the newer day") for _, reason in filter(None, told)
        ] == ([True] * 4 + [False])


def test_a_day_that_does_not_store_is_failed_with_its_reason_and_the_others_are_stored(tmp_path: Path) -> None:
    with in_process_project(tmp_path, faults=[Fault(kind="renamed_column", day=date.fromisoformat(BAD))]) as project:
        result = run_range(project.instance, ASSET, WEEK[0], WEEK[-1])

        assert not result.success
        good = [day for day in WEEK if day != BAD]
        assert project.states(WEEK) == {**dict.fromkeys(good, "stored"), BAD: "failed"}
        assert project.times_materialized() == Counter(good)
        assert not project.file(BAD).exists()
        outcome, reason = why_not_stored(project.instance, ASSET, BAD) or ("", "")
        assert outcome == "Rejected"
        assert "bid" in reason
        (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
        assert failure.user_failure_data is not None
        assert (failure.user_failure_data.description or "").endswith(
            f"1 of 5 days did not store. {BAD} Rejected: {reason}"
        )


def test_the_next_run_of_the_failed_day_turns_it_green_and_leaves_the_others_alone(tmp_path: Path) -> None:
    once = Fault(kind="renamed_column", day=date.fromisoformat(BAD), times=1)
    with in_process_project(tmp_path, faults=[once]) as project:
        run_range(project.instance, ASSET, WEEK[0], WEEK[-1])
        assert project.states([BAD]) == {BAD: "failed"}

        assert run_range(project.instance, ASSET, BAD, BAD).success

        assert project.states(WEEK) == dict.fromkeys(WEEK, "stored")
        assert project.times_materialized() == Counter(WEEK)
        assert Counter(project.days_fetched()) == Counter([*WEEK, BAD])


@pytest.mark.parametrize("tags", [of_day(BAD), of_days(BAD, BAD)], ids=["one day", "a range of one day"])
def test_a_stored_day_is_recorded_once_however_its_run_was_launched(project: InProcess, tags: dict[str, str]) -> None:
    result = project.materialize(tags)

    assert result.success
    assert project.times_materialized() == Counter([BAD])
    assert Counter((each.check, each.day) for each in project.evaluations(result.run_id)) == Counter(
        (name, BAD) for name in CHECKS
    )


def test_an_interrupt_that_polars_takes_while_a_day_is_recorded_stops_the_run(
    project: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its SIGINT handler stands before the process's own: a call of it that is under way raises in its thread."""
    record, stored = DayRecorder._record, []

    def interrupted(recorder: DayRecorder, day: date, outcome: Outcome) -> None:
        if stored:
            raise KeyboardInterrupt
        stored.append(day.isoformat())
        record(recorder, day, outcome)

    monkeypatch.setattr(DayRecorder, "_record", interrupted)
    assert not run_range(project.instance, ASSET, WEEK[0], WEEK[-1]).success

    (run,) = project.instance.get_runs()
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert project.states(WEEK) == {day: "stored" if day in stored else "missing" for day in WEEK}


def test_a_day_is_judged_by_the_file_that_is_recorded(project: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its judging begins before its record is there."""
    record, outcomes = DayRecorder._record, {}

    def spoilt_on_the_second_day(recorder: DayRecorder, day: date, outcome: Outcome) -> None:
        outcomes[day.isoformat()] = outcome
        if len(outcomes) == 2:
            flip_a_byte(project.file(day.isoformat()))
        record(recorder, day, outcome)

    monkeypatch.setattr(DayRecorder, "_record", spoilt_on_the_second_day)
    assert run_range(project.instance, ASSET, *WEEK[:2]).success

    spoilt = list(outcomes)[1]
    (run,) = project.instance.get_runs()
    judged = project.evaluations(run.run_id)
    assert {each.check for each in judged if each.day == spoilt and not each.passed} == set(CHECKS)
    assert {each.check for each in judged if each.day != spoilt and each.passed} == set(CHECKS)
    for materialized in project.materializations():
        outcome = outcomes[str(materialized.partition_key)]
        assert isinstance(outcome, Stored)
        assert as_recorded(outcome) == recorded_file(materialized)
        on_it = [each for each in judged if each.day == materialized.partition_key]
        assert {each.judged for each in on_it} == {materialized.storage_id}


def test_a_day_is_judged_beside_its_record_and_in_the_context_of_its_run(
    project: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In which the run is told what is waited for."""
    record, judge, described = DayRecorder._record, day_run.stored_verdicts, day_run._materialization
    of_recorder, seen, begun = ContextVar("of_recorder", default=""), [], Event()

    def recorded(recorder: DayRecorder, day: date, outcome: Outcome) -> None:
        of_recorder.set(day.isoformat())
        record(recorder, day, outcome)

    def judged(*arguments: Any) -> list[Verdict]:
        seen.append(of_recorder.get())
        begun.set()
        return judge(*arguments)

    def described_once_it_is_judged(*arguments: Any) -> dg.AssetMaterialization:
        assert begun.wait(60)
        return described(*arguments)

    monkeypatch.setattr(DayRecorder, "_record", recorded)
    monkeypatch.setattr(day_run, "stored_verdicts", judged)
    monkeypatch.setattr(day_run, "_materialization", described_once_it_is_judged)
    assert run_range(project.instance, ASSET, BAD, BAD).success
    assert seen == [BAD]


def test_what_is_recorded_of_a_file_is_known_before() -> None:
    said: dict[str, Scalar] = {WRITTEN_AT: "2024-07-01T20:00:00+00:00", MACHINE: "a machine"}
    stored = Stored("a/b", 3, 100, "0f" * 32, said)
    assert as_recorded(stored) == Recorded("0f" * 32, 3, datetime(2024, 7, 1, 20, tzinfo=UTC), "a machine")

    before = datetime.now(UTC)
    silent = as_recorded(Stored("a/b", 3, 100, "0f" * 32, {}))
    assert before <= silent.written_at <= datetime.now(UTC), "a file that was made before is not taken for a newer one"
    assert silent.machine is None


def test_the_sandbox_profile_needs_nothing_started_and_says_that_its_data_is_synthetic(
    project: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_assets.settings import settings

    monkeypatch.setenv("DATA_ASSETS_PROFILE", "sandbox")
    monkeypatch.setenv("DATA_ASSETS_SANDBOX_CONTRACTS", "4")
    settings.cache_clear()

    assert run_range(project.instance, ASSET, BAD, BAD).success

    (record,) = project.materializations()
    assert metadata_of(record)["synthetic"] is True
    assert Path(str(metadata_of(record)["path"])).is_relative_to(project.folder / "lake" / "sandbox")
    assert project.days_fetched() == [], "the test's own server was not asked"
