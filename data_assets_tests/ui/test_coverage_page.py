"""The page of all datasets in a real browser: whole without a network, in both colour schemes, wide and narrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.end_to_end.project_folder import DATASET, Project, span


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """The page of a project with two stored days and a failed one, and these days."""
    days = partition_keys()[-4:-1]
    cut = json.dumps([{"kind": "cut", "day": days[1]}])
    project = Project(tmp_path_factory.mktemp("page") / "project", DATA_ASSETS_SANDBOX_FAULTS=cut)
    try:
        assert project.run("backfill", DATASET, *span(days)).returncode == 1
        file = project.folder / "coverage.html"
        assert project.run("coverage", "--html", str(file)).returncode == 1
        yield file, days
    finally:
        project.close()


@contextmanager
def opened(browser: Browser, file: Path, width: int, scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=True,  # of the test; the page has none
        offline=True,
    )
    page = context.new_page()
    page.goto(file.as_uri())
    yield page
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (1300, "dark"), (390, "light"), (390, "dark")])
def test_the_page_fits_its_window_and_asks_for_nothing(
    browser: Browser,
    written: tuple[Path, list[str]],
    width: int,
    scheme: str,
    keep: Callable[..., None],
    pytestconfig: pytest.Config,
) -> None:
    file, (first, failed, last) = written
    with opened(browser, file, width, scheme) as page:
        loaded = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
        assert loaded == []
        assert page.locator("script, link, img, iframe").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        untitled = page.evaluate("[...document.querySelectorAll('li[class]')].filter(each => !each.title).length")
        assert untitled == 0
        section = page.get_by_role("region", name=DATASET, exact=True)
        expect(section.get_by_title(f"{failed} failed")).to_have_count(1)
        expect(section.get_by_title(f"{first} stored")).to_have_count(1)
        # Wednesday's cell is in the third row: one cell stands below another as the weekdays do.
        tops = {day: section.get_by_title(day).first.bounding_box() for day in (first, last)}
        assert all(tops.values())
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") == (scheme == "light")
        # What a screen reader is told instead of cells.
        assert f"{failed[:4]}: 2 of" in section.aria_snapshot()
        assert f"{failed} failed" not in section.aria_snapshot()
        if (width, scheme) == (1300, "light"):
            keep(page, "coverage-of-three-days")
