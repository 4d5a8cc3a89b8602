"""A small picture of a stored day for its page in the UI: one line, and what lies under it as an area.

Here: drawing two series of numbers. Not here: which numbers a dataset shows (`MarketDataset.minutes`).

Dagster's UI shows Markdown of fewer than 1,000 characters where it stands, and longer ones behind a click; it lets in
images that are written into their own address (`data:`), which need no file and no server. So the SVG is kept short:
whole units, each point as its distance from the one before, and nothing encoded that an address may hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast
from urllib.parse import quote

import polars as pl

POINTS = 60
"""Of a line at most."""

WIDTH, HEIGHT, FLOOR = 120, 48, 16
"""In the units of the drawing, which is as wide as whole steps between the points allow; the area takes the lowest
`FLOOR` of them."""

SCALE = 5
"""Pixels of a unit."""


def day_picture(minutes: pl.DataFrame) -> str | None:
    """Draw a day as Markdown, with the range of each series in words; None if there is nothing to draw.

    Args:
        minutes: two columns of numbers, named for people, in order of time or of strike: the line and the area. Rows
            that lack either are passed over.
    """
    rows = minutes.drop_nulls() if any(each.has_nulls() for each in minutes.get_columns()) else minutes
    if rows.height < 2:
        return None
    line, area = (_thinned(each.to_list()) for each in rows.get_columns())
    step = WIDTH // (len(line) - 1)
    width = step * (len(line) - 1)
    top = HEIGHT - FLOOR
    first, rest = _steps(area, step, HEIGHT, FLOOR, low=0)
    start, onward = _steps(line, step, top, top, low=min(line))
    drawing = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {HEIGHT}' width='{SCALE * width}'>"
        f"<path fill='#9cf' d='M0,{HEIGHT}V{first}l{rest}V{HEIGHT}z'/>"
        f"<path fill='none' stroke='#039' d='M0,{start}l{onward}'/></svg>"
    )
    ranges = ((each.name, cast(float, each.min()), cast(float, each.max())) for each in rows.get_columns())
    said = ", ".join(f"{name} {least:,.6g} to {most:,.6g}" for name, least, most in ranges)
    address = quote(drawing, safe="/:=',-")
    return f"![](data:image/svg+xml,{address})\n\n{said}"


def _thinned(values: Sequence[float]) -> list[float]:
    """At most `POINTS` of them: the averages of neighbours."""
    every = -(-len(values) // POINTS)
    parts = (values[at : at + every] for at in range(0, len(values), every))
    return [sum(each) / len(each) for each in parts]


def _steps(values: Sequence[float], step: int, bottom: int, height: int, *, low: float) -> tuple[int, str]:
    """Where a series begins, and how far each next point lies from the one before, as a path of an SVG writes it.

    `low` is drawn at `bottom`, the largest value `height` above, less a margin.
    """
    up = (height - 2) / ((max(values) - low) or 1)
    places = [round(bottom - (each - low) * up) for each in values]
    moves = (after - before for before, after in pairwise(places))
    return places[0], ",".join(f"{step}{move}" if move < 0 else f"{step},{move}" for move in moves)
