"""The code location, loaded as `dagster` and `dg` load it, and everything it defines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_assets.definitions import defs
from data_assets.orchestration.partitions import TRADING_DAYS, months, trading_days
from data_assets.orchestration.standing_checks import STANDING
from data_assets.project import SettingsError
from data_assets.settings import settings
from data_assets.span import SHIPPED, Span
from data_assets_tests.end_to_end.project_folder import write_project

SOURCES = Path(__file__).resolve().parents[1]
OURS = ("DATA_ASSETS_", "DAGSTER_", "THETA_")

PAGE = "coverage_page"
"""The one asset that is no dataset."""

CONTRACT = {"symbol": "String", "expiration": "Date", "strike": "Float64", "right": "Enum: CALL, PUT"}
BEST_BID_AND_OFFER = {
    "bid_size": "Int64",
    "bid_exchange": "Int16",
    "bid": "Float64",
    "bid_condition": "Int16",
    "ask_size": "Int64",
    "ask_exchange": "Int16",
    "ask": "Float64",
    "ask_condition": "Int16",
}
OPTION_QUOTES = {**CONTRACT, "timestamp": "Datetime, UTC", **BEST_BID_AND_OFFER}
OPTION_GREEKS = {
    **CONTRACT,
    "timestamp": "Datetime, UTC",
    **dict.fromkeys(("bid", "ask", "delta", "theta", "vega", "rho", "epsilon", "lambda"), "Float64"),
    **dict.fromkeys(("implied_vol", "iv_error"), "Float64"),
    "underlying_timestamp": "Datetime, UTC",
    "underlying_price": "Float64",
}
OPTION_EOD = {
    **CONTRACT,
    "created": "Datetime, UTC",
    "last_trade": "Datetime, UTC",
    **dict.fromkeys(("open", "high", "low", "close"), "Float64"),
    "volume": "Int64",
    "count": "Int64",
    **BEST_BID_AND_OFFER,
}
OPEN_INTEREST = {**CONTRACT, "timestamp": "Datetime, UTC", "open_interest": "Int64"}
MINUTE_AGGS = {
    "ticker": "String",
    "volume": "Float64",
    "open": "Float64",
    "close": "Float64",
    "high": "Float64",
    "low": "Float64",
    "window_start": "Datetime, UTC",
    "transactions": "Int64",
    "test_ticker": "Boolean",
}
IB_BARS = {
    "timestamp": "Datetime, UTC",
    "open": "Float64",
    "high": "Float64",
    "low": "Float64",
    "close": "Float64",
    "volume": "Float64",
    "average": "Float64",
    "bar_count": "Int64",
}
QUOTE_CHECKS = {"contract_set", "grid", "integrity", "quotes", "timestamps"}
IB_CHECKS = {"bar_count", "integrity", "ohlc", "session_hours", "splits", "timestamps", "trades", "volume"}
POLYGON_CHECKS = {"bar_count", "coverage", "integrity", "ohlc", "session_hours", "splits", "timestamps"}


def asset(columns: dict[str, str], checks: set[str], **others: Any) -> dict[str, Any]:
    """What is relied on of one asset; what most have in common is left out by the caller."""
    usual = {
        "kinds": {"parquet"},
        "partitions": TRADING_DAYS,
        "days_per_run": 50,
        "automation": None,
        "upstream": set(),
    }
    return {"columns": columns, "checks": checks | STANDING.keys(), **usual, **others}


EVERY_ASSET = {
    "theta/option_quotes/QQQ": asset(OPTION_QUOTES, QUOTE_CHECKS),
    "theta/option_quotes/SPX": asset(OPTION_QUOTES, QUOTE_CHECKS),
    "theta/option_greeks/SPX": asset(
        OPTION_GREEKS,
        {"contract_set", "grid", "integrity", "iv", "parity", "timestamps", "underlying"},
        partitions=trading_days(Span(date(2017, 1, 3))),  # days that the vendor does not have would be missing for ever
    ),
    "theta/option_open_interest/SPX": asset(OPEN_INTEREST, {"contract_set", "contracts", "integrity", "open_interest"}),
    "theta/option_eod/SPX": asset(OPTION_EOD, {"contract_set", "contracts", "end_of_day", "integrity"}),
    # another number of days per run than the bars: or Dagster would put a day's download and extraction into one run
    "polygon/flat_files/minute_aggs_v1": asset(
        {},
        {"integrity"},
        kinds={"csv"},
        days_per_run=25,
        partitions=trading_days(SHIPPED, fetched_downstream=True),
    ),
    "polygon/minute_aggs": asset(MINUTE_AGGS, POLYGON_CHECKS, upstream={"polygon/flat_files/minute_aggs_v1"}),
    "polygon/minute_aggs_monthly": asset(
        MINUTE_AGGS,
        {"complete", "integrity"},
        partitions=months(SHIPPED),
        automation="rebuild_when_days_change",
        upstream={"polygon/minute_aggs"},
    ),
    **{f"ib/bars_1m/{symbol}": asset(IB_BARS, IB_CHECKS) for symbol in ("AAPL", "MSFT", "GOOGL")},
}


SENSORS = {
    "interrupted_runs": True,
    "polygon_months": True,
    "polygon_republications": False,
    "look_again_at_ib_days": False,
    "look_again_at_polygon_days": False,
    "look_again_at_theta_days": False,
    "look_for_missing_days": True,
    "refresh_coverage_page": False,
    "request_ib_days": False,
    "request_polygon_days": False,
    "request_theta_days": False,
}
"""Name -> whether it is on by itself."""


def fresh(
    home: Path, program: list[str], *, cwd: Path = SOURCES, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment as from a clean shell with the environment activated."""
    (home / "dagster.yaml").touch()
    outside = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        [Path(sys.executable).with_name(program[0]), *program[1:]],
        cwd=cwd,
        env={**outside, "DAGSTER_HOME": str(home), "VIRTUAL_ENV": sys.prefix, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (["dagster", "definitions", "validate", "-w", "workspace.yaml"], "Validation successful for code location"),
        (["dg", "check", "defs"], "All definitions loaded successfully"),
    ],
    ids=["dagster", "dg"],
)
def test_the_code_location_loads_without_a_word_of_warning(tmp_path: Path, program: list[str], says: str) -> None:
    ended = fresh(tmp_path, program)

    text = ended.stdout + ended.stderr
    assert ended.returncode == 0, text
    assert says in text
    # `dagster definitions validate` loads a workspace as `dagster dev` does, and warns of itself that it is superseded.
    warnings = [line for line in text.splitlines() if "warning" in line.lower() and "SupersessionWarning" not in line]
    assert warnings == []


def test_dg_lists_every_asset_check_and_sensor(tmp_path: Path) -> None:
    ended = fresh(tmp_path, ["dg", "list", "defs", "--json"])

    assert ended.returncode == 0, ended.stderr
    listed = json.loads(ended.stdout)
    assert {asset["asset_key"] for asset in listed["assets"]} == {*EVERY_ASSET, PAGE}
    assert {check["key"] for check in listed["asset_checks"]} == {
        f"{key}:{check}" for key, asset in EVERY_ASSET.items() for check in asset["checks"]
    }
    assert {sensor["name"] for sensor in listed["sensors"]} == set(SENSORS)


COST = """
import sys, time
start = time.process_time()
import dagster
dagsters_own = time.process_time() - start
start = time.process_time()
from data_assets.definitions import defs
defs()
ours = time.process_time() - start
print(dagsters_own, ours, *(name for name in sys.argv[1:] if name in sys.modules))
"""
NEEDED_BY_NO_DEFINITION = [
    "aiohttp",
    "botocore",
    "data_assets.sandbox.serving",
    "duckdb",
    "ib_async",
    "matplotlib",
    "moto",
    "pyarrow.dataset",
]


def test_loading_costs_little_more_than_dagster_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = fresh(tmp_path, ["python", "-c", COST, *NEEDED_BY_NO_DEFINITION], cwd=write_project(tmp_path))

    assert ended.returncode == 0, ended.stderr
    dagsters_own, ours, *loaded = ended.stdout.split()
    with capsys.disabled():
        print(f"\n  CPU: import dagster {float(dagsters_own):.2f} s, the code location {float(ours):.2f} s beyond it")
    assert loaded == []
    assert float(ours) < 6 * float(dagsters_own)


@pytest.fixture
def in_profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.chdir(write_project(tmp_path))
    monkeypatch.setenv("DATA_ASSETS_PROFILE", request.param)
    settings.cache_clear()
    yield request.param
    settings.cache_clear()


@pytest.mark.parametrize("in_profile", ["sandbox", "live"], indirect=True)
def test_every_asset_is_what_people_and_other_code_rely_on(in_profile: str) -> None:
    graph = defs().resolve_asset_graph()

    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {*EVERY_ASSET, PAGE}
    for name, expected in EVERY_ASSET.items():
        node = graph.get(dg.AssetKey(name.split("/")))
        synthetic = {"synthetic"} if in_profile == "sandbox" else set()
        assert node.group_name == name.split("/")[0]
        assert node.pools == {name.split("/")[0]}
        assert node.kinds == expected["kinds"] | {node.group_name} | synthetic
        assert node.code_version, "of the columns"
        assert node.partitions_def is expected["partitions"], (
            "for unequal ones the launch dialog loses 'missing and failed only'"
        )
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(expected["days_per_run"])
        condition = node.automation_condition
        assert (condition and condition.get_label()) == expected["automation"]
        assert {key.to_user_string() for key in node.parent_keys} == expected["upstream"]
        assert {key.name for key in node.check_keys} == expected["checks"]
        schema = node.metadata["dagster/column_schema"]
        assert {column.name: column.type for column in schema.columns} == expected["columns"]
        assert list(expected["columns"]) == [column.name for column in schema.columns]
        assert all(column.description for column in schema.columns)
        assert node.tags["data_assets/profile"] == in_profile
        assert ("Synthetic" in (node.description or "")) is (in_profile == "sandbox")


def test_every_check_but_the_standing_ones_is_of_a_day_and_none_holds_a_run_up() -> None:
    graph = defs().resolve_asset_graph()

    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        assert spec.partitions_def is (None if key.name in STANDING else graph.get(key.asset_key).partitions_def)
        assert spec.description
        assert not spec.blocking, "what must hold is validated before a day is published"


def test_only_what_asks_no_vendor_for_anything_is_on_by_itself() -> None:
    repository = defs().get_repository_def()

    on = {name: repository.get_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING for name in SENSORS}
    assert on == SENSORS


@pytest.mark.parametrize("in_profile", ["sandbox"], indirect=True)
def test_a_location_of_some_vendors_defines_theirs_alone(in_profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ASSETS_VENDORS", "ib, theta")
    settings.cache_clear()

    limited = defs()

    graph = limited.resolve_asset_graph()
    mine = {name for name in EVERY_ASSET if name.split("/")[0] in ("ib", "theta")}
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == mine
    assert {key.asset_key.to_user_string() for key in graph.asset_check_keys} == mine
    names = {sensor.name for sensor in limited.sensors or ()}
    assert names == {name for name in SENSORS if "polygon" not in name and "page" not in name}


@pytest.mark.parametrize("in_profile", ["sandbox"], indirect=True)
def test_a_vendor_of_which_there_is_nothing_is_named_in_one_line(
    in_profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ASSETS_VENDORS", "thetta,ib")
    settings.cache_clear()

    with pytest.raises(SettingsError, match=r"^DATA_ASSETS_VENDORS: the project has no dataset of thetta; it has .*$"):
        defs()
