"""A backfill that is told to stop: what is stored stays, the open days are missing again, and the next call goes on."""

from __future__ import annotations

import ctypes
import os
import sys
from datetime import date
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest

from data_assets.orchestration.day_states import DayState
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    DATASET,
    POOL,
    asked_days,
    document,
    recorded,
    run_statuses,
    sessions,
    slots_held,
    span,
)


def test_a_signal_stops_and_the_next_call_goes_on(theta, live_project):
    days = sessions("2024-01-02", 10)
    server = theta(bytes_per_second=400_000)
    project = live_project(server, THETA_MAX_CONCURRENT_REQUESTS="2")
    stored: set[str] = set()
    with project.instance() as instance:
        for number in (SIGTERM, SIGINT):
            requests_before = len(server.requests)
            command = project.start("backfill", DATASET, *span(days), "--json")
            command.wait_for(lambda command=command: len(command.stored_days()) >= 2)
            ended = command.end(number)

            result = document(ended)
            assert ended.returncode == 1
            assert "Traceback" not in ended.stderr
            assert ended.stderr.count("then stopped") == 1
            assert not stored & set(asked_days(server, requests_before))
            stored |= set(result["stored"])
            assert set(result["not_stored"]) == set(days) - stored
            assert {why["reason"] for why in result["not_stored"].values()} == {"stopped before it was done"}
            assert project.files() == sorted(recorded(instance)) == sorted(stored)
            assert project.temp_files() == []
            assert project.states(days) == {day: DayState.STORED if day in stored else DayState.MISSING for day in days}
            assert run_statuses(instance)[-1] == "CANCELED"
            assert slots_held(instance) == []
        assert len(stored) < len(days), "the signals did not meet a backfill at work"

        requests_before = len(server.requests)
        ended = project.run("backfill", DATASET, *span(days), "--json")

        assert (ended.returncode, document(ended)["stored"]) == (0, sorted(set(days) - stored)), ended.stderr
        assert not stored & set(asked_days(server, requests_before))
        assert sorted(recorded(instance)) == days
        assert run_statuses(instance) == ["CANCELED", "CANCELED", "SUCCESS"]


@pytest.mark.skipif(sys.platform != "linux", reason="a signal for one thread of another process is Linux's")
@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_signal_is_heard_though_it_wakes_nobody(number: int, theta, live_project):
    """As one does that comes while the main thread falls asleep: another thread takes it here, each time.

    Python's handlers run in the main thread alone, and nothing else wakes that before the run is over.
    """
    oldest, *others = sessions("2024-01-02", 3)
    project = live_project(theta(faults=[Fault(kind="stall", day=date.fromisoformat(oldest))]))
    command = project.start("backfill", DATASET, *span([oldest, *others]), "--json")
    command.wait_for(lambda: len(command.stored_days()) == len(others))

    main = command.process.pid
    other = max(int(each.name) for each in Path(f"/proc/{main}/task").iterdir() if int(each.name) != main)
    sent = ctypes.CDLL(None, use_errno=True).tgkill(main, other, int(number))
    ended = command.end()

    assert sent == 0, os.strerror(ctypes.get_errno())
    assert ended.returncode == 1
    assert set(document(ended)["not_stored"]) == {oldest}
    assert ended.stderr.count("then stopped") == 1


def test_ctrl_c_ends_the_wait_for_the_account(theta, live_project):
    days = sessions("2024-01-02", 2)
    server = theta()
    project = live_project(server)
    with project.instance() as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
        assert instance.event_log_storage.claim_concurrency_slot(POOL, "of another host", "step").is_claimed
        command = project.start("backfill", DATASET, *span(days), "--json")
        command.wait_for(lambda: command.says("waiting for run of another host"))
        ended = command.end(SIGINT)

        assert ended.returncode == 1
        assert sorted(document(ended)["not_stored"]) == days
        assert "Traceback" not in ended.stderr
        assert (server.requests, run_statuses(instance)) == ([], [])
