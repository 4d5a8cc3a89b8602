"""Where a printed line goes on in the next one, if the terminal is narrower than the line.

Here: the places, and lines without colours. Not here: colours and tables (`screen`), so that a wrong call imports
nothing for its one line.

A terminal breaks a line at its edge, in the midst of a word or a number. Here it ends before the word, and goes on
indented. A path and a command stay whole, since they are to be copied: one that is too long is broken by the terminal,
which copies it without a break. Where nobody has a width, as in a pipe or a file, a line is one line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

import click

HANG = "  "
"""How far the second line of a text is indented from its first."""

_UNIT = re.compile(r"(?:\S*/)?data-assets .*|\S+")
"""What stays whole: a word, and a command, which ends its line."""


def known_width(stream: TextIO) -> int | None:
    """How many columns a stream has: those of its terminal, or `COLUMNS`; None if nothing says so."""
    if (said := os.environ.get("COLUMNS", "")).isdecimal() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # no terminal, or no file
        return None


def hang_of(line: str) -> str:
    """What the second and every further line of a text begins with."""
    return " " * (len(line) - len(line.lstrip(" "))) + HANG


def segments(line: str, width: int) -> Iterator[tuple[int, int]]:
    """The beginning and the end, in the text, of each line that it is printed in; all but the first are indented."""
    start, end, taken = 0, 0, 0
    for unit in _UNIT.finditer(line):
        indent = len(hang_of(line)) if start else 0
        if taken and unit.end() - start + indent > width:
            yield start, end
            start = unit.start()
        end, taken = unit.end(), taken + 1
    yield start, end


def broken(text: str, width: int | None) -> str:
    """A text with the breaks that it needs in a width; as it is if there is none."""
    if width is None:
        return text
    lines = (
        f"\n{hang_of(line)}".join(line[start:end] for start, end in segments(line, width)) for line in text.split("\n")
    )
    return "\n".join(lines)


def say(text: str, *, err: bool = False) -> None:
    """Print a text on stdout, or on stderr."""
    click.echo(broken(text, known_width(sys.stderr if err else sys.stdout)), err=err)
