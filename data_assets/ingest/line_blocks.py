"""Cutting a stream of bytes into blocks of whole lines, so that a body is parsed while the rest of it arrives.

Here: where to cut, for any vendor whose bodies are lines of text that end in LF or CRLF and hold no line end inside a
quoted field. Not here: reading the stream, and what the lines mean.
"""

from __future__ import annotations

from data_assets.counts import count_of

BLOCK_SIZE = 16 * 1024 * 1024
FIRST_BLOCK_SIZE = 2 * 1024 * 1024
_LINE_END = b"\n"
_SMALL = 64  # chunks below such a part of a block are joined, because each piece costs its reader something


class LineTooLong(ValueError):
    """A whole block has no line end, so this is not a text of lines."""


class LineBlocks:
    """Collects chunks as they arrive and returns them as blocks of whole lines.

    A block is a list of pieces, which are of whole lines too. Most are views of a chunk, where it lies. A line that
    crosses two chunks is a piece of its own, as are the lines of several small chunks: these are joined.

    The pieces, in order, followed by what ``finish`` returns are the stream, byte for byte. A block is cut once
    ``size`` bytes are there, so at most ``size`` bytes and one chunk are held. The first blocks are smaller, each twice
    the one before, lest their reader wait for the first of them.
    """

    def __init__(self, size: int = BLOCK_SIZE, first: int = FIRST_BLOCK_SIZE) -> None:
        """Cut blocks of about ``size`` bytes, the first of about ``first``; a line may not be longer than ``size``."""
        self._size = size
        self._enough = min(first, size)
        self._chunks: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[memoryview] | None:
        """Take the next bytes of the stream, and return a block when one is full.

        Raises:
            LineTooLong: ``size`` bytes hold no line end.
        """
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held < self._enough:
            return None
        self._enough = min(2 * self._enough, self._size)
        held = self._held
        block, tail = self._cut()
        self._chunks, self._held = [tail], len(tail)
        if not block and held >= self._size:
            raise LineTooLong(f"{count_of(held, 'byte')} without a line end")
        return block or None

    def finish(self) -> tuple[list[memoryview], bytes]:
        """Return the whole lines that are left at the end of the stream, and what follows the last line end."""
        block, tail = self._cut()
        self._chunks, self._held = [], 0
        return block, tail

    def _cut(self) -> tuple[list[memoryview], bytes]:
        """Cut after the last line end; no chunk is searched or joined again for each that follows it."""
        block: list[memoryview] = []
        begun: list[bytes] = []
        size = 0
        for chunk in self._chunks:
            size += len(chunk)
            begun.append(chunk)
            if size < self._size // _SMALL or not (end := chunk.rfind(_LINE_END) + 1):
                continue
            start = chunk.find(_LINE_END) + 1 if len(begun) > 1 else 0
            view = memoryview(chunk)
            if start:
                block.append(memoryview(b"".join([*begun[:-1], view[:start]])))
            if start < end:
                block.append(view[start:end])
            begun = [chunk[end:]] if end < len(chunk) else []
            size = len(chunk) - end
        rest = b"".join(begun)
        if end := rest.rfind(_LINE_END) + 1:
            block.append(memoryview(rest)[:end])
        return block, rest[end:]
