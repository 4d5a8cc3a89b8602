"""A WSGI application on a loopback port, each request in a thread of its own.

Here: starting, stopping, and how a connection ends. Not here: what is served. The other servers of the sandbox are
asynchronous (`loopback`); what speaks WSGI, as moto does, is served here.
"""

from __future__ import annotations

import socket
import struct
from threading import Thread
from typing import TYPE_CHECKING

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from data_assets.sandbox.loopback import HOST, PortTaken

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_NO_LINGER = struct.pack("ii", 1, 0)
_POLL_SECONDS = 0.02


class WsgiServer:
    """Serves ``app`` from threads of its own while its context is open.

    Args:
        app: called once for each request, from several threads.
        port: 0 for any free one.
        server_header: the ``Server`` header of every answer; None for that of the library.

    Raises:
        PortTaken: on entering, when something else listens on ``port``.
    """

    def __init__(self, app: WSGIApplication, port: int = 0, server_header: str | None = None) -> None:
        self._app = app
        self._server_header = server_header
        self._wanted_port = port
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, known once the context has been entered."""
        return self._server.port if self._server is not None else 0

    def __enter__(self) -> WsgiServer:
        try:
            listener = socket.create_server((HOST, self._wanted_port))
        except OSError as error:
            raise PortTaken(
                f"port {self._wanted_port} cannot be served ({error.strerror}): stop what listens there, "
                "or take another port"
            ) from error
        with listener:
            self._server = _Server(HOST, 0, self._app, _Quiet, fd=listener.fileno())
            self._server.server_header = self._server_header
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="sandbox-wsgi", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def reset_when_closed(environ: WSGIEnvironment) -> None:
    """Let the request's connection end with a RST, which throws away what the client has not read yet."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


class _Server(ThreadedWSGIServer):
    daemon_threads = True
    server_header: str | None = None

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close at once: the orderly goodbye that is usual here would come before a reset."""
        self.close_request(request)


class _Quiet(WSGIRequestHandler):
    server: _Server

    def version_string(self) -> str:
        return self.server.server_header or super().version_string()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The application keeps its own record."""
