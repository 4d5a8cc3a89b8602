"""One message per run that failed, or stored days that failed a check; what cannot be sent fails nothing."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_assets.cli.local_run import run_range
from data_assets.orchestration.alerts import send_alert
from data_assets.orchestration.run_liveness import end_interrupted_runs
from data_assets.orchestration.verify_run import VERIFY
from data_assets.sandbox.faults import Fault
from data_assets.settings import settings
from data_assets_tests.end_to_end.project_folder import Project
from data_assets_tests.orchestration.in_process import ASSET, InProcess, flip_a_byte, in_process_project, of_days

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
BAD = DAYS[1]
SECRET = "T0SECRET"


@dataclass
class Webhook:
    """A web hook that answers with one status; what it was told stands in `messages`."""

    status: int = 200
    messages: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def listening(status: int = 200) -> Iterator[Webhook]:
    hook = Webhook(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/json"
            hook.messages.append(json.loads(body)["text"])
            self.send_response(hook.status)
            self.send_header("Location", hook.url)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hook
        server.shutdown()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with listening() as hook:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
        yield hook


@pytest.fixture
def project(hook: Webhook, tmp_path: Path) -> Iterator[InProcess]:
    """The vendor sends one day wrongly, once."""
    fault = Fault(kind="renamed_column", day=date.fromisoformat(BAD), times=1)
    with in_process_project(tmp_path, faults=[fault]) as project:
        yield project


def test_a_failed_run_is_one_message_whose_command_mends_it(project: InProcess, hook: Webhook) -> None:
    assert not project.materialize(of_days(DAYS[0], DAYS[2])).success

    (message,) = hook.messages
    first, reason, again = message.splitlines()
    assert first == "theta/option_quotes/QQQ: 1 of 3 days did not store (1 rejected)"
    assert re.match(rf"{BAD} Rejected: .*bid", reason)
    program, *arguments = shlex.split(again.removeprefix("Again: "))
    assert program == "data-assets"
    environment = {"THETA_BASE_URL": project.theta.base_url, "DATA_ASSETS_PROFILE": "live"}
    ended = Project(project.folder, **environment, ALERT_WEBHOOK_URL=hook.url).run(*arguments)
    assert ended.returncode == 0, ended.stderr
    assert project.states(DAYS) == dict.fromkeys(DAYS, "stored")
    assert hook.messages == [message], "nothing is said of a run that stored its days"


def test_stored_days_that_fail_a_check_are_told_with_what_shows_them(hook: Webhook, tmp_path: Path) -> None:
    """A list with a contract that the day lacks makes `contract_set` fail; what only warns says nothing."""
    faults = [
        Fault(kind="missing_contract", day=date.fromisoformat(BAD)),
        Fault(kind="quote_spike", day=date.fromisoformat(DAYS[2])),
    ]
    with in_process_project(tmp_path, faults=faults, contracts=40) as project:
        assert project.materialize(of_days(DAYS[0], DAYS[2])).success

        (message,) = hook.messages
        first, checks, see = message.splitlines()
        assert first == "theta/option_quotes/QQQ: 1 of 3 days stored and failed a check"
        assert checks == f"{BAD} failed: contract_set"
        _, *arguments = shlex.split(see.removeprefix("What was found: "))
        environment = {"THETA_BASE_URL": project.theta.base_url, "DATA_ASSETS_PROFILE": "live"}
        shown = Project(project.folder, **environment).run(*arguments)
        assert (shown.returncode, f"{BAD}  contract_set failed: " in shown.stdout) == (1, True), shown


def test_a_run_of_which_days_did_not_store_and_others_failed_a_check_is_one_message(
    hook: Webhook, tmp_path: Path
) -> None:
    faults = [
        Fault(kind="missing_contract", day=date.fromisoformat(BAD)),
        Fault(kind="renamed_column", day=date.fromisoformat(DAYS[2])),
    ]
    with in_process_project(tmp_path, faults=faults, contracts=40) as project:
        assert not project.materialize(of_days(DAYS[0], DAYS[2])).success

    (message,) = hook.messages
    assert re.search("(?m)^theta/option_quotes/QQQ: 1 of 3 days did not store", message)
    assert re.search("(?m)^theta/option_quotes/QQQ: 1 of 3 days stored and failed a check$", message)


def test_a_damaged_day_found_by_verify_is_told(project: InProcess, hook: Webhook) -> None:
    assert run_range(project.instance, ASSET, DAYS[0], DAYS[0]).success
    flip_a_byte(project.file(DAYS[0]))

    assert not run_range(project.instance, ASSET, DAYS[0], DAYS[0], tags={VERIFY: "1"}).success

    (message,) = hook.messages
    assert message.startswith("theta/option_quotes/QQQ: 1 of 1 day did not store (1 rejected)\n")


def test_a_killed_run_is_told_once(hook: Webhook, tmp_path: Path) -> None:
    with in_process_project(tmp_path, faults=[Fault(kind="stall", day=date.fromisoformat(BAD))]) as project:
        environment = {"THETA_BASE_URL": project.theta.base_url, "DATA_ASSETS_PROFILE": "live"}
        command = Project(project.folder, **environment, ALERT_WEBHOOK_URL=hook.url)
        started = command.start("backfill", ASSET.to_user_string(), "--from", DAYS[0], "--to", DAYS[2])
        started.wait_for(lambda: len(project.materializations()) == 2)
        started.end(signal.SIGKILL)
        (run,) = project.instance.get_runs()
        assert end_interrupted_runs(project.instance) == [run.run_id]
        assert end_interrupted_runs(project.instance) == []

    assert hook.messages == [
        f"theta/option_quotes/QQQ: run {run.run_id[:8]} broke off: the process of this run was killed, or its machine "
        "stopped; what it had stored is kept"
    ]


@pytest.mark.parametrize("status", [301, 302, 403, 500])
def test_a_web_hook_that_does_not_take_it_is_a_warning_without_its_address(status: int, tmp_path: Path) -> None:
    with listening(status) as hook, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALERT_WEBHOOK_URL", hook.url)
        fault = Fault(kind="renamed_column", day=date.fromisoformat(BAD))
        with in_process_project(tmp_path, faults=[fault]) as project:
            run = project.materialize(of_days(BAD, BAD))
            said = project.messages(run.run_id)
            everything = "\n".join(str(entry) for entry in project.instance.all_logs(run.run_id))

    assert len(hook.messages) == 1
    assert f"the alert was not sent: ALERT_WEBHOOK_URL answered {status}" in said
    assert "1 of 1 day did not store" in everything
    assert SECRET not in everything


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Of settings that are read anew."""
    settings.cache_clear()
    yield []
    settings.cache_clear()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x", "http://nowhere.invalid/x", "http://[::1]:1/x"])
def test_an_address_where_nobody_listens_is_a_warning(
    address: str, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", f"{address}/{SECRET}")

    send_alert("a day did not store", warnings.append)

    (warning,) = warnings
    assert warning.startswith("the alert was not sent: ALERT_WEBHOOK_URL could not be reached (")
    assert SECRET not in warning


def test_a_vendors_words_are_no_mark_up(hook: Webhook, warnings: list[str]) -> None:
    send_alert("Failed: <!channel> & <https://bad.example|here>", warnings.append)

    assert hook.messages == ["Failed: &lt;!channel&gt; &amp; &lt;https://bad.example|here&gt;"]
    assert warnings == []


def test_a_program_gets_the_message_on_its_standard_input(
    warnings: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "kept message"
    program = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    monkeypatch.setenv("ALERT_COMMAND", shlex.join([sys.executable, "-c", program, str(kept)]))

    send_alert("première ligne\n<b>&", warnings.append)

    assert kept.read_text(encoding="utf-8") == "première ligne\n<b>&"
    assert warnings == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit(3)", SECRET], r"ended with exit status 3"),
        (["/nowhere/apprise", SECRET], r"could not be started \(No such file or directory\)"),
    ],
)
def test_a_program_that_fails_is_a_warning_without_its_arguments(
    command: list[str], said: str, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_COMMAND", shlex.join(command))

    send_alert("a day did not store", warnings.append)

    (warning,) = warnings
    assert re.search(rf"ALERT_COMMAND \({re.escape(command[0])}\) {said}", warning)
    assert SECRET not in warning
