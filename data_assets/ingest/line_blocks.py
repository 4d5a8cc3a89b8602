"""Cutting a stream of bytes into blocks of whole lines, so that a body is parsed while the rest of it arrives.

Here: where to cut, for any vendor whose bodies are lines of text that end in LF or CRLF and hold no line end inside a
quoted field. Not here: reading the stream, and what the lines mean.
"""

from __future__ import annotations

from data_assets.counts import count_of

BLOCK_SIZE = 16 * 1024 * 1024
_LINE_END = b"\n"


class LineTooLong(ValueError):
    """A whole block has no line end, so this is not a text of lines."""


class LineBlocks:
    """Collects chunks as they arrive and returns them as blocks of whole lines.

    The blocks, in order, followed by what ``finish`` returns are the stream, byte for byte. A block is cut once
    ``size`` bytes are there, so at most ``size`` bytes and one chunk are held.
    """

    def __init__(self, size: int = BLOCK_SIZE) -> None:
        """Cut blocks of about ``size`` bytes; a line may not be longer than that."""
        self._size = size
        self._chunks: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> bytes | None:
        """Take the next bytes of the stream, and return a block when one is full.

        Raises:
            LineTooLong: ``size`` bytes hold no line end.
        """
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held < self._size:
            return None
        block, tail = self._cut()
        if not block:
            raise LineTooLong(f"{count_of(len(tail), 'byte')} without a line end")
        self._chunks, self._held = [tail], len(tail)
        return block

    def finish(self) -> tuple[bytes, bytes]:
        """Return the whole lines that are left at the end of the stream, and what follows the last line end."""
        lines, tail = self._cut()
        self._chunks, self._held = [], 0
        return lines, tail

    def _cut(self) -> tuple[bytes, bytes]:
        """Cut after the last line end; each byte is copied once, as blocks are large."""
        for number in reversed(range(len(self._chunks))):
            if end := self._chunks[number].rfind(_LINE_END) + 1:
                lines, first = self._chunks[: number + 1], self._chunks[number]
                lines[number] = first[:end]
                return b"".join(lines), b"".join([first[end:], *self._chunks[number + 1 :]])
        return b"", b"".join(self._chunks)
