"""A staged day that is one file of the lake: the `StagedDay` that the vendors share.

Here: publishing it, and what the engine is told about it. Not here: writing the file (``lake.writer``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl

from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import WRITTEN_AT, Scalar, Stored
from data_assets.lake.errors import LakeError
from data_assets.lake.writer import StagedFile


class StagedDayFile:
    """A day on disk under a temporary name; implements ``ingest.source.StagedDay``.

    Attributes:
        metadata: for its materialization.
        inputs: days of other datasets that were stored on the way, by name.
        keep_previous: whether to keep the file that it replaces, as the day's previous revision.
    """

    def __init__(
        self,
        staged: StagedFile,
        metadata: Mapping[str, Scalar],
        *,
        keep_previous: bool = False,
        published: Callable[[], object] = lambda: None,
    ) -> None:
        """Hold a staged day.

        Args:
            staged: its file.
            metadata: for its materialization.
            keep_previous: see the attribute.
            published: called once the file has its final name.
        """
        self.metadata = dict(metadata)
        self.inputs: dict[str, Stored] = {}
        self.keep_previous = keep_previous
        self._staged, self._published = staged, published

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows, a row group at a time; not after ``publish`` or ``discard``.

        Raises:
            LakeError: the temporary file cannot be read.
        """
        return self._staged.batches()

    def publish(self) -> Stored:
        """See ``StagedDay``."""
        try:
            stored = self._staged.publish(keep_previous=self.keep_previous)
        except LakeError as error:
            raise ending_of(error) from error
        self._published()
        metadata = {**self.metadata, WRITTEN_AT: self._staged.written_at.isoformat()}
        return Stored(stored.path, stored.rows, stored.size, stored.sha256, metadata, self.inputs)

    def discard(self) -> None:
        """See ``StagedDay``."""
        self._staged.discard()
