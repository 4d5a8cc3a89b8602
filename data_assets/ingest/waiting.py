"""What a run waits for, since when, and until when; told by the code that waits, wherever that is.

A run that waits looks like one that hangs, and its estimated end would be wrong. So every wait that may take longer
than a moment stands inside `waiting`, and whatever shows the run shows the wait.

Here: the waits of a run. Not here: how long they last, and showing them (`progress`, the command's display).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count


def local_now() -> datetime:
    """This instant, in the zone of the machine: these times are read beside its clock."""
    return datetime.now().astimezone()


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait.

    Attributes:
        what: what is waited for, in words that follow "waiting for".
        since: when the wait began, with a time zone.
        until: when it ends at the latest, with a time zone; or in words what ends it, if that is not a time.
    """

    what: str
    since: datetime
    until: datetime | str

    def __str__(self) -> str:
        until = self.until if isinstance(self.until, str) else f"{self.until:%H:%M:%S}"
        return f"waiting for {self.what}, since {self.since:%H:%M:%S}, until {until}"


class Waits:
    """The waits of one run; any thread may begin, end and read them."""

    def __init__(self, now: Callable[[], datetime] = local_now) -> None:
        """Nothing is waited for; ``now`` is the wall clock."""
        self._now = now
        self._lock = threading.Lock()
        self._keys = count()
        self._waits: dict[int, tuple[datetime, Wait]] = {}

    @contextmanager
    def waiting(self, what: str, until: float | str, after: float = 0.0) -> Iterator[None]:
        """Count `what` as waited for while the context lasts: for `until` seconds at most, or until what it says.

        Args:
            what: see `Wait`.
            until: see above.
            after: seconds for which this is the usual course of things, and not told.
        """
        since = self._now()
        wait = Wait(what, since, until if isinstance(until, str) else since + timedelta(seconds=until))
        with self._lock:
            key = next(self._keys)
            self._waits[key] = since + timedelta(seconds=after), wait
        try:
            yield
        finally:
            with self._lock:
                del self._waits[key]

    def current(self) -> tuple[Wait, ...]:
        """Return each thing that is waited for once, however many days wait for it, in the order in which they began.

        What is not to be told yet is left out.

        It is waited for since the first of these waits began, and until the last of them ends.
        """
        now = self._now()
        with self._lock:
            waits = [wait for told_from, wait in self._waits.values() if told_from <= now]
        found: dict[str, Wait] = {}
        for wait in waits:
            before = found.setdefault(wait.what, wait)
            if isinstance(before.until, datetime) and isinstance(wait.until, datetime):
                found[wait.what] = Wait(wait.what, before.since, max(before.until, wait.until))
        return tuple(found.values())


SILENCE_SECONDS = 10.0
"""For so long the next bytes of an answer are waited for as a matter of course (a judgement)."""

_LAKE = "the lake's object store"


def lake_busy(waits: Iterable[Wait]) -> bool:
    """Whether one of the waits is for the lake: a day that is being published makes no progress then."""
    return any(wait.what.startswith(_LAKE) for wait in waits)


def waiting_for_the_lake(said: str | None, until: float) -> AbstractContextManager[None]:
    """Enter while an object store is asked, and while a busy one is asked again.

    Args:
        said: what the busy one said; "" if it did not answer; None while nothing is heard of it.
        until: seconds after which it is given up at the latest.
    """
    if said is None:
        return waiting(f"{_LAKE} to answer", until, SILENCE_SECONDS)
    what = f"which asks for fewer requests ({said})" if said else "which did not answer and is asked again"
    return waiting(f"{_LAKE}, {what}", until)


def waiting_for_an_answer(of: str, until: float) -> AbstractContextManager[None]:
    """Enter for each piece of an answer that is waited for; it is told once it has lasted longer than usual.

    Args:
        of: who is to answer.
        until: seconds without a byte after which the request is given up.
    """
    return waiting(f"{of} to answer, or to go on with its answer", until, SILENCE_SECONDS)


run_waits: ContextVar[Waits | None] = ContextVar("run_waits", default=None)
"""The waits of the run that this code works for; set around a run."""


@contextmanager
def waiting(what: str, until: float | str, after: float = 0.0) -> Iterator[None]:
    """Do as `Waits.waiting` for the run that this code works for; outside of a run, do nothing."""
    waits = run_waits.get()
    if waits is None:
        yield
        return
    with waits.waiting(what, until, after):
        yield
