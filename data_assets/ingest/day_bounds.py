"""How large a day may be: a bound against responses that cannot be a day.

Three megabytes of gzip can hold twenty million equal rows, and a response may never end. Whoever reads a day counts the
rows and bytes before they are kept or written, and stops at the bound.

Here: the bound, and counting against it. Not here: decompressing in steps (the readers), and whether a day is
plausible (the checks).
"""

from __future__ import annotations

from dataclasses import dataclass

from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.ingest.source import DayMeter


@dataclass(frozen=True, slots=True)
class DayBounds:
    """The most that a day may hold, from its block in `defs.yaml`. Its default is a judgement: a few times the largest.

    Attributes:
        rows: rows of its text.
        size: bytes of its text, decompressed.
    """

    rows: int
    size: int

    def excess(self, rows: int, size: int) -> str | None:
        """Say what is wrong with a day that has this many rows and bytes so far; None if nothing is."""
        if rows > self.rows:
            return f"it holds more than {self.rows:,} rows; if that is right, raise max_day_rows in defs.yaml"
        if size > self.size:
            return (
                f"its text is larger than {self.size / 1e6:,.0f} MB; if that is right, raise max_day_bytes in defs.yaml"
            )
        return None


class BoundedMeter:
    """A meter that rejects the day when it exceeds its bounds; implements ``DayMeter``."""

    def __init__(self, meter: DayMeter, bounds: DayBounds) -> None:
        """Pass on to a meter what one attempt at a day brings."""
        self._meter, self._bounds = meter, bounds
        self._rows = self._size = 0

    def received(self, size: int) -> None:
        """See ``DayMeter``.

        Raises:
            DayEnded: ``Rejected``.
        """
        self._size += size
        self._meter.received(size)
        self._refuse()

    def parsed(self, rows: int) -> None:
        """See ``DayMeter``; raises as ``received`` does."""
        self._rows += rows
        self._meter.parsed(rows)
        self._refuse()

    def _refuse(self) -> None:
        if why := self._bounds.excess(self._rows, self._size):
            raise DayEnded(Rejected(f"the response cannot be a day: {why}"))
