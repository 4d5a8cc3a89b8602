"""Open interest and end of day: one row per contract, of several reports the newest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from data_assets.ingest.outcome import DayEnded, IngestError, NoData, NotPublished, Rejected, Stored, Transient
from data_assets.sandbox.faults import EOD_ENDPOINT, OPEN_INTEREST_ENDPOINT, QUOTE_ENDPOINT, Fault
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.market.option_reports import eod, open_interest
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.component import ThetaDataset
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.schema import EOD, OPEN_INTEREST
from data_assets_tests.vendors.theta.option_days import (
    CONTRACTS,
    DAY,
    SPX,
    asked,
    details,
    fetch,
    left_in,
    open_lake,
    run,
    stored,
    verdicts,
)
from data_assets_tests.vendors.theta.raw_http import by_path, in_place_of, response, terminal

pytestmark = pytest.mark.slow

INTEREST = OptionDataset("theta/option_open_interest/SPX", "SPX", "open_interest", SPX)
REPORTS = OptionDataset("theta/option_eod/SPX", "SPX", "eod", SPX)
LIST = "option/list/contracts/quote"
ORDER = ["expiration", "symbol", "strike", "right"]
DOUBLED = date(2021, 11, 1)


async def test_open_interest_is_stored_as_sent_and_every_check_passes(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, order="shuffled") as theta:
        ended = await fetch(theta.base_url, tmp_path, INTEREST)
        assert asked(theta) == [(root, "*", "both") for root in SPX]
    frame = stored(tmp_path, INTEREST)
    assert frame.schema == OPEN_INTEREST.schema
    sent = pl.concat([open_interest(listing) for root in SPX for listing in chain(root, DAY, CONTRACTS)])
    sent = sent.drop_nulls("open_interest").sort(ORDER)
    assert frame.select(*ORDER, "open_interest").equals(sent.select(*ORDER, "open_interest"))
    wall_clock = frame["timestamp"].dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    assert wall_clock.equals(sent["timestamp"])
    assert ended.metadata["contracts"] == ended.rows == frame.height

    found = verdicts(tmp_path, INTEREST)
    assert list(found) == ["contracts", "contract_set", "open_interest"]
    assert [each.summary for each in found.values() if not each.passed] == []


@pytest.mark.parametrize("fraction", ["none", ".000"])
async def test_of_reports_made_twice_the_newest_is_stored(tmp_path: Path, fraction: str):
    with SandboxTheta(contracts=CONTRACTS, fraction=fraction) as theta:
        await fetch(theta.base_url, tmp_path, REPORTS, DOUBLED)
    frame = stored(tmp_path, REPORTS, DOUBLED)
    assert frame.schema == EOD.schema
    once = pl.concat([eod(listing) for root in SPX for listing in chain(root, DOUBLED, CONTRACTS)]).sort(ORDER)
    prices = [*ORDER, "open", "high", "low", "close", "volume", "count", "bid", "ask", "bid_size", "ask_size"]
    assert frame.select(prices).equals(once.select(prices))
    assert (frame["created"].dt.convert_time_zone("America/New_York").dt.hour() == 18).sum() > 0, "47 minutes later"
    assert details(tmp_path, REPORTS, DOUBLED)["superseded_reports"] == frame.height

    found = verdicts(tmp_path, REPORTS, DOUBLED)
    assert list(found) == ["contracts", "contract_set", "end_of_day"]
    assert [each.summary for each in found.values() if not each.passed] == []


async def test_an_early_close_is_stored_and_warned_of(tmp_path: Path):
    early = date(2024, 7, 3)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, REPORTS, early)
    verdict = verdicts(tmp_path, REPORTS, early)["end_of_day"]
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert "no bid" in verdict.summary


@pytest.mark.parametrize(
    ("dataset", "now", "early"),
    [
        (REPORTS, "2024-01-03T22:20:00", True),
        (REPORTS, "2024-01-03T22:31:00", False),
        (INTEREST, "2024-01-03T21:00:00", True),
        (INTEREST, "2024-01-03T21:16:00", False),
    ],
)
async def test_reports_are_not_asked_for_before_they_are_made(
    tmp_path: Path, dataset: OptionDataset, now: str, early: bool
):
    instant = datetime.fromisoformat(now).replace(tzinfo=UTC)
    with SandboxTheta(contracts=CONTRACTS, now=lambda: instant) as theta:
        if not early:
            await fetch(theta.base_url, tmp_path, dataset, clock=lambda: instant)
            return
        with pytest.raises(DayEnded) as caught:
            await fetch(theta.base_url, tmp_path, dataset, clock=lambda: instant)
        assert theta.requests == []
    assert type(caught.value.outcome) is NotPublished


@pytest.mark.parametrize("dataset", [INTEREST, REPORTS], ids=["open interest", "end of day"])
@pytest.mark.parametrize("fault", ["cut", "reset", "stall", "missing_contract", "renamed_column"])
async def test_a_fault_leaves_nothing_and_the_next_try_has_the_day(tmp_path: Path, dataset: OptionDataset, fault: str):
    endpoint = EOD_ENDPOINT if dataset is REPORTS else OPEN_INTEREST_ENDPOINT
    strict = replace(dataset, absent_tolerance=0.04 if dataset is INTEREST else 0.005)
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind=fault, endpoint=endpoint, times=1)]) as theta:
        with pytest.raises(IngestError) as caught:
            await fetch(theta.base_url, tmp_path, strict, stall_seconds=1.0)
        assert left_in(tmp_path) == []
        await fetch(theta.base_url, tmp_path, dataset)
    if fault == "renamed_column":
        assert isinstance(caught.value, DayEnded)
        assert isinstance(caught.value.outcome, Rejected)
    else:
        assert isinstance(caught.value, Transient)


async def test_too_large_an_answer_is_had_in_parts(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path / "whole", REPORTS)
    large = Fault(kind="large_request", endpoint=EOD_ENDPOINT, rows=20)
    with SandboxTheta(contracts=CONTRACTS, faults=[large]) as theta:
        await fetch(theta.base_url, tmp_path / "parts", REPORTS)
        assert any(expiration != "*" for _, expiration, _ in asked(theta))
    assert stored(tmp_path / "parts", REPORTS).equals(stored(tmp_path / "whole", REPORTS))


@pytest.mark.parametrize(("listed", "kind"), [(True, Transient), (False, DayEnded)])
async def test_no_data_is_believed_only_if_nothing_is_listed(tmp_path: Path, listed: bool, kind: type[IngestError]):
    faults = [Fault(kind="status", status=472, endpoint=OPEN_INTEREST_ENDPOINT)]
    if not listed:
        faults.append(Fault(kind="status", status=472, endpoint=LIST))
    with SandboxTheta(contracts=CONTRACTS, faults=faults) as theta, pytest.raises(kind) as caught:
        await fetch(theta.base_url, tmp_path, INTEREST)
    assert not isinstance(caught.value, DayEnded) or type(caught.value.outcome) is NoData


ROW = (
    "SPX,2024-01-19,4700.000,CALL,2024-01-03T{made},2024-01-03T10:00:00,"
    "1.00,1.00,1.00,{close},1,1,1,5,1.00,50,1,5,1.10,50"
)


async def test_a_trade_that_moved_no_price_is_no_error_and_is_counted(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="volume_only")]) as theta:
        await fetch(theta.base_url, tmp_path, REPORTS)
    frame = stored(tmp_path, REPORTS)
    evening = frame.filter(pl.col("last_trade").dt.convert_time_zone("America/New_York").dt.date() < DAY)
    assert evening.select("volume", "count", "open", "high", "low", "close").unique().rows() == [(25, 1, 0, 0, 0, 0)]

    verdict = verdicts(tmp_path, REPORTS)["end_of_day"]
    assert verdict.passed, verdict.summary
    assert "without moving a price" in verdict.summary
    for kind in ("moved_no_price", "traded_evening_before"):
        assert sum(verdict.metadata[f"{root}_{kind}"] for root in SPX) == evening.height > 0


async def test_of_open_interest_sent_again_the_newest_is_stored_and_the_rest_is_counted(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="repeated_messages")]) as theta:
        ended = await fetch(theta.base_url, tmp_path / "again", INTEREST)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path / "once", INTEREST)
    again, once = stored(tmp_path / "again", INTEREST), stored(tmp_path / "once", INTEREST)
    assert again.select(ORDER).equals(once.select(ORDER))
    later, more = again["timestamp"] - once["timestamp"], again["open_interest"] - once["open_interest"]
    found = pl.DataFrame({"minutes": later.dt.total_minutes(), "more": more}).unique().sort("minutes", "more").rows()
    assert found == [(0, 0), (45, 0), (45, 100)]
    assert details(tmp_path / "again", INTEREST)["superseded_reports"] == again.height
    assert ended.metadata["superseded_reports"] == again.height
    assert [each.summary for each in verdicts(tmp_path / "again", INTEREST).values() if not each.passed] == []


@pytest.mark.parametrize(
    ("dataset", "endpoint"),
    [(REPORTS, EOD_ENDPOINT), (OptionDataset("theta/option_quotes/SPX", "SPX", "quotes", SPX), QUOTE_ENDPOINT)],
    ids=["end of day", "quotes"],
)
async def test_sizes_beyond_32_bits_are_stored(tmp_path: Path, dataset: OptionDataset, endpoint: str):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="large_sizes", endpoint=endpoint)]) as theta:
        await fetch(theta.base_url, tmp_path, dataset)
    frame = stored(tmp_path, dataset)
    assert frame.select(pl.col("bid_size", "ask_size").max()).row(0) == (3_000_000_000, 3_000_000_000)
    assert [each.summary for each in verdicts(tmp_path, dataset).values() if not each.passed] == []


async def test_two_numbers_of_one_instant_are_rejected_by_name(tmp_path: Path):
    row = "SPX,2024-01-19,4700.000,CALL,2024-01-03T06:30:04,{held}"
    lines = [",".join(OPEN_INTEREST.columns), row.format(held=7), row.format(held=8), ""]
    answers = {OPEN_INTEREST_ENDPOINT: response(200, "\n".join(lines).encode()), LIST: response(471, b"tier")}
    async with terminal(by_path(answers)) as server:
        with pytest.raises(DayEnded, match=r"SPX 2024-01-19 4700 C.*same instant.*ask again tomorrow") as caught:
            await fetch(server.base_url, tmp_path, replace(INTEREST, roots=("SPX",)))
    assert isinstance(caught.value.outcome, Rejected)


@pytest.mark.parametrize(
    ("rows", "ends"),
    [
        ([("17:16:56.2", "1.00"), ("18:03:56.2", "1.50")], 1.5),
        ([("18:03:56.2", "1.50"), ("17:16:56.2", "1.00")], 1.5),
        ([("17:16:56.2", "1.00"), ("17:16:56.2", "1.00")], 1.0),
        ([("17:16:56.2", "1.00"), ("17:16:56.2", "1.50")], None),
    ],
    ids=["later last", "later first", "the same twice", "no telling"],
)
async def test_reports_that_nothing_tells_apart_are_rejected(
    tmp_path: Path, rows: list[tuple[str, str]], ends: float | None
):
    body = "\r\n".join([",".join(EOD.columns), *(ROW.format(made=made, close=close) for made, close in rows), ""])
    answers = {EOD_ENDPOINT: response(200, body.encode()), LIST: response(471, b"tier")}
    dataset = replace(REPORTS, roots=("SPX",))
    async with terminal(by_path(answers)) as server:
        if ends is not None:
            await fetch(server.base_url, tmp_path, dataset)
            assert stored(tmp_path, dataset)["close"].to_list() == [ends]
            return
        with pytest.raises(DayEnded, match="1 contract has several rows") as caught:
            await fetch(server.base_url, tmp_path, dataset)
    assert isinstance(caught.value.outcome, Rejected)


async def test_a_day_fills_through_the_engine_and_its_block_has_no_grid(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        report = await run(theta.base_url, tmp_path, INTEREST, [DAY])
    assert isinstance(report.outcomes[DAY], Stored)
    block = "{dataset: open_interest, symbol: SPX, roots: [SPX, SPXW]}"
    dataset = ThetaDataset.resolve_from_yaml(block).market_dataset()
    assert dataset.name == INTEREST.key
    assert {each.name for each in dataset.evaluate(open_lake(tmp_path), DAY)} == {*dataset.checks} - {"integrity"}
    for wrong in ("interval: 5m", "end_time: '16:00:00'", "thresholds: {crossed: 0.1}"):
        with pytest.raises(ValueError, match=wrong.partition(":")[0]):
            ThetaDataset.resolve_from_yaml(block[:-1] + f", {wrong}}}").market_dataset()


@pytest.mark.parametrize("dataset", [INTEREST, REPORTS], ids=lambda dataset: dataset.kind)
async def test_an_empty_body_is_told_as_such_and_believed_the_second_time(tmp_path: Path, dataset: OptionDataset):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        endpoint = dataset.history.request.endpoint
        async with terminal(in_place_of(theta.base_url, {endpoint: response(200, b"")})) as vendor:
            with pytest.raises(Transient, match=r"with an empty response .*the two contradict each other; asked again"):
                await fetch(vendor.base_url, tmp_path, dataset)
            with pytest.raises(DayEnded, match="with an empty response") as caught:
                await fetch(vendor.base_url, tmp_path, dataset)
    assert type(caught.value.outcome) is NoData


async def test_an_empty_list_of_contracts_is_no_line_that_stops(tmp_path: Path):
    async with terminal(by_path({LIST: response(200, b"")})) as vendor:
        with pytest.raises(Transient, match="the response to the list of SPX, SPXW contracts of 2024-01-03 is empty"):
            await fetch(vendor.base_url, tmp_path, INTEREST)
