"""What a benchmark says: claims with their bounds, and tables of text.

Here: the values and how they are printed. Not here: how anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One claim, measured.

    Attributes:
        claim: what is measured.
        measured: the number, with its unit.
        bound: what it must not exceed, in the same words; empty for a number that is only reported.
        met: whether it holds; None where there is no bound.
    """

    claim: str
    measured: str
    bound: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """In one word."""
        return {True: "met", False: "MISSED", None: "reported"}[self.met]


def at_most(claim: str, value: float, bound: float, spelled: str = "{:.2f}") -> Result:
    """A claim that ``value`` is at most ``bound``; ``spelled`` formats both."""
    return Result(claim, spelled.format(value), "at most " + spelled.format(bound), value <= bound)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns as wide as they need to be."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)
