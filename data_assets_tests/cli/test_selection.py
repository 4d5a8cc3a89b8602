"""The same arguments select the same datasets and days for every verb."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.cli.arguments import Asked, DaysNamed, takes_selection
from data_assets.cli.backfill import upstream_first
from data_assets.cli.project import datasets
from data_assets.cli.selection import Selection
from data_assets.orchestration.partitions import partition_keys
from data_assets.sandbox.faults import Fault
from data_assets_tests.cli.called import Call
from data_assets_tests.orchestration.in_process import InProcess, in_process_project

QQQ, SPX = "theta/option_quotes/QQQ", "theta/option_quotes/SPX"
THETA = ["theta/option_eod/SPX", "theta/option_greeks/SPX", "theta/option_open_interest/SPX", QQQ, SPX]
FILES, BARS, MONTHS = "polygon/flat_files/minute_aggs_v1", "polygon/minute_aggs", "polygon/minute_aggs_monthly"
IB = ["ib/bars_1m/AAPL", "ib/bars_1m/GOOGL", "ib/bars_1m/MSFT"]
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
# The first to ask for quotes of this day is QQQ.
BAD = Fault(kind="renamed_column", day=date.fromisoformat(DAYS[1]), times=1)
NOWHERE = {"IB_HOST": "127.0.0.1", "IB_PORT": "1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process_project(tmp_path_factory.mktemp("project")) as project:
        yield project


@pytest.mark.parametrize(
    ("keys", "selected"),
    [
        ((), [*IB, FILES, BARS, MONTHS, *THETA]),
        ((SPX, QQQ), [SPX, QQQ]),
        (("polygon",), [FILES, BARS, MONTHS]),
        (("polygon/", QQQ, "theta"), [FILES, BARS, MONTHS, QQQ, *(name for name in THETA if name != QQQ)]),
        (("theta/*/QQQ",), [QQQ]),
        (("*QQQ",), [QQQ]),
        (("*/minute_aggs_v1", "*/minute_aggs"), [FILES, BARS]),
        (("ib/bars_1m/[AM]*",), [IB[0], IB[2]]),
        (("theta/option_?*s",), [THETA[1], QQQ, SPX]),
        (("group:polygon",), [FILES, BARS, MONTHS]),
        (('key:"polygon/minute_aggs"+',), [BARS, MONTHS]),
        (("group:ib and not key:ib/bars_1m/MSFT",), IB[:2]),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, tuple) else "",
)
def test_keys_are_datasets_folders_globs_or_dagsters(project: InProcess, keys: tuple[str, ...], selected: list[str]):
    assert [each.name for each in Selection(keys).datasets()] == selected


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        (("ib/bars_1m/AAPL,theta", "polygon"), ("ib/bars_1m/AAPL", "theta", "polygon")),
        (("theta,", "ib, polygon"), ("theta", "ib", "polygon")),
        ((",",), (",",)),
        (("ib/*/[A,M]*",), ("ib/*/[A,M]*",)),
        (("group:ib,x",), ("group:ib,x",)),
        (("ib", "2024-07-01,2024-07-02"), ("ib", "2024-07-01,2024-07-02")),
    ],
    ids=str,
)
def test_keys_may_have_commas_between_them(written: tuple[str, ...], keys: tuple[str, ...]) -> None:
    got = []

    @click.command
    @takes_selection()
    def command(asked: Asked) -> None:
        got.append(asked.keys)

    command.main(list(written), standalone_mode=False)

    assert got == [keys]


@given(data=st.data())
def test_what_a_dataset_is_made_from_comes_before_it_and_a_vendor_stays_together(
    project: InProcess, data: st.DataObject
):
    chosen = data.draw(st.lists(st.sampled_from([*IB, FILES, BARS, MONTHS, *THETA]), unique=True))

    ordered = [each.name for each in upstream_first(datasets()[name] for name in chosen)]

    assert sorted(ordered) == sorted(chosen)
    chain = [name for name in (FILES, BARS, MONTHS) if name in chosen]
    assert [name for name in ordered if name in chain] == chain, "flat files, days, months"
    others = [name for name in chosen if name not in chain]
    assert [name for name in ordered if name not in chain] == others, "all else as it was asked for"


def test_a_month_is_named_by_its_first_day_though_no_session_is_on_it(project: InProcess) -> None:
    new_year = DaysNamed("2024-01-01", date(2024, 1, 1), date(2024, 1, 1))

    (days,) = Selection((MONTHS,), start=new_year, end=new_year).days().values()

    assert days == ["2024-01-01"]
    with pytest.raises(click.UsageError, match="2024-01-01 is a market holiday"):
        Selection((MONTHS, BARS), start=new_year, end=new_year).days()


def test_all_comes_vendor_by_vendor(project: InProcess) -> None:
    names = [each.name for each in upstream_first(datasets().values())]
    assert names == [*IB, FILES, BARS, MONTHS, *THETA]


def test_days_counts_sessions_back_from_the_newest_or_from_to(project: InProcess) -> None:
    every = partition_keys()
    selection = Selection((QQQ, MONTHS), newest=3)
    days, months = selection.days().values()
    assert days == every[-3:]
    assert months == sorted({f"{day[:7]}-01" for day in days})

    end = DaysNamed("2024-07-06", date(2024, 7, 6), date(2024, 7, 6))
    assert replace(selection, end=end).days()[datasets()[QQQ]] == ["2024-07-02", "2024-07-03", "2024-07-05"]
    assert replace(selection, newest=10**6).days()[datasets()[QQQ]] == every
    assert replace(selection, newest=1, end=replace(end, last=date(2024, 7, 4))).days()[datasets()[MONTHS]] == [
        "2024-07-01"
    ]


def test_one_verb_after_another_over_what_one_backfill_of_all_has_left(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    bounds = ("--days", "2", "--to", "2024-07-02")
    with in_process_project(tmp_path, faults=[BAD]) as project:
        filled = call("backfill", "--all", *bounds, "--json")

        # neither IB nor Polygon can be reached, and Theta's days are there all the same
        stored = {each["dataset"]: each["stored"] for each in filled.document}
        assert filled.code == 1
        assert list(stored) == [*IB, FILES, BARS, MONTHS, *THETA]
        assert stored == {
            **{name: [] for name in (*IB, FILES, BARS, MONTHS)},
            **dict.fromkeys(THETA, DAYS[:2]),
            QQQ: DAYS[:1],
        }
        summary = filled.stderr[filled.stderr.rindex("dataset ") :].splitlines()
        assert [line.split()[:2] for line in summary[1:12]] == [[name, str(len(days))] for name, days in stored.items()]
        assert summary[1].split()[2:] == ["2", "Failed", "-"], "no check has judged anything"
        assert summary[12] == "9 days stored, 12 not stored"

        # every verb takes the same arguments
        assert call("gaps", "--failed", "*QQQ", *bounds).code == 1
        assert call("gaps", "--failed", "theta/*/SPX", *bounds).code == 0
        failed = call("status", "theta", "--failed", "--json").document
        assert {name: [row["day"] for row in each["days"]] for name, each in failed.items() if each["days"]} == {
            QQQ: [DAYS[1]]
        }
        assert call("verify", "*QQQ", *bounds, "--json").document[QQQ]["ok"] == DAYS[:1]
        before = len(project.days_fetched())

        # the command that is printed asks for all that did not store, and for nothing else
        again = filled.printed("try all of them again with: ")
        assert again == ["backfill", "--all", "--from", DAYS[0], "--to", DAYS[1]]
        pasted = call(*again)
        assert pasted.code == 1
        assert project.days_fetched()[before:] == [DAYS[1]]
        assert f"{QQQ}: 1 of 1 day stored" in pasted.stderr


def test_a_folder_that_cannot_be_read_keeps_no_other_dataset_from_being_filled(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, "--from", DAYS[0], "--to", DAYS[0]).code == 0
        gone = project.folder / "lake" / "live" / "theta" / "option_eod"
        gone.symlink_to(tmp_path / "a disk that is not plugged in")

        ended = call("backfill", "theta/option_eod", QQQ, "--from", DAYS[0], "--to", DAYS[1])

        assert ended.code == 1
        assert project.states(DAYS[:2]) == dict.fromkeys(DAYS[:2], "stored")
        assert "theta/option_eod/SPX: " in ended.stderr
        assert "a disk that is not plugged in" in ended.stderr
        assert re.search(r"(?m)^theta/option_eod/SPX +0 +cannot be read, see above", ended.stderr)
        assert re.search(rf"(?m)^{QQQ} +1 +-", ended.stderr)
