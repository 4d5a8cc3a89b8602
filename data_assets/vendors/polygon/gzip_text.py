"""Gzip: whether bytes are a whole file, how its text begins, and its text piece by piece.

Here: decompression, and the checksum and length at the end of every member (RFC 1952). Not here: what the text says
(``schema``).
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator

from isal import isal_zlib

_GZIP = zlib.MAX_WBITS | 16
_FIRST_LINE_BYTES = 1 << 16
_STEP_BYTES = 1 << 20  # about 5 MB of text; with half of it, and with twice as much, a day takes longer


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


def first_line(data: bytes) -> bytes:
    """The first line of the text inside a file, with its line end; nothing where 64 KB have none or are damaged."""
    try:
        with gzip.open(io.BytesIO(data)) as text:
            line = text.readline(_FIRST_LINE_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error):  # it was whole when it was fetched; the digest tells
        return b""
    return line if line.endswith(b"\n") else b""


def pieces(data: bytes, header: bytes) -> Iterator[bytes]:
    """The text inside a whole file, some megabytes at a time, each piece but perhaps the last with its line end.

    ISA-L takes half the time of zlib.

    Args:
        data: the file.
        header: its first line, with which every piece begins.

    Raises:
        isal.igzip_lib.IsalError: it does not understand the header of a member, though the file is whole.
    """
    begun, member = b"", isal_zlib.decompressobj(_GZIP)
    for start in range(0, len(data), _STEP_BYTES):
        step: bytes | memoryview = memoryview(data)[start : start + _STEP_BYTES]
        while step:
            if member.eof:
                member = isal_zlib.decompressobj(_GZIP)
            text = member.decompress(step)
            step = member.unused_data
            if end := text.rfind(b"\n") + 1:
                yield b"".join((begun, memoryview(text)[:end]))
                begun = header + text[end:]
            else:
                begun += text
    if begun != header:
        yield begun
