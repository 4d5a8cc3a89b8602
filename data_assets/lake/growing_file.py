"""What of a growing file lies on its disk: synced and read back while the rest is still being written.

No file gets its name before all of it was synced and read back. Done at the end alone, everybody waits for that, and a
slow disk has been idle until then.

Here: syncing and digesting the pieces that are written. Not here: what is written, and what its digest must be
(``parquet_file``).
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

PIECE_BYTES = 4 << 20
"""Most files of most datasets are smaller, and have one piece, which needs no thread."""

_AT_ONCE = 256 << 10  # still in the processor's cache when it is digested
_READS_THE_DISK = hasattr(os, "posix_fadvise")  # elsewhere the page cache would be read, which proves nothing early


class GrowingFile:
    """Looks after a file that is appended to. One piece at a time is under way: a disk that is slow gets larger ones.

    Its methods are called by one thread at a time.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Look after an open file, from its first byte on."""
        self._file = file
        self._thread: ThreadPoolExecutor | None = None
        self._piece: Future[None] | None = None
        self._digest, self._end = hashlib.sha256(), 0

    def grown(self, size: int) -> None:
        """Say that ``size`` bytes are written by now; they may be in the buffer of the file still.

        Raises:
            OSError: the disk did not take an earlier piece.
        """
        if not _READS_THE_DISK or size - self._end < PIECE_BYTES:
            return
        if self._piece is not None:
            if not self._piece.done():
                return
            self._piece.result()
            if size - self._end < PIECE_BYTES:
                return
        self._file.flush()
        self._thread = self._thread or ThreadPoolExecutor(1, "parquet-sync")
        self._piece = self._thread.submit(self._look, size)

    def read_back(self) -> tuple[hashlib._Hash, int]:
        """The sha256 of the first bytes, as they lie on the disk, and their number, once nothing is under way.

        Raises:
            OSError: the disk did not take a piece.
        """
        if self._piece is not None:
            self._piece.result()
        self.close()
        return self._digest, self._end

    def close(self) -> None:
        """Wait for what is under way; the file itself stays open."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _look(self, size: int) -> None:
        descriptor = self._file.fileno()
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, self._end, size - self._end, os.POSIX_FADV_DONTNEED)
        buffer = memoryview(bytearray(_AT_ONCE))
        # At a place of its own: the file's is where the next bytes are written.
        while read := os.preadv(descriptor, [buffer[: size - self._end]], self._end):
            self._digest.update(buffer[:read])
            self._end += read
