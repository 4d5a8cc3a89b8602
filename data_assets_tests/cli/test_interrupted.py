"""Ctrl-C while a command of several datasets is between two of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_assets.cli import backfill
from data_assets_tests.cli.called import Call
from data_assets_tests.orchestration.in_process import InProcess, in_process_project

FIRST, SECOND = "theta/option_quotes/QQQ", "theta/option_quotes/SPX"
SPAN = ("--from", "2024-07-02", "--to", "2024-07-02")


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        yield project


@pytest.mark.parametrize("instant", ["before the second", "as the sum is made"])
def test_between_two_datasets_ctrl_c_says_what_is_stored_and_the_same_command_goes_on(
    instant: str, project: InProcess, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"before the second": "states_on_disk", "as the sum is made": "_all_again"}[instant]
    real, begun = getattr(backfill, name), []

    def at_the_instant(*arguments):  # type: ignore[no-untyped-def]
        begun.append(1)
        if name == "_all_again" or arguments[1].name == SECOND:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(backfill, name, at_the_instant)
        stopped = call("backfill", FIRST, SECOND, *SPAN, "--json")

    assert begun
    assert stopped.code == 1
    assert "Traceback" not in stopped.stderr
    asked = len(project.days_fetched())
    goes_on = call("backfill", FIRST, SECOND, *SPAN, "--json")
    assert goes_on.code == 0, goes_on.stderr
    assert [each["stored"] for each in goes_on.document] == ([[], ["2024-07-02"]] if asked == 1 else [[], []])
    if instant == "before the second":
        assert [each["stored"] for each in stopped.document] == [["2024-07-02"], []]
        assert stopped.document[1]["interrupted"]
        assert "then stopped" in stopped.stderr
