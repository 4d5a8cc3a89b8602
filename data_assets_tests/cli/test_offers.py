"""`offers` says what the vendors really have, to this plan, through their own protocols."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from data_assets.sandbox.tws.serving import SandboxTws
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.ib_project import last_asked_long_ago, live_ib
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.orchestration.in_process import in_process_project, open_project
from data_assets_tests.vendors.polygon.flat_file_project import TICKERS, flat_file_project

QQQ, GREEKS = "theta/option_quotes/QQQ", "theta/option_greeks/SPX"
DAY = "2024-07-02"
SCHEMA = json.loads((SOURCES / "docs" / "reference" / "json-schema.json").read_text())


def offered(call: Call, *arguments: str, code: int = 0) -> dict[str, Any]:
    ended = call("offers", *arguments, "--json")
    assert ended.code == code, ended.stderr
    Draft202012Validator({**SCHEMA, "$ref": "#/$defs/offers"}).validate(ended.document)
    found: dict[str, Any] = ended.document
    return found


def test_a_plan_that_reaches_back_less_far_than_the_vendor(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, tier="value", first_day=date(2016, 1, 4)) as project:
        quotes = offered(call, QQQ, DAY)
        assert (quotes["first_day"], quotes["first_day_of_plan"]) == ("2016-01-04", "2020-01-02")
        assert quotes["account"] == "the Value tier, without greeks"
        assert len(quotes["names"]) == 8
        assert quotes["names"][0].startswith("QQQ 2024-07-")
        assert len(project.theta.requests) < 60
        assert project.instance.get_runs() == []
        assert not (project.folder / "lake").exists()

        greeks = call("offers", GREEKS)
        assert greeks.code == 1, "the plan has none of it"
        assert "your plan includes        no day of it\n" in greeks.stdout


def test_a_larger_plan_and_the_smallest(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path / "standard"):
        greeks = offered(call, GREEKS, DAY)
        assert (greeks["first_day"], greeks["first_day_of_plan"]) == ("2017-01-01", "2017-01-03")
        assert greeks["account"] == "the Standard tier or more, with greeks"
        assert {name.split()[0] for name in greeks["names"]} == {"SPX", "SPXW"}
    with in_process_project(tmp_path / "free", tier="free"):
        quotes = offered(call, QQQ, code=1)
        assert (quotes["account"], quotes["first_day_of_plan"], quotes["names"]) == ("the Free tier", None, [])
        doctor = {each["subject"]: each for each in call("doctor", QQQ, "--json").document}
        newest = next(each for subject, each in doctor.items() if subject.startswith(f"{QQQ} newest"))
        assert (newest["state"], newest["text"].split(":")[0]) == ("error", "NotEntitled")


def test_the_files_of_a_bucket(tmp_path: Path, call: Call) -> None:
    outside = {"kind": "forbidden", "prefix": "us_stocks_sip/minute_aggs_v1/2024/06"}
    with flat_file_project(tmp_path, ["2024-06-27", "2024-06-28", DAY], outside) as project:
        files = offered(call, "polygon/flat_files/minute_aggs_v1", DAY)
        assert (files["first_day"], files["first_day_of_plan"]) == ("2024-06-27", "2024-07-01")
        assert (files["unit"], len(files["names"])) == ("ticker", TICKERS)
        assert {"AAPL", "SPY"} <= set(files["names"])
        assert not project.raw_file(DAY).exists()
        told = call("offers", "polygon/minute_aggs_monthly", "2024-06-28")
        assert told.code == 0
        assert told.stdout.startswith("polygon/minute_aggs_monthly, made from polygon/flat_files/minute_aggs_v1\n")
        assert "the keys list its file; the plan does not include it" in told.stdout
        assert call("offers", "polygon/minute_aggs", "2024-07-03").stderr.startswith(
            "Error: polygon/flat_files/minute_aggs_v1: NoData: "
        )


def test_the_head_of_a_history(tmp_path: Path, call: Call) -> None:
    last_asked_long_ago(tmp_path)
    with SandboxTws(pacing_scale=0, says_synthetic=False) as tws, open_project(tmp_path, **live_ib(tws)):
        bars = offered(call, "ib/bars_1m/AAPL", DAY)
    assert (bars["first_day"], bars["first_day_of_plan"], bars["names"]) == ("2016-01-04", "2016-01-04", ["AAPL"])
    assert bars["account"] == "a paper account"


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("theta/option_quotes/QQQQ",), "there is no dataset 'theta/option_quotes/QQQQ'; the nearest is ", 2),
        ((QQQ, "2024-07-04"), "2024-07-04 is a market holiday", 2),
        ((QQQ, "July"), "YYYY-MM-DD", 2),
        ((QQQ, "2030-01-02"), "the newest session that has ended", 2),
        ((QQQ,), "start it with `java -jar", 1),
    ],
)
def test_what_cannot_be_asked_or_is_not_answered_is_one_line(
    tmp_path: Path, call: Call, arguments: tuple[str, ...], says: str, code: int
) -> None:
    with open_project(tmp_path, THETA_BASE_URL="http://127.0.0.1:9/v3"):
        ended = call("offers", *arguments)
    assert (ended.code, ended.stdout) == (code, "")
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_symbol_that_the_vendor_does_not_know(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, symbols=["SPX"]):
        ended = call("offers", QQQ)
    assert (ended.code, ended.stdout) == (1, "")
    assert "NoData" in ended.stderr
