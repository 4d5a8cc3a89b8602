"""A quote that stands alone is stored as it was sent, and warned of by the check of the quotes beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_assets.lake import parquet_file
from data_assets.sandbox.faults import GREEKS_ENDPOINT, QUOTE_ENDPOINT, Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets_tests.vendors.theta.option_days import CONTRACTS, DAY, SPX, fetch, verdicts

QUOTES = OptionDataset("theta/option_quotes/QQQ", "QQQ")
GREEKS = OptionDataset("theta/option_greeks/SPX", "SPX", "greeks", SPX)


@pytest.mark.parametrize(
    ("dataset", "endpoint", "check"), [(QUOTES, QUOTE_ENDPOINT, "quotes"), (GREEKS, GREEKS_ENDPOINT, "iv")]
)
async def test_a_quote_alone_is_stored_and_warned_of(tmp_path: Path, dataset: OptionDataset, endpoint: str, check: str):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="quote_spike", endpoint=endpoint)]) as theta:
        await fetch(theta.base_url, tmp_path, dataset)
    found = verdicts(tmp_path, dataset, DAY)[check]
    assert (found.passed, found.severity) == (False, "warn")
    assert "a price stands alone, a bad one or a flash: " in found.summary
    assert " 12:" in found.summary
    assert " bid at " in found.summary


async def test_a_quote_at_the_border_of_two_row_groups_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 2)  # so that every row is at one
    with SandboxTheta(contracts=2, faults=[Fault(kind="quote_spike")]) as theta:
        await fetch(theta.base_url, tmp_path, QUOTES)
    found = verdicts(tmp_path, QUOTES, DAY)["quotes"]
    assert found.metadata["spikes"] == 1, found.summary
