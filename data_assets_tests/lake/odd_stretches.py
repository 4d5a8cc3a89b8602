"""Puts many small frames in order with a library of its own, and ends well if no access is out of bounds.

Run by test_stretches.py in a process of its own, because only a process that was started with the sanitizers' own
library can load such code. The rows are drawn from a fixed seed.
"""

from __future__ import annotations

import ctypes
import random
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl

from data_assets.lake import stretches
from data_assets_tests.exact_memory import copied, freed, room
from data_assets_tests.lake.lake_days import COLUMNS, SORT_BY

DAYS = 3_000
OPEN = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)


class ExactlySized:
    """The functions of a library, whose arguments are in memory of exactly their size, as the sanitizers see it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._heights: list[int] = []
        self.taken = 0

    def begin(self, frames: list[pl.DataFrame]) -> None:
        """Learn how many rows the frames have that come next."""
        self._heights = [frame.height for frame in frames]

    def find_stretches(self, columns: ctypes.Array, width: int, last: int, rows: int, most: int, starts: int) -> int:  # type: ignore[type-arg]
        copies = [copied(last, rows * 8)]
        for column in columns:
            copies.append(copied(column.values, rows * column.size))
            column.values = copies[-1]
        found_at = room(most * 8)
        found: int = self._library.find_stretches(columns, width, copies[0], rows, most, found_at)
        ctypes.memmove(starts, found_at, most * 8)
        freed(found_at, *copies)
        return found

    def copy_ranges(self, ranges: int, count: int, moved: ctypes.Array, width: int) -> None:  # type: ignore[type-arg]
        rows = sum(ctypes.cast(ranges, ctypes.POINTER(ctypes.c_int64 * 3))[n][2] for n in range(count))
        of_ranges = copied(ranges, count * 24)
        copies, filled = [of_ranges], []
        for column in moved:
            for number, height in enumerate(self._heights):
                copies.append(copied(column.frames[number], height * column.size))
                column.frames[number] = copies[-1]
            filled.append((column.to, room(rows * column.size), rows * column.size))
            column.to = filled[-1][1]
        self._library.copy_ranges(of_ranges, count, moved, width)
        for to, at, size in filled:
            ctypes.memmove(to, at, size)
            freed(at)
        freed(*copies)
        self.taken += 1


def odd_frames(draw: random.Random) -> list[pl.DataFrame]:
    """Up to three frames of a few stretches, of which some are declined; begun anywhere in their buffers."""
    rows = []
    for _ in range(draw.randrange(1, 9)):
        symbol = draw.choice(["QQQ", "QQQ", "", "TWELVELETTER", "A LONGER NAME"])
        contract = (
            symbol,
            date(2024, 1, draw.choice([5, 12])),
            draw.choice([0.0, -0.0, 400.0]),
            draw.choice(["CALL", "PUT"]),
        )
        first = draw.randrange(20)
        for minute in range(first, first + draw.randrange(1, 12)):
            rows.append((*contract, OPEN + minute * timedelta(minutes=1), len(rows), 1, 0.5, 50, 0, 1, 0.6, 50))
    day = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    borders = [draw.randrange(3), *sorted(draw.randrange(3, day.height + 3) for _ in range(2)), day.height]
    frames = [day[a:b] for a, b in pairwise(borders)]
    return [frame for frame in frames if frame.height]


def main(library: str) -> None:
    """Put them in order, and print how often rows were copied."""
    functions = ExactlySized(stretches._declared(ctypes.CDLL(library)))
    stretches._FUNCTIONS = functions  # type: ignore[assignment]
    draw = random.Random(1)
    for _ in range(DAYS):
        frames = odd_frames(draw)
        functions.begin(frames)
        if frames and (ordered := stretches.stretches(frames, SORT_BY)) is not None:
            found = pl.concat(ordered.batches(draw.choice([1, 7, 100])))
            assert found.equals(pl.concat(frames).sort(SORT_BY, maintain_order=True))
    print(functions.taken)


if __name__ == "__main__":
    main(sys.argv[1])
