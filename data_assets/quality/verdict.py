"""What a rule answers.

Here: the one value that every rule returns. Not here: the rules, and how an asset check shows it.
"""

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
        severity: how bad a breach is: ``warn`` where the market or the vendor's grid can really be so, ``error`` where
            the data must be wrong. Of a rule that can end either way, a passed verdict says ``warn``.
        summary: one line for the person who reads the check.
        metadata: counts, shares and up to ten names behind the summary.
        waits_for: how many neighbours (`quality.neighbours`) must be stored before the rule can tell; 0 where it has.
    """

    name: str
    passed: bool
    severity: Severity
    summary: str
    metadata: dict[str, int | float | str | list[str]] = field(default_factory=dict)
    waits_for: int = 0
