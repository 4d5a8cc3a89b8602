"""Responses with status 200 that hold words instead of a table.

Here: telling the two apart by the first line, and what the words mean. Not here: statuses (``client``), and tables
(``schema``).

A terminal may say "no data" as text or as JSON with status 200, with or without a line end; a gateway in front of it
may send a web page. Read as a table, such a body would look cut in its header, and the vendor's meaning would be lost.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from data_assets.ingest.outcome import DayEnded, NoData, Transient
from data_assets.lake.errors import one_line

LONGEST = 4096
"""The most bytes that can be words; a longer body is read as a table."""

_SHOWN = 200
NO_DATA = re.compile(r"\bno[\s_-]*data(?![a-z])", re.IGNORECASE)
_NAME = re.compile(r"\S*")
_SOME_COLUMN = ("symbol", "expiration", "strike", "right", "timestamp", "date")
"""Every table that is requested of the terminal has one of these columns."""


async def table(chunks: AsyncIterator[bytes], asked: str) -> AsyncIterator[bytes]:
    """Return the whole body of a response once its first line is known to be a table's, or too long for words.

    Args:
        chunks: the body.
        asked: what was requested, for the reason.

    Raises:
        DayEnded: ``NoData``: the body says that there is no data.
        Transient: the body is other words, which the text shows.
    """
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) > LONGEST or _is_table(start):
            return _joined(start, chunks)
    refuse_words(start, asked)
    return _joined(start, chunks)


def refuse_words(body: bytes, asked: str) -> None:
    """Raise what `table` raises, for a body in memory."""
    if not body.strip() or len(body) > LONGEST or _is_table(body) or _begins_a_table(body):
        return
    said = one_line(body.decode("utf-8", errors="replace"), _SHOWN)
    if NO_DATA.search(said):
        raise DayEnded(NoData(f"Theta holds no data for {asked} (200: {said})"))
    cause = f"200: {re.sub('[0-9]+', '0', said)}"  # what is alike on different days
    raise Transient(f"{asked}: the terminal sent words instead of a table (200: {said})", cause=cause)


async def _joined(start: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if start:
        yield start
    async for chunk in chunks:
        yield chunk


def _names(body: bytes) -> tuple[list[str], str]:
    """The names in the first line that are complete, and what may go on."""
    line, line_end, _ = body[:LONGEST].partition(b"\n")
    names = [name.strip(' \r"') for name in line.decode("utf-8-sig", errors="replace").split(",")]
    return (names, "") if line_end else (names[:-1], names[-1])


def _is_table(body: bytes) -> bool:
    """Whether the first line holds one of the columns, and no sentence that names them."""
    names, _ = _names(body)
    return any(name in _SOME_COLUMN for name in names) and _NAME.fullmatch(names[0]) is not None


def _begins_a_table(body: bytes) -> bool:
    """Whether a line without an end may be a header that was cut."""
    names, cut = _names(body)
    return not names and any(name.startswith(cut) for name in _SOME_COLUMN)
