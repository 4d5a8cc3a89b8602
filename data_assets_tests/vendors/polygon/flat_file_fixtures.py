"""Small flat files over real S3 and in a folder, and a meter to count what is downloaded."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from data_assets.sandbox.flat_files.bucket import FlatFileBucket
from data_assets.sandbox.flat_files.faults import FlatFileFault
from data_assets.sandbox.flat_files.files import FlatFiles
from data_assets.vendors.polygon.client import FlatFileStore, Listed
from data_assets_tests.vendors.polygon.remembered_files import RememberedFiles

DAY = date(2024, 1, 3)
DAYS = (date(2024, 1, 2), DAY, date(2024, 1, 4), date(2024, 1, 5))
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY_ID, SECRET = "the-key-id-of-nobody", "the-secret-of-nobody"


@dataclass
class Meter:
    bytes: int = 0
    rows: int = 0

    def received(self, size: int) -> None:
        self.bytes += size

    def parsed(self, rows: int) -> None:
        self.rows += rows


def flat_files(*faults: dict[str, Any], now: Callable[[], datetime] = lambda: NOW, **options: Any) -> FlatFiles:
    return RememberedFiles(now=now, faults=tuple(FlatFileFault.model_validate(fault) for fault in faults), **options)


def bucket(*faults: dict[str, Any], days: tuple[date, ...] = DAYS, **options: Any) -> FlatFileBucket:
    return FlatFileBucket(flat_files(*faults, **options), days=days, credentials=(KEY_ID, SECRET))


def store_of(served: FlatFileBucket | Path, url: str = "s3://flatfiles", **options: Any) -> FlatFileStore:
    if isinstance(served, Path):
        return FlatFileStore(served.as_uri(), **options)
    keys = {"key_id": KEY_ID, "secret": SECRET} | options
    return FlatFileStore(url, endpoint=served.endpoint, **keys)


async def body(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def first_listed(store: FlatFileStore, day: date = DAY) -> Listed:
    listed = await store.listed(day)
    assert listed is not None
    return listed


@contextmanager
def raw_server(answer: bytes | None, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answers every connection with these bytes and its end; with None, with silence."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    connection.recv(65536)
                except OSError:  # a client that does not trust the certificate
                    continue
                held.append(connection)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        for connection in held:
            connection.close()


def at(endpoint: str, **options: object) -> FlatFileStore:
    return FlatFileStore("s3://flatfiles", endpoint=endpoint, key_id=KEY_ID, secret=SECRET, **options)
