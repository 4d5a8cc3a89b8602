"""How numbers of things are written for people, one of them in the singular.

Here: counted things, and what is said of them. Not here: sizes and durations (`ingest.progress`).
"""

from __future__ import annotations

_OF_ONE = {"are": "is", "were": "was", "have": "has", "do": "does"}


def count_of(count: int, unit: str) -> str:
    """Write a number of things: `1 day`, `2 days`, `2,594 days`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def count_that(count: int, unit: str, do: str) -> str:
    """Write what a number of things do, in the plural's words: `1 bar has no volume`, `2 bars have no volume`."""
    return f"{count_of(count, unit)} {verb_of(count, do)}"


def part_of(count: int, total: int, unit: str, do: str = "") -> str:
    """Write how many of some things there are, or do what: `1 of 390 minutes`, `1 of 3 tickers has no bar`."""
    return f"{count:,} of {count_of(total, unit)} {verb_of(count, do)}".rstrip()


def all_that(count: int, unit: str, do: str) -> str:
    """Write that all of some things do, in the plural's words: `all 390 bars hold`, `the one bar holds`."""
    return f"{f'all {count:,} {unit}s' if count != 1 else f'the one {unit}'} {verb_of(count, do)}"


def verb_of(count: int, do: str) -> str:
    """A verb, with what follows it, as it stands behind a number of things: `has no bar` for one of them."""
    verb, space, rest = do.partition(" ")
    return do if count != 1 or not verb else f"{_OF_ONE.get(verb, f'{verb}s')}{space}{rest}"
