"""What the days of IB's bars are made of inside a real run, and inside any other program that uses ib_async.

Here: the one place that reads the clock inside the running code of IB's days. Not here: what the times mean.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from unittest.mock import patch

import dagster as dg
from ib_async.client import Client
from ib_async.decoder import Decoder

from benchmarks.stopwatch import timed_together
from data_assets.ingest.outcome import Outcome, Stored
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.ingest.staged_day import StagedDayFile
from data_assets.orchestration import day_run as dagster_days
from data_assets.orchestration.day_run import DayRecorder
from data_assets.vendors.ib.day import IbBarsSource
from data_assets.vendors.ib.pacing import RequestPacing

_BARS_MESSAGE = 17


@dataclass
class VendorTimes:
    """Seconds of all requests for bars together.

    Attributes:
        vendor: from a request on the wire to the whole message with its answer.
        decoding: of those messages, by ib_async.
        answers: how many there were.
    """

    vendor: float = 0.0
    decoding: float = 0.0
    answers: int = 0


@dataclass
class IbTimes(VendorTimes):
    """The same, and what is done around them, seconds of all days together.

    Attributes:
        fetching: from the engine's call to the file under its temporary name, the vendor's answer included.
        pacing: of that, the turn in the budget's file.
        publishing: fsync, read back, the final name.
        recording: events and what is read for them.
        events: of that, writing into the event log, and reading what it gave the day for a number.
    """

    fetching: float = 0.0
    pacing: float = 0.0
    publishing: float = 0.0
    recording: float = 0.0
    events: float = 0.0

    @property
    def own(self) -> float:
        """All but the vendor's answers and the event log."""
        return self.fetching - self.vendor + self.publishing + self.recording - self.events

    def totals(self) -> dict[str, float]:
        """All of it by name."""
        return {**asdict(self), "own": self.own}


@contextmanager
def timed_answers(times: VendorTimes) -> Iterator[None]:
    """Read the clock around the vendor's answers, for any use of ib_async; requests come one after another."""
    ask, interpret = Client.reqHistoricalData, Decoder.interpret
    asked = 0.0

    def timed_ask(self: Client, *arguments: Any) -> None:
        nonlocal asked
        ask(self, *arguments)
        asked = time.perf_counter()

    def timed_interpret(self: Decoder, fields: list[str]) -> None:
        arrived = time.perf_counter()
        interpret(self, fields)
        if int(fields[0]) == _BARS_MESSAGE:
            times.vendor += arrived - asked
            times.decoding += time.perf_counter() - arrived
            times.answers += 1

    with patch.object(Client, "reqHistoricalData", timed_ask), patch.object(Decoder, "interpret", timed_interpret):
        yield


@contextmanager
def timed_ib_days() -> Iterator[IbTimes]:
    """Read the clock around what the days of the runs inside the context do."""
    times = IbTimes()
    fetch, turn, publish = IbBarsSource.fetch, RequestPacing.turn, StagedDayFile.publish
    record, log_event = DayRecorder.record, dg.AssetExecutionContext.log_event
    look_up = dagster_days.latest_materialization

    async def timed_fetch(self: IbBarsSource, day: date, meter: DayMeter) -> StagedDay:
        started = time.perf_counter()
        staged = await fetch(self, day, meter)
        times.fetching += time.perf_counter() - started
        return staged

    async def timed_turn(self: RequestPacing, key: str, *, head: bool = False) -> None:
        started = time.perf_counter()
        await turn(self, key, head=head)
        times.pacing += time.perf_counter() - started

    def timed_publish(self: Any) -> Stored:
        started = time.perf_counter()
        stored: Stored = publish(self)
        times.publishing += time.perf_counter() - started
        return stored

    async def timed_record(self: DayRecorder, day: date, outcome: Outcome) -> None:
        started = time.perf_counter()
        await record(self, day, outcome)
        times.recording += time.perf_counter() - started

    def timed_log_event(self: dg.AssetExecutionContext, event: Any) -> None:
        started = time.perf_counter()
        log_event(self, event)
        times.events += time.perf_counter() - started

    def timed_look_up(*arguments: Any) -> dg.EventLogRecord | None:
        started = time.perf_counter()
        found = look_up(*arguments)
        times.events += time.perf_counter() - started
        return found

    def written(seconds: float) -> None:
        times.events += seconds

    with timed_answers(times), timed_together(written), ExitStack() as patches:
        for owner, name, timed in (
            (IbBarsSource, "fetch", timed_fetch),
            (RequestPacing, "turn", timed_turn),
            (StagedDayFile, "publish", timed_publish),
            (DayRecorder, "record", timed_record),
            (dg.AssetExecutionContext, "log_event", timed_log_event),
            (dagster_days, "latest_materialization", timed_look_up),
        ):
            patches.enter_context(patch.object(owner, name, timed))
        yield times
