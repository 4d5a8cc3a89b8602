"""Every wait of a run says what is waited for, since when and until when, and nothing promises an end meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_assets.ingest.engine import EnginePolicy, ingest
from data_assets.ingest.outcome import Stored, Transient, VendorDown
from data_assets.ingest.progress import Phase, Progress, Snapshot, line
from data_assets.ingest.retry import RetryPolicy
from data_assets.ingest.state_file import StateFile
from data_assets.ingest.waiting import Wait, Waits, run_waits, waiting, waiting_for_the_lake
from data_assets.lake.patient_store import PATIENCE_SECONDS, Patience, store_wait
from data_assets.lake.storage import Bucket
from data_assets.orchestration.account_lock import account_lock
from data_assets.sandbox.loopback import HOST
from data_assets.sandbox.wsgi_server import WsgiServer
from data_assets.vendors.ib.pacing import Budget, RequestPacing
from data_assets_tests.ingest.scripted import Answer, Ledger, ScriptedSource, days
from data_assets_tests.ingest.virtual_time import run

NOON = datetime(2024, 7, 1, 12, 0, 0, tzinfo=UTC)
STORED = Stored("p", 1, 1, "0" * 64)


def seen_at(
    source: ScriptedSource,
    count: int,
    instants: list[float],
    *,
    free_bytes: Callable[[], int | None] = lambda: None,
    memory_share: Callable[[], float] = lambda: 0.1,
    day_bytes: int = 0,
    cap: int = 2,
) -> list[Snapshot]:
    """What a run's progress shows at some instants of virtual time."""
    seen: list[Snapshot] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        progress = Progress(loop.time)
        for instant in instants:
            loop.call_at(instant, lambda: seen.append(progress.snapshot()))
        await ingest(
            reversed(days(count)),
            source,
            Ledger().record,
            policy=EnginePolicy(cap, day_bytes, RetryPolicy(outage_seconds=1800)),
            progress=progress,
            free_bytes=free_bytes,
            memory_share=memory_share,
        )
        assert progress.snapshot().waits == ()

    run(main)
    return seen


def seconds(wait: Wait) -> float:
    assert isinstance(wait.until, datetime)
    return (wait.until - wait.since).total_seconds()


def test_while_the_vendor_is_away_it_says_so_once_and_promises_no_end() -> None:
    def script(day: date, _: int) -> Answer:
        now = asyncio.get_running_loop().time()
        return Answer(VendorDown("the terminal has lost Theta's servers (474)") if 2 <= now < 700 else None)

    async def up() -> None:
        await asyncio.sleep(700 - asyncio.get_running_loop().time())

    early, away, back = seen_at(ScriptedSource(script, up), 8, [1.5, 300.0, 701.5])

    assert (early.waits, early.eta is None) == ((), False)
    (wait,) = away.waits
    assert wait.what == "the vendor to be back (the terminal has lost Theta's servers (474))"
    assert seconds(wait) == pytest.approx(1800, abs=1)
    assert away.eta is None
    assert "ETA" not in line(away)
    assert str(wait) in line(away)
    assert (back.waits, back.eta is None) == ((), False)


def test_a_pause_before_the_next_try_is_said_with_its_cause() -> None:
    source = ScriptedSource(lambda day, attempt: Answer(Transient("cut short") if attempt == 1 else None))
    (shot,) = seen_at(source, 1, [1.01])
    (wait,) = shot.waits
    assert wait.what == f"another attempt at {days(1)[0]} (cut short)"
    assert 0 < seconds(wait) < 60
    assert shot.eta is None


def test_a_full_disk_and_short_memory_are_said() -> None:
    slow = ScriptedSource(lambda day, _: Answer(seconds=5.0))
    (disk,) = seen_at(slow, 4, [2.0], day_bytes=10, free_bytes=lambda: 15)
    assert [str(wait.what) for wait in disk.waits] == ["room on the disk for one more day"]
    assert disk.waits[0].until == "days in work have ended"
    slow = ScriptedSource(lambda day, _: Answer(seconds=5.0))
    (memory,) = seen_at(slow, 4, [2.0], memory_share=lambda: 0.91)
    assert [wait.what for wait in memory.waits] == ["memory (91% is in use)"]


def test_the_turn_to_ask_ib_is_said(tmp_path: Path) -> None:
    waits = Waits(lambda: NOON)

    async def main() -> list[Wait]:
        loop = asyncio.get_running_loop()
        pacing = RequestPacing(StateFile(tmp_path / "pacing.json", clock=lambda: 1e9 + loop.time()), Budget())
        run_waits.set(waits)
        found: list[Wait] = []
        loop.call_later(5, lambda: found.extend(waits.current()))
        await pacing.turn("a")
        return found

    (wait,) = run(main)
    assert str(wait) == ("waiting for the next request that IB's limits allow, since 12:00:00, until 12:00:10")
    assert waits.current() == ()


def test_an_account_in_use_is_said_with_the_time_since_when(tmp_path: Path) -> None:
    said: list[str] = []
    with (tmp_path / "theta.lock").open("wb") as other, contextlib.suppress(KeyboardInterrupt):
        fcntl.flock(other, fcntl.LOCK_EX)
        with account_lock(tmp_path, "theta", said.append, stop=lambda: True):
            pytest.fail("it is held")
    (text,) = said
    words = "waiting for another run of this machine, which uses the theta account, since "
    assert text.startswith(words)
    assert re.fullmatch(r"\d\d:\d\d:\d\d, until it ends", text.removeprefix(words))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_estimate_ends_when_nothing_has_moved_for_longer_than_two_days_took() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.begin(10)
    progress.day_begun(days(2)[1]).enter(Phase.FETCHING)
    meter = progress.day_begun(days(2)[0])
    meter.enter(Phase.FETCHING)
    clock.now = 30.0
    progress.day_ended(days(2)[0], STORED)
    clock.now = 30.0 + 59.0
    assert progress.snapshot().eta is not None, "a day takes half a minute, and its bytes may come at its end"
    clock.now = 30.0 + 61.0
    assert progress.snapshot().eta is None
    progress.day_begun(days(2)[1]).received(1)
    assert progress.snapshot().eta is not None


def test_waits_for_the_same_thing_are_one() -> None:
    now = [NOON]
    waits = Waits(lambda: now[0])
    with waits.waiting("the vendor", 60):
        now[0] = NOON + timedelta(seconds=30)
        with waits.waiting("the vendor", 60), waits.waiting("the disk", "it has room"):
            assert [str(wait) for wait in waits.current()] == [
                "waiting for the vendor, since 12:00:00, until 12:01:30",
                "waiting for the disk, since 12:00:30, until it has room",
            ]
        assert [wait.until for wait in waits.current()] == [NOON + timedelta(seconds=60)]
    assert waits.current() == ()


def test_what_usually_takes_a_moment_is_not_told_before_that_has_passed() -> None:
    now = [NOON]
    waits = Waits(lambda: now[0])
    with waits.waiting("an answer", 60, after=10):
        now[0] = NOON + timedelta(seconds=9)
        assert waits.current() == ()
        now[0] = NOON + timedelta(seconds=10)
        assert [str(wait) for wait in waits.current()] == [
            "waiting for an answer, since 12:00:00, until 12:01:00",
        ]


def test_outside_of_a_run_nobody_is_told() -> None:
    with waiting("anything", 1.0):
        pass


def test_a_throttled_lake_is_said_and_nothing_promises_an_end_meanwhile(tmp_path: Path) -> None:
    """A real bucket, which answers 503 while a day is published to it."""
    clock, progress, shots = Clock(), Progress(Clock()), []

    def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        busy = clock.now < 60
        start_response("503 Slow Down" if busy else "200 OK", [("Content-Length", "0"), ("ETag", '"1"')])
        return []

    def pause(seconds: float) -> None:
        shots.append(progress.snapshot())
        clock.now += seconds

    progress.begin(2)
    day, other = days(2)
    progress.day_begun(day)
    progress.day_ended(day, STORED)
    progress.day_begun(other).enter(Phase.PUBLISHING)
    assert progress.snapshot().eta is not None
    tokens = run_waits.set(progress.waits), store_wait.set(waiting_for_the_lake)
    with WsgiServer(app) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENDPOINT_URL": f"http://{HOST}:{server.port}",
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
        }.items():
            patch.setenv(f"AWS_{name}", value)
        patch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        Bucket("s3://bucket/lake", Patience(pause=pause, clock=clock)).replace("name", b"data")
    run_waits.reset(tokens[0])
    store_wait.reset(tokens[1])

    assert len(shots) > 3
    for shot in shots:
        (wait,) = shot.waits
        assert wait.what == "the lake's object store, which asks for fewer requests (503 Service Unavailable)"
        assert wait.since == shots[0].waits[0].since
        assert seconds(wait) == pytest.approx(PATIENCE_SECONDS)
        assert shot.eta is None
        assert "ETA" not in line(shot)
    assert progress.snapshot().waits == ()
    assert progress.snapshot().eta is not None
