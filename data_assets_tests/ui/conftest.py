"""A real `dagster dev` on a project with a gap in it, and a real Chromium to look at it.

Two variables are for people: CHROMIUM names another browser, KEEP_SCREENSHOTS a folder that takes the screenshots, such
as `KEEP_SCREENSHOTS=docs` for those of the README.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.end_to_end.project_folder import DATASET, OURS, SOURCES, Project, span
from data_assets_tests.orchestration.dagster_dev import PATIENT, has_loaded

PATIENCE_SECONDS = 240
"""After which a test gives up; nothing is asserted about how long anything takes."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (  # a browser that calls nobody but the page's server
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--disable-gpu",
    "--no-first-run",
)
AS_ROOT = ("--no-sandbox",)


@dataclass(frozen=True)
class Gap:
    """What the page is to show: ten recent days, one of them failed and one missing.

    Attributes:
        days: the ten, oldest first.
        failed: the day whose download was cut short.
        missing: the day that nobody asked for.
        on_demand: the day before the ten, missing too.
    """

    days: list[str]
    failed: str
    missing: str
    on_demand: str

    @property
    def asked(self) -> str:
        """The ten as the UI's fields for partitions write a range."""
        return f"[{self.days[0]}...{self.days[-1]}]"


@dataclass(frozen=True)
class Site:
    """A served project: where its UI is, its folder, and what the UI is to show."""

    url: str
    project: Project
    gap: Gap

    def asset(self, view: str, dataset: str = DATASET, **query: str) -> str:
        """The address of a dataset's page."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"{self.url}/assets/{dataset}?view={view}{more}"


def find_browser() -> str:
    """The executable of a Chromium on this machine."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else BROWSERS:
        if path := shutil.which(name):
            return path
    pytest.fail(
        f"no browser: {named or ', '.join(BROWSERS)} not found. Install one (`apt-get install chromium`, "
        "`brew install --cask chromium`) or name its executable in CHROMIUM.",
        pytrace=False,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=[*QUIET, *(AS_ROOT if os.geteuid() == 0 else ())]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, timezone_id="America/New_York")
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """`keep(page, "name")` writes a screenshot, to be looked at or to be shown in the README."""
    chosen = os.environ.get("KEEP_SCREENSHOTS")
    folder = SOURCES / chosen if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def write(page: Page, name: str) -> None:
        page.mouse.move(0, 0)  # no tooltip in the picture
        page.screenshot(path=folder / f"{name}.png", animations="disabled")

    return write


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Ten days, filled by the command but for the gap, behind a UI that runs until the tests are over."""
    # Without the two newest, so that `fresh` fails at any hour: from a session's end until the next deadline the second
    # is the newest that is due. And after midnight in New York the vendor lacks the newest for a while.
    keys = partition_keys()[-13:-2]
    gap = Gap(days=keys[1:], failed=keys[4], missing=keys[7], on_demand=keys[0])
    project = Project(tmp_path_factory.mktemp("ui") / "project", DATA_ASSETS_SANDBOX_CONTRACTS="60")
    try:
        cut = json.dumps([{"kind": "cut", "day": gap.failed}])
        faulty = Project(project.folder, **project.environment, DATA_ASSETS_SANDBOX_FAULTS=cut)
        older, newer = gap.days[: gap.days.index(gap.missing)], gap.days[gap.days.index(gap.missing) + 1 :]
        for days, code in ((older, 1), (newer, 0)):  # the older ones hold the day that fails
            ended = faulty.run("backfill", DATASET, *span(days))
            assert ended.returncode == code, ended.stderr
        with dagster_dev(project) as url:
            yield Site(url, project, gap)
    finally:
        project.close()


@contextmanager
def dagster_dev(project: Project) -> Iterator[str]:
    """Serve a project's UI, daemon included; afterwards no process of it is left, whatever happened."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outside = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    log = project.folder / "dagster_dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster"), "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=project.folder,
            env={**outside, **project.environment, **PATIENT, "DAGSTER_HOME": str(project.folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until(lambda: has_loaded(url), process, log)
        yield url
    finally:
        _end_group(process)


def _wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert process.poll() is None, f"`dagster dev` ended: {log.read_text()}"
        assert time.monotonic() < give_up, f"`dagster dev` does not answer: {log.read_text()}"
        time.sleep(0.2)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C as in a terminal, to the whole group, and the end of whatever does not heed it."""
    os.killpg(process.pid, signal.SIGINT)
    psutil.wait_procs(_group(process.pid), timeout=20)
    for left in _group(process.pid):  # also what was started as the others ended, and has heard of nothing
        if left.is_running():
            left.kill()
    process.wait()
    psutil.wait_procs(_group(process.pid), timeout=20)
    assert not _group(process.pid), f"left over: {_group(process.pid)}"


def _group(leader: int) -> list[psutil.Process]:
    """The live processes of a group; one that ends while we look is none."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return members
