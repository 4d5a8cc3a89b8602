"""A block of YAML in, a dataset out; and another symbol as another block and no code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from data_assets.orchestration.partitions import trading_days
from data_assets.settings import settings
from data_assets.span import FIRST_DAY, Span
from data_assets.vendors.theta.component import ThetaDataset
from data_assets_tests.end_to_end.project_folder import (
    ALL_STORED,
    open_days,
    write_project,
)

pytestmark = pytest.mark.slow

BLOCK = """
type: data_assets.vendors.theta.component.ThetaDataset
attributes:
  dataset: quotes
  symbol: IWM
  end_time: "16:00:00"
  absent_tolerance: 0.01
"""


@pytest.fixture(autouse=True)
def settings_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "dagster.yaml").touch()
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_block_becomes_a_dataset_named_after_its_symbol() -> None:
    dataset = ThetaDataset.resolve_from_yaml("{dataset: quotes, symbol: IWM}").market_dataset()

    assert dataset.name == "theta/option_quotes/IWM"
    assert dataset.asset_key == dg.AssetKey(["theta", "option_quotes", "IWM"])
    assert dataset.vendor == "theta"
    assert "IWM" in dataset.description
    assert "integrity" in dataset.checks


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ("{dataset: trades, symbol: IWM}", "dataset"),
        ("{dataset: quotes, symbol: iwm}", "symbol"),
        ("{dataset: quotes, symbol: ../IWM}", "symbol"),
        ("{dataset: quotes, symbol: 1GME}", "symbol"),
        ("{dataset: quotes}", "symbol"),
        ("{dataset: quotes, symbol: IWM, interval: 7m}", "interval"),
        ("{dataset: quotes, symbol: IWM, end_time: '25:00:00'}", "end_time"),
        ("{dataset: quotes, symbol: IWM, first_day: soon}", "first_day 'soon'"),
        ("{dataset: quotes, symbol: IWM, first_day: 1999-01-04}", "first_day 1999-01-04"),
        ("{dataset: quotes, symbol: IWM, last_day: 2012-05-31}", "last_day 2012-05-31"),
        ("{dataset: quotes, symbol: IWM, absent_tolerance: 1.5}", "absent_tolerance"),
        ("{dataset: quotes, symbol: IWM, thresholds: {crosed: 0.1}}", "crosed"),
        ("{dataset: quotes, symbol: IWM, colour: blue}", "colour"),
        ("{dataset: quotes, symbol: SPX, roots: [SPX, spxw]}", "roots"),
        ("{dataset: quotes, symbol: SPX, roots: [SPX, SPX]}", "name each once"),
        ("{dataset: quotes, symbol: SPX, request_by: strike}", "request_by"),
        ("{dataset: greeks, symbol: SPX, request_by: day}", "request_by"),
        ("{dataset: greeks, symbol: SPX, thresholds: {crossed: 0.1}}", "crossed"),
        ("{dataset: eod, symbol: SPX, interval: 1m}", "interval"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(block: str, named: str) -> None:
    with pytest.raises(Exception, match=named):
        ThetaDataset.resolve_from_yaml(block).market_dataset()


@pytest.mark.parametrize(
    ("block", "span"),
    [
        ("{dataset: quotes, symbol: IWM}", Span(date(2012, 6, 1))),
        ("{dataset: open_interest, symbol: IWM}", Span(date(2012, 6, 1))),
        ("{dataset: eod, symbol: IWM}", Span(date(2012, 6, 1))),
        ("{dataset: greeks, symbol: IWM}", Span(date(2017, 1, 1))),
        (
            "{dataset: quotes, symbol: FB, first_day: 2016-08-04, last_day: 2022-06-08}",
            Span(FIRST_DAY, date(2022, 6, 8)),
        ),
    ],
)
def test_a_dataset_begins_with_the_vendors_history_or_where_its_block_says(block: str, span: Span) -> None:
    dataset = ThetaDataset.resolve_from_yaml(block).market_dataset()

    assert dataset.span == span
    assert dataset.partitions is trading_days(span), "datasets of the same days share the very same object"


def test_the_concurrency_is_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THETA_MAX_CONCURRENT_REQUESTS", "2")
    settings.cache_clear()

    assert ThetaDataset.resolve_from_yaml("{dataset: quotes, symbol: IWM}").market_dataset().max_concurrency == 2


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ("{dataset: quotes, symbol: SPX, roots: [SPX, SPXW]}", "theta/option_quotes/SPX"),
        ("{dataset: greeks, symbol: SPY}", "theta/option_greeks/SPY"),
        ("{dataset: open_interest, symbol: SPY}", "theta/option_open_interest/SPY"),
        ("{dataset: eod, symbol: SPY}", "theta/option_eod/SPY"),
        ("{dataset: quotes, symbol: GME1}", "theta/option_quotes/GME1"),
        ("{dataset: quotes, symbol: GME, roots: [GME, GME1]}", "theta/option_quotes/GME"),
    ],
)
def test_every_history_is_a_dataset_with_documented_columns(block: str, name: str) -> None:
    dataset = ThetaDataset.resolve_from_yaml(block).market_dataset()

    assert dataset.name == name
    assert all(kind and meaning for kind, meaning in dataset.columns.values())
    assert ("SPXW" in dataset.description) == ("SPXW" in block)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project as someone else would have it, with one block more in the folder of QQQ's."""
    folder = write_project(tmp_path / "clone")
    with (folder / "defs/theta/option_quotes_qqq/defs.yaml").open("a") as file:
        file.write(f"---{BLOCK}")
    return folder


def test_another_symbol_is_another_block_and_fills_by_the_same_command(clone: Path) -> None:
    def run(*arguments: str) -> object:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "THETA_"))}
        ended = subprocess.run(
            [Path(sys.executable).with_name("data-assets"), *arguments, "--json"],
            cwd=clone,
            env={**outside, "DATA_ASSETS_SANDBOX_CONTRACTS": "8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.stdout, ended.stderr
        return json.loads(ended.stdout)

    days = ["2024-07-02", "2024-07-03"]
    result = run("backfill", "theta/option_quotes/IWM", "--from", days[0], "--to", days[-1])

    assert result == {"dataset": "theta/option_quotes/IWM", "stored": days, **ALL_STORED}
    gaps = open_days(run("gaps", "--from", days[0], "--to", days[-1]))
    assert gaps["theta/option_quotes/IWM"] == {"missing": [], "failed": [], "lacking": {}}
    assert gaps["theta/option_quotes/QQQ"] == {"missing": days, "failed": [], "lacking": {}}
    frame = pl.read_parquet(clone / "lake/sandbox/theta/option_quotes/IWM" / f"date={days[0]}" / "data.parquet")
    assert frame["symbol"].unique().to_list() == ["IWM"]
    assert frame["timestamp"].dt.strftime("%H:%M").max() == "20:00", "the block's own end of the day, 16:00 New York"
