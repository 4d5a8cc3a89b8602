"""Servers on loopback, each in a thread of its own.

Here: starting, stopping and waiting for Ctrl-C, whatever the protocol, and the HTTP server. Not here: what is served.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType

from aiohttp import web

HOST = "127.0.0.1"

SYNTHETIC_SERVER = "data_assets-sandbox"
"""The `Server` header of every answer, by which a client that wants real data knows to refuse it."""

_GRACE_SECONDS = 0.1  # aiohttp takes 0 for no limit, and a stalled handler never ends by itself

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[int, Callable[[int], None], asyncio.Event], Awaitable[None]]


class PortTaken(OSError):
    """Another program listens on the port; the text says which port and what to do."""


class ServerThread:
    """Runs one server in a thread and an event loop of its own, while its context is open.

    Args:
        serve: called as ``serve(port, started, stop)`` in the thread's loop: listens, calls ``started`` with the port
            it got, and cleans up once ``stop`` is set. An OSError before ``started`` is taken for the port's.
        port: 0 for any free one.

    Raises:
        PortTaken: on entering, when the port cannot be served.
        BaseException: on leaving, what ``serve`` failed with in the meantime.
    """

    def __init__(self, serve: Serve, port: int = 0) -> None:
        self._serve = serve
        self._wanted_port = port
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-server", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is listened on, known while the context is open."""
        return self._port

    def __enter__(self) -> ServerThread:
        self._thread.start()
        self._started.wait()
        if self._failure is None:
            return self
        self._thread.join()
        if isinstance(self._failure, OSError):
            raise PortTaken(
                f"port {self._wanted_port} cannot be served ({self._failure.strerror}): "
                "stop what listens there, the vendor's own program perhaps, or take another port"
            ) from self._failure
        raise self._failure

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has closed: the server failed in the meantime
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._run_loop())
        except BaseException as error:  # noqa: BLE001  raised again by the thread that started this one
            self._failure = error
        finally:
            self._started.set()

    async def _run_loop(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._serve(self._wanted_port, self._on_started, self._stop)

    def _on_started(self, port: int) -> None:
        self._port = port
        self._started.set()


class LoopbackServer:
    """Serves every GET with one handler, from its own thread and event loop, while its context is open.

    A handler whose client leaves is cancelled.
    """

    def __init__(self, handler: Handler, port: int = 0, *, says_synthetic: bool = True) -> None:
        self._handler = handler
        self._says_synthetic = says_synthetic
        self._thread = ServerThread(self._serve, port)

    @property
    def port(self) -> int:
        """The port that is listened on, known while the context is open."""
        return self._thread.port

    def __enter__(self) -> LoopbackServer:
        self._thread.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.__exit__()

    async def _serve(self, port: int, started: Callable[[int], None], stop: asyncio.Event) -> None:
        app = web.Application()
        if self._says_synthetic:
            app.on_response_prepare.append(_say_synthetic)
        app.router.add_get("/{path:.*}", self._handler, allow_head=False)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_GRACE_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            started(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()


async def _say_synthetic(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SYNTHETIC_SERVER


def wait_for_interrupt() -> None:
    """Return when the process is asked to stop, by Ctrl-C or by SIGTERM. For the main thread."""
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        asked.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
