"""A terminal of raw bytes: what it sends is written down in the test, to the last byte and the last pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import httpx

Answer = Callable[[str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Terminal:
    """A listening server, what it was asked, and how many requests it was working on at once."""

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    at_work: int = 0
    most_at_work: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3"


@asynccontextmanager
async def terminal(answer: Answer, port: int = 0) -> AsyncIterator[Terminal]:
    """Serve `answer`, one request per connection."""
    state = Terminal()
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        state.at_work += 1
        state.most_at_work = max(state.most_at_work, state.at_work)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            parts = urlsplit(head.split(" ")[1])
            query = dict(parse_qsl(parts.query))
            path = parts.path.removeprefix("/v3/")
            state.asked.append((path, query))
            state.headers.append(head)
            await answer(path, query, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            state.at_work -= 1
            handlers.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def response(status: int, body: bytes, *, length: int | None = None) -> bytes:
    """A whole answer; `length` claims another content length than the body has."""
    size = len(body) if length is None else length
    return (
        f"HTTP/1.1 {status} Whatever\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def until_close(body: bytes) -> bytes:
    """An answer without any length: its end is the connection's end, so a cut looks like a clean end."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\n" + body


def always(data: bytes) -> Answer:
    """Answer every request with these bytes."""

    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return answer


def by_path(answers: dict[str, bytes]) -> Answer:
    """Answer by path; an unknown one gets 404."""

    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(answers.get(path, response(404, b"no such path")))
        await writer.drain()

    return answer


def in_place_of(base_url: str, answers: dict[str, bytes]) -> Answer:
    """Answer the requests for some paths with these bytes, and all others as the server at `base_url` does."""

    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path in answers:
            writer.write(answers[path])
        else:
            async with httpx.AsyncClient(verify=False) as client:
                asked = await client.get(f"{base_url}/{path}", params=query)
            writer.write(response(asked.status_code, asked.content))
        await writer.drain()

    return answer
