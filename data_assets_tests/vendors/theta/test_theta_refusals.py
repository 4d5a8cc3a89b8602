"""Answers that refuse: of one day they cost that day, day after day they end the run."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data_assets.ingest.outcome import Failed, Stored
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.legacy import LegacySource
from data_assets.vendors.theta.terminal import Terminal
from data_assets_tests.vendors.theta.option_days import Meter, details, open_lake, run

pytestmark = pytest.mark.slow

QQQ = OptionDataset("theta/option_quotes/QQQ", "QQQ")
DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9)]
LIST = "option/list/contracts/quote"
WORDS = "Invalid date: <20240104>\r\nno data \u2028 " + "and so on " * 100


@pytest.mark.parametrize("endpoint", [QQQ.request(DAYS[0], "QQQ").endpoint, LIST])
@pytest.mark.parametrize("status", [400, 418, 473, 520])
async def test_an_answer_that_nobody_knows_costs_its_day_alone(tmp_path: Path, status: int, endpoint: str):
    refused = Fault(kind="status", status=status, text=WORDS, day=DAYS[2], endpoint=endpoint)
    with SandboxTheta(contracts=8, faults=[refused]) as theta:
        report = await run(theta.base_url, tmp_path, QQQ, DAYS)
    assert report.ended is None
    outcomes = report.outcomes
    assert {day for day, outcome in outcomes.items() if isinstance(outcome, Stored)} == {*DAYS} - {DAYS[2]}
    failed = outcomes[DAYS[2]]
    assert isinstance(failed, Failed)
    assert f"({status}: Invalid date: <20240104> no data and so on" in failed.reason
    assert failed.reason.isprintable()
    assert len(failed.reason) < 600


@pytest.mark.parametrize("status", [400, 520])
async def test_the_same_answer_to_three_days_in_a_row_ends_the_run_and_is_quoted(tmp_path: Path, status: int):
    refused = Fault(kind="status", status=status, text="Unknown interval")
    with SandboxTheta(contracts=8, faults=[refused]) as theta:
        report = await run(theta.base_url, tmp_path, QQQ, DAYS, max_concurrent=1)
    assert report.ended is not None
    assert f"{status}: Unknown interval" in report.ended
    assert [outcome.attempts > 0 for outcome in report.outcomes.values()] == [True] * 3 + [False] * 3


async def test_so_it_does_where_many_requests_of_a_day_were_refused(tmp_path: Path):
    by_expiration = replace(QQQ, request_by="expiration")
    refused = Fault(kind="status", status=520, text="Unknown interval", endpoint=QQQ.request(DAYS[0], "QQQ").endpoint)
    with SandboxTheta(contracts=48, faults=[refused]) as theta:
        report = await run(theta.base_url, tmp_path, by_expiration, DAYS, max_concurrent=1)
    assert report.ended is not None
    assert "more requests failed" in report.ended
    assert [outcome.attempts > 0 for outcome in report.outcomes.values()] == [True] * 3 + [False] * 3


async def test_a_list_refused_of_one_day_leaves_the_other_files_theirs(tmp_path: Path):
    refused = Fault(kind="status", status=400, text="no", day=DAYS[0], endpoint=LIST)
    with SandboxTheta(contracts=8, faults=[refused]) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=2) as client:
            files = {}
            for day in DAYS[:2]:
                files[day] = tmp_path / f"{day}.csv"
                async with client.history(QQQ.request(day, "QQQ")) as chunks:
                    files[day].write_bytes(b"".join([chunk async for chunk in chunks]))
            lake = open_lake(tmp_path / "lake")
            source = LegacySource(QQQ, lake=lake, files=files, terminal=Terminal(client))
            for day in DAYS[:2]:
                (await source.fetch(day, Meter())).publish()
    told = [details(tmp_path / "lake", QQQ, day) for day in DAYS[:2]]
    assert told[0]["contract_list"].startswith("cannot tell: the terminal has no list to give: ")
    assert told[1]["contracts_listed"] == 8
