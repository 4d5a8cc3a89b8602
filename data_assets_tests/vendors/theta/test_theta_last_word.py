"""The vendor's own repeated answer outranks its list: when it is believed, what is stored, and what never is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from data_assets.ingest.outcome import DayEnded, NoData, Rejected, Stored, Transient
from data_assets.sandbox.faults import (
    CONTRACTS_ENDPOINT,
    EOD_ENDPOINT,
    GREEKS_ENDPOINT,
    OPEN_INTEREST_ENDPOINT,
    QUOTE_ENDPOINT,
    Fault,
)
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.component import ThetaDataset
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.legacy import LegacySource
from data_assets.vendors.theta.terminal import Terminal
from data_assets_tests.vendors.theta.option_days import (
    CONTRACTS,
    DAY,
    SPX,
    Meter,
    asked,
    details,
    fetch,
    left_in,
    open_lake,
    run,
    stored,
    verdicts,
)
from data_assets_tests.vendors.theta.raw_http import response, terminal, until_close
from data_assets_tests.vendors.theta.test_theta_day import ALL_DAY, BODY, LISTED

pytestmark = pytest.mark.slow

QQQ = OptionDataset("theta/option_quotes/QQQ", "QQQ")
SPX_QUOTES = OptionDataset("theta/option_quotes/SPX", "SPX", roots=SPX, request_by="expiration")
GREEKS = OptionDataset("theta/option_greeks/SPX", "SPX", "greeks", SPX)
INTEREST = OptionDataset("theta/option_open_interest/SPX", "SPX", "open_interest", SPX)
REPORTS = OptionDataset("theta/option_eod/SPX", "SPX", "eod", SPX)
VIX = OptionDataset("theta/option_quotes/VIX", "VIX", roots=("VIX", "VIXW"))
WEDNESDAY = date(2024, 1, 10)


def notes(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.note"))


WAYS: list[tuple[OptionDataset, str]] = [
    (QQQ, QUOTE_ENDPOINT),
    (replace(SPX_QUOTES, request_by="day"), QUOTE_ENDPOINT),
    (SPX_QUOTES, QUOTE_ENDPOINT),
    (replace(SPX_QUOTES, request_by="right"), QUOTE_ENDPOINT),
    (GREEKS, GREEKS_ENDPOINT),
    (INTEREST, OPEN_INTEREST_ENDPOINT),
    (replace(INTEREST, request_by="expiration"), OPEN_INTEREST_ENDPOINT),
    (REPORTS, EOD_ENDPOINT),
]


@pytest.mark.parametrize(("dataset", "endpoint"), WAYS, ids=lambda way: getattr(way, "kind", ""))
async def test_an_expiration_that_is_listed_and_always_empty_does_not_cost_the_day(
    tmp_path: Path, dataset: OptionDataset, endpoint: str
):
    lenient = replace(dataset, absent_tolerance=0.1) if dataset.kind == "open_interest" else dataset
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_expiration", endpoint=endpoint)]) as theta:
        with pytest.raises(Transient, match="the same response once more is the vendor's last word"):
            await fetch(theta.base_url, tmp_path, lenient)
        assert left_in(tmp_path) == [] or dataset.by_minute
        before = len(theta.requests)
        ended = await fetch(theta.base_url, tmp_path, lenient)
        again = asked(theta, before)
    frame = stored(tmp_path, dataset)
    farthest = {root: chain(root, DAY, CONTRACTS)[-1] for root in dataset.roots}
    assert not any(listing.expiration in frame["expiration"] for listing in farthest.values())
    assert ended.metadata["absent_contracts"] >= sum(2 * len(listing.strikes) for listing in farthest.values())
    if dataset.by_minute and dataset.request_by != "day" and dataset is not QQQ:
        assert {expiration for _, expiration, _ in again} <= {str(each.expiration) for each in farthest.values()}
    verdict = verdicts(tmp_path, lenient)["contract_set"]
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert "asked again and has no more" in verdict.summary
    assert any(str(each.expiration) in verdict.summary for each in farthest.values())
    assert notes(tmp_path) == [], "what was remembered is of no use any more"


async def test_one_run_asks_again_and_stores(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_expiration")]) as theta:
        report = await run(theta.base_url, tmp_path, SPX_QUOTES, [DAY])
    assert isinstance(report.outcomes[DAY], Stored)
    assert report.outcomes[DAY].attempts == 2


@pytest.mark.parametrize("dataset", [QQQ, SPX_QUOTES], ids=["whole", "by expiration"])
async def test_an_answer_that_is_whole_makes_the_one_before_an_accident(tmp_path: Path, dataset: OptionDataset):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="missing_contract", times=1)]) as theta:
        with pytest.raises(Transient):
            await fetch(theta.base_url, tmp_path, dataset)
        assert notes(tmp_path)
        await fetch(theta.base_url, tmp_path, dataset)
    assert verdicts(tmp_path, dataset)["contract_set"].passed
    assert notes(tmp_path) == []


async def test_two_answers_that_lack_different_contracts_are_not_believed(tmp_path: Path):
    faults = [Fault(kind="missing_contract", times=1), Fault(kind="empty_expiration", times=1)]
    with SandboxTheta(contracts=CONTRACTS, faults=faults) as theta:
        for _ in range(2):
            with pytest.raises(Transient, match="listed contracts are absent"):
                await fetch(theta.base_url, tmp_path, QQQ)
        await fetch(theta.base_url, tmp_path, QQQ)
    assert verdicts(tmp_path, QQQ)["contract_set"].passed


@pytest.mark.parametrize("spoil", [b"", b"{", b'{"note": "{}", "sha256": "0"}'])
async def test_a_damaged_memory_costs_one_more_question(tmp_path: Path, spoil: bytes):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_expiration")]) as theta:
        for _ in range(2):
            with pytest.raises(Transient):
                await fetch(theta.base_url, tmp_path, QQQ)
            [note] = notes(tmp_path)
            note.write_bytes(spoil)
        with pytest.raises(Transient):
            await fetch(theta.base_url, tmp_path, QQQ)
        await fetch(theta.base_url, tmp_path, QQQ)


async def test_before_the_vendors_night_nothing_is_final(tmp_path: Path):
    evening = datetime(2024, 1, 3, 22, 0, tzinfo=UTC)
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_expiration")], now=lambda: evening) as theta:
        for _ in range(3):
            with pytest.raises(Transient, match="not final before 01:45 New York"):
                await fetch(theta.base_url, tmp_path, QQQ, clock=lambda: evening)
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_expiration")]) as theta:
        await fetch(theta.base_url, tmp_path, QQQ, clock=lambda: evening + timedelta(hours=9))
    assert not verdicts(tmp_path, QQQ)["contract_set"].passed


@pytest.mark.parametrize("dataset", [QQQ, SPX_QUOTES], ids=["whole", "by expiration"])
async def test_above_the_share_that_the_dataset_states_a_day_is_rejected(tmp_path: Path, dataset: OptionDataset):
    strict = replace(dataset, absent_limit=0.01)
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="empty_expiration")]) as theta:
        report = await run(theta.base_url, tmp_path, strict, [DAY])
    outcome = report.outcomes[DAY]
    assert isinstance(outcome, Rejected)
    assert "the vendor said so twice, but its word is taken for 1% at most" in outcome.reason
    assert "absent_limit in defs.yaml" in outcome.reason
    assert left_in(tmp_path) == []
    assert notes(tmp_path) == []


@pytest.mark.parametrize("dataset", [QQQ, SPX_QUOTES], ids=["whole", "by expiration"])
async def test_quotes_of_which_nothing_comes_though_they_are_listed_are_rejected(
    tmp_path: Path, dataset: OptionDataset
):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="status", status=472)]) as theta:
        report = await run(theta.base_url, tmp_path, dataset, [DAY])
    assert isinstance(report.outcomes[DAY], Rejected)
    assert left_in(tmp_path) == []


async def test_the_first_expirations_may_all_be_empty(tmp_path: Path):
    faults = [Fault(kind="status", status=472, times=6)]
    with SandboxTheta(contracts=200, faults=faults) as theta:
        report = await run(theta.base_url, tmp_path, SPX_QUOTES, [DAY])
    assert isinstance(report.outcomes[DAY], Stored)


@pytest.mark.parametrize(("dataset", "endpoint"), [(INTEREST, OPEN_INTEREST_ENDPOINT), (REPORTS, EOD_ENDPOINT)])
async def test_reports_that_do_not_exist_are_no_data_when_asked_again(
    tmp_path: Path, dataset: OptionDataset, endpoint: str
):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="status", status=472, endpoint=endpoint)]) as theta:
        report = await run(theta.base_url, tmp_path, dataset, [DAY])
    assert isinstance(report.outcomes[DAY], NoData)
    assert report.outcomes[DAY].attempts == 2
    assert left_in(tmp_path) == []


async def test_a_root_without_open_interest_does_not_cost_the_others(tmp_path: Path):
    """OPRA may not send it on a root's first day."""

    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path == CONTRACTS_ENDPOINT:
            rows = "".join(f"{each},2024-01-19,4700.000,CALL\n" for each in SPX)
            writer.write(response(200, f"symbol,expiration,strike,right\n{rows}".encode()))
        elif query["symbol"] == "SPXW":
            writer.write(response(472, b"No data found for your request"))
        else:
            row = f"{query['symbol']},2024-01-19,4700.000,CALL,2024-01-03T06:30:00,7\n"
            writer.write(response(200, f"symbol,expiration,strike,right,timestamp,open_interest\n{row}".encode()))

    async with terminal(answer) as server:
        report = await run(server.base_url, tmp_path, INTEREST, [DAY])
    assert isinstance(report.outcomes[DAY], Stored)
    assert stored(tmp_path, INTEREST)["symbol"].unique().to_list() == ["SPX"]
    verdict = verdicts(tmp_path, INTEREST)["contract_set"]
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert "SPXW 2024-01-19 4700 C" in verdict.summary


@pytest.mark.parametrize("by", ["day", "expiration"])
async def test_a_root_settled_in_the_morning_is_learnt_from_the_vendor(tmp_path: Path, by: Any):
    dataset = replace(VIX, request_by=by)
    assert WEDNESDAY not in {each.expiration for each in chain("VIXW", WEDNESDAY, CONTRACTS)}
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="settled_listed")], symbols=VIX.roots) as theta:
        ended = await fetch(theta.base_url, tmp_path, dataset, WEDNESDAY)
    assert ended.metadata["absent_contracts"] == 0
    assert details(tmp_path, VIX, WEDNESDAY)["roots"]["VIXW"]["contracts_settled"] == 8
    verdict = verdicts(tmp_path, VIX, WEDNESDAY)["contract_set"]
    assert verdict.passed
    assert "8 more were settled in the morning" in verdict.summary


@pytest.mark.parametrize("by", ["day", "expiration"])
async def test_a_root_that_trades_on_its_last_days_is_missed_on_one(tmp_path: Path, by: Any):
    """Its contracts that expire today are listed, and lost: no other root's habit excuses that."""
    expiring = [listing for listing in chain("SPXW", DAY, CONTRACTS) if listing.expiration == DAY]
    assert expiring
    dataset = replace(SPX_QUOTES, roots=("SPXW",), request_by=by)
    listed = "".join(
        f"SPXW,{each.expiration},{strike:.3f},{right}\n"
        for each in chain("SPXW", DAY, CONTRACTS)
        for strike in each.strikes
        for right in ("CALL", "PUT")
    )
    with SandboxTheta(contracts=CONTRACTS) as theta:

        async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
            if path == CONTRACTS_ENDPOINT:
                writer.write(response(200, f"symbol,expiration,strike,right\n{listed}".encode()))
                return
            async with httpx.AsyncClient(verify=False) as http:
                said = await http.get(f"{theta.base_url}/{path}", params=query, timeout=60)
            text = said.text
            if path == QUOTE_ENDPOINT:
                text = "".join(line for line in text.splitlines(keepends=True) if f"SPXW,{DAY}," not in line)
            empty = path == QUOTE_ENDPOINT and text.count("\n") <= 1
            writer.write(response(472, b"No data") if empty else response(said.status_code, text.encode()))

        async with terminal(answer) as server:
            report = await run(server.base_url, tmp_path, dataset, [DAY])
    assert isinstance(report.outcomes[DAY], Stored)
    verdict = verdicts(tmp_path, dataset)["contract_set"]
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert f"SPXW {DAY}" in verdict.summary


@pytest.mark.parametrize("dataset", [QQQ, SPX_QUOTES, GREEKS], ids=["whole", "by expiration", "greeks"])
async def test_a_last_contract_with_one_row_is_stored_when_it_comes_again(tmp_path: Path, dataset: OptionDataset):
    endpoint = GREEKS_ENDPOINT if dataset is GREEKS else QUOTE_ENDPOINT
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="one_row", endpoint=endpoint)]) as theta:
        with pytest.raises(Transient, match="the body stops inside a contract"):
            await fetch(theta.base_url, tmp_path, dataset)
        ended = await fetch(theta.base_url, tmp_path, dataset)
    assert ended.metadata["bodies_with_a_short_end"] == ended.metadata["requests"]
    assert all("09:30" in end for end in details(tmp_path, dataset)["short_ends"])
    assert verdicts(tmp_path, dataset)["contract_set"].passed, "nothing is absent"
    assert notes(tmp_path) == []


async def answers(bodies: list[str], listed: str | None, folder: Path) -> list[Any]:
    """How a day of QQQ ends, asked for once for each body, by a terminal that tells no length."""
    sent = iter(bodies)

    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path == CONTRACTS_ENDPOINT:
            writer.write(response(471, b"tier") if listed is None else response(200, listed.encode()))
        else:
            writer.write(until_close(next(sent).encode()))

    ends: list[Any] = []
    async with terminal(answer) as server:
        for _ in bodies:
            try:
                ends.append(await fetch(server.base_url, folder, QQQ))
            except (DayEnded, Transient) as error:
                ends.append(error)
    return ends


LINES = BODY.splitlines(keepends=True)
LAST_CUT = "".join(LINES[:-100])
TWO_GONE = "".join(LINES[: -2 * ALL_DAY - 100])


@pytest.mark.parametrize(
    ("bodies", "listed", "ends"),
    [
        ([LAST_CUT, LAST_CUT], LISTED, [Transient, Stored]),
        ([LAST_CUT, BODY], LISTED, [Transient, Stored]),
        ([LAST_CUT, "".join(LINES[:-101]), "".join(LINES[:-102])], LISTED, [Transient] * 3),
        ([LAST_CUT] * 3, None, [Transient] * 3),
        ([TWO_GONE] * 3, LISTED, [Transient] * 3),
    ],
    ids=["the same twice", "an accident", "never the same", "no list to tell", "contracts are absent too"],
)
async def test_a_cut_is_not_taken_for_an_end(tmp_path: Path, bodies: list[str], listed: str | None, ends: list[type]):
    found = await answers(bodies, listed, tmp_path)
    assert all(isinstance(end, kind) for end, kind in zip(found, ends, strict=True)), found
    if ends[-1] is Transient:
        assert left_in(tmp_path) == []


async def test_a_file_is_not_believed_for_being_read_twice(tmp_path: Path):
    """Nor is it the vendor's first word."""
    path = tmp_path / "QQQ_options_2024-01-03_1m.csv"
    path.write_text("".join(LINES[: -2 * ALL_DAY]))
    lake = open_lake(tmp_path / "lake")

    async def answer(name: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, (LISTED if name == CONTRACTS_ENDPOINT else path.read_text()).encode()))

    async with terminal(answer) as server, ThetaClient(server.base_url, max_concurrent=1) as client:
        files = LegacySource(QQQ, lake=lake, files={DAY: path}, terminal=Terminal(client))
        for _ in range(3):
            with pytest.raises(DayEnded, match="2 of 20 listed contracts are absent") as caught:
                await files.fetch(DAY, Meter())
            assert isinstance(caught.value.outcome, Rejected)
        assert notes(tmp_path) == []
        with pytest.raises(Transient):
            await fetch(server.base_url, tmp_path / "lake", QQQ)


async def test_a_replayed_prefix_is_asked_for_again(tmp_path: Path):
    for name, dataset in {"whole": QQQ, "by expiration": SPX_QUOTES}.items():
        with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="replayed", times=1)]) as theta:
            report = await run(theta.base_url, tmp_path / name, dataset, [DAY])
        assert isinstance(report.outcomes[DAY], Stored)
        with SandboxTheta(contracts=CONTRACTS) as theta:
            await fetch(theta.base_url, tmp_path / f"{name}, usual", dataset)
        assert stored(tmp_path / name, dataset).equals(stored(tmp_path / f"{name}, usual", dataset))


@pytest.mark.parametrize("dataset", [QQQ, SPX_QUOTES], ids=["whole", "by expiration"])
async def test_an_answer_that_always_repeats_rows_is_rejected(tmp_path: Path, dataset: OptionDataset):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="replayed")]) as theta:
        report = await run(theta.base_url, tmp_path, dataset, [DAY])
    assert isinstance(report.outcomes[DAY], Rejected)
    assert "rows repeat the contract and timestamp of another" in report.outcomes[DAY].reason
    assert report.outcomes[DAY].attempts == 2


async def test_the_share_is_a_line_in_the_block(tmp_path: Path):
    body, listed = BODY, LISTED + "".join(f"QQQ,2024-01-05,{s}.000,CALL\r\n" for s in range(500, 508))
    found = await answers([body, body], listed, tmp_path)
    assert isinstance(found[-1], Stored), "8 of 28 are less than 30 %"
    assert found[-1].metadata["absent_contracts"] == 8
    more = listed + "QQQ,2024-01-05,508.000,CALL\r\n"
    found = await answers([body, body], more, tmp_path / "more")
    assert isinstance(found[-1].outcome, Rejected)
    block = "{dataset: quotes, symbol: QQQ, absent_limit: 0.5}"
    assert ThetaDataset.resolve_from_yaml(block)._options().absent_limit == 0.5
    with pytest.raises(ValueError, match="absent_limit 2: must be a share"):
        replace(QQQ, absent_limit=2)
