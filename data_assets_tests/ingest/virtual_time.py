"""An event loop whose clock leaps to the next timer: hours of pauses take no time and always fall the same way."""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _LeapingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everything waits and nothing will ever happen")
            self.now += max(timeout, 0)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Work for a thread runs at once and is done `thread_seconds` later, whoever stops waiting for it."""

    def __init__(self, thread_seconds: float = 0.0) -> None:
        self._leaping = _LeapingSelector()
        self._thread_seconds = thread_seconds
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()

        def deliver(result: T | None, error: BaseException | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(result)

        try:
            result, error = func(*args), None
        except Exception as raised:  # noqa: BLE001  it is handed on, as an executor does
            result, error = None, raised
        self.call_later(self._thread_seconds, deliver, result, error)
        return done


def run(main: Callable[[], Awaitable[T]], *, thread_seconds: float = 0.0, debug: bool = True) -> T:
    """Run `main` to its end on virtual time; a task left behind or an error that nobody saw fails the test."""
    unseen: list[dict] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        try:
            return await main()
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(thread_seconds), debug=debug) as runner:
        try:
            return runner.run(watched())
        finally:
            gc.collect(0)
            assert not unseen, f"errors that nobody saw: {unseen}"
