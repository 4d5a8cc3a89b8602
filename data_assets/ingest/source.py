"""What the engine expects of a dataset: the protocols between the engine and a vendor's code.

Here: the contract. Not here: any vendor's implementation of it, and the engine that calls it.
"""

from __future__ import annotations

from datetime import date
from typing import Protocol

from data_assets.ingest.outcome import Stored


class DayMeter(Protocol):
    """Where a download reports what it received, for the live display."""

    def received(self, size: int) -> None:
        """Count ``size`` more bytes off the wire."""

    def parsed(self, rows: int) -> None:
        """Count ``rows`` more rows parsed."""


class StagedDay(Protocol):
    """A day that arrived whole and passed its audit, on disk under a temporary name."""

    def publish(self) -> Stored:
        """Give the file its final name, durably, and return what is stored. Called at most once."""

    def discard(self) -> None:
        """Remove the temporary file; harmless after ``publish``."""


class Source(Protocol):
    """One dataset, a day at a time."""

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """Download, parse and audit one day.

        Cancellation leaves no file behind.

        Raises:
            DayEnded: the day has another outcome than ``Stored``.
            Transient: worth another attempt (``Throttled``, ``VendorDown`` are kinds of it).
            RunEnded: no day of this run can succeed.
        """

    async def wait_until_up(self) -> None:
        """Wait until the vendor answers again after `VendorDown`.

        Raises:
            IngestError: it does not answer: `Transient` if another wait may help, else `RunEnded`.
        """
