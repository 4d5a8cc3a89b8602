"""A bad or unknown variable stops the start, and the message says which one and what it accepts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_assets.settings import Settings, SettingsError, known_variables, read_settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DATA_ASSETS_", "THETA_", "POLYGON_", "IB_", "ALERT_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").touch()


def test_defaults_are_the_sandbox_in_its_own_folder(tmp_path: Path) -> None:
    settings = read_settings()
    assert settings.profile == "sandbox"
    assert settings.lake_url == str(tmp_path / "lake" / "sandbox")


def test_the_live_lake_is_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_ASSETS_PROFILE", "live")
    assert read_settings().lake_url == str(tmp_path / "lake" / "live")


def test_a_url_stays_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ASSETS_LAKE", "s3://bucket/prefix")
    assert read_settings().lake_url == "s3://bucket/prefix"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATA_ASSETS_PROFILE", "prod"),
        ("DATA_ASSETS_LAKE", "ftp://host/lake"),
        ("DATA_ASSETS_LAKE", " "),
        ("THETA_BASE_URL", "127.0.0.1:25503"),
        ("THETA_BASE_URL", "http://127.0.0.1:99999/v3"),
        ("THETA_BASE_URL", "http://127.0.0.1:port/v3"),
        ("THETA_MAX_CONCURRENT_REQUESTS", "0"),
        ("THETA_MAX_CONCURRENT_REQUESTS", "many"),
        ("DATA_ASSETS_SANDBOX_CONTRACTS", "3"),
        ("DATA_ASSETS_SANDBOX_FIRST_DAY", "2024-02-30"),
        ("DATA_ASSETS_SANDBOX_THETA_TIER", "gold"),
        ("DATA_ASSETS_SANDBOX_FAULTS", "[{"),
        ("DATA_ASSETS_SANDBOX_FAULTS", '[{"kind": "cut", "status": 429}]'),
        ("DATA_ASSETS_SANDBOX_FAULTS", '[{"kind": "status"}]'),
        ("DATA_ASSETS_SANDBOX_FAULTS", '[{"kind": "hole", "endpoint": "option/history/quote"}]'),
        ("DATA_ASSETS_SANDBOX_TICKERS", "10"),
        ("POLYGON_FLAT_FILES_URL", "flatfiles"),
        ("POLYGON_FLAT_FILES_URL", "s3://"),
        ("POLYGON_FLAT_FILES_URL", "file://relative/folder"),
        ("POLYGON_S3_ENDPOINT", "files.massive.com"),
        ("POLYGON_CACHE_BYTES", "100 chests"),
        ("POLYGON_CACHE_BYTES", "-1"),
        ("POLYGON_TICKERS", "SPY,,QQQ"),
        ("POLYGON_TICKERS", "../SPY"),
        ("POLYGON_TICKERS", "all,SPY"),
        ("POLYGON_TICKERS", "SPY, all"),
        ("IB_HOST", ""),
        ("IB_PORT", "0"),
        ("IB_CLIENT_ID", "-1"),
        ("IB_SECONDS_BETWEEN_REQUESTS", "-1"),
        ("IB_MAX_REQUESTS_PER_10_MIN", "0"),
        ("ALERT_WEBHOOK_URL", "hooks.example.com/services/x"),
        ("ALERT_WEBHOOK_URL", "file:///etc/hosts"),
        ("ALERT_COMMAND", "mail -s 'data assets"),
        ("ALERT_COMMAND", " "),
    ],
)
def test_a_bad_value_names_the_variable_and_what_it_accepts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    text = str(caught.value)
    assert text.startswith(name)
    assert known_variables()[name] in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATA_ASSETS_PROFIL", "DATA_ASSETS_PROFILE"),
        ("THETA_BASE_URI", "THETA_BASE_URL"),
        ("POLYGON_SECRET_ACCES_KEY", "POLYGON_SECRET_ACCESS_KEY"),
        ("IB_CLIENTID", "IB_CLIENT_ID"),
        ("ALERT_WEBHOOK_URI", "ALERT_WEBHOOK_URL"),
        ("DATA_ASSETS_SANDBOX_FAULT", "DATA_ASSETS_SANDBOX_FAULTS"),
    ],
)
def test_a_misspelt_variable_is_refused_and_the_right_one_named(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=rf"^{name} .*did you mean {meant}"):
        read_settings()


def test_an_unknown_variable_of_ours_is_refused_in_the_file_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATA_ASSETS_COLOUR=blue\n")
    with pytest.raises(SettingsError, match=r"^DATA_ASSETS_COLOUR "):
        read_settings()


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALERT_LEVEL", "POLYGON_API_KEY", "IB_GATEWAY_VERSION", "THETADATA_API_KEY", "THETATERMINALID"):
        monkeypatch.setenv(name, "x")
    assert read_settings().profile == "sandbox"


def test_a_secret_is_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_SECRET_ACCESS_KEY", "hush-hush")
    settings = read_settings()
    assert settings.polygon_secret_access_key.get_secret_value() == "hush-hush"
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    monkeypatch.setenv("POLYGON_CACHE_BYTES", "much")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "hush" not in str(caught.value)


def test_faults_of_every_vendor_stand_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["cut", "stops_at_noon", "pacing"]
    monkeypatch.setenv("DATA_ASSETS_SANDBOX_FAULTS", json.dumps([{"kind": kind} for kind in kinds]))
    assert [fault.kind for fault in read_settings().sandbox_faults] == kinds


def test_the_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATA_ASSETS_PROFILE=live\nTHETA_MAX_CONCURRENT_REQUESTS=2\n")
    monkeypatch.setenv("THETA_MAX_CONCURRENT_REQUESTS", "8")
    settings = read_settings()
    assert (settings.profile, settings.theta_max_concurrent_requests) == ("live", 8)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_bytes("THETA_BASE_URL=http://127.0.0.1/é\n".encode(encoding))
    with pytest.raises(SettingsError, match="is not UTF-8 text") as caught:
        read_settings()
    assert str(caught.value).startswith(str(tmp_path / ".env"))


def test_the_example_file_holds_every_variable_and_only_defaults(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    assert {name for name in known_variables() if name not in text} == set()
    defaults = read_settings()
    (tmp_path / ".env").write_text(text)
    assert read_settings() == defaults


def test_a_wrong_setting_stops_the_command_with_exit_2_and_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("data-assets"), "gaps"],
        cwd=tmp_path,
        env={**os.environ, "DATA_ASSETS_PROFILE": "prod"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("Error: DATA_ASSETS_PROFILE")


def test_every_field_has_an_alias_and_says_what_it_accepts() -> None:
    for name, field in Settings.model_fields.items():
        assert field.validation_alias, name
        assert field.description, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLYGON_S3_ENDPOINT", "https://someone:hunter2@files.massive.com"),
        ("POLYGON_S3_ENDPOINT", "https://hunter2@files.massive.com"),
        ("POLYGON_S3_ENDPOINT", "https://files.massive.com?X-Amz-Signature=hunter2"),
        ("POLYGON_FLAT_FILES_URL", "s3://someone:hunter2@flatfiles"),
        ("POLYGON_FLAT_FILES_URL", "s3://flatfiles?secret=hunter2"),
        ("DATA_ASSETS_LAKE", "s3://someone:hunter2@bucket/lake"),
        ("DATA_ASSETS_LAKE", "s3://bucket/lake#hunter2"),
        ("THETA_BASE_URL", "http://127.0.0.1:25503/v3?key=hunter2"),
        ("IB_HOST", "someone:hunter2@127.0.0.1"),
        ("IB_HOST", "http://127.0.0.1/hunter2"),
        # secrets as Amazon's, with a slash, of which an address makes a path
        ("DATA_ASSETS_LAKE", "s3://AKIA:hunter2/K7MD@bucket/lake"),
        ("DATA_ASSETS_LAKE", "s3://hunter2/K7MD@bucket/lake"),
        ("DATA_ASSETS_LAKE", "s3://AKIA:hunter2"),
        ("POLYGON_FLAT_FILES_URL", "s3://AKIA:hunter2/K7MD@flatfiles"),
        ("POLYGON_S3_ENDPOINT", "https://AKIA:12/hunter2@files.massive.com"),
        ("THETA_BASE_URL", "http://someone:12/hunter2@127.0.0.1:25503/v3"),
        ("THETA_BASE_URL", "http://someone:hunter2℀@127.0.0.1:25503/v3"),
        ("POLYGON_S3_ENDPOINT", "https://someone:hunter2℀@files.massive.com"),
        ("ALERT_WEBHOOK_URL", "https://someone:hunter2℀@hooks.example.com"),
        ("IB_HOST", "someone:hunter2"),
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("text", "size"), [("100GB", 100 * 10**9), ("1.5 TB", 15 * 10**11), ("2GiB", 2 * 2**30), ("5000", 5000), ("0", 0)]
)
def test_a_size_is_bytes_or_has_a_unit(monkeypatch, text, size):
    monkeypatch.setenv("POLYGON_CACHE_BYTES", text)
    assert read_settings().polygon_cache_bytes == size
