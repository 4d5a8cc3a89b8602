"""`plan` says what a backfill then does, and `backfill` asks before it begins a large one."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
from jsonschema import Draft202012Validator

from data_assets.cli import main
from data_assets.orchestration.backfill_cost import EVENT_SECONDS, RUN_SECONDS
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.orchestration.in_process import ASSET, in_process_project, open_project
from data_assets_tests.small_disk import SmallDisk, mount
from data_assets_tests.vendors.polygon.flat_file_project import flat_file_project

__all__ = ["mount"]

QQQ, AAPL = ASSET.to_user_string(), "ib/bars_1m/AAPL"
RAW, BARS = "polygon/flat_files/minute_aggs_v1", "polygon/minute_aggs"
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
JULY = ("--from", DAYS[0], "--to", DAYS[-1])
SCHEMA = json.loads((SOURCES / "docs" / "reference" / "json-schema.json").read_text())
AWAY = "http://127.0.0.1:9/v3"
LARGE = ("backfill", "theta/option_quotes/SPX", "--days", "60")
"""Of eight million rows a day, 660 MB: more than an hour at ten megabytes a second."""


def planned(call: Call, *arguments: str, code: int = 0) -> dict[str, dict[str, object]]:
    """What is planned of each dataset, and under `all` the whole document."""
    ended = call("plan", *arguments, "--json")
    assert ended.code == code, ended.stderr
    Draft202012Validator({**SCHEMA, "$ref": "#/$defs/plan"}).validate(ended.document)
    return {"all": ended.document, **{each["dataset"]: each for each in ended.document["datasets"]}}


def test_what_is_planned_from_stored_days_is_what_is_then_done(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path) as project:
        assert call("backfill", QQQ, "--from", DAYS[0], "--to", DAYS[1]).code == 0
        before, runs = len(project.days_fetched()), len(project.instance.get_runs())

        plan = planned(call, QQQ, *JULY)
        dry = call("backfill", QQQ, *JULY, "--dry-run", "--json")
        assert dry.document["datasets"] == plan["all"]["datasets"]
        said = call("backfill", QQQ, *JULY, "--dry-run")

        assert (len(project.days_fetched()), len(project.instance.get_runs())) == (before, runs)
        assert said.code == 0
        assert said.stderr == ""
        assert re.search(rf"^{QQQ} +2 +2 ", said.stdout, re.MULTILINE)
        assert "2 days stored last" in said.stdout

        done = call("backfill", QQQ, *JULY)

        assert done.code == 0
        assert "expected: 2 days, 2 requests, " in done.stderr
        assert plan[QQQ]["requests"] == len(project.days_fetched()) - before == 2
        rows = sum(
            int(str(record.asset_materialization.metadata["rows"].value))
            for record in project.materializations()
            if record.asset_materialization and record.partition_key in DAYS[:2]
        )
        assert plan[QQQ]["rows"] == rows
        assert plan[QQQ]["stored_bytes"] == sum(project.file(day).stat().st_size for day in DAYS[:2])
        assert (plan[QQQ]["first"], plan[QQQ]["last"], plan[QQQ]["sampled_days"]) == (DAYS[2], DAYS[3], 2)
        nothing = call("plan", QQQ, *JULY)
        assert (nothing.code, nothing.stdout) == (0, "nothing is missing: a backfill would ask for nothing\n")


def test_without_stored_days_the_vendors_usual_day_and_the_allowed_rate_tell(tmp_path: Path, call: Call) -> None:
    with open_project(tmp_path, IB_SECONDS_BETWEEN_REQUESTS="10", IB_MAX_REQUESTS_PER_10_MIN="60"):
        plan = planned(call, QQQ, AAPL, "--days", "30")
        assert plan[QQQ]["rows"] == 30 * 6000 * 406
        assert (plan[AAPL]["requests"], plan[AAPL]["rows"]) == (30, 30 * 390)
        assert plan[AAPL]["minutes"] == round(5 + RUN_SECONDS / 60, 2)
        of_both = sum(float(str(plan[name]["minutes"])) for name in (QQQ, AAPL))
        assert plan["all"]["minutes"] == pytest.approx(of_both, abs=0.01)
        assert {plan[name]["sampled_days"] for name in (QQQ, AAPL)} == {0}
        by_expiration = planned(call, "theta/option_quotes/SPX", "--days", "1")["theta/option_quotes/SPX"]
        assert (by_expiration["requests"], by_expiration["rows"]) == (60, 20_000 * 406)
    with open_project(tmp_path / "faster", IB_SECONDS_BETWEEN_REQUESTS="0", IB_MAX_REQUESTS_PER_10_MIN="300"):
        assert planned(call, AAPL, "--days", "30")[AAPL]["minutes"] == round(1 + RUN_SECONDS / 60, 2)


@pytest.mark.parametrize("seconds", [0.2, 600.0])
def test_two_stored_days_do_not_tell_how_long_two_thousand_take_and_five_do(
    tmp_path: Path, call: Call, seconds: float
) -> None:
    """Two days that waited, or came from the vendor's memory; of reports, a day takes as long as it is recorded."""
    eod = "theta/option_eod/SPX"
    with open_project(tmp_path) as instance:
        usual = float(str(planned(call, eod)[eod]["minutes"]))
        sessions = int(str(planned(call, eod)[eod]["days"]))
        assert usual >= sessions * EVENT_SECONDS / 60, "its file and its checks are recorded, one after another"
        for number, day in enumerate([*DAYS, "2024-07-08"], 1):
            told = {"size": 1000, "rows": 10, "requests": 2, "raw_megabytes": 0.01, "seconds": seconds}
            instance.report_runless_asset_event(
                dg.AssetMaterialization(eod.split("/"), partition=day, metadata=told)  # type: ignore[arg-type]
            )
            minutes = float(str(planned(call, eod)[eod]["minutes"]))
            if number <= 2:
                assert minutes == pytest.approx(usual, rel=0.01)
        if seconds == 600:
            assert minutes > 100 * usual
        else:
            assert sessions * EVENT_SECONDS / 60 <= minutes <= usual, "what is recorded takes as long as it did"


def test_bars_are_made_from_files_that_are_downloaded_once(tmp_path: Path, call: Call) -> None:
    with flat_file_project(tmp_path, DAYS) as project:
        assert call("backfill", RAW, "--from", DAYS[0], "--to", DAYS[0]).code == 0
        bars = planned(call, BARS, *JULY)
        assert [name for name in bars if name != "all"] == [RAW, BARS]
        assert (bars[BARS]["requests"], bars[BARS]["received_bytes"], bars[BARS]["days"]) == (0, 0, 4)
        assert bars[RAW]["days"] == 3, "the file of one day is on this disk"
        assert planned(call, RAW, BARS, *JULY)["all"]["datasets"] == bars["all"]["datasets"]
        before = len(project.days_read())

        assert call("backfill", BARS, *JULY).code == 0

        assert len(project.days_read()) - before == bars[RAW]["requests"] == 3


def test_files_that_are_deleted_again_take_no_more_room_than_they_may(tmp_path: Path, call: Call) -> None:
    with open_project(tmp_path, POLYGON_CACHE_BYTES="1GB"):
        assert planned(call, RAW)[RAW]["stored_bytes"] == 1_000_000_000


def test_a_disk_without_the_room_is_said(tmp_path: Path, call: Call, mount: Callable[..., SmallDisk]) -> None:
    with open_project(tmp_path):
        disk = mount(tmp_path / "lake", "size=100m")
        assert planned(call, QQQ, "--days", "3")["all"]["fits"] is True
        (room,) = planned(call, QQQ, "--days", "30", code=1)["all"]["disks"]  # type: ignore[misc]
        assert room["needed_bytes"] > room["free_bytes"]
        told = call("plan", QQQ, "--days", "30")
    assert told.code == 1
    line = next(line for line in told.stdout.splitlines() if line.startswith(str(disk.folder)))
    assert line.endswith(" free: make room, or ask for fewer days")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("theta/option_quotes/QQQQ",), "there is no dataset"),
        (("*nothing*",), "no dataset matches"),
        ((QQQ, "--from", "2024-07-05", "--to", "2024-07-01"), "lies before --from"),
        ((QQQ, "--from", "2001-01", "--to", "2001-02"), f"the first_day of {QQQ}"),
        ((QQQ, "--failed", "--only", "missing"), "contradict each other"),
    ],
)
def test_a_wrong_call_is_said_in_a_line(tmp_path: Path, call: Call, arguments: tuple[str, ...], says: str) -> None:
    with open_project(tmp_path):
        ended = call("plan", *arguments)
        assert (ended.code, ended.stdout) == (2, "")
        assert says in ended.stderr
        assert ended.stderr.count("\n") == 1


@dataclass
class Terminal:
    """A terminal in whose other end a person sits, who has typed already.

    Attributes:
        shown: what it shows.
    """

    shown: str = ""
    code: object = None
    _thread: threading.Thread | None = field(default=None, repr=False)

    def run(self, typed: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
        """Call the command in it."""
        person, program = os.openpty()
        self._thread = threading.Thread(target=self._read, args=(person,), daemon=True)
        self._thread.start()
        os.write(person, typed.encode())
        with monkeypatch.context() as patch, os.fdopen(program) as stdin, os.fdopen(os.dup(program), "w") as stderr:
            patch.setattr(sys, "argv", ["data-assets", *arguments])
            patch.setattr(sys, "stdin", stdin)
            patch.setattr(sys, "stderr", stderr)
            with pytest.raises(SystemExit) as ended:
                main()
            self.code = ended.value.code
        self._thread.join(30)

    def _read(self, person: int) -> None:
        with open(person, "rb", buffering=0) as screen:
            try:
                while seen := screen.read(4096):
                    self.shown += seen.decode()
            except OSError:  # the other end is closed
                return


def test_a_large_backfill_is_asked_about_in_a_terminal(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`call` is used for what it does to signals; the vendor is away, so whatever begins ends at once."""
    with open_project(tmp_path, THETA_BASE_URL=AWAY) as instance:
        no, yes = Terminal(), Terminal()

        no.run("n\n", monkeypatch, *LARGE)
        assert "go on? [y/N]" in no.shown
        assert "the vendor's usual day" in no.shown
        assert (no.code, instance.get_runs()) == (1, [])

        yes.run("y\n", monkeypatch, *LARGE)
        assert yes.code == 1
        assert "java -jar" in yes.shown
        assert len(instance.get_runs()) == 1


def test_nobody_is_asked_without_a_terminal_or_with_yes(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_project(tmp_path, THETA_BASE_URL=AWAY) as instance:
        ended, told = call(*LARGE), Terminal()
        assert "expected: 60 days, 3,600 requests, " in ended.stderr
        assert "go on?" not in ended.stderr
        assert len(instance.get_runs()) == 1

        told.run("", monkeypatch, *LARGE, "--yes")
        assert "expected: 60 days" in told.shown
        assert "go on?" not in told.shown
        assert len(instance.get_runs()) == 2
