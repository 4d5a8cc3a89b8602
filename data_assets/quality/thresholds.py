"""Thresholds that are shares of a day's rows, which a block of ``defs.yaml`` may set.

Here: that each is a share. Not here: which there are, and their defaults (the rules' own modules).
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Shares:
    """What thresholds are made from: each field is a share.

    Raises:
        ValueError: a field is not from 0 to 1.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            if not 0 <= share <= 1:
                raise ValueError(f"threshold {field.name} is {share}: give a share from 0 to 1, such as 0.05 for 5 %")
