"""What an error of the lake means for a day that was to be stored in it.

Here: one translation. Not here: the errors themselves (``lake.errors``), and what the engine does with the result.
"""

from __future__ import annotations

from data_assets.ingest.outcome import DayEnded, Failed, IngestError, RunEnded
from data_assets.lake.errors import DiskFull, LakeError, LakeUnusable


def ending_of(error: LakeError) -> IngestError:
    """The end of the run, where no other day could be stored either; else of this day, whose folder or file it is."""
    if isinstance(error, DiskFull | LakeUnusable):
        return RunEnded(str(error))
    return DayEnded(Failed(str(error)))
