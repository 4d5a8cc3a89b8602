"""Exit 2 and one line on stderr that says what is wrong and what would be right."""

from __future__ import annotations

import socket

import pytest

from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.end_to_end.project_folder import DATASET

NEWEST = partition_keys()[-1]

CALLS = {
    "holiday": (
        ("gaps", "--from", "2024-01-01", "--to", "2024-01-01"),
        "2024-01-01 is a market holiday",
        "2023-12-29 and 2024-01-02",
    ),
    "weekend": (
        ("backfill", DATASET, "--from", "2024-01-06", "--to", "2024-01-06"),
        "2024-01-06 is a weekend day",
        "2024-01-05 and 2024-01-08",
    ),
    "future": (("verify", "--from", "2031-01-02"), "2031-01-02 lies after", NEWEST),
    "too early": (("status", "--to", "2016-08-03"), "2016-08-03 lies before", "2016-08-04"),
    "no date": (("gaps", "--from", "20240103"), "'20240103' is not a date", "YYYY-MM-DD"),
    "reversed": (("gaps", "--from", "2024-01-03", "--to", "2024-01-02"), "--to 2024-01-02 lies before", "swap"),
    "key": (("backfill", "theta/option_quote/QQQ"), "no dataset 'theta/option_quote/QQQ'", DATASET),
    "key to list": (("gaps", "thet"), "no dataset 'thet'", "the nearest is theta"),
    "vendor": (("backfill", "polgon"), "no dataset 'polgon'", "the nearest is polygon"),
    "glob": (("verify", "theta/*/IWM"), "no dataset matches 'theta/*/IWM'", "data-assets list"),
    "Dagster's": (("gaps", "grup:theta"), "'grup:theta' is no selection", "Dagster's syntax"),
    "Dagster's for nothing": (("gaps", "group:thet"), "no dataset matches 'group:thet'", "data-assets list"),
    "all and one": (("backfill", "--all", DATASET), f"--all and {DATASET} contradict", "name datasets, or all"),
    "days from": (("gaps", "--days", "3", "--from", "2024-01-02"), "--days and --from contradict", "back from --to"),
    "no days": (("status", "--days", "0"), "0 is not in the range", "x>=1"),
    "days too early": (("gaps", "--days", "3", "--to", "2016-08-02"), "2016-08-02 lies before", "2016-08-04"),
    "failed and missing": (("backfill", DATASET, "--failed", "--only", "missing"), "--failed and --only", "contradict"),
    "no key": (("backfill", "--days", "10"), "name datasets (KEY...)", "--all"),
    "only": (("backfill", DATASET, "--only", "mising"), "'mising' is not one of", "'missing', 'failed', 'all'"),
    "option": (("backfill", DATASET, "--form", "2024-01-02"), "--form", "--from"),
    "command": (("backfil", DATASET), "no command 'backfil'", "the nearest is backfill"),
    "no command": (("xyzzy",), "no command 'xyzzy'", "which there are: data-assets --help"),
}


@pytest.mark.parametrize(("arguments", "wrong", "right"), CALLS.values(), ids=CALLS)
def test_a_wrong_call(new_project, arguments, wrong, right):
    refused(new_project().run(*arguments, "--json"), wrong, right)


SETTINGS = {
    "value": ({"DATA_ASSETS_PROFILE": "prod"}, "DATA_ASSETS_PROFILE", "sandbox"),
    "number": ({"THETA_MAX_CONCURRENT_REQUESTS": "99"}, "THETA_MAX_CONCURRENT_REQUESTS", "1 to 16"),
    "name": ({"DATA_ASSETS_LAEK": "/tmp"}, "DATA_ASSETS_LAEK", "DATA_ASSETS_LAKE"),
}


@pytest.mark.parametrize(("variables", "wrong", "right"), SETTINGS.values(), ids=SETTINGS)
def test_a_wrong_setting(new_project, variables, wrong, right):
    refused(new_project(**variables).run("backfill", DATASET, "--json"), wrong, right)


def test_a_wrong_setting_in_the_env_file(new_project):
    project = new_project()
    (project.folder / ".env").write_text("THETA_BASE_URL=localhost:25503\n")
    refused(project.run("verify", "--json"), "THETA_BASE_URL", "http")


def test_the_sandbox_on_a_port_that_is_taken(new_project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(new_project().run("sandbox", "--theta-port", port), f"port {port}", "take another port")


def test_the_sandbox_on_a_port_that_cannot_be(new_project):
    refused(new_project().run("sandbox", "--theta-port", "99999"), "99999", "0<=x<=65535")


def refused(ended, wrong, right):
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert wrong in ended.stderr
    assert right in ended.stderr
