"""Each thing that `doctor` looks at, whole and broken on purpose."""

from __future__ import annotations

import http.server
import shutil
import sysconfig
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from data_assets.cli import doctor
from data_assets.orchestration.profile_mark import mark_history
from data_assets.vendors.polygon.day import BARS_KEY
from data_assets_tests.cli.called import Call
from data_assets_tests.compiled_code import COMPILER
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project, open_project
from data_assets_tests.permissions import closed
from data_assets_tests.small_disk import SmallDisk, mount
from data_assets_tests.vendors.polygon.flat_file_project import bucket_of, project_of

__all__ = ["mount"]

QQQ = ASSET.to_user_string()
GREEKS = "theta/option_greeks/SPX"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path) as project:
        yield project


def found(call: Call, *arguments: str) -> dict[str, tuple[str, str]]:
    """What was found, by subject."""
    ended = call("doctor", *arguments, "--json")
    findings = {each["subject"]: (each["state"], each["text"]) for each in ended.document}
    assert ended.code == int(any(state == "error" for state, _ in findings.values()))
    for _, text in findings.values():
        assert "\n" not in text
    return findings


def of(findings: dict[str, tuple[str, str]], beginning: str) -> tuple[str, str]:
    (one,) = [finding for subject, finding in findings.items() if subject.startswith(beginning)]
    return one


def test_a_project_in_order_has_no_error_and_stores_nothing(project: InProcess, call: Call) -> None:
    findings = found(call, QQQ)

    assert {state for state, _ in findings.values()} == {"ok", "warn"}
    assert findings["daemon"] == (
        "warn",
        "not at work: nothing is requested by itself, and backfills of the UI wait; run dagster dev",
    )
    for when in ("first day 2016-08-04", "newest day"):
        assert "contracts and sends QQQ" in of(findings, f"{QQQ} {when}")[1]
    assert f"dagster {dg.__version__}" in findings["versions"][1]
    assert "MB/s" in findings["lake"][1]
    assert not (project.folder / "lake").exists()
    assert project.instance.get_runs() == []


def test_code_that_is_not_compiled_for_this_machine_is_said_with_what_to_do(
    project: InProcess, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(COMPILER[0]):
        assert found(call, QQQ)["compiled code"][0] == "ok"
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "another-machine")
    assert found(call, QQQ)["compiled code"] == (
        "warn",
        "without contract_runs.c, dictionary_places.c, page_checksums.c, stretches.c, strict_lines.c days come in more "
        "slowly, and are the same: install a C compiler, and then data_assets again (in a clone `make -B setup`)",
    )


def test_a_vendor_that_is_away_is_said_with_what_to_do(tmp_path: Path, call: Call) -> None:
    with open_project(tmp_path, THETA_BASE_URL="http://127.0.0.1:9/v3"):
        ((state, text),) = [each for subject, each in found(call, "theta").items() if subject.startswith("theta/")]
    assert state == "error"
    assert "start it with `java -jar" in text, "once, and not for every dataset"


def test_a_plan_without_a_dataset_is_said(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, tier="value"):
        findings = found(call, QQQ, GREEKS)
    assert of(findings, f"{QQQ} newest")[0] == "ok"
    state, text = of(findings, f"{GREEKS} newest")
    assert state == "error"
    assert text.startswith("NotEntitled: ")


def test_each_first_day_is_compared_with_what_the_vendor_has(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, tier="value", first_day=date(2016, 1, 4)):
        greeks = tmp_path / "defs" / "theta" / "option_greeks_spx" / "defs.yaml"
        greeks.write_text(greeks.read_text().replace("first_day: 2017-01-03", "first_day: 2016-08-04"))
        findings = found(call, "theta")
    state, text = of(findings, f"{GREEKS} first day 2016-08-04")
    assert (state, text) == (
        "error",
        f"the vendor has it since 2017-01-01: 104 sessions could never be stored; set first_day of {GREEKS} to "
        "2017-01-03, in defs",
    )
    state, text = of(findings, f"{QQQ} first day 2016-08-04")
    assert state == "error"
    assert text.startswith("NotEntitled: ")
    assert text.endswith(f"set first_day of {QQQ} to 2020-01-02, in defs")
    assert "; your plan begins on 2020-01-02: 858 sessions could never be stored" in text


def test_each_shipped_first_day_is_one_that_the_vendor_has(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, first_day=date(2016, 1, 4)):
        firsts = {subject: each for subject, each in found(call, "theta").items() if " first day " in subject}
    assert len(firsts) == 5
    assert {state for state, _ in firsts.values()} == {"ok"}
    assert of(firsts, f"{GREEKS} first day 2017-01-03")[1].endswith("; the vendor has it since 2017-01-01")


def test_without_keys_one_dataset_of_each_kind_is_asked(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path):
        asked = {subject.split()[0] for subject in found(call, "theta/option_quotes/*")}
        assert {name for name in asked if "/" in name} == {"theta/option_quotes/QQQ", "theta/option_quotes/SPX"}
        asked = {subject.split()[0] for subject in found(call) if subject.startswith("theta/")}
        assert len({name.split("/")[1] for name in asked}) == len(asked) == 4
        asked = {subject.split()[0] for subject in found(call, "--all") if subject.startswith("theta/")}
    assert len(asked) == 5


def test_flat_files_are_listed_and_read(tmp_path: Path, call: Call) -> None:
    newest = "2024-07-03"
    with bucket_of([newest]) as bucket, project_of(tmp_path, bucket) as project:
        block = project.folder / "defs" / "polygon" / "minute_aggs" / "defs.yaml"
        span = f"attributes:\n  first_day: '{newest}'\n  last_day: '{newest}'\n"
        block.write_text(block.read_text().replace("attributes:\n", span))
        doctor_says = found(call, "polygon/minute_aggs", "polygon/flat_files/minute_aggs_v1")
    assert "and sends it" in of(doctor_says, "polygon/flat_files/minute_aggs_v1 newest")[1]
    assert doctor_says["clock"][0] == "ok"
    assert "within 60 s of" in doctor_says["clock"][1]


def test_an_empty_mount_point_is_left_where_it_is(tmp_path: Path, call: Call) -> None:
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    with in_process_project(tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ASSETS_LAKE", str(mount_point / "lake"))
        doctor.settings.cache_clear()
        said = found(call, QQQ)["lake"][1]  # of a slow disk it says more
        assert "MB/s" in said
        assert said.endswith("; no lake is there yet")
    assert list(mount_point.iterdir()) == []


class _OldClock(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", "Wed, 01 Jan 2020 00:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_wrong_clock_is_said(tmp_path: Path, call: Call) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _OldClock) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        with in_process_project(tmp_path), pytest.MonkeyPatch.context() as patch:
            patch.setenv("POLYGON_S3_ENDPOINT", endpoint)
            doctor.settings.cache_clear()
            state, text = found(call, QQQ)["clock"]
        server.shutdown()
    assert state == "error"
    assert f"fast of {endpoint}: set it by NTP" in text


def test_a_calendar_that_ends_soon_is_said(project: InProcess, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "utc_now", lambda: datetime(2040, 6, 1, tzinfo=UTC))
    state, text = found(call, QQQ)["calendar"]
    assert state == "warn"
    assert "2040-12-31, 213 days from now: update data_assets" in text


def test_a_folder_that_may_not_be_written_is_said(project: InProcess, call: Call) -> None:
    lake = project.folder / "lake"
    lake.mkdir()
    with closed(lake, mode=0o500):
        state, text = found(call, QQQ)["lake"]
    assert state == "error"
    assert text == f"{lake}: takes no file (Permission denied): check its owner, permissions and mount"


def test_a_state_folder_that_nobody_may_reach_is_said(tmp_path: Path, call: Call) -> None:
    unreachable = tmp_path / "closed"
    unreachable.mkdir()
    with in_process_project(tmp_path), pytest.MonkeyPatch.context() as patch, closed(unreachable, mode=0o000):
        patch.setenv("DATA_ASSETS_STATE", str(unreachable / "state"))
        doctor.settings.cache_clear()
        findings = found(call, QQQ)
    for subject in ("state", "run history"):
        assert findings[subject][0] == "error"
        assert "Permission denied" in findings[subject][1]


def test_a_full_disk_is_said(project: InProcess, call: Call, mount: Callable[..., SmallDisk]) -> None:
    disk = mount(project.folder / "lake", "size=1m")
    state, text = found(call, QQQ)["lake"]
    assert state == "error"
    assert text == f"{disk.folder}: takes no file (No space left on device): make room"


def test_a_lake_that_is_not_there_and_a_foreign_history_are_said(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path):
        assert call("backfill", QQQ, "--from", "2024-07-01", "--to", "2024-07-01").code == 0
        (tmp_path / "lake").rename(tmp_path / "unplugged")
        state, text = found(call, QQQ)["run history"]
        assert state == "error"
        assert "not there" in text or "is gone" in text or "no lake" in text, text
    with open_project(tmp_path / "other") as instance, pytest.MonkeyPatch.context() as patch:
        mark_history(instance)
        patch.setenv("DATA_ASSETS_PROFILE", "sandbox")
        doctor.settings.cache_clear()
        state, text = found(call, QQQ)["run history"]
    assert state == "error"
    assert "profile" in text


def test_a_daemon_at_work_is_seen_and_a_part_that_stopped_is_named(project: InProcess, call: Call) -> None:
    instance, now = project.instance, datetime.now(UTC).timestamp()
    assert found(call, QQQ)["daemon"][0] == "warn"
    kinds = sorted(instance.get_required_daemon_types())
    for kind in kinds:
        instance.add_daemon_heartbeat(DaemonHeartbeat(now, kind, "one", []))
    assert found(call, QQQ)["daemon"] == ("ok", "at work")
    instance.add_daemon_heartbeat(DaemonHeartbeat(now - 86_400, kinds[0], "one", []))
    state, text = found(call, QQQ)["daemon"]
    assert state == "error"
    assert text.startswith(f"{kinds[0]} not at work: look at the log of dagster dev")


def test_a_log_that_is_not_written_is_said(project: InProcess, call: Call) -> None:
    assert found(call, QQQ)["logs"] == ("ok", ".state/logs, 30 days of them")
    logs = project.folder / ".state" / "logs"
    logs.mkdir()
    with closed(logs, mode=0o500):
        state, text = found(call, QQQ)["logs"]
    assert (state, text.startswith(f"{logs}: takes no file")) == ("warn", True)
    without = (project.folder / "dagster.yaml").read_text().replace("run_log.RunLog", "elsewhere.Log")
    (project.folder / "dagster.yaml").write_text(without)
    state, text = found(call, QQQ)["logs"]
    assert (state, "dagster_handler_config" in text) == ("warn", True)


def test_a_block_that_is_wrong_is_said(project: InProcess, call: Call) -> None:
    block = project.folder / "defs" / "theta" / "option_eod_spx" / "defs.yaml"
    block.write_text(block.read_text().replace("attributes:\n", "attributes:\n  interval: 1m\n"))
    state, text = found(call, QQQ)["defs"]
    assert state == "error"
    assert "correct it: its dataset is left out" in text


@pytest.mark.parametrize("below", ["", "/lake"])
def test_a_file_in_the_place_of_the_lake_is_said_by_a_backfill_too(tmp_path: Path, call: Call, below: str) -> None:
    file, day = tmp_path / "file", "2024-07-03"
    file.write_text("")
    with bucket_of([day]) as bucket, project_of(tmp_path, bucket, DATA_ASSETS_LAKE=f"{file}{below}"):
        assert found(call, QQQ)["lake"][0] == "error"
        filled = call("backfill", BARS_KEY, "--from", day, "--to", day)
    assert filled.code == 1
    assert f"{BARS_KEY}: {file}{below}: cannot be read (Not a directory)" in filled.stderr
