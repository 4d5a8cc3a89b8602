"""The value that every rule returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["warn", "error"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's judgement of one day.

    Attributes:
        name: the rule.
        passed: whether the day keeps it.
        severity: how bad a breach is: ``warn`` if the market or the vendor's grid can really be like that, ``error`` if
            the data must be wrong. A passed verdict of a rule that knows both says ``warn``.
        summary: one line for the person who reads the check.
        metadata: counts, shares and up to ten names behind the summary.
        waits_for: how many neighbours (`quality.neighbours`) must be stored before the rule can tell; 0 if it could.
    """

    name: str
    passed: bool
    severity: Severity
    summary: str
    metadata: dict[str, int | float | str | list[str]] = field(default_factory=dict)
    waits_for: int = 0
