"""A command whose lake's object store says nothing: a line says what it waits for, since when and until when."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest

from data_assets.cli.project import enter_project
from data_assets.ingest import waiting
from data_assets.lake import patient_store
from data_assets.lake.errors import LakeError
from data_assets.settings import settings
from data_assets.wiring import open_lake
from data_assets_tests.end_to_end.project_folder import write_project

SAID = re.compile(r"waiting for the lake's object store to answer, since \d\d:\d\d:\d\d, until \d\d:\d\d:\d\d\n")


def test_a_command_says_that_it_waits_for_a_store_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(waiting, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(patient_store, "UNREACHABLE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for name, value in {
            "DATA_ASSETS_PROJECT": str(tmp_path),
            "DAGSTER_HOME": str(tmp_path),
            "DATA_ASSETS_LAKE": "s3://lake/somewhere",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

        def ask() -> None:
            enter_project()
            with pytest.raises(LakeError, match="the object store refused"):
                open_lake().is_there()

        with ThreadPoolExecutor() as thread:
            asked = thread.submit(copy_context().run, ask)
            connection, _ = mute.accept()
            said = ""
            while not SAID.search(said):
                assert not asked.done()
                time.sleep(0.05)
                said += capsys.readouterr().err
            mute.close()
            connection.close()
            asked.result()
    settings.cache_clear()
