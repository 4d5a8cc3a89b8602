"""Greeks: one expiration per request, the vendor's units and sentinels as they come, and the tier that they need."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from data_assets.ingest.outcome import DayEnded, NoData, NotEntitled, Stored, Transient
from data_assets.sandbox.faults import GREEKS_ENDPOINT, Fault
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.market.option_greeks import greeks
from data_assets.sandbox.serving import SandboxTheta
from data_assets.trading_calendar import sessions
from data_assets.vendors.theta.component import ThetaDataset
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.schema import GREEKS, Asked, read_rows
from data_assets_tests.vendors.theta.option_days import (
    CONTRACTS,
    DAY,
    SPX,
    asked,
    fetch,
    left_in,
    open_lake,
    run,
    stored,
    verdicts,
)
from data_assets_tests.vendors.theta.raw_http import in_place_of, response, terminal

pytestmark = pytest.mark.slow

SPX_GREEKS = OptionDataset("theta/option_greeks/SPX", "SPX", "greeks", SPX)
SPY_GREEKS = OptionDataset("theta/option_greeks/SPY", "SPY", "greeks")

# The vendor's own example (OpenAPI): a row at the open, which is not solved.
HEADER = ",".join(GREEKS.columns)
DOCUMENTED = (
    "AAPL,2024-11-08,262.500,CALL,2024-11-04T09:30:00,0.00,0.00,0.0000,0.0000,0.0000,0.0000,0.0000,261.9304,0.2500,"
    "100.0000,2024-11-04T09:30:00,221.00"
)


def read(*lines: str) -> pl.DataFrame:
    body = "\r\n".join([HEADER, *lines, ""]).encode()
    return read_rows(GREEKS, body, Asked("AAPL", date(2024, 11, 4)))[0]


def test_the_documented_row():
    row = read(DOCUMENTED).row(0, named=True)
    assert (row["lambda"], row["implied_vol"], row["iv_error"], row["underlying_price"]) == (261.9304, 0.25, 100, 221)
    assert row["underlying_timestamp"] == row["timestamp"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("NaN", float("nan")), ("Infinity", float("inf")), ("-Infinity", -float("inf")), ("", None)],
)
def test_what_the_vendors_model_makes_is_stored_if_it_is_any_number_or_none(text: str, value: float | None):
    found = read(DOCUMENTED.replace("261.9304", text))["lambda"]
    assert found.eq_missing(pl.Series([value], dtype=pl.Float64)).all()


@pytest.mark.parametrize(
    ("was", "is_", "column"),
    [("261.9304", "n/a", "lambda"), ("221.00", "NaN", "underlying_price"), ("221.00", "", "underlying_price")],
)
def test_what_is_no_number_at_all_is_rejected_with_its_contract_its_time_and_what_to_do(
    was: str, is_: str, column: str
):
    with pytest.raises(DayEnded, match=f"column {column}") as caught:
        read(DOCUMENTED.replace(was, is_))
    named = ("AAPL 2024-11-08 262.5 C at 09:30 New York", "AAPL 2024-11-08 262.500 CALL 2024-11-04T09:30:00")
    assert any(name in str(caught.value) for name in named)
    assert "ask for the day again" in str(caught.value)


async def test_a_day_with_empty_greeks_is_stored_and_they_are_null(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path / "usual", SPX_GREEKS)
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_greeks")]) as theta:
        await fetch(theta.base_url, tmp_path / "empty", SPX_GREEKS)
    usual, empty = stored(tmp_path / "usual", SPX_GREEKS), stored(tmp_path / "empty", SPX_GREEKS)
    model = ["delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error"]
    lacking = empty["delta"].is_null()
    assert 0 < lacking.sum() < 0.05 * empty.height
    assert empty.filter(lacking).select(pl.col(model).is_null().all()).row(0) == (True,) * len(model)
    assert empty.drop(model).equals(usual.drop(model))
    assert empty.filter(~lacking).equals(usual.filter(~lacking))
    assert [each.summary for each in verdicts(tmp_path / "empty", SPX_GREEKS).values() if not each.passed] == []


def test_a_price_of_the_session_before_keeps_its_own_clock():
    """New York's clocks changed on the Sunday between the two."""
    [row] = read(DOCUMENTED.replace("2024-11-04T09:30:00,221", "2024-11-01T16:00:00,221")).rows(named=True)
    assert row["timestamp"] - row["underlying_timestamp"] == timedelta(days=2, hours=18, minutes=30)


async def test_a_day_of_greeks_is_that_of_the_vendor_and_every_check_passes(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, order="shuffled", fraction=".000", quoted=True) as theta:
        await fetch(theta.base_url, tmp_path, SPX_GREEKS)
        assert "*" not in {expiration for _, expiration, _ in asked(theta)}
        assert len(asked(theta)) == len(set(asked(theta)))
    frame = stored(tmp_path, SPX_GREEKS)
    assert frame.schema == GREEKS.schema
    vendors = pl.concat([greeks(listing) for root in SPX for listing in chain(root, DAY, CONTRACTS)])
    vendors = vendors.sort("expiration", "symbol", "strike", "right", "timestamp")
    for column in ("delta", "vega", "rho", "implied_vol", "iv_error"):
        assert (frame[column] - vendors[column]).abs().max() < 0.00006, f"{column} in the vendor's own unit"
    assert (frame["timestamp"] == frame["underlying_timestamp"]).all()

    found = verdicts(tmp_path, SPX_GREEKS)
    assert list(found) == ["grid", "contract_set", "iv", "parity", "underlying", "timestamps"]
    assert [each.summary for each in found.values() if not each.passed] == []
    assert all(root in found["iv"].summary for root in SPX)


async def test_every_optionable_symbol_has_them_too(tmp_path: Path):
    block = ThetaDataset.resolve_from_yaml("{dataset: greeks, symbol: SPY, thresholds: {zero: 0.9}}")
    dataset = block.market_dataset()
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, SPY_GREEKS)
    assert dataset.name == SPY_GREEKS.key
    assert set(dataset.checks) == {*verdicts(tmp_path, SPY_GREEKS), "integrity"}
    assert {each.name for each in dataset.evaluate(open_lake(tmp_path), DAY)} == {*dataset.checks} - {"integrity"}
    assert "divide by 100" in dataset.columns["vega"][1]


async def test_a_tier_without_greeks_is_asked_once_for_fifty_days(tmp_path: Path):
    days = sessions(date(2024, 1, 2), date(2024, 3, 13))
    with SandboxTheta(contracts=CONTRACTS, tier="value") as theta:
        report = await run(theta.base_url, tmp_path, SPX_GREEKS, days)
        assert len(days) == 50
        assert len(asked(theta)) == 1
    assert {type(outcome) for outcome in report.outcomes.values()} == {NotEntitled}
    assert "needs the standard tier" in report.outcomes[days[-1]].reason
    assert "\n" not in report.outcomes[days[-1]].reason
    assert left_in(tmp_path) == []


async def test_days_before_the_tiers_first_are_not_asked_for_one_by_one(tmp_path: Path):
    days = sessions(date(2015, 11, 2), date(2016, 1, 6))
    with SandboxTheta(contracts=CONTRACTS, first_day=date(2015, 1, 2)) as theta:
        report = await run(theta.base_url, tmp_path, SPY_GREEKS, days)
        refused = {request.params["date"] for request in theta.requests if request.status == 403}
    kinds = {day: type(outcome) for day, outcome in report.outcomes.items()}
    assert {kinds[day] for day in days if day.year == 2016} == {Stored}
    assert {kinds[day] for day in days if day.year == 2015} == {NotEntitled}
    too_early = [day for day in days if day.year == 2015]
    assert len(refused) < len(too_early) / 2, "the days that were in work, and no others"


async def test_greeks_of_an_index_begin_later_than_its_quotes_and_that_is_no_contradiction(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        with pytest.raises(DayEnded) as caught:
            await fetch(theta.base_url, tmp_path, SPX_GREEKS, date(2016, 12, 30))
        assert len(asked(theta)) == 5
    assert type(caught.value.outcome) is NoData


async def test_empty_bodies_are_no_word_of_the_vendor_before_they_come_twice(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        async with terminal(in_place_of(theta.base_url, {GREEKS_ENDPOINT: response(200, b"")})) as vendor:
            with pytest.raises(Transient, match="the two contradict each other; asked again"):
                await fetch(vendor.base_url, tmp_path, SPX_GREEKS)
            with pytest.raises(DayEnded) as caught:
                await fetch(vendor.base_url, tmp_path, SPX_GREEKS)
    assert type(caught.value.outcome) is NoData


async def test_greeks_that_stop_short_are_asked_for_again_and_only_those(tmp_path: Path):
    cut = Fault(kind="cut", endpoint=GREEKS_ENDPOINT, times=1)
    with SandboxTheta(contracts=CONTRACTS, faults=[cut]) as theta:
        report = await run(theta.base_url, tmp_path, SPX_GREEKS, [DAY])
        requests = asked(theta)
    assert isinstance(report.outcomes[DAY], Stored)
    assert len(requests) == len(set(requests)) + 1
