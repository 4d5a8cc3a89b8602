"""A folder of days in which no other day than one can be read: whatever still answers has opened no other file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unreadable_but(day: str, folder: Path) -> Iterator[None]:
    """Hold the other days' files aside for as long as it lasts."""
    files = [path for path in folder.rglob("date=*/*.parquet") if path.parent.name != f"date={day}"]
    aside = folder.with_name(f"{folder.name}.aside")
    aside.mkdir()
    kept = {aside / f"{number}": path for number, path in enumerate(files)}
    try:
        for place, path in kept.items():
            path.rename(place)
            path.write_bytes(b"no Parquet")
        yield
    finally:
        for place, path in kept.items():
            if place.exists():
                place.replace(path)
        aside.rmdir()
