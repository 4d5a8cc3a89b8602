"""A dataset in memory that answers by a script, and keeps account of what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from data_assets.ingest.outcome import DayEnded, NotStored, Outcome, Stored
from data_assets.ingest.source import DayMeter

DAY_BYTES = 1_000_000
DAY_ROWS = 1_000


def days(count: int) -> list[date]:
    """`count` days, newest first."""
    return [date(2024, 6, 28) - timedelta(days=n) for n in range(count)]


@dataclass
class Answer:
    """What one try meets after `seconds`: an error or an outcome, or data when `ends` is None."""

    ends: BaseException | NotStored | None = None
    seconds: float = 1.0
    publish_error: Exception | None = None


Script = Callable[[date, int], Answer]


@dataclass
class MemoryStagedDay:
    source: ScriptedSource
    day: date
    publish_error: Exception | None

    def publish(self) -> Stored:
        if self.publish_error is not None:
            raise self.publish_error
        self.source.temporary.remove(self.day)
        self.source.published.append(self.day)
        return Stored(path=f"date={self.day}/data.parquet", rows=DAY_ROWS, size=DAY_BYTES, sha256="0" * 64)

    def discard(self) -> None:
        self.source.temporary.discard(self.day)


@dataclass
class ScriptedSource:
    script: Script = lambda day, attempt: Answer()
    up: Callable[[], object] = lambda: asyncio.sleep(0)
    asked: list[tuple[float, date]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    answered: set[date] = field(default_factory=set)
    temporary: set[date] = field(default_factory=set)
    published: list[date] = field(default_factory=list)
    outages: int = 0

    async def fetch(self, day: date, meter: DayMeter) -> MemoryStagedDay:
        self.asked.append((asyncio.get_running_loop().time(), day))
        answer = self.script(day, self.tries(day))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        assert day not in self.temporary
        self.temporary.add(day)
        arrived = False
        try:
            await asyncio.sleep(answer.seconds)
            self.answered.add(day)
            if isinstance(answer.ends, NotStored):
                raise DayEnded(answer.ends)
            if answer.ends is not None:
                raise answer.ends
            meter.received(DAY_BYTES)
            meter.parsed(DAY_ROWS)
            arrived = True
            return MemoryStagedDay(self, day, answer.publish_error)
        finally:
            self.in_flight -= 1
            if not arrived:
                self.temporary.remove(day)

    async def wait_until_up(self) -> None:
        self.outages += 1
        await self.up()

    def tries(self, day: date) -> int:
        return sum(asked == day for _, asked in self.asked)

    def days_asked(self) -> list[date]:
        return [day for _, day in self.asked]


@dataclass
class Ledger:
    """Where a run records its days: takes `seconds` to write one, and notices when it is asked to write two at once."""

    seconds: float = 0.0
    fail_at: int | None = None
    entries: list[tuple[date, Outcome]] = field(default_factory=list)
    calls: int = 0
    writing: bool = False
    source: ScriptedSource | None = None

    async def record(self, day: date, outcome: Outcome) -> None:
        assert not self.writing, "two records at once"
        self.calls += 1
        self.writing = True
        try:
            await asyncio.sleep(self.seconds)
            if self.calls - 1 == self.fail_at:
                raise OSError("the event log is gone")
            if isinstance(outcome, Stored) and self.source is not None:
                assert day in self.source.published, "recorded before its file had its name"
            self.entries.append((day, outcome))
        finally:
            self.writing = False

    @property
    def days(self) -> list[date]:
        return [day for day, _ in self.entries]


def named(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.name for outcome in outcomes]
