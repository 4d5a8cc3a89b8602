from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.ingest.outcome import Failed, NoData, NotEntitled, NotPublished, Rejected, Stored
from data_assets.ingest.progress import Phase, Progress, Snapshot, line
from data_assets_tests.ingest.scripted import days

STORED = Stored("p", 1, 1, "0" * 64)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def snapshot(**changed) -> Snapshot:
    values = {
        "total": 50,
        "done": 12,
        "counts": {"Stored": 10, "Failed": 2},
        "active": (),
        "bytes_per_second": 45_120_000.0,
        "rows_per_second": 310_400.0,
        "concurrency": 3,
        "elapsed": 41.0,
        "slowest": None,
        "waits": (),
        "eta": 130.0,
    }
    return Snapshot(**{**values, **changed})


def test_the_line_of_a_run_under_way():
    assert line(snapshot()) == "12/50 days · 2 failed · 45.1 MB/s · 310k rows/s · 3 at once · ETA 2 min 10 s"


def test_the_line_before_anything_has_ended():
    early = snapshot(done=0, counts={}, bytes_per_second=0.0, rows_per_second=0.0, eta=None)
    assert line(early) == "0/50 days · 0.0 MB/s · 0 rows/s · 3 at once · ETA unknown"


def test_the_line_names_every_way_in_which_days_did_not_store():
    counts = {"Stored": 1, "NotEntitled": 2, "NoData": 3, "Failed": 4, "Rejected": 5, "NotPublished": 6}
    assert line(snapshot(done=21, total=21, counts=counts)) == (
        "21/21 days · 4 failed · 5 rejected · 3 no data · 6 not published · 2 not entitled · took 41 s"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7260, "2 h 1 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_durations(seconds, words):
    assert line(snapshot(eta=seconds)).endswith(f"ETA {words}")


@pytest.mark.parametrize(
    ("rate", "words"), [(999.4, "999"), (999.6, "1k"), (999_499, "999k"), (999_500, "1.0M"), (2_440_000, "2.4M")]
)
def test_rows_are_rounded_to_what_a_person_reads(rate, words):
    assert f" {words} rows/s" in line(snapshot(rows_per_second=rate))


def test_days_are_counted_by_how_they_ended():
    progress = Progress(Clock())
    progress.begin(6)
    for day, outcome in zip(
        days(6), [STORED, STORED, NoData("a"), Rejected("b"), NotPublished("c"), NotEntitled("d")], strict=True
    ):
        progress.day_begun(day)
        progress.day_ended(day, outcome)
    shot = progress.snapshot()
    assert dict(shot.counts) == {"Stored": 2, "NoData": 1, "Rejected": 1, "NotPublished": 1, "NotEntitled": 1}
    assert (shot.total, shot.done, shot.active) == (6, 6, ())


def test_days_in_work_show_their_current_try():
    progress = Progress(Clock())
    progress.begin(3)
    first, second = progress.day_begun(days(3)[0]), progress.day_begun(days(3)[1])
    first.enter(Phase.FETCHING)
    first.received(500)
    first.parsed(5)
    first.enter(Phase.PAUSING)
    first.enter(Phase.FETCHING)
    first.received(70)
    shot = progress.snapshot()
    assert [(a.day, a.phase, a.attempt, a.received, a.rows) for a in shot.active] == [
        (days(3)[0], Phase.FETCHING, 2, 70, 0),
        (days(3)[1], Phase.QUEUED, 0, 0, 0),
    ]
    assert first.bytes_received == 70
    progress.day_dropped(days(3)[0])
    second.enter(Phase.RECORDING)
    assert [(a.day, a.phase) for a in progress.snapshot().active] == [(days(3)[1], Phase.RECORDING)]


@given(
    steps=st.lists(st.tuples(st.floats(0.05, 4), st.integers(0, 10**7), st.integers(0, 10**5)), min_size=1, max_size=60)
)
def test_rates_are_what_came_in_the_last_ten_seconds(steps):
    clock = Clock()
    progress = Progress(clock)
    progress.begin(1)
    meter = progress.day_begun(days(1)[0])
    came = []
    for pause, size, rows in steps:
        clock.now += pause
        meter.received(size)
        meter.parsed(rows)
        came.append((clock.now, size, rows))
    elapsed = clock.now - 1000
    window = max(min(10, elapsed), 0.25)
    surely = [entry for entry in came if entry[0] >= clock.now - 9.75]
    perhaps = [entry for entry in came if entry[0] >= clock.now - 10]
    shot = progress.snapshot()
    assert sum(e[1] for e in surely) / window <= shot.bytes_per_second * (1 + 1e-9)
    assert shot.bytes_per_second <= sum(e[1] for e in perhaps) / window * (1 + 1e-9)
    assert sum(e[2] for e in surely) / window <= shot.rows_per_second * (1 + 1e-9)
    assert shot.rows_per_second <= sum(e[2] for e in perhaps) / window * (1 + 1e-9)
    clock.now += 10.5
    assert progress.snapshot().bytes_per_second == 0


def test_the_eta_is_unknown_until_a_day_has_ended_and_then_follows_the_pace():
    clock = Clock()
    progress = Progress(clock)
    clock.now += 500
    progress.begin(10)
    clock.now += 8
    assert progress.snapshot().eta is None
    progress.day_ended(days(2)[0], STORED)
    progress.day_ended(days(2)[1], Failed("cut"))
    shot = progress.snapshot()
    assert (shot.elapsed, shot.eta) == (8, 32)


def test_the_sliding_window_stays_small():
    clock = Clock()
    progress = Progress(clock)
    meter = progress.day_begun(days(1)[0])
    for _ in range(20_000):
        clock.now += 0.01
        meter.received(1)
    assert len(progress._slices) <= 45


@pytest.mark.parametrize(
    "touch",
    [
        lambda progress, meter: progress.snapshot(),
        lambda progress, meter: progress.begin(3),
        lambda progress, meter: progress.day_begun(days(2)[1]),
        lambda progress, meter: progress.day_ended(days(2)[0], STORED),
        lambda progress, meter: progress.day_dropped(days(2)[0]),
        lambda progress, meter: progress.concurrency_is(4),
        lambda progress, meter: meter.received(1),
        lambda progress, meter: meter.parsed(1),
        lambda progress, meter: meter.enter(Phase.FETCHING),
    ],
)
def test_no_thread_reads_or_writes_while_another_one_does(touch):
    progress = Progress()
    meter = progress.day_begun(days(2)[0])
    touched = threading.Event()

    def other() -> None:
        touch(progress, meter)
        touched.set()

    thread = threading.Thread(target=other)
    with progress.lock:
        thread.start()
        assert not touched.wait(0.02)
    thread.join(10)
    assert touched.is_set()
