"""The names of datasets are remembered only as long as the project's files are those that they came from."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from data_assets.cli.known_names import known_names, names_begun, refuse_unknown, remember_names
from data_assets_tests.end_to_end.project_folder import write_project

NAMES = ["ib/bars_1m/AAPL", "theta/option_quotes/QQQ"]
BLOCK = "defs/theta/option_quotes_qqq/defs.yaml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write_project(tmp_path))
    assert known_names() is None
    remember_names(reversed(NAMES))
    assert known_names() == NAMES
    return tmp_path


def change(file: Path) -> None:
    file.write_text(file.read_text() + "# mine\n")


def new(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("type: data_assets.vendors.theta.component.ThetaDataset\n")


@pytest.mark.parametrize(
    ("name", "do"),
    [
        (BLOCK, change),
        (BLOCK, Path.unlink),
        ("defs/ib/bars_1m/tickers.csv", change),
        ("defs/theta/mine/defs.yaml", new),
        (".state/known_names.json", change),
        (".state/known_names.json", Path.unlink),
    ],
)
def test_any_change_makes_them_unknown(project: Path, name: str, do) -> None:
    do(project / name)
    assert known_names() is None
    refuse_unknown(["anything"])
    remember_names(NAMES)
    assert known_names() == NAMES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (BLOCK, "type: mine.Component\n"),
        (BLOCK, "type: data_assets.vendors.theta.component.ThetaDataset\nattributes: {symbol: '{{ env.ROOT }}'}\n"),
        ("defs/ib/bars_1m/defs.yaml", "type: data_assets.x.Y\nattributes:\n  tickers_file: ../../../mine.csv\n"),
        ("defs/ib/bars_1m/defs.yaml", "type: data_assets.x.Y\nattributes:\n  tickers_file: '/data/mine.csv'\n"),
        ("defs/mine.py", "SYMBOL = 'QQQ'\n"),
    ],
)
def test_what_the_files_do_not_decide_alone_is_not_remembered(project: Path, name: str, text: str) -> None:
    (project / name).write_text(text)
    remember_names(NAMES)
    assert known_names() is None


def test_a_folder_that_takes_no_file_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_project(tmp_path))
    (tmp_path / ".state").write_text("a file")
    remember_names(NAMES)
    assert known_names() is None


def test_names_and_folders_are_completed() -> None:
    assert names_begun(NAMES, "theta/") == ["theta/option_quotes", "theta/option_quotes/QQQ"]
    assert names_begun(NAMES, "x") == []


@pytest.mark.parametrize(
    ("key", "alone", "said"),
    [
        ("IB/bars_1m/aapl", False, "the nearest is ib/bars_1m/AAPL"),
        ("qqq", False, "the nearest is theta/option_quotes/QQQ"),
        ("IB", False, "the nearest is ib"),
        ("appl", False, "the nearest is ib/bars_1m/AAPL"),
        ("theta/option_quote/qq", False, "the nearest is theta/option_quotes/QQQ"),
        ("ibbars_1m/AAPL", False, "the nearest is ib/bars_1m/AAPL"),
        ("ib/bars_1m/TSLA", False, "there is no dataset 'ib/bars_1m/TSLA'; what there is: data-assets list"),
        ("ib/bar_1m/TSLA", True, "there is no dataset 'ib/bar_1m/TSLA'; what there is: data-assets list"),
        ("xyzzy", False, "there is no dataset 'xyzzy'; what there is: data-assets list"),
        ("", True, "there is no dataset ''; what there is: data-assets list"),
        ("ib/bars_1m/aapl", True, "the nearest is ib/bars_1m/AAPL"),
        ("ib", True, "'ib' is no single dataset; name one of ib/bars_1m/AAPL"),
        ("*", True, "'*' is no single dataset; name one of ib/bars_1m/AAPL, theta/option_quotes/QQQ"),
    ],
)
def test_what_was_probably_meant_is_told(project: Path, key: str, alone: bool, said: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        refuse_unknown([key], alone=alone)
    assert refused.value.message.endswith(said)
