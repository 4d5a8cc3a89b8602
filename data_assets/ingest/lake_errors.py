"""What an error of the lake means for the day that was to be stored, and for its run."""

from __future__ import annotations

from data_assets.ingest.outcome import DayEnded, Failed, IngestError, RunEnded, StoredMeanwhile
from data_assets.lake.errors import DiskFull, LakeError, LakeUnusable, Overtaken


def ending_of(error: LakeError) -> IngestError:
    """Return the end of the run if no other day could be stored either, else the end of this day."""
    if isinstance(error, DiskFull | LakeUnusable):
        return RunEnded(str(error))
    if isinstance(error, Overtaken):
        return StoredMeanwhile(Failed(str(error)))
    return DayEnded(Failed(str(error)))
