"""The hours are the library's, whatever state the file is in that keeps them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas_market_calendars
import pytest

from data_assets.nyse_hours import hours
from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION

PROGRAM = """
import sys
from data_assets.nyse_hours import hours
from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION
print(hash(repr(hours(FIRST_SESSION, LAST_SESSION))), "pandas" in sys.modules)
"""


def in_a_process(cache: Path) -> tuple[str, str]:
    """What the hours are there, and whether the library had to say so."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONHASHSEED": "0"}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    found, asked = ended.stdout.split()
    return found, asked


def kept(cache: Path) -> Path:
    (file,) = (cache / "data_assets").iterdir()
    return file


@pytest.fixture
def filled(tmp_path):
    return tmp_path, in_a_process(tmp_path)[0]


def test_they_are_worked_out_once(filled):
    cache, first = filled
    assert in_a_process(cache) == (first, "False")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("2016-08-04", "2016-08-03"),
        lambda _: "",
        "é".join,
    ],
    ids=["cut", "changed", "empty", "no ascii"],
)
def test_a_file_that_is_not_whole_is_made_anew(filled, damage):
    cache, first = filled
    whole = kept(cache).read_text()
    kept(cache).write_text(damage(whole), "utf-8")
    assert in_a_process(cache) == (first, "True")
    assert kept(cache).read_text() == whole


def test_without_a_place_for_the_file_they_are_the_same(filled, tmp_path):
    (no_folder := tmp_path / "a file").write_text("")
    assert in_a_process(no_folder) == (filled[1], "True")


def test_they_are_the_librarys(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    worked_out, read = hours(FIRST_SESSION, LAST_SESSION), hours(FIRST_SESSION, LAST_SESSION)
    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(FIRST_SESSION, LAST_SESSION, tz="UTC")
    assert worked_out == read
    assert list(read) == sorted(read) == list(schedule.index.date)
    assert [opened for opened, _ in read.values()] == list(schedule["market_open"])
    assert [closed for _, closed in read.values()] == list(schedule["market_close"])


def test_a_user_without_a_home_has_them_too(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "~nobody at all")
    monkeypatch.chdir(tmp_path)
    assert len(hours(FIRST_SESSION, FIRST_SESSION)) == 1
    assert list(tmp_path.iterdir()) == []
