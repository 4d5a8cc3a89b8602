"""What a person sees and does in the Dagster UI, in a real browser: a gap, its backfill, one day, its checks.

The UI's own test ids are not in its production build, so controls are found as a person finds them: by what they say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import pytest
from playwright.sync_api import Locator, Page, expect

from data_assets.orchestration.day_run import PREVIEW_ROWS
from data_assets.orchestration.partitions import TRADING_DAYS
from data_assets.orchestration.standing_checks import STANDING
from data_assets.vendors.polygon.component import DAY_CHECKS
from data_assets.vendors.polygon.day import BARS_KEY, RAW_KEY
from data_assets.vendors.polygon.months import MONTHLY
from data_assets.vendors.theta.histories import HISTORIES
from data_assets.vendors.theta.schema import QUOTES
from data_assets_tests.end_to_end.project_folder import Project, span

if TYPE_CHECKING:
    from data_assets_tests.ui.conftest import Site

pytestmark = pytest.mark.timeout(900)  # a module's server starts within its first test

GREEN, RED, GRAY = "accent-green", "accent-red", "accent-gray"
REASON = r"Failed: the body stopped short: .* \(gave up after 4 failed attempts\)"
SAYS = {  # what each check says of a whole day of the synthetic market
    "contract_set": r"^all \d+ listed are here",
    "grid": r"^all \d+ contracts hold the whole grid from 09:30",
    "integrity": r"^as recorded: sha256, page checksums, schema, [\d,]+ rows",
    "quotes": r"^crossed \d\.\d\d%, ",
    "timestamps": r"^all [\d,]+ rows are in session, on the grid, unique and sorted",
}
PLOTTED = ("rows", "contracts", "MB", "seconds", "rows_per_second", "crossed_share", "no_quote_share")


def day_in_list(page: Page, day: str) -> Locator:
    """The line of a day in a list of partitions."""
    return page.locator(f"[data-tooltip='{day}']").first


def expect_colour(page: Page, day: str, colour: str) -> None:
    """The dot beside a day in a list of partitions."""
    dot = day_in_list(page, day).locator("xpath=following-sibling::div")
    expect(dot).to_have_attribute("style", re.compile(rf"background(-color)?: var\(--color-{colour}\)"))


def expect_counts(page: Page, **counts: int) -> None:
    """The counts by state above a list of partitions."""
    for state, count in counts.items():
        expect(page.get_by_text(f"{state.capitalize()} ({count})", exact=True)).to_be_visible()


def metadata(page: Page, name: str) -> Locator:
    """The value beside a name in a table of metadata."""
    return (
        page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True)).get_by_role("cell").nth(1)
    )


def test_a_gap_says_why_and_one_backfill_closes_it(page: Page, site: Site, keep: Callable[[Page, str], None]):
    gap = site.gap
    page.goto(site.asset("partitions", default_range=gap.asked))
    expect(page.get_by_text("10 Partitions Selected")).to_be_visible()
    expect_counts(page, failed=1, materialized=8, materializing=0, missing=1)
    for day in gap.days:
        expect_colour(page, day, {gap.failed: RED, gap.missing: GRAY}.get(day, GREEN))

    day_in_list(page, gap.failed).click()
    expect(page.get_by_text(re.compile(r"Run \w{8} failed, and did not materialize this asset"))).to_be_visible()
    keep(page, "partition-grid")

    page.get_by_role("button", name="View all historical events (1)").click()
    events = page.get_by_role("dialog")
    events.get_by_role("cell", name=gap.failed).get_by_role("button").click()
    expect(events.get_by_text(re.compile(REASON))).to_be_visible()
    events.get_by_role("button", name="OK").click()
    expect(events).to_be_hidden()

    page.get_by_role("button", name="View logs").click()
    logs = page.get_by_role("dialog")
    expect(logs.get_by_text(re.compile(rf"1 of 6 days did not store\. {gap.failed} {REASON}")).last).to_be_visible()
    logs.get_by_role("button", name="Done").click()
    expect(logs).to_be_hidden()

    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("textbox")).to_have_value(gap.asked)
    expect(dialog.get_by_text("10 partitions", exact=True)).to_be_visible()
    dialog.get_by_text("Backfill only failed and missing partitions within selection").click()
    expect(dialog.get_by_text("2 partitions", exact=True)).to_be_visible()
    keep(page, "backfill-dialog")
    dialog.get_by_role("button", name="Launch backfill").click()
    expect(dialog).to_be_hidden()

    # The page is not loaded again: it follows the runs by itself.
    expect_counts(page, failed=0, materialized=10, materializing=0, missing=0)
    for day in gap.days:
        expect_colour(page, day, GREEN)


def test_one_day_on_demand_with_its_metadata_and_checks(page: Page, site: Site, keep: Callable[[Page, str], None]):
    day = site.gap.on_demand
    page.goto(site.asset("partitions", default_range=day))
    expect_counts(page, missing=1, materialized=0)
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 partition", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect_counts(page, missing=0, materialized=1)
    expect_colour(page, day, GREEN)

    eleven = f"[{day}...{site.gap.days[-1]}]"
    page.goto(site.asset("partitions", default_range=eleven, partition=day))
    expect(page.get_by_text("11 Partitions Selected")).to_be_visible()
    expect_colour(page, day, GREEN)
    file = site.project.file(day)
    stored = pl.read_parquet(file)
    contracts = stored.select("symbol", "expiration", "strike", "right").n_unique()
    expect(metadata(page, "rows")).to_have_text(str(stored.height))
    expect(metadata(page, "contracts")).to_have_text(str(contracts))
    expect(metadata(page, "MB")).to_have_text(f"{round(file.stat().st_size / 1e6, 3):g}")
    expect(metadata(page, "sha256")).to_have_text(hashlib.sha256(file.read_bytes()).hexdigest())
    expect(metadata(page, "path")).to_have_text(str(file))
    expect(metadata(page, "synthetic")).to_have_text("true")

    drawn = metadata(page, "picture").locator("img")
    expect(metadata(page, "picture")).to_contain_text("underlying by parity")
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100, "shown where it stands"
    metadata(page, "preview").get_by_text("[Show Markdown]").click()
    preview = page.get_by_role("dialog")
    expect(preview.get_by_role("columnheader")).to_have_text(stored.columns)
    expect(preview.get_by_role("row")).to_have_count(1 + PREVIEW_ROWS)
    preview.get_by_role("button", name="Close").click()
    expect(preview).to_be_hidden()

    page.goto(site.asset("checks"))
    for check in HISTORIES["quotes"].checks:
        page.locator(f"[title='{check}']").first.click()
        page.get_by_role("tab", name="Partitions").last.click()
        page.get_by_placeholder("ex: ").fill(eleven)
        page.get_by_placeholder("ex: ").press("Enter")
        expect(page.get_by_text("11 Partitions Selected")).to_be_visible()
        day_in_list(page, day).click()
        expect(page.get_by_text(re.compile(SAYS[check]))).to_be_visible()
        expect(page.get_by_text("Passed", exact=True)).to_be_visible()
        expect_colour(page, day, GREEN)
        if check == "grid":
            keep(page, "checks")


def test_the_pages_say_what_the_data_is(page: Page, site: Site):
    # From noon in New York on, the grid has a day whose session has not ended, which our own keys do not have.
    partitions = f"{len(TRADING_DAYS.get_partition_keys()):,} partitions"
    page.goto(f"{site.url}/assets")
    expect(page.get_by_role("link", name="theta / option_quotes / QQQ")).to_be_visible()
    expect(
        page.get_by_text(re.compile("^The national best bid and offer of every listed QQQ option")).first
    ).to_be_visible()
    expect(page.get_by_text("synthetic", exact=True).first).to_be_visible()
    expect(page.get_by_text(partitions).first).to_be_visible()

    page.goto(site.asset("lineage"))  # of the checks of QQQ as a whole, neither: days are missing, the newest too
    for fact in ("synthetic", "Parquet", "5 / 7 Passed", partitions):
        expect(page.get_by_text(fact, exact=True).first).to_be_visible()

    page.goto(site.asset("overview"))
    for fact in ("theta", "synthetic", "Parquet", "data_assets/profile: sandbox"):
        expect(page.get_by_text(fact, exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("^Synthetic data from simulated vendors")).first).to_be_visible()
    expect(
        page.get_by_text(
            re.compile("^The national best bid .* QQQ option, a snapshot every 1m from 09:30 to 16:15 New York")
        )
    ).to_be_visible()
    for name, column in QUOTES.columns.items():
        expect(page.get_by_role("row", name=re.compile(f"^{name} .*{re.escape(column.meaning)}"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^strike .*Float64 .*\[US dollars\]"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^right .*Enum: CALL, PUT "))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^timestamp .*Datetime, UTC "))).to_be_visible()

    page.get_by_role("button", name="Plots").click()
    for name in PLOTTED:
        plot = page.get_by_text(name, exact=True).locator("xpath=ancestor::div[.//canvas][1]")
        expect(plot.locator("canvas")).to_have_count(1)

    page.goto(f"{site.url}/runs")
    expect(page.get_by_text("Failure", exact=True).first).to_be_visible()
    about = page.get_by_text("theta / option_quotes / QQQ").filter(visible=True)  # one more measures its width
    expect(about.first).to_be_visible()
    expect(page.get_by_text("data_assets/")).to_have_count(0)  # no tag that only the machinery reads


def test_a_run_of_the_command_is_executed_again_by_a_click(page: Page, site: Site):
    with site.project.instance() as instance:
        whole = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))[-1]
    page.goto(f"{site.url}/runs/{whole.run_id}")
    page.get_by_role("button", name="Re-execute all (*)").click()
    page.wait_for_url(lambda url: "/runs/" in url and whole.run_id not in url)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    with site.project.instance() as instance:
        again = instance.get_run_by_id(page.url.rsplit("/", 1)[-1][:36])
    assert again is not None
    assert (again.parent_run_id, again.asset_selection) == (whole.run_id, whole.asset_selection)


def test_a_gap_in_polygons_bars_and_the_files_that_they_are_made_from(page: Page, site: Site):
    """The gap is a day that the vendor did not list when it was asked for, and does by now."""
    days = site.gap.days[:3]
    gap, three = days[1], f"[{days[0]}...{days[-1]}]"
    unlisted = json.dumps([{"kind": "missing_file", "day": gap}])
    vendor = Project(site.project.folder, **site.project.environment, DATA_ASSETS_SANDBOX_FAULTS=unlisted)
    ended = vendor.run("backfill", BARS_KEY, *span(days))
    assert ended.returncode == 1, ended.stderr

    page.goto(site.asset("partitions", BARS_KEY, default_range=three))
    expect_counts(page, failed=1, materialized=2, materializing=0, missing=0)
    for day in days:
        expect_colour(page, day, RED if day == gap else GREEN)
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Backfill only failed and missing partitions within selection").click()
    expect(dialog.get_by_text("1 partition", exact=True)).to_be_visible()
    expect(dialog.get_by_text("cannot be materialized")).to_have_count(0)  # its file is not here, and will be fetched
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect_counts(page, failed=0, materialized=3, materializing=0, missing=0)
    expect_colour(page, gap, GREEN)

    day_in_list(page, gap).click()
    stored = pl.read_parquet(site.project.file(gap, BARS_KEY))
    expect(metadata(page, "rows")).to_have_text(str(stored.height))
    expect(metadata(page, "tickers")).to_have_text(str(stored["ticker"].n_unique()))
    expect(metadata(page, "synthetic")).to_have_text("true")

    page.goto(site.asset("checks", BARS_KEY))
    expect(page.get_by_text(f"Checks ({len(DAY_CHECKS) + len(STANDING)})", exact=True)).to_be_visible()
    page.locator("[title='coverage']").first.click()
    page.get_by_role("tab", name="Partitions").last.click()
    page.get_by_placeholder("ex: ").fill(three)
    page.get_by_placeholder("ex: ").press("Enter")
    expect(page.get_by_text("3 Partitions Selected")).to_be_visible()
    day_in_list(page, gap).click()
    expect(page.get_by_text("of 10 tickers: 10 complete; 100.0% of the regular minutes have a bar")).to_be_visible()
    for day in days:
        expect_colour(page, day, GREEN)

    months = sorted({f"{day[:7]}-01" for day in days})  # the one under way is among them, but in its first days
    page.goto(site.asset("partitions", MONTHLY, default_range=f"[{months[0]}...{months[-1]}]"))
    page.get_by_role("button", name="Materialize…").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Launch")).click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect_counts(page, failed=0, materialized=len(months), materializing=0, missing=0)

    page.goto(site.asset("lineage", BARS_KEY, lineageScope="upstream"))
    for dataset, checks in ((BARS_KEY, len(DAY_CHECKS)), (RAW_KEY, 1)):
        # Of those of the dataset as a whole, neither: years were never asked for, and the newest session neither.
        told = f"{checks} / {checks + len(STANDING)} Passed"
        passed = page.locator(f"a[href$='/assets/{dataset}?view=checks']", has_text=told)
        expect(passed).to_be_visible()
    expect(page.get_by_text("minute_aggs_monthly")).to_have_count(0)
