"""Objects of one bucket, read as over S3: moto's store, with a bucket of its own for each user of this module.

Here: putting objects, and answering a request that may be answered. Not here: who may ask, what goes wrong on the way
(`flat_files.bucket`), and the port (`wsgi_server`).

moto keeps everything in memory and in one place per process. A name that nobody else has keeps two buckets of one
process apart; the client sees the public name alone.
"""

from __future__ import annotations

from itertools import count
from threading import RLock
from typing import TYPE_CHECKING

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.test import run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status line without the protocol, headers, and the whole body."""

_PATHS = ("PATH_INFO", "REQUEST_URI", "RAW_URI")
# moto hides objects from whoever signs nothing; what is signed, and by whom, it does not look at.
_SIGNED = {"HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=sandbox/20240101/us-east-1/s3/aws4_request"}
_numbers = count(1)


class S3Objects:
    """A bucket with the public name ``bucket``, while its context is open. For use from several threads."""

    def __init__(self, bucket: str) -> None:
        self._public = bucket
        self._name = str(next(_numbers)).zfill(len(bucket))  # as long, so that no length changes with the name
        self._lock = RLock()
        self._app = create_backend_app("s3")

    def __enter__(self) -> S3Objects:
        self._store.create_bucket(self._name, "us-east-1")
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for name in list(self._store.get_bucket(self._name).keys):
                self._store.delete_object(self._name, name)
            self._store.delete_bucket(self._name)

    def put(self, name: str, body: bytes) -> None:
        """Create or replace the object with the key ``name``."""
        with self._lock:
            self._store.put_object(self._name, name, body)

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """The answer to a request whose path begins with the bucket's public name."""
        paths = {part: environ[part].replace(self._public, self._name, 1) for part in _PATHS if part in environ}
        with self._lock:
            pieces, status, headers = run_wsgi_app(self._app, {**environ, **paths, **_SIGNED}, buffered=True)
            body = b"".join(pieces)
        if headers.get("Content-Type", "").endswith("/xml"):
            body = body.replace(f">{self._name}<".encode(), f">{self._public}<".encode())
        return status, [(name, value) for name, value in headers if name.lower() != "server"], body

    @property
    def _store(self) -> S3Backend:
        backend: S3Backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        return backend
