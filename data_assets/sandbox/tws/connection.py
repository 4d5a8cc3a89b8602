"""One client's connection to the simulated TWS.

Here: the handshake, the limit on messages, and getting answers onto the wire, whole or broken. Not here: what is
answered (``tws.server``), and the bytes (``tws.wire``).

The handshake as ib_async 2.1 speaks it: the client says its versions, the server its own and its time; the client says
its number (message 71), the server the accounts (15), the next valid request (9) and the state of the data farms (4).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Protocol, cast

from data_assets.sandbox.tws.pacing import MessageRate
from data_assets.sandbox.tws.wire import SERVER_VERSION, ClientBytes, Field, NotTws, fields, message, versions

SYSTEM = -1
"""The request number of what concerns no request."""

_START_API = "71"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LENGTH_BYTES = 4
_ENDLESS = 2**31 - 1


class Office(Protocol):
    """What stands behind the connections."""

    def server_time(self) -> str:
        """The time as the handshake shows it."""

    def new_rate(self) -> MessageRate:
        """The counter of a new client's messages."""

    def joined(self, connection: Connection) -> bool:
        """A client has said its number; False turns it away."""

    def received(self, connection: Connection, message: list[str]) -> None:
        """A client has sent a message."""

    def left(self, connection: Connection) -> None:
        """A connection has ended."""


class Connection(asyncio.Protocol):
    """The server's end of one client's socket.

    Attributes:
        client_id: the client's number; None before it has said it, and for ever if it is turned away.
    """

    def __init__(self, office: Office) -> None:
        self.client_id: int | None = None
        self._office = office
        self._bytes = ClientBytes()
        self._rate = office.new_rate()
        self._greeted = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Called by asyncio."""
        self._transport = None
        self._office.left(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            for payload in self._bytes.feed(data):
                if self._transport is None or self._transport.is_closing():
                    return
                if self._greeted:
                    self._take(fields(payload))
                else:
                    self._greet(payload)
        except NotTws:
            self.close()

    def send(self, *values: Field) -> None:
        """Send one message; nothing if the client has gone."""
        if self._transport is not None:
            self._transport.write(message(*values))

    def error(self, req_id: int, code: int, text: str) -> None:
        """Send an error or a notice, which are one kind of message."""
        self.send(4, 2, req_id, code, text, "")

    def close(self) -> None:
        """End the connection when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """End the connection at once, whatever is not sent yet."""
        if self._transport is not None:
            self._transport.abort()

    def break_off(self, *values: Field, reset: bool) -> None:
        """Send the first half of one message and end the connection, with a RST or with a FIN."""
        if self._transport is None:
            return
        whole = message(*values)
        self._transport.write(whole[: len(whole) // 2])
        if not reset:
            self._transport.close()
            return
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def begin_endless(self, *values: Field) -> None:
        """Send one message as the beginning of a far longer one, which does not go on."""
        if self._transport is not None:
            payload = message(*values)[_LENGTH_BYTES:]
            self._transport.write(_ENDLESS.to_bytes(_LENGTH_BYTES, "big") + payload)

    def _greet(self, hello: bytes) -> None:
        lowest, highest = versions(hello)
        if not lowest <= SERVER_VERSION <= highest:
            raise NotTws(f"versions {lowest} to {highest} without {SERVER_VERSION}")
        self._greeted = True
        self.send(SERVER_VERSION, self._office.server_time())

    def _take(self, message: list[str]) -> None:
        if not self._rate.admits():
            self.error(SYSTEM, 100, f"Max rate of messages per second has been exceeded ({self._rate.violations})")
            if self._rate.broken_too_often:
                self.close()
        elif self.client_id is not None:
            self._office.received(self, message)
        else:
            self._join(message)

    def _join(self, message: list[str]) -> None:
        if message[0] != _START_API or len(message) < 3 or not message[2].isdecimal():
            raise NotTws(f"message {message[0]!r} before the client has said its number")
        self.client_id = int(message[2])
        if not self._office.joined(self):
            self.client_id = None
            self.error(
                SYSTEM, 326, "Unable to connect as the client id is already in use. Retry with a unique client id."
            )
            self.close()
