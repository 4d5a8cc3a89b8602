"""Small flat files over real S3 and in a folder, and a meter to count what is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from data_assets.sandbox.flat_file_bucket import FlatFileBucket
from data_assets.sandbox.flat_file_faults import FlatFileFault
from data_assets.sandbox.flat_files import FlatFiles
from data_assets.vendors.polygon.client import FlatFileStore

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
    return FlatFiles(now=now, faults=tuple(FlatFileFault.model_validate(fault) for fault in faults), **options)


def bucket(*faults: dict[str, Any], days: tuple[date, ...] = DAYS, **options: Any) -> FlatFileBucket:
    return FlatFileBucket(flat_files(*faults, **options), days=days, credentials=(KEY_ID, SECRET))


def store_of(served: FlatFileBucket | Path, url: str = "s3://flatfiles", **options: Any) -> FlatFileStore:
    if isinstance(served, Path):
        return FlatFileStore(served.as_uri(), **options)
    keys = {"key_id": KEY_ID, "secret": SECRET} | options
    return FlatFileStore(url, endpoint=served.endpoint, **keys)
