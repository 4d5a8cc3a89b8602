"""Two backfills of one vendor at once: one account, one limit, whatever the processes do to each other."""

from __future__ import annotations

from pathlib import Path
from signal import SIGKILL

import dagster as dg

from data_assets.orchestration.account_lock import account_lock
from data_assets.orchestration.day_states import DayState
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    DATASET,
    POOL,
    asked_days,
    document,
    run_statuses,
    sessions,
    slots_held,
    span,
)

LIMIT = 2
"""The vendor would serve four at once: what keeps to two is this project."""

DAYS = sessions("2024-01-02", 8)
OLDER, NEWER = DAYS[:4], DAYS[4:]


def test_two_first_calls_ever_start_at_once(theta, live_project):
    server = theta(bytes_per_second=1_000_000)
    project = live_project(server, THETA_MAX_CONCURRENT_REQUESTS=str(LIMIT))

    commands = [project.start("backfill", DATASET, *span(days), "--json") for days in (OLDER, NEWER)]

    for command, days in zip(commands, (OLDER, NEWER), strict=True):
        ended = command.end()
        assert (ended.returncode, document(ended)["stored"]) == (0, days), ended.stderr
    assert server.most_seen == LIMIT
    halves = [day in NEWER for day in asked_days(server)]
    assert halves in (sorted(halves), sorted(halves, reverse=True)), "both were at the vendor's at once"
    assert set(project.states(DAYS).values()) == {DayState.STORED}
    with project.instance() as instance:
        assert run_statuses(instance) == ["SUCCESS", "SUCCESS"]
        assert slots_held(instance) == []


def test_days_of_another_run_are_left_to_it(theta, live_project):
    server = theta(bytes_per_second=200_000)
    project = live_project(server, THETA_MAX_CONCURRENT_REQUESTS=str(LIMIT))
    first = project.start("backfill", DATASET, *span(DAYS), "--json")
    first.wait_for(lambda: bool(server.requests))

    second = project.run("backfill", DATASET, *span(DAYS), "--json")

    not_stored = document(second)["not_stored"]
    assert second.returncode == 1
    assert {why["reason"] for why in not_stored.values()} == {"another run is at it now; ask again when that has ended"}
    assert first.end().returncode == 0
    assert set(not_stored) <= set(document(first.end())["stored"])
    assert sorted(set(asked_days(server))) == DAYS
    assert len(asked_days(server)) == 2 * len(DAYS), "a day is a list of contracts and its quotes, once"
    assert server.most_seen == LIMIT


def test_the_slot_of_a_killed_run_goes_to_the_one_that_waits(theta, live_project):
    server = theta(faults=[Fault(kind="stall", day=day) for day in NEWER])  # so that none is stored before the kill
    project = live_project(server, THETA_MAX_CONCURRENT_REQUESTS=str(LIMIT))
    killed = project.start("backfill", DATASET, *span(NEWER))
    killed.wait_for(lambda: bool(server.requests))
    waiting = project.start("backfill", DATASET, *span(OLDER[-1:]), "--json")
    waiting.wait_for(lambda: waiting.says("waiting for run"))
    assert set(asked_days(server)) <= set(NEWER)

    killed.end(SIGKILL)
    ended = waiting.end()

    assert (ended.returncode, document(ended)["stored"]) == (0, OLDER[-1:]), ended.stderr
    assert set(project.states(NEWER).values()) == {DayState.MISSING}
    with project.instance() as instance:
        assert run_statuses(instance) == ["CANCELED", "SUCCESS"]
        assert slots_held(instance) == []


def test_a_run_that_got_the_slot_too_waits_for_the_account(theta, live_project):
    """Dagster's SQLite storage can give one slot to two runs; the other one is this test."""
    server = theta()
    project = live_project(server)
    with project.instance() as instance:
        with account_lock(Path(instance.storage_directory()), POOL, print):
            command = project.start("backfill", DATASET, *span(OLDER), "--json")
            command.wait_for(lambda: bool(instance.get_runs()) and said(instance, "waiting for another run of this"))
            assert slots_held(instance) != []
            assert server.requests == []
        ended = command.end()
        assert (ended.returncode, document(ended)["stored"]) == (0, OLDER), ended.stderr


def said(instance: dg.DagsterInstance, text: str) -> bool:
    """Whether the log of the newest run holds `text`."""
    return any(text in entry.user_message for entry in instance.all_logs(instance.get_runs(limit=1)[0].run_id))
