"""Reads many blocks of damaged lines with a library of its own, and ends well if no read or write is out of bounds.

Run by test_theta_strict_lines.py in a process of its own, because only a process that was started with the sanitizers'
library can load code that was compiled with them. The blocks are drawn from a fixed seed.
"""

from __future__ import annotations

import ctypes
import random
import sys
from datetime import date

from data_assets.vendors.theta import strict_lines
from data_assets.vendors.theta.schema import EOD, GREEKS, OPEN_INTEREST, QUOTES, Table, utc_offset
from data_assets_tests.exact_memory import copied, freed, room

BLOCKS = 25_000
DAY = date(2024, 11, 4)
BYTES_OF_KIND = {strict_lines._RIGHT: 1, strict_lines._DATE: 4, strict_lines._SHORT: 2}
WORDS = (b"NaN", b"CALL", b"PUT", b"QQQ", b"9" * 30, b"0" * 30)
PIECES = (b"", b"\n", b"\r\n", b",", b'"', b"-", b".", b"0", *WORDS, b"\x00", b"\xff")


class ExactlySized:
    """The functions of a library, whose every argument is in memory of exactly its size, as the sanitizers see it.

    Python's bytes have one byte more, and Arrow's buffers up to 63.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.taken = 0

    def count_lines(self, text: int, length: int) -> int:
        at = copied(text, length)
        lines: int = self._library.count_lines(at, length)
        freed(at)
        return lines

    def read_lines(self, text: int, length: int, fields: ctypes.Array, width: int, rows: int, asked: object) -> int:
        at = copied(text, length)
        sizes = [BYTES_OF_KIND.get(field.kind, 8) * rows for field in fields]
        targets = [field.values for field in fields]
        for field, size in zip(fields, sizes, strict=True):
            field.values = field.values and room(size)
        taken: int = self._library.read_lines(at, length, fields, width, rows, asked)
        for field, size, target in zip(fields, sizes, targets, strict=True):
            if target:
                ctypes.memmove(target, field.values, size)
                freed(field.values)
            field.values = target  # where the rows of the next piece follow
        freed(at)
        self.taken += taken
        return taken


def usual_line(table: Table, draw: random.Random) -> bytes:
    """A line that is taken, with or without quotes."""
    fields = []
    for name, dtype in table.schema.items():
        if dtype.is_float():
            number = f"{draw.choice([0, draw.uniform(-9, 9999)]):.3f}"
            fields.append("NaN" if name in table.computed and draw.random() < 0.2 else number)
        elif dtype.is_integer():
            fields.append(str(draw.randrange(30_000)))
        else:
            at = f"{DAY}T{draw.randrange(24):02}:30:00{draw.choice(['', '.000', '.123456'])}"
            text = {"symbol": "QQQ", "expiration": f"{draw.randrange(1000, 9999)}-02-28", "right": "CALL"}.get(name, at)
            fields.append(f'"{text}"' if draw.random() < 0.3 else text)
    return ",".join(fields).encode() + draw.choice([b"\n", b"\r\n"])


def damaged(block: bytes, draw: random.Random) -> bytes:
    """A block with up to three pieces cut out, put in, or put in the place of others; often cut off at its end."""
    for _ in range(draw.randrange(4)):
        first = draw.randrange(len(block) + 1)
        last = min(len(block), first + draw.choice([0, 0, 1, 1, 2, 5, 30]))
        block = block[:first] + draw.choice([*PIECES, bytes([draw.randrange(256)])]) + block[last:]
    return block[: draw.randrange(len(block) + 1)] + draw.choice([b"", b"\n"]) if draw.random() < 0.4 else block


def in_pieces(block: bytes, draw: random.Random) -> list[bytes]:
    """A block cut behind one of its lines, or whole."""
    lines = block.splitlines(keepends=True)
    cut = draw.randrange(len(lines) + 1)
    return [b"".join(lines[:cut]), b"".join(lines[cut:])]


def main(library: str) -> None:
    functions = ExactlySized(strict_lines._declared(ctypes.CDLL(library)))
    strict_lines._FUNCTIONS = functions  # type: ignore[assignment]
    draw = random.Random(1)
    readers = []
    for table in (QUOTES, GREEKS, OPEN_INTEREST, EOD):
        options = {"symbol": "QQQ", "day": DAY, "offset": utc_offset(DAY), "computed": table.computed}
        readers.append((table, strict_lines.StrictLines([*table.columns], table.schema, **options)))
    for _ in range(BLOCKS):
        table, reader = draw.choice(readers)
        line = usual_line(table, draw)
        lines = [line if draw.random() < 0.5 else usual_line(table, draw) for _ in range(draw.randrange(4))]
        reader.read(*in_pieces(damaged(b"".join(lines), draw), draw))
    print(functions.taken)


if __name__ == "__main__":
    main(sys.argv[1])
