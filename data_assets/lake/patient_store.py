"""An object store that is asked again while it asks for patience, for longer than the throttling of a busy minute.

obstore tries again by itself, and by its own choice gives up after a second or two: its pauses hardly grow. Its errors
show no header, so a ``Retry-After`` cannot be obeyed; pauses that double to a quarter of a minute come as close.

Here: which answers are worth another try, and the pauses. Not here: what is stored (``storage``).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from random import uniform
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import BaseError

from data_assets.lake.errors import one_line

if TYPE_CHECKING:
    from mmap import mmap

    from obstore import GetOptions, ObjectMeta, PutMode
    from obstore.store import S3Store

UPLOAD_SECONDS = 900.0
"""For one PUT of a large day over a home line; obstore's default of 30 s is for the whole request."""

SILENCE_SECONDS = 60.0
"""Without a byte, after which any other request is given up: a store that takes a connection and no more is away."""

PATIENCE_SECONDS = 180.0
"""How long a store may ask for patience. Amazon's guides speak of some minutes while a bucket takes on more load."""

UNREACHABLE_SECONDS = 3.0
"""The same where the store has not answered once yet, so that a wrong address is told at once."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0

POLARS_OPTIONS: dict[str, str | int | float] = {
    "max_retries": int(PATIENCE_SECONDS),
    "retry_timeout_ms": int(PATIENCE_SECONDS * 1_000),
    "retry_init_backoff_ms": 1_000,
    "retry_max_backoff_ms": int(_LONGEST_PAUSE * 1_000),
}
"""The same patience for what Polars reads from a store by itself; no pause of its is shorter than the first."""

_BUSY = re.compile(
    r"status code: (?:408|429|5\d\d)"
    r"|<Code>(?:ConditionalRequestConflict|SlowDown|InternalError|ServiceUnavailable|RequestTimeout|Throttling\w*|TooManyRequests\w*)</Code>"
)
_HOPELESS = ("status code: 501", "kind: Builder", "InvalidCertificate", "InvalidContentType", "ProxyAuthRequired")

_STATUS = re.compile(r"status code: (\d{3}(?: [A-Z][A-Za-z]*)*)")

store_wait: ContextVar[Callable[[str | None, float], AbstractContextManager[None]]] = ContextVar(
    "store_wait", default=lambda _said, _seconds: nullcontext()
)
"""Entered while a store is asked, with None and the seconds after which it is given up; and while it asks for patience,
with what it answers ("" for nothing) and for how many seconds it is asked again at most.

Set by who runs something that a person looks at."""

_Answer = TypeVar("_Answer")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to ask again.

    Attributes:
        seconds: from the first refusal on; a request that takes long itself is tried twice all the same.
        pause: waits for some seconds.
        clock: seconds on a clock that never jumps.
    """

    seconds: float = PATIENCE_SECONDS
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


class PatientStore:
    """An S3 store whose calls are those of obstore, tried again until the patience is used up. For several threads.

    The store is to try nothing again by itself. What it answers in earnest (not found, exists already, another version,
    no permission) is raised at once.
    """

    def __init__(self, store: S3Store, patience: Patience, slow: S3Store) -> None:
        """Bind the two sets of time limits that a store is asked with.

        Args:
            store: for requests that are answered soon, by `SILENCE_SECONDS`.
            patience: while it is busy.
            slow: the same store for uploads and copies, by `UPLOAD_SECONDS`.
        """
        self._store, self._slow = store, slow
        self._patience = patience
        self._has_answered = False

    def put(self, name: str, body: bytes | mmap, *, mode: PutMode = "overwrite") -> None:
        """Store an object with one PUT.

        With a condition, an answer that was lost on its way makes an object look like somebody else's.
        """
        self._ask(name, lambda: self._slow.put(name, body, use_multipart=False, mode=mode), UPLOAD_SECONDS)

    def read(self, name: str, options: GetOptions) -> memoryview:
        """The bytes of an object, or of a range of it."""
        return self._ask(name, lambda: memoryview(self._store.get(name, options=options).bytes()))

    def head(self, name: str) -> ObjectMeta:
        """What the store knows of an object."""
        return self._ask(name, lambda: self._store.head(name))

    def copy(self, name: str, to: str) -> None:
        """Give an object a second name; the store copies by itself."""
        self._ask(to, lambda: self._slow.copy(name, to), UPLOAD_SECONDS)

    def delete(self, name: str) -> None:
        """Remove an object; harmless where there is none."""
        self._ask(name, lambda: self._store.delete(name))

    def list(self, prefix: str | None, after: str | None = None, until: str | None = None) -> list[ObjectMeta]:
        """The objects below a prefix in the order of their names: those after ``after``, up to ``until`` and a little.

        A listing that breaks off goes on where it was. One that ends is asked for what follows its last name, and an
        empty one once more: some stores say that a page is not the last one and not where the next one begins
        (DigitalOcean's, Ceph's, and MinIO's with pages that held nothing), and obstore takes such a page for the end.
        """
        found: list[ObjectMeta] = []
        seen: set[str] = set()

        def rest() -> None:
            for attempt in count():
                start, before = found[-1]["path"] if found else after, len(found)
                for chunk in self._store.list(prefix, offset=start):
                    # An object of a folder, with a slash behind its name, is listed again: obstore drops the slash.
                    found.extend(meta for meta in chunk if meta["path"] not in seen)
                    seen.update(meta["path"] for meta in chunk)
                    if until is not None and chunk and chunk[-1]["path"] > until:
                        return
                if len(found) == before and (found or attempt):
                    return

        self._ask(prefix or "", rest)
        return found

    def _ask(self, name: str, call: Callable[[], _Answer], silence: float = SILENCE_SECONDS) -> _Answer:
        with ExitStack() as waiting:
            return self._ask_until_answered(name, call, silence, waiting)

    def _ask_until_answered(
        self, name: str, call: Callable[[], _Answer], silence: float, waiting: ExitStack
    ) -> _Answer:
        first_refusal: float | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                with store_wait.get()(None, silence):
                    answer = call()
            except (BaseError, FileNotFoundError) as error:
                said = str(error)
                self._has_answered = self._has_answered or "status code: " in said
                now = self._patience.clock()
                seconds = self._patience.seconds if self._has_answered else UNREACHABLE_SECONDS
                seconds = min(seconds, self._patience.seconds)
                is_first = first_refusal is None
                first_refusal = now if first_refusal is None else first_refusal
                if not _is_busy(said) or now - first_refusal >= seconds:
                    raise
                if is_first:
                    status = _STATUS.search(said)
                    waiting.enter_context(store_wait.get()(status[1] if status else "", seconds))
                wait = uniform(pause / 2, pause)
                logger.info("%s: %s; asking again in %.1f s", name, one_line(said.splitlines()[0], 200), wait)
                self._patience.pause(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._has_answered = True
                return answer


def _is_busy(said: str) -> bool:
    if any(sign in said for sign in _HOPELESS):
        return False
    return _BUSY.search(said) is not None or ("status code: " not in said and "kind: " in said)
