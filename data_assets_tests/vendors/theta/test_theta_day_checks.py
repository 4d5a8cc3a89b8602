"""A stored day is judged the same however its rows are cut into row groups."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from data_assets.lake import parquet_file, writer
from data_assets.lake.lake import Lake
from data_assets.quality.price_spikes import quote_spikes
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day_checks import evaluate_checks
from data_assets.vendors.theta.values import Limits
from data_assets_tests.lake.lake_days import store
from data_assets_tests.quality.quote_days import DAY, MINUTE, OPEN, Contract, quotes_of

DATASET = OptionDataset("theta/option_quotes/QQQ", "QQQ")


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 1000])
def test_quotes_that_stand_alone_are_found_beside_every_border(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
):
    # From the minute after the open, whose quotes are empty: the second quote of a contract stands alone, too.
    contracts = [
        Contract(strike=strike, start=OPEN + MINUTE, end=OPEN + 20 * MINUTE) for strike in (400.0, 410.0, 420.0)
    ]
    high = pl.int_range(pl.len()) % 5 == 1
    day = quotes_of(*contracts).with_columns(
        pl.when(high).then(pl.col(name) * 40).otherwise(pl.col(name)).alias(name) for name in ("bid", "ask")
    )
    spikes = quote_spikes(day).height
    assert spikes > 9
    for module in (parquet_file, writer):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", rows)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    lake = Lake(str(tmp_path), synthetic=True)
    store(lake, day)
    groups = [batch.height for batch in lake.batches(DATASET.key, DAY)]
    assert len(groups) == -(-day.height // rows)
    verdicts = {each.name: each for each in evaluate_checks(lake, DATASET, DAY, Limits())}
    assert verdicts["quotes"].metadata["spikes"] == spikes
