"""The examples of docs/recipes.md run as they stand, on a lake of the synthetic market."""

import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from data_assets.lake.lake import Lake
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.market.option_reports import open_interest
from data_assets.trading_calendar import NEW_YORK
from data_assets.vendors.theta.schema import OPEN_INTEREST, QUOTES
from data_assets_tests.lake.lake_days import provenance
from data_assets_tests.lake.minute_days import day_bars, store_day

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
DAYS = [date(2024, 1, day) for day in (2, 3, 4)]
SORT_BY = ("symbol", "expiration", "strike", "right", "timestamp")


def store_options(lake, dataset, day, table, frames):
    rows = pl.concat(frames).with_columns(
        pl.col("timestamp").dt.replace_time_zone(NEW_YORK.key).dt.convert_time_zone("UTC")
    )
    rows = rows.select(table.schema.names()).cast(table.schema).sort(SORT_BY)
    with lake.writer(dataset, day, table.arrow_schema, SORT_BY) as writer:
        writer.write(rows)
        writer.finish(provenance(dataset, day)).publish()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    lake = Lake(str(folder / "lake" / "sandbox"), synthetic=True)
    for day in DAYS:
        listings = chain("QQQ", day, 60)
        store_options(lake, "theta/option_quotes/QQQ", day, QUOTES, [listing.quotes() for listing in listings])
        store_day(lake, day, day_bars(day, "SPY"))
    reports = [open_interest(listing) for listing in chain("SPXW", DAYS[1], 80)]
    store_options(lake, "theta/option_open_interest/SPX", DAYS[1], OPEN_INTEREST, reports)
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def run(title):
        section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
        (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        names = {}
        exec(compile(code, str(PAGE), "exec"), names)
        return names

    return run


def test_every_block_of_the_page_is_run_here():
    titles = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python", PAGE.read_text(), re.DOTALL)
    assert titles == [
        "An at-the-money straddle over a stretch of days",
        "A VWAP backtest",
        "Open interest by strike, as a picture",
        "The same in SQL",
    ]


def test_the_straddle_has_a_call_and_a_put_at_the_money_each_day(run):
    names = run("An at-the-money straddle over a stretch of days")
    found = names["straddles"]
    assert found["day"].to_list() == DAYS
    assert (found["paid"] > 0).all()
    assert names["both"]["right"].cast(pl.String).sort().to_list() == ["CALL", "PUT"]
    assert names["both"]["strike"].n_unique() == 1
    assert names["both"]["strike"][0] == pytest.approx(names["both"]["underlying_price"][0], rel=0.05)


def test_the_backtest_has_a_result_for_each_day_and_does_not_look_ahead(run):
    names = run("A VWAP backtest")
    found = names["daily"]
    assert found["day"].to_list() == DAYS
    assert found["minutes_held"].is_between(1, 389).all()
    lake = names["lake"]
    for day, held in found.select("day", "bought_and_held").iter_rows():
        closes = lake.bars("SPY", day, day, session="regular").collect()["close"]
        assert held == pytest.approx(closes[-1] / closes[0] - 1)
    first = names["bars"].with_columns(names["held"].alias("held")).collect().group_by(names["day"]).first()
    assert not first["held"].any(), "the first minute of a session has no signal before it"


def test_the_picture_has_a_bar_for_each_strike_and_right(run, folder):
    names = run("Open interest by strike, as a picture")
    root = ElementTree.parse(folder / "open_interest.svg").getroot()
    rectangles = [element for element in root if element.tag.endswith("rect")]
    assert len(rectangles) == 2 * names["by_strike"].height > 0
    assert max(float(each.get("width")) for each in rectangles) == 180
    stored = names["lake"].scan("theta/option_open_interest/SPX", DAYS[1], DAYS[1]).collect()["open_interest"].sum()
    assert names["by_strike"].select(pl.sum_horizontal("calls", "puts").sum()).item() == stored


def test_sql_shows_the_chain_at_the_money(run, capfd):
    run("The same in SQL")
    shown = capfd.readouterr().out
    assert "2024-01-03" in shown
    assert "moneyness" in shown
