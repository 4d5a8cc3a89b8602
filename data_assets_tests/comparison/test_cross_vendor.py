"""Comparisons as datasets: made from two stored days, made again when either changes, judged, and shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from data_assets.cli.project import datasets, definitions
from data_assets.lake.lake import Lake
from data_assets.orchestration.day_states import day_states
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.lake.lake_days import store
from data_assets_tests.lake.minute_days import day_bars, ib_bars, store_day, store_ib_day
from data_assets_tests.orchestration.in_process import InProcess, in_process_project

AAPL, QQQ = "quality/cross_vendor/AAPL", "quality/parity/QQQ"
QUOTES = "theta/option_quotes/QQQ"
DAYS = [date(2024, 7, 2), date(2024, 7, 3)]  # 13:00 on the second
JULY = ("--from", str(DAYS[0]), "--to", str(DAYS[1]))
BLOCK = """
type: data_assets.comparison.component.CrossVendor
attributes:
  bars: [AAPL]
  options:
    - {root: QQQ, options: theta/option_quotes/QQQ}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path, contracts=400) as project:
        block = tmp_path / "defs" / "quality" / "cross_vendor" / "defs.yaml"
        block.parent.mkdir(parents=True)
        block.write_text(BLOCK)
        yield project


@pytest.fixture
def lake(project: InProcess) -> Lake:
    """Bars of both vendors, on both days; the sandbox's vendors see one market."""
    lake = Lake(str(project.folder / "lake" / "live"), synthetic=False)
    for day in DAYS:
        store_day(lake, day, day_bars(day, "AAPL", "QQQ"), wanted=["AAPL", "QQQ"])
        store_ib_day(lake, "AAPL", day)
    return lake


def states(project: InProcess, name: str) -> list[str]:
    dataset = datasets()[name]
    return list(
        day_states(project.instance, dataset.asset_key, [str(day) for day in DAYS], dataset.partitions).values()
    )


def rows(lake: Lake, name: str, day: date) -> pl.DataFrame:
    return lake.scan(name, day, day).collect()


def test_from_two_vendors_bars_to_a_score(project: InProcess, lake: Lake, call: Call) -> None:
    moved = ib_bars("AAPL", DAYS[1]).with_columns(close=pl.col("close") * 1.001, high=pl.col("high") * 1.01)
    store_ib_day(lake, "AAPL", DAYS[1], moved)

    assert call("backfill", AAPL, *JULY).code == 0

    assert states(project, AAPL) == ["stored", "stored"]
    days = call("status", AAPL, *JULY, "--json").document[AAPL]["days"]
    assert [day["rows"] for day in days] == [390, 210]
    assert [day["checks"] for day in days] == [
        {"agreement": "SUCCEEDED", "volumes": "SUCCEEDED", "integrity": "SUCCEEDED"},
        {"agreement": "FAILED", "volumes": "SUCCEEDED", "integrity": "SUCCEEDED"},
    ]
    assert days[0]["shown"] == {"score": 100.0}
    assert days[1]["shown"]["score"] < 2
    assert set(rows(lake, AAPL, DAYS[0])["reason"]) == {"same"}
    assert lake.provenance(AAPL, DAYS[0]).source == "ib/bars_1m/AAPL, polygon/minute_aggs"
    assert call("verify", AAPL, *JULY).code == 0


def test_the_page_shows_the_scores_and_why_vendors_differ(
    project: InProcess, lake: Lake, call: Call, tmp_path: Path
) -> None:
    spike = pl.when(pl.int_range(pl.len()).is_in([50, 60, 70])).then(pl.col("high") + 3.0).otherwise(pl.col("high"))
    store_ib_day(lake, "AAPL", DAYS[0], ib_bars("AAPL", DAYS[0]).with_columns(high=spike))
    gone = ib_bars("AAPL", DAYS[1]).with_columns(close=pl.col("close") * 1.001, high=pl.col("high") * 1.01)
    store_ib_day(lake, "AAPL", DAYS[1], gone)
    assert call("backfill", AAPL, *JULY).code == 0

    assert call("coverage", "quality", *JULY, "--html", str(tmp_path / "page.html")).code == 0

    page = (tmp_path / "page.html").read_text().replace("<wbr>", "")
    section = page[page.index("<h2>Vendors held against each other") : page.index("<h2>What changed lately")]
    scores = {day: project_score(call, day) for day in DAYS}
    assert scores[DAYS[0]] == 100.0, "three highs that one vendor leaves out are explained"
    assert f'title="{DAYS[0]} stored"><span class="dot s"></span>100' in section
    assert (
        f'title="{DAYS[1]} stored, did not pass: agreement"><span class="dot w"></span>{scores[DAYS[1]]:g}' in section
    )
    assert f"{scores[DAYS[1]]:g} <span class=soft>on {DAYS[1]}</span>" in section, "the lowest"
    (why,) = re.findall(r"cross_vendor/AAPL</a>((?:<td class=\"n\">[\d,]+)+)", section.replace("\n", ""))
    minutes, extremes, *_, other = [int(each) for each in re.findall(r">([\d,]+)", why)]
    assert (minutes, extremes) == (390 + 210, 3)
    assert other > 200, "for no known reason"
    assert "parity/QQQ" in section, "of which no day is stored"
    assert "Why snapshots differ" not in section


def project_score(call: Call, day: date) -> float:
    """The score of a stored day of AAPL, as `status` has it."""
    document = call("status", AAPL, "--from", str(day), "--to", str(day), "--json").document
    return float(document[AAPL]["days"][0]["shown"]["score"])


def test_the_example_of_the_docs_finds_what_differs(
    project: InProcess, lake: Lake, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = pl.int_range(pl.len()) == 50
    moved = pl.when(here).then(pl.col("close") * 1.001).otherwise(pl.col("close"))
    spike = pl.when(here).then(pl.col("high") * 1.01).otherwise(pl.col("high"))
    store_ib_day(lake, "AAPL", DAYS[1], ib_bars("AAPL", DAYS[1]).with_columns(close=moved, high=spike))
    assert call("backfill", AAPL, *JULY).code == 0
    (code,) = re.findall(r"```python\n(.*?)```", (SOURCES / "docs" / "cross_vendor.md").read_text(), re.DOTALL)
    monkeypatch.chdir(project.folder)
    shown: list[pl.DataFrame] = []

    exec(code, {"print": shown.append})  # as a reader of the page does

    assert [frame["reason"].unique().to_list() for frame in shown] == [["other"]]
    assert shown[0].height == 1


def test_a_day_is_made_again_when_a_side_is_replaced(project: InProcess, lake: Lake, call: Call) -> None:
    assert call("backfill", AAPL, *JULY).code == 0
    assert "0 days to do" not in call("gaps", AAPL, *JULY).stdout
    before = lake.written_at(AAPL, DAYS[0]), lake.written_at(AAPL, DAYS[1])
    store_day(lake, DAYS[0], day_bars(DAYS[0], "AAPL", "QQQ", revision=1000), wanted=["AAPL", "QQQ"])

    assert call("gaps", AAPL, *JULY, "--json").document[AAPL]["lacking"] == {
        str(DAYS[0]): ["its days were stored or replaced after it was built"]
    }
    assert call("backfill", AAPL, *JULY).code == 0

    assert lake.written_at(AAPL, DAYS[0]) > before[0]
    assert lake.written_at(AAPL, DAYS[1]) == before[1]
    assert rows(lake, AAPL, DAYS[0]).select((pl.col("volume_polygon") - pl.col("volume_ib")).unique()).item() == 1000
    assert call("gaps", AAPL, *JULY).code == 0


def test_what_is_not_there_is_named_with_the_command(project: InProcess, lake: Lake, call: Call) -> None:
    lake._storage.delete(f"ib/bars_1m/AAPL/date={DAYS[0]}/data.parquet")
    ended = call("backfill", AAPL, *JULY)
    assert ended.code == 1
    assert (
        f"{DAYS[0]}  NoData: the lake lacks the day of ib/bars_1m/AAPL; run: data-assets backfill ib/bars_1m/AAPL "
        f"--from {DAYS[0]} --to {DAYS[0]}"
    ) in ended.stderr
    assert states(project, AAPL) == ["failed", "stored"]


def test_options_imply_what_their_underlying_costs(project: InProcess, lake: Lake, call: Call) -> None:
    assert call("backfill", QUOTES, *JULY).code == 0
    assert call("backfill", QQQ, *JULY).code == 0
    found = rows(lake, QQQ, DAYS[0])
    assert found.height > 100
    assert call("status", QQQ, *JULY, "--json").document[QQQ]["days"][0]["checks"]["parity"] == "SUCCEEDED"

    dearer = day_bars(DAYS[0], "AAPL", "QQQ").with_columns(pl.col("open", "high", "low", "close") * 1.05)
    store_day(lake, DAYS[0], dearer, wanted=["AAPL", "QQQ"])
    assert call("backfill", QQQ, *JULY).code == 0
    day = call("status", QQQ, *JULY, "--json").document[QQQ]["days"][0]
    assert (day["checks"]["parity"], day["shown"]["score"]) == ("FAILED", 0.0)


def test_a_comparison_is_asked_for_once_both_sides_are_there(project: InProcess, lake: Lake) -> None:
    """By Dagster's own evaluation of the condition, over the events that the runs of both sides leave."""
    defs = definitions()
    day = str(DAYS[0])

    def asked(cursor: dg.AssetDaemonCursor | None) -> tuple[set[str], dg.AssetDaemonCursor]:
        result = dg.evaluate_automation_conditions(
            defs,
            project.instance,
            asset_selection=dg.AssetSelection.assets(AAPL.split("/")),
            cursor=cursor,
        )
        subset = result.get_requested_partitions(dg.AssetKey(AAPL.split("/")))
        return {str(each) for each in subset}, result.cursor

    def recorded(name: str) -> None:
        project.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key=name.split("/"), partition=day))

    nothing, cursor = asked(None)
    recorded("polygon/minute_aggs")
    one_side, cursor = asked(cursor)
    recorded("ib/bars_1m/AAPL")
    both_sides, cursor = asked(cursor)
    again, _ = asked(cursor)
    assert (nothing, one_side, both_sides, again) == (set(), set(), {day}, set())


def test_a_ticker_may_be_spelt_as_interactive_brokers_does(project: InProcess, lake: Lake, call: Call) -> None:
    block = project.folder / "defs" / "quality" / "cross_vendor" / "defs.yaml"
    block.write_text(BLOCK.replace("AAPL", "BRK B"))
    store_day(lake, DAYS[0], day_bars(DAYS[0], "BRK.B"), wanted=["BRK.B"])
    store_ib_day(lake, "BRK B", DAYS[0], ib_bars("BRK.B", DAYS[0]))
    brk = "quality/cross_vendor/BRK.B"
    assert call("backfill", brk, "--from", str(DAYS[0]), "--to", str(DAYS[0])).code == 0
    assert set(rows(lake, brk, DAYS[0])["reason"]) == {"same"}


def test_of_a_side_that_no_block_defines_every_command_says_so(project: InProcess, lake: Lake, call: Call) -> None:
    block = project.folder / "defs" / "quality" / "cross_vendor" / "defs.yaml"
    block.write_text(BLOCK.replace("AAPL", "ZZZT"))
    zzzt, of_ib = "quality/cross_vendor/ZZZT", "ib/bars_1m/ZZZT"
    ended = call("backfill", zzzt, *JULY)
    assert ended.code == 1
    assert f"{DAYS[0]}  NoData: the lake lacks the day of {of_ib}; run: data-assets backfill {of_ib}" in ended.stderr
    assert call("plan", zzzt, *JULY).code == 0
    assert f"Error: {zzzt} is made from {of_ib}, which no block" in call("offers", zzzt).stderr
    assert "ZZZT" not in call("doctor", zzzt).stderr


def test_a_chain_that_implies_nothing_says_why(project: InProcess, lake: Lake, call: Call) -> None:
    """As a chain of a few contracts, all of them far from the money."""
    assert call("backfill", QUOTES, *JULY).code == 0
    quotes = rows(lake, QUOTES, DAYS[0]).with_columns(bid=pl.when(pl.col("right") == "PUT").then(0.0).otherwise("bid"))
    store(lake, quotes, dataset=QUOTES, day=DAYS[0])
    ended = call("backfill", QQQ, *JULY)
    assert ended.code == 1
    assert (
        f"{DAYS[0]}  NoData: {QUOTES} and polygon/minute_aggs have nothing to be compared: at no minute that "
        "polygon/minute_aggs has a price of, one of the 2 nearest expirations has a strike whose call and put both "
        "have a bid and an ask"
    ) in ended.stderr


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ("  bars: []", "nothing to compare"),
        ("  options: [{root: QQQ, options: a/b, unknown: 1}]", "unknown"),
        ("  bars: [AAPL]\n  first_day: someday", "first_day"),
        ("  bars: ['']", "bars: '' is no ticker"),
        ("  bars: [A/B]", "bars: 'A/B' is no ticker"),
        ("  options: [{root: ., options: a/b}]", "root: '.' is no ticker"),
        ("  bars: [BRK B, BRK.B]", "quality/cross_vendor/BRK.B is named twice"),
        ("  options: [{root: QQQ, options: a/b}, {root: QQQ, options: c/d}]", "quality/parity/QQQ is named twice"),
    ],
)
def test_a_wrong_block_is_one_line(project: InProcess, call: Call, attributes: str, says: str) -> None:
    block = project.folder / "defs" / "quality" / "cross_vendor" / "defs.yaml"
    block.write_text(f"type: data_assets.comparison.component.CrossVendor\nattributes:\n{attributes}\n")
    datasets.cache_clear()
    definitions.cache_clear()
    ended = call("gaps", AAPL, *JULY)
    assert ended.code == 2
    assert says in ended.stderr
