"""A TWS by hand, for what no server says by itself: a script answers each message of a client.

The script is called with the message's fields and with ``say``, which sends one message; it may await, and returns
whether it took the message. What it leaves (the contract of AAPL, a head timestamp, positions, the time) is answered as
a TWS would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from data_assets.sandbox.tws.wire import SERVER_VERSION, ClientBytes, Field, fields, message

Say = Callable[..., None]
Script = Callable[[list[str], Say], Awaitable[bool]]

DETAILS = (
    *("AAPL", "STK", "", "0", "", "SMART", "USD", "AAPL", "NMS", "NMS", 265598, "0.01", "", "LMT", "SMART", 1, 0),
    *("APPLE INC", "NASDAQ", "", "", "", "", "US/Eastern", "", "", "", "", 0),
    *(1, "", "", "26", "", "COMMON", "0.0001", "0.0001", "100"),
)
HEAD = 345_479_400  # 1980-12-12 14:30 UTC


@dataclass
class HandTws:
    port: int = 0
    connections: int = 0
    messages: list[list[str]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def numbers(self) -> list[str]:
        return [message[0] for message in self.messages]

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()


async def no_script(_message: list[str], _say: Say) -> bool:
    return False


@asynccontextmanager
async def hand_tws(
    script: Script = no_script, *, account: str = "DU1234567", greets: bool = True
) -> AsyncIterator[HandTws]:
    """Serve until the context is left; without greeting, connections are accepted and never answered."""
    tws = HandTws()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tws.connections += 1
        tws.writers.append(writer)
        incoming = ClientBytes()
        tasks = set()

        def say(*values: Field) -> None:
            writer.write(message(*values))

        greeted = False
        while data := await reader.read(65536):
            if not greets:
                continue
            for payload in incoming.feed(data):
                if not greeted:
                    greeted = True
                    say(SERVER_VERSION, "20240103 09:00:00 EST")
                    continue
                task = asyncio.create_task(answer(fields(payload), say))
                tasks.add(task)
        for task in tasks:
            task.cancel()
        writer.close()

    async def answer(asked: list[str], say: Say) -> None:
        tws.messages.append(asked)
        if await script(asked, say):
            return
        match asked[0]:
            case "71":
                say(15, 1, account)
                say(9, 1, 1)
            case "61":
                say(62, 1)
            case "49":
                say(49, 1, 1_700_000_000)
            case "9":
                say(10, asked[2], *DETAILS)
                say(52, 1, asked[2])
            case "87":
                say(88, asked[1], HEAD)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tws.port = server.sockets[0].getsockname()[1]
    try:
        yield tws
    finally:
        server.close()
        tws.hang_up()
        with suppress(Exception):
            await server.wait_closed()


def bars_message(req_id: str, *starts: int, price: float = 100.0) -> tuple[Field, ...]:
    """Message 17 with a flat bar of 100 shares at each of the instants, seconds since 1970."""
    rows = [(start, price, price, price, price, 100, price, 1) for start in starts]
    return (17, req_id, "", "", len(rows), *(value for row in rows for value in row))
