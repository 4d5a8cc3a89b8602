"""Shortened sessions whose snapshots go on to the end of the window that was asked for: described, and no fault."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from data_assets.sandbox.faults import GREEKS_ENDPOINT, QUOTE_ENDPOINT, Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets_tests.vendors.theta.option_days import CONTRACTS, SPX, fetch, stored, verdicts

pytestmark = pytest.mark.slow

EARLY = date(2024, 7, 3)
QUOTES = OptionDataset("theta/option_quotes/QQQ", "QQQ")
GREEKS = OptionDataset("theta/option_greeks/SPX", "SPX", "greeks", SPX)


@pytest.mark.parametrize("kind", ["carried_tail", "zero_tail"])
@pytest.mark.parametrize(("dataset", "endpoint"), [(QUOTES, QUOTE_ENDPOINT), (GREEKS, GREEKS_ENDPOINT)])
async def test_a_tail_after_the_early_close_is_described(
    tmp_path: Path, dataset: OptionDataset, endpoint: str, kind: str
):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind=kind, endpoint=endpoint)]) as theta:
        await fetch(theta.base_url, tmp_path, dataset, EARLY)
    last = stored(tmp_path, dataset, EARLY)["timestamp"].dt.convert_time_zone("America/New_York").max()
    assert f"{last:%H:%M}" == "16:15"
    found = verdicts(tmp_path, dataset, EARLY)
    assert [each.summary for each in found.values() if not each.passed] == []
    assert "16:15" in found["grid"].summary
    if dataset is QUOTES:
        empty = found["quotes"].metadata["empty_after_close"]
        rows = found["quotes"].metadata["rows_after_close"]
        assert (empty == rows) == (kind == "zero_tail")
        assert f"{rows:,} rows after the options' close" in found["quotes"].summary


async def test_an_early_close_that_ends_has_no_tail(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, QUOTES, EARLY)
    verdict = verdicts(tmp_path, QUOTES, EARLY)["quotes"]
    assert (verdict.passed, verdict.metadata["rows_after_close"]) == (True, 0)
    assert "after the options' close" not in verdict.summary
