from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import pytest

from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    IngestError,
    NoData,
    NotEntitled,
    NotStored,
    Rejected,
    RunEnded,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.client import LargeRequest, QuoteRequest, ThetaClient
from data_assets_tests.vendors.theta.raw_http import Answer, Terminal, always, by_path, response, terminal, until_close

DAY = date(2024, 1, 3)
REQUEST = QuoteRequest("QQQ", DAY, "1m", "09:30:00", "16:15:00")
CONTRACTS = b'symbol,expiration,strike,right\r\nQQQ,2024-01-05,400.000,CALL\r\n"QQQ","2024-01-05",80.500,"PUT"\r\n'
EXPIRATIONS = b"symbol,expiration\nQQQ,2024-01-19\nQQQ,2024-01-05\n"


@asynccontextmanager
async def connected(
    answer: Answer, *, max_concurrent: int = 4, stall_seconds: float = 5.0
) -> AsyncIterator[tuple[ThetaClient, Terminal]]:
    async with (
        terminal(answer) as server,
        ThetaClient(
            server.base_url, max_concurrent=max_concurrent, stall_seconds=stall_seconds, poll_seconds=0.01
        ) as client,
    ):
        yield client, server


async def download(client: ThetaClient, request: QuoteRequest = REQUEST) -> bytes:
    async with client.history(request) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def error_of_answer(answer: Answer, stall_seconds: float = 5.0) -> IngestError:
    async with connected(answer, stall_seconds=stall_seconds) as (client, _):
        with pytest.raises(IngestError) as caught:
            await download(client)
    return caught.value


@pytest.mark.parametrize(
    ("words", "kind"), [("No data found for your request", DayEnded), ("No such endpoint", RunEnded)]
)
async def test_a_404_that_says_no_data_is_of_its_day(words: str, kind: type[IngestError]):
    """The vendor's own client takes NOT_FOUND for no data; over HTTP that is 404."""
    assert type(await error_of_answer(always(response(404, words.encode())))) is kind


@pytest.mark.parametrize(
    ("status", "kind", "outcome", "says"),
    [
        (472, DayEnded, NoData, "holds no data"),
        (403, DayEnded, NotEntitled, "tier does not reach"),
        (471, DayEnded, NotEntitled, "tier does not reach"),
        (429, Throttled, None, "THETA_MAX_CONCURRENT_REQUESTS"),
        (474, VendorDown, None, "lost Theta's servers"),
        (571, VendorDown, None, "is starting"),
        (570, LargeRequest, None, "too large"),
        (404, RunEnded, None, "update the terminal"),
        (410, DayEnded, Failed, "update and restart the terminal"),
        (400, DayEnded, Failed, "defs.yaml"),
        (473, DayEnded, Failed, "defs.yaml"),
        (476, RunEnded, None, "127.0.0.1 or localhost"),
        (478, RunEnded, None, "second Theta Terminal"),
        (470, Transient, None, "failed"),
        (475, Transient, None, "failed"),
        (477, Transient, None, "failed"),
        (572, Transient, None, "failed"),
        (500, Transient, None, "failed"),
        (502, Transient, None, "failed"),
        (503, Transient, None, "failed"),
        (504, Transient, None, "failed"),
        (520, Transient, None, "unknown for a Theta Terminal"),
        (418, DayEnded, Failed, "unknown for a Theta Terminal"),
        (302, DayEnded, Failed, "THETA_BASE_URL"),
    ],
)
async def test_every_status_means_one_thing_and_shows_the_vendors_words(
    status: int, kind: type[IngestError], outcome: type[NotStored] | None, says: str
):
    error = await error_of_answer(always(response(status, b"the vendor's\r\nown words\n")))
    assert type(error) is kind
    assert says in str(error)
    assert f"{status}: the vendor's own words" in str(error)
    assert "\n" not in str(error)
    if isinstance(error, DayEnded):
        assert type(error.outcome) is outcome
        assert "QQQ option quotes of 2024-01-03" in error.outcome.reason


async def test_a_call_of_the_older_api_ends_the_run_only_where_the_address_is_to_blame():
    async with terminal(always(response(410, b"GONE"))) as served:
        older = served.base_url.removesuffix("3") + "2"
        for base_url, kind in ((older, RunEnded), (f"{served.base_url}/", DayEnded)):
            async with ThetaClient(base_url, max_concurrent=1) as client:
                with pytest.raises(kind) as caught:
                    await download(client)
            assert ("must end in /v3" in str(caught.value)) is (kind is RunEnded)


@pytest.mark.parametrize("status", [400, 410, 418, 473, 520])
async def test_the_same_answer_to_other_days_has_the_same_cause(status: int):
    causes = []
    for words in (b"Invalid date: 20240103", b"Invalid date: 20240104\n", b"Invalid interval"):
        error = await error_of_answer(always(response(status, words)))
        causes.append(error.cause)
    assert causes[0]
    assert causes[0] == causes[1] != causes[2]


@pytest.mark.parametrize("status", [470, 474, 500, 571])
async def test_what_is_known_to_pass_has_no_cause(status: int):
    assert (await error_of_answer(always(response(status, b"x")))).cause == ""


async def test_waiting_ends_with_the_answer_that_a_root_does_not_exist_and_goes_on_over_others():
    lists = iter([response(400, b"not now"), response(472, b"No data found for your request")])

    async def recovering(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, b"CONNECTED") if path == "terminal/mdds/status" else next(lists))
        await writer.drain()

    async with connected(recovering) as (client, server):
        await client.wait_until_up("META", seconds=10)
    assert len(server.asked) == 4


async def test_a_long_or_binary_error_body_becomes_one_short_line():
    error = await error_of_answer(always(response(500, b"<html>\x00\xff" + b"word " * 100_000)))
    assert "<html>" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300


async def test_the_status_decides_even_if_the_words_never_come():
    async def stalled(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(response(472, b"", length=100))
        await asyncio.Event().wait()

    error = await error_of_answer(stalled, stall_seconds=2)  # the status comes in that time
    assert isinstance(error, DayEnded)
    assert isinstance(error.outcome, NoData)


async def test_a_body_comes_as_it_is():
    async with connected(always(until_close(b"symbol\r\nQQQ\r\n"))) as (client, _):
        assert await download(client) == b"symbol\r\nQQQ\r\n"


async def test_what_is_asked_leaves_nothing_to_a_default():
    async with connected(always(response(200, b"symbol\n"))) as (client, server):
        await download(client, replace(REQUEST, expiration="2024-01-05", right="call"))
    assert server.asked == [
        (
            "option/history/quote",
            {
                "symbol": "QQQ",
                "expiration": "2024-01-05",
                "right": "call",
                "date": "20240103",
                "interval": "1m",
                "start_time": "09:30:00",
                "end_time": "16:15:00",
                "format": "csv",
            },
        )
    ]


async def test_a_body_shorter_than_its_content_length_is_transient():
    error = await error_of_answer(always(response(200, b"symbol\nQQQ\n", length=1000)))
    assert type(error) is Transient
    assert "stopped short" in str(error)


def packed(status: int, body: bytes) -> bytes:
    return response(status, body).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)


async def test_a_compressed_body_is_refused_and_never_half_read():
    """A proxy that compresses in steps sends several gzip members, of which httpx reads the first and says nothing."""
    body = gzip.compress(b"symbol\nQQQ\n") + gzip.compress(b"SPX\n")
    error = await error_of_answer(always(packed(200, body)))
    assert type(error) is RunEnded
    assert "QQQ option quotes of 2024-01-03 came compressed (gzip)" in str(error)


async def test_the_status_of_a_compressed_error_decides():
    error = await error_of_answer(always(packed(472, gzip.compress(b"No data"))))
    assert type(error) is DayEnded
    assert "472: words compressed as gzip" in str(error)


async def test_a_chunked_body_without_its_end_is_transient():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    error = await error_of_answer(always(head + b"b\r\nsymbol\nQQQ\n\r\n"))
    assert type(error) is Transient
    assert "stopped short" in str(error)


async def test_a_reset_is_transient():
    async def reset(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, b"symbol\n", length=1000))
        await writer.drain()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    error = await error_of_answer(reset)
    assert type(error) is Transient
    assert "QQQ option quotes of 2024-01-03" in str(error)


@pytest.mark.parametrize("sent", [b"", response(200, b"symbol\n", length=1000)], ids=["no answer", "half a body"])
async def test_a_stall_is_transient(sent: bytes):
    async def stall(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.Event().wait()

    error = await error_of_answer(stall, stall_seconds=0.1)
    assert type(error) is Transient
    assert "no byte for" in str(error)


async def test_a_slow_body_may_take_longer_than_the_stall_time():
    async def drip(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(until_close(b""))
        for _ in range(30):
            writer.write(b"symbol\n")
            await writer.drain()
            await asyncio.sleep(0.08)

    async with connected(drip, stall_seconds=2) as (client, _):
        assert await download(client) == b"symbol\n" * 30


async def test_no_more_requests_at_once_than_allowed_with_probes_among_them():
    release, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await asyncio.wait_for(release.wait(), 5)
        writer.write(response(200, b"CONNECTED\n" if path.startswith("terminal/") else b"symbol\n"))
        await writer.drain()

    async with connected(slow, max_concurrent=2) as (client, server):
        days = [download(client) for _ in range(4)]
        calls = asyncio.gather(*days, *[client.status() for _ in range(4)])
        for _ in range(2):
            await asyncio.wait_for(arrived.acquire(), 5)
        await asyncio.sleep(0.05)
        assert len(server.asked) == 2
        release.set()
        await calls
        assert len(server.asked) == 8
        assert server.most_at_work == 2


async def test_a_slot_is_free_again_after_an_error_and_after_a_cancellation():
    async def stall(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path != "terminal/mdds/status":
            writer.write(response(200, b"symbol\n", length=1000))
            await asyncio.Event().wait()
        writer.write(response(200, b"CONNECTED"))
        await writer.drain()

    async with connected(stall, max_concurrent=1, stall_seconds=0.1) as (client, _):
        with pytest.raises(Transient):
            await download(client)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(download(client), 0.02)
        assert await client.status() == "CONNECTED"


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_no_terminal_ends_the_run_and_says_how_to_start_it():
    url = f"http://127.0.0.1:{closed_port()}/v3"
    async with ThetaClient(url, max_concurrent=1) as client:
        with pytest.raises(RunEnded) as caught:
            await download(client)
    for needed in ("is not running at", url, "java -jar ThetaTerminalv3.jar", "THETA_BASE_URL"):
        assert needed in str(caught.value)


async def test_a_terminal_that_answered_before_may_be_restarting():
    async with terminal(always(response(200, b"CONNECTED"))) as server:
        client = ThetaClient(server.base_url, max_concurrent=1)
        assert await client.status() == "CONNECTED"
    async with client:
        with pytest.raises(VendorDown, match="may be restarting"):
            await download(client)


async def test_no_message_and_no_url_shows_a_password():
    url = f"http://someone:hunter2@127.0.0.1:{closed_port()}/v3"
    async with ThetaClient(url, max_concurrent=1) as client:
        with pytest.raises(RunEnded) as caught:
            await download(client)
        assert "hunter2" not in client.url(REQUEST)
        assert "option/history/quote?symbol=QQQ&expiration=%2A" in client.url(REQUEST)
    assert "hunter2" not in str(caught.value)
    assert "someone" not in str(caught.value)


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with connected(always(response(200, b"connected\n"))) as (client, _):
        assert await client.status() == "CONNECTED"


async def test_listed_contracts_are_typed_whatever_their_spelling():
    async with connected(always(response(200, CONTRACTS))) as (client, server):
        listed = await client.listed_contracts(["QQQ"], DAY)
    assert listed is not None
    assert listed.rows() == [
        ("QQQ", date(2024, 1, 5), 400.0, "CALL"),
        ("QQQ", date(2024, 1, 5), 80.5, "PUT"),
    ]
    assert server.asked == [
        ("option/list/contracts/quote", {"symbol": "QQQ", "date": "20240103", "format": "csv"}),
    ]


@pytest.mark.parametrize("status", [403, 471])
async def test_a_tier_without_the_list_cannot_tell(status: int):
    async with connected(always(response(status, b"tier"))) as (client, _):
        assert await client.listed_contracts(["QQQ"], DAY) is None


async def test_a_day_without_a_list_lists_nothing():
    async with connected(always(response(472, b"No data found for your request"))) as (client, _):
        listed = await client.listed_contracts(["QQQ"], DAY)
    assert listed is not None
    assert listed.is_empty()


async def test_a_list_cut_inside_its_last_line_is_transient():
    async with connected(always(until_close(CONTRACTS[:-3]))) as (client, _):
        with pytest.raises(Transient, match="stopped short"):
            await client.listed_contracts(["QQQ"], DAY)


async def test_a_list_with_other_columns_is_rejected_and_never_half_understood():
    async with connected(always(response(200, CONTRACTS.replace(b"strike", b"price")))) as (client, _):
        with pytest.raises(DayEnded) as caught:
            await client.listed_contracts(["QQQ"], DAY)
    assert isinstance(caught.value.outcome, Rejected)


async def test_expirations_are_sorted():
    async with connected(always(response(200, EXPIRATIONS))) as (client, _):
        assert await client.expirations(["QQQ"]) == {"QQQ": [date(2024, 1, 5), date(2024, 1, 19)]}


async def test_waiting_ends_when_the_terminal_is_connected_and_serves_data():
    said = iter([b"DISCONNECTED", b"UNVERIFIED", b"CONNECTED", b"CONNECTED"])
    lists = iter([response(571, b"starting"), response(200, EXPIRATIONS)])

    async def recovering(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, next(said)) if path == "terminal/mdds/status" else next(lists))
        await writer.drain()

    async with connected(recovering) as (client, server):
        await client.wait_until_up("QQQ", seconds=10)
    status, expirations = "terminal/mdds/status", "option/list/expirations"
    assert [path for path, _ in server.asked] == [status, status, status, expirations, status, expirations]


async def test_waiting_survives_a_restart_of_the_terminal():
    answers = by_path({
        "terminal/mdds/status": response(200, b"CONNECTED"),
        "option/list/expirations": response(200, EXPIRATIONS),
    })  # fmt: skip
    async with terminal(answers) as server:
        client = ThetaClient(server.base_url, max_concurrent=1, poll_seconds=0.01)
        assert await client.status() == "CONNECTED"
    async with client:
        waiting = asyncio.create_task(client.wait_until_up("QQQ", seconds=10))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        async with terminal(answers, port=server.port):
            await waiting


async def test_waiting_is_bounded_and_says_what_was_last_heard():
    async with connected(always(response(200, b"DISCONNECTED"))) as (client, _):
        with pytest.raises(RunEnded, match=r"not back after 0 s \(last response: DISCONNECTED\)"):
            await client.wait_until_up("QQQ", seconds=0.1)


async def test_waiting_for_a_terminal_that_never_was_ends_at_once():
    async with ThetaClient(f"http://127.0.0.1:{closed_port()}/v3", max_concurrent=1) as client:
        with pytest.raises(RunEnded, match="is not running"):
            await client.wait_until_up("QQQ", seconds=60)


async def test_a_client_that_wants_real_data_refuses_the_sandbox_and_no_other_server() -> None:
    with SandboxTheta(contracts=4) as sandbox:
        async with ThetaClient(sandbox.base_url, max_concurrent=1, real_data_only=True) as client:
            with pytest.raises(RunEnded, match=r"synthetic.*DATA_ASSETS_PROFILE is live.*THETA_BASE_URL"):
                await client.listed_contracts(["QQQ"], DAY)
            with pytest.raises(RunEnded, match="synthetic"):
                await download(client)
        async with ThetaClient(sandbox.base_url, max_concurrent=1) as client:
            assert await download(client)
    async with (
        terminal(always(response(200, b"symbol\n"))) as server,
        ThetaClient(server.base_url, max_concurrent=1, real_data_only=True) as client,
    ):
        assert await download(client) == b"symbol\n"
