"""A day of two roots, expiration by expiration: what is asked, what is stored, and what a failure costs."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
import polars as pl
import pytest

from data_assets.ingest.outcome import DayEnded, Failed, NoData, NotEntitled, Rejected, Stored, Transient
from data_assets.sandbox.faults import GREEKS_ENDPOINT, QUOTE_ENDPOINT, Fault
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.serving import SandboxTheta
from data_assets.trading_calendar import sessions
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.schema import QUOTES
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
    statuses,
    stored,
    verdicts,
)
from data_assets_tests.vendors.theta.raw_http import by_path, response, terminal

pytestmark = pytest.mark.slow

QUOTED = OptionDataset("theta/option_quotes/SPX", "SPX", roots=SPX, request_by="expiration")
LIST = "option/list/contracts/quote"
LAST_DAY_OF_SPX = date(2024, 1, 19)


def expirations(day: date = DAY) -> set[tuple[str, str]]:
    return {(root, listing.expiration.isoformat()) for root in SPX for listing in chain(root, day, CONTRACTS)}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The day as it is without any fault."""
    folder = tmp_path_factory.mktemp("usual")
    with SandboxTheta(contracts=CONTRACTS) as theta:
        asyncio.run(fetch(theta.base_url, folder, QUOTED))
    return stored(folder, QUOTED)


async def test_each_expiration_of_each_root_is_asked_for_once_and_stored_in_order(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, order="shuffled") as theta:
        ended = await fetch(theta.base_url, tmp_path, QUOTED)
        lists = [request.params for request in theta.requests if request.path.endswith(LIST)]
        assert lists == [{"symbol": "SPX,SPXW", "date": "20240103", "format": "csv"}]
        assert sorted(asked(theta)) == sorted((*each, "both") for each in expirations())
        async with httpx.AsyncClient(verify=False) as other:
            bodies = {
                request.params["symbol"] + request.params["expiration"]: (
                    await other.get(f"{theta.base_url}/{QUOTE_ENDPOINT}", params=request.params)
                ).content
                for request in theta.requests
                if request.path.endswith(QUOTE_ENDPOINT)
            }
        assert theta.most_in_service <= 4
    frame = stored(tmp_path, QUOTED)
    assert frame.schema == QUOTES.schema
    assert frame.select("expiration", "symbol", "strike", "right", "timestamp").rows() == sorted(
        frame.select("expiration", "symbol", "strike", "right", "timestamp").rows()
    )
    lines = sorted(line for body in bodies.values() for line in body.splitlines()[1:])
    assert frame.height == len(lines) == ended.rows
    assert frame["bid_size"].sum() == sum(int(line.split(b",")[5]) for line in lines)
    assert set(frame["symbol"].unique()) == set(SPX)
    assert left_in(tmp_path) == [ended.path], "no part is left once the day is stored"

    said = details(tmp_path, QUOTED)
    assert {root: said["roots"][root]["contracts_absent"] for root in SPX} == {"SPX": 0, "SPXW": 0}
    assert sum(said["roots"][root]["contracts_listed"] for root in SPX) == ended.metadata["contracts"]
    assert {body["raw_sha256"] for body in said["bodies"]} == {
        hashlib.sha256(body).hexdigest() for body in bodies.values()
    }
    assert open_lake(tmp_path).provenance(QUOTED.key, DAY).raw_size == sum(map(len, bodies.values()))


async def test_an_expiration_is_read_from_few_row_groups(tmp_path: Path):
    with SandboxTheta(contracts=1200) as theta:
        await fetch(theta.base_url, tmp_path, QUOTED)
    held = [set(batch["expiration"].unique()) for batch in open_lake(tmp_path).batches(QUOTED.key, DAY)]
    assert len(held) > 3
    assert sum(map(len, held)) == len(set().union(*held)), "no expiration is cut where it fits into a row group"


async def test_every_check_of_the_day_passes_for_both_roots(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, QUOTED)
    found = verdicts(tmp_path, QUOTED)
    assert list(found) == ["grid", "contract_set", "quotes", "timestamps"]
    assert [each.summary for each in found.values() if not each.passed] == []
    assert all(root in found["grid"].summary for root in SPX)


async def test_spx_has_no_data_on_its_last_day_and_that_is_no_gap(tmp_path: Path):
    assert LAST_DAY_OF_SPX.isoformat() not in {last for root, last in expirations(LAST_DAY_OF_SPX) if root == "SPX"}
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, QUOTED, LAST_DAY_OF_SPX)
        assert ("SPX", LAST_DAY_OF_SPX.isoformat(), "both") not in asked(theta)
        assert ("SPXW", LAST_DAY_OF_SPX.isoformat(), "both") in asked(theta)
    assert verdicts(tmp_path, QUOTED, LAST_DAY_OF_SPX)["contract_set"].passed


@pytest.mark.parametrize("by", ["day", "right"])
async def test_the_day_is_the_same_however_it_is_asked_for(tmp_path: Path, usual: pl.DataFrame, by: str):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, replace(QUOTED, request_by=by))
        kinds = {(expiration == "*", right) for _, expiration, right in asked(theta)}
    assert kinds == ({(True, "both")} if by == "day" else {(False, "call"), (False, "put")})
    assert stored(tmp_path, QUOTED).equals(usual)


async def test_a_small_day_is_asked_for_whole_unless_told_otherwise(tmp_path: Path, usual: pl.DataFrame):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, replace(QUOTED, request_by=None))
        assert asked(theta) == [(root, "*", "both") for root in SPX]
    assert stored(tmp_path, QUOTED).equals(usual)


async def test_an_expiration_too_large_is_had_by_right(tmp_path: Path, usual: pl.DataFrame):
    sizes = usual.group_by("symbol", "expiration").len()["len"]
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="large_request", rows=int(sizes.max()) - 1)]) as theta:
        ended = await fetch(theta.base_url, tmp_path, QUOTED)
        assert {right for _, _, right in asked(theta)} == {"both", "call", "put"}
    assert stored(tmp_path, QUOTED).equals(usual)
    assert ended.metadata["requests"] > len(expirations())


async def test_what_cannot_be_split_further_fails_the_day(tmp_path: Path):
    large = Fault(kind="large_request", rows=10)
    with (
        SandboxTheta(contracts=CONTRACTS, faults=[large]) as theta,
        pytest.raises(DayEnded, match="longer interval") as caught,
    ):
        await fetch(theta.base_url, tmp_path, QUOTED)
    assert type(caught.value.outcome) is Failed
    assert left_in(tmp_path) == []


async def test_without_the_list_of_contracts_every_expiration_is_tried(tmp_path: Path, usual: pl.DataFrame):
    no_list = Fault(kind="status", status=471, endpoint=LIST)
    with SandboxTheta(contracts=CONTRACTS, faults=[no_list], first_day=date(2023, 12, 27)) as theta:
        await fetch(theta.base_url, tmp_path, QUOTED)
        assert statuses(theta)[472] > 0, "expirations that were not listed yet"
    assert stored(tmp_path, QUOTED).equals(usual)
    said = details(tmp_path, QUOTED)["roots"]
    assert {of_root["contract_list"] for of_root in said.values()} == {"cannot tell: the account's tier lacks the call"}
    assert "cannot tell" in verdicts(tmp_path, QUOTED)["contract_set"].summary


@pytest.mark.parametrize("list_status", [471, 472])
async def test_a_day_without_data_is_found_out_by_few_requests(tmp_path: Path, list_status: int):
    no_list = Fault(kind="status", status=list_status, endpoint=LIST)
    with SandboxTheta(contracts=CONTRACTS, faults=[no_list], first_day=date(2024, 1, 4)) as theta:
        with pytest.raises(DayEnded) as caught:
            await fetch(theta.base_url, tmp_path, QUOTED)
        assert len(asked(theta)) == 5
    assert type(caught.value.outcome) is NoData
    assert left_in(tmp_path) == []


async def test_no_data_for_an_expiration_that_is_listed_is_not_believed(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="status", status=472, times=1)]) as theta:
        with pytest.raises(Transient, match=r"holds no data for 1 of the day's requests .* though its own list names"):
            await fetch(theta.base_url, tmp_path, QUOTED)
        before = len(theta.requests)
        await fetch(theta.base_url, tmp_path, QUOTED)
        assert len(asked(theta, before)) == 1, "the others were kept"


async def test_a_root_without_data_is_not_believed(tmp_path: Path):
    faults = [Fault(kind="status", status=472, times=1)]
    with (
        SandboxTheta(contracts=CONTRACTS, faults=faults) as theta,
        pytest.raises(Transient, match="though its own list names"),
    ):
        await fetch(theta.base_url, tmp_path, replace(QUOTED, request_by="day"))
    assert left_in(tmp_path) == []


async def test_another_expiration_than_was_asked_for_is_rejected(tmp_path: Path):
    listed = b"symbol,expiration,strike,right\nSPX,2024-01-19,4700.000,CALL\nSPXW,2024-01-05,4700.000,CALL\n"
    header = ",".join(QUOTES.columns).encode()
    row = b"\nSPXW,2024-01-08,4700.000,CALL,2024-01-03T09:30:00,0,5,0.00,50,0,5,0.00,50\n"
    only = replace(QUOTED, roots=("SPXW",))
    answers = {LIST: response(200, listed.replace(b"SPX,", b"SPXW,")), QUOTE_ENDPOINT: response(200, header + row)}
    async with terminal(by_path(answers)) as server:
        with pytest.raises(DayEnded, match="1 row has the expiration 2024-01-08, and not 2024-01") as caught:
            await fetch(server.base_url, tmp_path, only)
    assert type(caught.value.outcome) is Rejected


async def test_contracts_that_are_absent_once_are_asked_for_again(tmp_path: Path, usual: pl.DataFrame):
    """Of the root they are few enough to be tolerated, of their expiration they are not."""
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="missing_contract", times=1)]) as theta:
        report = await run(theta.base_url, tmp_path, replace(QUOTED, absent_tolerance=0.05), [DAY])
        assert len(asked(theta)) == len(expirations()) + 1
    assert isinstance(report.outcomes[DAY], Stored)
    assert stored(tmp_path, QUOTED).equals(usual)


async def test_contracts_that_are_absent_twice_are_stored_and_the_check_fails(tmp_path: Path):
    """Even where they are few enough to be tolerated of the root: their expiration lacks too many."""
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="missing_contract")]) as theta:
        for name, dataset in {"strict": QUOTED, "tolerant": replace(QUOTED, absent_tolerance=0.12)}.items():
            report = await run(theta.base_url, tmp_path / name, dataset, [DAY])
            outcome = report.outcomes[DAY]
            assert isinstance(outcome, Stored)
            said = details(tmp_path / name, QUOTED)["roots"]
            absent = sum(of_root["contracts_absent"] for of_root in said.values())
            assert outcome.metadata["absent_contracts"] == absent > 0
            verdict = verdicts(tmp_path / name, dataset)["contract_set"]
            assert (verdict.passed, verdict.severity) == (False, "error")
            assert "the vendor was asked again and has no more: backfill --only all asks" in verdict.summary, (
                "a plain backfill asks for no stored day"
            )


# One in twenty requests fails, in one way or another.
EVERY_WAY = [Fault(kind="status", status=status, rate=0.005) for status in (429, 470, 474, 475, 500, 503, 571, 572)] + [
    Fault(kind="disconnected", seconds=0.02, rate=0.005),
    *(Fault(kind=kind, rate=0.01) for kind in ("cut", "reset", "stall")),
    Fault(kind="missing_contract", rate=0.01, times=1),  # twice for one request would be the vendor's last word
]


@pytest.mark.parametrize("endpoint", [QUOTE_ENDPOINT, GREEKS_ENDPOINT])
async def test_failures_of_every_kind_do_not_keep_a_day_from_being_whole(tmp_path: Path, endpoint: str):
    kind = "quotes" if endpoint == QUOTE_ENDPOINT else "greeks"
    dataset = replace(QUOTED, key=f"theta/option_{kind}/SPX", kind=kind)
    faults = [fault.model_copy(update={"endpoint": endpoint}) for fault in EVERY_WAY]
    days = sessions(date(2024, 1, 2), date(2024, 1, 9))
    with SandboxTheta(contracts=80, faults=faults, fault_seed=2) as theta:
        report = await run(theta.base_url, tmp_path, dataset, days, stall_seconds=1)
        assert len(statuses(theta)) > 2, "faults did strike"
        assert theta.most_in_service <= 4
    assert {type(outcome) for outcome in report.outcomes.values()} == {Stored}
    for day in days:
        assert sum(of["contracts_absent"] for of in details(tmp_path, dataset, day)["roots"].values()) == 0
        assert verdicts(tmp_path, dataset, day)["contract_set"].passed
    assert left_in(tmp_path) == [f"{dataset.key}/date={day}/data.parquet" for day in days]


async def test_four_days_at_once_stay_under_the_vendors_limit_and_fill_it(tmp_path: Path):
    days = sessions(date(2024, 1, 2), date(2024, 1, 5))
    with SandboxTheta(contracts=200, tier="standard") as theta:
        report = await run(theta.base_url, tmp_path, QUOTED, days)
        assert theta.most_in_service == 4
        assert theta.most_seen == 4, "nothing of ours ever waited in the terminal's queue"
        assert set(statuses(theta)) == {200}
    assert {type(outcome) for outcome in report.outcomes.values()} == {Stored}


async def test_a_tier_without_quotes_is_asked_once_for_all_days(tmp_path: Path):
    days = sessions(date(2024, 1, 2), date(2024, 1, 31))
    with SandboxTheta(contracts=CONTRACTS, tier="free") as theta:
        report = await run(theta.base_url, tmp_path, replace(QUOTED, request_by="day"), days)
        assert len(asked(theta)) == 1
    assert {type(outcome) for outcome in report.outcomes.values()} == {NotEntitled}
