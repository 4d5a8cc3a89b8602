"""A server that takes connections and says nothing: what is waited for, since when and until when, is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest

from data_assets.ingest.progress import Progress, line
from data_assets.ingest.waiting import SILENCE_SECONDS, Wait, Waits, run_waits, waiting_for_the_lake
from data_assets.lake.errors import LakeError
from data_assets.lake.patient_store import Patience, store_wait
from data_assets.lake.storage import ENDPOINTS, Bucket
from data_assets.sandbox.loopback import HOST
from data_assets.trading_calendar import utc_now
from data_assets.vendors.ib.connection import Connection
from data_assets.vendors.ib.resets import never
from data_assets.vendors.ib.timeouts import IBS_OWN
from data_assets.vendors.ib.tws_session import Address
from data_assets.vendors.polygon.client import FlatFileStore
from data_assets.vendors.theta.client import ThetaClient

NOON = datetime(2024, 7, 1, 12, 0, 0, tzinfo=UTC)


async def told_of(ask: Callable[[int], Awaitable[object]]) -> tuple[Wait, ...]:
    """What is told once the usual time of an answer has passed on the wall clock, which the test sets."""
    held: list[asyncio.StreamWriter] = []
    taken = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        taken.set()

    now = NOON
    waits = Waits(lambda: now)
    run_waits.set(waits)
    store_wait.set(waiting_for_the_lake)
    server = await asyncio.start_server(mute, HOST, 0)
    asking = asyncio.ensure_future(ask(server.sockets[0].getsockname()[1]))
    try:
        await taken.wait()
        assert waits.current() == (), "an answer takes a moment"
        now = NOON + timedelta(seconds=SILENCE_SECONDS)
        while not (found := waits.current()):
            assert not asking.done()
            await asyncio.sleep(0.01)
        return found
    finally:
        asking.cancel()
        for writer in held:
            writer.transport.abort()
        server.close()
        with suppress(Exception, asyncio.CancelledError):
            await asking


def seconds(wait: Wait) -> float:
    assert isinstance(wait.until, datetime)
    return (wait.until - wait.since).total_seconds()


def test_the_theta_terminal() -> None:
    async def ask(port: int) -> None:
        async with ThetaClient(f"http://{HOST}:{port}/v3", max_concurrent=1, stall_seconds=60) as client:
            await client.expirations(["QQQ"])

    (wait,) = asyncio.run(told_of(ask))
    assert wait.what == "the Theta Terminal to answer, or to go on with its answer"
    assert (wait.since, seconds(wait)) == (NOON, 60)


def test_the_bucket_of_flat_files() -> None:
    async def ask(port: int) -> None:
        store = FlatFileStore("s3://flatfiles", endpoint=f"http://{HOST}:{port}", key_id="a", secret="b")
        await store.listed(date(2024, 7, 1))

    (wait,) = asyncio.run(told_of(ask))
    assert wait.what.startswith("s3://flatfiles at http://")
    assert (wait.since, seconds(wait)) == (NOON, 60)


def test_tws() -> None:
    async def ask(port: int) -> None:
        said: list[str] = []
        connection = Connection(
            Address(HOST, port, 7), real_data_only=False, timeouts=IBS_OWN, now=utc_now, resets=never, say=said.append
        )
        await connection.open()

    (wait,) = asyncio.run(told_of(ask))
    assert wait.what.startswith("TWS or IB Gateway at 127.0.0.1:")
    assert (wait.since, wait.until) == (NOON, "it answers, or 3 attempts have failed")


def test_the_lakes_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(port: int) -> None:
        for name in ENDPOINTS:
            monkeypatch.setenv(name, f"http://{HOST}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        with pytest.raises(LakeError):
            await asyncio.to_thread(Bucket("s3://bucket/lake", Patience(seconds=0)).size, "name")

    (wait,) = asyncio.run(told_of(ask))
    assert (wait.what, wait.since, seconds(wait)) == ("the lake's object store to answer", NOON, 60)


def test_a_run_whose_source_is_not_open_yet_has_no_days_and_no_end() -> None:
    progress = Progress()
    with progress.waits.waiting("TWS", "it answers"):
        said = line(progress.snapshot())
    assert said.startswith("no day begun yet · 0 s so far · waiting for TWS, since ")
    assert "took" not in said
