"""What a table holds, in a form that two engines can be compared by, whatever they call their types.

Here: the standard library alone, for this runs beside each engine in its own environment. Not here: reading anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote
from zlib import crc32

DOUBLE, INT64, INT16, TEXT, DATE, INSTANT, BOOLEAN = "double", "int64", "int16", "text", "date", "instant", "boolean"
FOLDERS = ("date", "ticker_folder", "month")
"""Columns that are in no file, but in the names of the folders. Engines guess their types."""

Content = dict[str, Any]


def content_of(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str]) -> Content:
    """What a table holds, whatever the order of its rows.

    Args:
        columns: each column's Python values: int, float, str, bool, date, datetime (UTC where it has no zone) or None.
        kinds: each column's kind, one of those above, or what the engine calls it; that of `FOLDERS` is not looked at.

    Returns:
        ``rows``, their number; ``values``, a digest of all rows; ``columns``, of each its kind, its nulls and a sum
        over its values, which tells where a difference lies; ``folders``, the distinct texts of each column of
        `FOLDERS`.
    """
    names = sorted(set(columns) - set(FOLDERS))
    spelled = {name: _spelled(columns[name]) for name in names}
    digest = 0
    for row in zip(*spelled.values(), strict=True):
        digest += int.from_bytes(blake2b("\0".join(row).encode(), digest_size=16).digest(), "big")
    return {
        "rows": len(spelled[names[0]]),
        "values": f"{digest % 2**128:032x}",
        "columns": {
            name: {
                "kind": kinds[name],
                "nulls": spelled[name].count(""),
                "sum": sum(crc32(text.encode()) for text in spelled[name]),
            }
            for name in names
        },
        "folders": {name: _folders(columns[name]) for name in FOLDERS if name in columns},
    }


def _folders(values: Iterable[Any]) -> list[str]:
    return sorted(unquote(str(value)) for value in set(values))


def _spelled(values: Sequence[Any]) -> list[str]:
    """One text for one value, and none for no value; most values come often."""
    if any(isinstance(value, float) for value in values):
        return [_number(value) for value in values]  # no dictionary tells 0.0 from -0.0
    texts = {value: _text(value) for value in set(values)}
    return [texts[value] for value in values]


def _number(value: float | None) -> str:
    """Exact; a whole number is spelled as an integer is, for the column's kind tells them apart."""
    if value is None:
        return ""
    text = repr(value)
    return text.removesuffix(".0") if text != "-0.0" else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC).isoformat(timespec="microseconds")
    return f"'{value}'" if isinstance(value, str) else str(value)
