"""The value that every rule returns, and what does not pass of many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Severity = Literal["warn", "error"]
SEVERITIES: tuple[Severity, Severity] = ("error", "warn")


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


@dataclass(slots=True)
class Breaches:
    """Which rules some days have not kept, by their newest verdicts.

    Attributes:
        of_days: day -> rule -> how bad it is; days that keep all of them are left out.
    """

    of_days: dict[date, dict[str, Severity]] = field(default_factory=dict)

    def judged(self, day: date, verdicts: Iterable[Verdict]) -> None:
        """Take verdicts on a day, which count instead of earlier ones of the same rules."""
        of_day = dict(self.of_days.pop(day, {}))
        for verdict in verdicts:
            of_day.pop(verdict.name, None)
            if not verdict.passed:
                of_day[verdict.name] = verdict.severity
        if of_day:
            self.of_days[day] = of_day

    def names(self, day: date, severity: Severity) -> list[str]:
        """The rules that a day has not kept and that are that bad, in order."""
        return sorted(name for name, found in self.of_days.get(day, {}).items() if found == severity)

    def days(self, severity: Severity) -> dict[date, list[str]]:
        """The days that have not kept a rule that is that bad, oldest first, each with the rules' names."""
        return {day: names for day in sorted(self.of_days) if (names := self.names(day, severity))}

    def counts(self, severity: Severity) -> dict[str, int]:
        """Rule -> how many days have not kept it, of those that are that bad; in order."""
        return dict(sorted(Counter(name for names in self.days(severity).values() for name in names).items()))
