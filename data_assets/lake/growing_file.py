"""What of a growing file lies on its disk: synced and read back while the rest is still being written.

No file gets its name before all of it was synced and read back. Done at the end alone, everybody waits for that, and a
slow disk has been idle until then.

Here: syncing and digesting the pieces that are written. Not here: what is written, and what its digest must be
(``parquet_file``).
"""

from __future__ import annotations

import hashlib
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

PIECE_BYTES = 4 << 20
"""Most files of most datasets are smaller, and have one piece, which needs no thread."""

CACHED_BYTES = 256 << 10
"""Read at once from a file of this machine: still in the processor's cache when it is digested."""

_READS_THE_DISK = hasattr(os, "posix_fadvise")  # elsewhere it is the page cache that is read, which proves less


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
        self._stopped = not _READS_THE_DISK

    def grown(self, size: int) -> None:
        """Say that ``size`` bytes are written by now; they may be in the buffer of the file still.

        Raises:
            OSError: the disk did not take an earlier piece, or does not give it back.
        """
        if self._stopped or (self._piece is not None and not self._piece.done()):
            return
        if self._piece is not None:
            self._piece.result()
        # Whole pages: the system drops no others from its cache.
        end = size - size % mmap.PAGESIZE
        if end - self._end < PIECE_BYTES:
            return
        self._file.flush()
        self._thread = self._thread or ThreadPoolExecutor(1, "parquet-sync")
        # By a descriptor of its own, for nobody waits for a piece of a file that is given up and closed.
        self._piece = self._thread.submit(self._read_back, os.dup(self._file.fileno()), end)

    def read_back(self) -> tuple[hashlib._Hash, int]:
        """Sync all of the file, of which no piece is under way any more.

        Returns:
            The sha256 of the first bytes, as the disk gave them back, and their number, which is one of whole pages.
            What is read behind them comes from the disk, too.

        Raises:
            OSError: the disk did not take a piece, or does not give it back.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._piece is not None:
            self._piece.result()
        self.stop()
        if _READS_THE_DISK:
            os.posix_fadvise(self._file.fileno(), self._end, 0, os.POSIX_FADV_DONTNEED)
        return self._digest, self._end

    def stop(self) -> None:
        """Look after the file no more; of a piece under way, nobody will ask."""
        self._stopped = True
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _read_back(self, descriptor: int, end: int) -> None:
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, self._end, end - self._end, os.POSIX_FADV_DONTNEED)
            buffer = memoryview(bytearray(CACHED_BYTES))
            # At a place of its own: the file's is where the next bytes are written.
            while not self._stopped and (read := os.preadv(descriptor, [buffer[: end - self._end]], self._end)):
                self._digest.update(buffer[:read])
                self._end += read
        finally:
            os.close(descriptor)
