"""How a day of a dataset ends: one of six typed outcomes, and the errors that lead to them.

Here: the outcomes, and the exceptions with which a vendor's code tells the engine what happened.
Not here: retrying, pacing, recording (``engine``), and what a vendor's status codes mean (``vendors``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

Scalar = str | int | float | bool

WRITTEN_AT = "written_at"
"""Metadata of a stored day: when its file was made, ISO 8601, which tells its revisions apart in time."""

MACHINE = "machine"
"""Metadata of a day whose file is on the own disk of one machine: that machine's name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The day is on disk under its final name, whole and verified. The only outcome that closes a gap.

    Attributes:
        path: where the file lies, relative to the lake's root.
        rows: rows in the file.
        size: bytes of the file.
        sha256: hexadecimal digest of the file.
        metadata: what a person wants plotted or named for this day (counts, shares, seconds).
        inputs: the same day of other datasets that it was made from, by their names; some may have been stored before.
        attempts: how many attempts this run made at the day; the engine fills it in.
    """

    path: str
    rows: int
    size: int
    sha256: str
    metadata: dict[str, Scalar] = field(default_factory=dict)
    inputs: dict[str, Stored] = field(default_factory=dict)
    attempts: int = field(default=1, compare=False)
    name: ClassVar[str] = "Stored"


@dataclass(frozen=True, slots=True)
class NotStored:
    """A day that ended without a file; ``reason`` says why and what to do next, in one line.

    Attributes:
        reason: one line for the person who reads the grid.
        tried: False if the vendor was not asked for this day, because its responses for newer days tell enough.
        attempts: how many attempts this run made at the day; the engine fills it in.
        cause: a name for what went wrong, if it may concern more than this day (an unknown response, a silent gateway):
            the same cause on several days in a row ends the run. Empty if only the day is concerned.
    """

    reason: str
    tried: bool = True
    attempts: int = field(default=0, compare=False)
    cause: str = field(default="", compare=False)
    name: ClassVar[str] = "NotStored"


class NoData(NotStored):
    """The vendor says that it has no data for this day."""

    name: ClassVar[str] = "NoData"


class NotPublished(NotStored):
    """Too early: the vendor has not finished this day yet."""

    name: ClassVar[str] = "NotPublished"


class NotEntitled(NotStored):
    """The account's tier or permissions do not include this day or this dataset."""

    name: ClassVar[str] = "NotEntitled"


class Rejected(NotStored):
    """The day arrived and failed validation; nothing of it was published."""

    name: ClassVar[str] = "Rejected"


class DamagedFile(Rejected):
    """The day's file in the lake was read, and is not whole; no vendor was asked. For people, a `Rejected`."""


class Failed(NotStored):
    """Transient errors used up the attempts, or the run could not go on."""

    name: ClassVar[str] = "Failed"


Outcome = Stored | NotStored


class IngestError(Exception):
    """What a vendor's code raises to the engine. Its text is one line, free of secrets, and says what to do.

    Attributes:
        cause: see `NotStored`; if the attempts are used up, the cause of the failed day.
    """

    def __init__(self, text: str, *, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause


class DayEnded(IngestError):
    """The day ends with this outcome; asking again now would give the same response."""

    def __init__(self, outcome: NotStored) -> None:
        super().__init__(outcome.reason, cause=outcome.cause)
        self.outcome = outcome


class StoredMeanwhile(DayEnded):
    """Another run has stored the day since this one began with it; what is there is that run's, whole."""


class Transient(IngestError):
    """Worth another attempt after a pause; ``Failed`` when the attempts are used up."""


class Throttled(Transient):
    """The vendor refuses so many requests (HTTP 429 and its like): try again later, with fewer at once."""


class VendorDown(Transient):
    """The vendor is not reachable behind its terminal or gateway: wait until it is, then try again."""


class RunEnded(IngestError):
    """No other day of this run can succeed (a wrong setting, no terminal, no disk): stop at once and say what to do."""
