"""When what happens to a day inside a real run: its last byte, its publication, its events.

Here: the one place that reaches into the running code to read the clock. Not here: what the times mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from unittest.mock import patch

import dagster as dg

from data_assets.ingest.outcome import Outcome
from data_assets.ingest.progress import DayProgress
from data_assets.orchestration.day_run import DayRecorder
from data_assets.orchestration.kept_connections import EventLog


@dataclass
class DayTimes:
    """What the days of one run took, instants on the process's performance counter.

    Attributes:
        last_byte: when the newest byte of any day arrived.
        published: when the newest file had its final name, and its recording began.
        materialized: when the newest materialization was in the event log.
        recorded: when the newest day's checks were in the event log too.
        days: how many were recorded.
        events: how many events they had.
        in_events: seconds spent in writing them.
        in_recording: seconds spent in recording days: events, and, partly beside them, reading files back for checks.
    """

    last_byte: float = 0.0
    published: float = 0.0
    materialized: float = 0.0
    recorded: float = 0.0
    days: int = 0
    events: int = 0
    in_events: float = 0.0
    in_recording: float = 0.0

    def totals(self) -> dict[str, float]:
        """The run in numbers: seconds between the instants of its newest day, sums over all of its days."""
        return {
            "last_byte_to_published": self.published - self.last_byte,
            "last_byte_to_materialized": self.materialized - self.last_byte,
            "last_byte_to_checked": self.recorded - self.last_byte,
            "days": self.days,
            "events": self.events,
            "in_events": self.in_events,
            "in_recording": self.in_recording,
        }


@contextmanager
def timed_days() -> Iterator[DayTimes]:
    """Read the clock around what the days of the runs inside the context do."""
    times = DayTimes()
    received, record, log_event = DayProgress.received, DayRecorder.record, dg.AssetExecutionContext.log_event

    def timed_received(self: DayProgress, size: int) -> None:
        times.last_byte = time.perf_counter()
        received(self, size)

    async def timed_record(self: DayRecorder, day: date, outcome: Outcome) -> None:
        times.published = time.perf_counter()
        await record(self, day, outcome)
        times.recorded = time.perf_counter()
        times.days += 1
        times.in_recording += times.recorded - times.published

    def timed_log_event(self: dg.AssetExecutionContext, event: Any) -> None:
        started = time.perf_counter()
        log_event(self, event)
        ended = time.perf_counter()
        times.events += 1
        times.in_events += ended - started
        if isinstance(event, dg.AssetMaterialization):
            times.materialized = ended

    replaced: list[tuple[type, str, Callable[..., Any]]] = [
        (DayProgress, "received", timed_received),
        (DayRecorder, "record", timed_record),
        (dg.AssetExecutionContext, "log_event", timed_log_event),
    ]

    def written(seconds: float) -> None:
        times.in_events += seconds

    with ExitStack() as patches, timed_together(written):
        for owner, name, timed in replaced:
            patches.enter_context(patch.object(owner, name, timed))
        yield times


@contextmanager
def timed_together(took: Callable[[float], None]) -> Iterator[None]:
    """Read the clock around the writing of events that were put off until all of them were there.

    Args:
        took: is told of the seconds of each time.
    """
    together = EventLog.together

    @contextmanager
    def timed(self: EventLog) -> Iterator[None]:
        with together(self):
            yield
            started = time.perf_counter()
        took(time.perf_counter() - started)

    with patch.object(EventLog, "together", timed):
        yield
