"""Questions to a vendor that a person waits for: how long, and how the command ends without an answer.

Here: both. Not here: the questions (`doctor`, `offers`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from data_assets.cli.line_breaks import say
from data_assets.ingest.outcome import DayEnded, IngestError
from data_assets.lake.errors import one_line

VENDOR_SECONDS = 60.0
NO_ANSWER = f"no answer within {VENDOR_SECONDS:.0f} s: is the vendor's program up, and connected?"

T = TypeVar("T")


async def soon(answer: Awaitable[T]) -> T:
    """The answer, if it comes in time: a vendor that is away would be waited for, and this is no download.

    Raises:
        TimeoutError: it did not.
    """
    return await asyncio.wait_for(answer, VENDOR_SECONDS)


@contextmanager
def ending_without_an_answer(asked: str, words: Callable[[IngestError], str] = str) -> Iterator[None]:
    """End this process with one line and 1 where the vendor does not answer, or refuses.

    Args:
        asked: what was asked about, with which the line begins.
        words: what is said of a refusal that is not of a day.
    """
    try:
        yield
    except TimeoutError:
        said = NO_ANSWER
    except DayEnded as ended:
        said = f"{ended.outcome.name}: {ended.outcome.reason}"
    except IngestError as error:
        said = words(error)
    else:
        return
    say(f"Error: {asked}: {one_line(said)}", err=True)
    sys.exit(1)
