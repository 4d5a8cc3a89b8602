"""How far a run is: counts, rates and an estimate of the rest, readable from any thread while the run works.

Here: the numbers, and the one line of text that logs show. Not here: drawing them (`cli.display`), and any decision
that depends on them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from data_assets.counts import count_of
from data_assets.ingest.outcome import Failed, NoData, NotEntitled, NotPublished, Outcome, Rejected
from data_assets.ingest.waiting import Wait, Waits, lake_busy

WINDOW_SECONDS = 10.0
WAITS_SHOWN = 3
_SLICE_SECONDS = 0.25

IN_WORDS = {
    Failed.name: "failed",
    Rejected.name: "rejected",
    NoData.name: "no data",
    NotPublished.name: "not published",
    NotEntitled.name: "not entitled",
}


class Phase(StrEnum):
    """What a day that has begun and not ended is doing."""

    QUEUED = "waiting for its turn"
    FETCHING = "fetching"
    PAUSING = "pausing before the next attempt"
    VENDOR_DOWN = "waiting for the vendor"
    PUBLISHING = "publishing"
    RECORDING = "recording"


day_at_work: ContextVar[date | None] = ContextVar("day_at_work", default=None)
"""The day that the engine brings in where this is asked, so that a line of the log can say which."""

_STANDING = {Phase.PAUSING, Phase.VENDOR_DOWN}


@dataclass(frozen=True, slots=True)
class ActiveDay:
    """A day in work; `received` bytes and `rows` are those of attempt number `attempt` (0 before the first)."""

    day: date
    phase: Phase
    attempt: int
    received: int
    rows: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one instant.

    Attributes:
        total: days of the run.
        done: days that have ended, however they did.
        counts: outcome's name -> days that ended with it.
        active: days in work, in the order they began.
        bytes_per_second: received over the last ten seconds, including failed attempts.
        rows_per_second: parsed over the last ten seconds, including failed attempts.
        concurrency: requests that may be in flight at once.
        elapsed: seconds since the run began.
        slowest: the ended day that took the longest, and its seconds; None before one has ended.
        waits: what is waited for now.
        eta: seconds until the run ends at the pace so far. None before the first day has ended, and while nothing
            moves: every day in work pauses or waits for the vendor, or no byte, row or end of a day came for longer
            than two days took on average.
    """

    total: int
    done: int
    counts: Mapping[str, int]
    active: tuple[ActiveDay, ...]
    bytes_per_second: float
    rows_per_second: float
    concurrency: int
    elapsed: float
    slowest: tuple[date, float] | None
    waits: tuple[Wait, ...]
    eta: float | None


class DayProgress:
    """One day in work; the `DayMeter` that its download reports to, from whatever thread it parses in.

    Attributes:
        began: when, by the run's clock.
    """

    def __init__(self, progress: Progress, day: date) -> None:
        self._progress = progress
        self._day = day
        self._phase = Phase.QUEUED
        self._attempt = 0
        self._received = 0
        self._rows = 0
        self.began = progress.now()

    @property
    def bytes_received(self) -> int:
        """Bytes received in the current attempt."""
        return self._received

    @property
    def attempts(self) -> int:
        """How many attempts have begun so far."""
        return self._attempt

    def received(self, size: int) -> None:
        """Count `size` more bytes off the wire."""
        with self._progress.lock:
            self._received += size
            self._progress.count(size, 0)

    def parsed(self, rows: int) -> None:
        """Count `rows` more rows parsed."""
        with self._progress.lock:
            self._rows += rows
            self._progress.count(0, rows)

    def enter(self, phase: Phase) -> None:
        """Record what the day does now; entering `FETCHING` begins another attempt."""
        with self._progress.lock:
            self._phase = phase
            if phase is Phase.FETCHING:
                self._attempt += 1
                self._received = self._rows = 0

    def frozen(self) -> ActiveDay:
        """Return the day as it is at this instant; the caller holds the lock."""
        return ActiveDay(self._day, self._phase, self._attempt, self._received, self._rows)


class Progress:
    """The progress of one run. The engine writes it; anyone, in any thread, takes snapshots.

    Attributes:
        lock: held for every read and write of the numbers.
        waits: what the run waits for, told by whoever waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.waits = Waits()
        self._clock = clock
        self._began = self._moved = clock()
        self._total = 0
        self._counts: Counter[str] = Counter()
        self._active: dict[date, DayProgress] = {}
        self._slices: deque[tuple[float, int, int]] = deque()
        self._concurrency = 0
        self._slowest: tuple[date, float] | None = None

    def now(self) -> float:
        """Return the current instant by the run's clock."""
        return self._clock()

    def begin(self, total: int) -> None:
        """Begin the run now, with `total` days."""
        with self.lock:
            self._began = self._moved = self._clock()
            self._total = total

    def day_begun(self, day: date) -> DayProgress:
        """Count `day` as in work from now on."""
        with self.lock:
            return self._active.setdefault(day, DayProgress(self, day))

    def day_ended(self, day: date, outcome: Outcome) -> None:
        """Count `day` as ended, whether or not it was in work."""
        with self.lock:
            self._moved = self._clock()
            meter = self._active.pop(day, None)
            self._counts[outcome.name] += 1
            if meter is not None:
                seconds = self._clock() - meter.began
                self._slowest = max(self._slowest or (day, seconds), (day, seconds), key=lambda each: each[1])

    def day_dropped(self, day: date) -> None:
        """Count `day` as not in work, without an outcome (yet)."""
        with self.lock:
            self._active.pop(day, None)

    def concurrency_is(self, limit: int) -> None:
        """Record how many requests may be in flight from now on."""
        with self.lock:
            self._concurrency = limit

    def count(self, size: int, rows: int) -> None:
        """Add to the sliding window; the caller holds the lock."""
        now = self._moved = self._clock()
        if self._slices and now - self._slices[-1][0] < _SLICE_SECONDS:
            since, sizes, all_rows = self._slices[-1]
            self._slices[-1] = (since, sizes + size, all_rows + rows)
        else:
            self._slices.append((now, size, rows))
            self._forget_before(now - WINDOW_SECONDS)

    def _forget_before(self, instant: float) -> None:
        while self._slices and self._slices[0][0] < instant:
            self._slices.popleft()

    def snapshot(self) -> Snapshot:
        """Return the run as it is at this instant."""
        with self.lock:
            now = self._clock()
            self._forget_before(now - WINDOW_SECONDS)
            elapsed = now - self._began
            window = max(min(WINDOW_SECONDS, elapsed), _SLICE_SECONDS)
            done = self._counts.total()
            return Snapshot(
                total=self._total,
                done=done,
                counts=MappingProxyType(dict(self._counts)),
                active=tuple(day.frozen() for day in self._active.values()),
                bytes_per_second=sum(size for _, size, _ in self._slices) / window,
                rows_per_second=sum(rows for _, _, rows in self._slices) / window,
                concurrency=self._concurrency,
                elapsed=elapsed,
                slowest=self._slowest,
                waits=self.waits.current(),
                eta=(self._total - done) * elapsed / done if done and self._moves(now, done) else None,
            )

    def _moves(self, now: float, done: int) -> bool:
        """Whether anything moves, measured by the days' average pace; the caller holds the lock."""
        pace = (self._moved - self._began) / done
        phases = {day.frozen().phase for day in self._active.values()}
        standing = _STANDING | ({Phase.PUBLISHING} if lake_busy(self.waits.current()) else set())
        return not (phases and phases <= standing) and now - self._moved <= max(WINDOW_SECONDS, 2 * pace)


def line(snapshot: Snapshot) -> str:
    """Return one line for logs: `12/50 days · 2 failed · 45.1 MB/s · 310k rows/s · 3 at once · ETA 2 min 10 s`."""
    if not snapshot.total:  # a source is opened first, and may have to wait for its vendor
        return " · ".join(["no day begun yet", f"{duration(snapshot.elapsed)} so far", *_waits(snapshot)])
    parts = [f"{snapshot.done:,}/{count_of(snapshot.total, 'day')}"]
    parts += [f"{snapshot.counts[name]} {words}" for name, words in IN_WORDS.items() if snapshot.counts.get(name)]
    if snapshot.done == snapshot.total:
        return " · ".join([*parts, f"took {duration(snapshot.elapsed)}"])
    return " · ".join(
        [
            *parts,
            f"{snapshot.bytes_per_second / 1e6:.1f} MB/s",
            f"{_short(snapshot.rows_per_second)} rows/s",
            f"{snapshot.concurrency} at once",
            *ending(snapshot),
        ]
    )


def ending(snapshot: Snapshot) -> list[str]:
    """Say when a run ends, if that can be estimated, and what it waits for."""
    eta = [] if snapshot.eta is None else [f"ETA {duration(snapshot.eta)}"]
    return [*eta, *_waits(snapshot)] or ["ETA unknown"]


def _waits(snapshot: Snapshot) -> list[str]:
    waits = [str(wait) for wait in snapshot.waits[:WAITS_SHOWN]]
    more = len(snapshot.waits) - len(waits)
    return [*waits, *([f"and {more} more waits"] if more > 0 else [])]


def _short(number: float) -> str:
    if number < 999.5:
        return f"{number:.0f}"
    return f"{number / 1e3:.0f}k" if number < 999_500 else f"{number / 1e6:.1f}M"


def bytes_text(size: float) -> str:
    """Write a number of bytes: `12 kB`, `1.5 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e3:,.0f} kB"


def duration(seconds: float) -> str:
    """Write seconds in words: `41 s`, `2 min 10 s`, `25 h 1 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
