"""Roots that do not exist all the time, and roots of adjusted contracts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from data_assets.ingest.outcome import DayEnded, NoData
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.dataset import OptionDataset, RequestBy
from data_assets.vendors.theta.histories import Kind
from data_assets_tests.vendors.theta.option_days import fetch, stored, verdicts

pytestmark = pytest.mark.slow

DAY = date(2024, 1, 3)
WAYS: list[tuple[Kind, RequestBy | None]] = [
    ("quotes", "day"),
    ("quotes", "expiration"),
    ("greeks", None),
    ("open_interest", None),
    ("eod", None),
]
NO_LIST = Fault(kind="status", status=471, endpoint="option/list/contracts/quote")


@pytest.mark.parametrize("faults", [[], [NO_LIST]], ids=["listed", "without a list"])
@pytest.mark.parametrize(("kind", "by"), WAYS)
async def test_a_root_that_does_not_exist_passes_and_is_said(
    tmp_path: Path, kind: Kind, by: RequestBy | None, faults: list[Fault]
):
    dataset = OptionDataset(f"theta/option_{kind}/META", "META", kind, ("FB", "META"), by)
    with SandboxTheta(contracts=24, symbols=("META",), faults=faults) as theta:
        await fetch(theta.base_url, tmp_path, dataset)
    assert set(stored(tmp_path, dataset)["symbol"].unique()) == {"META"}
    found = verdicts(tmp_path, dataset)
    assert [each.summary for each in found.values() if not each.passed] == []
    assert "FB: no contract on this day" in found["contract_set"].summary
    assert found["contract_set"].metadata["roots_without_contracts"] == ["FB"]


@pytest.mark.parametrize(("kind", "by"), WAYS)
async def test_a_day_on_which_no_root_exists_is_no_data(tmp_path: Path, kind: Kind, by: RequestBy | None):
    dataset = OptionDataset(f"theta/option_{kind}/META", "META", kind, ("FB", "META"), by)
    with SandboxTheta(contracts=24, symbols=("QQQ",)) as theta, pytest.raises(DayEnded) as caught:
        await fetch(theta.base_url, tmp_path, dataset)
    assert isinstance(caught.value.outcome, NoData)


async def test_adjusted_contracts_lie_beside_the_others(tmp_path: Path):
    dataset = OptionDataset("theta/option_quotes/GME", "GME", roots=("GME", "GME1"))
    with SandboxTheta(contracts=24) as theta:
        await fetch(theta.base_url, tmp_path, dataset)
    assert set(stored(tmp_path, dataset)["symbol"].unique()) == {"GME", "GME1"}
    assert [each.summary for each in verdicts(tmp_path, dataset).values() if not each.passed] == []
