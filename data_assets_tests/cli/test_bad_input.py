"""Every verb on bad input: one line on stderr, exit 2 for the call or 1 for the outcome, and nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from data_assets.cli.commands import cli
from data_assets.cli.known_names import FILE, known_names, remember_names
from data_assets.cli.project import datasets
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.project_folder import DATASET
from data_assets_tests.orchestration.in_process import in_process_project, open_project
from data_assets_tests.small_disk import SmallDisk, mount

__all__ = ["mount"]

NOBODY = "http://127.0.0.1:9"
AWAY = {
    "DATA_ASSETS_PROFILE": "live",
    "THETA_BASE_URL": f"{NOBODY}/v3",
    "POLYGON_S3_ENDPOINT": NOBODY,
    "POLYGON_FLAT_FILES_URL": "s3://flatfiles",
    "POLYGON_ACCESS_KEY_ID": "key",
    "POLYGON_SECRET_ACCESS_KEY": "secret",
}
AAPL, AGGS = "ib/bars_1m/AAPL", "polygon/minute_aggs"
EARLY, FIRST, LAST = "2016-08-03", "2024-07-01", "2024-07-05"

SELECT = {
    "backfill": (),
    "plan": (),
    "retry": (),
    "list": (),
    "gaps": (),
    "status": (),
    "coverage": (),
    "verify": (),
    "repair": (),
    "reconcile": (),
    "doctor": (),
    "snapshot": ("take", "mine"),
}
"""Verbs with the arguments of a selection, and what stands before the KEY."""
OF_ONE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "import": ((), ("defs",)),
    "offers": ((), ()),
    "splits": ((), ()),
    "export": (("csv",), ()),
}
"""Verbs of one dataset: what stands before its KEY, and after it."""
WITHOUT_KEY = {"init", "add", "sandbox", "demo"}


def test_every_verb_is_here() -> None:
    assert {*SELECT, *OF_ONE, *WITHOUT_KEY, "accept-hole"} == set(cli.commands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    with open_project(folder, **AWAY):
        yield folder


def tree(folder: Path) -> dict[str, bytes]:
    """What the project holds, but for what is only remembered."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".state" not in path.parts and "__pycache__" not in path.parts
    }


def refused(call: Call, folder: Path, arguments: tuple[str, ...], code: int = 2) -> str:
    before = tree(folder)
    ended = call(*arguments)
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (code, "", 1), (arguments, ended)
    assert ended.stderr.startswith("Error: ")
    assert tree(folder) == before
    return ended.stderr


MISSPELT = "theta/option_quote/QQQ"
NAMES = {MISSPELT: "nearest is theta", "polgon": "nearest is polygon", "theta/*/IWM": "theta/*/IWM"}


@pytest.mark.parametrize("is_known", [False, True], ids=["first call", "names remembered"])
def test_a_name_of_none(folder: Path, call: Call, is_known: bool) -> None:
    """A key, a vendor, and a glob that matches nothing; the answer is the same from names that are remembered."""
    assert "lies before" in refused(call, folder, ("gaps", DATASET, "--to", EARLY))  # which loads the blocks
    if is_known:
        remember_names(datasets())
    else:
        (folder / ".state" / FILE).unlink(missing_ok=True)
    assert (known_names() is not None) == is_known
    for (key, says), (verb, before) in product(NAMES.items(), SELECT.items()):
        assert says in refused(call, folder, (verb, *before, key))
    for key, says in NAMES.items():
        assert says in refused(call, folder, ("accept-hole", key, FIRST, "--reason", "lost"))
    for key, (verb, (before, after)) in product(NAMES, OF_ONE.items()):
        after = tuple(str(folder / each) if each == "defs" else each for each in after)
        more = f"the nearest is {DATASET}" if key == MISSPELT else "what there is: data-assets list"
        assert f"there is no dataset '{key}'; {more}" in refused(call, folder, (verb, *before, key, *after))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="as Linux has it")
def test_a_state_folder_where_no_file_can_be_is_not_short_of_room(
    folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ASSETS_STATE", "/proc/data_assets")
    said = refused(call, folder, ("list",), 1)
    assert said.startswith("Error: /proc/data_assets: the run history cannot be read or written (No such file")


def test_a_day_before_the_first(folder: Path, call: Call) -> None:
    calls = [
        *((verb, *before, DATASET, "--to", EARLY) for verb, before in SELECT.items() if verb != "doctor"),
        ("offers", DATASET, EARLY),
        ("splits", AAPL, "--to", EARLY),
        ("export", "csv", AAPL, "--to", EARLY),
        ("accept-hole", DATASET, EARLY, "--reason", "lost"),
        ("accept-hole", DATASET, EARLY, "--undo"),
        ("accept-hole", DATASET, EARLY, "--list"),
    ]
    for each in calls:
        assert f"{EARLY} lies before 2016-08-04, the first_day of" in refused(call, folder, each)


def test_a_reversed_range(folder: Path, call: Call) -> None:
    reversed_range = ("--from", LAST, "--to", FIRST)
    calls = [
        *((verb, *before, DATASET, *reversed_range) for verb, before in SELECT.items() if verb != "doctor"),
        ("splits", AAPL, *reversed_range),
        ("export", "csv", AAPL, *reversed_range),
        ("accept-hole", DATASET, *reversed_range, "--undo"),
    ]
    for each in (("--reason", "lost"), ("--undo",), ("--list",)):
        told = refused(call, folder, ("accept-hole", DATASET, LAST, FIRST, *each))
        assert f"LAST {FIRST} lies before DAY {LAST}; swap them" in told
    for each in calls:
        assert f"--to {FIRST} lies before --from {LAST}; swap them" in refused(call, folder, each)
    assert "no such option" in refused(call, folder, ("doctor", DATASET, *reversed_range)).casefold()


def test_a_vendor_that_nobody_reaches(folder: Path, call: Call) -> None:
    for key, says in ((DATASET, "the Theta Terminal is not running"), (AGGS, f"nothing answers at {NOBODY}")):
        assert says in refused(call, folder, ("offers", key), 1)
        doctor = call("doctor", key, "--json")
        assert doctor.code == 1
        assert says in next(each["text"] for each in doctor.document if each["state"] == "error")
    assert "the Theta Terminal is not running" in refused(call, folder, ("add", "theta", "IWM", "quotes"), 1)
    assert f"nothing answers at {NOBODY}" in refused(call, folder, ("add", "polygon", "KO"), 1)


def test_a_symbol_that_is_not_there(folder: Path, call: Call) -> None:
    for verb in (("export", "csv"), ("splits",)):
        text = refused(call, folder, (*verb, AGGS, "--ticker", "NOSUCH"), 1 if verb == ("splits",) else 2)
        assert f"holds no day of it yet; run: data-assets backfill {AGGS}" in text
    assert "is no option root" in refused(call, folder, ("add", "theta", "NO SUCH", "quotes"))


def test_a_state_folder_that_is_read_only(tmp_path: Path, mount: Callable[..., SmallDisk], call: Call) -> None:
    state = mount(tmp_path / ".state", "size=64m")
    with in_process_project(tmp_path) as project:
        assert call("backfill", DATASET, "--from", FIRST, "--to", FIRST).code == 0
        project.instance.dispose()  # it keeps its databases open, with a log beside each
        before = tree(tmp_path)
        state.remount("ro")
        try:
            calls = [
                *((verb, *before, DATASET) for verb, before in SELECT.items() if verb != "doctor"),
                ("accept-hole", DATASET, LAST, "--reason", "lost"),
                ("accept-hole", DATASET, FIRST, "--undo"),
                ("accept-hole", DATASET, "--list"),
            ]
            for each in calls:
                ended = call(*each)
                said = (ended.code, ended.stdout, ended.stderr.count("\n"))
                assert said == (1, "", 1), (each, ended)
                assert "mounted read-only" in ended.stderr
            assert "mounted read-only" in call("doctor", DATASET, "--json").stdout
        finally:
            state.remount("rw")
        assert tree(tmp_path) == before
