"""Counts many small frames of odd quotes with a library of its own, and ends well if no access is out of bounds.

Run by test_contract_runs.py in a process of its own, as mutated_lines.py is. The quotes are drawn from a fixed seed.
"""

from __future__ import annotations

import ctypes
import random
import sys
from datetime import date, timedelta

import polars as pl

from data_assets.quality import contract_runs
from data_assets_tests.exact_memory import copied, freed, room
from data_assets_tests.quality.quote_days import MINUTE, OPEN, OPTION_CLOSE, SCHEMA

FRAMES = 5_000
EXTREMES = (-(2**63), 2**63 - 1)
WIDTHS = {"symbol": 16, "expiration": 4, "right": 1}
NUMBERS = (0.0, -0.0, 1.0, 5e-324, 1.7e308)
NO_NUMBERS = (float("nan"), float("inf"))


class ExactlySized:
    """The function of a library, whose every argument is in memory of exactly its size, as the sanitizers see it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.taken = 0

    def summarize_contracts(self, of: object, rows: int, session: object, runs: int) -> int:
        columns = of._obj  # type: ignore[attr-defined]
        copies = []
        for name in contract_runs._TYPES:
            if start := getattr(columns, name):
                copies.append(copied(start, rows * WIDTHS.get(name, 8)))
                setattr(columns, name, copies[-1])
        size = 8 * rows * len(contract_runs._COUNTED)
        counted = room(size)
        found: int = self._library.summarize_contracts(of, rows, session, counted)
        ctypes.memmove(runs, counted, size)
        freed(counted, *copies)
        self.taken += found >= 0
        return found


def odd_frame(draw: random.Random) -> pl.DataFrame:
    """Up to eight quotes, of which few are declined; begun anywhere in its buffers, and often without some sizes."""
    rows = []
    for _ in range(draw.randrange(12)):
        symbol = draw.choice(
            ["QQQ", "QQQ", "", "TWELVELETTER", "THIRTEENCHARS" if draw.random() < 0.1 else "\u65e5\u672c"]
        )
        numbers = NUMBERS if draw.random() < 0.98 else NO_NUMBERS
        strike, bid, ask = (draw.choice(numbers) for _ in range(3))
        at = OPEN + draw.randrange(-3, 500) * timedelta(seconds=30)
        sizes = [draw.choice([0, 1, *EXTREMES]) for _ in range(2)]
        contract = (symbol, date(2024, 1, draw.choice([5, 12])), strike, draw.choice(["CALL", "PUT"]))
        rows.append((*contract, at, sizes[0], 1, bid, 50, sizes[1], 1, ask, 50))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    if draw.random() < 0.1:
        instants = pl.Series([draw.choice(EXTREMES) for _ in rows], dtype=pl.Int64)
        frame = frame.with_columns(timestamp=instants.cast(SCHEMA["timestamp"]))
    without = [name for name in ("bid_size", "ask_size") if draw.random() < 0.3]
    return frame.drop(without).slice(draw.randrange(3), 8)


def main(library: str) -> None:
    functions = ExactlySized(contract_runs._declared(ctypes.CDLL(library)))
    contract_runs._FUNCTIONS = functions  # type: ignore[assignment]
    draw = random.Random(1)
    for _ in range(FRAMES):
        contract_runs.contract_runs(odd_frame(draw), open_=OPEN, close=OPTION_CLOSE, interval=MINUTE)
    print(functions.taken)


if __name__ == "__main__":
    main(sys.argv[1])
