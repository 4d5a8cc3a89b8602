"""Gzip: whether bytes are a whole file, and the text inside.

Here: decompression, and the checksum and length at the end of every member (RFC 1952). Not here: what the text says
(``schema``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

PIECE_BYTES = 8 << 20

_GZIP = zlib.MAX_WBITS | 16


class DamagedGzip(ValueError):
    """These bytes are no whole gzip file."""


class GzipCheck:
    """Decompresses a file as it arrives, keeps nothing of it, and tells whether it was whole.

    Attributes:
        lines: line ends in the text so far.
    """

    def __init__(self) -> None:
        self.lines = 0
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False
        self._problem: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        while data and self._problem is None:
            if self._member.eof:  # a gzip file may be several, one after another
                self._member = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                self.lines += self._member.decompress(data).count(b"\n")
            except zlib.error as error:
                self._problem = f"the gzip file is damaged ({error})"
            data = self._member.unused_data

    def problem(self) -> str | None:
        """What is wrong with the file, now that all of it has arrived; None if nothing is."""
        if self._problem is None and not self._member.eof:
            return "the gzip file is cut short" if self._begun else "the file is empty"
        return self._problem


def gunzip(data: bytes) -> Iterator[bytes]:
    """The text of a whole file, in pieces; the next one is made by another thread while the caller uses this one.

    Raises:
        DamagedGzip: while the pieces are taken; the file is damaged or cut short.
    """
    pieces = _pieces(data)
    with ThreadPoolExecutor(1, "gunzip") as thread:
        coming = thread.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, pieces, None)
            yield piece


def _pieces(data: bytes) -> Iterator[bytes]:
    begun = False
    while data or not begun:
        begun, member = True, zlib.decompressobj(_GZIP)
        while not member.eof:
            try:
                piece = member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise DamagedGzip(f"the gzip file is damaged ({error})") from None
            data = member.unconsumed_tail
            if not (piece or data or member.eof):
                raise DamagedGzip("the gzip file is cut short")
            yield piece
        data = member.unused_data
