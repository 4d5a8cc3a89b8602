"""How vendors that are held against each other differ, in the numbers of a day.

Here: which numbers tell it, and what they mean. Not here: the rules that count them (`vendor_agreement`, `parity`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Differences:
    """What is recorded of a compared day besides its ``score``.

    Attributes:
        total: the number of what was compared, such as "minutes".
        reasons: the numbers of what differs, each with its heading: ("minutes_edge", "edge").
        meaning: what the headings mean, in a few sentences.
    """

    total: str
    reasons: tuple[tuple[str, str], ...]
    meaning: str
