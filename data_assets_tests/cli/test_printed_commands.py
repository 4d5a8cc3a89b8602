"""What the command prints to be pasted does what its sentence says, and bounds need not be trading days."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import click
import pytest

from data_assets.cli import cli
from data_assets.cli.arguments import DaysNamed
from data_assets.cli.project import datasets
from data_assets.cli.selection import days_between
from data_assets.orchestration.partitions import partition_keys
from data_assets.sandbox.faults import Fault
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project

NAME = ASSET.to_user_string()
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
BAD = [DAYS[1], DAYS[2]]
AGAIN = re.compile(r"(\d+) days? not stored; try (?:it|them) again with: (data-assets .*)")
NEWEST = partition_keys()[-1]
TODAY_AND_LATER = (date.fromisoformat(NEWEST) + timedelta(days=30)).isoformat()


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[InProcess]:
    """The vendor sends two days wrongly, once or as often as the test says, then right."""
    times = getattr(request, "param", dict.fromkeys(BAD, 1))
    faults = [Fault(kind="renamed_column", day=date.fromisoformat(day), times=times[day]) for day in BAD]
    with in_process_project(tmp_path, faults=faults) as project:
        yield project


@dataclass
class Ended:
    code: object
    stdout: str
    stderr: str

    @property
    def again(self) -> list[str]:
        """The arguments of the command that it says to try again with."""
        found = AGAIN.search(self.stderr)
        assert found, self.stderr
        return shlex.split(found[2])[1:]


Run = Callable[..., Ended]


@pytest.fixture
def run(project: InProcess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str) -> Ended:
        capfd.readouterr()
        try:
            code: object = cli.main(arguments, standalone_mode=False)
        except SystemExit as ended:
            code = ended.code
        return Ended(code, *capfd.readouterr())

    return run


@pytest.mark.parametrize("only", [(), ("--only", "missing"), ("--only", "all")], ids=["by default", "missing", "all"])
def test_the_days_that_did_not_store_are_tried_again_and_no_other_day(
    project: InProcess, run: Run, only: tuple[str, ...]
) -> None:
    first = run("backfill", NAME, "--from", DAYS[0], "--to", DAYS[-1], *only)
    assert first.code == 1
    assert first.again == ["backfill", NAME, "--from", BAD[0], "--to", BAD[-1]], "what was missing has failed now"
    before = len(project.days_fetched())

    pasted = run(*first.again)

    assert (pasted.code, sorted(project.days_fetched()[before:])) == (0, BAD), pasted.stderr
    assert project.states(DAYS) == dict.fromkeys(DAYS, "stored")


@pytest.mark.parametrize("project", [{BAD[0]: 2, BAD[1]: 1}], indirect=True)
def test_failed_days_alone_are_asked_for_again_where_they_alone_were(project: InProcess, run: Run) -> None:
    run("backfill", NAME, "--from", DAYS[1], "--to", DAYS[2])

    ended = run("backfill", NAME, "--from", "2024-07", "--to", "2024-07", "--only", "failed")

    assert ended.again == ["backfill", NAME, "--from", BAD[0], "--to", BAD[0], "--only", "failed"]


def named(*texts: str | None) -> list[DaysNamed | None]:
    return [DaysNamed(text, date.fromisoformat(text), date.fromisoformat(text)) if text else None for text in texts]


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2024-01-01", "2024-01-06", "2024-01-02", "2024-01-05"),
        ("2024-01-06", "2024-01-09", "2024-01-08", "2024-01-09"),
        ("2010-01-01", "2016-08-05", "2016-08-04", "2016-08-05"),
        (NEWEST, TODAY_AND_LATER, NEWEST, NEWEST),
        (None, TODAY_AND_LATER, "2016-08-04", NEWEST),
        ("2010-01-01", None, "2016-08-04", NEWEST),
    ],
)
def test_the_bounds_of_a_range_are_moved_to_days_that_exist(
    project: InProcess, start: str | None, end: str | None, first: str, last: str
) -> None:
    bars = datasets()["ib/bars_1m/AAPL"]
    keys = days_between([bars], *named(start, end))[bars]
    assert (keys[0], keys[-1]) == (first, last)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2024-01-01", "2024-01-01", "2024-01-01 is a market holiday; the nearest sessions are 2023-12-29 and 2024-01"),
        ("2024-01-06", "2024-01-07", "no day from 2024-01-06 to 2024-01-07 has a session: 2024-01-06 is a weekend day"),
        ("2016-08-01", "2016-08-03", "2016-08-01 to 2016-08-03 lies before 2016-08-04"),
        (None, "2016-08-03", "2016-08-03 lies before 2016-08-04"),
        (TODAY_AND_LATER, None, f"{TODAY_AND_LATER} lies after {NEWEST}"),
        (TODAY_AND_LATER, TODAY_AND_LATER, f"{TODAY_AND_LATER} lies after {NEWEST}"),
    ],
)
def test_a_day_by_itself_and_a_range_without_a_day_are_refused(
    project: InProcess, start: str | None, end: str | None, says: str
) -> None:
    with pytest.raises(click.UsageError, match=re.escape(says)):
        days_between([datasets()["ib/bars_1m/AAPL"]], *named(start, end))


def test_what_is_imported_is_imported_again(project: InProcess, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "old days"
    folder.mkdir()
    (folder / f"QQQ_options_{DAYS[0]}_1m.csv").write_text("symbol,strike\n")

    ended = run("import", NAME, str(folder))

    assert ended.code == 1
    assert ended.again == ["import", NAME, str(folder)]
