"""The wish to stop, which a Ctrl-C or a service manager expresses at any instant, as a value that work looks at.

Here: the request, and turning signals into it. Not here: how a run ends because of it (`day_run`).

Python's own handler raises `KeyboardInterrupt` in whatever line runs, and Dagster's raises in some stretches and drops
the signal in others. Either can leave a run that was created and never started, or one that works on. So while the
command creates, executes and ends a run, the main thread does nothing but own the signals, and the run, in a thread
beside it, looks at the request where it can stop: before it asks for anything, and while it waits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import NoReturn


class StopRequest:
    """Whether this process was told to stop."""

    def __init__(self) -> None:
        self._made = False
        self._listeners: list[Callable[[], object]] = []

    @property
    def made(self) -> bool:
        """Whether it was."""
        return self._made

    def make(self) -> None:
        """Tell everybody who listens. Called in a signal handler, so it takes no lock."""
        self._made = True
        for listener in tuple(self._listeners):
            listener()

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Have `listener` called when the request is made, at once if it was already; being called twice is harmless.

        Args:
            listener: called in the thread that makes the request, or in this one.
        """
        self._listeners.append(listener)
        try:
            if self._made:
                listener()
            yield
        finally:
            self._listeners.remove(listener)


_interrupt = StopRequest()
"""The interrupts that `keep_interrupts` has seen."""


def keep_interrupts(*numbers: signal.Signals) -> None:
    """From now on let these signals raise `KeyboardInterrupt` where they come, and not be forgotten if that is dropped.

    Python drops what is raised in a callback of the garbage collector or in a destructor, after a line on stderr. So
    the signal would be lost that meets one, as thousands run while modules are loaded; whatever takes signals as a
    request afterwards (`signals_as_request`) is interrupted then. Who ignores a signal goes on ignoring it.
    """
    for number in numbers:
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, _kept_interrupt)


def _kept_interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    _interrupt.make()
    raise KeyboardInterrupt


stop_request: ContextVar[StopRequest | None] = ContextVar("stop_request", default=None)
"""Set around a run whose signals somebody else owns: the run must look here."""


@contextmanager
def signals_as_request() -> Iterator[StopRequest]:
    """Take SIGINT, SIGTERM and SIGHUP (a terminal that was closed) as a request while the context lasts.

    Who ignores a signal goes on ignoring it. Signals belong to the main thread: in another one nobody makes a request.

    Raises:
        KeyboardInterrupt: at the end, if one came: whatever comes after the context is not wanted any more. At once, if
            one came before and was dropped (`keep_interrupts`).
    """
    if _interrupt.made:
        raise KeyboardInterrupt
    request = StopRequest()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Polars, imported since, has put a handler of its own before it
    heeded = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread()
        and (handler := signal.getsignal(number)) not in (None, signal.SIG_IGN)
    }
    for number in heeded:
        signal.signal(number, lambda _number, _frame: request.make())
    try:
        yield request
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
    if request.made:
        raise KeyboardInterrupt
