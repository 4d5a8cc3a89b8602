"""A week without anybody: the sensors ask, real runs meet the vendors' troubles, and in the end every day is green."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from data_assets.cli.project import datasets, definitions
from data_assets.orchestration.day_states import day_states
from data_assets.orchestration.partitions import RANGE_START
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets_tests.end_to_end.ib_project import AAPL, last_asked_long_ago, live_ib
from data_assets_tests.orchestration.in_process import QUIET, open_project
from data_assets_tests.vendors.polygon.flat_file_project import bucket_of, variables

QUOTES, BARS = "theta/option_quotes/QQQ", "polygon/minute_aggs"
WEEK = [f"2024-07-{day:02}" for day in (8, 9, 10, 11, 12)]
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (date.fromisoformat(day) for day in WEEK)

THETA = [
    Fault(kind="cut", day=MONDAY, times=1),  # another attempt of the same run
    Fault(kind="renamed_column", day=TUESDAY, times=2),  # red, and half an hour later, and in the evening green
    Fault(kind="status", status=472, day=WEDNESDAY, times=1),
    Fault(kind="reset", day=FRIDAY, times=1),
]
IB = [
    Fault(kind="short_day", day=TUESDAY, times=1),
    Fault(kind="bad_bar", day=THURSDAY, times=1),
]
FLAT_FILES = [
    {"kind": "cut_body", "day": MONDAY, "times": 1},
    {"kind": "damaged_body", "day": WEDNESDAY, "times": 1},
    {"kind": "forbidden", "day": THURSDAY, "times": 1},
]
TICKS = {"ib": ["16:20", "16:50"], "theta": ["17:45", "18:15", "21:15"], "polygon": ["22:00", "22:30"]}


@dataclass
class Week:
    """A project of one dataset per vendor that begins on Monday.

    Attributes:
        runs: dataset -> the first day of every run that was asked for.
    """

    folder: Path
    instance: dg.DagsterInstance
    runs: dict[str, list[str]] = field(default_factory=dict)

    def tick(self, vendor: str, now: datetime) -> None:
        """Do as the daemon does: evaluate the vendor's sensor, and execute what it asks for."""
        repository = definitions().get_repository_def()
        job = definitions().resolve_implicit_global_asset_job_def()
        with freeze_time(now):
            with dg.build_sensor_context(self.instance, repository_def=repository) as context:
                asked = repository.get_sensor_def(f"request_{vendor}_days").evaluate_tick(context).run_requests or ()
            for request in asked:
                last_asked_long_ago(self.folder)  # by the clock of the test; IB's own rule would wait for 15 seconds
                (asset,) = request.asset_selection or ()
                self.runs.setdefault(asset.to_user_string(), []).append(request.tags[RANGE_START])
                job.execute_in_process(
                    asset_selection=[asset],
                    instance=self.instance,
                    tags=dict(request.tags),
                    raise_on_error=False,
                    run_config=QUIET,
                )

    def states(self, name: str) -> dict[str, str]:
        dataset = datasets()[name]
        return dict(day_states(self.instance, dataset.asset_key, WEEK, dataset.partitions))


@pytest.fixture
def week(tmp_path: Path) -> Iterator[Week]:
    with (
        SandboxTheta(contracts=8, says_synthetic=False, faults=THETA) as theta,
        SandboxTws(says_synthetic=False, pacing_scale=0, faults=IB) as tws,
        bucket_of(WEEK, *FLAT_FILES) as bucket,
        open_project(tmp_path, THETA_BASE_URL=theta.base_url, **live_ib(tws), **variables(bucket)) as instance,
    ):
        for block in (tmp_path / "defs/theta").iterdir():
            text = (block / "defs.yaml").read_text()
            if block.name == "option_quotes_qqq":
                (block / "defs.yaml").write_text(text.replace("2016-08-04", WEEK[0]))
            else:
                (block / "defs.yaml").unlink()
        bars = tmp_path / "defs/polygon/minute_aggs/defs.yaml"
        bars.write_text(bars.read_text().rstrip() + f"\n  first_day: {WEEK[0]}\n")
        (tmp_path / "defs/ib/bars_1m/tickers.csv").write_text(
            f"symbol,secType,exchange,currency,primaryExchange,first_day\nAAPL,STK,SMART,USD,NASDAQ,{WEEK[0]}\n"
        )
        yield Week(tmp_path, instance)


def test_a_week_with_faults_ends_all_green(week: Week) -> None:
    for day in [*WEEK, "2024-07-13"]:
        for vendor, hours in TICKS.items():
            for hour in hours:
                now = datetime.fromisoformat(f"{day} {hour}").replace(tzinfo=ZoneInfo("America/New_York"))
                week.tick(vendor, now)

    for name in (QUOTES, AAPL, BARS):
        assert week.states(name) == dict.fromkeys(WEEK, "stored"), week.runs
    more_than_once = {name: {day: n for day, n in Counter(days).items() if n > 1} for name, days in week.runs.items()}
    assert more_than_once == {
        QUOTES: {WEEK[1]: 3},
        AAPL: {WEEK[1]: 2, WEEK[3]: 2},
        BARS: {WEEK[3]: 2},
    }, "what one run did not get over was asked for again"
