"""Days that could not be judged when they were stored, for want of neighbours, are judged once they have some."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from data_assets.cli.local_run import run_range
from data_assets.orchestration import waiting_checks as dagster_again
from data_assets.orchestration.asset_checks import latest_materialization, waits_for
from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.orchestration.in_process import Evaluation, of_day, of_days
from data_assets_tests.vendors.polygon.flat_file_project import DAY_CHECKS, FlatFileProject, flat_file_project

DAYS = partition_keys(date(2024, 7, 1))[:9]
NEWEST = DAYS[-1]
A_TENTH = {"kind": "few_tickers", "share": 0.1, "ticker": "SPY"}
CANNOT_TELL = "cannot be told yet"


@contextmanager
def project_with(folder: Path, *thin: str) -> Iterator[FlatFileProject]:
    """Files of which those of `thin` days hold a tenth of the market, with the one ticker that is wanted."""
    with flat_file_project(folder, DAYS, *({**A_TENTH, "day": day} for day in thin), POLYGON_TICKERS="SPY") as project:
        yield project


def counts(project: FlatFileProject, *run_ids: str) -> dict[str | None, list[Evaluation]]:
    """The evaluations of `bar_count` by day, in the order in which they were recorded."""
    found: dict[str | None, list[Evaluation]] = {}
    for run_id in run_ids:
        for each in project.bars.evaluations(run_id):
            if each.check == "bar_count":
                found.setdefault(each.day, []).append(each)
    return found


def is_judged(each: Evaluation) -> bool:
    return CANNOT_TELL not in (each.summary or "")


@pytest.mark.parametrize("thin", [NEWEST, DAYS[-3]])  # the first that is asked for, and one soon after
def test_in_a_backfill_from_the_newest_day_a_day_with_a_tenth_of_its_rows_does_not_stay_green(
    tmp_path: Path, thin: str
) -> None:
    with project_with(tmp_path, thin) as project:
        run = run_range(project.instance, project.bars.asset, DAYS[0], DAYS[-1])

        assert run.success
        evaluated = counts(project, run.run_id)
        assert sorted(map(str, evaluated)) == DAYS
        again = evaluated[thin][-1]
        assert (again.passed, again.severity) == (False, "ERROR")
        assert (again.summary or "").startswith("only ")
        record = latest_materialization(project.instance, project.bars.asset, thin)
        assert record is not None
        assert again.judged == record.storage_id
        for day, found in evaluated.items():
            assert is_judged(found[-1]), day
            assert len(found) == (1 if is_judged(found[0]) else 2), day
        states = project.bars.check_states("bar_count")
        assert states == {day: "FAILED" if day == thin else "SUCCEEDED" for day in DAYS}
        others = [each for each in project.bars.evaluations(run.run_id) if each.check != "bar_count"]
        assert len(others) == len(DAYS) * (len(DAY_CHECKS) - 1), "and no other check"


@pytest.mark.parametrize("by", ["the command", "the interface"])
def test_a_later_run_judges_what_an_earlier_one_could_not(tmp_path: Path, by: str) -> None:
    def run(project: FlatFileProject, first: str, last: str) -> str:
        if by == "the command":
            return run_range(project.instance, project.bars.asset, first, last).run_id
        tags = of_day(first) if first == last else of_days(first, last)
        return project.bars.materialize(tags).run_id

    with project_with(tmp_path, NEWEST) as project:
        newest = run(project, NEWEST, NEWEST)
        assert not is_judged(counts(project, newest)[NEWEST][-1])
        assert waits_for(project.instance, project.bars.asset, "bar_count", NEWEST) == 5
        some = run(project, DAYS[-4], DAYS[-2])
        assert NEWEST not in counts(project, some), "three neighbours do not tell yet"
        one_more = run(project, DAYS[-5], DAYS[-5])
        assert NEWEST not in counts(project, one_more)
        last = run(project, DAYS[-6], DAYS[-6])

        again = counts(project, last)
        assert set(again) == set(DAYS[-6:]), "those that waited, and its own day"
        assert all(is_judged(each) for found in again.values() for each in found)
        assert not again[NEWEST][-1].passed
        assert project.bars.check_states("bar_count")[NEWEST] == "FAILED"
        assert waits_for(project.instance, project.bars.asset, "bar_count", NEWEST) == 0
        after = run(project, DAYS[-7], DAYS[-7])
        assert set(counts(project, after)) == {DAYS[-7]}, "nothing is asked a third time"


def test_a_damaged_neighbour_does_not_count_and_ends_nothing(tmp_path: Path) -> None:
    with project_with(tmp_path, NEWEST) as project:
        run_range(project.instance, project.bars.asset, DAYS[-5], DAYS[-1])
        project.bars.file(DAYS[-3]).write_bytes(b"rot")
        run = run_range(project.instance, project.bars.asset, DAYS[-6], DAYS[-6])
        assert run.success
        assert NEWEST not in counts(project, run.run_id)
        run = run_range(project.instance, project.bars.asset, DAYS[-7], DAYS[-7])
        assert not counts(project, run.run_id)[NEWEST][-1].passed


def test_a_dataset_that_compares_nothing_looks_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(dagster_again, "waits_for", lambda *asked: looked.append(asked[-1]) or 0)
    with project_with(tmp_path) as project:
        run_range(project.instance, project.raw.asset, DAYS[0], DAYS[0])
        assert looked == []
        run_range(project.instance, project.bars.asset, DAYS[0], DAYS[0])
        assert looked == [], "no other day is stored"
        run_range(project.instance, project.bars.asset, DAYS[1], DAYS[1])
        assert looked == [DAYS[0]]
