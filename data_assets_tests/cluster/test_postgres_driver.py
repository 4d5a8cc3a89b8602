"""The command with its run history in PostgreSQL: it works by psycopg2, and says so where it is told otherwise."""

from __future__ import annotations

import socket
import traceback
from pathlib import Path

import pytest

from data_assets.cli.project import definitions, open_instance
from data_assets.ingest.state_folder import StateUnusable
from data_assets.orchestration.postgres_driver import DriverUnusable, refusing_unusable_driver
from data_assets_tests.end_to_end.project_folder import write_project


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    definitions.cache_clear()


def history_at(url: str) -> None:
    Path("dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {url}\n")


def test_a_history_in_postgres_is_opened_by_psycopg2(history_url: str) -> None:
    history_at(history_url)

    with open_instance() as instance:
        assert instance.get_runs() == []


def test_a_plain_address_is_refused_in_one_line_that_says_what_to_write(history_url: str) -> None:
    history_at(history_url.replace("+psycopg2", ""))

    with pytest.raises(DriverUnusable, match=r"^dagster\.yaml: .*postgresql\+psycopg2://$"), open_instance():
        pass


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("someone:hunter2@127.0.0.1:1", 'connection to server at "127.0.0.1", port 1 failed'),
        ("hunter2/x@127.0.0.1", ""),
    ],
)
def test_a_server_that_does_not_answer_is_told_in_a_line_without_its_password(
    place: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    history_at(f"postgresql+psycopg2://{place}/history")

    with pytest.raises(StateUnusable) as told, open_instance():
        pass
    text = str(told.value)
    assert text.startswith("dagster.yaml: the PostgreSQL server that keeps the run history does not answer")
    assert (says in text, "hunter2" in f"{text} {caplog.text}", "\n" in text) == (True, False, False)


def test_an_address_that_is_none_is_told_in_a_line_without_its_password() -> None:
    history_at("postgresql+psycopg2://someone:hunter2@127.0.0.1:54x/history")

    with pytest.raises(DriverUnusable, match=r"^dagster\.yaml: .*postgres_url") as told, open_instance():
        pass
    shown = "".join(traceback.format_exception(told.value))
    assert ("hunter2" in shown, "\n" in str(told.value)) == (False, False)


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")  # the least that libpq takes
    with socket.create_server(("127.0.0.1", 0)) as mute:
        history_at(f"postgresql+psycopg2://someone@127.0.0.1:{mute.getsockname()[1]}/history")
        told = r"does not answer \(connection to server at .* timeout expired"
        with pytest.raises(StateUnusable, match=told), open_instance():
            pass


@refusing_unusable_driver()
def fail_without(module: str) -> None:
    """As Dagster does: it wraps the error of the import."""
    try:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)
    except ModuleNotFoundError as error:
        raise RuntimeError("couldn't import it") from error


def test_a_library_that_is_not_installed_is_named() -> None:
    with pytest.raises(DriverUnusable, match=r"pip install 'data-assets\[postgres\]'"):
        fail_without("dagster_postgres")


def test_what_else_is_not_installed_is_not_explained_away() -> None:
    with pytest.raises(RuntimeError, match="couldn't import it"):
        fail_without("somebody_elses")
