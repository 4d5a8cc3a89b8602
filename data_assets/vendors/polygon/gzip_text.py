"""Gzip: whether bytes are a whole file, how its text begins, and its text piece by piece.

Here: decompression, and the checksum and length at the end of every member (RFC 1952). Not here: what the text says
(``schema``).

What mirrors made by hand add to a file is ignored if it means nothing: several members, zeros behind the last one (as
tapes and block devices pad), and blank lines at the end of the text.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any

from isal import isal_zlib

from data_assets.ingest.day_bounds import DayBounds
from data_assets.lake.errors import one_line

_GZIP = zlib.MAX_WBITS | 16
_FIRST_LINE_BYTES = 1 << 16
MAGIC = b"\x1f\x8b"
_HEAD_BYTES = 40
_TEXT_BYTES = 1 << 24  # held of decompressed text at once, whatever a file makes of few bytes
_LINE_BYTES = 1 << 20
_STEP_BYTES = 1 << 20  # about 5 MB of text; with half of it, and with twice as much, a day takes longer


class GzipCheck:
    """Decompresses a file as it arrives, a bounded piece at a time, keeps nothing, and tells whether it was whole.

    Attributes:
        excess: why the file is larger than a day can be; None while it is not. Once set, decompression stops.
        text_size: bytes of the text so far.
    """

    def __init__(self, bounds: DayBounds | None = None) -> None:
        """Begin a file; without `bounds` a text may be as large as it likes."""
        self.excess: str | None = None
        self.text_size = 0
        self._bounds = bounds
        self._line = 0  # bytes since the last line end
        self._member = zlib.decompressobj(_GZIP)
        self._member_begins = b""
        self._is_first = True
        self._head = b""
        self._damage: str | None = None
        self._line_ends = 0
        self._at_end = 0  # line ends behind the last character of the text so far that is none

    @property
    def lines(self) -> int:
        """Line ends in the text so far, without those of blank lines at its end."""
        return self._line_ends - max(0, self._at_end - 1)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._head += data[: _HEAD_BYTES - len(self._head)]
        while data and self._damage is None and self.excess is None:
            if self._member.eof:  # a gzip file may be several, one after another
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._member, self._member_begins, self._is_first = zlib.decompressobj(_GZIP), b"", False
            self._member_begins += data[: len(MAGIC) - len(self._member_begins)]
            try:
                for text in _texts(self._member, data):
                    self._count(text)
                    if self.excess is not None:
                        return
            except zlib.error as error:
                self._damage = f"the gzip file is damaged ({error})"
            data = self._member.unused_data

    def _count(self, text: bytes) -> None:
        self.text_size += len(text)
        line_end = text.find(b"\n")
        if self._line + (len(text) if line_end < 0 else line_end) > _LINE_BYTES:
            self.excess = f"a line of it is longer than {_LINE_BYTES:,} bytes: it is no CSV"
        self._line = self._line + len(text) if line_end < 0 else len(text) - text.rfind(b"\n") - 1
        self._line_ends += text.count(b"\n")
        stripped = len(text.rstrip(b"\r\n"))
        self._at_end = text.count(b"\n", stripped) + (0 if stripped else self._at_end)
        if self._bounds is not None and self.excess is None:
            self.excess = self._bounds.excess(max(0, self._line_ends - 1), self.text_size)

    def problem(self) -> str | None:
        """What is wrong with the file, now that all of it has arrived; None if nothing is."""
        if self._damage is None:
            cut = "the gzip file is cut short" if self._head else "the file is empty"
            return None if self._member.eof else cut
        if self._member_begins == MAGIC:
            return self._damage
        return _not_gzip(self._head) if self._is_first else "bytes of something else follow the gzip file"

    @property
    def is_unpacked(self) -> bool:
        """Whether what arrived is text without compression, and no web page: a client unpacked what it fetched."""
        begins_otherwise = self._damage is not None and self._is_first and self._member_begins != MAGIC
        return begins_otherwise and _is_text(self._head) and not self._head.lstrip().startswith(b"<")


def _texts(member: Any, data: bytes | memoryview) -> Iterator[bytes]:
    """What a decompressor makes of bytes, in pieces of at most `_TEXT_BYTES`."""
    while True:
        text = member.decompress(data, _TEXT_BYTES)
        yield text
        data = member.unconsumed_tail
        if member.eof or (not data and len(text) < _TEXT_BYTES):
            return


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head.removeprefix(b"\xef\xbb\xbf"))


def _not_gzip(head: bytes) -> str:
    is_text = _is_text(head)
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
            for text in _texts(member, step):
                if end := text.rfind(b"\n") + 1:
                    yield b"".join((begun, memoryview(text)[:end]))
                    begun = header + text[end:]
                else:
                    begun += text
            step = member.unused_data
    if begun != header:
        yield begun


def unpacked(data: bytes) -> bytes:
    """All of the text inside a whole file."""
    with gzip.open(io.BytesIO(data)) as text:
        return text.read()
