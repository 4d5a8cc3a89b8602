"""A small picture of a stored day for its page in the UI: one line, and what lies under it as an area.

Here: drawing two series of numbers. Not here: which numbers a dataset shows (`MarketDataset.minutes`).

Dagster's UI renders Markdown in a dialog, and lets images in that are written into their own address (`data:`), which
need no file and no server. An SVG of this size takes less than two kilobytes of the event log.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import polars as pl

POINTS = 78
"""Of a line at most: five minutes each of a regular session."""

WIDTH, HEIGHT, FLOOR = 2 * POINTS, 48, 16
"""In the units of the drawing; the area takes the lowest `FLOOR` of them."""


def day_picture(minutes: pl.DataFrame) -> str | None:
    """Draw a day as Markdown, with the range of each series in words; None if there is nothing to draw.

    Args:
        minutes: two columns of numbers, named for people, in order of time or of strike: the line and the area. Rows
            that lack either are passed over.
    """
    rows = minutes.drop_nulls()
    if rows.height < 2:
        return None
    step = -(-rows.height // POINTS)
    thinned = rows.group_by(pl.int_range(pl.len()) // step, maintain_order=True).agg(pl.all().mean())
    line, area = (thinned[name].to_list() for name in rows.columns)
    top = HEIGHT - FLOOR
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{4 * WIDTH}">'
        f'<path fill="#9cf" d="M0 {HEIGHT}L{_path(area, HEIGHT, FLOOR, low=0)} {WIDTH} {HEIGHT}z"/>'
        f'<path fill="none" stroke="#039" d="M{_path(line, top, top, low=min(line))}"/></svg>'
    )
    ranges = zip(rows.columns, rows.min().row(0), rows.max().row(0), strict=True)
    said = ", ".join(f"{name} {least:,.6g} to {most:,.6g}" for name, least, most in ranges)
    return f"![{said}](data:image/svg+xml;base64,{b64encode(drawing.encode()).decode()})\n\n{said}"


def _path(values: Sequence[float], bottom: int, height: int, *, low: float) -> str:
    """The points of a series from left to right, from `low` at `bottom` to its largest value `height` above."""
    right, up = WIDTH / (len(values) - 1), (height - 2) / ((max(values) - low) or 1)
    return " ".join(f"{place * right:.0f} {bottom - (each - low) * up:.0f}" for place, each in enumerate(values))
