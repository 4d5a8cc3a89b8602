"""Stopping a run at any instant: nothing half done is left, nothing done is lost, nothing more is begun."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_assets.ingest.engine import EnginePolicy, IngestReport, ingest
from data_assets.ingest.outcome import NoData, Rejected, RunEnded, Throttled, Transient, VendorDown
from data_assets.ingest.progress import Progress
from data_assets_tests.ingest.scripted import Answer, Ledger, MemoryStagedDay, ScriptedSource, days, named
from data_assets_tests.ingest.virtual_time import run

How = Literal["stop", "cancel", "cancel twice"]


@dataclass
class Ended:
    """A run that was interrupted, and what it had asked for up to that instant."""

    report: IngestReport | None
    at: float
    asked_before: int
    took: float


def interrupt(
    source: ScriptedSource,
    ledger: Ledger,
    count: int,
    at: float,
    how: How,
    *,
    cap: int = 3,
    thread_seconds: float = 0.0,
) -> Ended:
    """Run `count` days and interrupt the run `at` seconds after its start."""
    ledger.source = source
    progress = Progress()

    async def main() -> Ended:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        task = asyncio.create_task(
            ingest(
                days(count),
                source,
                ledger.record,
                policy=EnginePolicy(max_concurrency=cap),
                progress=progress,
                stop=stop,
                memory_share=lambda: 0.1,
                rng=Random(3),
            )
        )
        await asyncio.sleep(at)
        asked_before = len(source.asked)
        if how == "stop":
            stop.set()
        else:
            task.cancel()
        if how == "cancel twice":
            await asyncio.sleep(0.125)
            task.cancel()
        await asyncio.wait([task])
        report = None if task.cancelled() else task.result()
        return Ended(report, at, asked_before, loop.time() - at)

    ended = run(main, thread_seconds=thread_seconds)
    assert progress.snapshot().active == ()
    return ended


ANSWERS = st.builds(
    Answer,
    ends=st.sampled_from(
        [
            None,
            None,
            None,
            NoData("472"),
            Rejected("header"),
            Transient("cut"),
            Throttled("429"),
            VendorDown("474"),
            RunEnded("no terminal"),
            ValueError("a defect"),
        ]
    ),
    seconds=st.sampled_from([0, 0.5, 1, 2]),
    publish_error=st.sampled_from([None, None, None, Transient("the bucket timed out")]),
)


@settings(deadline=None, max_examples=150)
@given(
    answers=st.lists(ANSWERS, min_size=1, max_size=9),
    at=st.integers(0, 24).map(lambda quarters: quarters / 4),
    how=st.sampled_from(["stop", "cancel", "cancel twice"]),
    cap=st.integers(1, 4),
    record_seconds=st.sampled_from([0, 0.25, 1]),
    thread_seconds=st.sampled_from([0, 0.25, 1]),
)
@example([Answer(seconds=1)] * 9, 1.0, "stop", 3, 1, 1)
@example([Answer(RunEnded("no terminal"))] * 9, 2.5, "cancel", 1, 1, 0)
def test_whenever_a_run_is_interrupted(answers, at, how, cap, record_seconds, thread_seconds):
    count = len(answers)
    source = ScriptedSource(
        lambda day, attempt: answers[(days(count).index(day) + 4 * (attempt - 1)) % count],
        up=lambda: asyncio.sleep(2),
    )
    ledger = Ledger(seconds=record_seconds)
    ended = interrupt(source, ledger, count, at, how, cap=cap, thread_seconds=thread_seconds)

    if how == "stop":
        assert len(source.asked) == ended.asked_before, "a request was begun after the stop"
    assert all(asked <= at for asked, _ in source.asked)
    assert source.most_in_flight <= cap
    assert (source.in_flight, ledger.writing) == (0, False)
    assert len(set(ledger.days)) == len(ledger.days), "a day was recorded twice"
    published_and_lost = set(source.published) - set(ledger.days)
    if how == "cancel twice":
        return
    assert source.temporary == set(), "temporary files left"
    assert published_and_lost == set(), "a published day was not recorded"
    if ended.report is not None:
        assert dict(ledger.entries) == dict(ended.report.outcomes)
        assert sorted([*ended.report.outcomes, *ended.report.unfinished], reverse=True) == days(count)
        assert ended.report.stopped == (len(ledger.entries) < count)


def test_stop_leaves_what_was_not_done_without_an_outcome():
    source, ledger = ScriptedSource(), Ledger()
    ended = interrupt(source, ledger, 20, 2.5, "stop", cap=3)
    report = ended.report
    assert report is not None
    assert report.stopped
    assert named(report.outcomes.values()) == ["Stored"] * 6
    assert report.unfinished == tuple(days(20)[6:])
    assert ended.took == 0


def test_an_interrupt_that_polars_took_for_itself_is_a_stop():
    """While Polars works in a thread, SIGINT is raised there, and the handler of the process does not hear of it."""

    def script(day: date, _attempt: int) -> Answer:
        return Answer(KeyboardInterrupt() if day == days(9)[4] else None)

    async def main() -> IngestReport:
        policy = EnginePolicy(max_concurrency=1)
        return await ingest(days(9), ScriptedSource(script), ledger.record, policy=policy, progress=Progress())

    ledger = Ledger()
    report = run(main)
    assert report.stopped
    assert ledger.days == days(4)
    assert report.unfinished == tuple(days(9)[4:])


def test_stop_before_the_start_asks_for_nothing():
    source = ScriptedSource()

    async def main() -> IngestReport:
        stop = asyncio.Event()
        stop.set()
        return await ingest(
            days(5), source, Ledger().record, policy=EnginePolicy(max_concurrency=2), progress=Progress(), stop=stop
        )

    report = run(main)
    assert source.asked == []
    assert report.unfinished == tuple(days(5))


@pytest.mark.parametrize("how", ["stop", "cancel"])
def test_a_day_without_a_file_that_is_being_recorded_is_finished_too(how):
    ledger = Ledger(seconds=1)
    interrupt(ScriptedSource(lambda day, _: Answer(Rejected("header"))), ledger, 1, 1.5, how)
    assert ledger.days == days(1)


def test_an_error_of_record_after_the_run_was_cancelled_is_logged(caplog):
    ended = interrupt(ScriptedSource(), Ledger(seconds=1, fail_at=0), 3, 1.5, "cancel", cap=1)
    assert ended.report is None
    assert "the event log is gone" in caplog.text


def test_no_request_that_waited_at_the_gate_slips_through_at_the_instant_of_the_stop():
    def source() -> ScriptedSource:
        return ScriptedSource(lambda day, attempt: Answer(Throttled("429")) if attempt == 1 else Answer(seconds=30))

    undisturbed = source()
    interrupt(undisturbed, Ledger(), 2, 1000, "stop", cap=2)
    first_retry, second_retry = (at for at, _ in undisturbed.asked[2:])
    assert second_retry == first_retry + 30, "the second waits at the gate for the first"
    same_instant_but_after_it = second_retry + 5e-10  # within the loop's clock resolution: one iteration serves both
    stopped = source()
    ended = interrupt(stopped, Ledger(), 2, same_instant_but_after_it, "stop", cap=2)
    assert stopped.asked == undisturbed.asked[:3]
    assert ended.report is not None
    assert named(ended.report.outcomes.values()) == ["Stored"]
    assert len(ended.report.unfinished) == 1


def test_a_day_whose_task_somebody_else_cancelled_is_unfinished_and_not_called_untried():
    def script(day: date, _: int) -> Answer:
        if day == days(40)[0]:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return Answer(NoData("472"))

    ended = interrupt(ScriptedSource(script), Ledger(), 40, 1000, "stop")
    assert ended.report is not None
    assert ended.report.unfinished == (days(40)[0],)
    assert ended.report.boundary is not None


@pytest.mark.parametrize("how", ["stop", "cancel"])
@pytest.mark.parametrize("at", [1.5, 2.5])
def test_a_day_that_is_being_published_or_recorded_is_finished(how, at):
    source, ledger = ScriptedSource(), Ledger(seconds=1)
    ended = interrupt(source, ledger, 1, at, how, thread_seconds=1)
    assert source.published == ledger.days == days(1)
    assert ended.took == 3 - at
    assert (ended.report is None) == (how == "cancel")


def test_a_second_cancellation_does_not_wait():
    source, ledger = ScriptedSource(), Ledger(seconds=1000)
    ended = interrupt(source, ledger, 1, 1.5, "cancel twice")
    assert ended.report is None
    assert ended.took < 1


def test_stop_ends_pauses_and_the_wait_for_a_vendor():
    source = ScriptedSource(
        lambda day, _: Answer(VendorDown("474") if day == days(2)[0] else Throttled("429")),
        up=lambda: asyncio.sleep(500),
    )
    ended = interrupt(source, Ledger(), 2, 2.75, "stop")
    assert ended.took == 0
    assert ended.report is not None
    assert ended.report.unfinished == tuple(days(2))


def test_stop_cuts_the_recording_of_untried_days_short():
    source = ScriptedSource(lambda day, _: Answer(RunEnded("no terminal")))
    ended = interrupt(source, Ledger(seconds=1), 50, 5.5, "stop", cap=1)
    assert ended.report is not None
    assert len(ended.report.outcomes) == 5
    assert len(ended.report.unfinished) == 45


def test_an_untried_day_that_is_being_recorded_when_the_run_is_cancelled_is_finished():
    source, ledger = ScriptedSource(lambda day, _: Answer(RunEnded("no terminal"))), Ledger(seconds=1)
    interrupt(source, ledger, 50, 5.5, "cancel", cap=1)
    assert len(ledger.entries) == ledger.calls == 5


def test_a_source_that_turns_its_cancellation_into_an_error_is_not_asked_again():
    class Stubborn(ScriptedSource):
        async def fetch(self, day: date, meter) -> MemoryStagedDay:
            try:
                return await super().fetch(day, meter)
            except asyncio.CancelledError:
                raise Transient("the connection was closed") from None

    source = Stubborn(lambda day, _: Answer(seconds=10))
    ended = interrupt(source, Ledger(), 5, 1.0, "stop", cap=2)
    assert len(source.asked) == 2
    assert ended.took == 0


@pytest.mark.parametrize("first_ends", [None, RunEnded("no terminal")])
def test_a_source_that_takes_its_time_to_clean_up_is_cancelled_once_and_waited_for(first_ends):
    cleaned = []

    class Slow(ScriptedSource):
        async def fetch(self, day: date, meter) -> MemoryStagedDay:
            try:
                return await super().fetch(day, meter)
            finally:
                await asyncio.sleep(2)
                cleaned.append(day)

    source = Slow(lambda day, _: Answer(first_ends, seconds=1) if day == days(2)[0] else Answer(seconds=10))
    ended = interrupt(source, Ledger(), 2, 4.0, "stop", cap=2)
    assert cleaned == days(2)
    assert source.temporary == set()
    assert ended.took == (2 if first_ends is None else 1)
