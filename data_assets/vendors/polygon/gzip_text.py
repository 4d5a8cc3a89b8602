"""Gzip: whether bytes are a whole file, how its text begins, and its text piece by piece.

Here: decompression, and the checksum and length at the end of every member (RFC 1952). Not here: what the text says
(``schema``).

What mirrors made by hand put around a file is passed over where it says nothing: several members, zeros behind the last
one (as tapes and block devices pad), and blank lines at the end of the text.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator

from isal import isal_zlib

from data_assets.lake.errors import one_line

_GZIP = zlib.MAX_WBITS | 16
_FIRST_LINE_BYTES = 1 << 16
_MAGIC = b"\x1f\x8b"
_HEAD_BYTES = 40
_STEP_BYTES = 1 << 20  # about 5 MB of text; with half of it, and with twice as much, a day takes longer


class GzipCheck:
    """Decompresses a file as it arrives, keeps nothing of it, and tells whether it was whole."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._member_begins = b""
        self._is_first = True
        self._head = b""
        self._damage: str | None = None
        self._line_ends = 0
        self._end = b""  # carriage returns and line ends at the end of the text so far

    @property
    def lines(self) -> int:
        """Line ends in the text so far, without those of blank lines at its end."""
        return self._line_ends - max(0, self._end.count(b"\n") - 1)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._head += data[: _HEAD_BYTES - len(self._head)]
        while data and self._damage is None:
            if self._member.eof:  # a gzip file may be several, one after another
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._member, self._member_begins, self._is_first = zlib.decompressobj(_GZIP), b"", False
            self._member_begins += data[: len(_MAGIC) - len(self._member_begins)]
            try:
                self._count(self._member.decompress(data))
            except zlib.error as error:
                self._damage = f"the gzip file is damaged ({error})"
            data = self._member.unused_data

    def _count(self, text: bytes) -> None:
        self._line_ends += text.count(b"\n")
        stripped = len(text.rstrip(b"\r\n"))
        self._end = text[stripped:] if stripped else self._end + text

    def problem(self) -> str | None:
        """What is wrong with the file, now that all of it has arrived; None if nothing is."""
        if self._damage is None:
            cut = "the gzip file is cut short" if self._head else "the file is empty"
            return None if self._member.eof else cut
        if self._member_begins == _MAGIC:
            return self._damage
        return _not_gzip(self._head) if self._is_first else "bytes of something else follow the gzip file"


def _not_gzip(head: bytes) -> str:
    is_text = all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head.removeprefix(b"\xef\xbb\xbf"))
    begins = one_line(head.decode("utf-8", errors="replace"), _HEAD_BYTES) if is_text else head[:4].hex(" ")
    what = "text that is not compressed" if is_text else "no gzip file"
    return f"it is {what}, and begins with {begins}"


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
                step = bytes(step).lstrip(b"\0")
                if not step:
                    break
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


def unpacked(data: bytes) -> bytes:
    """All of the text inside a whole file."""
    with gzip.open(io.BytesIO(data)) as text:
        return text.read()
