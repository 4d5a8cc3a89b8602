"""How httpx moves bytes to and from the terminal: through aiohttp, which reads large bodies at half the cost.

Here: one request and its answer's bytes, in httpx's terms. Not here: which requests, and what a status means
(``client``).

httpx's own transport reads 64 KiB at a time through a parser in Python and copies each byte several times, which for a
day of 190 MB is a quarter of a second of processor time. A transport is httpx's own place to put another in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import httpx
import yarl

from data_assets.ingest.waiting import waiting_for_an_answer

READ_AHEAD = 2 << 20
"""Bytes of a body that are held before they are asked for; with fewer, reading stops and starts too often."""

READ_BYTES = 1 << 20
"""Bytes that are asked of the system at once. asyncio's own quarter of that wakes its loop up four times as often and
costs a day of 190 MB a twentieth of its processor time."""

_TERMINAL = "the Theta Terminal"


class LargeBodies(httpx.AsyncBaseTransport):
    """A transport for few requests with large answers. Redirects, cookies and proxies are not its business."""

    def __init__(self) -> None:
        """Prepare a transport; the first request opens it, in the event loop that it is used in."""
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx; the timeouts are those of the request, for connecting and between two reads."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_AHEAD,
                auto_decompress=False,
            )
        limits = request.extensions["timeout"]
        url = str(request.url.copy_with(userinfo=b""))  # httpx has made a header of it
        with _httpx_errors(request), waiting_for_an_answer(_TERMINAL, limits["read"]):
            answer = await self._session.request(
                request.method,
                yarl.URL(url, encoded=True),
                headers=request.headers.multi_items(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=limits["connect"], sock_read=limits["read"]),
            )
        _read_more_at_once(answer)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer, request))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _read_more_at_once(answer: aiohttp.ClientResponse) -> None:
    """Let asyncio's transport ask for `READ_BYTES`; those of other event loops have no such number, or a fixed one."""
    transport: Any = answer.connection and answer.connection.transport
    if hasattr(transport, "max_size"):
        with suppress(AttributeError):
            transport.max_size = READ_BYTES


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer, self._request = answer, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors(self._request):
            chunks = self._answer.content.iter_any()
            while (chunk := await self._next(chunks)) is not None:
                yield chunk

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        with waiting_for_an_answer(_TERMINAL, self._request.extensions["timeout"]["read"]):
            return await anext(chunks, None)

    async def aclose(self) -> None:
        self._answer.close()  # the connection is used again only if the body was read to its end


@contextmanager
def _httpx_errors(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ReadTimeout(str(error), request=request) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error), request=request) from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.RemoteProtocolError(str(error), request=request) from error
    except aiohttp.ClientError as error:
        raise httpx.ReadError(str(error), request=request) from error
