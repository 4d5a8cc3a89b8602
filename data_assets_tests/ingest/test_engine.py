from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import date
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.ingest.boundary import BOUNDARY_DAYS, DataBoundary
from data_assets.ingest.engine import EnginePolicy, IngestReport, ingest
from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    NoData,
    NotEntitled,
    NotPublished,
    Rejected,
    RunEnded,
    Stored,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.ingest.progress import Phase, Progress
from data_assets.ingest.retry import RetryPolicy
from data_assets_tests.ingest.scripted import DAY_BYTES, DAY_ROWS, Answer, Ledger, ScriptedSource, days, named
from data_assets_tests.ingest.virtual_time import run


def bring_in(
    source: ScriptedSource,
    count: int,
    *,
    cap: int = 4,
    ledger: Ledger | None = None,
    retry: RetryPolicy | None = None,
    progress: Progress | None = None,
    day_bytes: int = 0,
    free_bytes=lambda: None,
    memory_share=lambda: 0.1,
    thread_seconds: float = 0.0,
    first_day_alone: bool = False,
    debug: bool = True,
) -> tuple[IngestReport, Ledger]:
    ledger = ledger or Ledger()
    ledger.source = source

    async def main() -> IngestReport:
        return await ingest(
            reversed(days(count)),
            source,
            ledger.record,
            policy=EnginePolicy(
                max_concurrency=cap,
                day_bytes=day_bytes,
                retry=retry or RetryPolicy(),
                first_day_alone=first_day_alone,
            ),
            progress=progress or Progress(),
            free_bytes=free_bytes,
            memory_share=memory_share,
            rng=Random(7),
        )

    report = run(main, thread_seconds=thread_seconds, debug=debug)
    assert source.in_flight == 0
    assert not source.temporary, "temporary files left"
    assert source.most_in_flight <= cap
    assert dict(ledger.entries) == dict(report.outcomes)
    assert len(ledger.entries) == len(report.outcomes), "a day was recorded twice"
    return report, ledger


# how a day ends


def test_every_outcome_is_recorded_as_the_source_gave_it():
    ends = [
        None,
        NoData("no data for this request"),
        NotPublished("the session has not ended"),
        Rejected("column bid is missing"),
        Failed("the vendor's file is damaged for good"),
        None,
        NotEntitled("the plan begins on 2024-06-23"),
    ]
    report, _ = bring_in(ScriptedSource(lambda day, _: Answer(ends[days(7).index(day)])), 7)
    assert list(report.outcomes) == days(7)
    assert named(report.outcomes.values()) == [
        "Stored",
        "NoData",
        "NotPublished",
        "Rejected",
        "Failed",
        "Stored",
        "NotEntitled",
    ]
    for day, end in zip(days(7), ends, strict=True):
        if end is not None:
            assert report.outcomes[day] == end
    assert (report.unfinished, report.stopped, report.ended, report.boundary) == ((), False, None, None)


def test_no_days_is_an_empty_report():
    report, ledger = bring_in(ScriptedSource(), 0)
    assert report.outcomes == {}
    assert not report.stopped
    assert ledger.calls == 0


def test_doubles_count_once():
    source, ledger = ScriptedSource(), Ledger()

    async def main():
        return await ingest(
            days(3) + days(3), source, ledger.record, policy=EnginePolicy(max_concurrency=2), progress=Progress()
        )

    assert list(run(main).outcomes) == days(3)
    assert sorted(source.days_asked(), reverse=True) == days(3)


def test_days_are_asked_for_newest_first_and_recorded_as_they_end():
    slow = days(6)[1]
    source = ScriptedSource(lambda day, _: Answer(seconds=10 if day == slow else 1))
    _, ledger = bring_in(source, 6, cap=2)
    assert source.days_asked() == days(6)
    assert ledger.days == [day for day in days(6) if day != slow] + [slow]


def test_a_day_is_recorded_before_the_run_is_over():
    recorded_when_last_was_asked = []
    ledger = Ledger()

    def script(day: date, _: int) -> Answer:
        if day == days(10)[-1]:
            recorded_when_last_was_asked.extend(ledger.days)
        return Answer()

    bring_in(ScriptedSource(script), 10, cap=2, ledger=ledger)
    assert len(recorded_when_last_was_asked) >= 6


@settings(deadline=None, max_examples=50)
@given(
    seconds=st.lists(st.sampled_from([0, 0.5, 1, 3]), min_size=1, max_size=15),
    record_seconds=st.sampled_from([0, 0.5, 2]),
    thread_seconds=st.sampled_from([0, 0.5]),
    cap=st.integers(1, 5),
)
def test_records_come_one_at_a_time_after_the_file_has_its_name(seconds, record_seconds, thread_seconds, cap):
    source = ScriptedSource(lambda day, _: Answer(seconds=seconds[days(15).index(day)]))
    report, _ = bring_in(
        source, len(seconds), cap=cap, ledger=Ledger(seconds=record_seconds), thread_seconds=thread_seconds
    )
    assert named(report.outcomes.values()) == ["Stored"] * len(seconds)
    assert sorted(source.published, reverse=True) == days(len(seconds))


def test_publishing_does_not_hold_up_the_loop():
    loop_went_on = threading.Event()
    seen = []

    class Staged:
        def publish(self) -> Stored:
            seen.append(loop_went_on.wait(10))
            return Stored("p", 1, 1, "0" * 64)

        def discard(self) -> None:
            raise AssertionError("a published day is not discarded")

    class Source:
        async def fetch(self, day, meter):
            asyncio.get_running_loop().call_later(0.01, loop_went_on.set)
            return Staged()

        async def wait_until_up(self):
            raise AssertionError("the vendor was never down")

    ledger = Ledger()
    asyncio.run(
        ingest(days(1), Source(), ledger.record, policy=EnginePolicy(max_concurrency=1), progress=Progress()),
        debug=True,
    )
    assert seen == [True]
    assert named(outcome for _, outcome in ledger.entries) == ["Stored"]


def test_the_vendors_line_stays_busy_while_a_day_is_published_and_recorded():
    source = ScriptedSource()
    bring_in(source, 10, cap=1, ledger=Ledger(seconds=0.5), thread_seconds=0.4)
    assert [at for at, _ in source.asked] == [float(n) for n in range(10)]


def test_days_that_wait_to_be_recorded_are_bounded():
    waiting = []
    source, ledger = ScriptedSource(), Ledger(seconds=100)

    def script(day: date, _: int) -> Answer:
        waiting.append(len(source.published) - len(ledger.entries))
        return Answer()

    source.script = script
    bring_in(source, 20, cap=2, ledger=ledger)
    assert max(waiting) <= 4


# retries


def test_a_transient_error_is_tried_again_and_forgotten():
    source = ScriptedSource(lambda day, attempt: Answer(Transient("cut mid-row") if attempt < 4 else None))
    report, _ = bring_in(source, 3)
    assert named(report.outcomes.values()) == ["Stored"] * 3
    assert [source.tries(day) for day in days(3)] == [4, 4, 4]


def test_used_up_tries_are_failed_with_the_last_reason_and_their_number():
    source = ScriptedSource(lambda day, attempt: Answer(Transient(f"body cut\nafter row {attempt}")))
    report, _ = bring_in(source, 1)
    assert report.outcomes[days(1)[0]] == Failed("body cut after row 4 (gave up after 4 failed attempts)")
    assert source.tries(days(1)[0]) == 4


def test_the_other_days_go_on_while_one_fails():
    bad = days(12)[2]
    source = ScriptedSource(lambda day, _: Answer(Transient("reset by peer") if day == bad else None))
    report, _ = bring_in(source, 12)
    assert {day for day, outcome in report.outcomes.items() if outcome.name == "Failed"} == {bad}
    assert named(report.outcomes.values()).count("Stored") == 11


def test_an_outcome_is_final_at_once():
    source = ScriptedSource(lambda day, _: Answer(Rejected("bid is called bidd")))
    bring_in(source, 5)
    assert source.days_asked() == days(5)


def test_throttled_tries_do_not_use_up_the_failed_ones_and_wait_longer():
    source = ScriptedSource(
        lambda day, attempt: Answer(Throttled("429") if attempt <= 6 else Transient("cut") if attempt <= 9 else None)
    )
    report, _ = bring_in(source, 1, cap=1)
    assert named(report.outcomes.values()) == ["Stored"]
    pauses = [after - before - 1 for (before, _), (after, _) in pairwise(source.asked)]
    for pause, ceiling in zip(pauses[:6], [5, 10, 20, 40, 60, 60], strict=True):
        assert ceiling / 2 <= pause <= ceiling
    for pause, ceiling in zip(pauses[6:], [1, 2, 4], strict=True):
        assert 0 <= pause <= ceiling


def test_a_burst_of_refusals_halves_the_requests_in_flight_once():
    source = ScriptedSource()
    refused = set(days(60)[30:])
    source.script = lambda day, attempt: Answer(Throttled("429") if day in refused and attempt == 1 else None)
    progress, limits = Progress(), []
    source_fetch = source.fetch

    async def fetch(day, meter):
        limits.append(progress.snapshot().concurrency)
        return await source_fetch(day, meter)

    source.fetch = fetch
    bring_in(source, 31, cap=8, progress=progress)
    assert max(limits) == 8
    assert limits[-1] == 4, "the last request, the retry of the refused one, is sent under half the limit"


def test_after_a_halving_the_days_in_work_stay_below_the_new_limit():
    at_once: list[tuple[float, int]] = []
    source = ScriptedSource()

    def script(day: date, attempt: int) -> Answer:
        at_once.append((asyncio.get_running_loop().time(), source.in_flight + 1))
        return Answer(Throttled("429") if attempt == 1 else None, seconds=30)

    source.script = script
    report, _ = bring_in(source, 3, cap=3)
    assert named(report.outcomes.values()) == ["Stored"] * 3
    assert max(count for at, count in at_once if at == 0) == 3
    assert [count for at, count in at_once if 30 < at < 60] == [1], "three were halved to one"


@pytest.mark.parametrize("ends", [None, Rejected("header")])
def test_answers_let_the_requests_in_flight_climb_to_the_cap(ends):
    source = ScriptedSource(lambda day, _: Answer(ends))
    bring_in(source, 60, cap=6)
    assert source.most_in_flight == 6


@pytest.mark.parametrize("error", [Transient("cut"), VendorDown("474")])
def test_many_failing_tries_lower_the_requests_in_flight(error):
    progress = Progress()
    source = ScriptedSource(lambda day, _: Answer(error))
    bring_in(source, 4, cap=3, progress=progress)
    assert progress.snapshot().concurrency < 3


def test_full_memory_lowers_the_requests_in_flight():
    source = ScriptedSource()
    bring_in(source, 10, cap=8, memory_share=lambda: 0.9)
    assert source.most_in_flight == 1


# a vendor that is down


def test_a_vendor_that_comes_back_is_asked_again_and_one_wait_serves_all_days():
    back_at = 400.0

    async def up() -> None:
        await asyncio.sleep(back_at - asyncio.get_running_loop().time())

    def script(day: date, _: int) -> Answer:
        return Answer(VendorDown("474") if asyncio.get_running_loop().time() < back_at else None)

    source = ScriptedSource(script, up)
    report, _ = bring_in(source, 6, cap=3)
    assert named(report.outcomes.values()) == ["Stored"] * 6
    assert source.outages == 1
    assert all(at < 5 or at >= back_at for at, _ in source.asked)


def test_a_vendor_that_stays_down_ends_the_run():
    source = ScriptedSource(lambda day, _: Answer(VendorDown("474")), up=lambda: asyncio.sleep(1e9))
    report, _ = bring_in(source, 8, cap=2, retry=RetryPolicy(outage_seconds=60))
    assert report.ended is not None
    assert report.ended.startswith("the vendor was not reachable for 60 s;")
    assert {outcome.reason for outcome in report.outcomes.values()} == {report.ended}
    assert [outcome.tried for outcome in report.outcomes.values()] == [True] * 2 + [False] * 6


def test_a_wait_that_reports_no_luck_counts_as_a_failed_try():
    async def not_up() -> None:
        raise Transient("the terminal still says DISCONNECTED")

    source = ScriptedSource(lambda day, _: Answer(VendorDown("474")), up=not_up)
    report, _ = bring_in(source, 1)
    gave_up = "the terminal still says DISCONNECTED (gave up after 4 failed attempts)"
    assert report.outcomes[days(1)[0]] == Failed(gave_up)


def test_a_wait_may_end_the_run():
    async def not_up() -> None:
        raise RunEnded("the terminal is not running; start it with java -jar")

    source = ScriptedSource(lambda day, _: Answer(VendorDown("474")), up=not_up)
    report, _ = bring_in(source, 5, cap=2)
    assert report.ended == "the terminal is not running; start it with java -jar"
    assert named(report.outcomes.values()) == ["Failed"] * 5


def test_a_timeout_of_the_sources_own_is_not_the_engines_deadline():
    async def up() -> None:
        raise TimeoutError("the probe took too long")

    source = ScriptedSource(lambda day, _: Answer(VendorDown("474")), up=up)
    report, _ = bring_in(source, 1)
    assert report.outcomes[days(1)[0]] == Failed("unexpected TimeoutError: the probe took too long")


# a run that cannot go on


def test_run_ended_fails_every_other_day_and_cancels_those_in_flight():
    fatal = days(30)[5]
    source = ScriptedSource(
        lambda day, _: Answer(RunEnded("no terminal"), seconds=0.5) if day == fatal else Answer(seconds=2)
    )
    report, _ = bring_in(source, 30, cap=3)
    stored = {day for day, outcome in report.outcomes.items() if outcome.name == "Stored"}
    assert stored == set(source.published)
    assert len(stored) >= 3
    assert {outcome for outcome in report.outcomes.values() if isinstance(outcome, Failed)} == {
        Failed("no terminal"),
        Failed("no terminal", tried=False),
    }
    assert {day for day, outcome in report.outcomes.items() if getattr(outcome, "tried", True)} == set(
        source.days_asked()
    )
    assert report.ended == "no terminal"
    assert report.unfinished == ()
    last_asked = max(at for at, _ in source.asked)
    assert last_asked <= next(at for at, day in source.asked if day == fatal) + 0.5


def test_a_day_being_published_when_the_run_ends_is_kept():
    def script(day: date, _: int) -> Answer:
        return Answer(RunEnded("no terminal") if day == days(2)[1] else None, seconds=1.0 if day == days(2)[0] else 1.5)

    report, _ = bring_in(ScriptedSource(script), 2, thread_seconds=1.0)
    assert named(report.outcomes.values()) == ["Stored", "Failed"]


def test_the_first_reason_to_end_is_the_runs():
    def script(day: date, _: int) -> Answer:
        if day == days(5)[0]:
            return Answer(RunEnded("no terminal"), seconds=1)
        return Answer(publish_error=RunEnded("the lake is gone"), seconds=0.5)

    report, _ = bring_in(ScriptedSource(script), 5, cap=2, thread_seconds=1)
    assert report.ended == "no terminal"
    assert [outcome.reason for outcome in report.outcomes.values()] == [
        "no terminal",
        "the lake is gone",
        *["no terminal"] * 3,
    ]


def test_a_defect_of_the_source_fails_its_day_and_shows_the_traceback(caplog):
    bad = days(9)[4]
    source = ScriptedSource(lambda day, _: Answer(ValueError("strike\ncolumn") if day == bad else None))
    with caplog.at_level(logging.ERROR, "data_assets.ingest.engine"):
        report, _ = bring_in(source, 9)
    assert named(report.outcomes.values()).count("Stored") == 8
    assert report.outcomes[bad] == Failed("unexpected ValueError: strike column")
    assert source.tries(bad) == 1
    assert "in fetch" in caplog.text


@pytest.mark.parametrize(("pattern", "ends"), [("bbb", True), ("bbsbbs", False), ("bbnbb", False), ("sbsbbb", True)])
def test_three_defects_in_a_row_end_the_run(pattern, ends):
    answers = {"b": ZeroDivisionError("by zero"), "s": None, "n": NoData("none")}
    padded = pattern + "s" * 5
    source = ScriptedSource(lambda day, _: Answer(answers[padded[days(len(padded)).index(day)]]))
    report, _ = bring_in(source, len(padded), cap=1)
    if not ends:
        assert report.ended is None
        assert source.days_asked() == days(len(padded))
    else:
        assert report.ended is not None
        assert "ZeroDivisionError: by zero" in report.ended
        assert source.days_asked() == days(len(pattern))
        assert all(report.outcomes[day] == Failed(report.ended, tried=False) for day in days(len(padded))[-5:])


@pytest.mark.parametrize("as_error", ["transient", "day ended"])
@pytest.mark.parametrize(
    ("causes", "ends_after"),
    [
        (["400", "400", "400"], 3),
        (["400", "400", "stored", "400", "400"], None),
        (["400", "418", "400", "418"], None),
        (["400", "418", "418", "418"], 4),
        (["", "", "", ""], None),
    ],
)
def test_the_same_cause_on_three_days_in_a_row_ends_the_run(as_error, causes, ends_after):
    padded = [*causes, *["stored"] * 5]

    def script(day: date, _: int) -> Answer:
        cause = padded[days(len(padded)).index(day)]
        if cause == "stored":
            return Answer()
        said = f"the vendor says {cause}: restart the terminal"
        if as_error == "transient":
            return Answer(Transient(said, cause=cause))
        return Answer(DayEnded(Failed(said, cause=cause)))

    report, _ = bring_in(source := ScriptedSource(script), len(padded), cap=1)
    if ends_after is None:
        assert report.ended is None
        assert named(report.outcomes.values()) == ["Stored" if cause == "stored" else "Failed" for cause in padded]
    else:
        last = days(len(padded))[ends_after - 1]
        assert report.ended is not None
        assert report.ended.startswith(f"3 days in a row failed for the same cause, the last of them {last}: ")
        assert "the vendor says" in report.ended
        assert sorted(set(source.days_asked()), reverse=True) == days(ends_after)
        assert named(report.outcomes.values()) == ["Failed"] * len(padded)


def test_a_cancellation_that_escapes_from_the_source_is_a_defect_and_no_stop():
    bad = days(6)[1]
    source = ScriptedSource(
        lambda day, _: Answer(asyncio.CancelledError("a task of the client") if day == bad else None)
    )
    report, _ = bring_in(source, 6)
    assert report.outcomes[bad] == Failed("unexpected CancelledError: a task of the client")
    assert named(report.outcomes.values()).count("Stored") == 5


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OSError("no space left"), Failed("unexpected OSError: no space left")),
        (Transient("the bucket timed out"), Failed("the bucket timed out (gave up after 4 failed attempts)")),
        (DayEnded(Rejected("the file does not read back")), Rejected("the file does not read back")),
        (RunEnded("the lake is gone"), Failed("the lake is gone")),
    ],
)
def test_a_publication_that_fails_leaves_no_file(error, outcome):
    source = ScriptedSource(lambda day, _: Answer(publish_error=error))
    report, _ = bring_in(source, 1)
    assert report.outcomes[days(1)[0]] == outcome
    assert source.published == []


@settings(deadline=None, max_examples=50)
@given(fail_at=st.integers(0, 9), cap=st.integers(1, 4), record_seconds=st.sampled_from([0, 0.5, 3]))
def test_an_error_of_record_ends_the_run_with_that_error(fail_at, cap, record_seconds):
    source, ledger = ScriptedSource(), Ledger(seconds=record_seconds, fail_at=fail_at)
    with pytest.raises(OSError, match="the event log is gone"):
        bring_in(source, 12, cap=cap, ledger=ledger, thread_seconds=0.3)
    assert ledger.calls == fail_at + 1, "record is not called again"
    assert (source.in_flight, source.temporary) == (0, set())
    assert set(ledger.days) <= set(source.published), "whatever was recorded is on disk"
    assert len(source.asked) < 12 or fail_at + 2 * cap >= 10


def test_an_error_of_record_for_a_day_that_was_not_asked_for_ends_the_run_too():
    source = ScriptedSource(lambda day, _: Answer(RunEnded("no terminal")))
    ledger = Ledger(fail_at=3)
    with pytest.raises(OSError, match="the event log is gone"):
        bring_in(source, 12, cap=1, ledger=ledger)
    assert ledger.calls == 4


# disk


def test_a_full_disk_ends_the_run_before_anything_is_asked():
    source = ScriptedSource()
    report, _ = bring_in(source, 5, day_bytes=3_000_000_000, free_bytes=lambda: 1_200_000_000)
    assert source.asked == []
    assert set(report.outcomes.values()) == {Failed(report.ended or "", tried=False)}
    assert "1.20 GB are free and a day needs about 3.00 GB" in (report.ended or "")


def test_a_disk_that_fills_up_ends_the_run_when_not_even_one_day_fits():
    source = ScriptedSource()
    report, _ = bring_in(source, 10, day_bytes=10, free_bytes=lambda: 45 - 10 * len(source.published))
    assert named(report.outcomes.values()) == ["Stored"] * 4 + ["Failed"] * 6
    assert source.days_asked() == days(4)


def test_a_small_disk_lowers_the_days_in_work_instead_of_ending_the_run():
    source = ScriptedSource()
    report, _ = bring_in(source, 6, day_bytes=10, free_bytes=lambda: 25)
    assert source.most_in_flight == 2
    assert named(report.outcomes.values()) == ["Stored"] * 6


# what newer days say of older ones


def test_a_refused_day_spares_the_older_ones_and_newer_ones_finish():
    refused = days(40)[10]

    def script(day: date, _: int) -> Answer:
        if day > refused:
            return Answer(seconds=9)
        return Answer(NotEntitled("your plan begins on 2024-06-19"), seconds=1)

    source = ScriptedSource(script)
    report, _ = bring_in(source, 40, cap=3)
    assert named(report.outcomes.values()) == ["Stored"] * 10 + ["NotEntitled"] * 30
    untried = [day for day, outcome in report.outcomes.items() if not getattr(outcome, "tried", True)]
    assert untried == [day for day in days(40) if day not in source.days_asked()]
    assert len(untried) >= 27
    assert str(refused) in report.outcomes[untried[0]].reason
    assert "your plan begins on 2024-06-19" in report.outcomes[untried[0]].reason
    assert report.boundary is None


def test_a_refusal_spares_an_older_day_its_other_tries():
    newest, refused, older = days(3)

    def script(day: date, _: int) -> Answer:
        if day == refused:
            return Answer(NotEntitled("your plan begins on 2024-06-28"), seconds=1)
        return Answer(Transient("cut") if day == older else None, seconds=0.9)

    source = ScriptedSource(script)
    report, _ = bring_in(source, 3, cap=3, retry=RetryPolicy(base_seconds=10))
    assert source.tries(older) == 1
    assert report.outcomes[older] == NotEntitled(
        f"not asked: the vendor refused the newer day {refused}: your plan begins on 2024-06-28", tried=False
    )
    assert named([report.outcomes[newest]]) == ["Stored"]


@pytest.mark.parametrize("ends", [NotEntitled("your plan lacks greeks"), RunEnded("no terminal")])
def test_an_account_that_lacks_the_data_is_asked_once_where_the_first_day_is_alone(ends):
    source = ScriptedSource(lambda day, _: Answer(ends))
    report, _ = bring_in(source, 50, cap=4, first_day_alone=True)
    assert source.days_asked() == days(50)[:1]
    assert [outcome.tried for outcome in report.outcomes.values()] == [True] + [False] * 49


def test_the_others_follow_the_first_days_first_byte():
    """Not its end: a day may take minutes."""

    class Source(ScriptedSource):
        async def fetch(self, day, meter):
            if day == days(6)[0]:
                await asyncio.sleep(5)
                meter.received(1)
            return await super().fetch(day, meter)

    source = Source(lambda day, _: Answer(seconds=20))
    report, _ = bring_in(source, 6, cap=4, first_day_alone=True)
    assert named(report.outcomes.values()) == ["Stored"] * 6
    assert [at for at, _ in source.asked[:3]] == [5, 5, 5]


def test_a_first_day_without_data_lets_more_than_one_follow():
    source = ScriptedSource(lambda day, _: Answer(NoData("472") if day == days(9)[0] else None))
    bring_in(source, 9, cap=3, first_day_alone=True)
    assert source.most_in_flight == 3


@settings(deadline=None, max_examples=50)
@given(seconds=st.lists(st.sampled_from([0, 1, 2, 7]), min_size=20, max_size=20), cap=st.integers(1, 6))
def test_the_boundary_is_found_at_exactly_twenty_however_the_answers_interleave(seconds, cap):
    newest_first = days(45)
    position = {day: at for at, day in enumerate(newest_first)}
    source = ScriptedSource()

    def script(day: date, _: int) -> Answer:
        answered = "".join("." if other in source.answered else "|" for other in newest_first[3:])
        assert "." * BOUNDARY_DAYS not in answered, "twenty in a row were known to be empty when this day was asked for"
        return Answer(NoData("472") if position[day] >= 3 else None, seconds=seconds[position[day] % 20])

    source.script = script
    report, _ = bring_in(source, 45, cap=cap)
    assert named(report.outcomes.values()) == ["Stored"] * 3 + ["NoData"] * 42
    assert report.boundary == DataBoundary(newest_first[2], newest_first[3], newest_first[3 + BOUNDARY_DAYS - 1])
    untried = [day for day, outcome in report.outcomes.items() if not getattr(outcome, "tried", True)]
    assert untried == newest_first[len(source.asked) :]
    assert len(source.asked) >= 3 + BOUNDARY_DAYS


def test_with_answers_in_order_no_day_is_asked_for_beyond_the_twentieth():
    source = ScriptedSource(lambda day, _: Answer(NoData("472")))
    bring_in(source, 60, cap=1)
    assert source.days_asked() == days(BOUNDARY_DAYS)


def test_nineteen_empty_days_are_no_boundary():
    source = ScriptedSource(lambda day, _: Answer(NoData("472") if day in days(60)[3:22] else None))
    report, _ = bring_in(source, 60)
    assert source.days_asked() == days(60)
    assert report.boundary is None


def test_a_failed_day_among_the_empty_ones_is_not_an_empty_day():
    bad = days(45)[15]
    source = ScriptedSource(lambda day, _: Answer(Transient("timed out") if day == bad else NoData("472")))
    report, _ = bring_in(source, 45, cap=1)
    assert source.tries(bad) == 4
    assert report.boundary is not None
    assert report.boundary.empty_from == days(45)[16]
    assert report.boundary.data_from is None


def test_an_older_day_with_data_takes_the_boundary_back():
    in_flight = days(60)[20]

    def script(day: date, _: int) -> Answer:
        return Answer(None, seconds=99) if day == in_flight else Answer(NoData("472") if day > in_flight else None)

    source = ScriptedSource(script)
    report, _ = bring_in(source, 60, cap=3)
    assert set(source.days_asked()) == set(days(60))
    assert report.boundary is None
    assert named(report.outcomes.values()) == ["NoData"] * 20 + ["Stored"] * 40


def test_untried_days_say_where_the_data_begins():
    report, _ = bring_in(ScriptedSource(lambda day, _: Answer(NoData("472") if day < days(60)[2] else None)), 60)
    oldest = report.outcomes[days(60)[-1]]
    assert isinstance(oldest, NoData)
    assert not oldest.tried
    assert f"the vendor has data from {days(60)[2]} on" in oldest.reason


# progress, as the engine reports it


def test_progress_follows_the_run():
    progress, seen = Progress(), []

    def script(day: date, attempt: int) -> Answer:
        seen.append(progress.snapshot())
        return Answer(Transient("cut") if day == days(5)[4] and attempt == 1 else None)

    ledger = Ledger()
    bring_in(ScriptedSource(script), 5, cap=2, ledger=ledger, progress=progress)
    assert [shot.total for shot in seen] == [5] * 6
    assert seen[0].done == 0
    assert [(day.day, day.phase, day.attempt) for day in seen[0].active] == [(days(5)[0], Phase.FETCHING, 1)]
    assert [day.attempt for day in seen[-1].active if day.day == days(5)[4]] == [2]
    final = progress.snapshot()
    assert (final.done, dict(final.counts), final.active) == (5, {"Stored": 5}, ())


def test_rows_and_bytes_reach_the_display():
    progress = Progress(clock=lambda: 0.0)
    shots = []

    class Watching(Ledger):
        async def record(self, day, outcome):
            shots.append(progress.snapshot().active)
            await super().record(day, outcome)

    bring_in(ScriptedSource(), 1, ledger=Watching(), progress=progress)
    assert [(day.phase, day.received, day.rows) for day in shots[0]] == [(Phase.RECORDING, DAY_BYTES, DAY_ROWS)]


# cost


def test_the_cost_of_a_day_does_not_grow_with_the_run():
    def cost(count: int) -> float:
        source = ScriptedSource(lambda day, _: Answer(seconds=0))
        source.tries = lambda day: 1  # the script does not use it, and counting is quadratic
        began = time.process_time()
        bring_in(source, count, debug=False)
        return time.process_time() - began

    cost(50)
    assert min(cost(2012) for _ in range(2)) < 8 * min(cost(503) for _ in range(3))
