"""Backfills of IB's bars through the real ib_async and a TWS on loopback: what is asked, kept, and asked again."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

import polars as pl
import pytest

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets_tests.end_to_end.ib_project import (
    AAPL,
    BARS,
    CANCEL,
    CHECKS,
    DETAILS,
    HEAD,
    asked,
    asked_days,
    in_hand,
    last_asked_long_ago,
    live_ib,
    recorded_of,
    status_of,
)
from data_assets_tests.end_to_end.project_folder import Project, document, run_statuses, sessions, slots_held, span

WEEK = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]
"""With an early close, a holiday inside and a weekend."""
BARS_OF = {day: 210 if day == "2024-07-03" else 390 for day in WEEK}

OUTAGE_SECONDS = 3.0


def tws_with(*faults: Fault, **options: object) -> SandboxTws:
    return SandboxTws(faults=faults, pacing_scale=0, says_synthetic=False, **options)  # type: ignore[arg-type]


@pytest.fixture
def make(new_project):
    """Makes projects whose TWS is the given one."""

    def project(tws: SandboxTws, **more: str) -> Project:
        made: Project = new_project(**live_ib(tws, **more))
        last_asked_long_ago(made.folder)
        return made

    return project


def files(project: Project, dataset: str = AAPL) -> list[str]:
    return sorted(path.parent.name for path in (project.lake_folder / dataset).rglob("*.parquet"))


def test_a_range_is_asked_for_day_by_day_from_the_newest_and_each_day_is_stored_once(make):
    with tws_with() as tws:
        project = make(tws)
        ended = project.run("backfill", AAPL, *span(WEEK), "--json")
        assert (ended.returncode, document(ended)["stored"]) == (0, WEEK), ended.stderr
        again = project.run("backfill", AAPL, *span(WEEK), "--json")

        assert (again.returncode, document(again)["stored"]) == (0, [])
        assert asked_days(tws) == list(reversed(WEEK)), "one request a session, the newest first"
        assert len(asked(tws, HEAD)) == len(asked(tws, DETAILS)) == 1
        assert asked(tws, CANCEL) == []
        assert tws.clients == []
    with project.instance() as instance:
        assert recorded_of(instance, AAPL) == list(reversed(WEEK))
        assert run_statuses(instance) == ["SUCCESS"]
        assert slots_held(instance) == []
    for day, row in status_of(project, AAPL, WEEK).items():
        assert row["checks"] == dict.fromkeys(CHECKS, "SUCCEEDED")
        assert (row["state"], row["rows"], row["outcome"], row["attempts"]) == ("stored", BARS_OF[day], None, 1)
        close = "16:59" if BARS_OF[day] == 210 else "19:59"
        assert row["shown"] == {"expected_bars": BARS_OF[day], "last_timestamp": f"{day}T{close}:00+00:00"}
    assert files(project) == [f"date={day}" for day in WEEK]
    assert pl.read_parquet(project.lake_folder / AAPL / f"date={WEEK[0]}" / "data.parquet").height == 390
    assert project.temp_files() == []


def test_sigterm_lets_the_request_in_hand_finish_and_leaves_the_connection_closed(make):
    """The third of five days is answered only once TWS is back with IB, seconds after the signal."""
    lost = Fault(kind="connection_lost", day=WEEK[2], seconds=OUTAGE_SECONDS)
    with tws_with(lost) as tws:
        project = make(tws)
        command = project.start("backfill", AAPL, *span(WEEK), "--json")
        command.wait_for(lambda: in_hand(tws, WEEK[2]))
        ended = command.end(SIGTERM)

        assert ended.returncode == 1
        assert document(ended)["stored"] == WEEK[2:], "with the day that was in hand"
        not_stored = document(ended)["not_stored"]
        assert {day: why["reason"] for day, why in not_stored.items()} == dict.fromkeys(
            WEEK[:2], "stopped before it was done"
        )
        assert "Traceback" not in ended.stderr
        assert asked_days(tws) == list(reversed(WEEK[2:]))
        assert all(request.code == 0 for request in asked(tws, BARS))
        assert asked(tws, CANCEL) == []
        assert tws.clients == []
        with project.instance() as instance:
            assert run_statuses(instance) == ["CANCELED"]
            assert slots_held(instance) == []
        states = {day: row["state"] for day, row in status_of(project, AAPL, WEEK).items()}
        assert states == dict.fromkeys(WEEK[:2], "missing") | dict.fromkeys(WEEK[2:], "stored")

        assert project.run("backfill", AAPL, *span(WEEK)).returncode == 0
        assert asked_days(tws) == list(reversed(WEEK)), "nothing twice"


def test_after_kill_9_only_what_is_missing_is_asked_for(make):
    """The request that the kill met is asked again as soon as IB allows an identical one: after fifteen seconds."""
    days = sessions("2024-01-02", 8)
    met = days[3]
    with tws_with(Fault(kind="connection_lost", day=met, times=1, seconds=OUTAGE_SECONDS)) as tws:
        project = make(tws)
        killed = project.start("backfill", AAPL, *span(days))
        killed.wait_for(lambda: in_hand(tws, met))
        assert killed.end(SIGKILL).returncode == -SIGKILL
        with project.instance() as instance:
            kept = recorded_of(instance, AAPL)
        assert set(kept) <= set(days[4:])
        since, times = len(tws.requests), [request.at for request in asked(tws, BARS)]
        ended = project.run("backfill", AAPL, *span(days), "--json")

        assert (ended.returncode, document(ended)["not_stored"]) == (0, {}), ended.stderr
        assert asked_days(tws, since) == [day for day in reversed(days) if day not in kept]
        assert next(each.at for each in asked(tws, BARS, since) if met in map(str, each.days)) - times[-1] > 15
        with project.instance() as instance:
            assert sorted(recorded_of(instance, AAPL)) == days
            assert run_statuses(instance) == ["CANCELED", "SUCCESS"]
            assert slots_held(instance) == []
    assert files(project) == [f"date={day}" for day in days]
    assert project.temp_files() == []
    assert project.run("verify", AAPL).returncode == 0


def test_days_before_the_head_timestamp_are_answered_without_a_request(new_project):
    """In the sandbox profile, whose IB has no resets: a head timestamp of such an hour is not believed."""
    days = sessions("2024-01-02", 5)
    begins = days[3]
    project = new_project(DATA_ASSETS_SANDBOX_FIRST_DAY=begins)
    ended = project.run("backfill", AAPL, *span(days), "--json")
    assert (ended.returncode, document(ended)["stored"]) == (1, days[3:])
    rows = status_of(project, AAPL, days)
    for day in days[:3]:
        assert (rows[day]["state"], rows[day]["outcome"]) == ("failed", "NoData")
        assert f"IB's history of AAPL begins on {begins} (head timestamp)" in rows[day]["reason"]
        assert rows[day]["shown"] == {"expected_bars": 390}
