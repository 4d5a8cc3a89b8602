"""The summary with which a run ends, in one line and as numbers.

The days' own events (the file, its checks) say more, but with six events for each of fifty days nobody finds the sum.

Here: the summaries. Not here: where they are recorded (`day_run`, `verify_run`), and the rates while a run
works (`progress`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from data_assets.counts import count_of, part_of
from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Scalar, Stored
from data_assets.ingest.progress import IN_WORDS, Snapshot, duration


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run went.

    Attributes:
        stored: days that it stored.
        stored_before: days that an earlier attempt of the run had stored, so that they were not fetched again.
        not_stored: outcome's name -> days that ended with it.
        unfinished: days without an outcome, because the run was stopped.
        rows: rows of the days stored.
        size: bytes of their files.
        seconds: from the beginning of its first day to its end.
        slowest: the day that took the longest and its seconds, including pauses and waits; None without one.
        failed: check's name -> days that failed it.
        warned: check's name -> days of which it warns.
    """

    stored: int
    stored_before: int
    not_stored: dict[str, int]
    unfinished: int
    rows: int
    size: int
    seconds: float
    slowest: tuple[date, float] | None
    failed: Mapping[str, int] = field(default_factory=dict)
    warned: Mapping[str, int] = field(default_factory=dict)

    def line(self, unit: str = "day", label: Callable[[date], str] = str) -> str:
        """`48 of 50 days stored · 2 failed · 4,912,000 rows · 58.1 MB · took 41 s · slowest 2024-07-02, 12 s`."""
        total = self.stored + self.stored_before + sum(self.not_stored.values()) + self.unfinished
        parts = [f"{part_of(self.stored, total, unit)} stored"]
        parts += [f"{self.stored_before:,} stored before"] if self.stored_before else []
        parts += [f"{self.not_stored[name]:,} {words}" for name, words in IN_WORDS.items() if name in self.not_stored]
        parts += [f"{self.unfinished:,} not finished"] if self.unfinished else []
        parts += _checks(self.failed, self.warned)
        parts += [count_of(self.rows, "row"), f"{self.size / 1e6:.1f} MB", f"took {duration(self.seconds)}"]
        parts += [f"slowest {label(self.slowest[0])}, {duration(self.slowest[1])}"] if self.slowest else []
        return " · ".join(parts)

    def metadata(self, label: Callable[[date], str] = str) -> dict[str, Scalar]:
        """The same as numbers by name."""
        slowest: dict[str, Scalar] = {}
        if self.slowest is not None:
            slowest = {"slowest": label(self.slowest[0]), "slowest_seconds": round(self.slowest[1], 3)}
        return {
            "stored": self.stored,
            "stored_before": self.stored_before,
            **{words.replace(" ", "_"): self.not_stored.get(name, 0) for name, words in IN_WORDS.items()},
            "not_finished": self.unfinished,
            **_check_numbers(self.failed, self.warned),
            "rows": self.rows,
            "MB": round(self.size / 1e6, 3),
            "seconds": round(self.seconds, 3),
            **slowest,
        }


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """What reading stored days again has found.

    Attributes:
        whole: days whose files are as they were recorded.
        not_whole: what is wrong, in words that follow a count -> number of such days.
        rows: rows of the whole days.
        size: bytes of their files.
        seconds: how long it took.
        failed: check's name -> days that failed it, if the checks were evaluated too.
        not_compared: days whose file is not here and need not be, of which nothing was found out.
        warned: check's name -> days of which it warns; likewise.
        holes: days that were accepted as holes, which have no file.
    """

    whole: int
    not_whole: Mapping[str, int]
    rows: int
    size: int
    seconds: float
    failed: Mapping[str, int] = field(default_factory=dict)
    not_compared: int = 0
    warned: Mapping[str, int] = field(default_factory=dict)
    holes: int = 0

    def line(self, unit: str = "day") -> str:
        """`48 of 50 days whole · 1 damaged · 1 missing · 4,912,000 rows · 58.1 MB · took 41 s`."""
        total = self.whole + self.holes + sum(self.not_whole.values()) + self.not_compared
        return " · ".join([f"{part_of(self.whole, total, unit)} whole", *self.parts()])

    def parts(self) -> list[str]:
        """Return the parts of the line that follow the number of whole days."""
        return [
            *([f"{self.holes:,} accepted as hole{'s' * (self.holes != 1)}"] if self.holes else []),
            *(f"{count:,} {words}" for words, count in sorted(self.not_whole.items())),
            *([f"{self.not_compared:,} not compared"] if self.not_compared else []),
            *_checks(self.failed, self.warned),
            count_of(self.rows, "row"),
            f"{self.size / 1e6:.1f} MB",
            f"took {duration(self.seconds)}",
        ]

    def metadata(self) -> dict[str, Scalar]:
        """The same as numbers by name."""
        return {
            "whole": self.whole,
            "not_whole": sum(self.not_whole.values()),
            **({"not_compared": self.not_compared} if self.not_compared else {}),
            **{words.replace(" ", "_"): count for words, count in sorted(self.not_whole.items())},
            **({"holes": self.holes} if self.holes else {}),
            **_check_numbers(self.failed, self.warned),
            "rows": self.rows,
            "MB": round(self.size / 1e6, 3),
            "seconds": round(self.seconds, 3),
        }


def _checks(failed: Mapping[str, int], warned: Mapping[str, int]) -> list[str]:
    return [
        *(f"{count:,} failed {check}" for check, count in sorted(failed.items())),
        *(f"{count:,} warned of by {check}" for check, count in sorted(warned.items())),
    ]


def _check_numbers(failed: Mapping[str, int], warned: Mapping[str, int]) -> dict[str, Scalar]:
    return {
        **{f"failed_{check}": count for check, count in sorted(failed.items())},
        **{f"warned_{check}": count for check, count in sorted(warned.items())},
    }


def summarize(
    report: IngestReport,
    snapshot: Snapshot,
    stored_before: int,
    failed: Mapping[str, int] = MappingProxyType({}),
    warned: Mapping[str, int] = MappingProxyType({}),
) -> RunSummary:
    """The summary of a run.

    Args:
        report: how its days ended.
        snapshot: its progress at its end.
        stored_before: see `RunSummary`.
        failed: likewise.
        warned: likewise.
    """
    stored = [outcome for outcome in report.outcomes.values() if isinstance(outcome, Stored)]
    others = Counter(outcome.name for outcome in report.outcomes.values() if not isinstance(outcome, Stored))
    return RunSummary(
        stored=len(stored),
        stored_before=stored_before,
        not_stored=dict(others),
        unfinished=len(report.unfinished),
        rows=sum(outcome.rows for outcome in stored),
        size=sum(outcome.size for outcome in stored),
        seconds=snapshot.elapsed,
        slowest=snapshot.slowest,
        failed=failed,
        warned=warned,
    )
